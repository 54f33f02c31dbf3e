"""Gate: an answer says what the row's reference says, at the places and by the means that the contract declares.

Counts the answerable rows with a reference for one of these places; it is the only gate that judges content.
"""

import json
from collections.abc import Sequence

from gates import pointer
from gates.answer import Answer
from gates.canonical import Json
from gates.score import Miss, Score, not_answered, tally, unread
from gates.shown import shorten


def score(answers: Sequence[Answer]) -> Score:
    compared = [answer for answer in answers if answer.golden.answerable and answer.expected]
    return tally(compared, _miss, empty="no answerable golden row has a reference for what the contract compares")


def _miss(answer: Answer) -> Miss | None:
    wanted = "; ".join(_shown(one.value) for one in answer.expected)
    if missed := unread(answer, shorten(wanted)) or not_answered(answer, shorten(wanted)):
        return missed
    wrong = answer.mistaken
    if wrong is None:
        return None
    found = answer.given(wrong)
    return Miss(
        id=answer.id,
        reason=f"{wrong.place.at or 'the answer'} is not what the reference says ({wrong.place.by})",
        path=wrong.place.at,
        expected=shorten(_shown(wrong.value)),
        given="nothing" if found is pointer.MISSING else shorten(_shown(found)),
    )


def _shown(value: Json) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
