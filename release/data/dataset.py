"""A file of rows → golden rows and their canonical bytes, whatever the format; each faulty row is named by its line."""

import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import gates
from gates import strict_json
from gates.canonical import Json
from release.data import formats
from release.data.chat import PROBE_ANSWER, Chat, Example
from release.values.errors import DataError

SHOWN = 20  # faulty rows listed in a message; the rest is counted
LONGEST = 10_000_000  # characters of a row: far more than any context holds
ADVICE = {
    "bom": "Save the file as UTF-8 without a byte order mark",
    "not_utf8": "Save the file as UTF-8",
    "too_long": "Leave the row out, or cut it into several",
    "lone_surrogate": "Write the whole character, or leave it out: no text can hold half of one",
}


@dataclass(frozen=True, kw_only=True)
class Read:
    """A file's rows, and their bytes in the canonical format."""

    rows: tuple[gates.Golden, ...]
    lines: tuple[int, ...]
    canonical: bytes
    form: str
    apart: Mapping[str, int]
    """Keys that were kept under ``meta``, and in how many rows."""
    below: tuple[int, ...]
    """Lines whose rating is missing or below the one asked for: not among the rows."""

    def texts(self) -> list[bytes]:
        """The canonical line of each row."""
        return [line.rstrip(b"\r") for line in self.canonical.split(b"\n") if line.strip()]


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """A file's rows in order, and the sha256 of its canonical bytes."""

    path: Path
    rows: tuple[gates.Golden, ...]
    sha256: str
    lines: tuple[int, ...] = ()
    """The line of each row in ``path``."""
    canonical: bytes = field(default=b"", repr=False)
    """What to train on and to keep: the file itself where it is in the canonical format."""
    examples: tuple[Example, ...] = field(default=(), repr=False)
    """Each row as training sees it; empty where no tokenizer was at hand."""

    def line(self, number: int) -> int:
        """The line of a row in ``path``."""
        return self.lines[number] if self.lines else number + 1


@dataclass(frozen=True, kw_only=True)
class _Lines:
    """A file's JSON values with their line numbers, and what is wrong with the other lines."""

    values: tuple[tuple[int, Json], ...]
    problems: tuple[str, ...]


def load(path: Path, form: str = "auto", fields: Mapping[str, str] | None = None) -> Dataset:
    """Every line of ``path`` as a row with a reference answer; ``DataError`` names each that is not."""
    found = read(path, form, fields or {})
    refuse([f"{path}: row {row.id} has no reference answer" for row in found.rows if row.gold is None])
    if not found.rows:
        refuse([f"{path} is empty: there is nothing to learn or to measure"])
    digest = hashlib.sha256(found.canonical).hexdigest()
    return Dataset(path=path, rows=found.rows, sha256=digest, lines=found.lines, canonical=found.canonical)


def rendered(rows: Sequence[gates.Golden], chat: Chat) -> tuple[Example, ...]:
    """Each row as training sees it."""
    return tuple(chat.example(row.prompt, row.gold or PROBE_ANSWER) for row in rows)


def read(path: Path, form: str = "auto", fields: Mapping[str, str] | None = None, least: float | None = None) -> Read:
    """The rows of a file; ``DataError`` names each line that is not one. ``least``: the rating an archive's rows need.

    A row of the canonical format needs no reference answer here.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(
            f"{path} cannot be read: {error.strerror}. Check the path, here or under data in the configuration."
        ) from None
    parsed = _parsed(path, data)
    if form in formats.AUTO:
        form = formats.recognise(parsed.values[0][1] if parsed.values else {})
    array = data.lstrip().startswith(b"[")
    if form == "canonical" and not fields and least is None and not array:
        return _canonical(path, data, parsed)
    return _converted(path, form, fields or {}, least, parsed)


def refuse(problems: Sequence[str], *, done: str = "trained") -> None:
    """Raise ``DataError`` with the first problems, how many more there are, and what was therefore not done."""
    if problems:
        more = f"\n… and {len(problems) - SHOWN} more" if len(problems) > SHOWN else ""
        raise DataError("\n".join(problems[:SHOWN]) + more + f"\nNothing was {done}. Mend the rows and run again.")


def _parsed(path: Path, data: bytes) -> _Lines:
    """Every line that is a JSON object, and what is wrong with the others. A JSON array counts as its items."""
    values: list[tuple[int, Json]] = []
    problems = []
    for number, line in enumerate(data.split(b"\n"), 1):
        if line.strip():
            reading = strict_json.read(line, max_characters=LONGEST)
            if reading.ok:
                values.append((number, reading.value))
            else:
                problems.append(_faulty(path, number, reading))
    if problems and data.lstrip().startswith(b"["):
        return _items(path, data)
    return _Lines(values=tuple(values), problems=tuple(problems))


def _items(path: Path, data: bytes) -> _Lines:
    """The items of one JSON array, numbered as lines are."""
    whole = strict_json.read(data, max_characters=len(data))
    if not isinstance(whole.value, list):
        why = f"{path}: {whole.code}: {whole.detail}. Write one array of JSON objects, or one object a line"
        return _Lines(values=(), problems=(why,))
    halves = _halves(path, whole.value) if whole.code == "lone_surrogate" else ()
    return _Lines(values=tuple(enumerate(whole.value, 1)), problems=tuple(halves))


def _halves(path: Path, items: Sequence[Json]) -> Iterator[str]:
    """The items that hold half of a surrogate pair."""
    for number, item in enumerate(items, 1):
        reading = strict_json.read(json.dumps([item]), max_characters=LONGEST)
        if reading.code == "lone_surrogate":
            yield _faulty(path, number, reading)


def _faulty(path: Path, number: int, reading: strict_json.Reading) -> str:
    advice = ADVICE.get(reading.code, "Write one JSON object a line")
    return f"{path} line {number}: {reading.code}: {reading.detail}. {advice}"


def _canonical(path: Path, data: bytes, parsed: _Lines) -> Read:
    refuse(parsed.problems, done="written")
    try:
        rows = gates.read_golden(path)
    except gates.InvalidData as error:
        refuse(error.problems, done="written")
        raise
    lines = tuple(number for number, _ in parsed.values)
    return Read(rows=rows, lines=lines, canonical=data, form="canonical", apart={}, below=())


def _converted(path: Path, form: str, fields: Mapping[str, str], least: float | None, parsed: _Lines) -> Read:
    problems = list(parsed.problems)
    rows: list[gates.Golden] = []
    kept: list[tuple[int, formats.Row]] = []
    below: list[int] = []
    for number, given in parsed.values:
        try:
            row = formats.canonical(form, fields, given, f"{stem(path)}-{number:05}")
            if least is not None and formats.rating(row) < least:
                below.append(number)
                continue
            rows += gates.parse_golden([row], f"{path} line {number}")
        except formats.BadRow as error:
            problems.append(f"{path} line {number}: {error}")
        except gates.InvalidData as error:
            problems += [problem.replace(" row 1:", ":", 1) for problem in error.problems]
        else:
            kept.append((number, row))
    refuse(problems, done="written")
    apart = Counter(key for _, row in kept for key in formats.object_of(row.get("meta")) if form != "canonical")
    return Read(
        rows=tuple(rows),
        lines=tuple(number for number, _ in kept),
        canonical=b"".join(formats.line(row) for _, row in kept),
        form=form,
        apart=apart,
        below=tuple(below),
    )


def stem(path: Path) -> str:
    """A file's name as ids begin with it: bytes of the name that are not UTF-8 are replaced, for an id is text."""
    return os.fsencode(path.stem).decode("utf-8", "replace")
