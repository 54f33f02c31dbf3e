"""Every way in which another tool's gate was seen to pass what it should not: one test each, named for the fault."""

import json
import math
import re
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import gates
from gates import report, statistics
from gates.__main__ import main
from tests.gates.examples import DATA, REFUSAL, answer, contract, golden, golden_rows, policy, with_outputs, write_lines

CONTRACT = contract()
GOLDEN = golden()
OUTPUTS = gates.gold_outputs(GOLDEN)
IDS = [row.id for row in GOLDEN]


def judged(outputs: tuple[gates.Output, ...], **bars: dict[str, Any]) -> gates.Verdict:
    return gates.judge(GOLDEN, outputs, CONTRACT, policy(**bars))


def command(folder: Path, outputs: tuple[gates.Output, ...], *more: str) -> int:
    rows = [{"id": one.id, "output": one.output, "finish_reason": one.finish_reason} for one in outputs]
    answers, rows_file = write_lines(folder / "a.jsonl", rows), write_lines(folder / "g.jsonl", golden_rows())
    files = [str(answers), "--golden", str(rows_file), "--contract", str(DATA / "contract" / "contract.yaml")]
    return main([*files, *more])


@pytest.mark.parametrize("number", [math.nan, math.inf, -1, 0, 1.01, 90, "0.9", None, True])
@pytest.mark.parametrize("key", ["target", "floor", "confidence"])
def test_a_threshold_that_is_no_share_is_refused_and_does_not_pass_everything(key: str, number: object) -> None:
    """x > nan is false: ForgeLM before 0.11, MLflow 3.18."""
    with pytest.raises(gates.InvalidConfig):
        policy(answer_rate={"target": 0.9, key: number})


@pytest.mark.parametrize("confidence", ["NaN", "1e999", "-0.1", "7", '"high"', "null", "true"])
def test_a_measurement_that_is_no_number_is_a_fault_and_never_averaged(confidence: str) -> None:
    """A NaN candidate passes MLflow's relative change, a NaN loss is success to ForgeLM."""
    agreed = contract(schema="rich.schema.json", confidence="/confidence", markers=None, rules=["answer_has_citations"])
    text = f'{{"answer":"x","citations":[2],"refusal":false,"confidence":{confidence}}}'
    outputs = tuple(gates.Output(id=row, output=text) for row in IDS)
    bars: dict[str, dict[str, Any]] = {
        "contract_rules": {"mode": "zero_failures"},
        "no_false_confidence": {"mode": "zero_failures", "min_support": 1},
    }
    verdict = gates.judge(GOLDEN, outputs, agreed, policy(**bars))
    assert {gate.name: gate.state for gate in verdict.gates} == {
        "contract_rules": "FAIL",
        "no_false_confidence": "UNDEFINED",
    }


def test_a_gate_that_measured_nothing_is_undefined_and_counts_neither_as_0_nor_as_1() -> None:
    """puffin reads a missing metric as 0, JSON validity as 1.0 where no case asks for JSON."""
    bars = {name: {"target": 0.8} for name in ("refusal_precision", "citation_precision", "citation_validity")}
    verdict = judged(tuple(replace(one, output="{}") for one in OUTPUTS), **bars)
    assert {gate.state for gate in verdict.gates} == {"UNDEFINED"}
    assert {gate.value for gate in verdict.gates} == {None}
    assert json.loads(verdict.to_json())["gates"][0]["value"] is None


def test_a_part_of_the_contract_that_a_gate_needs_and_nobody_declares_is_invalid() -> None:
    """A requested task that is missing from the mean (ForgeLM)."""
    verdict = gates.judge(GOLDEN, OUTPUTS, contract(citations=None, rules=None), policy())
    assert verdict.state == "INVALID"


@pytest.mark.parametrize("given", [{}, {"anwser_rate": {"target": 0.9}}, {"cluster_key": "x"}, {"answer_rate": {}}])
def test_an_empty_or_misspelled_policy_is_refused(given: dict[str, Any]) -> None:
    """puffin and MLflow pass on {} and on a misspelled key, TFX writes no verdict at all."""
    with pytest.raises(gates.InvalidConfig):
        gates.load_policy(given)


def test_a_policy_of_advisory_gates_alone_is_refused() -> None:
    with pytest.raises(gates.InvalidConfig, match="no gate is required"):
        policy(answer_rate={"target": 0.9, "required": False})


