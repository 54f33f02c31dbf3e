"""Advisory: no number, quotation or address in an answer that the cited documents do not hold.

Counts the answers given to answerable rows whose documents have text.
"""

import re
from collections.abc import Sequence

from gates.answer import Answer
from gates.score import Miss, Score, listed, tally
from gates.shown import shorten
from gates.words import THOUSANDS, folded

URL = re.compile(r"https?://[^\s<>\"')\]]+")
QUOTATION = re.compile('["\u201c\u201e\u00ab]([^"\u201c\u201d\u201e\u00ab\u00bb]{8,})["\u201d\u201c\u00bb]')
"""Eight characters or more: shorter ones are often a word that is named, not quoted."""
SIGNS = bytes.maketrans(b'0123456789"', b"0" * 11)
"""In ASCII: 0 for each digit, and for what a quotation begins with."""
NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
ASCII_NUMBER = re.compile(r"[0-9]+(?:[.,][0-9]+)*")
"""The same in ASCII, in a third of the time; no number is found elsewhere once a text in ASCII is folded."""


def score(answers: Sequence[Answer]) -> Score:
    given = [one for one in answers if one.answers_from_texts]
    empty = "no answerable row whose documents have text was answered"
    return tally(given, lambda one: _miss(one, _specifics(one.prose)), empty=empty)


def compared(answers: Sequence[Answer]) -> Score:
    """The same, over the answers that have a number, a quotation or an address."""
    found = [(one, specifics) for one in answers if any(specifics := _specifics(one.prose)) and one.answers_from_texts]
    misses = [miss for one, specifics in found if (miss := _miss(one, specifics))]
    empty = "no answer from documents with text has a number, a quotation or an address"
    return Score(counted=tuple([one.id for one, _ in found]), misses=tuple(misses), empty=empty)


def _specifics(prose: str) -> tuple[list[str], list[str]]:
    """The addresses and quotations of a text, and its numbers."""
    if prose.isascii() and b"0" not in prose.encode().translate(SIGNS) and not _has_address(prose):
        return [], []
    prose = folded(prose)
    addresses = URL.findall(prose) if _has_address(prose) else []
    quotations = QUOTATION.findall(prose) if '"' in prose or not prose.isascii() else []
    return [*addresses, *quotations], _numbers(URL.sub(" ", prose) if addresses else prose)


def _has_address(text: str) -> bool:
    return ":" in text and "://" in text  # one character is found sooner than three


def _numbers(text: str) -> list[str]:
    if text.isascii():
        return ASCII_NUMBER.findall(text) if b"0" in text.encode().translate(SIGNS) else []
    return NUMBER.findall(text)


def _miss(answer: Answer, specifics: tuple[list[str], list[str]]) -> Miss | None:
    quoted, numbers = specifics
    if not any(specifics):
        return None
    cited = answer.cited_text
    held = folded(cited) if quoted or not cited.isascii() else cited
    strange = [one for one in quoted if one.rstrip(".,;:!?") not in held]
    known = set(map(_digits, _numbers(held))) if numbers else set()
    strange += [one for one in numbers if _digits(one) not in known]
    if not strange:
        return None
    reason = f"{shorten(strange[0])} is in no document that it cites"
    return Miss(id=answer.id, reason=reason, expected=f"from {listed(answer.cited)}", given=shorten(", ".join(strange)))


def _digits(number: str) -> str:
    """1,000 and 1000 are one number, 1.50 and 1.5 are not."""
    return THOUSANDS.sub("", number)
