"""What stages report to whoever is watching: typed events, drawn by `console`, sent over a pipe by child processes."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A stage of the pipeline begins."""

    name: str
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Progress:
    """``done`` of ``total`` units of a long step."""

    name: str
    done: int
    total: int


@dataclass(frozen=True, kw_only=True)
class Line:
    """A line to print as it is; a line's end in it is shown as a space."""

    text: str


Event = Stage | Progress | Line
Say = Callable[[Event], None]


def tell(say: Say, lines: Iterable[str]) -> None:
    """Say a line after the other."""
    for text in lines:
        say(Line(text=text))
