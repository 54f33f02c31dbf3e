"""Numbers → where a chart's lines lie. The template draws them; every number stands in a table beside it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

WIDTH, HEIGHT = 340, 150
LEFT, TOP = 36, 8
"""Room for the numbers of both axes."""
ROOM = 22
POINTS = 400
"""Of a line, at most."""
Points: TypeAlias = Sequence[tuple[int, float]]
"""Step and value."""


@dataclass(frozen=True, kw_only=True)
class Bar:
    """A share beside what was asked, in hundredths of the bar's length; None is not drawn."""

    value: str
    bound: str | None
    target: str
    floor: str | None
    last: str | None = None
    """The last release's share of the rows that both answered."""


@dataclass(frozen=True, kw_only=True)
class Tick:
    at: str
    says: str


@dataclass(frozen=True, kw_only=True)
class Curve:
    """A value over steps, and that of the last release."""

    name: str

    now: str
    before: str
    """Empty where there is none."""
    across: Sequence[Tick]
    up: Sequence[Tick]
    points: Sequence[tuple[str, str]]
    """Step and value, for a table."""
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    bottom: int = HEIGHT - ROOM


def bar(value: float | None, bound: float | None, target: float, floor: float | None, last: float | None = None) -> Bar:
    """The bar of a gate."""
    return Bar(
        value=_hundredths(value or 0.0),
        bound=None if bound is None else _hundredths(bound),
        target=_hundredths(target),
        floor=None if floor is None else _hundredths(floor),
        last=None if last is None else _hundredths(last),
    )


@dataclass(frozen=True, kw_only=True)
class Dot:
    """A release: where its share lies, and what it proves."""

    across: str
    value: str
    bound: str
    says: str


@dataclass(frozen=True, kw_only=True)
class History:
    """A gate's share in one release after another, and what each proves."""

    name: str
    dots: Sequence[Dot]
    """Oldest first; the last is this one."""
    line: str
    target: str
    up: Sequence[Tick]
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT


def history(name: str, shares: Sequence[tuple[str, int, int, float]], target: float) -> History:
    """``shares`` are tag, right rows, counted rows and the proved rate of each release; one at least."""
    low = min(0.9, target, *(min(k / n, bound) for _, k, n, bound in shares))
    low = int(low * 10) / 10

    def up(value: float) -> str:
        return f"{TOP + (HEIGHT - 2 * TOP) * (1 - (value - low) / (1 - low)):.1f}"

    step = (WIDTH - LEFT - 2 * TOP) / max(len(shares) - 1, 1)
    dots = [
        Dot(across=f"{LEFT + TOP + step * i:.1f}", value=up(k / n), bound=up(bound), says=f"{tag}: {k}/{n}")
        for i, (tag, k, n, bound) in enumerate(shares)
    ]
    return History(
        name=name,
        dots=dots,
        line=" ".join(f"{one.across},{one.value}" for one in dots),
        target=up(target),
        up=[Tick(at=up(value), says=f"{100 * value:.0f} %") for value in (low, (1 + low) / 2, 1.0)],
    )


def _hundredths(share: float) -> str:
    return f"{min(max(100 * share, 0.0), 100.0):.2f}"


def curve(name: str, now: Points, before: Points) -> Curve | None:
    """Both on the same axes, from zero; None where nothing was logged."""
    if not now:
        return None
    now, before = _thinned(now), _thinned(before)
    steps = max(step for step, _ in (*now, *before)) or 1
    top = max(value for _, value in (*now, *before)) or 1.0

    def across(step: float) -> str:
        return f"{LEFT + (WIDTH - LEFT - TOP) * step / steps:.1f}"

    def up(value: float) -> str:
        return f"{TOP + (HEIGHT - ROOM - TOP) * (1 - value / top):.1f}"

    def line(points: Points) -> str:
        return " ".join(f"{across(step)},{up(value)}" for step, value in points)

    return Curve(
        name=name,
        now=line(now),
        before=line(before),
        across=[Tick(at=across(step), says=f"{step}") for step in dict.fromkeys((0, steps // 2, steps))],
        up=[Tick(at=up(top / 2 * part), says=f"{top / 2 * part:.3g}") for part in range(3)],
        points=[(str(step), f"{value:.4g}") for step, value in now],
    )


def _thinned(points: Points) -> Points:
    """At most some hundred of them, evenly, and always the last one: more than that no picture shows."""
    every = -(-len(points) // POINTS)
    return points if every <= 1 else [*points[:-1:every], points[-1]]
