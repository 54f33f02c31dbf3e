"""How good a row is called: as a number, whatever it is written as."""

import pytest

from gates.canonical import Json
from release.data import marks
from release.data.turns import BadRow


@pytest.mark.parametrize(
    ("value", "number"), [(3, 3.0), ("4.5", 4.5), (None, float("-inf")), (10**300, 1e300), (True, marks.LIKED[True])]
)
def test_a_rating_is_a_number(value: Json, number: float) -> None:
    assert marks.rating(value) == number


@pytest.mark.parametrize("value", ["so so", [1], {}, 10**400, -(10**400)])
def test_what_is_not_one_is_refused(value: Json) -> None:
    with pytest.raises(BadRow, match=r"^rating is (not a number|a number that no float holds)"):
        marks.rating(value)
