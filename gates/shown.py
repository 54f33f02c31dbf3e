"""How a message shows what is too long to be shown whole: a text without its end, a list without its last."""

from collections.abc import Sequence

TEXT = 160
"""Characters of an answer that a report shows."""


def shorten(text: str, most: int = TEXT) -> str:
    """The text, or its beginning and "…": never more than ``most`` characters."""
    return text if len(text) <= most else text[: most - 1] + "…"


def some(names: Sequence[object], most: int) -> str:
    """``a, b``, or of a longer list its first and how many more: ``a, b and 3 more``."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return f"{', '.join(map(str, names[:most]))}{more}"
