"""Each gate's cases are data: rows, the expected counts, and the reason for each row that is wrong."""

import json
from typing import Any

import pytest

import schemas
from gates.table import ABOUT, GATES
from tests.gates.examples import DATA, answers_of, contract

CASES = [
    (path.stem, case) for path in sorted((DATA / "metrics").iterdir()) for case in json.loads(path.read_text("utf-8"))
]


@pytest.mark.parametrize(("gate", "case"), CASES, ids=lambda part: part if isinstance(part, str) else part["case"])
def test_the_gate_counts_as_the_case_says(gate: str, case: dict[str, Any]) -> None:
    score = GATES[gate](answers_of(case, contract()))
    assert (score.k, score.n) == (case["k"], case["n"]), score.misses
    assert {miss.id for miss in score.misses} == set(case["wrong"])
    for miss in score.misses:
        assert case["wrong"][miss.id] in miss.reason


@pytest.mark.parametrize("gate", GATES)
def test_every_gate_has_cases_that_pass_and_cases_that_fail(gate: str) -> None:
    cases = [case for name, case in CASES if name == gate]
    assert any(case["k"] == case["n"] > 0 for case in cases)
    assert any(case["k"] < case["n"] for case in cases)


@pytest.mark.parametrize("gate", GATES)
def test_no_rows_are_no_success(gate: str) -> None:
    score = GATES[gate]([])
    assert (score.k, score.n) == (0, 0)
    assert score.empty


def test_gates_schemas_and_what_is_known_of_gates_name_the_same_gates() -> None:
    verdict = schemas.load("verdict")["properties"]
    assert set(GATES) == set(ABOUT) == set(schemas.load("policy")["properties"])
    assert set(GATES) == set(verdict["gates"]["items"]["properties"]["gate"]["enum"])
    assert set(GATES) == set(verdict["policy"]["propertyNames"]["enum"])
