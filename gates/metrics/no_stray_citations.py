"""Gate: nothing in the text looks like a citation without being a document of this prompt. Counts every row.

A reader takes ``[^9]``, ``(Source 9)``, a tag or an address for a source, whatever the contract's pattern takes.
"""

from collections.abc import Sequence

from gates.answer import Answer
from gates.score import Miss, Score, listed, tally, unread
from gates.shown import shorten, some

NAMED = 5


def score(answers: Sequence[Answer]) -> Score:
    return tally(answers, _miss, empty="there are no rows")


def _miss(answer: Answer) -> Miss | None:
    if answer.parsed and not answer.stray:
        return None
    expected = f"only {listed(answer.documents)}"
    if missed := unread(answer, expected):
        return missed
    reason = f"{some([shorten(one, 60) for one in answer.stray], NAMED)}: not a document of the prompt"
    return Miss(id=answer.id, reason=reason, expected=expected, given=shorten(answer.fields.text or ""))
