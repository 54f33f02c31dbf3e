"""Gate: every citation object repeats what the prompt says of its document. Counts the answers that cite.

A field that is filled with "unknown" is not filled, and one that the prompt does not hold cannot have come from it.
"""

from collections.abc import Sequence

from gates.answer import Answer
from gates.canonical import Json
from gates.rows import id_key
from gates.score import Miss, Score, listed, says_nothing, tally
from gates.shown import shorten


def score(answers: Sequence[Answer]) -> Score:
    return tally([one for one in answers if one.fields.entries], _miss, empty="no answer cites anything")


def _miss(answer: Answer) -> Miss | None:
    for number, entry in enumerate(answer.fields.entries or ()):
        name = (answer.fields.cited or ())[number]
        document = answer.sources.get(name)
        if document is None:
            return Miss(
                id=answer.id,
                reason=f"citation {number + 1} names {name}, which is not in the prompt",
                expected=f"one of {listed(answer.documents)}",
            )
        for key, field in answer.provenance.items():
            if missed := _field(answer, number, entry, key, document.fields.get(field)):
                return missed
    return None


def _field(answer: Answer, number: int, entry: Json, key: str, true: Json) -> Miss | None:
    given = entry.get(key) if isinstance(entry, dict) else None
    if says_nothing(given):
        reason = f"citation {number + 1} has no {key}"
    elif true is None:
        reason = f"citation {number + 1} has a {key} that the prompt does not hold"
    elif id_key(given).strip() != id_key(true).strip():
        reason = f"citation {number + 1} has another {key} than its document"
    else:
        return None
    return Miss(id=answer.id, reason=reason, expected=shorten(str(true or "")), given=shorten(str(given)))
