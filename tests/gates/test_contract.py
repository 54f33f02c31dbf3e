"""Contracts: what is refused at load, what an answer's fields are read as, and what a schema check reports."""

import json
import math
import time
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import gates
from gates import answer_schema, pointer
from gates.answer_schema import schema_check, schema_problems
from gates.canonical import Json
from gates.rules import Fields
from tests.gates.examples import DATA, answer, answers_of, contract

BAD_CONTRACTS = json.loads((DATA / "bad_contracts.json").read_text("utf-8"))
BAD_SCHEMAS = json.loads((DATA / "bad_schemas.json").read_text("utf-8"))
DRAFTS = ("http://json-schema.org/draft-07/schema#", "https://json-schema.org/draft/2019-09/schema")
LATEST = "https://json-schema.org/draft/2020-12/schema"


@pytest.mark.parametrize("case", BAD_CONTRACTS, ids=lambda case: case["fault"])
def test_a_bad_contract_is_refused_with_every_problem(case: dict[str, Any]) -> None:
    with pytest.raises(gates.InvalidConfig) as refused:
        contract(**case["changes"])
    assert [problem.replace(f"{DATA}/", "") for problem in refused.value.problems] == case["says"]


def test_a_rule_that_compares_with_nan_is_refused() -> None:
    with pytest.raises(gates.InvalidConfig, match=r"^contract\.rules\.0\.then\.in\.1: nan is not a number"):
        contract(rules=[{"name": "x", "then": {"at": "/answer", "in": [1, math.nan]}}])


@pytest.mark.parametrize("case", BAD_SCHEMAS, ids=lambda case: case["fault"])
def test_a_schema_that_cannot_be_checked_whole_is_refused(case: dict[str, Any]) -> None:
    assert schema_problems(case["schema"]) == case["says"]


@pytest.mark.parametrize(
    "schema",
    [
        {"version": "1.0.0", "x-owner": "us", "formula": "near format", "properties": {"minLenght": {}}},
        {"$ref": "#/$defs/a", "$defs": {"a": {"type": "object"}}},
        {"properties": {"a": {"format": "uri"}, "b": {"format": "uuid"}, "c": {"format": "date-time"}}},
        {"properties": {"a": {"pattern": r"^kwanzaa\.answer\.v[0-9]+$"}, "b": {"pattern": "^(foo|bar)+$"}}},
        {"$ref": LATEST},
        {"patternProperties": {"^x-": {}}, "unevaluatedProperties": False},
    ],
)
def test_words_of_the_users_own_and_safe_schemas_are_taken(schema: dict[str, Any]) -> None:
    assert schema_problems({"$schema": LATEST, **schema}) == []


@pytest.mark.parametrize("draft", [*DRAFTS, LATEST])
def test_formats_are_asserted_in_every_draft(draft: str) -> None:
    formats = {"a": "uri", "b": "date-time", "c": "uuid", "d": "email", "e": "hostname", "f": "duration"}
    check = schema_check({"$schema": draft, "properties": {key: {"format": name} for key, name in formats.items()}})
    assert [fault.path for fault in check(dict.fromkeys(formats, "no such thing!"))] == [f"/{key}" for key in formats]


MULTIPLES = [(0.01, 19.99, 19.995), (0.1, 0.3, 0.35), (3, 9.0, 10), (0.5, 7, 0.7)]


@pytest.mark.parametrize(("step", "right", "wrong"), MULTIPLES)
def test_a_multiple_is_one_in_decimals(step: float, right: float, wrong: float) -> None:
    check = schema_check({"$schema": LATEST, "properties": {"a": {"multipleOf": step}}})
    assert check({"a": right}) == ()
    (fault,) = check({"a": wrong})
    assert fault.message == f"{wrong} is not a multiple of {step}"


