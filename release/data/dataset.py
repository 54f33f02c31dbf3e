"""A file of rows → golden rows and their canonical bytes, whatever the format; each faulty row is named by its line."""

import hashlib
from array import array
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain, zip_longest
from pathlib import Path

import gates
from gates import rows as golden_rows
from gates.shown import counted, some
from release.data import containers, formats, parallel, shapes, stored
from release.data.chat import PROBE_ANSWER, Chat, Example, Measured
from release.data.containers import Fault, Item, Watch, packed, stem
from release.data.turns import BadRow, How, Row, shown
from release.values.artifacts import sha256_file
from release.values.errors import DataError
from release.values.events import Event, Progress, Say

SHOWN = 20  # faulty rows listed in a message; the rest is counted
MEGABYTE = 1 << 20
MOST_FAULTS = 1000  # nothing is read after as many


@dataclass(frozen=True, kw_only=True)
class Read:
    """A file's rows, and their bytes in the canonical format."""

    rows: tuple[gates.Golden, ...]
    lines: tuple[int, ...]
    canonical: bytes
    form: str
    told: tuple[str, ...]
    """What was kept apart or left out, a sentence each."""
    unused: frozenset[str]
    """Fields that were said to stand under another key, which no row has."""

    def texts(self) -> list[bytes]:
        """The canonical line of each row."""
        return _texts(self.canonical)


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """A file's rows in order, and the sha256 of its canonical bytes."""

    path: Path
    rows: Sequence[gates.Golden]
    """A tuple, or of a large file what reads each anew."""
    sha256: str
    lines: Sequence[int] = ()
    """The line of each row in ``path``."""
    whole: Callable[[], bytes] = field(default=bytes, repr=False, compare=False)
    """Gives the canonical bytes."""
    measured: tuple[Measured, ...] = field(default=(), repr=False)
    """How long each row is as training sees it; empty where no tokenizer was at hand."""
    told: tuple[str, ...] = ()
    """What of the file was kept apart, left out or not learned, a sentence each."""
    several: int = 0
    """Rows of several answers in one conversation."""
    unused: frozenset[str] = frozenset()

    @property
    def canonical(self) -> bytes:
        """What to train on and to keep: the file itself where it is in the canonical format."""
        return self.whole()

    def texts(self) -> list[bytes]:
        """The canonical line of each row."""
        return _texts(self.canonical)

    def line(self, number: int) -> int:
        """The line of a row in ``path``."""
        return self.lines[number] if self.lines else number + 1


def _texts(canonical: bytes) -> list[bytes]:
    return [line.rstrip(b"\r") for line in canonical.split(b"\n") if line.strip()]


@dataclass(frozen=True, kw_only=True)
class Line:
    """A row of a file, and its canonical text, which ends its line."""

    line: int
    row: Row
    text: bytes


class Account:
    """What is learned of a file while its rows go by."""

    def __init__(self, path: Path, how: How) -> None:
        self.path, self.how = path, how
        self.stem = stem(path)
        self.form, self.names = "", dict(how.fields)
        self.seen = self.rows = self.earlier = self.changed = 0
        self.as_it_is = True
        """Whether each line of the file is a canonical row."""
        self.problems: list[str] = []
        self.told: Counter[str] = Counter()
        self.left: dict[str, list[int]] = defaultdict(list)
        self.found: set[str] = set()

    def problem(self, line: int, says: str) -> None:
        self.problems.append(f"{self.path} line {line}: {says}")

    def sentences(self) -> Iterator[str]:
        """What was kept apart and what was left out."""
        for what, count in sorted(self.told.items()):
            yield f"{what} ({counted(count, 'row')})"
        for why, lines in sorted(self.left.items()):
            yield f"left out: {counted(len(lines), 'row')} {why}, line{'s' * (len(lines) > 1)} {some(lines, 10)}"

    @property
    def shown_form(self) -> str:
        """The format as it is told: a chat that holds nothing else is canonical."""
        return "canonical" if self.form == "chat" and not self.changed else self.form or "canonical"

    @property
    def unused(self) -> frozenset[str]:
        return frozenset(self.how.fields) - self.found


def load(path: Path, form: str = "auto", fields: Mapping[str, str] | None = None, say: Say = lambda _: None) -> Dataset:
    """Every line of ``path`` as a row with a reference answer; ``DataError`` names each that is not."""
    account, kept = Account(path, How(form=form, fields=fields or {})), _Kept()
    for one in converted(account, watch(path, say)):
        kept.add(one)
    refuse(account.problems, done="written")
    refuse([f"{path}: row {name} has no reference answer" for name in kept.unanswered])
    told = tuple(account.sentences())
    if not kept.lines:
        left = f" but what was left out: {'; '.join(told)}" if told else ""
        refuse([f"{path} is empty{left}: there is nothing to learn or to measure"])
    itself = account.as_it_is and not packed(path)
    digest = sha256_file(path) if itself else kept.digest.hexdigest()
    return Dataset(
        path=path,
        rows=kept.rows(),
        sha256=digest,
        lines=kept.lines,
        whole=partial(_unchanged, path, digest) if itself else kept.whole,
        told=told,
        several=kept.several,
        unused=account.unused,
    )


