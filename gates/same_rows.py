"""Which rows of a golden set are those that were answered before: rows as they were, and rows that say more than then.

Of a row of then digests are known and nothing else, for rows without a licence are not published. Since version 3 of a
policy they are those of what is asked and of each label (`Known`). Before, one digest of the whole row: a row has only
more labels than then if it has that digest once some of its labels are taken out.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Final, cast

from gates import pointer
from gates.canonical import Json, digest
from gates.policy import SPENDING
from gates.rows import Golden

LABELS: Final = ("answerable", "support", "gold", "tags", "meta")
"""What a row may have beside what it asks."""
COUNTS: Final = "citation_required"
"""A label too, where it is true; false, the row would be counted less."""
REFERENCE: Final = "messages"
"""The last message, which is the reference answer."""
MOST_KEYS: Final = 8
"""Keys of ``meta`` that are each tried alone."""
MOST_TRIES: Final = 50
"""Rows for which every way is tried, 320 of them at most, about 20 ms. Labels are added to many rows in one way, and a
way that was found is tried on all."""

Cut = tuple[tuple[str, ...], ...]
"""The paths of what is taken out together."""


def same_rows(golden: Sequence[Golden], then: Mapping[str, str], *, version: int) -> tuple[Golden, ...]:
    """The rows that were asked then, whose digests ``then`` has by id.

    Since version 2 of a policy, rows with labels beside are the same: less is asked of no answer.
    """
    known: list[Cut] = []
    found, tries = [], 0
    for row in golden:
        before = then.get(row.id)
        if before is None or before == row.digest or version == 1:
            found += [row] if before == row.digest else []
            continue
        ways: list[Cut] = list(known)
        if tries < MOST_TRIES:
            ways += _ways(row)
        way = next((one for one in ways if digest(_without(row.row, one)) == before), None)
        if way is None:
            tries += 1
            continue
        found.append(row)
        known += [way] if way not in known else []
    return tuple(found)


def _ways(row: Golden) -> Iterator[Cut]:
    """What may have been added, the fewest labels first."""
    meta = row.row.get("meta")
    keys = list(meta) if isinstance(meta, dict) else []
    parts: list[tuple[str, ...]] = [(label,) for label in LABELS if label in row.row]
    parts += [(COUNTS,)] if row.row.get(COUNTS) is True else []
    parts += [(REFERENCE,)] if row.gold is not None and "gold" not in row.row else []
    parts += [("meta", key) for key in keys[:MOST_KEYS]] if len(keys) > 1 else []
    for number in range(1, len(parts) + 1):
        for way in combinations(parts, number):
            if sum(part[0] == "meta" for part in way) <= 1:
                yield way


def _without(row: Mapping[str, object], cut: Cut) -> dict[str, object]:
    """A row as it is read, less what is cut out."""
    left = dict(row)
    for part in cut:
        value = left.get(part[0])
        if part == (REFERENCE,) and isinstance(value, list):
            left[REFERENCE] = value[:-1]
        elif len(part) > 1 and isinstance(value, dict):
            left[part[0]] = {key: member for key, member in value.items() if key != part[1]}
        else:
            left.pop(part[0], None)
    return left


@dataclass(frozen=True, kw_only=True)
class Known:
    """What is known of a row that was asked then: digests, for rows without a licence are not published."""

    row: str
    """Of the whole row."""
    asked: str = ""
    """Of its prompt and documents alone; empty where only ``row`` was kept."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """Of each label that it had, by name; each with what is asked, so that nobody can guess it."""

    def as_dict(self) -> dict[str, Json]:
        """As it is published."""
        return {"row": self.row, "asked": self.asked, "labels": dict(self.labels)}


@dataclass(frozen=True, kw_only=True)
class Matched:
    """Rows of now beside rows of then."""

    same: Mapping[str, str]
    """The id of then by the id of now."""
    relabelled: Mapping[str, tuple[str, ...]]
    """By the id of then: which labels are other ones, or gone."""
    gone: tuple[str, ...]
    """Ids of then that are not asked any more; or were changed, where only digests of whole rows were kept."""


def known(row: Golden, pointers: Sequence[str] = ()) -> Known:
    """The digests of a row. ``pointers`` name values in its ``meta`` that are labels: references and clusters."""
    asked = digest([[dict(message) for message in row.prompt], [dict(document) for document in row.documents]])
    return Known(row=row.digest, asked=asked, labels=_labels(row, asked, pointers))


def _labels(row: Golden, asked: str, pointers: Sequence[str]) -> dict[str, str]:
    values: dict[str, object] = {
        "answerable": row.answerable,
        "support": None if row.support is None else sorted(row.support),
        "gold": row.gold,
        COUNTS: row.citation_required,
    }
    for one in pointers:
        found = pointer.get(cast("Json", row.meta), one)
        values[f"meta{one}"] = None if isinstance(found, pointer.Missing) else [found]
    return {name: digest([asked, name, value]) for name, value in values.items() if value is not None}


def matched(golden: Sequence[Golden], then: Mapping[str, Known], *, version: int) -> Matched:
    """Which rows of then are asked now, whatever their ids, tags and notes; each row of then is met once."""
    if version < SPENDING or not any(one.asked for one in then.values()):
        same = same_rows(golden, {name: one.row for name, one in then.items()}, version=version)
        kept = {row.id: row.id for row in same}
        return Matched(same=kept, relabelled={}, gone=tuple(name for name in then if name not in kept))
    now = {known(row).asked: row for row in golden}
    same_ids, relabelled, gone = dict[str, str](), dict[str, tuple[str, ...]](), list[str]()
    for name, one in then.items():
        row = now.get(one.asked)
        if row is None:
            gone.append(name)
            continue
        pointers = [label.removeprefix("meta") for label in one.labels if label.startswith("meta/")]
        labels = _labels(row, one.asked, pointers)
        if other := tuple(label for label, value in one.labels.items() if labels.get(label) != value):
            relabelled[name] = other
        else:
            same_ids.setdefault(row.id, name)
    return Matched(same=same_ids, relabelled=relabelled, gone=tuple(gone))
