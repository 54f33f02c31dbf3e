"""Gate: the generation parses and has no error against the user's schema. Counts every row, not only what parses."""

from collections.abc import Sequence

from gates.answer import Answer
from gates.score import Miss, Score, faulty, tally


def score(answers: Sequence[Answer]) -> Score:
    return tally(answers, _miss, empty="there are no rows")


def _miss(answer: Answer) -> Miss | None:
    return faulty(answer, answer.schema_faults, "a valid answer")
