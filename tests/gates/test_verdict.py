"""The verdict: states, bytes, gate zero, and every way in which a gate has been seen to pass wrongly elsewhere."""

import gc
import importlib
import json
import math
import random
from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

import gates
import schemas
from gates import report
from gates.answer import pair, pairing_problems
from gates.canonical import canonical_json, digest, digest_of_texts
from gates.provable import slips_through
from gates.rows import Golden, Output
from gates.score import Miss, Score, joined
from gates.table import ABOUT, ADVISORY, COMPARED, GATES
from tests.gates.examples import REFUSAL, answer, contract, golden, golden_rows, policy, rich, with_outputs
from tests.helpers.line import ROOT

CONTRACT = contract()
GOLDEN = golden()
IDS = [row.id for row in GOLDEN]


def judged(changed: dict[str, str], **bars: dict[str, object]) -> gates.Verdict:
    return gates.judge(GOLDEN, with_outputs(GOLDEN, changed), CONTRACT, policy(**bars))


def states(verdict: gates.Verdict) -> dict[str, str]:
    return {gate.name: gate.state for gate in verdict.gates}


def test_the_reference_answers_pass_every_gate() -> None:
    verdict = judged({})
    assert verdict.passed
    assert set(states(verdict).values()) == {"PASS"}
    assert [gate.score.n for gate in verdict.gates] == [40, 40, 40, 26, 26, 14, 14, 26, 40]


@pytest.mark.parametrize(
    ("changed", "failing"),
    [
        ({IDS[0]: '{"answer":"It'}, {"json_parse", "schema_compliance", "contract_rules"}),
        ({IDS[0]: answer(2).replace("}", ', "x": 1}')}, {"schema_compliance"}),
        ({IDS[0]: answer(2).replace("[2].", ".")}, {"contract_rules"}),
        (dict.fromkeys(IDS[:3], answer(7)), {"citation_coverage", "citation_precision", "no_stray_citations"}),
        (dict.fromkeys(IDS[26:29], answer(2)), {"refusal_recall", "refusal_precision"}),  # 11 refusals prove too little
        (dict.fromkeys(IDS[:3], REFUSAL), {"refusal_precision", "citation_coverage", "answer_rate"}),
    ],
    ids=[
        "one is cut",
        "one breaks the schema",
        "one breaks a rule",
        "three cite badly",
        "three answer",
        "three refuse",
    ],
)
def test_each_fault_fails_the_gates_that_are_there_for_it_and_no_others(
    changed: dict[str, str], failing: set[str]
) -> None:
    verdict = judged(changed)
    assert not verdict.passed
    assert {name for name, state in states(verdict).items() if state != "PASS"} == failing


def test_one_more_miss_than_allowed_turns_the_gate() -> None:
    bars: dict[str, dict[str, object]] = {"refusal_recall": {"target": 0.8, "floor": 0.7}}
    (needs,) = [gate.needs for gate in judged({}, **bars).gates]
    assert needs == 13
    assert judged(dict.fromkeys(IDS[26:27], answer(2)), **bars).passed
    assert not judged(dict.fromkeys(IDS[26:28], answer(2)), **bars).passed


def test_never_to_refuse_is_undefined_and_does_not_pass() -> None:
    verdict = judged(dict.fromkeys(IDS[26:], answer(2)))
    assert states(verdict)["refusal_precision"] == "UNDEFINED"
    assert verdict.gate("refusal_precision").value is None
    assert not verdict.passed


def test_few_right_refusals_are_undefined_for_want_of_support() -> None:
    verdict = judged(dict.fromkeys(IDS[30:], answer(2)), refusal_precision={"target": 0.85})
    assert states(verdict)["refusal_precision"] == "UNDEFINED"
    assert "only 4 answers are counted, at least 11 are needed" in verdict.gate("refusal_precision").reason


def test_just_enough_refusals_are_support_enough() -> None:
    def state(refusals: int) -> str:
        changed = dict.fromkeys(IDS[26 + refusals :], answer(2))
        return states(judged(changed, refusal_precision={"target": 0.85}))["refusal_precision"]

    assert (state(11), state(10)) == ("PASS", "UNDEFINED")


