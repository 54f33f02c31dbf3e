"""Clusters, in which several rows are one observation, and slices, which show where an adapter is weak."""

import json
from dataclasses import replace
from typing import Any

import pytest
from jsonschema import Draft202012Validator

import gates
import schemas
from gates import report
from tests.gates.examples import REFUSAL, answer, contract, golden_rows, with_outputs

CONTRACT = contract()
RATE = {"answer_rate": {"target": 0.8, "floor": 0.7, "min_n": 9}}


def rows(**changes: Any) -> tuple[gates.Golden, ...]:
    """26 answerable rows in pairs that ask the same, 14 unanswerable ones; the first ten for a teacher."""
    made = golden_rows()
    for number, row in enumerate(made):
        row["meta"] = {"family": f"f{number // 2}", **changes}
        row["tags"] = ["persona:teacher"] if number < 10 else ["persona:student", "long"]
    return gates.parse_golden(made)


def judged(changed: dict[str, str], policy: dict[str, Any]) -> gates.Verdict:
    golden = rows()
    return gates.judge(golden, with_outputs(golden, changed), CONTRACT, gates.load_policy(policy))


def test_a_cluster_counts_once_and_is_wrong_if_one_of_its_rows_is() -> None:
    both, one = dict.fromkeys(["q00", "q01"], REFUSAL), {"q00": REFUSAL}
    for changed in (one, both):
        gate = judged(changed, {"cluster_key": "family", **RATE}).gate("answer_rate")
        assert (gate.units.k, gate.units.n, gate.score.n) == (12, 13, 26)
        assert [miss.id for miss in gate.score.misses] == sorted(changed)
        assert "12/13 = 92.3 % clusters of 26 rows (≥ 68.4 % at 95 %)" in report.line(gate)
        assert (gate.as_dict()["k"], gate.as_dict()["n"], gate.as_dict()["rows"]) == (12, 13, 26)


def test_what_26_rows_prove_13_clusters_do_not() -> None:
    bar = {"answer_rate": {"target": 0.9}}
    assert judged({}, bar).passed
    assert judged({}, {"cluster_key": "family", **bar}).state == "INSUFFICIENT"
    (planned,) = gates.plan(rows(), gates.load_policy({"cluster_key": "family", **bar}))
    assert (planned.n, planned.missing) == (13, 1)


@pytest.mark.parametrize("value", [None, "", True, ["f1"]])
def test_rows_without_a_cluster_are_invalid_where_the_policy_asks_for_clusters(value: object) -> None:
    golden, policy = rows(family=value), gates.load_policy({"cluster_key": "family", **RATE})
    verdict = gates.judge(golden, gates.gold_outputs(golden), CONTRACT, policy)
    assert (verdict.state, verdict.slices) == ("INVALID", {})
    assert "golden rows without a name in meta.family, the policy's cluster_key: q00" in verdict.problems[0]
    assert gates.gate_zero(golden, CONTRACT, policy).state == "INVALID"
    earlier = gates.Earlier(name="v1", golden=golden, outputs=gates.gold_outputs(golden))
    outputs = gates.gold_outputs(golden)
    assert gates.compare(golden, outputs, [earlier], CONTRACT, policy, against="last").state == "INVALID"
    with pytest.raises(gates.InvalidData, match=r"meta\.family"):
        gates.plan(golden, policy)


def test_gate_zero_asks_whether_a_gate_can_fail_on_clusters() -> None:
    golden, policy = rows(), gates.load_policy({"cluster_key": "family", **RATE})
    assert gates.gate_zero(golden, CONTRACT, policy).passed


def test_a_comparison_counts_clusters_and_names_rows() -> None:
    golden = rows()
    earlier = gates.Earlier(
        name="base", golden=golden, outputs=with_outputs(golden, {row.id: "no JSON" for row in golden[:8]})
    )
    outputs = gates.gold_outputs(golden)

    def beaten(policy: dict[str, Any]) -> gates.Comparison:
        return gates.compare(golden, outputs, [earlier], CONTRACT, gates.load_policy(policy), against="base")

    assert beaten(RATE).passed
    clustered = beaten({"cluster_key": "family", **RATE})
    assert not clustered.passed
    assert "4 won and 0 lost" in clustered.faults[0]
    assert clustered.pairings[0].won == tuple(row.id for row in golden[:8])


