"""Gate: the whole generation is one strict JSON object. Counts every row."""

from collections.abc import Sequence

from gates.answer import Answer
from gates.score import Miss, Score, tally, unread


def score(answers: Sequence[Answer]) -> Score:
    return tally(answers, _miss, empty="there are no rows")


def _miss(answer: Answer) -> Miss | None:
    return unread(answer, "one JSON object and nothing else")
