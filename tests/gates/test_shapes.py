"""Answer formats as people have them: optional parts, unions, refusals by text or list, citations in claims."""

import json
from pathlib import Path
from typing import Any

import pytest

import gates
from gates import pointer
from gates.answer import read_fields
from gates.answer_schema import schema_problems
from gates.canonical import Json
from gates.reach import Reach
from gates.report import left_out as left_out_of
from gates.schema_shapes import LATEST, unwrapped

OPTIONAL: dict[str, Any] = {  # as pydantic writes Optional[...] = None
    "type": "object",
    "title": "Answer",
    "properties": {
        "answer": {"anyOf": [{"type": "string"}, {"type": "null"}], "default": None, "title": "Answer"},
        "citations": {"anyOf": [{"type": "array", "items": {"type": "integer"}}, {"type": "null"}], "default": None},
        "refused": {"anyOf": [{"type": "boolean"}, {"type": "null"}], "default": None, "example": False},
        "confidence": {"anyOf": [{"type": "number"}, {"type": "null"}], "default": None},
    },
    "additionalProperties": False,
}
UNION: dict[str, Any] = {
    "oneOf": [{"$ref": "#/$defs/Answer"}, {"$ref": "#/$defs/Refusal"}],
    "discriminator": {"propertyName": "type", "mapping": {"answer": "#/$defs/Answer", "refusal": "#/$defs/Refusal"}},
    "$defs": {
        "Answer": {
            "type": "object",
            "properties": {
                "type": {"const": "answer"},
                "answer": {"type": "string"},
                "citations": {"type": "array", "items": {"type": "integer"}},
            },
            "required": ["type", "answer", "citations"],
            "additionalProperties": False,
        },
        "Refusal": {
            "type": "object",
            "properties": {"type": {"const": "refusal"}, "text": {"type": "string"}},
            "required": ["type", "text"],
            "additionalProperties": False,
        },
    },
}
CLAIMS: dict[str, Any] = {
    "type": "object",
    "properties": {
        "claims": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "text": {"type": "string"},
                    "sources": {"type": ["array", "null"], "items": {"type": "string"}},
                },
                "required": ["text"],
            },
        },
        "summary": {"type": "string"},
    },
    "required": ["claims", "summary"],
    "additionalProperties": False,
}


def loaded(folder: Path, schema: Json, **mapping: Any) -> gates.Contract:
    (folder / "answer.schema.json").write_text(json.dumps(schema), "utf-8")
    return gates.load_contract({"schema": "answer.schema.json", **mapping}, folder)


def problems(folder: Path, schema: Json, **mapping: Any) -> list[str]:
    with pytest.raises(gates.InvalidConfig) as refused:
        loaded(folder, schema, **mapping)
    return list(refused.value.problems)


def read(contract: gates.Contract, value: Json) -> Any:
    return read_fields(value, contract, {}, optional=contract.version > 2 and not contract.check(value))


PARTS: dict[str, Any] = {
    "answer": "/answer",
    "citations": "/citations",
    "refusal": "/refused",
    "confidence": "/confidence",
}


@pytest.mark.parametrize(
    ("value", "cited", "refused"),
    [
        ({"answer": "x", "citations": None, "refused": False, "confidence": None}, (), False),
        ({"answer": "x"}, (), False),
        ({"answer": None, "refused": True}, (), True),
        ({"refused": True}, (), True),
        ({"answer": "x", "citations": [1]}, ("1",), False),
    ],
)
def test_since_version_3_what_is_null_or_left_out_is_none(
    value: Json, cited: tuple[str, ...], refused: bool, tmp_path: Path
) -> None:
    fields = read(loaded(tmp_path, OPTIONAL, version=3, **PARTS), value)

    assert (fields.cited, fields.refused, fields.unreadable) == (cited, refused, ())


@pytest.mark.parametrize(
    "value",
    [{"answer": None, "refused": False}, {"refused": False}, {"answer": "x", "citations": "1"}, {"citations": 1}],
)
def test_an_answer_without_text_and_what_the_schema_does_not_allow_are_faults_as_before(
    value: Json, tmp_path: Path
) -> None:
    contract = loaded(tmp_path, OPTIONAL, version=3, **PARTS)

    assert contract.check(value) or read(contract, value).unreadable


def test_before_version_3_null_is_not_a_list(tmp_path: Path) -> None:
    fields = read(
        loaded(tmp_path, OPTIONAL, version=2, **PARTS), {"answer": "x", "citations": None, "confidence": None}
    )

    assert [fault.rule for fault in fields.unreadable] == ["citations", "refusal", "confidence"]


def test_what_is_left_out_though_the_schema_requires_it_is_not_none(tmp_path: Path) -> None:
    strict = {**OPTIONAL, "required": ["citations"]}
    fields = read(loaded(tmp_path, strict, version=3, **PARTS), {"answer": "x", "refused": False})

    assert [fault.rule for fault in fields.unreadable] == ["citations"]


