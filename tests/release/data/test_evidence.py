"""What keeps a row from being trained on is said in the words of the data gate's checks."""

import gates
from release.data import evidence
from release.data.chat import Example

ROW = gates.Golden(id="r1", prompt=({"role": "user", "content": "Is it?"},), gold="Yes.")


def test_a_row_that_fits_has_no_fault() -> None:
    assert list(evidence.unfit(ROW, Example(asked=(1, 2), learned=(3,)), 3)) == []


def test_a_row_that_does_not_fit_or_is_not_learned_as_it_is_asked_is_told_with_both_reasons() -> None:
    faulty = Example(asked=(1, 2), learned=(3, 4), fault="The template never ends.")

    assert list(evidence.unfit(ROW, faulty, 3)) == [
        "row r1: it is too long: 4 tokens, data.max_length is 3",
        "row r1: it cannot be learned as it would be asked: The template never ends.",
    ]
