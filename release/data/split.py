"""`data split`: canonical rows → rows to train on and rows to judge by. What belongs together is never split."""

import contextlib
import hashlib
import itertools
import json
from array import array
from collections import Counter
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from gates.canonical import Json
from gates.shown import counted
from release.data import dataset, new_files, text_checks, turns
from release.data.dataset import Account
from release.data.turns import How, Row
from release.values.errors import ConfigError, DataError
from release.values.events import Say

WORDS = 4
"""Of an earlier question: with fewer it may be a greeting, which many conversations share."""
DIGEST = 16
"""Bytes of a sha256 that are kept: two of a million texts share them once in 10^27 files."""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Which rows to judge by."""

    share: float
    seed: int
    together: str | None = None
    """A dotted key: rows with the same value there are one group."""


class _Seen:
    """What rows are split by, taken down while they go by: some 200 bytes for each, however long it is.

    Rows that share a key are one group (union-find); the first row of a group stands for it.
    """

    def __init__(self, wanted: Wanted) -> None:
        self.wanted = wanted
        self.labels: list[Json] = []
        self.orders = bytearray()
        """For each row its place among all."""
        self.above = array("L")
        """For each row an earlier one of its group, or itself."""
        self.first: dict[bytes, int] = {}
        """For each key the first row that has it."""

    def add(self, row: Row, more: Sequence[str] = ()) -> None:
        number = len(self.labels)
        self.labels.append(row.get("answerable"))
        self.orders += _digest(f"{self.wanted.seed} {json.dumps(row, sort_keys=True)}")
        self.above.append(number)
        for key in (*_keys(row, self.wanted.together), *more):
            one, other = self.find(number), self.find(self.first.setdefault(_digest(key), number))
            self.above[max(one, other)] = min(one, other)

    def find(self, number: int) -> int:
        above = self.above
        while above[number] != number:
            above[number] = above[above[number]]  # the next search is shorter
            number = above[number]
        return number

    def order(self, number: int) -> bytes:
        """The place of a row's group."""
        at = DIGEST * self.find(number)
        return bytes(self.orders[at : at + DIGEST])

    def chosen(self) -> set[int]:
        """The numbers of the rows to judge by."""
        there, taken, chosen = Counter(self.labels), Counter[Json](), set[int]()
        for _, some in itertools.groupby(sorted(range(len(self.labels)), key=self.order), self.find):
            members = list(some)
            labels = Counter(self.labels[number] for number in members)
            if all(taken[label] + n <= self.wanted.share * there[label] + 0.5 for label, n in labels.items()):
                taken.update(labels)
                chosen.update(members)
        return chosen


def to_files(source: Path, targets: tuple[Path, Path], wanted: Wanted, say: Say = lambda _: None) -> list[str]:
    """Write the rows of a file to two; how many went where, in lines. It is read twice, and never held whole."""
    new_files.refuse(*targets)
    _check(wanted)
    account, before = Account(source, How()), _as_it_is(source)
    seen = _Seen(wanted)
    for one in dataset.converted(account, dataset.watch(source, say)):
        seen.add(one.row)
    dataset.refuse(account.problems, done="written")
    golden = seen.chosen()
    if not 0 < len(golden) < account.rows:
        raise DataError(
            f"{source} has {counted(account.rows, 'row')}, and a share of {wanted.share:g} of them leaves no row to "
            f"{'train on' if golden else 'judge by'}. Nothing was written. Give more rows, or another --share."
        )
    with new_files.Writer(targets[0]) as train, new_files.Writer(targets[1]) as judged:
        for number, text in enumerate(dataset.texts(account, dataset.watch(source, say, "written"))):
            (judged if number in golden else train).add(text)
        if _as_it_is(source) != before:
            raise DataError(f"{source} changed while it was read. Nothing was written. Run again.")
    return [*account.sentences(), train.told(), judged.told()]


def split(read: dataset.Read, wanted: Wanted, alike: Sequence[Sequence[str]] = ()) -> tuple[bytes, bytes]:
    """Rows to train on and rows to judge by, as canonical bytes.

    Rows that ask the same, and those with the same value at ``together``, are one group, and so are those that share
    one of the keys that ``alike`` has for each row. Groups are taken in an order that depends on ``seed`` and their own
    text alone, in each label to its share.
    """
    texts = read.texts()
    golden = chosen(texts, wanted, alike)
    return parts(texts, golden)


def parts(texts: Sequence[bytes], golden: Container[int]) -> tuple[bytes, bytes]:
    """The rows of all numbers but these, and those of these, as canonical bytes."""
    return (
        b"".join(text + b"\n" for number, text in enumerate(texts) if number not in golden),
        b"".join(text + b"\n" for number, text in enumerate(texts) if number in golden),
    )


def chosen(texts: Sequence[bytes], wanted: Wanted, alike: Sequence[Sequence[str]] = ()) -> set[int]:
    """The numbers of the rows to judge by, as ``split`` takes them."""
    _check(wanted)
    seen = _Seen(wanted)
    for text, more in zip(texts, alike or [()] * len(texts), strict=True):
        seen.add(json.loads(text), more)
    return seen.chosen()


def _check(wanted: Wanted) -> None:
    if not 0 < wanted.share < 1:
        raise ConfigError([f"--share is {wanted.share:g}; expected a number between 0 and 1, such as 0.2."])


def _as_it_is(source: Path) -> tuple[int, ...]:
    """What another content of a file changes; whether there is one is said by whoever reads it."""
    with contextlib.suppress(OSError):
        state = source.stat()
        return state.st_ino, state.st_size, state.st_mtime_ns
    return ()


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()[:DIGEST]


def _keys(row: Row, together: str | None) -> Iterator[str]:
    """What a row shares with those that belong to it: its questions, and its value at the key."""
    listed = row.get("messages") or [{"role": "user", "content": row.get("prompt")}]
    said = [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
    asked = [text_checks.normalised(str(one["content"])) for one in said if one["role"] == "user"]
    yield f"asks {asked[-1] if asked else ''}"
    yield from (f"asks {one}" for one in asked[:-1] if len(one.split()) >= WORDS)
    if together is not None:
        value = turns.inside(row, together)
        if value is None:
            name = row.get("id")
            raise DataError(f"Row {name} has no {together}, by which rows belong together. Name a key that all have.")
        yield f"{together} {json.dumps(value, sort_keys=True)}"
