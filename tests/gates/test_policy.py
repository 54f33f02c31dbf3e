"""Policies: what is refused at load, the defaults, and the digest."""

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import gates
from gates.table import ADVISORY
from tests.gates.examples import DATA, policy

BAD = json.loads((DATA / "bad_policies.json").read_text("utf-8"))


@pytest.mark.parametrize("case", BAD, ids=lambda case: case["fault"])
def test_a_bad_policy_is_refused_with_every_problem(case: dict[str, Any]) -> None:
    with pytest.raises(gates.InvalidConfig) as refused:
        gates.load_policy(case["policy"])
    assert list(refused.value.problems) == case["says"]


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("key", ["target", "floor", "confidence"])
def test_no_key_of_a_policy_may_be_nan_or_infinite(key: str, number: float) -> None:
    with pytest.raises(gates.InvalidConfig, match=rf"^gates\.answer_rate\.{key}: {number} is not a number"):
        policy(answer_rate={"target": 0.9, key: number})


def test_minimum_says_how_many_rows_or_answers_are_the_least_whichever_a_gate_counts() -> None:
    bars = policy(answer_rate={"target": 0.9, "minimum": 40}, refusal_precision={"target": 0.9, "minimum": 45}).bars
    assert {bar.gate: bar.minimum for bar in bars} == {"answer_rate": 40, "refusal_precision": 45}


def test_a_lower_bound_may_say_the_floor_that_it_means() -> None:
    (bar,) = policy(answer_rate={"mode": "lower_bound", "target": 0.9, "floor": 0.9}).bars
    assert (bar.target, bar.floor) == (0.9, 0.9)


def test_the_default_policy_is_the_one_documented() -> None:
    bars = {bar.gate: bar for bar in policy().bars}
    assert {name: (bar.mode, bar.target, bar.floor, bar.minimum) for name, bar in bars.items()} == {
        "json_parse": ("zero_failures", 1.0, None, 14),
        "schema_compliance": ("zero_failures", 1.0, None, 14),
        "contract_rules": ("zero_failures", 1.0, None, 14),
        "citation_coverage": ("target_and_floor", 0.9, 0.8, 14),
        "citation_precision": ("target_and_floor", 0.9, 0.8, 14),
        "refusal_precision": ("target_and_floor", 0.85, 0.75, 11),
        "refusal_recall": ("target_and_floor", 0.8, 0.7, 9),
        "answer_rate": ("target_and_floor", 0.9, 0.8, 14),
        "no_stray_citations": ("target_and_floor", 0.95, 0.85, 19),
    }
    assert all(bar.required and bar.confidence == 0.95 for bar in bars.values())


def test_a_floor_left_out_is_ten_points_below_the_target() -> None:
    (bar,) = policy(answer_rate={"target": 0.9}).bars
    assert bar.floor == 0.8


def test_a_minimum_may_raise_what_the_bound_needs_and_never_lower_it() -> None:
    def minimum(**keys: Any) -> int:
        (bar,) = policy(answer_rate=keys).bars
        return bar.minimum

    assert minimum(target=0.9, min_n=1) == 14
    assert minimum(target=0.9, min_n=40) == 40
    assert minimum(target=0.9, mode="lower_bound") == 29
    assert minimum(target=0.9, mode="point") == 14
    assert minimum(mode="zero_failures", min_n=1) == 1


def test_the_digest_depends_on_what_is_meant_and_not_on_how_it_is_written() -> None:
    short = policy(answer_rate={"target": 0.9}, json_parse={"mode": "zero_failures"})
    long = policy(json_parse={"mode": "zero_failures", "target": 1}, answer_rate={"floor": 0.8, "target": 0.90})
    assert short.digest == long.digest
    assert short.digest != policy(answer_rate={"target": 0.91}, json_parse={"mode": "zero_failures"}).digest


SHARES = st.floats(0.2, 0.98).map(lambda share: round(share, 3))


@given(SHARES, st.integers(1, 120), st.integers(0, 120))
def test_each_mode_decides_as_its_name_says(target: float, n: int, k: int) -> None:
    from fractions import Fraction

    from gates.statistics import lower_bound

    (point,) = policy(answer_rate={"mode": "point", "target": target}).bars
    (bound,) = policy(answer_rate={"mode": "lower_bound", "target": target}).bars
    (both,) = policy(answer_rate={"target": target}).bars
    k = min(k, n)
    reaches = Fraction(k, n) >= Fraction(str(target))
    assert (k >= (point.needs(n) or 0)) == reaches
    assert (k >= (bound.needs(n) or n + 1)) == (lower_bound(k, n, 0.95) >= target)
    assert (k >= (both.needs(n) or n + 1)) == (reaches and lower_bound(k, n, 0.95) >= (both.floor or 1))


@given(st.one_of(st.none(), st.text(), st.dictionaries(st.text(), st.text()), st.lists(st.integers())))
def test_no_mapping_crashes_the_loader(value: Any) -> None:
    with pytest.raises(gates.InvalidConfig):
        gates.load_policy({"answer_rate": value})


