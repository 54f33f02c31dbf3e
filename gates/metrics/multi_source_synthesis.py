"""Gate: a question that takes several documents is answered from several of them. Counts rows with two or more.

Only documents that support the answer are counted, else citing everything would do.
"""

from collections.abc import Sequence

from gates.answer import Answer
from gates.score import Miss, Score, listed, not_answered, tally, unread

SEVERAL = 2


def score(answers: Sequence[Answer]) -> Score:
    asked = [one for one in answers if one.golden.answerable and len(one.golden.support or ()) >= SEVERAL]
    return tally(asked, _miss, empty="no answerable golden row names two documents that support it")


def _miss(answer: Answer) -> Miss | None:
    support = set(answer.golden.support or ())
    used = answer.cited & support
    if answer.answered and len(used) >= SEVERAL:
        return None
    expected = f"two of {listed(support)}"
    if missed := unread(answer, expected) or not_answered(answer, expected):
        return missed
    return Miss(
        id=answer.id, reason=f"is supported by {listed(used)} alone", expected=expected, given=listed(answer.cited)
    )