GOOD_FORMATS = [
    ("uuid", "2eb8aa08-aa98-11ea-b4aa-73b441d16380"),
    ("uuid", "2EB8AA08-AA98-11EA-B4AA-73B441D16380"),
    ("date", "2026-02-28"),
    ("time", "08:30:06Z"),
    ("time", "08:30:06.283185+01:00"),
    ("date-time", "1985-04-12T23:20:50.52Z"),
    ("date-time", "1963-06-19t08:30:06.283185z"),
    ("duration", "P4DT12H30M5S"),
    ("duration", "P4W"),
    ("duration", "PT36H"),
    ("duration", "P1Y2M"),
    ("hostname", "www.example.com"),
    ("hostname", "xn--4gbwdl.xn--wgbh1c.com"),
    ("email", "joe.bloggs@example.com"),
    ("email", "te~st+1@example.com"),
    ("email", '"joe bloggs"@example.com'),
    ("iri", "http://\u00e4.example/\u00fc?q=1#\u0444"),
    ("iri", "http://[::1]/"),
    ("iri-reference", "/rel/\u00e4"),
]
BAD_FORMATS = [
    ("iri", "/rel/\u00e4"),
    ("iri", "http://a b"),
    ("iri", "http://x/%zz"),
    ("iri-reference", "\\\\share\\file"),
    ("uuid", "2eb8aa08-aa98-11ea-b4aa-73b441d16380-"),
    ("uuid", "2eb8aa08-aa98-11ea-b4aa-73b441d1638\u09e6"),
    ("uuid", "2eb8aa08aa9811eab4aa73b441d16380"),
    ("date", "2026-02-30"),
    ("date", "1963-06-1\u09ea"),
    ("time", "08:30:06"),
    ("date-time", "1985-04-12T23:20:50.52Z\n"),
    ("date-time", "1985-04-12 23:20:50Z"),
    ("date-time", "2013-350T01:01:01Z"),
    ("duration", "P1Y2D"),
    ("duration", "PT"),
    ("duration", "P2S"),
    ("duration", "P\u09e8Y"),
    ("hostname", "-bad.example"),
    ("hostname", "bad-.example"),
    ("hostname", "a" * 64 + ".com"),
    ("hostname", "no_underscore.example"),
    ("email", "two@at@example.com"),
    ("email", ".dot@example.com"),
    ("email", "two..dots@example.com"),
    ("email", "no space@example.com"),
    ("email", "@"),
]


@pytest.mark.parametrize("draft", [*DRAFTS, LATEST])
def test_formats_are_as_strict_as_their_standards(draft: str) -> None:
    def valid(name: str, value: str) -> bool:
        return not schema_check({"$schema": draft, "properties": {"a": {"format": name}}})({"a": value})

    assert [one for one in GOOD_FORMATS if not valid(*one)] == []
    assert [one for one in BAD_FORMATS if valid(*one)] == []


@pytest.mark.parametrize(("name", "value"), [*GOOD_FORMATS, *BAD_FORMATS])
def test_a_second_validator_agrees_on_formats(name: str, value: str) -> None:
    whole = {"$schema": LATEST, "format": name}
    agrees = jsonschema_rs.validator_for(whole, validate_formats=True).is_valid(value)
    assert agrees == ((name, value) in GOOD_FORMATS)


