"""What a reference asks of the places that a contract compares, and whether what stands there is that."""

import time
from typing import Any

import pytest

from gates.correctness import Expected, expected, place, problems, right

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


NEIGHBOURS: tuple[tuple[str, Any, Any, bool], ...] = (
    # of a number: the same value however it is written, and nothing that changes it
    ("number", 1000, "1 000", True), ("number", 1000, "1'000", True), ("number", 1000, "1.000", False),
    ("number", 1000, "3000 or 1.000.000", False), ("number", 100, "100 or 1.000.000", False),
    ("number", 100, "100 (or 12.5.2020)", False), ("number", 100, "100\u2079", False),
    ("number", 100, "100_000", False),
    ("number", 10, "10\u2079", False), ("number", 10**9, "10\u2079", True), ("number", 2, "2\u00bd", False),
    ("number", 2.5, "2\u00bd", True), ("number", 5, "\u20135 \u00b0C", False), ("number", -5, "\u20135 \u00b0C", True),
    ("number", 5, "5k", False), ("number", 5, "5 million", False), ("number", 5, "minus 5", False),
    ("number", 0.5, ".5", True), ("number", 0.001, "0,001", True), ("number", 1, "0,001", False),
    ("number", 123, "0,123", False), ("number", 1000000, "1 million", True), ("number", 100, "\u6df1100\u7c73", True),
    ("number", 5, "5 (not v9)", True), ("number", "5 billion", "5  Billion", True), ("number", "5 billion", "5", False),
    ("number", "5 billion", "5 million", False), ("number", "5", "5 billion", False),
    ("number", "1e999999999999", "1e999999999999", True), ("number", 1, "1e999999999999", False),
    ("number", 1, "1e-999999999999999999999", False), ("number", "1e400", "1e-400", False),
    ("number", "9" * 400, "9" * 399 + "8", False),
    # of a text: what marks a sentence goes, what makes a value stays
    ("normalized", "13", ".13", False), ("normalized", "13", ",13", False), ("normalized", "13", "13!", False),
    ("normalized", "13", "1\u00b3", False), ("normalized", "109", "10\u2079", False),
    ("normalized", "52", "5\u00b2", False),
    ("normalized", "5'", '5"', False), ("normalized", "5", "5'", False), ("normalized", "1", "\u2460", False),
    ("normalized", "11/2", "1\u00bd", False), ("normalized", "11\u6708", "1\u32c0", False),
    ("normalized", "2n", "2\u207f", False),
    ("normalized", "log 28", "log\u2082 8", False), ("normalized", "log28", "log\u20828", False),
    ("normalized", "x2", "x\u00b2", False), ("normalized", "s-1", "s\u207b\u00b9", False),
    ("normalized", "5", "-5", False),
    ("normalized", "10^9", "10\u2079", True), ("normalized", "x^2", "x\u00b2", True),
    ("normalized", "H2O", "H\u2082O", True),
    ("normalized", "5 m2", "5 m\u00b2", True), ("normalized", "5 km^2", "5 km\u00b2", True),
    ("normalized", "5 m2", "5 \u33a1", True),
    ("normalized", "13", "13.", True), ("normalized", "13", '"13"', True),
    ("normalized", "13", "\u201c13\u201d.", True),
    ("normalized", "13", "... 13?", True), ("normalized", "Yes", "Yes!", True), ("normalized", "-5", "\u22125", True),
    ("normalized", "-5", "\u20135", True), ("normalized", "1-5", "1\u20135", True),
    ("normalized", "don't", "don\u2019t", True),
    ("normalized", "\u216f", "M", True), ("normalized", "fish", "\ufb01sh", True),
    ("normalized", "26", "\uff12\uff16", True),
    ("normalized", "3.5", "3.5.", True), ("normalized", "it is 13", "It is 13 .", True),
    # of a list: a mark alone is not allowed, and asked of nobody
    ("one_of", ["NYC", "."], ".", False), ("one_of", ["NYC", "?"], "!", False), ("one_of", ["13", "14"], ".13", False),
    ("one_of", ["-5", "x"], "\u20135.", True), ("one_of", ["NYC", "."], "nyc", True),
    ("one_of", [None, "x"], "y", False),
    # of parts: whole words and whole numbers
    ("contains_all", [3000], "it is 3000.5", False), ("contains_all", ["3000"], "it is 3000.5", False),
    ("contains_all", ["26"], "26,000", False), ("contains_all", ["26"], "1.26", False),
    ("contains_all", ["26"], "26 000", False),
    ("contains_all", ["5"], "it is -5", False), ("contains_all", ["5"], "it is \u22125", False),
    ("contains_all", [5], "-5", False),
    ("contains_all", ["-5"], "3-5", False), ("contains_all", ["-5"], "it is -5.", True),
    ("contains_all", ["5"], "3-5", True),
    ("contains_all", ["10"], "10\u2079", False), ("contains_all", ["5"], "5 million", False),
    ("contains_all", ["5"], ".5", False),
    ("contains_all", ["5"], "5\u00bd", False), ("contains_all", ["2"], "H2O", False),
    ("contains_all", ["2"], "v2.3", False),
    ("contains_all", ["2.3"], "12.3", False), ("contains_all", ["5"], "1e5", False),
    ("contains_all", ["5!"], "5", False),
    ("contains_all", ["26"], "26, 27", True), ("contains_all", ["26"], "26km", True),
    ("contains_all", ["26"], "(26)", True),
    ("contains_all", ["3.5"], "it is 3.5.", True), ("contains_all", ["26"], "\u6df1\u5ea6\u662f26\u7c73", True),
    ("contains_all", ["H2O"], "some H\u2082O", True), ("contains_all", ["26 km"], "126 km", False),
    ("contains_all", ["26 km"], "26 km, or so", True), ("contains_all", ["5%"], "15%", False),
    ("contains_all", ["$5"], "US$5", True),
    ("contains_all", [1000], "it is 1,000 m", True), ("contains_all", [26], "COVID26", False),
    ("contains_all", [26], ["26"], True), ("contains_all", ["26"], [26], True), ("contains_all", [26], ["26.5"], False),
    ("contains_all", [26], ["26 or 27"], False), ("contains_all", ["True"], True, False),
    ("contains_all", ["None"], None, False),
    ("contains_all", ["C"], "it is C++", False), ("contains_all", ["C"], "it is C#", False),
    ("contains_all", ["A"], "an A+.", False),
    ("contains_all", ["C"], "C, C++", True), ("contains_all", ["iron"], "iron+zinc", True),
    ("contains_all", ["C++"], "C++, C", True),
    ("contains_all", ["\u00d6l"], "Erd\u00f6l", False), ("contains_all", ["\u00d6l"], "das \u00d6l", True),
    ("contains_all", ["\u043c\u0438\u0440"], "\u043a\u0443\u043c\u0438\u0440", False),
    ("contains_all", ["\u00e9t\u00e9"], "r\u00e9p\u00e9t\u00e9e", False),
    ("contains_all", ["\u00e9t\u00e9"], "l'\u00e9t\u00e9", True), ("contains_all", ["caf"], "cafe\u0301", False),
    ("contains_all", ["Fe"], "\u9244Fe\u3067\u3059", True), ("contains_all", ["\u0434"], "\u0438 \u0434.", True),
    ("contains_all", ["\uc11c\uc6b8"], "\uc11c\uc6b8\uc740", True),
    ("contains_all", ["\u062d\u062f\u064a\u062f"], "\u0627\u0644\u062d\u062f\u064a\u062f", True),
    ("contains_all", ["iron", "."], "iron", True), ("contains_all", ["iron"], "iron-rich", True),
)  # fmt: skip
"""By what, what is asked for, what is said, and whether that is right."""


@pytest.mark.parametrize(("by", "reference", "given", "is_right"), NEIGHBOURS)
def test_neighbours_of_what_is_right(by: str, reference: Any, given: Any, is_right: bool) -> None:
    wanted = Expected(place=place({"at": "", "by": by}), value=reference)
    assert right(wanted, given) is is_right
    if isinstance(given, str):
        assert right(wanted, f" {given}\n") is is_right  # nor does what cannot be seen matter
        assert right(wanted, f"{given}\u200b") is is_right


@pytest.mark.parametrize("text", ["'a ", '"', "\u00e9\u00b2", "5'", "\u2460", "1 ", "C++", "-5", "1e999999999 "])
@pytest.mark.parametrize("by", ["normalized", "number", "one_of", "contains_all"])
def test_any_answer_is_compared_in_bounded_time(by: str, text: str) -> None:
    started = time.process_time()
    for reference in ("1", "C", "-5", "'"):
        right(Expected(place=place({"at": "", "by": by}), value=reference), text * (10_000 // len(text)))
    assert time.process_time() - started < 10
