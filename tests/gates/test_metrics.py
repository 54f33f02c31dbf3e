"""Each gate's cases are data: rows, the expected counts, why, and what is said of each row that is wrong."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import gates
import schemas
from gates.table import ABOUT, ADVISORY, GATES
from tests.gates.examples import DATA, answers_of, contract, rich

ALL = {**GATES, **ADVISORY}
CASES = [
    (path.stem, case) for path in sorted((DATA / "metrics").iterdir()) for case in json.loads(path.read_text("utf-8"))
]


@pytest.mark.parametrize(("gate", "case"), CASES, ids=lambda part: part if isinstance(part, str) else part["case"])
def test_the_gate_counts_as_the_case_says(gate: str, case: dict[str, Any]) -> None:
    score = ALL[gate](answers_of(case, contract(**case.get("contract", {}))))
    assert (score.k, score.n) == (case["k"], case["n"]), score.misses
    assert score.misses == tuple(gates.Miss(id=row, **said) for row, said in case["wrong"].items())


@pytest.mark.parametrize(
    "case", json.loads((DATA / "advisory_rates.json").read_text("utf-8")), ids=lambda case: case["case"]
)
def test_rates_that_lenient_tools_report_stand_beside_the_gate(case: dict[str, Any]) -> None:
    answers = answers_of(case, contract())
    outputs = [
        gates.Output(id=one.id, output=one.output, finish_reason=row.get("finish_reason", "stop"))
        for one, row in zip(answers, case["rows"], strict=True)
    ]
    bars = gates.load_policy({"json_parse": {"mode": "zero_failures"}})
    verdict = gates.judge([one.golden for one in answers], outputs, contract(), bars)
    gate = verdict.gate("json_parse").score
    assert {"k": gate.k, "n": gate.n} == case["gate"]
    advisory = json.loads(verdict.to_json())["advisory"]
    for name in ("json_parse_fence_tolerant", "schema_compliance_of_parsed"):
        assert advisory[name] == case[name]


@pytest.mark.parametrize("gate", ALL)
def test_every_gate_has_cases_that_pass_and_cases_that_fail(gate: str) -> None:
    cases = [case for name, case in CASES if name == gate]
    assert any(case["k"] == case["n"] > 0 for case in cases)
    assert any(case["k"] < case["n"] for case in cases)


@pytest.mark.parametrize("gate", ALL)
def test_no_rows_are_no_success(gate: str) -> None:
    score = ALL[gate]([])
    assert (score.k, score.n) == (0, 0)
    assert score.empty == json.loads((DATA / "nothing_counted.json").read_text("utf-8"))[gate]


def test_gates_and_the_schema_of_a_policy_name_the_same_gates() -> None:
    of_all = {"version", "cluster_key", "max_net_loss", "loss_margin", "human_review"}
    assert set(GATES) == set(ABOUT) == set(schemas.load("policy")["properties"]) - of_all


def test_what_compares_words_may_have_a_threshold_and_never_stop_a_release() -> None:
    rows, agreed = rich()
    shown = {"target": 0.9, "required": False, "min_support": 1}
    asked = gates.load_policy({"json_parse": {"mode": "zero_failures"}, **dict.fromkeys(ADVISORY, shown)})
    verdict = gates.judge(rows, gates.gold_outputs(rows), agreed, asked)

    assert {name for name, about in ABOUT.items() if about.only_shown} == set(ADVISORY)
    assert set(ADVISORY) <= {gate.name for gate in verdict.gates}
    assert not set(ADVISORY) & set(verdict.advisory)
    assert verdict.passed
    for bar in ({"target": 0.9}, {"target": 0.9, "required": True}):
        with pytest.raises(gates.InvalidConfig, match=r"can only be shown: write required: false"):
            gates.load_policy({"json_parse": {"mode": "zero_failures"}, "lexical_grounding": bar})


def test_advisory_scores_stand_in_the_verdict_with_the_ids_of_what_is_wrong() -> None:
    golden, agreed = rich()
    outputs = list(gates.gold_outputs(golden))
    outputs[0] = replace(outputs[0], output=outputs[0].output.replace("200 metres", "250 metres"))
    verdict = gates.judge(golden, outputs, agreed, gates.load_policy({"json_parse": {"mode": "zero_failures"}}))
    counts = {name: (score.k, score.n) for name, score in verdict.advisory.items()}
    assert (counts["unsupported_specifics"], counts["lexical_grounding"]) == ((25, 26), (26, 26))
    assert counts["retrieval_utilisation"] == (0, 0)
    assert counts["provenance_completeness"] == (26, 26)
    assert json.loads(verdict.to_json())["advisory"]["unsupported_specifics"]["wrong"] == ["q00"]


def test_the_documentation_names_every_gate_and_every_key() -> None:
    text = (Path(__file__).parents[2] / "docs" / "gates.md").read_text("utf-8")
    modes = schemas.load("policy")["$defs"]["bar"]["properties"]["mode"]["enum"]
    keys = [*schemas.load("contract")["properties"], *schemas.load("golden_row")["properties"]]
    keys += ["cluster_key", "max_net_loss", "loss_margin"]
    assert [name for name in (*ALL, *modes, *keys) if f"`{name}`" not in text and f"{name}:" not in text] == []