def test_faults_come_shortest_path_first_and_in_the_same_order_each_time() -> None:
    schema: dict[str, Json] = {
        "$schema": LATEST,
        "properties": {"z": {"type": "string"}, "a": {"items": {"type": "string"}}},
    }
    check = schema_check({**schema, "required": ["q"]})
    faults = check({"a": [1, 2], "z": 0})
    assert [fault.path for fault in faults] == ["", "/z", "/a/0", "/a/1"]
    assert faults == check({"z": 0, "a": [1, 2]})


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"pattern": r"^(.*)(.*)\1\2x"}, "a" * 4000),
        ({"$ref": "#"}, {}),
        ({"allOf": [{"$ref": "#/$defs/a"}], "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}}, {}),
    ],
)
def test_what_the_validator_cannot_decide_is_not_valid(schema: dict[str, Any], value: Json) -> None:
    (fault,) = schema_check({"$schema": LATEST, **schema})(value)
    assert "could not be checked" in fault.message


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.floats(-2, 2) | st.text("ab1\n\u00e9\u0661", max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=6,
)
LEAVES = st.sampled_from(
    [{"type": kind} for kind in ("string", "integer", "number", "object", "array", "boolean", "null")]
    + [{"minLength": 1}, {"maxLength": 1}, {"pattern": "^a+$"}, {"minimum": 1}, {"exclusiveMaximum": 1}]
    + [{"const": 1}, {"const": True}, {"enum": ["a", 0, None]}, {"uniqueItems": True}, {"minItems": 1}]
    + [{"required": ["a"]}, {"additionalProperties": False}, {"multipleOf": 2}, {"maxProperties": 1}]
    + [{"multipleOf": 0.1}, {"pattern": r"^\d$"}, {"pattern": "^.$"}, {"pattern": r"\b"}, {"format": "date"}]
    + [{"patternProperties": {"^.$": {"type": "string"}}, "additionalProperties": False}]
)
SCHEMAS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.builds(lambda one: {"items": one}, inner),
        st.builds(lambda one: {"not": one}, inner),
        st.builds(lambda one, two: {"properties": {"a": one, "b": two}}, inner, inner),
        st.builds(lambda one, two: {"anyOf": [one, two]}, inner, inner),
        st.builds(lambda one, two, three: {"if": one, "then": two, "else": three}, inner, inner, inner),
        st.builds(lambda one: {"contains": one}, inner),
    ),
    max_leaves=4,
)


@settings(max_examples=300, deadline=None)
@given(SCHEMAS, VALUES, st.sampled_from([*DRAFTS, LATEST]))
def test_a_second_validator_agrees(schema: dict[str, Any], value: Json, draft: str) -> None:
    whole = {"$schema": draft, **schema}
    assert schema_problems(whole) == []
    fast, slow = answer_schema._fast(whole), answer_schema._slow(whole)
    assert (schema_check(whole)(value) == ()) == (slow(value) == [])
    assert fast is None or fast.is_valid(value) == (slow(value) == [])


@pytest.mark.parametrize("output", ["x" * 10_000_000, "[" * 10_000_000, '{"a":"' + "\\" * 5_000_000, " " * 10_000_000])
def test_an_oversized_output_is_refused_quickly(output: str) -> None:
    started = time.process_time()
    (read,) = answers_of({"rows": [{"output": output}]}, contract())
    assert not read.parsed
    assert time.process_time() - started < 2


def _fields(output: object, **changes: Any) -> Fields:
    row = {"answerable": True, "output": output}
    (read,) = answers_of({"rows": [row]}, contract(rules=None, **changes))
    return read.fields


def test_citations_may_be_ids_or_objects_that_name_a_documents_field() -> None:
    assert _fields(answer(1, 2)).cited == ("1", "2")
    assert _fields({"citations": ["1", 2.0]}).cited == ("1", "2")
    assert _fields({"citations": [{"n": 1}]}, citations={"at": "/citations", "key": "n"}).cited == ("1",)
    assert _fields({"citations": [True]}).cited is None
    assert _fields({"citations": ["n"]}, citations={"at": "/citations", "key": "n"}).cited is None
    assert _fields({"citations": [{"m": 1}]}, citations={"at": "/citations", "key": "n"}).cited is None
    assert _fields({"citations": ["x"]}, citations={"at": "/citations", "matches": "url"}).cited == ("unknown x",)


def test_documents_may_be_found_in_the_prompt_and_matched_by_another_field() -> None:
    agreed = contract(
        documents=r"^\[(?P<id>\d+)\] (?P<url>\S+)$", citations={"at": "/citations", "key": "url", "matches": "url"}
    )
    prompt = "Sources:\n[1] http://a\n[2] http://b\nQuestion?"
    (row,) = gates.parse_golden([{"prompt": prompt, "answerable": True, "support": [2]}])
    output = json.dumps({"answer": "x [2]", "citations": [{"url": "http://b"}], "refusal": False})
    verdict = gates.judge(
        [row],
        [gates.Output(id=row.id, output=output)],
        agreed,
        gates.load_policy({"citation_precision": {"mode": "zero_failures", "min_support": 1}}),
    )
    assert verdict.gate("citation_precision").score.k == 1


