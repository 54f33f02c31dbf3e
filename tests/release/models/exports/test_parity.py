"""The distance of two engines' probabilities, counted by hand."""

import math

import pytest

from release.models.exports.parity import distance


def logs(**chances: float) -> dict[int, float]:
    return {ord(name): math.log(chance) for name, chance in chances.items()}


def test_the_same_probabilities_are_at_no_distance() -> None:
    assert distance(logs(a=0.5, b=0.3), logs(a=0.5, b=0.3)) == pytest.approx(0, abs=1e-9)


def test_the_rest_counts_as_one_token() -> None:
    known = 0.5 * math.log(0.5 / 0.25)
    rest = 0.5 * math.log(0.5 / 0.75)

    assert distance(logs(a=0.5), logs(a=0.25)) == pytest.approx(known + rest)


def test_a_certain_token_that_the_other_doubts_is_far() -> None:
    assert distance(logs(a=1.0), logs(a=0.01)) == pytest.approx(math.log(100), rel=1e-6)
