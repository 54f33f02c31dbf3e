"""The schema that answers have in common: what is in all of them is required, and what is a guess is said."""

import json
from typing import Any

import jsonschema
import pytest

from gates.answer_schema import schema_problems
from release.repository import shape


def schema(*values: Any, times: int = 1) -> dict[str, Any]:
    found: dict[str, Any] = shape.of([*values] * times).schema
    assert schema_problems(found) == []
    for value in values:
        jsonschema.validate(value, found)
    return found


def test_what_every_answer_has_is_required_and_nothing_else_may_be_there() -> None:
    found = shape.of([{"a": "x", "b": 1}, {"a": "y"}])

    assert found.schema["required"] == ["a"]
    assert found.schema["additionalProperties"] is False
    assert found.guessed == ("/b may be left out: not in every answer",)


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([1, 2], "integer"),
        ([1, 2.5], "number"),
        ([True], "boolean"),
        ([True, 1], ["boolean", "integer"]),
        (["a", None], ["null", "string"]),
        ([None], "null"),
        ([[1], None], ["array", "null"]),
        ([{}, "a"], ["object", "string"]),
    ],
)
def test_types_are_those_that_are_there(values: list[Any], kind: object) -> None:
    assert schema(*({"v": value} for value in values))["properties"]["v"]["type"] == kind


def test_objects_in_lists_have_one_shape() -> None:
    found = schema({"claims": [{"text": "a", "source": 1}]}, {"claims": [{"text": "b"}]}, {"claims": []})

    items = found["properties"]["claims"]["items"]
    assert items["required"] == ["text"]
    assert set(items["properties"]) == {"text", "source"}


def test_a_few_values_that_come_again_and_again_are_an_enum_and_free_text_is_not() -> None:
    values: list[Any] = [{"mood": "good", "text": f"one of {number}"} for number in range(5)]
    values += [{"mood": "bad", "text": f"another of {number}"} for number in range(5)]

    properties, few = schema(*values)["properties"], schema(*values[4:6])["properties"]

    assert properties["mood"]["enum"] == ["bad", "good"]
    assert "enum" not in properties["text"]
    assert "/mood is always one of 2 values" in shape.of(values).guessed[0]
    assert "enum" not in few["mood"]


def test_one_value_alone_and_a_number_are_no_enum() -> None:
    found = schema({"a": "same", "b": 1}, times=50)["properties"]

    assert "enum" not in found["a"]
    assert "enum" not in found["b"]


def test_an_enum_that_may_be_null_says_so() -> None:
    assert schema({"a": "x"}, {"a": "y"}, {"a": None}, times=5)["properties"]["a"]["enum"] == ["x", "y", None]


def test_keys_that_are_data_are_not_taken_for_names_of_fields() -> None:
    found = schema(*({"scores": {f"person {number}": number}} for number in range(30)))

    assert found["properties"]["scores"]["additionalProperties"]["type"] == "integer"


def test_a_hostile_key_is_a_key_and_no_more() -> None:
    name = 'a/b~c"\u2028\n::error::$ref'

    found = shape.of([{name: "x", "$ref": "y"}, {name: "z", "$ref": "y"}])

    jsonschema.validate({name: "q", "$ref": "y"}, json.loads(json.dumps(found.schema)))
    assert shape.places([{name: {"in": 1}}]) == {
        '/a~1b~0c"\u2028\n::error::$ref': [{"in": 1}],
        '/a~1b~0c"\u2028\n::error::$ref/in': [1],
    }
