"""Gate: what should be refused is refused. Counts the unanswerable rows; what does not parse is not a refusal."""

from collections.abc import Sequence

from gates.answer import Answer
from gates.score import Miss, Score, tally, unread
from gates.shown import shorten


def score(answers: Sequence[Answer]) -> Score:
    unanswerable = [answer for answer in answers if answer.golden.answerable is False]
    return tally(unanswerable, _miss, empty="no golden row is unanswerable")


def _miss(answer: Answer) -> Miss | None:
    if answer.refused:
        return None
    if not answer.parsed:
        return unread(answer, "a refusal")
    reason = "answered an unanswerable question" if answer.answered else "does not say whether it refuses"
    return Miss(id=answer.id, reason=reason, expected="a refusal", given=shorten(answer.fields.text or answer.output))
