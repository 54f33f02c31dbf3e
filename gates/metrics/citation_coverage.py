"""Gate: an answerable question gets at least one citation, and every citation is a document of this prompt.

Counts the answerable rows whose golden row asks for a citation; a refusal, an id that is not there, or markers in the
text that are not the citations make a row wrong. Near to citation recall without the support check of Liu et al. 2023
(arXiv 2304.09848).
"""

from collections.abc import Sequence

from gates.answer import Answer
from gates.score import Miss, Score, listed, not_answered, tally, unread


def score(answers: Sequence[Answer]) -> Score:
    asked = [answer for answer in answers if answer.golden.answerable and answer.golden.citation_required]
    return tally(asked, _miss, empty="no golden row is answerable and asks for a citation")


def _miss(answer: Answer) -> Miss | None:
    if answer.answered and answer.cited and answer.cites_documents and answer.markers_agree:
        return None
    strange = answer.cited - answer.documents
    expected = f"a citation of {listed(answer.golden.support or answer.documents)}"
    if missed := unread(answer, expected) or not_answered(answer, expected):
        return missed
    if not answer.cited:
        reason = "cites nothing"
    elif strange:
        reason = f"cites {listed(strange)}, not among the documents {listed(answer.documents)}"
    else:
        reason = f"markers in the text are {listed(answer.in_text)}"
    return Miss(id=answer.id, reason=reason, expected=expected, given=listed(answer.cited))