@pytest.mark.parametrize("rows", [(), GOLDEN[:0]])
def test_an_empty_golden_set_never_passes(rows: tuple[gates.Golden, ...]) -> None:
    assert gates.judge(rows, (), CONTRACT, policy()).state == "INVALID"
    assert gates.gate_zero(rows, CONTRACT, policy()).state == "INVALID"
    assert not any(one.possible for one in gates.plan(rows, policy()))


@pytest.mark.parametrize("reason", ["error", "length", "content_filter", "timeout", ""])
def test_generations_that_crashed_are_wrong_and_not_harmless(reason: str) -> None:
    """ForgeLM counts crashed generations as benign: here even right text does not help."""
    verdict = judged(tuple(replace(one, finish_reason=reason) for one in OUTPUTS))
    assert {gate.score.k for gate in verdict.gates} == {0}
    assert "PASS" not in {gate.state for gate in verdict.gates}


def test_a_null_output_is_an_empty_answer_and_wrong() -> None:
    outputs = gates.parse_outputs([{"id": row, "output": None} for row in IDS])
    assert {gate.score.k for gate in judged(outputs).gates} == {0}


def test_rows_that_are_not_answered_are_missed_and_not_left_out_of_the_rate() -> None:
    assert judged(OUTPUTS[1:]).state == "INVALID"


def test_unparseable_answers_stay_in_the_denominator_of_the_schema_gate() -> None:
    """Of the parseable alone, one good answer of 40 would score 100 %."""
    outputs = (OUTPUTS[0], *(replace(one, output="Sorry!") for one in OUTPUTS[1:]))
    gate = judged(outputs).gate("schema_compliance")
    assert (gate.score.k, gate.score.n) == (1, 40)


@pytest.mark.parametrize("broken", [0, 1, 39])
def test_a_failed_gate_has_an_exit_code_that_is_not_0(tmp_path: Path, broken: int) -> None:
    """ForgeLM by default and lm-eval always exit with 0."""
    changed = with_outputs(GOLDEN, {IDS[broken]: "no JSON"})
    assert command(tmp_path, changed) == 5


def test_a_verdict_that_cannot_be_saved_is_an_error_and_not_a_warning(tmp_path: Path) -> None:
    """lm-eval only warns when results cannot be written."""
    assert command(tmp_path, OUTPUTS, "--json", str(tmp_path / "no such folder" / "v.json")) == 2


@pytest.mark.parametrize(("counted", "missed"), [(("a",), ("b",)), (("a",), ("a", "a")), (("a", "a"), ())])
def test_no_gate_can_score_above_its_rows_or_below_0(counted: tuple[str, ...], missed: tuple[str, ...]) -> None:
    """adaptergate accepts a score of 5.0."""
    with pytest.raises(ValueError, match="counts each row once"):
        gates.Score(counted=counted, misses=tuple(gates.Miss(id=one, reason="") for one in missed), empty="")


def test_an_adapter_without_effect_is_refused() -> None:
    """adaptergate accepts candidate == baseline; puffin evaluates the base where the adapter is missing."""
    base = gates.Earlier(name="base", golden=GOLDEN, outputs=OUTPUTS)
    assert not gates.compare(GOLDEN, OUTPUTS, [base], CONTRACT, policy(), against="base").passed


def test_copies_of_one_row_do_not_reach_the_minimum() -> None:
    """25 copies of one row satisfy adaptergate's min_holdout_size."""
    rows = golden_rows(1, 0) * 40
    for number, row in enumerate(rows):
        rows[number] = {**row, "id": number}
    copies = gates.parse_golden(rows)
    verdict = gates.judge(copies, gates.gold_outputs(copies), CONTRACT, policy(json_parse={"mode": "zero_failures"}))
    assert verdict.state == "INVALID"
    assert "repeat a prompt" in verdict.problems[0]


@pytest.mark.parametrize(
    ("more", "copies"),
    [
        ({}, True),
        ({"n": 7}, True),
        ({"score": 0.5}, True),
        ({"text": "it IS blue "}, True),
        ({"text": "It is red."}, False),  # not shown in the prompt: the engine shows it
        ({"parts": ["It is red."]}, False),
    ],
)
def test_a_number_beside_its_documents_makes_no_other_row(more: dict[str, Any], copies: bool) -> None:
    def row(number: int, more: dict[str, Any]) -> dict[str, Any]:
        document = {"id": 1, "text": "It is blue."} | more
        return {"id": number, "prompt": "[1] It is blue.\nWhich?", "documents": [document]}

    rows = gates.parse_golden([row(0, {}), row(1, more)])
    verdict = gates.judge(rows, [gates.Output(id=one.id, output="") for one in rows], CONTRACT, policy())
    assert any("repeat a prompt" in one for one in verdict.problems) is copies


