"""Gate: every field that the schema requires is there. Counts every row; what does not parse has no fields."""

from collections.abc import Sequence

from gates.answer import Answer
from gates.score import Miss, Score, faulty, tally


def score(answers: Sequence[Answer]) -> Score:
    return tally(answers, _miss, empty="there are no rows")


def _miss(answer: Answer) -> Miss | None:
    return faulty(answer, [fault for fault in answer.schema_faults if fault.rule == "required"], "all required fields")
