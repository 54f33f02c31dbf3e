"""Numbered checks over files of somebody else's: each says what is wrong, and one that cannot run has failed."""

import contextlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import gates
from gates.shown import shorten
from release.judging.released import Released
from release.values import bounds, clock
from release.values.contents import NotOpened
from release.values.errors import DataError, VerificationError
from release.values.events import Line, Say

T = TypeVar("T")
UNREADABLE = (OSError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError, AssertionError,
              RecursionError)  # fmt: skip
"""What a file of somebody else's can raise while it is read."""
FIRST_LOOK = "no file is missing, and each is one that a release may hold: no code, no link, none too large"
"""The step that decides which files the others open."""


@dataclass(frozen=True, kw_only=True)
class Unchecked:
    """What a step could not look at, and did not have to: no fault, and not ok either."""

    why: str


@dataclass(frozen=True, kw_only=True)
class Step:
    """A numbered check and what is wrong, if anything."""

    name: str
    problems: tuple[str, ...]
    unchecked: tuple[str, ...] = ()

    @property
    def outcome(self) -> str:
        return "FAILED" if self.problems else "--" if self.unchecked else "ok"


def taken(
    checks: Mapping[str, Callable[[T], Iterable[str | Unchecked]]], found: T, names: Iterable[str], release: Released
) -> list[Step]:
    """The checks of these names over what was found, in the time that the files of a release give.

    What the first look refuses no step opens: a step that needs it says so, and the first look has failed.
    """
    asked, seconds, steps = tuple(names), float(bounds.SECONDS), list[Step]()
    with contextlib.suppress(OSError):
        seconds = release.listed.seconds
    try:
        with clock.within(seconds):
            for name in asked:
                steps.append(_step(name, checks[name], found, known_to_fail=FIRST_LOOK in asked and name != FIRST_LOOK))
    except clock.TimeUp:
        late = f"not looked at: the time for a release of this size, {seconds:.0f} seconds of a processor, is over"
        steps += [Step(name=name, problems=(late,)) for name in asked[len(steps) :]]
    return steps


def told(steps: list[Step], name: str, say: Say) -> list[Step]:
    """The steps, told with their outcomes; ``VerificationError`` if any failed."""
    for number, step in enumerate(steps, 1):
        say(Line(text=f"{number:2}. {step.outcome:<6} {step.name}"))
        for line in step.problems + step.unchecked:
            say(Line(text=f"           {line}"))
    failed = [f"{number}. {step.name}" for number, step in enumerate(steps, 1) if step.problems]
    if failed:
        raise VerificationError(
            f"{name} is not what its record says. Failed:\n  "
            + "\n  ".join(failed)
            + "\nDo not use it, and inform its publisher."
        )
    return steps


def _step(name: str, check: Callable[[T], Iterable[str | Unchecked]], found: T, *, known_to_fail: bool) -> Step:
    """A step with what it found, cut to what a person can read."""
    here: list[str | Unchecked] = []
    try:
        here += check(found)
    except NotOpened as error:
        here += (
            [Unchecked(why=f"not looked at, as step 2 failed: {error}")]
            if known_to_fail
            else [f"not looked at: {error}"]
        )
    except UNREADABLE as error:
        here.append(f"it cannot be checked: {type(error).__name__}: {error}")
    except DataError as error:
        here.append(f"it cannot be checked: {error}")
    except (gates.InvalidData, gates.InvalidConfig) as error:
        here += [f"it cannot be checked: {problem}" for problem in error.problems]
    problems = _bounded([one for one in here if isinstance(one, str)])
    return Step(
        name=name, problems=problems, unchecked=_bounded([one.why for one in here if isinstance(one, Unchecked)])
    )


def _bounded(lines: list[str]) -> tuple[str, ...]:
    more = [f"and {len(lines) - bounds.PROBLEMS:,} more"] if len(lines) > bounds.PROBLEMS else []
    return (*(shorten(line, bounds.LINE) for line in lines[: bounds.PROBLEMS]), *more)