def test_twenty_small_steps_down_are_stopped_by_the_anchor() -> None:
    """Twenty steps of 1.9 points each pass adaptergate: 0.95 to 0.57."""
    bar = {"json_parse": {"mode": "point", "target": 0.1}}
    steps = [with_outputs(GOLDEN, dict.fromkeys(IDS[:step], "no JSON")) for step in range(20)]
    releases = [gates.Earlier(name=f"v{step}", golden=GOLDEN, outputs=one) for step, one in enumerate(steps)]
    passed = [
        gates.compare(GOLDEN, steps[step], releases[:step], CONTRACT, policy(**bar), against="best").passed
        for step in range(1, 20)
    ]
    assert passed == [step <= 2 for step in range(1, 20)]


@pytest.mark.parametrize("n", [1, 2, 10, 14, 1000])
def test_a_perfect_score_proves_less_than_1(n: int) -> None:
    """A standard error of 0 at 100 % makes inspect's interval [1, 1]."""
    assert statistics.lower_bound(n, n, 0.95) < 1
    assert statistics.lower_bound(0, n, 0.95) == 0


def test_one_or_two_rows_prove_nothing() -> None:
    tiny = golden(2, 0)
    verdict = gates.judge(tiny, gates.gold_outputs(tiny), CONTRACT, policy(answer_rate={"target": 0.9}))
    assert verdict.state == "INSUFFICIENT"


def test_the_bound_decides_and_not_the_rate_printed_beside_it() -> None:
    """assevra prints an interval and decides on the point estimate."""
    outputs = with_outputs(GOLDEN, dict.fromkeys(IDS[:2], REFUSAL))
    gate = judged(outputs, answer_rate={"target": 0.9, "floor": 0.8}).gate("answer_rate")
    assert gate.value is not None
    assert gate.value > 0.9
    assert gate.state == "FAIL"


def test_never_refusing_always_refusing_and_refusing_one_all_fail() -> None:
    never, always = dict.fromkeys(IDS[26:], answer(2)), dict.fromkeys(IDS[:26], REFUSAL)
    one = dict.fromkeys(IDS[27:], answer(2))
    for changed in (never, always, one):
        assert not judged(with_outputs(GOLDEN, changed)).passed


def test_a_gate_that_cannot_fail_makes_the_run_invalid() -> None:
    lenient = policy(refusal_precision={"mode": "point", "target": 0.1, "min_support": 1})
    assert gates.gate_zero(GOLDEN, CONTRACT, lenient).state == "INVALID"


def test_a_weaker_bar_than_the_last_one_is_named() -> None:
    """0.7 to 0.6 "so the suite stops failing": apify-mcp-server 1323."""
    before, after = ({"answer_rate": {"mode": "point", "target": target}} for target in (0.7, 0.6))
    assert gates.weaker(policy(**after), policy(**before)) == ("answer_rate: target 0.6, was 0.7",)


ELEMENTS = Path(__file__).parents[2] / "data" / "elements"
AGREED: dict[str, Any] = {
    "version": 2,
    "schema": "answer.schema.json",
    "answer": "/answer",
    "citations": "/citations",
    "refusal": "/refusal",
    "markers": r"\[(\d+)\]",
    "rules": ["markers_equal_citations", "refusal_has_no_citations", "answer_has_citations"],
    "correctness": [{"at": "/answer", "by": "normalized"}],
    "refusal_text": {"languages": ["en"]},
}
ROWS = gates.read_golden(ELEMENTS / "golden.jsonl")


def default_verdict(change: Callable[[gates.Golden, dict[str, Any]], object]) -> gates.Verdict:
    """The default policy on the default rows' reference answers, each changed as ``change`` does."""
    agreed = gates.load_contract(AGREED, ELEMENTS)
    outputs = []
    for row in ROWS:
        value = json.loads(row.gold or "")
        change(row, value)
        outputs.append(gates.Output(id=row.id, output=json.dumps(value)))
    return gates.judge(ROWS, outputs, agreed, gates.load_policy(gates.default_policy(agreed.declares)))


