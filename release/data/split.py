"""`data split`: canonical rows → rows to train on and rows to judge by. What belongs together is never split."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import gates
from release.data import dataset, formats, new_files, text_checks
from release.values.errors import ConfigError, DataError


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Which rows to judge by."""

    share: float
    seed: int
    together: str | None = None
    """A dotted key: rows with the same value there are one group."""


def to_files(source: Path, targets: tuple[Path, Path], wanted: Wanted) -> list[str]:
    """Write the rows of a canonical file to two; how many went where, in lines."""
    new_files.refuse(*targets)
    read = dataset.read(source)
    data = split(read, wanted)
    if not all(data):
        raise DataError(
            f"{source} has {len(read.rows)} rows, and a share of {wanted.share:g} of them leaves no row to "
            f"{'train on' if data[1] else 'judge by'}. Nothing was written. Give more rows, or another --share."
        )
    return [new_files.write(target, part) for target, part in zip(targets, data, strict=True)]


def split(read: dataset.Read, wanted: Wanted, alike: Sequence[Sequence[str]] = ()) -> tuple[bytes, bytes]:
    """Rows to train on and rows to judge by, as canonical bytes.

    Rows that ask the same, and those with the same value at ``together``, are one group, and so are those that share
    one of the keys that ``alike`` has for each row. Groups are taken in an order that depends on ``seed`` and their own
    text alone, in each label to its share.
    """
    if not 0 < wanted.share < 1:
        raise ConfigError([f"--share is {wanted.share:g}; expected a number between 0 and 1, such as 0.2."])
    texts = read.texts()
    more = alike or [()] * len(texts)
    named = zip(read.rows, texts, more, strict=True)
    groups = _groups(read.rows, [[*_keys(row, text, wanted.together), *some] for row, text, some in named])
    golden = set(_chosen(read.rows, texts, groups, wanted))
    return (
        b"".join(text + b"\n" for number, text in enumerate(texts) if number not in golden),
        b"".join(text + b"\n" for number, text in enumerate(texts) if number in golden),
    )


def _chosen(
    golden: Sequence[gates.Golden], texts: Sequence[bytes], groups: Sequence[Sequence[int]], wanted: Wanted
) -> Iterator[int]:
    """The numbers of the rows to judge by."""

    def order(members: Sequence[int]) -> str:
        first = json.dumps(json.loads(texts[members[0]]), sort_keys=True)
        return hashlib.sha256(f"{wanted.seed} {first}".encode()).hexdigest()

    there = Counter(row.answerable for row in golden)
    taken: Counter[bool | None] = Counter()
    for members in sorted(groups, key=order):
        labels = Counter(golden[number].answerable for number in members)
        if all(taken[label] + count <= wanted.share * there[label] + 0.5 for label, count in labels.items()):
            taken += labels
            yield from members


def _keys(row: gates.Golden, text: bytes, together: str | None) -> list[str]:
    """What a row shares with those that belong to it: its question, and its value at the key."""
    asked = [message["content"] for message in row.prompt if message["role"] == "user"]
    keys = [f"asks {text_checks.normalised(asked[-1] if asked else '')}"]
    if together is not None:
        whole: formats.Row = json.loads(text)
        name, value = whole.get("id"), formats.take_out(whole, together)
        if value is None:
            raise DataError(f"Row {name} has no {together}, by which rows belong together. Name a key that all have.")
        keys.append(f"{together} {json.dumps(value, sort_keys=True)}")
    return keys


def _groups(golden: Sequence[gates.Golden], keys: Sequence[Sequence[str]]) -> list[list[int]]:
    """The numbers of the rows that belong together: joined by every key that two of them share (union-find)."""
    root = list(range(len(golden)))

    def find(number: int) -> int:
        while root[number] != number:
            number = root[number]
        return number

    first: dict[str, int] = {}
    for number, some in enumerate(keys):
        for key in some:
            root[find(number)] = find(first.setdefault(key, number))
    joined: dict[int, list[int]] = {}
    for number in range(len(golden)):
        joined.setdefault(find(number), []).append(number)
    return list(joined.values())