UNITED: dict[str, Any] = {
    "version": 3,
    "answer": ["/answer", "/text"],
    "citations": "/citations",
    "refusal": {"at": "/type", "equals": "refusal"},
}


def test_a_union_of_answer_and_refusal_is_read_by_the_branch_that_is_there(tmp_path: Path) -> None:
    contract = loaded(tmp_path, UNION, **UNITED)
    answered = read(contract, {"type": "answer", "answer": "so", "citations": [2]})
    refused = read(contract, {"type": "refusal", "text": "not said"})

    assert (answered.text, answered.cited, answered.refused, answered.unreadable) == ("so", ("2",), False, ())
    assert (refused.text, refused.cited, refused.refused, refused.unreadable) == ("not said", (), True, ())


def rows(count: int, write: Any) -> tuple[gates.Golden, ...]:
    documents = [{"id": number, "text": f"It is {number}."} for number in (1, 2)]
    given = []
    for number in range(count):
        answerable = number % 3 != 2
        gold = json.dumps(write(number, answerable))
        support = {"support": [1]} if answerable else {}
        given.append(
            {"id": f"r{number}", "prompt": f"Question {number}?", "gold": gold, "documents": documents}
            | {"answerable": answerable, **support}
        )
    return gates.parse_golden(given)


def united(number: int, answerable: bool) -> Json:
    if answerable:
        return {"type": "answer", "answer": f"It is {number}.", "citations": [1]}
    return {"type": "refusal", "text": f"Nothing is said of {number}."}


def claiming(number: int, answerable: bool) -> Json:
    if not answerable:
        return {"claims": [], "summary": f"Nothing is said of {number}."}
    return {
        "claims": [{"text": "a", "sources": ["1"]}, {"text": "b"}, {"text": "c", "sources": ["1"]}],
        "summary": "ab",
    }


CLAIMED: dict[str, Any] = {
    "version": 3,
    "answer": "/summary",
    "citations": "/claims/*/sources",
    "refusal": {"at": "/claims", "empty": True},
}


@pytest.mark.parametrize(
    ("schema", "mapping", "write"), [(UNION, UNITED, united), (CLAIMS, CLAIMED, claiming)], ids=["union", "claims"]
)
def test_right_answers_pass_and_broken_ones_fail_under_the_default_policy(
    schema: Json, mapping: dict[str, Any], write: Any, tmp_path: Path
) -> None:
    contract = loaded(tmp_path, schema, **mapping)
    policy = gates.load_policy(gates.default_policy(contract.declares))
    zero = gates.gate_zero(rows(90, write), contract, policy)

    assert zero.problems == ()
    assert zero.passed
    assert "citation_coverage" in zero.names


@pytest.mark.parametrize("left_out", ["none", "rules", "citations", "refusal"])
def test_a_required_default_gate_never_needs_what_a_contract_need_not_declare(left_out: str, tmp_path: Path) -> None:
    parts = {"citations": "/citations", "refusal": "/refused", "rules": ["answer_has_citations"]}
    given = {name: part for name, part in parts.items() if name != left_out and (name != "rules" or left_out == "none")}
    schema: dict[str, Any] = {
        "type": "object",
        "required": ["answer", "citations", "refused"],
        "additionalProperties": False,
    }
    schema["properties"] = {
        "answer": {"type": "string"},
        "citations": {"type": "array"},
        "refused": {"type": "boolean"},
    }
    contract = loaded(tmp_path, schema, answer="/answer", **given)

    def write(number: int, answerable: bool) -> Json:
        text = f"It is {number}." if answerable else f"Nothing is said of {number}."
        return {"answer": text, "citations": [1] if answerable else [], "refused": not answerable}

    verdict = gates.gate_zero(rows(90, write), contract, gates.load_policy(gates.default_policy(contract.declares)))

    assert verdict.passed, verdict.problems
    assert left_out == "none" or f"(no {left_out})" in "; ".join(left_out_of(contract.declares))


def test_citations_in_claims_are_gathered_from_every_one(tmp_path: Path) -> None:
    contract = loaded(tmp_path, CLAIMS, **CLAIMED)
    claims: list[Any] = [
        {"text": "a", "sources": ["1"]},
        {"text": "b", "sources": None},
        {"text": "c", "sources": ["2", "1"]},
    ]
    value: Json = {"claims": list(claims), "summary": "s"}

    assert read(contract, value).cited == ("1", "2", "1")
    assert pointer.every(value, "/claims/*/sources") == [f"/claims/{number}/sources" for number in range(3)]


