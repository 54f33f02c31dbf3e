"""Which tries of a search are ended before their end: optuna's MedianPruner over the losses of the tuning rows.

The rule is here and not asked of optuna: a training that runs in a container, and who verifies a release, need not
have it. ``tests/release/values/test_pruning.py`` compares both.
"""

import math
from collections.abc import Mapping, Sequence
from statistics import median

from release.values.record import Pruned

Losses = Sequence[tuple[int, float]]
"""Step and loss of the tuning rows, in order."""


def limits(before: Sequence[Losses], startup: int) -> dict[int, float]:
    """By step: the median of the losses there of the tries that came to their end.

    Empty until there are so many of them.
    """
    found = dict[int, list[float]]()
    for losses in before if len(before) >= startup else ():
        for step, loss in losses:
            found.setdefault(step, []).append(loss)
    return {step: median(losses) for step, losses in sorted(found.items())}


def pruned(losses: Losses, above: Mapping[int, float], last: int) -> Pruned | None:
    """At the first step before the last after which the best loss so far is above the limit; None where it never is."""
    best = math.inf
    for number, (step, loss) in enumerate(losses, 1):
        best, limit = min(best, loss), above.get(step, math.inf)
        if step < last and best > limit:
            return Pruned(step=step, limit=limit, losses=list(losses[:number]))
    return None


def said(one: Pruned) -> str:
    """Why a try was pruned, in words."""
    best = min(loss for _, loss in one.losses)
    return f"pruned after step {one.step}: its best tuning loss is {best:.4g}, over {one.limit:.4g}, the tries' median"