def test_nothing_to_count_is_undefined_and_one_row_is_insufficient() -> None:
    def decided(rows: tuple[Golden, ...]) -> tuple[str, str]:
        bars = policy(answer_rate={"target": 0.9}, json_parse={"mode": "zero_failures", "min_n": 1})
        gate = gates.judge(rows, gates.gold_outputs(rows), CONTRACT, bars).gate("answer_rate")
        return gate.state, gate.reason

    assert decided(golden(0, 5)) == ("UNDEFINED", "no golden row is answerable")
    assert decided(golden(1, 5)) == ("INSUFFICIENT", "1 rows are counted, at least 14 are needed to prove this")


def test_a_set_too_small_to_prove_the_bar_is_insufficient_and_does_not_pass() -> None:
    small = golden(13, 9)
    verdict = gates.judge(small, gates.gold_outputs(small), CONTRACT, policy(answer_rate={"target": 0.9}))
    assert states(verdict) == {"answer_rate": "INSUFFICIENT"}
    assert verdict.state == "INSUFFICIENT"
    assert not verdict.passed


def test_a_set_below_the_minimum_that_the_policy_asks_for_is_insufficient_however_good() -> None:
    assert states(judged({}, json_parse={"mode": "zero_failures", "min_n": 40})) == {"json_parse": "PASS"}
    assert states(judged({}, json_parse={"mode": "zero_failures", "min_n": 41})) == {"json_parse": "INSUFFICIENT"}


def test_the_verdict_shows_beside_the_gates_only_what_could_be_measured() -> None:
    bars = policy(json_parse={"mode": "zero_failures"})
    bare = gates.judge(GOLDEN, gates.gold_outputs(GOLDEN), contract(citations=None, rules=None), bars)
    assert not {"citation_coverage", "lexical_grounding", "contract_rules", "no_false_confidence"} & set(bare.advisory)
    assert {"schema_compliance", "answer_rate", "json_parse_fence_tolerant"} <= set(bare.advisory)
    assert gates.judge(GOLDEN, (), CONTRACT, bars).advisory == {}
    refusals = gates.judge(GOLDEN, OUTPUTS, contract(citations=None, rules=None, markers=None), bars)
    assert "refusal_recall" in refusals.advisory


def test_a_bound_is_cut_after_six_digits() -> None:
    (gate,) = judged({IDS[0]: "x"}, json_parse={"mode": "zero_failures"}).gates
    assert gate.bound == 0.886811  # scipy: 0.8868114...


def test_every_value_is_frozen_and_made_by_name() -> None:
    classes = {
        value
        for name in Path(gates.__file__).parent.rglob("*.py")
        for value in vars(importlib.import_module(".".join(name.relative_to(ROOT).with_suffix("").parts))).values()
        if isinstance(value, type) and is_dataclass(value)
    }
    assert len(classes) > 15
    for one in classes:
        assert vars(one)["__dataclass_params__"].frozen, one
        assert all(part.kw_only for part in fields(one)), one


OUTPUTS = gates.gold_outputs(GOLDEN)
MISFITS: dict[str, tuple[tuple[Golden, ...], tuple[Output, ...], str]] = {
    "nothing at all": ((), (), "the golden set is empty: nothing can be judged"),
    "no outputs": (GOLDEN, (), f"golden rows without an output: {', '.join(IDS[:10])} and 30 more"),
    "ten outputs are missing": (GOLDEN, OUTPUTS[10:], f"golden rows without an output: {', '.join(IDS[:10])}"),
    "an output is missing": (GOLDEN, OUTPUTS[1:], "golden rows without an output: q00"),
    "an output too many": (GOLDEN[1:], OUTPUTS, "outputs without a golden row: q00"),
    "an output twice": (GOLDEN, (*OUTPUTS, OUTPUTS[0]), "outputs that stand twice: q00"),
    "a golden row twice": ((*GOLDEN, GOLDEN[0]), OUTPUTS, "golden ids that stand twice: q00"),
    "a prompt twice, in other bytes": (
        gates.parse_golden([{"prompt": "\u00e9  a"}, {"prompt": "e\u0301 a"}]),
        tuple(Output(id=f"line-{number}", output="{}") for number in (1, 2)),
        "golden rows that repeat a prompt: line-1, line-2",
    ),
    "a prompt twice": (
        (*GOLDEN, replace(GOLDEN[0], id="new")),
        (*OUTPUTS, Output(id="new", output="{}")),
        "golden rows that repeat a prompt: new, q00",
    ),
}