class _Kept:
    """Rows as they go by: held while they are few, and all on the disk once they are not."""

    def __init__(self) -> None:
        self.few: list[gates.Golden] = []
        self.written: stored.Texts | None = None
        self.texts: list[bytes] = []
        self.lines, self.size, self.digest = array("Q"), 0, hashlib.sha256()
        self.unanswered: list[str] = []
        self.several = 0

    def add(self, one: Line) -> None:
        self.lines.append(one.line)
        self.digest.update(one.text)
        self.size += len(one.text)
        row = golden_rows.golden_row(one.row, len(self.lines))
        if row.gold is None:
            self.unanswered.append(row.id)
        self.several += bool(earlier_answers(row))
        if self.written is not None:
            self.written.add(one.text)
            return
        self.few.append(row)
        self.texts.append(one.text)
        if self.size > stored.FEW:
            self.written = stored.Texts()
            for text in self.texts:
                self.written.add(text)
            self.few, self.texts = [], []

    def rows(self) -> Sequence[gates.Golden]:
        """All of them, in order."""
        if self.written is None:
            return tuple(self.few)
        return self.written.rows()

    def whole(self) -> bytes:
        """Their canonical bytes."""
        return b"".join(self.texts if self.written is None else self.written.texts())


def _unchanged(path: Path, digest: str) -> bytes:
    """The bytes of a file that were read before."""
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != digest:
        raise DataError(f"{path} changed after it was read. Run again.")
    return content


