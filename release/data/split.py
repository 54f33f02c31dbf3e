"""`data split`: canonical rows → rows to train on and rows to judge by. What belongs together is never split."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from gates.canonical import Json
from gates.shown import counted
from release.data import convert, dataset, new_files, text_checks, turns
from release.data.dataset import Account
from release.data.turns import How, Row
from release.values.errors import ConfigError, DataError
from release.values.events import Say

WORDS = 4
"""Of an earlier question: with fewer it may be a greeting, which many conversations share."""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Which rows to judge by."""

    share: float
    seed: int
    together: str | None = None
    """A dotted key: rows with the same value there are one group."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Facts:
    """What a row is split by."""

    answerable: Json
    keys: tuple[bytes, ...]
    """What it shares with the rows that belong to it, as digests."""
    order: bytes
    """Its place among all rows."""


def to_files(source: Path, targets: tuple[Path, Path], wanted: Wanted, say: Say = lambda _: None) -> list[str]:
    """Write the rows of a file to two; how many went where, in lines. It is read twice, and never held whole."""
    new_files.refuse(*targets)
    _check(wanted)
    account = Account(source, How())
    facts = [_facts(one.row, wanted) for one in dataset.converted(account, convert.watch(source, say))]
    dataset.refuse(account.problems, done="written")
    golden = _chosen(facts, wanted)
    if not 0 < len(golden) < len(facts):
        raise DataError(
            f"{source} has {counted(len(facts), 'row')}, and a share of {wanted.share:g} of them leaves no row to "
            f"{'train on' if golden else 'judge by'}. Nothing was written. Give more rows, or another --share."
        )
    with new_files.Writer(targets[0]) as train, new_files.Writer(targets[1]) as judged:
        for number, one in enumerate(dataset.converted(Account(source, How()))):
            (judged if number in golden else train).add(one.text)
    return [*account.sentences(), train.told(), judged.told()]


def split(read: dataset.Read, wanted: Wanted, alike: Sequence[Sequence[str]] = ()) -> tuple[bytes, bytes]:
    """Rows to train on and rows to judge by, as canonical bytes.

    Rows that ask the same, and those with the same value at ``together``, are one group, and so are those that share
    one of the keys that ``alike`` has for each row. Groups are taken in an order that depends on ``seed`` and their own
    text alone, in each label to its share.
    """
    _check(wanted)
    texts = read.texts()
    more = alike or [()] * len(texts)
    facts = [_facts(json.loads(text), wanted, some) for text, some in zip(texts, more, strict=True)]
    golden = _chosen(facts, wanted)
    return (
        b"".join(text + b"\n" for number, text in enumerate(texts) if number not in golden),
        b"".join(text + b"\n" for number, text in enumerate(texts) if number in golden),
    )


def _check(wanted: Wanted) -> None:
    if not 0 < wanted.share < 1:
        raise ConfigError([f"--share is {wanted.share:g}; expected a number between 0 and 1, such as 0.2."])


def _chosen(facts: Sequence[_Facts], wanted: Wanted) -> set[int]:
    """The numbers of the rows to judge by."""
    there = Counter(one.answerable for one in facts)
    taken: Counter[Json] = Counter()
    chosen: set[int] = set()
    for members in sorted(_groups([one.keys for one in facts]), key=lambda some: facts[some[0]].order):
        labels = Counter(facts[number].answerable for number in members)
        if all(taken[label] + count <= wanted.share * there[label] + 0.5 for label, count in labels.items()):
            taken += labels
            chosen.update(members)
    return chosen


def _facts(row: Row, wanted: Wanted, more: Sequence[str] = ()) -> _Facts:
    keys = [hashlib.sha256(key.encode()).digest() for key in (*_keys(row, wanted.together), *more)]
    order = f"{wanted.seed} {json.dumps(row, sort_keys=True)}"
    return _Facts(answerable=row.get("answerable"), keys=tuple(keys), order=hashlib.sha256(order.encode()).digest())


def _keys(row: Row, together: str | None) -> Iterator[str]:
    """What a row shares with those that belong to it: its questions, and its value at the key."""
    listed = row.get("messages") or [{"role": "user", "content": row.get("prompt")}]
    said = [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
    asked = [text_checks.normalised(str(one["content"])) for one in said if one["role"] == "user"]
    yield f"asks {asked[-1] if asked else ''}"
    yield from (f"asks {one}" for one in asked[:-1] if len(one.split()) >= WORDS)
    if together is not None:
        value = turns.take_out(json.loads(json.dumps(row)), together)
        if value is None:
            name = row.get("id")
            raise DataError(f"Row {name} has no {together}, by which rows belong together. Name a key that all have.")
        yield f"{together} {json.dumps(value, sort_keys=True)}"


def _groups(keys: Sequence[Sequence[bytes]]) -> list[list[int]]:
    """The numbers of the rows that belong together: joined by every key that two of them share (union-find)."""
    root = list(range(len(keys)))

    def find(number: int) -> int:
        while root[number] != number:
            root[number] = root[root[number]]  # the next search is shorter
            number = root[number]
        return number

    first: dict[bytes, int] = {}
    for number, some in enumerate(keys):
        for key in some:
            root[find(number)] = find(first.setdefault(key, number))
    joined: dict[int, list[int]] = {}
    for number in range(len(keys)):
        joined.setdefault(find(number), []).append(number)
    return list(joined.values())