@pytest.mark.parametrize(
    ("refusal", "value", "refused"),
    [
        ({"at": "/refusal", "empty": False}, {"refusal": None}, False),
        ({"at": "/refusal", "empty": False}, {}, False),
        ({"at": "/refusal", "empty": False}, {"refusal": ""}, False),
        ({"at": "/refusal", "empty": False}, {"refusal": "I cannot say."}, True),
        ({"at": "/refusal", "present": True}, {"refusal": None}, True),
        ({"at": "/refusal", "present": True}, {}, False),
        ({"at": "/items", "empty": True}, {"items": []}, True),
        ({"at": "/items", "empty": True}, {"items": [1]}, False),
        ({"at": "/status", "in": ["refused", "unknown"]}, {"status": "unknown"}, True),
        ({"at": "/status", "in": ["refused", "unknown"]}, {"status": "answered"}, False),
        ({"at": "/status", "equals": "refused"}, {}, None),
    ],
)
def test_who_refuses_may_be_said_by_a_text_or_null_an_empty_list_or_one_of_some_values(
    refusal: Json, value: dict[str, Json], refused: bool | None, tmp_path: Path
) -> None:
    contract = loaded(tmp_path, {"type": "object"}, answer="/answer", refusal=refusal)

    assert read(contract, {"answer": "x", **value}).refused is refused


BARE: dict[str, Any] = {"type": "object", "properties": {"answer": {"type": "string"}}, "required": ["answer"]}


@pytest.mark.parametrize(
    "wrapper",
    [
        {"name": "answer", "strict": True, "schema": BARE},
        {"type": "json_schema", "name": "answer", "strict": True, "schema": BARE},
        {"type": "json_schema", "json_schema": {"name": "answer", "strict": True, "schema": BARE}},
        {"response_format": {"type": "json_schema", "json_schema": {"name": "answer", "schema": BARE}}},
        {"text": {"format": {"type": "json_schema", "name": "answer", "schema": BARE}}},
        {"type": "function", "function": {"name": "answer", "parameters": BARE}},
        {"name": "answer", "description": "An answer.", "input_schema": BARE},
        {"output_format": {"type": "json_schema", "schema": BARE}},
        BARE,
    ],
)
def test_what_openai_and_anthropic_put_around_a_schema_is_taken_off_with_a_note(
    wrapper: dict[str, Any], tmp_path: Path
) -> None:
    contract = loaded(tmp_path, wrapper, answer="/answer")

    assert contract.schema == {"$schema": LATEST, **BARE}
    assert "read as 2020-12" in contract.notes[-1]
    assert len(contract.notes) == (1 if wrapper is BARE else 2)
    assert contract.digest == loaded(tmp_path, {"$schema": LATEST, **BARE}, answer="/answer").digest


@pytest.mark.parametrize(
    "schema",
    [
        {"$schema": LATEST, "type": "object", "properties": {"schema": {"type": "object"}}},
        {"type": "object", "properties": {"name": {}, "input_schema": {}}, "description": "of tools"},
        {"$schema": LATEST, "name": "x", "input_schema": BARE, "type": "object"},
    ],
)
def test_a_schema_that_speaks_of_schemas_is_not_taken_for_a_wrapper(schema: dict[str, Any]) -> None:
    assert unwrapped(schema)[0] == {"$schema": LATEST, **schema}


@pytest.mark.parametrize(
    ("file", "says"),
    [
        ({}, "has no keyword that checks"),
        ({"answer": "a row of data"}, "has no keyword that checks"),
        ({"name": "a", "input_schema": {"answer": "text"}}, "has no keyword that checks"),
        ({"name": "a", "schema": {"schema": {"schema": {"schema": {"schema": BARE}}}}}, "has no keyword that checks"),
        ({"name": "a", "schema": BARE, "input_schema": BARE}, "has no keyword that checks"),
    ],
)
def test_what_is_not_a_schema_is_not_one_that_checks_nothing(file: Json, says: str, tmp_path: Path) -> None:
    (problem, *_) = problems(tmp_path, file, answer="/answer")

    assert says in problem


def test_a_discriminator_checks_nothing_alone_and_says_again_what_oneof_checks() -> None:
    said: dict[str, Any] = {"discriminator": {"propertyName": "type"}}

    assert schema_problems({"$schema": LATEST, **UNION}) == []
    assert schema_problems({"$schema": LATEST, "anyOf": [{"type": "object"}], **said}) == []
    (problem,) = schema_problems({"$schema": LATEST, "type": "object", **said})
    assert "write oneOf beside it" in problem


TEXT = {"answer": "/answer"}


