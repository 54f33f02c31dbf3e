"""`data convert`: files of any format → one canonical file, row by row: no file is held whole."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from gates.invalid import did_you_mean
from gates.shown import counted, some
from release.config.settings import FIELDS
from release.data import dataset, formats, new_files, turns
from release.data.dataset import Account, Line
from release.data.turns import How, Row
from release.values.errors import ConfigError
from release.values.events import Say

ROLES = ("user", "assistant", "system")


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """How rows are to be read and written."""

    form: str = "auto"
    pairs: Sequence[str] = ()
    """``NAME=KEY``: a field under another key."""
    least: float | None = None
    """The rating that a row needs."""
    roles: Sequence[str] = ()
    """``NAME=user``: another name for who speaks."""
    ignored: Sequence[str] = ()
    """Keys that mean nothing for learning."""
    without: Sequence[str] = ()
    """Keys whose rows are left out."""
    system_to_user: bool = False


def how(wanted: Wanted) -> How:
    """What a command line says of the rows, checked."""
    fields = _pairs(wanted.pairs, "--field is NAME=KEY, such as prompt=question")
    roles = _pairs(wanted.roles, "--role is NAME=user, NAME=assistant or NAME=system")
    problems = [f"--field {name}: no such field{did_you_mean(name, FIELDS)}" for name in fields if name not in FIELDS]
    problems += [f"--role {name}: {one!r} is not one of {ROLES}" for name, one in roles.items() if one not in ROLES]
    if wanted.form not in formats.FORMS:
        problems.append(f"--format is {wanted.form!r}{did_you_mean(wanted.form, formats.FORMS)}")
    if problems:
        raise ConfigError(problems)
    ignored, without = frozenset(wanted.ignored), frozenset(wanted.without)
    return How(form=wanted.form, fields=fields, least=wanted.least, roles=roles, ignored=ignored, without=without)


def _pairs(given: Sequence[str], says: str) -> dict[str, str]:
    if wrong := [pair for pair in given if not all(pair.partition("="))]:
        raise ConfigError([f"{wrong[0]!r}: {says}."])
    return dict(pair.split("=", 1) for pair in given)


def to_file(sources: Sequence[Path], target: Path, wanted: Wanted, say: Say = lambda _: None) -> list[str]:
    """Write the rows of several files as one canonical file; what was read, set aside and written, in lines."""
    asked = how(wanted)
    new_files.refuse(target)
    accounts = [Account(source, asked) for source in sources]
    moved = _Moved()
    with new_files.Writer(target) as writer:
        for one in joined(accounts, say):
            writer.add(formats.line(moved.of(one.row)) if wanted.system_to_user else one.text)
        dataset.refuse(_problems(accounts), done="written")
    lines = [line for account in accounts for line in _told(account)]
    return [*lines, *(moved.told() if wanted.system_to_user else []), writer.told()]


def joined(accounts: Sequence[Account], say: Say = lambda _: None) -> Iterator[Line]:
    """Several files' rows in order; a row whose id an earlier one has gets another by file and place."""
    seen: set[str] = set()
    for account in accounts:
        for one in dataset.converted(account, dataset.watch(account.path, say)):
            id_ = str(one.row.get("id", ""))
            if not id_ or id_ in seen:
                id_ = _free(f"{account.stem}-{len(seen) + 1:05}", seen)
                row = {**one.row, "id": id_}
                one = Line(line=one.line, row=row, text=formats.line(row))  # noqa: PLW2901
            seen.add(id_)
            yield one


def _free(name: str, seen: set[str]) -> str:
    return name if name not in seen else _free(f"{name}-again", seen)


def _problems(accounts: Sequence[Account]) -> list[str]:
    """Faulty rows of all files, and keys that were named and are in none."""
    if problems := [one for account in accounts for one in account.problems]:
        return problems
    unused = frozenset[str].intersection(*(account.unused for account in accounts)) if accounts else frozenset()
    if not any(account.rows for account in accounts):
        left = [line for account in accounts for line in account.sentences()]
        return [f"{account.path} holds no row to write" for account in accounts] + left
    return [unused_field(name, accounts[0].how.fields[name]) for name in sorted(unused)]


def unused_field(name: str, key: str) -> str:
    """What to say of a key that was named and that no row has."""
    return f"No row has {key!r}, which is named as the key of {name}. Name a key that rows have, or leave it out."


def _told(account: Account) -> Iterator[str]:
    yield f"{account.path}: {account.shown_form}, {counted(account.rows, 'row')}"
    yield from (f"  {sentence}" for sentence in account.sentences())
    if account.earlier:
        what = "has earlier answers" if account.earlier == 1 else "have earlier answers"
        yield f"  {counted(account.earlier, 'row')} {what} too: only the last is learned, unless data.learn is all"


class _Moved:
    """What becomes of system messages: how many rows' text was moved, and the rows that are left as they are."""

    def __init__(self) -> None:
        self.changed = 0
        self.left: list[str] = []

    def of(self, row: Row) -> Row:
        messages = row.get("messages")
        if not isinstance(messages, list):
            return row
        moved = turns.system_to_user([one for one in messages if isinstance(one, dict)])  # type: ignore[misc]
        if moved is None:
            self.left.append(str(row.get("id")))
            return row
        self.changed += moved != messages
        return {**row, "messages": [{**one} for one in moved]}

    def told(self) -> Iterator[str]:
        yield f"system text put at the start of the next user message: {counted(self.changed, 'row')}"
        if self.left:
            why = "no user message follows their system message"
            left = f"{counted(len(self.left), 'row')} ({some(self.left, 10)})"
            yield f"  left as they are: {left}, because {why}. Mend them by hand"


def without_system(canonical: bytes) -> tuple[bytes, int, list[str]]:
    """Canonical rows with their system texts in user messages, in how many, and the ids of rows left as they are."""
    moved = _Moved()
    lines = [formats.line(moved.of(json.loads(line))) for line in canonical.split(b"\n") if line.strip()]
    return b"".join(lines), moved.changed, moved.left
