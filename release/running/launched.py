"""Which of several processes of a stage this one is: each has a batch of its own, and a card where there are some.

Only the first writes files and says what is done. `release.models.launcher` starts them.
"""

import os

from release.values.events import Say

RANK, WORLD, STARTED = "RANK", "WORLD_SIZE", "TORCHELASTIC_RUN_ID"
"""torchrun's names: a process's number, how many there are, and what only processes have that it started itself."""
LAUNCHER = "release.models.launcher"


def rank() -> int:
    """The number of this process; 0 for the first, and where there is one alone."""
    return int(os.environ[RANK]) if STARTED in os.environ else 0


def count() -> int:
    """How many processes there are."""
    return int(os.environ[WORLD]) if STARTED in os.environ else 1


def heard(say: Say) -> Say:
    """``say`` of the first process, and silence of every other."""
    return (lambda _: None) if rank() else say


def command(processes: int, module: str, *arguments: str) -> list[str]:
    """What follows ``python -m`` for a stage in so many processes."""
    return [module, *arguments] if processes == 1 else [LAUNCHER, str(processes), module, *arguments]
