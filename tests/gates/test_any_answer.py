"""Any text as an answer, under any contract: it is judged, its counts add up, and a second validator agrees.

``FUZZ=20000`` in the environment tries so many batches of answers.
"""

import json
import os
from collections.abc import Mapping
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import gates
from tests.gates import examples

TRIED = int(os.environ.get("FUZZ", "25"))
BATCH = 8
"""Answers of one verdict."""
PLAIN: Mapping[str, Any] = {
    "correctness": [{"at": "/answer", "by": "normalized"}],
    "refusal_text": {"languages": ["en"]},
}
CONTRACTS: Mapping[str, Mapping[str, Any]] = {
    "the first form": {},
    "with lists and ranges": {"version": 2, **PLAIN},
    "with what is none": {"version": 3, **PLAIN},
    "without markers": {"version": 3, "markers": None, "rules": None},
    "refused by a text": {"version": 3, "refusal": {"at": "/answer", "in": ["", "The sources do not say."]}},
    "refused by an empty list": {"version": 3, "refusal": {"at": "/citations", "empty": True}, "rules": None},
    "nothing but a text": {"version": 3, "citations": None, "markers": None, "refusal": None, "rules": None},
}
WORDS = st.sampled_from((
    *("[1]", "[2]", "[3]", "[1, 2]", "[1-2]", "[2-1]", "[1-999999999]", "【1†a】", "(2)", "¹", "[^1]", "１", "[٢]"),
    *("http://a.b/1", "two", "one", "It is so", "cannot", "I do not know", "not", ".", "?", "\n", "\u200b", "\u202e"),
    *("```", "{", '"', "a" * 300, "\u0301" * 40, "9" * 400, "-0", "1e400", "NaN"),
))  # fmt: skip
TEXTS = st.lists(WORDS, max_size=6).map(" ".join) | st.text(max_size=20)
PLAIN_IDS = st.sampled_from([1, 2, 3, 0, -1, 1.0, 2.5, "1", "2", " 2", "²", None, True, 10**30])
IDS = PLAIN_IDS | TEXTS
VALUES = st.recursive(
    IDS | st.booleans() | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["id", "a"]), inner, max_size=2),
    max_leaves=5,
)
OBJECTS = st.fixed_dictionaries(
    {},
    optional={
        "answer": TEXTS | VALUES,
        "citations": st.lists(IDS, max_size=4) | VALUES,
        "refusal": st.booleans() | VALUES,
        "else": VALUES,
    },
)
WRITTEN = OBJECTS.map(json.dumps)
FENCED = WRITTEN.map(lambda text: f"```json\n{text}\n```")
CUT = st.tuples(WRITTEN, st.integers(0, 60)).map(lambda pair: pair[0][: pair[1]])
TWICE = st.tuples(WRITTEN, WRITTEN).map("".join)
OUTPUTS = WRITTEN | FENCED | CUT | TWICE | TEXTS | VALUES.map(json.dumps) | st.just(examples.answer(2))
ANSWERS = st.lists(OUTPUTS, min_size=BATCH, max_size=BATCH)
GOLDEN = gates.parse_golden(examples.golden_rows(BATCH // 2, BATCH // 2))
SCHEMA = json.loads((examples.DATA / "contract" / "answer.schema.json").read_bytes())


@pytest.mark.parametrize("name", CONTRACTS)
@settings(max_examples=TRIED, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(outputs=ANSWERS)
def test_whatever_is_answered_is_counted(name: str, outputs: list[str]) -> None:
    contract = examples.contract(**CONTRACTS[name])
    policy = gates.load_policy(gates.default_policy(contract.declares))
    answered = [gates.Output(id=row.id, output=text) for row, text in zip(GOLDEN, outputs, strict=True)]

    verdict = gates.judge(GOLDEN, answered, contract, policy)

    assert verdict.to_json() == gates.judge(GOLDEN, answered, contract, policy).to_json()
    for gate in verdict.gates:
        assert 0 <= gate.score.k <= gate.score.n <= len(GOLDEN)
        assert {miss.id for miss in gate.score.misses} <= set(gate.score.counted)


@settings(max_examples=4 * TRIED, deadline=None)
@given(output=OUTPUTS)
def test_a_second_validator_agrees_whether_an_answer_fits_the_schema(output: str) -> None:
    contract = examples.contract()
    read = gates.read_answer(GOLDEN[0], gates.Output(id=GOLDEN[0].id, output=output), contract)

    if read.parsed:
        agrees = jsonschema_rs.validator_for(SCHEMA).is_valid(json.loads(output))
        assert agrees == (not read.schema_faults)
