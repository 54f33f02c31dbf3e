"""What a reference asks of the places that a contract compares, and whether what stands there is that."""

from decimal import Decimal
from typing import Any

import pytest

from gates.correctness import MOST_DIGITS, Expected, expected, numbers, place, problems, right

REFERENCE: Any = {
    "text": "Iron",
    "number": 26,
    "nothing": None,
    "empty": "",
    "mark": ".",
    "list": ["Fe", 26],
    "no": False,
}


@pytest.mark.parametrize(
    ("at", "by", "compared"),
    [
        ("/text", "exact", True),
        ("/text", "number", False),
        ("/number", "number", True),
        ("/number", "exact", True),
        ("/missing", "exact", False),
        ("/missing", "normalized", False),
        ("/missing", "number", False),
        ("/nothing", "exact", False),
        ("/empty", "exact", False),
        ("/mark", "normalized", False),
        ("/list", "contains_all", True),
        ("/no", "exact", True),
        ("/no", "number", False),
    ],
)
def test_a_place_of_which_the_reference_says_nothing_is_not_compared(at: str, by: str, compared: bool) -> None:
    wanted = [REFERENCE[at.removeprefix("/")]] if compared else []
    here = expected([place({"at": at, "by": by})], REFERENCE, {}, lambda _, value: value)
    in_meta = expected([place({"at": "/a", "by": by, "reference": at})], {}, REFERENCE, lambda _, value: value)
    assert [one.value for one in here] == [one.value for one in in_meta] == wanted


@pytest.mark.parametrize(
    ("value", "compared"), [([], False), (["."], False), (["", " "], False), ([".", "x"], True), ([1], True)]
)
def test_a_list_says_something_if_one_of_it_does(value: list[Any], compared: bool) -> None:
    found = expected([place({"at": "", "by": "contains_all"})], value, {}, lambda _, value: value)
    assert bool(found) is compared


def test_a_value_is_compared_as_the_answer_is_read() -> None:
    places = [place({"at": "/text", "by": "exact"}), place({"at": "/missing", "by": "exact"})]
    asked: list[tuple[str, Any]] = []

    def said(at: str, value: Any) -> Any:
        asked.append((at, value))
        return "as it is read"

    assert [one.value for one in expected(places, REFERENCE, {}, said)] == ["as it is read"]
    assert asked == [("/text", "Iron")]


@pytest.mark.parametrize("key", ["tolerance", "relative"])
@pytest.mark.parametrize("by", ["exact", "normalized", "one_of", "contains_all", "number"])
def test_how_far_off_is_said_of_numbers_alone(key: str, by: str) -> None:
    said = [] if by == "number" else [f"{key}: has no effect on {by}; leave it out, or compare by number"]
    assert problems({"at": "/a", "by": by, key: 1}) == said  # type: ignore[misc]
    assert problems({"at": "/a", "by": by}) == []


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (26, ["26"]), (2.5, ["2.5"]), (True, []), (None, []), ([1], []), ("", []), ("26", ["26"]),
        ("-5 and +3", ["-5", "3"]), ("\u22125", ["-5"]), ("1,000", ["1000"]), ("3,5", ["3.5"]), ("1,000.5", ["1000.5"]),
        ("1,000,000", ["1000000"]), ("1.000.000", []), ("1e3", ["1E+3"]), ("2E-2", ["0.02"]), ("x5", []), ("5x", ["5"]),
        ("v.5", []), ("\uff11\u0662", ["12"]), ("9" * MOST_DIGITS, ["9" * MOST_DIGITS]), ("9" * (MOST_DIGITS + 1), []),
    ],
)  # fmt: skip
def test_numbers_in_a_text(value: Any, found: list[str]) -> None:
    assert numbers(value) == tuple(map(Decimal, found))


@pytest.mark.parametrize(
    ("by", "more", "reference", "given", "is_right"),
    [
        ("exact", {}, "Iron", "Iron", True), ("exact", {}, "Iron", "iron", False), ("exact", {}, 1, 1.0, True),
        ("exact", {}, 1, True, False), ("exact", {}, [1, {"a": True}], [1.0, {"a": True}], True),
        ("exact", {}, [1, {"a": True}], [1, {"a": 1}], False), ("exact", {}, {"a": 1}, {"b": 1}, False),
        ("normalized", {}, "Iron.", "  iron", True), ("normalized", {}, "C++", "C", False),
        ("normalized", {}, ["A", {"b": "C."}], ["a", {"b": "c"}], True),
        ("normalized", {}, ["A", "B"], ["b", "a"], False), ("normalized", {}, 1, True, False),
        ("normalized", {}, {"a": "x"}, {"a": "y"}, False),
        ("number", {}, 100, "100 m", True), ("number", {}, 100, "101", False), ("number", {}, 100, "100 or 101", False),
        ("number", {}, 100, "none", False), ("number", {"tolerance": 1}, 100, 101, True),
        ("number", {"tolerance": 1}, 100, 99, True), ("number", {"tolerance": 1}, 100, 101.5, False),
        ("number", {"relative": 0.1}, -100, -110, True), ("number", {"relative": 0.1}, 100, 111, False),
        ("number", {"tolerance": 5, "relative": 0.1}, 10, 15, True),
        ("number", {"tolerance": 1, "relative": 0.1}, 100, 110, True), ("number", {}, "1 to 2", "2 to 1", False),
        ("one_of", {}, ["New York", "NYC"], "nyc", True), ("one_of", {}, ["New York", "NYC"], "York", False),
        ("one_of", {}, "NYC", "nyc.", True), ("one_of", {}, [1, 2], 2, True),
        ("contains_all", {}, ["iron", "zinc"], "Zinc, and Iron.", True),
        ("contains_all", {}, ["iron", "zinc"], "Zinc and irons", False), ("contains_all", {}, "iron", "environ", False),
        ("contains_all", {}, "iron", "Iron it is.", True), ("contains_all", {}, 26, "it is 26", True),
        ("contains_all", {}, ["\u9244"], "\u9244\u3068\u4e9c\u925b", True),
        ("contains_all", {}, [26], "it is 26", True), ("contains_all", {}, [26], 26, True),
        ("contains_all", {}, [26], 126, False),
        ("contains_all", {}, ["a", "b"], ["B", "A", "c"], True), ("contains_all", {}, ["a", "b"], ["a"], False),
        ("contains_all", {}, ["a"], ["a b"], False), ("contains_all", {}, [1], [True], False),
    ],
)  # fmt: skip
def test_what_is_right(by: str, more: dict[str, Any], reference: Any, given: Any, is_right: bool) -> None:
    entry: Any = {"at": "", "by": by, **more}
    assert right(Expected(place=place(entry), value=reference), given) is is_right