@pytest.mark.parametrize("name", MISFITS)
def test_files_that_do_not_belong_together_are_invalid_and_measure_nothing(name: str) -> None:
    rows, outputs, problem = MISFITS[name]
    verdict = gates.judge(rows, outputs, CONTRACT, policy())
    assert verdict.state == "INVALID"
    assert not verdict.passed
    assert problem in verdict.problems
    assert {gate.score.n for gate in verdict.gates} == {0}
    Draft202012Validator(schemas.load("verdict")).validate(json.loads(verdict.to_json()))


def test_a_question_over_other_documents_is_another_question() -> None:
    rows = gates.parse_golden([{"prompt": "?", "documents": [{"id": 1, "text": text}]} for text in ("one", "two")])
    assert pairing_problems(rows, [Output(id=row.id, output="") for row in rows]) == []


def test_a_gate_without_its_part_of_the_contract_is_invalid() -> None:
    bare = contract(refusal=None, rules=None)
    verdict = gates.judge(GOLDEN, OUTPUTS, bare, policy())
    assert verdict.state == "INVALID"
    assert "gate refusal_recall needs 'refusal'" in "\n".join(verdict.problems)
    assert "gate contract_rules needs 'rules'" in "\n".join(verdict.problems)


def test_an_advisory_gate_is_shown_and_does_not_decide() -> None:
    verdict = judged(
        {IDS[0]: "x"}, json_parse={"mode": "zero_failures", "required": False}, answer_rate={"target": 0.9}
    )
    assert states(verdict) == {"json_parse": "FAIL", "answer_rate": "PASS"}
    assert verdict.passed


def test_a_fence_is_forgiven_in_the_report_alone() -> None:
    verdict = judged({IDS[0]: f"```json\n{answer(2)}\n```"})
    assert states(verdict)["json_parse"] == "FAIL"
    fenced = verdict.advisory["json_parse_fence_tolerant"]
    assert (fenced.k, fenced.n) == (40, 40)


def test_every_crashed_generation_is_wrong_everywhere_and_never_harmless() -> None:
    outputs = [replace(output, finish_reason="error") for output in OUTPUTS]
    verdict = gates.judge(GOLDEN, outputs, CONTRACT, policy())
    assert {gate.score.k for gate in verdict.gates} == {0}
    assert "PASS" not in states(verdict).values()


@pytest.mark.parametrize(
    "output", ['{"answer":"\ud800"}', '{"a":' * 5000, "1" * 5000, '{"answer":NaN}', "\x00", "[" * 100_001]
)
def test_no_output_crashes_the_judge(output: str) -> None:
    verdict = judged({IDS[0]: output})
    assert states(verdict)["json_parse"] == "FAIL"
    assert verdict.to_json().decode()
    assert report.markdown(verdict)


def test_a_score_counts_a_row_once_and_misses_only_what_it_counted() -> None:
    for counted, missed in (("aa", "a"), ("a", "b"), ("ab", "aa")):
        with pytest.raises(ValueError, match=r"^a score counts each row once"):
            Score(counted=tuple(counted), misses=tuple(Miss(id=one, reason="") for one in missed), empty="")


def test_no_file_is_written_with_a_number_that_json_does_not_have() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical_json({"value": math.nan})


def test_the_same_files_give_the_same_bytes_in_any_order_of_outputs() -> None:
    outputs = list(with_outputs(GOLDEN, {IDS[3]: "x", IDS[30]: answer(1)}))
    first = gates.judge(GOLDEN, outputs, CONTRACT, policy()).to_json()
    random.Random(7).shuffle(outputs)
    assert gates.judge(GOLDEN, outputs, CONTRACT, policy()).to_json() == first


