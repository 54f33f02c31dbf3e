"""Advisory: each sentence of an answer shares words with a document that it cites; a screen for free invention.

Counts the answers given to answerable rows whose documents have text. It finds gross cases only: see ``gates.words``.
"""

import re
from collections.abc import Sequence
from functools import reduce
from operator import or_

from gates.answer import Answer
from gates.score import Miss, Score, listed, tally
from gates.shown import shorten
from gates.words import SHARED, content, known

SENTENCE = re.compile(r"[^.!?\n]+(?:[.!?](?!\s|$)[^.!?\n]*)*")
FEW = 3
"""Content words below which a sentence claims nothing that could be compared."""


def score(answers: Sequence[Answer]) -> Score:
    given = [one for one in answers if one.answers_from_texts]
    return tally(
        given, lambda one: _miss(one, _claims(one)), empty="no answerable row whose documents have text was answered"
    )


def compared(answers: Sequence[Answer]) -> Score:
    """The same, over the answers with a sentence that claims something that could be compared."""
    counted, misses = [], []
    for one in answers:
        if one.answers_from_texts and (claims := _claims(one)):
            counted.append(one.id)
            misses += [miss] if (miss := _miss(one, claims)) else []
    empty = "no answer from documents with text has a sentence long enough to compare"
    return Score(counted=tuple(counted), misses=tuple(misses), empty=empty)


def _claims(answer: Answer) -> Sequence[tuple[str, set[str]]]:
    """The sentences that claim something, each with its words."""
    text = answer.prose
    ends = "." in text or "!" in text or "?" in text or "\n" in text
    sentences = SENTENCE.findall(text) if ends else [text]  # without any it is one, which need not be looked for
    return [(one, words) for one in sentences if len(words := content(one)) >= FEW]


def _miss(answer: Answer, claims: Sequence[tuple[str, set[str]]]) -> Miss | None:
    if not claims:
        return None
    held = known(reduce(or_, (words for _, words in claims)), answer.cited_text)
    for sentence, words in claims:
        if (overlap := len(words & held) / len(words)) < SHARED:
            reason = f"a sentence shares {overlap:.0%} of its words with what it cites"
            return Miss(
                id=answer.id, reason=reason, expected=f"from {listed(answer.cited)}", given=shorten(sentence.strip())
            )
    return None
