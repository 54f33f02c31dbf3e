"""What a file may hold is said twice, as a schema and as a type: both name the same keys, and ask for the same."""

from typing import get_type_hints

import pytest

import schemas
from gates.contract import CitationsEntry, ContractFile, DocumentFields, RefusalEntry
from gates.policy import BarEntry, PolicyFile
from gates.rows import AnswersRow, GoldenRow
from gates.rules import CONDITIONS, RuleEntry
from gates.table import ABOUT

CONTRACT = schemas.load("contract")["properties"]
POLICY = schemas.load("policy")
RULE = CONTRACT["rules"]["items"]


@pytest.mark.parametrize(
    ("kind", "schema"),
    [
        (ContractFile, schemas.load("contract")),
        (CitationsEntry, CONTRACT["citations"]),
        (RefusalEntry, CONTRACT["refusal"]),
        (RefusalEntry, CONTRACT["refusal"]["items"]),
        (DocumentFields, CONTRACT["document_fields"]),
        (GoldenRow, schemas.load("golden_row")),
        (AnswersRow, schemas.load("answers_row")),
        (BarEntry, POLICY["$defs"]["bar"]),
    ],
    ids=lambda one: getattr(one, "__name__", ""),
)
def test_a_type_has_the_keys_of_its_schema_and_the_same_are_required(kind: type, schema: dict[str, object]) -> None:
    properties, required = schema["properties"], schema.get("required", [])
    assert isinstance(properties, dict)
    assert isinstance(required, list)
    assert set(get_type_hints(kind)) == set(properties)
    assert vars(kind)["__required_keys__"] == set(required)


def test_the_keys_of_a_rule_and_of_a_policy_are_those_of_their_schemas() -> None:
    # A rule needs a name; the others hang together as no schema can say. A policy also has a key for each gate.
    assert set(get_type_hints(RuleEntry)) == set(RULE["properties"])
    for key in ("if", "then", "only_if"):
        assert set(RULE["properties"][key]["properties"]) == {"at", *CONDITIONS}
    assert set(get_type_hints(PolicyFile)) == set(POLICY["properties"]) - set(ABOUT)