def test_the_verdict_file_follows_its_schema_and_names_each_failing_row() -> None:
    verdict = json.loads(judged({IDS[0]: "Sure: {}", IDS[30]: answer(1)}).to_json())
    Draft202012Validator(schemas.load("verdict")).validate(verdict)
    parse = next(gate for gate in verdict["gates"] if gate["gate"] == "json_parse")
    assert (parse["k"], parse["n"], parse["needs"], parse["state"]) == (39, 40, 40, "FAIL")
    assert parse["bound"] == pytest.approx(0.8868, abs=1e-4)
    (miss,) = parse["misses"]
    assert miss == {
        "id": IDS[0],
        "reason": "prose_before: Expecting value at line 1 column 1",
        "path": "",
        "expected": "one JSON object and nothing else",
        "given": "Sure: {}",
    }


@pytest.mark.parametrize("part", ["golden", "outputs", "contract", "policy"])
def test_each_digest_changes_with_its_part_alone(part: str) -> None:
    rows = golden_rows()
    rows[0]["meta"] = "changed"
    before = gates.judge(GOLDEN, OUTPUTS, CONTRACT, policy())
    after = gates.judge(
        gates.parse_golden(rows) if part == "golden" else GOLDEN,
        with_outputs(GOLDEN, {IDS[0]: answer(1)}) if part == "outputs" else OUTPUTS,
        contract(max_characters=9999) if part == "contract" else CONTRACT,
        policy(answer_rate={"target": 0.9}) if part == "policy" else policy(),
    )
    changed = {
        key for key, value in before.as_dict().items() if key.endswith("_digest") and after.as_dict()[key] != value
    }
    assert changed == {f"{part}_digest"}


CHANGES = st.dictionaries(
    st.sampled_from(IDS), st.sampled_from(["", "x", REFUSAL, answer(1), answer(2), answer(3), answer()]) | st.text()
)


@settings(max_examples=40, deadline=None)
@given(CHANGES)
def test_a_verdict_passes_only_if_every_count_reaches_its_bar(changed: dict[str, str]) -> None:
    verdict = judged(changed)
    reached = [gate.score.n >= gate.bar.minimum and gate.score.k >= (gate.needs or 99) for gate in verdict.gates]
    assert verdict.passed == all(reached)
    for gate in verdict.gates:
        assert 0 <= gate.score.k <= gate.score.n <= len(GOLDEN)


def test_gate_zero_passes_on_a_sound_set_and_proves_that_each_gate_can_fail() -> None:
    assert gates.gate_zero(GOLDEN, CONTRACT, policy()).passed
    rows, agreed = rich()
    least = {True: "min_support", False: "min_n"}
    every: dict[str, dict[str, Any]] = {
        name: {"mode": "zero_failures", least[about.counts_outputs]: 1} for name, about in ABOUT.items()
    }
    every |= {name: {**every[name], "required": False} for name, about in ABOUT.items() if about.only_shown}
    zero = gates.gate_zero(rows, agreed, policy(**every))
    assert zero.passed, report.terminal(zero)


def test_gate_zero_fails_on_a_reference_answer_that_is_wrong() -> None:
    rows = golden_rows()
    rows[0]["messages"][1]["content"] = answer(5)
    verdict = gates.gate_zero(gates.parse_golden(rows), CONTRACT, policy(citation_coverage={"mode": "zero_failures"}))
    assert verdict.state == "FAIL"


def test_a_set_without_reference_answers_is_no_gate_zero() -> None:
    rows = [{**row, "messages": row["messages"][:1]} for row in golden_rows()]
    verdict = gates.gate_zero(gates.parse_golden(rows), CONTRACT, policy())
    assert verdict.state == "INVALID"
    assert verdict.problems == (f"golden rows without an output: {', '.join(IDS[:10])} and 30 more",)


def test_a_bar_that_even_broken_answers_reach_is_invalid() -> None:
    verdict = gates.gate_zero(GOLDEN, CONTRACT, policy(refusal_precision={"mode": "point", "target": 0.3}))
    assert verdict.state == "INVALID"
    assert verdict.problems == (
        "gate refusal_precision cannot fail: 14/40 with 'refused' answers still passes its threshold",
    )


