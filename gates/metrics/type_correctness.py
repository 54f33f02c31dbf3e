"""Gate: every field has the type that the schema gives it. Counts every row; what does not parse has no types."""

from collections.abc import Sequence

from gates.answer import Answer
from gates.score import Miss, Score, faulty, tally


def score(answers: Sequence[Answer]) -> Score:
    return tally(answers, _miss, empty="there are no rows")


def _miss(answer: Answer) -> Miss | None:
    return faulty(answer, [fault for fault in answer.schema_faults if fault.rule == "type"], "fields of the right type")
