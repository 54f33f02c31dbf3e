"""Wrong rows → which kinds of rows they are more often than chance, and how many training rows are of each kind.

It tells kinds and counts. What a golden row asks or answers is not said, for whoever trained on that could not be
judged by it any more.
"""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import gates
from gates.shown import counted, plain, shorten

SURE = 0.05
"""A kind is named where as many wrong rows are of it by chance no more often than this, over all kinds together."""
MOST = 20
"""Kinds that are listed."""
FEW = 3
"""Kinds that are listed where none of them is sure."""


@dataclass(frozen=True, kw_only=True)
class Kind:
    """Rows that have something in common."""

    says: str
    wrong: int
    golden: int
    """Of the rows that the gate counts, wrong ones included."""
    train: int
    sure: bool
    """Whether chance makes that no more often than ``SURE``, in any of the kinds that there are."""
    p: float
    """How often as many wrong rows or more are of this kind by chance, if the gate were wrong anywhere alike."""
    missing: int
    """Training rows to add for the share that the kind has among the counted golden rows."""


def lines(score: gates.Score, golden: Sequence[gates.Golden], train: Sequence[gates.Golden] | None) -> list[str]:
    """What a terminal shows for the rows that a gate calls wrong."""
    wrong = {miss.id for miss in score.misses}
    if not wrong:
        return ["rows to add: no row is counted as wrong"]
    counts = set(score.counted)
    rows = [row for row in golden if row.id in counts]
    found = kinds(rows, wrong, train or ())
    forms = Counter(miss.reason.split(":")[0] for miss in score.misses)
    why = ", ".join(f"{plain(shorten(name, 40))} {n}" for name, n in forms.most_common(5))
    told = [f"rows to add, from {counted(len(wrong), 'wrong row')} of {len(rows)} that are counted ({why}):"]
    if train is None:
        told.append("  the training rows are not here: give the folder that has them as --data to count theirs")
    sure = [one for one in found if one.sure]
    if not sure:
        told.append(f"  none of {counted(len(found), 'kind')} of rows is wrong more often than chance makes it:")
    shown = sure[:MOST] or found[:FEW]
    told += [f"  {_share(one, len(wrong), len(rows))}{_training(one, train, add=bool(sure))}" for one in shown]
    told.append(
        "  Write new rows of these kinds. Golden rows are for judging: a golden row that was trained on is a leak."
    )
    return told


def _share(one: Kind, wrong: int, rows: int) -> str:
    return f"{one.says}: {one.wrong} of {wrong} wrong, {one.golden} of {rows} counted"


def _training(one: Kind, train: Sequence[gates.Golden] | None, *, add: bool) -> str:
    if train is None:
        return ""
    more = f"{one.missing} more for the golden rows' share" if one.missing else "their share is no smaller there"
    return f"; {one.train} of {len(train)} training rows{f', {more}' if add else ''}"


def kinds(rows: Sequence[gates.Golden], wrong: set[str], train: Sequence[gates.Golden]) -> list[Kind]:
    """Every kind that some wrong row is of, the least likely by chance first."""
    long = _long([*rows, *train])
    of_wrong, of_golden, of_train = Counter[str](), Counter[str](), Counter[str]()
    for row in rows:
        mine = set(_of(row, long))
        of_golden.update(mine)
        of_wrong.update(mine if row.id in wrong else ())
    for row in train:
        of_train.update(set(_of(row, long)))
    chances = {says: _by_chance(n, len(wrong), of_golden[says], len(rows)) for says, n in of_wrong.items()}
    found = [
        Kind(
            says=says,
            wrong=n,
            golden=of_golden[says],
            train=of_train[says],
            sure=chances[says] <= SURE / len(of_golden),  # kinds that nothing wrong is of were looked at too
            p=chances[says],
            missing=_missing(of_golden[says], len(rows), of_train[says], len(train)),
        )
        for says, n in of_wrong.items()
    ]
    return sorted(found, key=lambda one: (one.p, one.says))


def _of(row: gates.Golden, long: int) -> Iterator[str]:
    """The kinds that a row is of."""
    yield from (f"tag {plain(shorten(tag, 60))}" for tag in row.tags)
    if row.answerable is not None:
        yield "answerable" if row.answerable else "to be refused"
    if row.support is not None:
        yield f"supported by {_number(len(row.support), 3)}"
    yield f"shows {_number(len(row.documents), 5)}"
    yield f"{'at least' if _length(row) >= long else 'under'} {long:,} characters are asked"
    if row.gold is not None and row.gold.lstrip()[:1] in ("{", "["):
        yield "the reference is JSON"


def _number(documents: int, most: int) -> str:
    return f"{counted(min(documents, most), 'document')}{' or more' if documents >= most else ''}"


def _length(row: gates.Golden) -> int:
    return sum(len(message["content"]) for message in row.prompt)


def _long(rows: Sequence[gates.Golden]) -> int:
    """What a quarter of all rows have at least."""
    lengths = sorted(map(_length, rows))
    return lengths[3 * len(lengths) // 4] if lengths else 0


def _by_chance(k: int, draws: int, kind: int, rows: int) -> float:
    """P(at least k of ``draws`` rows are of a kind that ``kind`` of ``rows`` rows are of): Fisher's exact test.

    The tail that k lies in is added up from its largest chance on, so that many rows take no longer than few.
    """
    if k > draws * kind / rows:
        return min(1.0, _tail(k, draws, kind, rows))
    return max(0.0, 1.0 - _tail(draws - k + 1, draws, rows - kind, rows))


def _tail(k: int, draws: int, kind: int, rows: int) -> float:
    """The same, for a k above what is to be expected."""
    if k > min(kind, draws):
        return 0.0
    k = max(k, draws - (rows - kind))
    chance = math.exp(_ways(kind, k) + _ways(rows - kind, draws - k) - _ways(rows, draws))
    found = 0.0
    while chance > found * 1e-17 and k <= min(kind, draws):
        found += chance
        chance *= (kind - k) * (draws - k) / ((k + 1) * (rows - kind - draws + k + 1))
        k += 1
    return found


def _ways(of: int, take: int) -> float:
    """The logarithm of how many ways there are to take some of them."""
    return math.lgamma(of + 1) - math.lgamma(take + 1) - math.lgamma(of - take + 1)


def _missing(kind: int, rows: int, there: int, train: int) -> int:
    """How many rows of a kind to add, for as large a share of the training rows as it has of the golden rows.

    ``kind`` of ``rows`` golden rows are of it, and ``there`` of ``train`` training rows. 0 where every golden row is:
    no number of further rows reaches a share of all.
    """
    if kind == rows or there * rows >= kind * train:
        return 0
    return -(-(kind * train - there * rows) // (rows - kind))