def test_a_gate_that_takes_the_broken_answer_for_right_or_does_not_count_it_is_invalid() -> None:
    blind = gates.prove_gates_can_fail(GOLDEN, contract(refusal=None, rules=None), policy(answer_rate={"target": 0.9}))
    assert blind == ("gate answer_rate cannot fail: it accepts the broken answer 'refused' for q00",)
    unlabelled = gates.parse_golden([{key: row[key] for key in row if key != "support"} for row in golden_rows()])
    bars = policy(citation_recall={"target": 0.9}, citation_precision={"target": 0.9})
    assert gates.prove_gates_can_fail(unlabelled, CONTRACT, bars) == (
        "gate citation_recall cannot fail: it counts none of the rows broken as 'wrong_citation'",
    )


UNKNOWNS = {"schema": "rich.schema.json", "markers": None, "unknowns": "/unknowns", "rules": ["refusal_has_unknowns"]}
STATUS = {"refusal": {"at": "/status", "equals": "refusal"}, "markers": None, "rules": ["refusal_has_no_citations"]}
URGENT = {"name": "urgent", "if": {"at": "/urgent", "equals": True}, "then": {"at": "/why", "present": True}}
OBJECTS = {"citations": {"at": "/citations", "key": "id", "provenance": {"id": "id"}}, "rules": None}
REFERENCE: dict[str, Any] = {"answer": "é", "citations": [2], "refusal": False}


@pytest.mark.parametrize(
    ("changes", "control", "reference", "broken"),
    [
        (UNKNOWNS, "rules_broken", {"citations": [], "refusal": True, "unknowns": ["x"]}, {"unknowns": []}),
        (STATUS, "rules_broken", {"status": "answer"}, {"status": "refusal"}),
        ({"rules": [URGENT]}, "rules_broken", {}, {"urgent": True}),
        (OBJECTS, "wrong_provenance", {"citations": [{"id": 2}]}, {"citations": [{"id": "unknown"}]}),
        (OBJECTS, "wrong_provenance", {"citations": [2]}, None),
        (OBJECTS, "wrong_citation", {"citations": [2]}, {"citations": [1]}),
        (OBJECTS, "wrong_citation", {"citations": [{"id": 2}]}, {"citations": [{"id": "no such document"}]}),
        ({}, "wrong_citation", {}, {"citations": [1]}),
        ({}, "wrong_citation", {"citations": []}, None),
        ({}, "wrong_citation", {"citations": 5}, None),
        ({"citations": None, "rules": None}, "wrong_citation", {}, None),
        ({"citations": None, "rules": None}, "wrong_provenance", {}, None),
    ],
)
def test_a_control_breaks_what_it_is_named_for_or_nothing(
    changes: dict[str, Any], control: str, reference: dict[str, Any], broken: dict[str, Any] | None
) -> None:
    gold = {**REFERENCE, **reference}
    rows = [{"prompt": "?", "gold": json.dumps(gold, ensure_ascii=False), "answerable": True}]
    made = gates.negative_controls(gates.parse_golden(rows), contract(**changes))[control]
    expected = [] if broken is None else [json.dumps({**gold, **broken}, ensure_ascii=False)]
    assert [one.output for one in made] == expected


def test_an_unanswerable_question_has_no_citation_to_break() -> None:
    rows = gates.parse_golden([{"prompt": "?", "gold": json.dumps(REFERENCE), "answerable": False}])
    assert gates.negative_controls(rows, CONTRACT)["wrong_citation"] == ()


def test_a_gate_that_came_later_does_not_change_a_verdict_whose_policy_does_not_name_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = judged({}).to_json()
    assert before == judged({}).to_json()
    for table in (GATES, ABOUT):
        assert isinstance(table, dict)
        monkeypatch.setitem(table, "later", table["json_parse"])
    assert judged({}).to_json() == before


def test_a_schema_that_takes_anything_is_invalid_because_its_gate_cannot_fail() -> None:
    anything = replace(CONTRACT, check=lambda _: ())
    verdict = gates.gate_zero(GOLDEN, anything, policy(schema_compliance={"mode": "zero_failures"}))
    assert "schema_compliance was not proved able to fail" in verdict.problems[0]


def test_rules_that_nothing_breaks_are_invalid() -> None:
    said = {"at": "/refusal", "equals": True}
    idle = contract(rules=[{"name": "idle", "if": said, "then": said}])
    problems = gates.prove_gates_can_fail(GOLDEN, idle, policy(contract_rules={"mode": "zero_failures"}))
    assert problems == (
        "gate contract_rules was not proved able to fail: no reference answer could be broken as 'rules_broken'",
    )


