"""Exact binomial statistics: what k right of n proves, what is needed to prove it, and what slips through.

The bound is the one-sided one of Clopper and Pearson (Biometrika 26, 1934). It never claims more than its
confidence, unlike the normal approximation, whose error bar at n of n is zero.
"""

import math
from fractions import Fraction

BISECTIONS = 80
"""Enough to exhaust a float's 53 bits."""


def exact(share: float) -> Fraction:
    """The decimal a user wrote: 0.9 is 9/10, not the float next to it."""
    return Fraction(str(share))


def at_least(k: int, n: int, p: float) -> float:
    """The probability of k or more right of n, when each is right with probability p."""
    if k <= 0:
        return 1.0
    if k > n or p <= 0.0:
        return 0.0
    if p >= 1.0:
        return 1.0
    if k > n * p:
        return _tail(k, n, p)
    return 1.0 - _tail(n - k + 1, n, 1.0 - p)


def _tail(k: int, n: int, p: float) -> float:
    # Terms fall from k on because k > np, so the sum may stop at the first that no longer counts.
    log_term = math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
    term = math.exp(log_term + k * math.log(p) + (n - k) * math.log1p(-p))
    total = term
    for i in range(k, n):
        term *= (n - i) / (i + 1) * (p / (1.0 - p))
        total += term
        if term < total * 1e-17:
            break
    return min(total, 1.0)


def lower_bound(k: int, n: int, confidence: float) -> float:
    """The rate that k right of n proves with this confidence, never rounded up."""
    if not 0 <= k <= n or n == 0:
        raise ValueError(f"{k} right of {n} is not a count")
    alpha = float(1 - exact(confidence))
    low, high = 0.0, k / n
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        if at_least(k, n, middle) <= alpha:
            low = middle
        else:
            high = middle
    return low


def spent(confidence: float, attempt: int) -> float:
    """The confidence of the attempt of this number, if all attempts there will ever be may err with 1 - ``confidence``.

    Alpha-spending: attempt k may err with alpha / (k (k + 1)), and 1/2 + 1/6 + 1/12 + ... is 1, so that by Bonferroni
    all together err with alpha at most, however many follow and however each depends on those before it (Foster and
    Stine, Journal of the Royal Statistical Society B 70, 2008; Tian and Ramdas, Statistical Methods in Medical Research
    30, 2021). Alpha / k for the k-th would come to 3.6 alpha in 20 attempts.
    """
    return float(1 - (1 - exact(confidence)) / (attempt * (attempt + 1)))


def minimum_n(bound: float, confidence: float) -> int:
    """The smallest set whose perfect score proves ``bound``; no finite set proves 1."""
    if not 0 < bound < 1:
        raise ValueError(f"a bound of {bound} cannot be proved by counting: it must lie between 0 and 1")
    n = max(1, math.ceil(math.log(1 - exact(confidence)) / math.log(bound)) - 1)
    while lower_bound(n, n, confidence) < bound:
        n += 1
    return n


def needed(n: int, target: float, floor: float | None, confidence: float) -> int | None:
    """The smallest k with k/n >= target and, given a floor, a bound that reaches it; None if n is too small."""
    k = math.ceil(exact(target) * n)
    if floor is None:
        return k
    while k <= n and lower_bound(k, n, confidence) < floor:
        k += 1
    return k if k <= n else None


def mcnemar(lost: int, won: int) -> float:
    """The chance of ``lost`` or more losses among the rows that changed sides, if losing were as likely as winning.

    The exact one-sided test of McNemar (Psychometrika 12, 1947): rows on which both agree say nothing. No row changed
    sides: 1.
    """
    changed = lost + won
    term, total = math.comb(changed, lost), 0
    for i in range(lost, changed + 1):
        total += term
        term = term * (changed - i) // (i + 1)  # the next binomial coefficient: a thousandth of the work of a new one
    return total / 2**changed  # type: ignore[no-any-return]
