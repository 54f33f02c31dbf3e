"""Gate: what is refused should be refused. Counts the refusals made on labelled rows, so it needs a minimum support."""

from collections.abc import Sequence

from gates.answer import Answer
from gates.score import Miss, Score, tally
from gates.shown import shorten


def score(answers: Sequence[Answer]) -> Score:
    refusals = [answer for answer in answers if answer.refused and answer.golden.answerable is not None]
    return tally(refusals, _miss, empty="nothing was refused")


def _miss(answer: Answer) -> Miss | None:
    if not answer.golden.answerable:
        return None
    given = shorten(answer.fields.text or answer.output)
    return Miss(id=answer.id, reason="refused an answerable question", expected="an answer", given=given)
