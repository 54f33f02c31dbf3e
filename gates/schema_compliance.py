"""Gate: the generation parses and has no error against the user's schema. Counts every row, not only what parses."""

from collections.abc import Sequence

from gates.answer import Answer
from gates.score import Miss, Score, shorten, tally, unread


def score(answers: Sequence[Answer]) -> Score:
    return tally(answers, _miss, empty="there are no rows")


def _miss(answer: Answer) -> Miss | None:
    if not answer.parsed:
        return unread(answer, "a valid answer")
    if not answer.schema_faults:
        return None
    fault = answer.schema_faults[0]
    more = f" (and {len(answer.schema_faults) - 1} more)" if len(answer.schema_faults) > 1 else ""
    return Miss(
        id=answer.id,
        reason=f"{fault.rule} at {fault.path or 'the top'}: {fault.message}{more}",
        path=fault.path,
        expected="a valid answer",
        given=shorten(answer.output),
    )
