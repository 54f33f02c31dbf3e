"""The strict reader against its vectors, against ``json``, and against anything at all."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gates import strict_json
from release.values import clock
from tests.gates.examples import DATA

VECTORS = [json.loads(line) for line in (DATA / "json_vectors.jsonl").read_text("utf-8").splitlines()]
CODES = {vector["code"] for vector in VECTORS}


def _input(vector: dict[str, Any]) -> str | bytes:
    if "hex" in vector:
        return bytes.fromhex(vector["hex"])
    if "text" in vector:
        return str(vector["text"])
    start = vector["before"] + vector["unit"] * vector["times"]
    return str(start + vector.get("middle", "") + vector.get("unit2", "") * vector.get("times2", 0) + vector["after"])


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: f"{vector['code']}-{json.dumps(vector)[:50]}")
def test_each_vector_has_its_code_and_detail(vector: dict[str, Any]) -> None:
    reading = strict_json.read(_input(vector))
    assert (reading.code, reading.detail) == (vector["code"], vector.get("detail", ""))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(st.dictionaries(st.text(), JSON))
def test_what_json_writes_is_read_back_unchanged(value: dict[str, Any]) -> None:
    for ensure_ascii in (True, False):
        text = json.dumps(value, ensure_ascii=ensure_ascii)
        assert strict_json.read(text).value == value
        assert strict_json.read(text.encode()).value == value


@given(st.text() | st.binary() | st.text(alphabet='{}[]":,\\u0dD8eE+-.1tfn \n`'))
def test_no_input_crashes_the_reader_and_each_has_a_known_code(data: str | bytes) -> None:
    reading = strict_json.read(data)
    assert reading.code in CODES
    assert reading.ok == (reading.code == "ok")


@given(st.text(alphabet='{}[]":,\\u0dD8eE+-.1tfn \nNaI'))
def test_what_is_taken_is_an_object_to_json_too(text: str) -> None:
    reading = strict_json.read(text)
    if reading.ok:
        assert json.loads(text) == reading.value


@given(st.dictionaries(st.text(), JSON, min_size=1), st.data())
def test_an_object_that_is_cut_anywhere_is_never_taken(value: dict[str, Any], data: st.DataObject) -> None:
    text = json.dumps(value)
    cut = text[: data.draw(st.integers(1, len(text) - 1))]
    assert strict_json.read(cut).code == "truncated"


def test_a_fence_is_forgiven_only_where_it_surrounds_all() -> None:
    assert strict_json.read_fenced('```json\n{"a":1}\n```').ok
    assert strict_json.read_fenced(' {"a":1} ').ok
    assert not strict_json.read_fenced('```json\n{"a":1}\n``` there you are').ok
    assert not strict_json.read_fenced("```json\n```").ok
    assert not strict_json.read_fenced('\u00a0```json\n{"a":1}\n```').ok


def test_a_deep_text_is_refused_from_a_deep_stack_too() -> None:
    def at_depth(levels: int) -> str:
        return at_depth(levels - 1) if levels else strict_json.read('{"a":' * 120 + "1" + "}" * 120).code

    assert at_depth(850) in ("ok", "too_deep")


def test_a_refusal_says_where() -> None:
    assert strict_json.read('{"a":1,\n "a" 2}').detail == "Expecting ':' delimiter at line 2 column 6"
    assert strict_json.read('{"b":0,"a":1,"a":2}').detail == "member 'a' stands twice"
    assert strict_json.read("{} " + "x" * 99).detail == f"{'x' * 40!r} after the first value"


@pytest.mark.parametrize("filling", ["\t", " ", "a", "\t a", "`", "\r", "\n", "{", "\\"])
def test_a_fence_that_does_not_end_is_read_in_one_pass(filling: str) -> None:
    """Going back at each character would take minutes here, and hours in the longest answer."""
    text = f"```{filling * 90_000}x"
    with clock.within(20):
        assert not strict_json.read_fenced(text, max_characters=len(text)).ok
    assert not strict_json.read_fenced(text, max_characters=len(text) - 1).ok


def test_objects_weigh_more_than_lists_in_what_is_read_of_a_file() -> None:
    objects = f'{{"a": [{"{}," * 2_000_001}1]}}'
    assert strict_json.read(objects, max_characters=len(objects)).code == "too_long"
    lists = f'{{"a": [{"[]," * 2_000_001}1]}}'
    assert strict_json.read(lists, max_characters=len(lists)).ok


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        ("{" + ",".join(f'"k{n}":1' for n in range(332)) + "}", True),
        ("{" + ",".join(f'"k{n}":1' for n in range(334)) + "}", False),
        ('{"a":[' + ",".join("1" for _ in range(990)) + "]}", True),
        ('{"a":[' + ",".join("1" for _ in range(996)) + "]}", False),
        ('{"a":[' + ",".join('{"b":1}' for _ in range(141)) + "]}", True),
        ('{"a":[' + ",".join('{"b":1}' for _ in range(143)) + "]}", False),
    ],
    ids=["members", "a member more", "values", "a value more", "objects", "an object more"],
)
def test_what_many_values_take_of_memory_is_known_before(
    monkeypatch: pytest.MonkeyPatch, text: str, fits: bool
) -> None:
    monkeypatch.setattr(strict_json, "MAX_VALUES", 1000)
    assert (strict_json.read(text).code == "ok") == fits
