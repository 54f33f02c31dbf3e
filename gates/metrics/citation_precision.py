"""Gate: an answer cites, and only what supports it. Counts the answers given to answerable, labelled rows."""

from collections.abc import Sequence

from gates.answer import Answer
from gates.score import Miss, Score, listed, tally


def score(answers: Sequence[Answer]) -> Score:
    given = [one for one in answers if one.answered and one.golden.answerable and one.golden.support]
    return tally(given, _miss, empty="no labelled answerable row was answered")


def _miss(answer: Answer) -> Miss | None:
    support = set(answer.golden.support or ())
    if answer.cited and answer.cited <= support:
        return None
    reason = f"cites {listed(answer.cited - support)}, which does not support it" if answer.cited else "cites nothing"
    return Miss(id=answer.id, reason=reason, expected=f"only {listed(support)}", given=listed(answer.cited))