def test_a_policy_that_no_longer_clusters_is_weaker() -> None:
    plain, clustered, other = (
        gates.load_policy({**key, **RATE}) for key in ({}, {"cluster_key": "family"}, {"cluster_key": "x"})
    )
    assert gates.weaker(plain, clustered) == ("cluster_key: none, was family",)
    assert gates.weaker(other, clustered) == ("cluster_key: x, was family",)
    assert gates.weaker(clustered, plain) == ()  # a policy of before, which took no notice
    assert gates.weaker(gates.load_policy({"version": 3, "cluster_key": "family", **RATE}), plain) == (
        "cluster_key: family, was none",
    )
    assert gates.weaker(gates.load_policy({"version": 3, **RATE}), plain) == ()
    assert len({plain.digest, clustered.digest, other.digest}) == 3


def test_each_tag_has_its_counts_and_the_ids_of_its_failing_rows() -> None:
    changed = {"q00": REFUSAL, "q30": answer(1)}
    verdict = judged(changed, {**RATE, "refusal_recall": {"target": 0.8}})
    teacher, student = verdict.slices["persona:teacher"], verdict.slices["persona:student"]
    assert (teacher["answer_rate"].k, teacher["answer_rate"].n) == (9, 10)
    assert (student["answer_rate"].k, student["answer_rate"].n) == (16, 16)
    assert teacher["refusal_recall"].n == 0
    written = json.loads(verdict.to_json())
    assert written["slices"]["long"]["refusal_recall"] == {"k": 13, "n": 14, "wrong": ["q30"]}
    Draft202012Validator(schemas.load("verdict")).validate(written)


def test_slices_are_told_where_something_is_wrong_and_decide_nothing() -> None:
    verdict = judged({"q00": REFUSAL, "q01": REFUSAL}, RATE)
    assert verdict.passed
    assert (
        f"| {report.cell('persona:teacher')} | answer&#95;rate | {report.cell('8/10 = 80.0 %')} | q00, q01 |"
        in report.markdown(verdict)
    )
    assert "student" not in report.markdown(verdict)
    lines = report.explain(verdict, "answer_rate")
    assert "  persona:teacher: 8/10 = 80.0 %" in lines
    assert "  long: 16/16 = 100.0 %" in lines


def test_clusters_and_slices_change_nothing_where_there_are_none() -> None:
    golden = gates.parse_golden(golden_rows())
    verdict = gates.judge(golden, gates.gold_outputs(golden), CONTRACT, gates.load_policy(RATE))
    (gate,) = verdict.gates
    assert gate.units == replace(gate.score, misses=())
    assert verdict.slices == {}


@pytest.mark.parametrize(("wrong", "state"), [(10, "FAIL"), (3, "PASS"), (2, "PASS")])
def test_a_cluster_that_swallows_wrong_rows_does_not_hide_them(wrong: int, state: str) -> None:
    """Clusters pass only if rows do: of 31 clusters all but the large one are right."""
    made = golden_rows(40, 0)
    for number, row in enumerate(made):
        row["meta"] = {"family": "swallows" if number < wrong else f"family {number}"}
    golden = gates.parse_golden(made)
    changed = dict.fromkeys([row.id for row in golden[:wrong]], "no JSON")
    bars = {"version": 3, "cluster_key": "family", "answer_rate": {"mode": "point", "target": 0.9}}

    gate = gates.judge(golden, with_outputs(golden, changed), contract(), gates.load_policy(bars)).gate("answer_rate")

    assert gate.state == state
    of_rows = "30 of 40 rows are right, 36 are needed whatever their clusters"
    assert (of_rows in report.line(gate)) is (state == "FAIL")
    before = gates.load_policy({**bars, "version": 2})
    assert gates.judge(golden, with_outputs(golden, changed), contract(), before).gate("answer_rate").state == "PASS"
