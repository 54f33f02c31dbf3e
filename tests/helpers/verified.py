"""What verification says of a release in a folder."""

from pathlib import Path

from release.checking import opening, verify
from release.judging.released import Released


def opened(folder: Path, data: Path | None = None) -> opening.Opened:
    return opening.Opened(release=Released(name="release", folder=folder, data=data))


def failed(folder: Path) -> dict[int, str]:
    """What the steps that failed say, by their number."""
    steps = verify.check(opened(folder))
    return {number: "\n".join(step.problems) for number, step in enumerate(steps, 1) if step.problems}


AGREEMENT = list(verify.CHECKS)[4]


def agreement(folder: Path) -> str:
    """What the step says that holds the record against itself, and no other step."""
    (step,) = verify.check(opened(folder), [AGREEMENT])
    return "\n".join(step.problems)
