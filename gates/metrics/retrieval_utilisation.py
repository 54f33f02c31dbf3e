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
    empty = f"no answerable row has a document with a retrieval score of {GOOD} or more"
    return tally(filter(_asked, answers), lambda one: _miss(one, content(one.prose)), empty=empty)


def compared(answers: Sequence[Answer]) -> Score:
    """The same, without the answers whose text has no word to compare."""
    counted, misses = [], []
    for one in filter(_asked, answers):
        words = content(one.prose)
        if words or not one.answered:
            counted.append(one.id)
            misses += [miss] if (miss := _miss(one, words)) else []
    empty = f"no answerable row has a document scored {GOOD} or more and words to compare"
    return Score(counted=tuple(counted), misses=tuple(misses), empty=empty)


def _asked(answer: Answer) -> bool:
    return bool(answer.golden.answerable) and any(
        one.score is not None and one.score >= GOOD for one in answer.sources.values()
    )


def _miss(answer: Answer, words: set[str]) -> Miss | None:
    expected = f"an answer from {listed(answer.documents)}"
    if missed := unread(answer, expected) or not_answered(answer, expected):
        return missed
    used = answer.cited & answer.documents
    if not used:
        return Miss(id=answer.id, reason="cites no document of the prompt", expected=expected)
    overlap = shared(words, answer.cited_text)
    if overlap >= SHARED:
        return None
    reason = f"shares {overlap:.0%} of its words with what it cites"
    return Miss(id=answer.id, reason=reason, expected=f"{SHARED:.0%}", given=listed(used))
