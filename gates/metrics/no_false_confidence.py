"""Gate: who answers with high confidence cites what supports it; 1 less the false confidence rate.

Counts the answers that are confident, so it needs a minimum support. Refusals are not counted: it is not false
confidence to be sure that the sources do not say.
"""

from collections.abc import Sequence

from gates.answer import Answer
from gates.score import Miss, Score, listed, tally


def score(answers: Sequence[Answer]) -> Score:
    return tally([one for one in answers if one.answered and one.confident], _miss, empty="no answer is confident")


def _miss(answer: Answer) -> Miss | None:
    row = answer.golden
    good = answer.documents if row.support is None and row.answerable is not False else set(row.support or ())
    if answer.cited & good:
        return None
    reason = f"is confident ({answer.fields.confidence:g}) and cites nothing that supports it"
    return Miss(id=answer.id, reason=reason, expected=f"a citation of {listed(good)}", given=listed(answer.cited))
