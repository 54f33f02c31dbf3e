"""Unicode's normal forms, for texts of anybody: in time that grows with their length and no faster."""

import re
import unicodedata
from functools import cache
from itertools import pairwise
from typing import Literal

RUN = 30
"""Marks in a row that are put in order together: as many as Unicode's Stream-Safe Text Format has (UAX #15).
A letter of a natural language carries a few."""
NO_MARKS = 0x300  # below it are none
PLANES = 0x20000  # above them are ideographs, tags and private use


def normal(form: Literal["NFC", "NFKC"], text: str) -> str:
    """``unicodedata.normalize``; where more than ``RUN`` marks follow one another, of each ``RUN`` of them alone.

    Python puts marks in order by insertion, within one call that no signal ends: of a million that takes hours.
    """
    if text.isascii():
        return text
    marks, runs = _marks()
    if marks.isdisjoint(text[::RUN]) or not _has_run(text, marks):  # every run that long has one there
        return unicodedata.normalize(form, text)
    cuts = [0, *(match.end() for match in runs.finditer(text)), len(text)]
    return "".join(unicodedata.normalize(form, text[start:end]) for start, end in pairwise(cuts))


def _has_run(text: str, marks: frozenset[str]) -> bool:
    for at in range(0, len(text), RUN):
        start = at
        while text[start] in marks and start > max(at - RUN, 0) and text[start - 1] in marks:
            start -= 1
        if text[start] in marks and len(text) - start >= RUN and marks.issuperset(text[start : start + RUN]):
            return True
    return False


@cache
def _marks() -> tuple[frozenset[str], re.Pattern[str]]:
    """What is, or becomes, a mark on the letter before it; and so many of them in a row."""
    # not only `combining`: halfwidth voiced sound marks have no class of their own, and what they become has one
    marks = "".join(filter(_is_mark, map(chr, range(NO_MARKS, PLANES))))
    return frozenset(marks), re.compile(f"[{marks}][{marks}]{{{RUN - 1}}}")  # the first alone: `re` looks for it faster


def _is_mark(one: str) -> bool:
    if unicodedata.combining(one):
        return True
    return bool(unicodedata.decomposition(one)) and bool(unicodedata.combining(unicodedata.normalize("NFKD", one)[0]))
