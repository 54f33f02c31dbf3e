"""Gate: every cited id is a document of this prompt. Counts the answers that cite, so it needs a minimum support."""

from collections.abc import Sequence

from gates.answer import Answer
from gates.score import Miss, Score, listed, tally


def score(answers: Sequence[Answer]) -> Score:
    return tally([answer for answer in answers if answer.cited], _miss, empty="no answer cites anything")


def _miss(answer: Answer) -> Miss | None:
    if answer.cites_documents:
        return None
    strange = answer.cited - answer.documents
    return Miss(
        id=answer.id,
        reason=f"cites {listed(strange)}, which is not in the prompt",
        expected=f"only {listed(answer.documents)}",
        given=listed(answer.cited),
    )