@pytest.mark.parametrize(
    ("schema", "mapping", "says"),
    [
        (OPTIONAL, {"answer": "/anwser"}, "schema (did you mean /answer?)"),
        (OPTIONAL, {"answer": "/confidence"}, "answer: /confidence is never text"),
        (OPTIONAL, {"answer": "/answer/text"}, "answer: /answer/text cannot be there"),
        (OPTIONAL, {"answer": "/answer", "citations": "/answer"}, "citations: /answer is never a list"),
        (OPTIONAL, {**TEXT, "citations": {"at": "/citations", "key": "id"}}, "can have an id under 'id'"),
        (OPTIONAL, {"answer": "/answer", "refusal": "/answer"}, "refusal: /answer is never true or false"),
        (OPTIONAL, {"answer": "/answer", "confidence": "/refused"}, "confidence: /refused is never a number"),
        (OPTIONAL, {"answer": "/answer", "unknowns": "/unknown"}, "unknowns: /unknown cannot be there"),
        (OPTIONAL, {**TEXT, "correctness": [{"at": "/value", "by": "exact"}]}, "correctness: /value cannot be"),
        (UNION, {"answer": "/reply"}, "answer: /reply cannot be there"),
        (UNION, {"answer": ["/answer", "/txt"]}, "schema (did you mean /text?)"),
        (CLAIMS, {"answer": "/summary", "citations": "/claims"}, "citations: /claims never holds ids"),
        (CLAIMS, {**CLAIMED, "version": 2}, "With `version: 3` * is every member"),
        (CLAIMS, {"answer": "/summary", "citations": "/claims/*/source", "version": 3}, "/claims/*/source"),
    ],
)  # fmt: skip
def test_a_place_that_no_fitting_answer_can_have_is_refused_at_load_with_the_one_that_comes_nearest(
    schema: Json, mapping: dict[str, Any], says: str, tmp_path: Path
) -> None:
    if says == "/claims/*/source":  # its members are open: anything can be there
        loaded(tmp_path, schema, **mapping)
        return
    assert says in "\n".join(problems(tmp_path, schema, **mapping))


@pytest.mark.parametrize(
    ("schema", "place", "kind"),
    [
        ({"type": "object"}, "/a/b/c", "string"),
        ({}, "/a", "array"),
        ({"properties": {"a": True}, "additionalProperties": False}, "/a/b", "string"),
        ({"patternProperties": {"^a": {"type": "string"}}, "additionalProperties": False}, "/abc", "string"),
        ({"additionalProperties": {"type": "string"}}, "/x", "string"),
        ({"properties": {"a": {"enum": ["x", None]}}}, "/a", "string"),
        ({"properties": {"a": {"const": True}}}, "/a", "boolean"),
        ({"type": ["object", "null"], "properties": {"a": {"type": "integer"}}}, "/a", "number"),
        ({"allOf": [{"properties": {"a": {"type": "string"}}}, {"required": ["a"]}]}, "/a", "string"),
        ({"prefixItems": [{"type": "string"}], "items": False}, "/0", "string"),
        ({"$ref": "#/$defs/n", "$defs": {"n": {"properties": {"n": {"$ref": "#/$defs/n"}}}}}, "/n/n/n", "object"),
        ({"$ref": "#/$defs/a%25b", "$defs": {"a%b": {"type": "object"}}}, "/x", "string"),
        ({"$ref": "#anchor", "$defs": {"a": {"$anchor": "anchor", "type": "string"}}}, "/x", "string"),
        ({"if": {"properties": {"a": False}}, "then": {"required": ["b"]}}, "/a", "string"),
        ({"not": {"required": ["a"]}}, "/a", "string"),
        ({"properties": {"a": {"anyOf": [{"type": "null"}, {"type": "string"}]}}}, "/a", "string"),
        ({"unevaluatedProperties": False, "allOf": [{"properties": {"a": {}}}]}, "/a", "string"),
        (True, "/a", "string"),
    ],
)
def test_a_place_that_may_be_there_is_never_refused(schema: Any, place: str, kind: str) -> None:
    reach = Reach(schema={"allOf": [schema]})
    part = reach.at(place) if schema is True or "$ref" not in schema else Reach(schema=schema).at(place)

    assert part is not False
    assert reach.can_be(part, kind)


def test_a_schema_with_addresses_inside_is_not_followed(tmp_path: Path) -> None:
    schema: dict[str, Any] = {
        "$ref": "#/$defs/a",
        "$defs": {"a": {"$id": "other.json", "properties": {}, "additionalProperties": False}},
    }

    assert loaded(tmp_path, {"$schema": LATEST, **schema}, answer="/answer").answer == "/answer"


def test_what_was_published_is_read_whether_or_not_its_places_can_be_there(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps({"$schema": LATEST, **OPTIONAL}), "utf-8")
    mapping = {"schema": "a.json", "answer": "/answer", "unknowns": "/never"}

    assert gates.load_contract(mapping, tmp_path, kept=True).unknowns == ("/never",)
    with pytest.raises(gates.InvalidConfig):
        gates.load_contract(mapping, tmp_path)
