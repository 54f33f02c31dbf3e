"""How a message shows a text: nothing that writes to the reader's terminal or log, and not longer than can be read."""

import re
import unicodedata
from collections.abc import Sequence

TEXT = 160
"""Characters of an answer that a report shows."""
HIDDEN = "\N{REPLACEMENT CHARACTER}"
"""Stands where a character would act on the terminal, or would not be seen."""
_BLANK = "\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0"  # letters and marks that are drawn as nothing
_JOINERS = "\u200c\u200d"  # Persian and Indian words are written with them, and families of emoji
_BREAKS = re.compile("[\n\r\t\x85\u2028\u2029]")
_UNUSUAL = re.compile(r"[^\n\t -~]")
_SKIPPED = r"[^\w!-~\n]*"  # what a runner trims or its comparison passes over, variation selectors included
_COMMAND = re.compile(rf"^({_SKIPPED}):(?=[^\w!-~\s]*:)", re.MULTILINE)
_OLD_COMMAND = re.compile(r"#(?=[\ufe00-\ufe0f]*#[\ufe00-\ufe0f]*\w*\[)")


def plain(value: object) -> str:
    """A name, a key or a text from outside on one line, with everything in it to be seen."""
    return _visible(_BREAKS.sub(" ", str(value)))


def printable(text: str) -> str:
    """Lines of which none writes to the reader's terminal or gives a command to the runner of a workflow.

    Controls, directions, what is not drawn and halves of characters become ``HIDDEN``; ``::error::`` at a line's start
    and ``##[`` anywhere are taken apart. Words of every script, and emoji, stay as they are.
    """
    seen = _visible(text.replace("\r\n", "\n").replace("\r", " "))
    return _OLD_COMMAND.sub("# ", _COMMAND.sub(r"\1: ", seen))


def _visible(text: str) -> str:
    return _UNUSUAL.sub(lambda match: _seen(match[0], text, match.start()), text)


def _seen(character: str, text: str, at: int) -> str:
    if character in "\x85\u2028\u2029":
        return " "
    if character in _JOINERS and _joins(text[at - 1 : at], text[at + 1 : at + 2]):
        return character
    return HIDDEN if _acts(character) else character


def _acts(character: str) -> bool:
    """Whether a character does something, or is nothing that can be seen."""
    category, code = unicodedata.category(character), ord(character)
    if category == "Cn":  # not known to this Python: younger emoji are, what is reserved for controls is not drawn
        return code & 0xFFFE == 0xFFFE or 0xFDD0 <= code <= 0xFDEF or code >= 0xE0000 or 0xFFF0 <= code <= 0xFFFF
    return category in ("Cc", "Cf", "Cs", "Co") or character in _BLANK


def _joins(before: str, after: str) -> bool:
    """Whether a joiner stands where writing needs it: within a word of a joining script, or between two emoji."""
    return all(
        one
        and (
            (unicodedata.category(one)[0] in "LM" and ("\u0600" <= one <= "\u18af" or one == "\ufe0f"))
            or (unicodedata.category(one) in ("So", "Sk") and one > "\u2190")
        )
        for one in (before, after)
    )


def shorten(text: str, most: int = TEXT) -> str:
    """The text, or its beginning and "…": never more than ``most`` characters."""
    return text if len(text) <= most else text[: most - 1] + "…"


def some(names: Sequence[object], most: int) -> str:
    """``a, b``, or of a longer list its first and how many more: ``a, b and 3 more``."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return f"{', '.join(map(plain, names[:most]))}{more}"


def counted(number: int, what: str) -> str:
    """``1 row``, ``1,200 rows``: how many, in words that agree."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def p_value(p: float) -> str:
    """``= 0.031``; ``< 0.001`` where three digits would round it to nothing."""
    return f"= {p:.3f}" if p >= 0.0005 else "< 0.001"