def watch(path: Path, say: Say, what: str = "read") -> Watch:
    """What says how many megabytes of a file were read, as often as there is another one."""
    last = -1

    def read(done: int, size: int) -> None:
        nonlocal last
        if size >= MEGABYTE and (done // MEGABYTE > last or done == size):
            last = done // MEGABYTE
            event: Event = Progress(
                name=f"MB of {path.name} {what}", done=min(last, size // MEGABYTE), total=size // MEGABYTE
            )
            say(event)

    return read


def rendered(rows: Sequence[gates.Golden], chat: Chat, learn: str | None = None) -> tuple[Example, ...]:
    """Each row as training sees it; ``learn``: ``data.learn``, without it ``last``."""
    return tuple(_rendered(row, chat, every=learn == "all") for row in rows)


def measured(data: Dataset, chat: Chat, say: Say, learn: str | None = None) -> Dataset:
    """The same rows with their lengths as training sees them."""
    every = learn == "all"
    name = f"lengths of {data.path.name}"
    work = lambda n: _rendered(data.rows[n], chat, every=every).measured  # noqa: E731
    lengths = parallel.one_by_one(work, len(data.rows), say, name, chat.in_turn)
    same: dict[Measured, Measured] = {}
    return replace(data, measured=tuple(same.setdefault(one, one) for one in lengths))


def _rendered(row: gates.Golden, chat: Chat, *, every: bool) -> Example:
    answer = row.gold or PROBE_ANSWER
    seen = chat.conversation(row.prompt, answer, unlearned(row)) if every else chat.example(row.prompt, answer)
    special = chat.reserved([*(message["content"] for message in row.prompt), row.gold or ""])
    return replace(seen, special=special) if special else seen


def unlearned(row: gates.Golden) -> frozenset[int]:
    """The numbers of the messages that are marked as not to be learned."""
    listed = row.row.get("messages")
    messages = listed if isinstance(listed, list) else []
    return frozenset(number for number, one in enumerate(messages) if one.get("weight") == 0)


def few(rows: Sequence[gates.Golden], most: int) -> list[int]:
    """The numbers of the first rows of each label in turn, so that every label is there; in the rows' order."""
    labels = [[n for n, row in enumerate(rows) if row.answerable is label] for label in (True, False, None)]
    in_turn = (number for number in chain.from_iterable(zip_longest(*labels)) if number is not None)
    return sorted(list(in_turn)[:most])


def earlier_answers(row: gates.Golden) -> list[tuple[int, str]]:
    """The answers of a conversation before the last, with the numbers of their messages; not what is marked."""
    marked = unlearned(row)
    said = [(number, one) for number, one in enumerate(row.prompt) if one["role"] == "assistant"]
    return [(number, one["content"]) for number, one in said if number not in marked]


def read(path: Path, form: str = "auto", fields: Mapping[str, str] | None = None, least: float | None = None) -> Read:
    """The rows of a file; ``DataError`` names each line that is not one. ``least``: the rating that rows need.

    A row of the canonical format needs no reference answer here.
    """
    account = Account(path, How(form=form, fields=fields or {}, least=least))
    kept = list(converted(account))
    refuse(account.problems, done="written")
    return Read(
        rows=tuple(golden_rows.golden_row(one.row, number) for number, one in enumerate(kept, 1)),
        lines=tuple(one.line for one in kept),
        canonical=path.read_bytes() if account.as_it_is and not packed(path) else b"".join(one.text for one in kept),
        form=account.shown_form,
        told=tuple(account.sentences()),
        unused=account.unused,
    )


def converted(account: Account, watch: Watch = lambda _done, _all: None) -> Iterator[Line]:
    """The rows of a file, one after the other; what is wrong with others is in the account at the end."""
    for found in containers.items(account.path, watch):
        account.seen += 1
        if isinstance(found, Fault):
            account.problem(found.line, found.says)
        elif (one := _row(account, found)) is not None:
            account.rows += 1
            account.earlier += sum(message["role"] == "assistant" for message in _messages(one.row)) > 1
            yield one
        if len(account.problems) == MOST_FAULTS or (account.problems and not account.form and account.seen == 1):
            return  # where the first row is of no format, all are
    account.as_it_is = account.as_it_is and not account.left and account.rows == account.seen


def texts(account: Account, watch: Watch = lambda _done, _all: None) -> Iterator[bytes]:
    """The canonical text of each row of a file that was read without a fault, once more: unread, where it is a line."""
    if account.as_it_is:
        for line in containers.lines(account.path, watch):
            if text := line.rstrip(b"\r\n"):
                yield text + b"\n"
    else:
        yield from (one.text for one in converted(Account(account.path, account.how), watch))


def _messages(row: Row) -> list[Row]:
    listed = row.get("messages")
    return [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []


def _row(account: Account, item: Item) -> Line | None:
    """The row of one value; None where it is none or left out, which the account says."""
    if not isinstance(item.value, dict):
        account.problem(item.line, f"it is not a JSON object: {shown(item.value)}")
        return None
    try:
        if not account.form:
            _recognise(account, item.value)
        if _is_canonical(account, item.value):
            account.as_it_is = account.as_it_is and bool(item.raw)
            return Line(
                line=item.line,
                row=item.value,
                text=item.raw.rstrip(b"\r") + b"\n" if item.raw else formats.line(item.value),
            )
        return _from_another(account, item)
    except BadRow as error:
        account.problem(item.line, str(error))
        return None


def _recognise(account: Account, row: Row) -> None:
    form, names = shapes.recognise(row, account.how)
    if form == "chat" and account.how.form in shapes.AUTO and formats.is_labelled(row):
        form = "canonical"
    account.form, account.names = form, dict(names)


def _is_canonical(account: Account, row: Row) -> bool:
    """Whether a row can stay as it is: one of ours, or of a chat that holds nothing else."""
    how = account.how
    if account.form not in ("canonical", "chat") or any(shapes.holds(row, key) for key in how.fields.values()):
        return False
    if how.least is not None or any(key in row for key in (*how.ignored, *how.without)):
        return False
    if not golden_rows.is_golden(row):
        return False
    messages = _messages(row)
    if any(not str(one["content"]).strip() for one in messages):
        return False
    return not messages or (
        (messages[-1]["role"] == "assistant" or account.form == "canonical") and messages[-1].get("weight") != 0
    )


def _from_another(account: Account, item: Item) -> Line | None:
    name = f"{account.stem}-{account.seen:05}"
    given = formats.canonical(account.form, account.names, account.how, item.value, name)
    account.found |= given.found
    account.as_it_is = False
    if given.left_out:
        account.left[given.left_out].append(item.line)
        return None
    if not golden_rows.is_golden(given.row) and (
        problems := golden_rows.golden_problems(given.row, f"{account.path} line {item.line}")
    ):
        account.problems += problems
        return None
    if given.told:
        account.told.update(given.told)
    account.changed += 1
    return Line(line=item.line, row=given.row, text=formats.line(given.row))


def refuse(problems: Sequence[str], *, done: str = "trained") -> None:
    """Raise ``DataError`` with the first problems, how many more there are, and what was therefore not done."""
    if problems:
        more = f"\n… and {len(problems) - SHOWN} more" if len(problems) > SHOWN else ""
        raise DataError("\n".join(problems[:SHOWN]) + more + f"\nNothing was {done}. Mend the rows and run again.")