@pytest.mark.parametrize(
    ("then", "now", "says"),
    [
        ({"target": 0.9}, {"target": 0.9}, []),
        ({"target": 0.9}, {"target": 0.95, "floor": 0.8, "min_n": 60}, []),
        ({"target": 0.9}, {"mode": "lower_bound", "target": 0.9}, []),
        ({"mode": "point", "target": 0.9}, {"mode": "point", "target": 0.9, "confidence": 0.5}, []),
        ({"target": 0.9, "floor": 0.8}, {"target": 0.85, "floor": 0.8}, ["target 0.85, was 0.9"]),
        ({"target": 0.9, "min_n": 20}, {"target": 0.9, "floor": 0.7, "min_n": 20}, ["floor 0.7, was 0.8"]),
        (
            {"target": 0.9, "min_n": 20},
            {"target": 0.9, "min_n": 20, "confidence": 0.8},
            ["confidence 0.8, was 0.95"],
        ),
        ({"target": 0.9, "min_n": 60}, {"target": 0.9, "min_n": 40}, ["minimum 40, was 60"]),
        ({"target": 0.9}, {"target": 0.9, "required": False}, ["advisory, was required"]),
        ({"target": 0.9, "required": False}, {"mode": "point", "target": 0.1}, []),
        (
            {"mode": "lower_bound", "target": 0.9},
            {"mode": "point", "target": 0.9},
            ["floor none, was 0.9", "minimum 14, was 29", "mode point, was lower_bound"],
        ),
        (
            {"mode": "zero_failures"},
            {"target": 0.99},
            ["target 0.99, was 1", "mode target_and_floor, was zero_failures"],
        ),
    ],
)
def test_every_way_in_which_a_policy_is_weaker_is_named(
    then: dict[str, Any], now: dict[str, Any], says: list[str]
) -> None:
    other = {"json_parse": {"mode": "zero_failures"}}
    before, after = policy(**other, answer_rate=then), policy(**other, answer_rate=now)
    assert gates.weaker(after, before) == tuple(f"answer_rate: {line}" for line in says)


def test_a_gate_that_is_gone_is_weaker_and_one_that_is_new_is_not() -> None:
    one, two = policy(answer_rate={"target": 0.9}), policy(answer_rate={"target": 0.9}, refusal_recall={"target": 0.8})
    assert gates.weaker(two, one) == ()
    assert gates.weaker(one, two) == ("refusal_recall: gone, was required",)


BARS = st.one_of(
    st.just({"mode": "zero_failures"}),
    st.builds(lambda mode, target: {"mode": mode, "target": target}, st.sampled_from(["point", "lower_bound"]), SHARES),
    st.builds(lambda target, confidence: {"target": target, "confidence": confidence}, SHARES, SHARES.filter(bool)),
).filter(lambda bar: 0.5 <= bar.get("confidence", 0.9) < 1)


@given(BARS, BARS, st.integers(1, 200))
def test_what_passes_a_policy_that_is_not_weaker_passes_the_other_too(
    then: dict[str, Any], now: dict[str, Any], n: int
) -> None:
    before, after = policy(answer_rate=then), policy(answer_rate=now)
    if not gates.weaker(after, before):
        (old,), (new,) = before.bars, after.bars
        needs = new.needs(n) if n >= new.minimum else None
        assert needs is None or (n >= old.minimum and needs >= (old.needs(n) or n + 1))


@given(
    st.dictionaries(st.sampled_from(sorted(set(gates.GATES) - set(ADVISORY))), BARS, min_size=1), st.booleans(), SHARES
)
def test_a_policy_that_was_written_out_loads_as_the_same_policy(
    bars: dict[str, dict[str, Any]], clustered: bool, loss: float
) -> None:
    more = {"cluster_key": "family", "max_net_loss": loss} if clustered else {}
    one = gates.load_policy({**bars, **more})

    assert gates.load_policy(one.as_dict()) == one
    assert gates.load_policy(json.loads(json.dumps(one.as_dict()))).digest == one.digest


def test_a_larger_loss_to_earlier_releases_is_weaker() -> None:
    bar = {"answer_rate": {"target": 0.9}}
    usual, more = gates.load_policy(bar), gates.load_policy({**bar, "max_net_loss": 0.1})

    assert gates.weaker(more, usual) == ("max_net_loss: 0.1, was 0.05",)
    assert gates.weaker(usual, more) == ()
    assert "max_net_loss" not in usual.as_dict()  # the digest of a policy that says nothing of it stays what it was


@pytest.mark.parametrize("number", [math.nan, -0.01, 1, 5, "0.1", None, True])
def test_a_loss_that_is_no_share_is_refused(number: object) -> None:
    with pytest.raises(gates.InvalidConfig, match=r"max_net_loss"):
        gates.load_policy({"answer_rate": {"target": 0.9}, "max_net_loss": number})


@pytest.mark.parametrize(
    ("key", "says"),
    [
        ("context_alignment", "cosines differ between machines.*retrieval_utilisation can have a threshold"),
        ("context_aligment", "cosines differ between machines"),
        ("json_parse_fence_tolerant", "json_parse decides"),
        ("schema_compliance_of_parsed", "schema_compliance decides"),
    ],
)
def test_what_is_only_shown_is_refused_with_why_and_what_can_be_a_threshold(key: str, says: str) -> None:
    with pytest.raises(gates.InvalidConfig, match=rf"^gates\.{key}: no threshold can be set on .*{says}"):
        gates.load_policy({**gates.DEFAULT_POLICY, key: {"target": 0.9}})


@pytest.mark.parametrize("gate", ["retrieval_utilisation", "lexical_grounding", "unsupported_specifics"])
def test_a_screen_may_have_a_threshold_that_is_not_required(gate: str) -> None:
    policy = gates.load_policy({**gates.DEFAULT_POLICY, gate: {"target": 0.5, "required": False}})

    assert [one.required for one in policy.bars if one.gate == gate] == [False]
