"""Gate: an answer cites every document that supports it. Counts the answerable rows with labelled support."""

from collections.abc import Sequence

from gates.answer import Answer
from gates.score import Miss, Score, listed, not_answered, tally, unread


def score(answers: Sequence[Answer]) -> Score:
    labelled = [answer for answer in answers if answer.golden.answerable and answer.golden.support]
    return tally(labelled, _miss, empty="no answerable golden row names its support")


def _miss(answer: Answer) -> Miss | None:
    support = set(answer.golden.support or ())
    if answer.answered and support <= answer.cited:
        return None
    expected = f"all of {listed(support)}"
    if missed := unread(answer, expected) or not_answered(answer, expected):
        return missed
    reason = f"does not cite {listed(support - answer.cited)}"
    return Miss(id=answer.id, reason=reason, expected=expected, given=listed(answer.cited))
