"""Patterns of a schema: the meaning of ECMA 262, what is refused, and what a hostile text can cost."""

import time
from contextlib import suppress

import jsonschema_rs
import pytest

from gates import schema_patterns
from gates.schema_patterns import SchemaPattern, schema_pattern

FOUND = [
    ("^[A-Z]+$", "ABC", "ABC\n"),
    (r"^\d{4}$", "2026", "\uff12\uff10\uff12\uff16"),
    (r"^\d+$", "1", "\u0661"),
    (r"^\w+$", "a_1", "\u00e9"),
    (r"^\s$", "\ufeff", "\x1c"),
    (r"^\s$", "\u00a0", "\x85"),
    (r"^\S$", "\x85", "\ufeff"),
    ("^.$", "\x85", "\r"),
    ("^.$", "\U0001f600", "\u2028"),
    (r"a\b", "a\u00e9", "ab"),
    (r"a\B", "ab", "a\u00e9"),
    (r"(?!z)\ba\b", "\u00e9a\u00e9", "ba"),
    (r"(?!z)\Ba", "ba", "\u00e9a"),
    (r"^\u0041\x42\/$", "AB/", "ab/"),
    (r"^\ud83d\ude00$", "\U0001f600", "x"),
    (r"^\u{1F600}$", "\U0001f600", "x"),
    (r"^[\b]$", "\b", "b"),
    (r"^[\b]$", "\b", "X"),
    (r"^\0$", "\x00", "0"),
    (r"^\cJ$", "\n", "J"),
    (r"^\<b\>$", "<b>", "b"),
    (r"^\p{L}+$", "\u00e9\u4e2d", "1"),
    (r"^\p{Script=Greek}+$", "\u03b1\u03b2", "ab"),
    (r"^[\s\S]*$", "a\nb", None),
    (r"^[^,;]+[,;][^,;]+$", "a,b", "a,b,c"),
    (r"^[a-z]+(\.[a-z]+)*$", "a.b.c", "a..b"),
    (r"^[\w.-]+@[\w-]+\.[a-z]{2,}$", "a.b@c-d.ef", "a@b"),
    (r"^(?=.*[A-Z])(?=.*\d).{8,}$", "Abcdefg1", "abcdefg1"),
    (r"(?<!\d)\d{4}(?!\d)", "in 2026.", "12345"),
    ("^(?!foo).*$", "bar", "foobar"),
    (r"^(.+)-\1$", "ab-ab", "ab-ba"),
    (r"^(?!.*(.).*\1)[a-z]+$", "abcdefghijklmnopqrstuvwxyz", "aba"),
    ("^(?<year>[0-9]{4})$", "2026", "26"),
    ("^a+?b??$", "aa", "c"),
    ("^(?s:.)$", "\n", "ab"),
    ("^[a].$", "ab", "a\u2028"),
    (r"^[*+?]+$", "+*?", "a"),
    (r"^\[(\d+(?:\s*,\s*\d+)*)\]$", "[1, 2]", "[1,]"),
    (r"^(?:\w{1,64}){1,64}$", "a", "-"),
    ("^(a+)+$", "aaa", "ab"),
    (r".*\[\d+\].*", "a [1] b", "a 1 b"),
    (r"^[-+]?\d+(\.\d+)?([eE][-+]?\d+)?$", "-1.5e3", "1."),
]


@pytest.mark.parametrize(("pattern", "right", "wrong"), FOUND)
def test_a_pattern_means_what_ecma_262_says(pattern: str, right: str, wrong: str | None) -> None:
    read = schema_pattern(pattern)
    assert isinstance(read, SchemaPattern), read
    assert read.found_in(right)
    assert wrong is None or not read.found_in(wrong)


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        (r"^a\Z", "write $"),
        (r"\Aa", "write ^"),
        ("a++", "a repeat"),
        ("a**", "a repeat"),
        ("a{2}{3}", "a repeat"),
        ("(", "missing )"),
        ("*a", "nothing to repeat"),
        ("[a]++", "a repeat"),
        ("(?>a)", "is not a regular expression of ECMA 262"),
        ("((x{1,99}){1,99}){1,99}", "too large"),
        (r"a\zb", "write $"),
        ("a+??", "a repeat"),
        ("a{2}+", "a repeat"),
    ],
)
def test_what_ecma_262_does_not_know_is_refused(pattern: str, why: str) -> None:
    assert why in str(schema_pattern(pattern))


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("^(?:a{0,16}){0,16}$", "a" * 4000 + "!"),
        ("(?=^(?:a{0,16}){0,16}$)", "a" * 4000 + "!"),
        ("(?i)^(?:a{0,16}){0,16}$", "a" * 4000 + "!"),
        ("^" + "a{0,16}" * 12 + "$", "a" * 4000 + "!"),
        ("^" + "a?" * 30 + "a" * 30 + "$", "a" * 29),
        ("^" + "(?:a|aa|aaa){0,16}" * 3 + "$", "a" * 4000 + "!"),
        (r"^(.*)(.*)\1\2x", "a" * 4000),
        ("^" + "(?:a|b|ab)" * 40 + "$", "ab" * 2000 + "!"),
        ("^a*a*$", "a" * 4000 + "!"),
        (r"\s*\[(\d+)\]", " " * 4000),
        (r"a*b\[(\d+)\]", "a" * 4000),
        (r"^(a*)\1\1\1\1$", "a" * 4001),
        ("(a|a)*(?!.)x", "a" * 63 + "!"),
    ],
)
def test_a_pattern_of_any_shape_ends_soon(pattern: str, text: str) -> None:
    read = schema_pattern(pattern)
    assert isinstance(read, SchemaPattern)
    started = time.process_time()
    with suppress(ValueError):  # it takes more steps than are allowed
        assert not read.found_in(text)
    assert time.process_time() - started < 2


def test_each_length_of_a_text_has_its_steps() -> None:
    few, more = jsonschema_rs.validator_for({}), jsonschema_rs.validator_for({"not": {}})
    pattern = SchemaPattern(written="", backtracks=False, checks=((64, few), (1024, more)))
    assert [pattern.found_in("a" * length) for length in (0, 64, 65, 1024)] == [True, True, False, False]


def test_a_search_that_takes_too_many_steps_says_so() -> None:
    pattern = schema_pattern(r"^(.*)(.*)\1\2x")
    assert isinstance(pattern, SchemaPattern)
    with pytest.raises(ValueError, match="the pattern takes more steps than are allowed on 4000 characters"):
        pattern.found_in("a" * 4000)


@pytest.mark.parametrize("text", ["aa", "aax", "", "a" * 4000 + "!", "a" * 4096, "a" * 4097])
def test_a_text_is_searched_once_however_often_it_is_read_and_says_the_same(text: str) -> None:
    pattern = schema_pattern(r"^(.*)(.*)\1\2x")
    assert isinstance(pattern, SchemaPattern)

    def said() -> bool | str:
        try:
            return pattern.found_in(text)
        except ValueError as error:
            return str(error)

    first = said()
    before = schema_patterns._remembered.cache_info()
    assert [said() for _ in range(3)] == [first] * 3
    after = schema_patterns._remembered.cache_info()
    assert after.misses == before.misses
    assert after.hits - before.hits == (3 if len(text) <= schema_patterns.REMEMBERED else 0)
