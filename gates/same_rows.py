"""Which rows of a golden set are those that were answered before: rows as they were, and rows that say more than then.

Of a row of then its digest is known and nothing else, for rows without a licence are not published. A row has only more
labels than then if it has that digest once some of its labels are taken out.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import Final

from gates.canonical import digest
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
