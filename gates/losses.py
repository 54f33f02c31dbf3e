"""Losses against an earlier release: when they are too many, what they leave possible, and what n rows could have seen.

Of n rows some were lost and some won. The net loss of all questions of this kind is bounded from above by the exact
unconditional bound of Chan and Zhang (Journal of Biopharmaceutical Statistics 9, 1999), after Buehler (JASA 52, 1957):
the largest loss at which so good an outcome has 5 % chance still, whatever share of rows changes sides. Outcomes are
ordered by ``lost - won + 1.645 sqrt(lost + won + 1)``. Above `LARGEST` rows the bound is simpler and a little higher:
that of Clopper and Pearson on what is lost, less that on what is won, at 4 and 1 of the 5 percent (Bonferroni).
"""

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from gates import statistics

REGRESSED: Final = 0.10
"""A release is worse if chance explains its losses with less than this probability."""
ALPHA: Final = 0.05
"""The chance at which a loss counts as ruled out."""
LARGEST: Final = 1000
"""Rows up to which the bound is computed over every share of rows that changes sides, in a tenth of a second."""
SHARES: Final = 80
"""Steps in the share of rows that changes sides, from none to all, smaller where few do."""
BISECTIONS: Final = 20
UNLIKELY: Final = 1e-12
"""Outcomes so unlikely are left out."""


def worse(lost: int, won: int, n: int, p: float, most: float) -> str:
    """Why so many losses and wins on n rows are not good enough; empty where they are."""
    if n == 0:
        return "nothing is counted, in either"
    if lost - won > statistics.exact(most) * n:
        return f"{lost} lost and {won} won: more than {100 * most:g}% of {n} are lost"
    if p < REGRESSED:
        return f"{lost} lost and {won} won: not by chance (p = {p:.3f}, less than {REGRESSED})"
    return ""


def not_ruled_out(lost: int, won: int, n: int, limit: float) -> str:
    """Why these rows do not show that no more than ``limit`` is lost; empty where they do."""
    bound = loss_bound(lost, won, n)
    if bound <= limit:
        return ""
    return f"{lost} lost and {won} won of {n}: a loss of {100 * bound:.1f}% is not ruled out, {100 * limit:g}% must be"


def sees(n: int, limit: float) -> bool:
    """Whether n rows, none of them lost, rule a loss of more than ``limit`` out."""
    return n >= least(limit)


def least(limit: float) -> int:
    """The fewest rows that do."""
    return statistics.minimum_n(float(1 - statistics.exact(limit)), 1 - ALPHA)


def unseen(n: int, most: float, drop: float, limit: float | None = None) -> float:
    """The chance that a gate which is now right that much less often on n rows passes the comparison all the same.

    Of rows that were right before, each is lost with the chance ``drop`` and none is won. ``limit`` is the loss that
    must be ruled out, where one must.
    """

    def refused(lost: int) -> bool:
        if worse(lost, 0, n, statistics.mcnemar(lost, 0), most):
            return True
        return limit is not None and sees(n, limit) and bool(not_ruled_out(lost, 0, n, limit))

    first = next((lost for lost in range(n + 1) if refused(lost)), n + 1)
    return 1.0 - statistics.at_least(first, n, drop)


@lru_cache(maxsize=4096)
def loss_bound(lost: int, won: int, n: int) -> float:
    """The net loss, as a share, above which none is possible at 95 %, rounded up to four digits; 0 if all is won."""
    if lost < 0 or won < 0 or not 0 < n >= lost + won:
        raise ValueError(f"{lost} lost and {won} won of {n} is not an outcome")
    return min(1.0, math.ceil(1e4 * (_of_each(lost, won, n) if n > LARGEST else _exact(lost, won, n)) - 1e-6) / 1e4)


def _of_each(lost: int, won: int, n: int) -> float:
    most_lost = 1 - statistics.lower_bound(n - lost, n, 1 - 0.8 * ALPHA)
    return max(0.0, most_lost - statistics.lower_bound(won, n, 1 - 0.2 * ALPHA))


def _exact(lost: int, won: int, n: int) -> float:
    better, bound = _no_worse(lost, won, n), 0.0
    for step in range(SHARES + 1):
        churn = (step / SHARES) ** 2
        low, high = bound, 1.0
        if _chance(better, n, low, churn) <= ALPHA:
            continue
        for _ in range(BISECTIONS):
            middle = (low + high) / 2
            low, high = (middle, high) if _chance(better, n, middle, churn) > ALPHA else (low, middle)
        bound = high
    return bound


def _no_worse(lost: int, won: int, n: int) -> list[int]:
    """For each number of rows won, the most that may be lost in an outcome that is no worse than this one; or -1."""
    here = _order(lost, won) + 1e-9
    most, found = -1, []
    for j in range(n + 1):
        while most + 1 + j <= n and _order(most + 1, j) <= here:
            most += 1
        found.append(min(most, n - j))
    return found


def _order(lost: int, won: int) -> float:
    return lost - won + 1.645 * math.sqrt(lost + won + 1)


def _chance(better: Sequence[int], n: int, loss: float, churn: float) -> float:
    """The chance of an outcome no worse, at this net loss, if of the other rows so many change sides, half each way.

    It falls with the loss, for more is lost then and less won.
    """
    share, total = churn * (1 - loss) / 2, 0.0
    lost = min(1.0, (loss + share) / (1 - share))  # of the rows that are not won
    for won, most in enumerate(better):
        weight = _binomial(won, n, share)
        if weight > UNLIKELY and most >= 0:
            total += weight * (1 - statistics.at_least(most + 1, n - won, lost))
        elif won > n * share and weight <= UNLIKELY:
            break
    return total


def _binomial(k: int, n: int, p: float) -> float:
    if p == 0.0:
        return float(k == 0)
    log_ways = math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
    return math.exp(log_ways + k * math.log(p) + (n - k) * math.log1p(-p))
