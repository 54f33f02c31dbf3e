"""Gate: text and refusal field say the same, so that nobody refuses in the text and answers by the field, or back.

Counts every row. A refusal must say that it refuses, and gives no number that the prompt does not hold; an answer does
not begin with a refusal, nor consist of refusals for the most part. In the words that the contract declares.
"""

from collections.abc import Sequence

from gates.answer import Answer
from gates.numerals import numerals
from gates.refusal_text import only_refuses, says_that_it_refuses
from gates.score import Miss, Score, tally, unread
from gates.shown import shorten


def score(answers: Sequence[Answer]) -> Score:
    return tally(answers, _miss, empty="there are no rows")


def _miss(answer: Answer) -> Miss | None:
    expected = "a text and a field that agree"
    if missed := unread(answer, expected):
        return missed
    reason = _why(answer)
    return Miss(id=answer.id, reason=reason, expected=expected, given=shorten(answer.prose)) if reason else None


def _why(answer: Answer) -> str:
    words = None if answer.contract is None else answer.contract.refusal_text
    if words is None:
        return ""
    if answer.fields.refused is None:
        return "does not say whether it refuses"
    if answer.answered:
        refuses = only_refuses(answer.prose, words.languages, words.phrases)
        return "answers by its field and refuses in its text" if refuses else ""
    if not says_that_it_refuses(answer.prose, words.languages, words.phrases):
        return "refuses by its field, and its text does not say so"
    strange = _new_numbers(answer)
    return f"refuses and gives {shorten(', '.join(strange), 60)}, which the prompt does not hold" if strange else ""


def _new_numbers(answer: Answer) -> list[str]:
    """Numbers of its text that the prompt does not hold, nor count its documents."""
    given = [one for one in numerals(answer.prose) if one.value is None or not 0 <= one.value <= len(answer.documents)]
    if not given:
        return []
    held = [one for message in answer.golden.prompt for one in numerals(message["content"])]
    values, unread = {one.value for one in held}, {one.written for one in held if one.value is None}
    return [
        one.written for one in given if (one.written not in unread if one.value is None else one.value not in values)
    ]