def test_documents_are_found_in_each_message_unless_the_row_lists_them() -> None:
    agreed = contract(documents=r"\[(?P<id>\d+)\]")
    roles = [{"role": "system", "content": "[1] [2]"}, {"role": "user", "content": "[3]?"}]
    found, listed = gates.parse_golden([{"messages": roles}, {"messages": roles, "documents": [{"id": 4}]}])
    for row, documents in ((found, {"1", "2", "3"}), (listed, {"4"})):
        assert gates.read_answer(row, gates.Output(id=row.id, output=""), agreed).documents == documents
    assert gates.read_answer(found, gates.Output(id=found.id, output=""), contract()).documents == set()


def test_markers_may_hold_several_ids() -> None:
    several = _fields({"answer": "So [1, 2;  3] and [, 4]."}, markers=r"\[([\d,; ]+)\]")
    assert (several.markers, several.prose) == (("1", "2", "3", "4"), "So  and .")
    assert _fields({"answer": "So [1]."}, markers=None).prose == "So [1]."


def test_a_refusal_may_be_a_value_and_several_fields_must_agree() -> None:
    one = {"at": "/status", "equals": "refusal"}
    both = [one, "/refusal"]
    assert _fields({"status": "refusal"}, refusal=one).refused is True
    assert _fields({"status": "answer"}, refusal=one).refused is False
    assert _fields({"status": "refusal", "refusal": True}, refusal=both).refused is True
    assert _fields({"status": "refusal"}, refusal=both).refused is True
    disagree = _fields({"status": "refusal", "refusal": False}, refusal=both)
    assert disagree.refused is None
    assert (disagree.unreadable[-1].path, disagree.unreadable[-1].message) == (
        "/status",
        "/status and /refusal disagree",
    )
    words = [{"at": "/status", "equals": "refusal"}, {"at": "/status", "equals": "declined"}]
    said = {word: _fields({"status": word}, refusal=words).refused for word in ("refusal", "declined", "answer")}
    assert said == {"refusal": True, "declined": True, "answer": False}
    assert _fields({}, refusal=both).refused is None
    assert _fields({}, refusal=None).refused is False


@pytest.mark.parametrize("confidence", [0, 0.5, 1])
def test_a_confidence_is_any_share_and_may_be_left_out(confidence: float) -> None:
    assert _fields({"confidence": confidence}, confidence="/confidence").confidence == confidence
    left_out = _fields({}, confidence="/confidence")
    assert left_out.confidence is None
    assert "confidence" not in {fault.rule for fault in left_out.unreadable}


@pytest.mark.parametrize("confidence", ["high", True, 1.5, -0.1, None, 10**400])
def test_a_confidence_that_is_no_share_is_a_fault(confidence: object) -> None:
    fields = _fields({"confidence": confidence}, confidence="/confidence")
    assert fields.confidence is None
    assert any(fault.rule == "confidence" for fault in fields.unreadable)


def test_declared_rules_compare_fields_that_a_schema_cannot() -> None:
    said = {"at": "/provided", "equals": True}
    rules = [
        {"name": "only_if", "if": said, "only_if": {"at": "/citations", "empty": False}},
        {"name": "then", "if": {"at": "/status", "in": ["a", "b"]}, "then": {"at": "/why", "present": True}},
        {"name": "always", "then": {"at": "/answer", "empty": False}},
    ]
    agreed = contract(rules=rules, citations=None, refusal=None, markers=None)

    def faults(output: dict[str, Any]) -> dict[str, str]:
        (read,) = answers_of({"rows": [{"output": output}]}, agreed)
        return {fault.rule: fault.message for fault in read.rule_faults}

    def broken(output: dict[str, Any]) -> list[str]:
        return list(faults(output))

    assert broken({"answer": "x", "provided": True, "citations": [1]}) == []
    assert broken({"answer": "x", "provided": 1, "citations": []}) == []
    assert broken({"answer": "x", "provided": False, "citations": [1]}) == ["only_if"]
    assert broken({"answer": "x", "status": "a", "provided": True}) == ["only_if", "then"]
    assert broken({"answer": ""}) == ["always"]
    assert faults({"answer": "", "provided": True, "status": "a", "citations": []}) == {
        "only_if": "/provided is True; /citations is []",
        "then": "/status is 'a'; /why is missing",
        "always": "/answer is ''",
    }
    assert faults({"answer": [], "status": "b", "x" * 99: 0})["always"] == "/answer is []"
    long = faults({"answer": "x", "citations": [1] * 99})["only_if"]
    assert long == f"/provided is missing; /citations is {repr([1] * 99)[:60]}"