def answering(make: Callable[[gates.Golden, dict[str, Any]], dict[str, Any]]) -> gates.Verdict:
    return default_verdict(lambda row, value: value.update(make(row, value)) if row.answerable else None)


def test_the_default_policy_passes_right_answers() -> None:
    assert default_verdict(lambda *_: None).passed


@pytest.mark.parametrize(
    ("make", "stopped_by"),
    [
        (lambda _, value: {"answer": f"Bananas are yellow [{value['citations'][0]}]."}, "answer_correctness"),
        (lambda _, value: {"answer": f"It is 424242 [{value['citations'][0]}]."}, "answer_correctness"),
        (
            lambda row, value: {"answer": row.prompt[-1]["content"].splitlines()[-1] + f" [{value['citations'][0]}]"},
            "answer_correctness",
        ),
        (
            lambda _, value: {"answer": value["answer"].partition(" [")[0] + " [1-3].", "citations": [1, 2, 3]},
            "citation_precision",
        ),
        (lambda _, value: {"answer": value["answer"] + " Everybody knows [1, 9]."}, "no_stray_citations"),
        (lambda _, value: {"answer": value["answer"] + " See https://example.org/x."}, "contract_rules"),
        (
            lambda _, value: {"answer": f"I cannot answer this from the sources [{value['citations'][0]}]."},
            "refusal_agreement",
        ),
    ],
    ids=["other words", "another value", "the question", "cites all", "an invented list", "an address", "refuses"],
)
def test_answers_that_say_nothing_of_their_documents_do_not_pass_by_default(
    make: Callable[[gates.Golden, dict[str, Any]], dict[str, Any]], stopped_by: str
) -> None:
    verdict = answering(make)
    assert verdict.gate(stopped_by).state == "FAIL"
    assert not verdict.passed


def test_a_field_that_says_refusal_over_a_text_that_answers_does_not_pass_by_default() -> None:
    verdict = default_verdict(
        lambda _, value: value.update(answer="It is 424242, I am certain of it.") if value["refusal"] else None
    )
    assert [gate.name for gate in verdict.gates if gate.state == "FAIL"] == ["refusal_agreement"]


def test_lists_and_ranges_of_documents_are_right_and_an_invented_one_in_any_form_is_not() -> None:
    text = '{"answer": "It is so %s.", "citations": [1, 2], "refusal": false}'
    agreed = contract(version=2)
    (row,) = gates.parse_golden(golden_rows(1, 0))
    for shown, right in (
        ("[1, 2]", True),
        ("[1-2]", True),
        ("[1] [2]", True),
        ("[1, 9]", False),
        ("[1] [2] [^9]", False),
    ):
        answer_to = gates.read_answer(row, gates.Output(id=row.id, output=text % shown), agreed)
        assert (answer_to.rule_faults == ()) is right, shown
        assert answer_to.markers_agree is right


