"""What is ruled out of a loss: never less than 95 % of the time, by enumeration, and what so many rows can see."""

import math

import pytest
from scipy.stats import beta, multinomial

import gates
from gates import losses, report
from gates.losses import LARGEST, loss_bound
from tests.gates.examples import contract, golden, policy, with_outputs

RATE = {"answer_rate": {"mode": "point", "target": 0.5}}
BROKEN = "no JSON"


def coverage(n: int, loss: float, share: float, bounds: dict[tuple[int, int], float]) -> float:
    """How often the bound is not under the true loss, summed over every outcome."""
    lost = loss + share
    rest = max(0.0, 1 - lost - share)
    chances = multinomial(n, [lost, share, rest])
    return sum(float(chances.pmf([i, j, n - i - j])) for (i, j), bound in bounds.items() if bound >= loss)


@pytest.mark.parametrize("n", [5, 14])
def test_the_bound_holds_for_every_true_loss_and_share_of_changes(n: int) -> None:
    """It can fail least where the truth is just above a bound: there the coverage is lowest."""
    bounds = {(i, j): loss_bound(i, j, n) for i in range(n + 1) for j in range(n + 1 - i)}
    truths = sorted({bound + 1e-9 for bound in bounds.values()})
    lowest = min(
        coverage(n, loss, churn * (1 - loss) / 2, bounds)
        for loss in truths[:: max(1, len(truths) // 12)]
        if loss < 1
        for churn in (0.0, 0.004, 0.05, 0.21, 0.5, 0.83, 1.0)
    )

    assert 0.95 <= lowest < 0.952  # it is exact, and not merely careful


@pytest.mark.parametrize(("lost", "won"), [(0, 0), (1, 0), (2, 1), (1, 4), (0, 6), (5, 7), (12, 0)])
def test_the_chance_is_that_of_every_outcome_that_is_no_worse(lost: int, won: int) -> None:
    def order(i: int, j: int) -> float:
        return i - j + 1.645 * math.sqrt(i + j + 1)

    n = 12
    outcomes = [(i, j) for i in range(n + 1) for j in range(n + 1 - i) if order(i, j) <= order(lost, won) + 1e-9]
    for loss, churn in ((0.0, 0.0), (0.1, 0.0), (0.3, 0.2), (0.05, 0.9), (0.7, 1.0)):
        share = churn * (1 - loss) / 2
        chances = multinomial(n, [loss + share, share, max(0.0, 1 - loss - 2 * share)])
        every = sum(float(chances.pmf([i, j, n - i - j])) for i, j in outcomes)

        assert losses._chance(losses._no_worse(lost, won, n), n, loss, churn) == pytest.approx(every, abs=1e-9)


def test_a_bound_that_believes_the_rate_alone_does_not_hold() -> None:
    """So that the test above can fail."""
    bounds = {(i, j): max(0.0, (i - j) / 14) for i in range(15) for j in range(15 - i)}

    assert coverage(14, 0.1, 0.0, bounds) < 0.8


@pytest.mark.parametrize(("lost", "n"), [(0, 14), (0, 60), (1, 60), (2, 40), (5, 100)])
def test_where_none_is_won_it_is_the_bound_of_clopper_and_pearson(lost: int, n: int) -> None:
    assert loss_bound(lost, 0, n) == pytest.approx(beta.ppf(0.95, lost + 1, n - lost), abs=1e-4)


def test_more_lost_leaves_more_possible_and_more_won_less() -> None:
    for i in range(6):
        for j in range(6):
            assert loss_bound(i, j, 40) < loss_bound(i + 1, j, 40)
            assert loss_bound(i, j, 40) >= loss_bound(i, j + 1, 40)


def test_above_the_largest_the_bound_is_simpler_and_never_lower() -> None:
    n = LARGEST
    for i, j in ((0, 0), (20, 5), (50, 40)):
        assert loss_bound(i, j, n) <= loss_bound(i, j, n + 1) + 0.001
    both = beta.ppf(0.96, 51, 1950) - beta.ppf(0.01, 40, 1961)
    assert loss_bound(50, 40, 2000) == math.ceil(1e4 * both) / 1e4
    assert loss_bound(50, 40, 100_000) < 0.001
    assert loss_bound(0, 3000, 10_000) == 0.0


@pytest.mark.parametrize(("lost", "won", "n"), [(-1, 0, 5), (3, 3, 5), (0, 0, 0)])
def test_what_is_no_outcome_has_no_bound(lost: int, won: int, n: int) -> None:
    with pytest.raises(ValueError, match="is not an outcome"):
        loss_bound(lost, won, n)


@pytest.mark.parametrize(("limit", "n"), [(0.15, 19), (0.10, 29), (0.20, 14), (0.05, 59)])
def test_how_many_rows_rule_a_loss_out(limit: float, n: int) -> None:
    assert losses.least(limit) == n
    assert losses.sees(n, limit)
    assert loss_bound(0, 0, n) <= limit < loss_bound(0, 0, n - 1)


def test_what_is_just_at_a_limit_is_within_it() -> None:
    limit = loss_bound(1, 0, 26)

    assert losses.not_ruled_out(1, 0, 26, limit) == ""
    assert losses.not_ruled_out(1, 0, 26, limit - 1e-4) != ""
    assert losses.worse(1, 0, 20, losses.REGRESSED, 0.05) == ""
    said = "1 lost and 0 won: not by chance (p = 0.100, less than 0.1)"
    assert losses.worse(1, 0, 20, losses.REGRESSED - 1e-9, 0.05) == said


def compared(rows: tuple[gates.Golden, ...], lost: int, won: int = 0, **more: object) -> gates.Comparison:
    ids = [row.id for row in rows]
    now = with_outputs(rows, dict.fromkeys(ids[:lost], BROKEN))
    before = with_outputs(rows, dict.fromkeys(ids[lost : lost + won], BROKEN))
    earlier = gates.Earlier(name="v1", golden=rows, outputs=before)
    bars = policy(**{"version": 3, **RATE, **more})  # type: ignore[arg-type]
    return gates.compare(rows, now, [earlier], contract(), bars, against="last")


@pytest.mark.parametrize(
    ("n", "lost", "won", "says"),
    [
        (40, 2, 0, ""),
        (40, 3, 2, ""),
        (60, 3, 0, ""),
        (26, 1, 0, "1 lost and 0 won of 26: a loss of 17.0% is not ruled out, 15% must be"),
        (26, 0, 0, ""),
        (26, 1, 1, ""),
    ],
)
def test_a_loss_that_matters_must_be_ruled_out(n: int, lost: int, won: int, says: str) -> None:
    comparison = compared(golden(n, 0), lost, won)

    assert comparison.passed is (not says)
    assert [one.fault for one in comparison.pairings] == [says, says]


def test_a_policy_says_how_much_must_be_ruled_out_and_one_of_before_asks_for_nothing() -> None:
    assert compared(golden(26, 0), 1, loss_margin=0.15).passed
    assert not compared(golden(40, 0), 2, loss_margin=0.09).passed
    before = compared(golden(26, 0), 1, version=2)
    assert before.passed
    assert b"bound" not in before.to_json()


def test_too_few_rows_are_told_and_hold_nobody_up_here() -> None:
    """Whoever releases must give a reason for that (`blind`)."""
    rows = golden(18, 0)
    comparison = compared(rows, 0)
    earlier = gates.Earlier(name="v1", golden=rows, outputs=gates.gold_outputs(rows))
    bars = policy(version=3, **RATE)  # type: ignore[arg-type]

    assert comparison.passed
    assert all(one.blind for one in comparison.pairings)
    said = "\n".join(report.comparison_terminal(comparison))
    assert "on 18 rows a drop of 10% passes 15% of the time; a loss of up to 15.3% stays possible" in said
    assert "too few rows to rule out what must be: every_required_gate, answer_rate" in said
    assert gates.blind(rows, earlier, bars) == {"answer_rate": 18}
    assert gates.blind(golden(19, 0), gates.Earlier(name="v1", golden=golden(19, 0), outputs=()), bars) == {}
    assert gates.blind(rows, earlier, policy(version=2, **RATE)) == {}  # type: ignore[arg-type]


def test_what_a_comparison_could_have_seen_is_a_sum_over_what_is_lost() -> None:
    """Three lost of 40 are too many, so a drop of ten points passes when two or fewer are lost."""
    passes = sum(math.comb(40, lost) * 0.1**lost * 0.9 ** (40 - lost) for lost in range(3))

    assert losses.unseen(40, 0.05, 0.1, 0.15) == pytest.approx(passes)
    (one, _) = compared(golden(40, 0), 0).pairings
    assert one.unseen == pytest.approx(passes, abs=1e-4)


@pytest.mark.parametrize(
    ("n", "limit", "fewer"),
    [(40, 0.15, 3), (26, 0.15, 1), (40, None, 4), (18, 0.15, 4), (3, None, 4)],
    ids=["a bound", "a bound that one loss breaks", "chance alone", "too few rows for the bound", "nothing is refused"],
)
def test_what_slips_through_is_every_count_below_the_first_refused(n: int, limit: float | None, fewer: int) -> None:
    passes = sum(math.comb(n, lost) * 0.1**lost * 0.9 ** (n - lost) for lost in range(fewer))

    assert losses.unseen(n, 1.0, 0.1, limit) == pytest.approx(passes)