def test_a_set_without_unanswerable_rows_cannot_prove_its_refusal_gates() -> None:
    problems = gates.prove_gates_can_fail(golden(26, 0), CONTRACT, policy())
    assert {problem.split()[1] for problem in problems} == {"refusal_precision", "refusal_recall", "answer_rate"}


@pytest.mark.parametrize(
    "name",
    [
        "truncated",
        "schema_broken",
        "wrong_type",
        "field_missing",
        "wrong_citation",
        "refused",
        "answered",
        "rules_broken",
    ],
)
def test_each_control_breaks_every_row_it_claims_to(name: str) -> None:
    made = gates.negative_controls(GOLDEN, CONTRACT)[name]
    gold = {output.id: output.output for output in OUTPUTS}
    assert len(made) == {"wrong_citation": 26, "refused": 26, "answered": 14}.get(name, 40)
    assert all(output.output != gold[output.id] for output in made)


def test_the_line_of_a_gate_is_the_documented_one() -> None:
    rows = golden(40, 1)
    outputs = with_outputs(rows, dict.fromkeys([row.id for row in rows][:2], REFUSAL))
    verdict = gates.judge(rows, outputs, CONTRACT, policy(answer_rate={"target": 0.9}))
    expected = "38/40 = 95.0 % (≥ 85.1 % at 95 %), needs 37, target 90 %, floor 80 %"
    assert report.line(verdict.gate("answer_rate")) == expected


def test_a_schema_fault_is_counted_and_the_first_one_told() -> None:
    (one,) = judged({IDS[0]: "{}"}).gate("schema_compliance").score.misses
    assert one.reason == "required at the top: 'answer' is a required property (and 2 more)"
    (one,) = judged({IDS[0]: answer(2).replace("}", ', "x": 1}')}).gate("schema_compliance").score.misses
    assert one.reason.startswith("additionalProperties at the top: ")
    assert "more)" not in one.reason


@pytest.mark.parametrize(("length", "shown"), [(160, "x" * 160), (161, "x" * 159 + "…")])
def test_an_answer_is_quoted_up_to_a_length(length: int, shown: str) -> None:
    (one,) = judged({IDS[0]: "x" * length}).gate("json_parse").score.misses
    assert one.given == shown


def test_nearly_all_never_reads_as_all() -> None:
    counted = tuple(map(str, range(3000)))
    score = Score(counted=counted, misses=(Miss(id="0", reason=""),), empty="")
    gate = replace(judged({}).gates[0], score=score, units=score, state="FAIL")
    assert report.line(gate).startswith("2999/3000 = 99.9 %")


def test_an_explanation_shows_each_wrong_row_with_what_was_expected_and_given() -> None:
    lines = report.explain(judged({IDS[0]: answer(7)}), "citation_coverage")
    assert lines[0].startswith("PASS citation_coverage: 25/26")
    assert "  q00: cites 7, not among the documents 1, 2" in lines
    assert "      expected  a citation of 2" in lines
    lines = report.explain(judged({IDS[0]: '{"answer":1}'}), "contract_rules", {IDS[0]: "x" * 999, "other": "y"})
    assert lines[3:] == [
        "      at        /answer",
        "      expected  an answer whose fields agree",
        '      given     {"answer":1}',
        f"      earlier   {'x' * 999}",
    ]


def test_an_explanation_with_rows_and_outputs_shows_question_answer_and_reference() -> None:
    outputs = with_outputs(GOLDEN, {IDS[0]: "X" * 4000, IDS[1]: "", IDS[2]: "Y" * 1000})
    verdict = gates.judge(GOLDEN, outputs, CONTRACT, policy())
    lines = report.explain(verdict, "json_parse", {IDS[0]: "", "other": "y"}, golden=GOLDEN, outputs=outputs)
    assert "      question  Question 0?" in lines
    assert f"      answer    {'X' * 500} … {'X' * 500}" in lines
    assert f"      answer    {'Y' * 1000}" in lines
    assert f"      reference {answer(2)}" in lines
    assert "      earlier   nothing" in lines
    assert "      given     nothing" in lines
    assert lines[-1] != "no row is counted as wrong"
    bare = [replace(row, gold=None) for row in GOLDEN]
    assert "reference" not in "".join(report.explain(verdict, "json_parse", golden=bare, outputs=outputs))


