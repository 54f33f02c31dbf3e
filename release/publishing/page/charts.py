"""Numbers → where a chart's lines lie. The template draws them; every number stands in a table beside it."""

from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 340, 150
LEFT, TOP = 36, 8
"""Room for the numbers of both axes."""
ROOM = 22


@dataclass(frozen=True, kw_only=True)
class Bar:
    """A share beside what was asked, in hundredths of the bar's length; None is not drawn."""

    value: str
    bound: str | None
    target: str
    floor: str | None


@dataclass(frozen=True, kw_only=True)
class Tick:
    at: str
    says: str


@dataclass(frozen=True, kw_only=True)
class Curve:
    """A loss over steps, and that of the last release."""

    now: str
    before: str
    """Empty where there is none."""
    across: Sequence[Tick]
    up: Sequence[Tick]
    points: Sequence[tuple[str, str]]
    """Step and loss, for a table."""
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    bottom: int = HEIGHT - ROOM


def bar(value: float | None, bound: float | None, target: float, floor: float | None) -> Bar:
    """The bar of a gate."""
    return Bar(
        value=_hundredths(value or 0.0),
        bound=None if bound is None else _hundredths(bound),
        target=_hundredths(target),
        floor=None if floor is None else _hundredths(floor),
    )


def _hundredths(share: float) -> str:
    return f"{min(max(100 * share, 0.0), 100.0):.2f}"


def curve(now: Sequence[tuple[int, float]], before: Sequence[tuple[int, float]]) -> Curve | None:
    """Both losses on the same axes, from zero; None where nothing was logged."""
    if not now:
        return None
    steps = max(step for step, _ in (*now, *before)) or 1
    top = max(loss for _, loss in (*now, *before)) or 1.0

    def across(step: float) -> str:
        return f"{LEFT + (WIDTH - LEFT - TOP) * step / steps:.1f}"

    def up(loss: float) -> str:
        return f"{TOP + (HEIGHT - ROOM - TOP) * (1 - loss / top):.1f}"

    def line(points: Sequence[tuple[int, float]]) -> str:
        return " ".join(f"{across(step)},{up(loss)}" for step, loss in points)

    return Curve(
        now=line(now),
        before=line(before),
        across=[Tick(at=across(step), says=f"{step}") for step in dict.fromkeys((0, steps // 2, steps))],
        up=[Tick(at=up(top * part / 2), says=f"{top * part / 2:.2f}") for part in range(3)],
        points=[(str(step), f"{loss:.4g}") for step, loss in now],
    )
