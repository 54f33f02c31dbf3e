"""Comparisons: pairs of rows, the exact test against an oracle, drops that must not add up, adapters of no effect."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from scipy.stats import binomtest

import gates
import schemas
from gates import report
from gates.__main__ import main
from gates.comparison import EVERY, Against
from gates.losses import unseen, worse
from gates.statistics import mcnemar
from tests.gates.examples import DATA, REFUSAL, answer, contract, golden, golden_rows, policy, with_outputs, write_lines

CONTRACT = contract()
GOLDEN = golden()
IDS = [row.id for row in GOLDEN]
BROKEN = "no JSON"


def earlier(changed: Mapping[str, str], name: str = "v1", rows: tuple[gates.Golden, ...] = GOLDEN) -> gates.Earlier:
    return gates.Earlier(name=name, golden=rows, outputs=with_outputs(rows, changed))


def compared(
    now: Mapping[str, str], *before: gates.Earlier, against: Against = "last", **bars: dict[str, Any]
) -> gates.Comparison:
    outputs = with_outputs(GOLDEN, now)
    return gates.compare(GOLDEN, outputs, before, CONTRACT, policy(**bars), against=against)


def broken(*numbers: int) -> dict[str, str]:
    return {IDS[number]: BROKEN for number in numbers}


@given(st.integers(0, 40), st.integers(0, 40))
def test_the_test_is_the_exact_one(lost: int, won: int) -> None:
    expected = binomtest(lost, lost + won, 0.5, alternative="greater").pvalue if lost + won else 1.0
    assert mcnemar(lost, won) == pytest.approx(expected, abs=1e-12)


def test_answers_like_the_last_releases_pass_and_no_row_changes_sides() -> None:
    comparison = compared({}, earlier({}))
    assert comparison.passed
    assert {one.p for one in comparison.pairings} == {1.0}
    assert (comparison.identical, comparison.rows, comparison.regressed) == (40, 40, ())


@pytest.mark.parametrize(
    ("lost", "won", "state", "why"),
    [
        (2, 0, "PASS", ""),
        (3, 0, "FAIL", "3 lost and 0 won: more than 5% of 40 are lost"),
        (4, 2, "PASS", ""),
        (5, 2, "FAIL", "5 lost and 2 won: more than 5% of 40 are lost"),
        (0, 20, "PASS", ""),
    ],
)
def test_a_release_may_lose_few_rows_and_each_is_named(lost: int, won: int, state: str, why: str) -> None:
    now, before = broken(*range(lost)), broken(*range(lost, lost + won))
    comparison = compared(now, earlier(before), json_parse={"mode": "zero_failures"})
    assert comparison.state == state
    assert comparison.regressed == tuple(IDS[:lost])
    assert all(why in fault for fault in comparison.faults)
    (_, pairing) = comparison.pairings
    assert (pairing.right_now - pairing.right_before, pairing.won) == (won - lost, tuple(IDS[lost : lost + won]))


def test_losses_that_chance_does_not_explain_fail_where_their_share_is_small() -> None:
    many = golden(150, 14)
    lost = {row.id: BROKEN for row in many[:6]}
    comparison = gates.compare(
        many, with_outputs(many, lost), [earlier({}, rows=many)], CONTRACT,
        policy(json_parse={"mode": "zero_failures"}), against="last",
    )  # fmt: skip
    assert comparison.state == "FAIL"
    assert "not by chance (p = 0.016" in comparison.faults[0]


def test_a_drop_cannot_add_up_over_releases_that_each_lose_a_little() -> None:
    releases = [earlier(broken(*range(step)), f"v{step}") for step in range(0, 6, 2)]
    now = broken(*range(6))
    bar = {"mode": "point", "target": 0.5}
    assert compared(now, releases[-1], json_parse=bar).passed
    comparison = compared(now, *releases, against="best", json_parse=bar)
    assert comparison.state == "FAIL"
    assert {one.earlier for one in comparison.pairings} == {"v0"}


def test_against_the_best_each_gate_meets_the_release_that_was_best_at_it() -> None:
    comparison = compared(
        {},
        earlier(dict.fromkeys(IDS[:4], REFUSAL), "parses"),
        earlier(broken(*range(26, 30)), "answers"),
        against="best",
        json_parse={"mode": "zero_failures"},
        answer_rate={"target": 0.9},
    )
    assert {one.gate: one.earlier for one in comparison.pairings} == {
        EVERY: "parses",
        "json_parse": "parses",
        "answer_rate": "answers",
    }


def test_the_best_release_at_a_gate_has_the_best_rate_and_was_counted() -> None:
    never, often = earlier(dict.fromkeys(IDS[26:], answer(2)), "never"), earlier({IDS[0]: REFUSAL}, "often")
    bars: dict[str, Any] = {"refusal_precision": {"target": 0.85}}
    assert {one.earlier for one in compared({}, never, often, earlier({}), against="best", **bars).pairings} == {"v1"}
    assert {one.earlier for one in compared({}, never, often, against="best", **bars).pairings} == {"often"}


def test_rows_that_a_gate_counts_in_either_are_compared() -> None:
    (_, pairing) = compared({}, earlier({IDS[0]: REFUSAL}), refusal_precision={"target": 0.85}).pairings
    assert (pairing.n, pairing.right_before, pairing.right_now, pairing.won) == (15, 14, 15, ("q00",))


def test_a_loss_in_an_advisory_gate_is_shown_and_does_not_decide() -> None:
    comparison = compared(
        broken(*range(10)),
        earlier({}),
        json_parse={"mode": "zero_failures", "required": False},
        refusal_recall={"target": 0.8},
    )
    assert comparison.passed
    assert {one.gate: len(one.lost) for one in comparison.pairings}["json_parse"] == 10
    assert comparison.regressed == ()


def test_the_base_is_beaten_by_five_wins_and_no_loss_and_not_by_four() -> None:
    five, four = (compared({}, earlier(broken(*range(wins)), "base"), against="base") for wins in (5, 4))
    assert five.passed
    assert four.state == "FAIL"
    assert "does not beat the base: 4 won and 0 lost (p = 0.062" in four.faults[0]


def test_an_adapter_whose_answers_are_the_bases_is_refused_as_without_effect() -> None:
    same = compared(broken(1), earlier(broken(1), "base"), against="base")
    assert same.state == "FAIL"
    assert same.faults[0] == "all 40 answers are the base's to the byte: the adapter has no effect"
    assert "no effect" not in "".join(compared({}, earlier(broken(1), "base"), against="base").faults)


def test_answers_that_all_crashed_are_worse_than_anything() -> None:
    outputs = [gates.Output(id=one, output="", finish_reason="error") for one in IDS]
    comparison = gates.compare(GOLDEN, outputs, [earlier({})], CONTRACT, policy(), against="last")
    assert comparison.state == "FAIL"
    assert comparison.regressed == tuple(IDS)


def test_a_gate_that_counts_nothing_in_either_is_not_compared_and_does_not_pass() -> None:
    nobody_refuses = dict.fromkeys(IDS[26:], answer(2))
    bars: dict[str, Any] = {"json_parse": {"mode": "zero_failures"}, "refusal_precision": {"target": 0.85}}
    comparison = compared(nobody_refuses, earlier(nobody_refuses), against="last", **bars)
    assert comparison.faults == ("refusal_precision: nothing is counted, in either",)
    assert not comparison.passed


def test_rows_that_changed_since_are_not_compared_and_too_few_that_did_not_are_invalid() -> None:
    def answered(changed: int) -> gates.Comparison:
        rows = golden_rows()
        for row in rows[:changed]:
            row["meta"] = "another question by now"
        then = earlier({}, rows=gates.parse_golden(rows))
        return compared(broken(39), then, json_parse={"mode": "zero_failures"})

    assert (answered(20).state, answered(20).rows) == ("PASS", 20)
    assert (answered(26).problems, answered(26).rows) == ((), 14)
    assert answered(27).state == "INVALID"
    (problem,) = answered(27).problems
    assert problem.startswith("v1: only 13 of 40 golden rows are the ones it answered, at least 14 must be: have its")
    assert problem.endswith(" adapter answer this golden set")


def test_what_cannot_be_paired_is_invalid_and_never_passes() -> None:
    twice = gates.Earlier(name="twice", golden=GOLDEN, outputs=(*gates.gold_outputs(GOLDEN),) * 2)
    holes = gates.Earlier(name="holes", golden=GOLDEN, outputs=gates.gold_outputs(GOLDEN)[1:])
    both = gates.Earlier(name="both", golden=GOLDEN, outputs=(*holes.outputs, holes.outputs[0]))
    for comparison, says in (
        (compared({}), "there is no earlier answer to compare with"),
        (compared({}, twice), "outputs that stand twice: q00, q01, q02, q03, q04, q05, q06, q07, q08, q09 and 30 more"),
        (compared({}, holes), "golden rows without an output: q00"),
        (compared({}, both), "both: outputs that stand twice: q01; golden rows without an output: q00"),
        (gates.compare(GOLDEN[:1], [], [earlier({})], CONTRACT, policy(), against="last"), "without an output: q00"),
        (gates.compare((), (), [earlier({})], CONTRACT, policy(), against="base"), "nothing can be judged"),
    ):
        assert comparison.state == "INVALID"
        assert not comparison.passed
        assert (comparison.identical, comparison.rows, comparison.pairings) == (0, 0, ())
        assert any(problem.endswith(says) for problem in comparison.problems), comparison.problems
    partly = compared({}, holes, earlier({}), against="best")
    assert partly.passed
    assert partly.skipped == ("holes: golden rows without an output: q00",)


@pytest.mark.parametrize("against", ["base", "last", "best"])
def test_the_comparison_file_follows_its_schema_and_has_the_same_bytes_each_time(against: Against) -> None:
    before = earlier(dict.fromkeys(IDS[:9], answer(7)))
    first, second = (compared(broken(3, 30), before, against=against).to_json() for _ in range(2))
    assert first == second
    Draft202012Validator(schemas.load("comparison")).validate(json.loads(first))
    Draft202012Validator(schemas.load("comparison")).validate(json.loads(compared({}, against=against).to_json()))


def test_reports_name_the_rows_and_cannot_be_written_into() -> None:
    comparison = compared(broken(3, 4, 5), earlier({}, "v1|<b>\x1b[31m"))
    terminal, markdown = "\n".join(report.comparison_terminal(comparison)), report.comparison_markdown(comparison)
    assert "FAIL         json_parse" in terminal
    assert "rows lost: q03, q04, q05" in terminal
    assert "\x1b" not in terminal + markdown
    assert "| json&#95;parse | v1&#124;&#60;b&#62;" in markdown
    assert markdown.startswith("**FAIL**: worse than the last release")
    assert report.comparison_markdown(compared({}, against="base")).startswith("**INVALID**: not compared with")


def test_the_command_compares_with_base_and_last_and_shows_the_last_ones_answer(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def written(name: str, changed: Mapping[str, str]) -> str:
        outputs = with_outputs(GOLDEN, changed)
        return str(write_lines(tmp_path / name, [{"id": one.id, "output": one.output} for one in outputs]))

    gold, base, worse = written("gold", {}), written("base", broken(*range(5))), written("worse", broken(1))
    files = ["--golden", str(write_lines(tmp_path / "golden", golden_rows()))]
    files += ["--contract", str(DATA / "contract" / "contract.yaml")]
    markdown = tmp_path / "report.md"
    assert main([gold, *files, "--base", base, "--last", gold, "--markdown", str(markdown)]) == 0
    verdict, beside_base, beside_last = capsys.readouterr().out.split("\n\n")
    assert verdict.endswith("\nPASS: every required gate passes on 40 rows")
    assert beside_base.startswith("PASS         every_required_gate")
    assert "\nbeats the base\n" in beside_base
    assert "\nnot worse than the last release\n" in beside_last
    assert "\n\n**PASS**: beats the base\n" in markdown.read_text("utf-8")
    assert main([gold, *files, "--base", gold]) == 5
    assert "the adapter has no effect" in capsys.readouterr().out
    assert main([worse, *files, "--last", gold, "--explain", "json_parse"]) == 5
    assert 'earlier   {"answer": "It is so [2]."' in capsys.readouterr().out


@pytest.mark.parametrize("most", [0.0, 0.02, 0.05, 0.2])
@pytest.mark.parametrize("n", [1, 5, 14, 26, 40, 100])
def test_what_a_comparison_does_not_see_is_every_number_of_losses_that_passes_it(n: int, most: float) -> None:
    """Counted case by case, against the sum in one step."""
    passes = [lost for lost in range(n + 1) if not worse(lost, 0, n, mcnemar(lost, 0), most)]
    chance = sum(math.comb(n, lost) * 0.1**lost * 0.9 ** (n - lost) for lost in passes)

    assert unseen(n, most, 0.1) == pytest.approx(chance, abs=1e-12)


def test_fourteen_rows_hardly_see_a_drop_of_ten_points_and_four_hundred_do() -> None:
    assert 0.2 < unseen(14, 0.05, 0.1) < 0.3
    assert unseen(400, 0.05, 0.1) < 0.001
    assert unseen(0, 0.05, 0.1) == 0.0
