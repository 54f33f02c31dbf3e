"""Gate: an answerable question is answered. Counts the answerable rows: without it, refusing all would be safe."""

from collections.abc import Sequence

from gates.answer import Answer
from gates.score import Miss, Score, not_answered, tally, unread


def score(answers: Sequence[Answer]) -> Score:
    answerable = [answer for answer in answers if answer.golden.answerable]
    return tally(answerable, _miss, empty="no golden row is answerable")


def _miss(answer: Answer) -> Miss | None:
    return unread(answer, "an answer") or not_answered(answer, "an answer")
