"""Gate: the fields of the answer agree with each other as the contract's rules demand. Counts every row."""

from collections.abc import Sequence

from gates.answer import Answer
from gates.score import Miss, Score, tally, unread
from gates.shown import shorten


def score(answers: Sequence[Answer]) -> Score:
    return tally(answers, _miss, empty="there are no rows")


def _miss(answer: Answer) -> Miss | None:
    if not answer.parsed:
        return unread(answer, "an answer whose fields agree")
    if not answer.rule_faults:
        return None
    fault = answer.rule_faults[0]
    return Miss(
        id=answer.id,
        reason="; ".join(f"{one.rule}: {one.message}" for one in answer.rule_faults),
        path=fault.path,
        expected="an answer whose fields agree",
        given=shorten(answer.output),
    )
