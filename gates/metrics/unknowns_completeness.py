"""Gate: a refusal says what is missing. Counts the refusals, so it needs a minimum support."""

from collections.abc import Sequence

from gates.answer import Answer
from gates.score import Miss, Score, says_nothing, tally
from gates.shown import shorten


def score(answers: Sequence[Answer]) -> Score:
    return tally([answer for answer in answers if answer.refused], _miss, empty="nothing was refused")


def _miss(answer: Answer) -> Miss | None:
    if any(not says_nothing(entry) for entry in answer.fields.unknowns or ()):
        return None
    given = shorten(answer.fields.text or answer.output)
    return Miss(id=answer.id, reason="does not say what is missing", expected="what is missing", given=given)