def test_a_report_shows_ten_wrong_rows_of_a_gate_and_names_the_others() -> None:
    def shown(wrong: int) -> str:
        return report.markdown(judged(dict.fromkeys(IDS[:wrong], "x"), json_parse={"mode": "zero_failures"}))

    assert shown(10).endswith(f"{shown(12).split('| q09 |')[1].splitlines()[0]}\n")
    assert shown(12).count("\n| q") == 10
    assert shown(12).endswith(" x |\n\nalso q10, q11\n")


def test_what_is_not_gated_can_be_explained_too_and_no_miss_is_said() -> None:
    verdict = judged({IDS[0]: '{"answer":"In 1999 [2].","citations":[2],"refusal":false}'})
    assert report.explain(verdict, "unsupported_specifics")[0].startswith("not gated unsupported_specifics: 0/1")
    assert report.explain(verdict, "json_parse")[-1] == "no row is counted as wrong"


HOSTILE = '{"answer":"</td><script>|`[x](http://evil) ![i](y) @all \x1b[31m\u202e**b** _i_ &amp; # \r\n| a | b |"'


@pytest.mark.parametrize("shown", [report.markdown, lambda verdict: "\n".join(report.terminal(verdict))])
def test_an_answer_can_neither_write_markup_nor_control_the_terminal(shown: Callable[[gates.Verdict], str]) -> None:
    clean, dirty = shown(judged({IDS[0]: "x"})), shown(judged({IDS[0]: HOSTILE}))
    assert clean.count("\n") == dirty.count("\n")
    for bad in ("<", "`", "](", "![", "@", "\x1b", "\u202e", "\r", "_i_", "http:"):
        assert bad not in dirty.replace("**", "").split("| why |")[-1] or bad in clean


def test_a_plan_counts_the_rows_that_right_answers_are_counted_for() -> None:
    rows, agreed = rich()
    bars = gates.load_policy(gates.default_policy(agreed.declares))
    verdict = gates.judge(rows, gates.gold_outputs(rows), agreed, bars)
    planned = {one.bar.gate: one.n for one in gates.plan(rows, bars)}
    assert planned == {one.name: one.score.n for one in verdict.gates}
    assert {"answer_correctness", "refusal_agreement"} < set(planned)


def test_a_plan_says_what_the_set_can_prove_and_how_many_rows_are_missing() -> None:
    plans = {one.bar.gate: one for one in gates.plan(golden(26, 10), policy())}
    assert (plans["citation_coverage"].n, plans["citation_coverage"].needs) == (26, 25)
    assert plans["refusal_precision"].missing == 3
    assert not plans["refusal_precision"].possible
    assert plans["answer_rate"].passing[0.85] < 0.1
    assert plans["answer_rate"].passing[0.95] > 0.6
    assert set(plans["refusal_precision"].passing.values()) == {0.0}
    lines = report.plan_lines(tuple(plans.values()), policy())
    assert any("add 3" in line for line in lines)
    assert any("needs 36/36, no failures allowed; 36/36 proves ≥ 92.0 %; passes 0.3%" in line for line in lines)
    chance = (
        "chance that an adapter of perfect form that is right 85 % of the time {} passes every required gate: at most"
    )
    assert lines[-4].startswith(chance.format("everywhere") + " 0.0 %; one of 5 such: at most")
    assert chance.format("at citation_coverage and always at the others") in lines[-3]
    assert lines[-2].startswith("chance that a gate passes the comparison although it lost 10% of its rows: ")
    assert "refusal_recall counts 10; 19 are needed. Add golden rows before this release" in lines[-1]


