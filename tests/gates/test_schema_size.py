"""How much a schema asks of a value, and that what cannot be counted beforehand is stopped."""

import time
from typing import TYPE_CHECKING, Any

import pytest

from gates.answer_schema import schema_check, schema_problems
from gates.schema_size import measure

if TYPE_CHECKING:
    from gates.canonical import Json

LATEST = "https://json-schema.org/draft/2020-12/schema"


def _doubled(times: int, keyword: str = "allOf") -> dict[str, Any]:
    parts = {f"d{one}": {keyword: [{"$ref": f"#/$defs/d{one + 1}"}] * 2} for one in range(times)}
    return {"$schema": LATEST, "$ref": "#/$defs/d0", "$defs": {**parts, f"d{times}": {"type": "object"}}}


@pytest.mark.parametrize("keyword", ["allOf", "anyOf", "oneOf"])
def test_a_reference_doubled_forty_times_is_refused_soon(keyword: str) -> None:
    started = time.process_time()
    (problem,) = schema_problems(_doubled(40, keyword))
    assert "refer to each of $defs once" in problem
    assert time.process_time() - started < 5


def test_a_reference_doubled_a_few_times_is_taken() -> None:
    assert schema_problems(_doubled(10)) == []
    assert schema_check(_doubled(10))({}) == ()


def test_many_models_that_share_parts_are_taken_and_their_faults_named() -> None:
    leaf = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
    models = {
        f"m{one}": {"type": "object", "properties": {key: {"$ref": f"#/$defs/m{one + 1}"} for key in "abcde"}}
        for one in range(6)
    }
    schema: dict[str, Any] = {"$schema": LATEST, "$ref": "#/$defs/m0", "$defs": {**models, "m6": leaf}}
    assert schema_problems(schema) == []
    (fault,) = schema_check(schema)({"a": {"b": {"c": {"d": {"e": {"a": {}}}}}}})
    assert (fault.path, fault.rule) == ("/a/b/c/d/e/a", "required")


EXPRESSION: dict[str, Any] = {
    "$schema": LATEST,
    "$ref": "#/$defs/any",
    "$defs": {
        "any": {"oneOf": [{"$ref": f"#/$defs/{name}"} for name in ("number", "add", "negate")]},
        "number": {"type": "number"},
        "add": {
            "properties": {"op": {"const": "+"}, "left": {"$ref": "#/$defs/any"}, "right": {"$ref": "#/$defs/any"}},
            "required": ["op", "left", "right"],
            "type": "object",
        },
        "negate": {
            "properties": {"op": {"const": "-"}, "of": {"$ref": "#/$defs/any"}},
            "required": ["op", "of"],
            "type": "object",
        },
    },
}


def test_a_recursive_schema_is_taken_and_checked() -> None:
    assert schema_problems(EXPRESSION) == []
    check = schema_check(EXPRESSION)
    value: Json = {"op": "+", "left": 1, "right": {"op": "-", "of": {"op": "+", "left": 2, "right": 3}}}
    assert check(value) == ()
    assert [fault.rule for fault in check({"op": "+", "left": 1, "right": "x"})] == ["oneOf"]


def test_a_recursion_that_doubles_with_each_level_is_stopped_and_the_answer_is_wrong() -> None:
    twice: dict[str, Any] = {"$schema": LATEST, "properties": {"a": {"allOf": [{"$ref": "#"}, {"$ref": "#"}]}}}
    assert schema_problems(twice) == []
    value: Json = {}
    for _ in range(100):
        value = {"a": value}
    started = time.process_time()
    (fault,) = schema_check(twice)(value)
    assert "more than 500000 steps" in fault.message
    assert time.process_time() - started < 10
    assert schema_check(twice)({"a": {"a": {"a": {}}}}) == ()


def test_a_huge_enum_is_stopped_or_fast() -> None:
    schema: dict[str, Any] = {"$schema": LATEST, "items": {"enum": list(range(50_000))}}
    check = schema_check(schema)
    started = time.process_time()
    assert check([49_999] * 5_000) == ()
    assert check([1, "x"])[0].rule == "enum"
    check([*range(5_000), "x"])
    assert time.process_time() - started < 5


def test_unique_items_take_no_square_time() -> None:
    check = schema_check({"$schema": LATEST, "uniqueItems": True, "maxItems": 1})
    started = time.process_time()
    (fault,) = check([{"a": one} for one in range(3_000)])
    assert fault.rule == "maxItems"
    assert time.process_time() - started < 1


@pytest.mark.parametrize(
    ("schema", "whole"),
    [({"properties": {"a": {}}}, 2), ({"enum": [1, 2]}, 3), ({"$ref": "#/$defs/a", "$defs": {"a": {"not": {}}}}, 3)],
)
def test_subschemas_are_counted_where_they_stand(schema: dict[str, Any], whole: int) -> None:
    assert measure({"$schema": LATEST, **schema}).whole == whole
