"""What a search of tries chooses from: for each setting a range or some values."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter

from release.config import tree as trees
from release.config.tree import Tree
from release.values.errors import shown

Value = str | int | float | bool | None
DEEPEST = 5
"""Sections above a setting, at most."""
MOST = 2.0**53
"""Beyond which a number has no neighbours."""
BETWEEN = (0.618, 0.0618, 0.00618)
"""Shares of a range: to three digits one of them is no whole number, if any value is none."""
TOGETHER = 64
"""So many combinations of values are looked at where all of them could be."""


@dataclass(frozen=True, kw_only=True)
class Range:
    """Any number from ``low`` to ``high``; only whole ones where both are whole."""

    low: float
    high: float
    log: bool = False
    """Whether numbers are spread by their logarithm."""

    @property
    def whole(self) -> bool:
        """Whether only whole numbers are meant."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    @property
    def some(self) -> tuple[Value, ...]:
        """What stands for all of them: the lowest, the highest, and some with a fraction where there are such."""
        between = [] if self.whole else [self.of(self.low + (self.high - self.low) * share) for share in BETWEEN]
        return self.low, self.high, *between

    @property
    def largest(self) -> tuple[Value, ...]:
        """The highest."""
        return (self.high,)

    def holds(self, value: object) -> bool:
        """Whether a value is one of these."""
        if not isinstance(value, int | float) or isinstance(value, bool):
            return False
        return self.low <= value <= self.high and (not self.whole or value == int(value))

    def of(self, value: Value) -> Value:
        """A value that was suggested, to three digits: so it can be read, and is the same on every machine."""
        if self.whole or not isinstance(value, float):
            return value
        return min(max(float(f"{value:.3g}"), float(self.low)), float(self.high))

    @property
    def all(self) -> Sequence[Value]:
        """Every value; none where nobody can count them."""
        return range(int(self.low), int(self.high) + 1) if self.whole else ()


@dataclass(frozen=True, kw_only=True)
class Choices:
    """One of these values."""

    values: tuple[Value, ...]

    @property
    def some(self) -> tuple[Value, ...]:
        """All of them: there is no order."""
        return self.values

    @property
    def largest(self) -> tuple[Value, ...]:
        """The highest number, then each value that is none: nobody knows which of those needs most."""
        numbers = [one for one in self.values if isinstance(one, int | float) and not isinstance(one, bool)]
        others = [one for one in self.values if one not in numbers or isinstance(one, bool)]
        return (*([max(numbers)] if numbers else []), *others)

    def holds(self, value: object) -> bool:
        """Whether a value is one of these."""
        return any(value == one and isinstance(value, bool) == isinstance(one, bool) for one in self.values)

    def of(self, value: Value) -> Value:
        """A value that was suggested."""
        return value

    @property
    def all(self) -> Sequence[Value]:
        """Every value."""
        return self.values


Space = Mapping[str, Range | Choices]
"""By dotted key, in the order of the keys."""


def read(tree: Mapping[str, object]) -> Space:
    """A space that has no problems."""
    found = dict[str, Range | Choices]()
    for key, said in sorted(_leaves(tree), key=itemgetter(0)):
        if isinstance(said, list | tuple):
            found[key] = Choices(values=tuple(said))
        elif isinstance(said, Mapping):
            found[key] = Range(**said)
    return found


def problems(tree: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """A dotted key with what is wrong with it alone; whether its values are a setting's own is asked elsewhere."""
    for names, said in _paths(tree):
        key = ".".join(names)
        if any("." in name for name in names):
            yield key, "is written with a dot in a name. Write each section as one, with what it holds below it."
        elif problem := _list_problem(said) if isinstance(said, list | tuple) else _range_problem(said):
            yield key, problem


def keys(tree: Mapping[str, object]) -> Iterator[str]:
    """The dotted key of each setting."""
    return (key for key, _ in _leaves(tree))


def _leaves(tree: Mapping[str, object]) -> Iterator[tuple[str, object]]:
    return ((".".join(names), said) for names, said in _paths(tree))


def _paths(tree: Mapping[str, object], above: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], object]]:
    for name, value in tree.items():
        if isinstance(value, Mapping) and _is_section(value) and len(above) < DEEPEST:
            yield from _paths(value, (*above, name))
        else:
            yield (*above, name), value


def _is_section(value: Mapping[str, object]) -> bool:
    """Whether it holds settings, and is no range."""
    return bool(value) and not value.keys() & {"low", "high", "log"}


def _list_problem(said: list[object] | tuple[object, ...]) -> str:
    scalars = all(isinstance(one, str | int | float | bool) or one is None for one in said)
    if not scalars or len({(isinstance(one, bool), one) for one in said}) < max(len(said), 2) or len(said) > 100:
        return f"is {shown(said)}; expected a list of 2 to 100 different values, or low and high."
    return ""


def _range_problem(said: object) -> str:
    if not isinstance(said, Mapping) or not {"low", "high"} <= said.keys() <= {"low", "high", "log"}:
        return f"is {shown(said)}; expected low and high, with log: true where numbers spread by powers, or a list."
    low, high, log = said["low"], said["high"], said.get("log", False)
    numbers = all(isinstance(one, int | float) and not isinstance(one, bool) for one in (low, high))
    if not numbers or not -MOST <= low < high <= MOST or not isinstance(log, bool):
        return f"is {shown(said)}; expected numbers of which low is the lower, and log true or false."
    return f"is {shown(said)}; with log: true, low is above 0." if log and low <= 0 else ""


def changes(values: Mapping[str, object]) -> Tree:
    """Values by dotted key as a change of a configuration."""
    found: Tree = {}
    for key, value in values.items():
        trees.put(found, key, value)
    return found


def largest(space: Space) -> list[dict[str, Value]]:
    """The largest values together, with each of those that have no order.

    Where these are many, each of them with the first of the others.
    """
    each = {key: one.largest for key, one in space.items()}
    if math.prod(len(one) for one in each.values()) <= TOGETHER:
        return [dict(zip(each, values, strict=True)) for values in _product(list(each.values()))]
    first = {key: values[0] for key, values in each.items()}
    return [first, *({**first, key: value} for key, values in each.items() for value in values[1:])]


def all_of(space: Space) -> Iterator[dict[str, Value]]:
    """Every try that there is; none where nobody can count them."""
    each = [one.all for one in space.values()]
    if not all(each):
        return iter(())
    return (dict(zip(space, values, strict=True)) for values in _product(each))


def _product(each: Sequence[Sequence[Value]]) -> Iterator[tuple[Value, ...]]:
    """As itertools has it, which would hold every whole number of a wide range."""
    if not each:
        yield ()
        return
    for value in each[0]:
        for rest in _product(each[1:]):
            yield value, *rest