def test_a_plan_says_how_much_each_attempt_may_err_and_later_ones_pass_less() -> None:
    given = {"version": 3, "answer_rate": {"target": 0.9, "floor": 0.8}, "json_parse": {"mode": "zero_failures"}}
    bars = gates.load_policy(given)
    first, sixth = (gates.plan(GOLDEN, bars.at(attempt)) for attempt in (1, 6))

    assert "attempt 6 on this golden set, at least: its bounds may err with 1/42 of" in "".join(
        report.plan_lines(sixth, bars.at(6))
    )
    assert first[1].passing[0.85] > sixth[1].passing[0.85]
    assert first[1].passing[0.85] < first[1].in_tries[5] < 1 - (1 - first[1].passing[0.85]) ** 5
    assert first[0].bar == sixth[0].bar  # where no bound is asked for, nothing is corrected


def test_a_set_of_just_the_minimum_can_pass_and_an_empty_one_proves_nothing() -> None:
    bars = policy(json_parse={"mode": "zero_failures", "min_n": 40})
    (least,), (none,) = gates.plan(GOLDEN, bars), gates.plan((), bars)
    assert (least.needs, least.missing) == (40, 0)
    assert least.passing[0.99] == pytest.approx(0.99**40)
    assert (none.needs, none.missing, none.proves) == (None, 40, 0)


def test_what_slips_through_is_at_most_what_the_strictest_required_gate_lets_through() -> None:
    loose = policy(
        answer_rate={"mode": "point", "target": 0.8}, json_parse={"mode": "zero_failures", "required": False}
    )
    plans = gates.plan(golden(26, 14), loose)
    assert slips_through(plans) == {"answer_rate": plans[1].passing[0.85]}
    assert slips_through(plans, 5)["answer_rate"] > plans[1].passing[0.85] > 0.8
    assert slips_through(()) == {}


def test_rows_whose_documents_stand_in_the_prompt_are_planned_for_too() -> None:
    rows = [{"prompt": f"[1] a document\nQuestion {number}?", "answerable": True} for number in range(20)]
    bars = {name: {"target": 0.8} for name in ("citation_coverage", "citation_validity", "no_false_confidence")}
    assert [one.n for one in gates.plan(gates.parse_golden(rows), policy(**bars))] == [20, 20, 20]


SPOKEN = ("Neil Armstrong [1].", "I cannot say.", '```json\n{"a": 1}\n```', "1. One\n2. Two", "", "It is so, see {1}.")


@pytest.mark.parametrize("json_among", [0, 1])
def test_answers_of_which_none_is_json_are_told_to_be_of_another_form_and_not_of_every_fault(json_among: int) -> None:
    answers = {one: SPOKEN[number % len(SPOKEN)] for number, one in enumerate(IDS[json_among:])}

    shown = " ".join(report.notes(judged(answers)))

    assert (
        "None of the 40 answers is JSON (syntax: 14, fenced: 7, trailing_text: 7, empty: 6, prose_before: 6)" in shown
    ) != json_among
    assert ("constraint: json_schema" in shown) != json_among


def test_answers_judged_in_parts_are_judged_as_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, agreed = rich()
    outputs = [*gates.gold_outputs(rows)]
    outputs[::3] = [replace(one, output=one.output[:-1]) for one in outputs[::3]]
    whole = gates.judge(rows, outputs, agreed, policy())
    answers = pair(rows, outputs, agreed)
    for size in (1, 3, len(rows)):
        monkeypatch.setattr("gates.verdict.PART", size)
        assert gates.judge(rows, outputs, agreed, policy()).to_json() == whole.to_json()
    for name, gate in {**GATES, **ADVISORY, **COMPARED}.items():
        assert joined([gate(answers[:7]), gate(answers[7:])]) == gate(answers), name


@pytest.mark.parametrize("on", [True, False])
def test_the_search_for_cycles_is_left_as_it_was(on: bool) -> None:
    (gc.enable if on else gc.disable)()
    try:
        rows, agreed = rich()
        gates.judge(rows, gates.gold_outputs(rows), agreed, policy())
        assert gc.isenabled() is on
    finally:
        gc.enable()


@given(st.lists(st.tuples(st.text(), st.text(alphabet='a"\\\n\ud800\u00e9'), st.text()), max_size=4))
def test_rows_of_texts_have_the_digest_of_their_canonical_json(rows: list[tuple[str, str, str]]) -> None:
    assert digest_of_texts(rows) == digest([list(row) for row in rows])
