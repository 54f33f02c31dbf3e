"""What was looked at before a run, and whether anything is wrong with it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class Item:
    """One thing that was looked at."""

    name: str
    state: Literal["ok", "problem", "not checked"]
    says: str


def items_of(name: str, problems: Sequence[str], fine: str = "") -> list[Item]:
    """Each problem as an item; where there is none, one that says what is fine."""
    return [Item(name=name, state="problem", says=text) for text in problems] or [
        Item(name=name, state="ok", says=fine)
    ]
