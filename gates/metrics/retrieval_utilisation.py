"""Advisory: where the retrieval found something good, the answer cites a document and shares words with it.

Counts the answerable rows with a document scored ``GOOD`` or better. Shared words are a hint, not a proof: see
``gates.words``.
"""

from collections.abc import Sequence

from gates.answer import Answer
from gates.score import Miss, Score, listed, not_answered, tally, unread
from gates.words import SHARED, content, shared

GOOD = 0.7


def score(answers: Sequence[Answer]) -> Score:
    asked = [one for one in answers if one.golden.answerable and _best(one) >= GOOD]
    return tally(asked, _miss, empty=f"no answerable row has a document with a retrieval score of {GOOD} or more")


def compared(answers: Sequence[Answer]) -> Score:
    """The same, without the answers whose text has no word to compare."""
    asked = [one for one in answers if one.golden.answerable and _best(one) >= GOOD]
    with_words = [one for one in asked if not one.answered or content(one.prose)]
    return tally(
        with_words, _miss, empty=f"no answerable row has a document scored {GOOD} or more and words to compare"
    )


def _best(answer: Answer) -> float:
    return max((one.score for one in answer.sources.values() if one.score is not None), default=0.0)


def _miss(answer: Answer) -> Miss | None:
    expected = f"an answer from {listed(answer.documents)}"
    if missed := unread(answer, expected) or not_answered(answer, expected):
        return missed
    used = answer.cited & answer.documents
    if not used:
        return Miss(id=answer.id, reason="cites no document of the prompt", expected=expected)
    overlap = shared(answer.prose, answer.cited_text)
    if overlap >= SHARED:
        return None
    reason = f"shares {overlap:.0%} of its words with what it cites"
    return Miss(id=answer.id, reason=reason, expected=f"{SHARED:.0%}", given=listed(used))
