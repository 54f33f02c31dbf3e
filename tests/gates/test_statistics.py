"""Exact bounds against scipy, against exact fractions and against the published tables."""

import math
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gates import statistics


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 1000), st.floats(0, 1), st.sampled_from([0.8, 0.9, 0.95, 0.99]))
def test_the_bound_is_scipys_clopper_pearson(n: int, share: float, confidence: float) -> None:
    from scipy.stats import beta

    k = round(n * share)
    oracle = beta.ppf(1 - confidence, k, n - k + 1) if k else 0.0
    assert statistics.lower_bound(k, n, confidence) == pytest.approx(oracle, abs=1e-10)


@given(st.integers(1, 60), st.integers(0, 60), st.fractions(0, 1, max_denominator=100))
def test_a_tail_is_the_sum_of_its_exact_terms(n: int, k: int, p: Fraction) -> None:
    exact = sum(math.comb(n, i) * p**i * (1 - p) ** (n - i) for i in range(k, n + 1))
    assert statistics.at_least(k, n, float(p)) == pytest.approx(float(exact), abs=1e-12)


@given(st.integers(1, 200), st.integers(0, 200))
def test_more_right_never_proves_less(n: int, k: int) -> None:
    if k < n:
        assert statistics.lower_bound(k, n, 0.95) < statistics.lower_bound(k + 1, n, 0.95) < 1


@pytest.mark.parametrize(
    ("bound", "n"), [(0.8, 14), (0.85, 19), (0.9, 29), (0.95, 59), (0.98, 149), (0.99, 299), (0.999, 2995)]
)
def test_the_smallest_set_that_can_prove_a_bound(bound: float, n: int) -> None:
    assert statistics.minimum_n(bound, 0.95) == n
    assert statistics.minimum_n(0.01, 0.95) == 1


@pytest.mark.parametrize(
    ("target", "floor", "n", "needs"),
    [
        (0.9, 0.8, 13, None),
        (0.9, 0.8, 14, 14),
        (0.9, 0.8, 25, 24),
        (0.9, 0.8, 40, 37),
        (0.9, 0.8, 60, 54),
        (0.9, 0.8, 100, 90),
        (0.95, 0.85, 18, None),
        (0.95, 0.85, 40, 38),
        (0.85, 0.75, 11, 11),
        (0.85, 0.75, 40, 35),
        (0.8, 0.7, 14, 13),
        (0.8, 0.7, 40, 34),
        (0.9, 0.9, 40, 40),
        (0.9, 0.9, 100, 96),
        (0.9, 0.9, 28, None),
        (0.9, None, 40, 36),
        (0.9, None, 10, 9),
        (1.0, None, 7, 7),
    ],
)
def test_how_many_must_be_right(target: float, floor: float | None, n: int, needs: int | None) -> None:
    assert statistics.needed(n, target, floor, 0.95) == needs


def test_a_perfect_score_on_few_rows_is_no_proof() -> None:
    assert statistics.lower_bound(10, 10, 0.95) == pytest.approx(0.741, abs=5e-4)
    assert statistics.lower_bound(0, 10, 0.95) == 0
    assert statistics.lower_bound(38, 40, 0.95) == pytest.approx(0.8508, abs=5e-5)


@pytest.mark.parametrize("floor", [0.7, 0.8, 0.9])
def test_an_adapter_no_better_than_the_floor_passes_at_most_once_in_twenty(floor: float) -> None:
    for n in range(1, 300):
        needs = statistics.needed(n, floor + 0.1, floor, 0.95)
        assert needs is None or statistics.at_least(needs, n, floor) <= 0.05 + 1e-12


@pytest.mark.parametrize(("k", "n"), [(0, 0), (2, 1), (-1, 3)])
def test_what_is_no_count_has_no_bound(k: int, n: int) -> None:
    with pytest.raises(ValueError, match="is not a count"):
        statistics.lower_bound(k, n, 0.95)


@pytest.mark.parametrize("bound", [0.0, 1.0, math.nan, 85])
def test_what_no_set_can_prove_has_no_smallest_set(bound: float) -> None:
    with pytest.raises(ValueError, match="cannot be proved"):
        statistics.minimum_n(bound, 0.95)


def test_all_attempts_there_will_ever_be_err_with_alpha_at_most() -> None:
    """1/(1*2) + 1/(2*3) + ... + 1/(k (k+1)) is k / (k + 1)."""
    spent = [1 - Fraction(str(statistics.spent(0.95, k))) for k in range(1, 1001)]

    assert float(sum(spent)) == pytest.approx(0.05 * 1000 / 1001)
    assert spent == sorted(spent, reverse=True)


@pytest.mark.parametrize("attempts", [1, 5, 20, 200])
def test_an_adapter_no_better_than_the_floor_passes_in_one_of_all_attempts_once_in_twenty(attempts: int) -> None:
    """Exactly, for sets of 20 to 400 rows: an adapter of 80 % by the default's citation coverage."""
    for n in (20, 24, 30, 36, 50, 60, 85, 100, 135, 185, 250, 400):
        failing = 1.0
        for k in range(1, attempts + 1):
            needs = statistics.needed(n, 0.90, 0.80, statistics.spent(0.95, k))
            failing *= 1.0 if needs is None else 1.0 - statistics.at_least(needs, n, 0.80)
        assert 1.0 - failing <= 0.05


def test_without_correction_twenty_attempts_pass_far_too_often() -> None:
    """So that the test above can fail."""
    needs = statistics.needed(50, 0.90, 0.80, 0.95)
    assert needs is not None
    assert 1 - (1 - statistics.at_least(needs, 50, 0.80)) ** 20 > 0.6


@pytest.mark.parametrize(("lost", "won"), [(0, 0), (1, 0), (0, 7), (5, 5), (40, 3), (300, 411)])
def test_the_test_of_mcnemar_is_the_sum_of_its_binomial_terms(lost: int, won: int) -> None:
    changed = lost + won
    terms = sum(math.comb(changed, i) for i in range(lost, changed + 1))

    assert statistics.mcnemar(lost, won) == float(Fraction(terms, 2**changed))