def test_an_answer_longer_than_the_contract_allows_is_wrong() -> None:
    rows = [{"output": answer(1)}, {"output": f"```\n{answer(1)}\n```"}]
    for one in answers_of({"rows": rows}, contract(max_characters=20)):
        assert (one.reading.code, one.fenced) == ("too_long", False)


def test_a_long_message_of_the_validator_is_cut() -> None:
    check = schema_check({"$schema": LATEST, "type": "integer"})
    for value, shown in (
        ("x" * 173, f"'{'x' * 173}' is not of type 'integer'"),
        ("x" * 174, f"'{'x' * 174}' is not of type 'intege…"),
    ):
        (fault,) = check(value)
        assert (len(fault.message), fault.message) == (200, shown)


def test_the_digest_names_the_mapping_and_the_content_of_the_schema_wherever_it_lies(tmp_path: Path) -> None:
    schema = json.loads((DATA / "contract" / "answer.schema.json").read_text("utf-8"))
    (tmp_path / "elsewhere").mkdir()
    for name in ("same.json", "elsewhere/moved.json"):
        (tmp_path / name).write_text(json.dumps(schema, indent=7))
    (tmp_path / "other.json").write_text(json.dumps({**schema, "title": "other"}))
    digests = [
        gates.load_contract({"schema": name, "answer": "/answer"}, tmp_path).digest
        for name in ("same.json", "other.json", "elsewhere/moved.json")
    ]
    assert contract().digest == contract().digest != contract(markers=r"<(\d+)>", rules=None).digest
    assert digests[0] == digests[2] != digests[1]


@given(st.lists(st.text()))
def test_a_pointer_is_read_as_it_was_written(tokens: list[str]) -> None:
    assert pointer.parse(pointer.write(tokens)) == tuple(tokens)


def test_a_pointer_escapes_its_own_signs() -> None:
    assert pointer.write(["a~b", "c/d", 0]) == "/a~0b/c~1d/0"


def test_a_pointer_that_leads_nowhere_is_not_null() -> None:
    assert pointer.get({"a": [1, None]}, "/a/0") == 1
    assert pointer.get({"a": [1, None]}, "/a/1") is None
    assert not pointer.MISSING
    for nowhere in ("/b", "/a/1", "/a/-1", "/a/00", "/a/x", "/a/0/0"):
        assert pointer.get({"a": [None]}, nowhere) is pointer.MISSING


def test_a_value_is_replaced_in_a_copy_and_only_where_its_parent_is_there() -> None:
    value: Json = {"a": {"b": 1}, "c": [0]}
    assert pointer.replaced(value, "/a/b", 2) == {"a": {"b": 2}, "c": [0]}
    assert value == {"a": {"b": 1}, "c": [0]}
    assert pointer.replaced(value, "", 3) == 3
    for elsewhere in ("/x/b", "/c/0"):
        assert pointer.replaced(value, elsewhere, 2) == value


def test_a_schema_that_has_no_end_is_read_no_further_than_one_may_be_long(tmp_path: Path) -> None:
    (tmp_path / "schema.json").symlink_to("/dev/zero")
    schema, (problem,), _ = answer_schema.read_schema(tmp_path / "schema.json")
    assert schema is None
    assert "not a JSON object (not_utf8" in problem
