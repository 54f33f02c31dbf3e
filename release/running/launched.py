"""Which of several processes of a stage this one is: each has a batch of its own, and a card where there are some.

Only the first writes files and says what is done. `release.models.launcher` starts them.
"""

import os
from collections.abc import Sequence

from release.values.events import Say

RANK, WORLD = "RANK", "WORLD_SIZE"
"""torchrun's names of a process's number and of how many there are."""
LAUNCHED_BY = "ADAPTER_RELEASE_LAUNCHED_BY"
"""Names the process that started these: where there is none, somebody else's torchrun set the others."""
LAUNCHER = "release.models.launcher"


def rank() -> int:
    """The number of this process; 0 for the first, and where there is one alone."""
    return int(os.environ[RANK]) if launcher() else 0


def count() -> int:
    """How many processes there are."""
    return int(os.environ[WORLD]) if launcher() else 1


def cards(there: int) -> range:
    """Which of so many cards that the stage sees are this process's: each has as many, one at the least."""
    each = max(1, there // count())
    return range(rank() * each, (rank() + 1) * each)


def launcher() -> int | None:
    """The process that started this one beside others; None where it is alone."""
    named = os.environ.get(LAUNCHED_BY)
    return int(named) if named and RANK in os.environ else None


def heard(say: Say) -> Say:
    """``say`` of the first process, and silence of every other."""
    return (lambda _: None) if rank() else say


def command(processes: int, module: str, *arguments: str) -> list[str]:
    """What follows ``python -m`` for a stage in so many processes."""
    return [module, *arguments] if processes == 1 else [LAUNCHER, str(processes), module, *arguments]


def stage_of(module: str, arguments: Sequence[str]) -> str:
    """The stage that is run, by one process or by several."""
    return arguments[1] if module == LAUNCHER else module