@pytest.mark.parametrize("part", ["[1] ", "[1, ", "[", "[1 1 ", "<a ", "(source 1 ", "[^", "the sources ", "i can't "])
def test_a_long_answer_is_read_in_short_time(part: str) -> None:
    value = {"answer": part * (19_000 // len(part)), "citations": [1], "refusal": False}
    agreed = contract(version=2, refusal_text={"languages": ["en", "de", "ja"]})
    rows = golden(14, 0)
    outputs = [gates.Output(id=row.id, output=json.dumps(value)) for row in rows[:1]]
    started = time.process_time()
    bars = {"no_stray_citations": {"target": 0.9}, "refusal_agreement": {"target": 0.9}}
    gates.judge(rows[:1], outputs, agreed, policy(**bars))
    assert time.process_time() - started < 2  # a tenth of it here


def test_a_contract_of_version_1_reads_citations_as_it_always_did() -> None:
    text = '{"answer": "It is so [2] [^9].", "citations": [2], "refusal": false}'
    (row,) = gates.parse_golden(golden_rows(1, 0))
    assert gates.read_answer(row, gates.Output(id=row.id, output=text), CONTRACT).rule_faults == ()


def test_what_was_not_compared_is_in_no_rate() -> None:
    """Sentences of two words share all of their none with any document: 60 of 60."""
    documents = [{"id": 1, "text": "The bridge is 200 metres long."}]
    rows = gates.parse_golden([{**row, "documents": documents, "support": [1]} for row in golden_rows(20, 0)])
    text = json.dumps({"answer": "It is so [1].", "citations": [1], "refusal": False})
    outputs = [gates.Output(id=row.id, output=text) for row in rows]
    bars = {"json_parse": {"mode": "zero_failures"}}
    names = ("lexical_grounding", "unsupported_specifics")
    for version, counted in ((1, 20), (2, 0)):
        verdict = gates.judge(rows, outputs, CONTRACT, gates.load_policy({"version": version, **bars}))
        assert [verdict.advisory[name].n for name in names] == [counted, counted]


def test_rows_without_labels_are_not_among_those_on_which_every_gate_passes() -> None:
    rows = golden_rows()
    for row in rows[5:12] + rows[30:35]:
        del row["answerable"], row["support"]
    some = gates.parse_golden(rows)
    bars = {"version": 2, "json_parse": {"mode": "zero_failures"}}
    verdict = gates.judge(some, gates.gold_outputs(some), CONTRACT, gates.load_policy(bars))
    shown = "\n".join(report.terminal(verdict))
    assert "12 of 40 rows have no `answerable`: only the gates of form count them." in shown
    assert "every required gate passes on the rows that it counts, 28 labelled" in shown
    assert json.loads(verdict.to_json())["unlabelled"] == 12


BY_NUMBER = {"correctness": [{"at": "/answer", "by": "number", "reference": "/value"}]}


@pytest.mark.parametrize(
    ("gate", "label", "compared"), [("citation_precision", "support", {}), ("answer_correctness", "meta", BY_NUMBER)]
)
def test_rows_with_nothing_to_compare_are_not_among_those_on_which_every_gate_passes(
    gate: str, label: str, compared: dict[str, Any]
) -> None:
    documents = [{"id": one, "text": f"It is {4 + one} metres."} for one in (1, 2)]
    rows = [{**row, "documents": documents, "support": [1], "meta": {"value": 5}} for row in golden_rows(60, 0)]
    right, wrong = (
        json.dumps({"answer": f"It is {4 + one} metres [{one}].", "citations": [one], "refusal": False})
        for one in (1, 2)
    )

    def shown(labelled: int) -> str:
        some = [{key: row[key] for key in row if key != label or n < labelled} for n, row in enumerate(rows)]
        given = gates.parse_golden(some)
        said = [gates.Output(id=row.id, output=right if n < labelled else wrong) for n, row in enumerate(given)]
        bars = gates.load_policy({"version": 3, gate: {"target": 0.8}})
        return "\n".join(report.terminal(gates.judge(given, said, contract(**compared), bars)))

    assert "every required gate passes on 60 rows" in shown(60)
    assert "every required gate passes on the rows that each counts, 60 labelled" in shown(25)
    assert f"35 answerable rows have nothing that {gate} could compare: it says nothing of them." in shown(25)


def test_a_verdict_says_whether_its_gates_were_tested(tmp_path: Path) -> None:
    said = {}
    for name, more in (("passed", ()), ("not run", ("--without-gate-zero",))):
        assert command(tmp_path, OUTPUTS, "--json", str(tmp_path / "v.json"), *more) == 0
        said[name] = json.loads((tmp_path / "v.json").read_bytes())["self_test"]
    assert said == {"passed": "passed", "not run": "not run"}
    assert gates.self_test(GOLDEN[:3], CONTRACT, policy()) == "failed"


def test_that_content_is_not_judged_is_said_where_no_gate_judges_it() -> None:
    plainly = "The content of answers is not judged: no required gate is answer_correctness."
    assert plainly in report.terminal(judged(OUTPUTS))
    assert "content of answers is not judged" in report.markdown(judged(OUTPUTS))
    assert plainly not in report.terminal(default_verdict(lambda *_: None))


def test_every_test_that_the_list_of_faults_names_is_there() -> None:
    root = Path(__file__).parents[2]
    named = re.findall(r"`([\w/]+\.py)::(test_\w+)`", (root / "docs" / "fail-open.md").read_text("utf-8"))
    assert [one for one in named if f"def {one[1]}(" not in (root / "tests" / one[0]).read_text("utf-8")] == []
    ours = re.findall(r"^def (test_\w+)", Path(__file__).read_text("utf-8"), re.MULTILINE)
    assert set(ours[:-1]) <= {name for _, name in named}
