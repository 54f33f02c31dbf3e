"""A contract's patterns: what is taken, what each finds, and what a hostile text can cost."""

import re
import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import gates
from gates.patterns import Pattern, TooMuchWork, read_pattern
from tests.gates.examples import answers_of, contract

NATURAL = [
    (r"\[(\d+)\]", "a [1] b [23].", ["1", "23"], "a (1) [x] [ 1 ]"),
    (r"\[(\d+(?:\s*,\s*\d+)*)\]", "see [1, 2] and [3,4 ,5]", ["1, 2", "3,4 ,5"], "[1,] [,2] [1;2]"),
    (r"\[(\d+(?:, ?\d+)*)\]", "[1, 2][3]", ["1, 2", "3"], "[1 ,2] [1,  2]"),
    (r"\[(\d+(?:[-\u2013]\d+)?)\]", "[3-5] [7\u20139] [2]", ["3-5", "7\u20139", "2"], "[3-] [-5]"),
    (r"\[([^\]]+)\]", "[Smith 2020] [\u4e2d]", ["Smith 2020", "\u4e2d"], "[] ]"),
    (r"\[(doc-[a-z0-9]+)\]", "[doc-a1] [doc-b]", ["doc-a1", "doc-b"], "[doc-] [doc-A] [Doc-a]"),
    (r"(?i)\[(doc-[a-z0-9]+)\]", "[DOC-A1] [doc-\u017f]", ["DOC-A1", "doc-\u017f"], "[doc-\u00e9]"),
    (r"\[\^(\d+)\](?:[^:]|$)", "a[^1] b[^2].", ["1", "2"], "[^1]: the note"),
    (r"\u3010(\d+)\u2020[^\u3011]*\u3011", "\u30109\u2020source\u3011", ["9"], "\u30109\u3011 [9]"),
    (r"<cite>(.*?)</cite>", "<cite>a</cite><cite>b</cite>", ["a", "b"], "<cite>a\n</cite> <cite>"),
    (
        r"\((https?://[^\s()]+)\)",
        "(https://a.b/c?d) (http://x)",
        ["https://a.b/c?d", "http://x"],
        "(ftp://a) https://a",
    ),
    (r"\bref:(\w+)\b", "ref:a1 (ref:\u00e9t\u00e9)", ["a1", "\u00e9t\u00e9"], "xref:a \u00e9ref:b"),
    (r"(?m)^\[(\d+)\] ", "[1] a\n[2] b", ["1", "2"], "a [1] b"),
    (r"\[(\d{1,3})\]", "[1] [123]", ["1", "123"], "[1234] []"),
    (r"\[(?:source|Quelle) ?(\d+)\]", "[source 1] [Quelle2]", ["1", "2"], "[Source 1] [source  1]"),
    (r"\{\{(.+?)\}\}", "{{a}} {{b c}}", ["a", "b c"], "{a} {{}"),
    (r"\[((?:[A-Z]\d+)(?:;[A-Z]\d+)*)\]", "[A1;B2] [C3]", ["A1;B2", "C3"], "[A1;] [a1]"),
    (r"(?:\s|^)@(\w{1,64})", "@a and @b_1", ["a", "b_1"], "a@b"),
    (r"\[(\d+)\]\.?$", "it is so [1].\n", ["1"], "[1]. and on"),
    (r"(?a)\[(\d+)\]", "[1]", ["1"], "[\uff11] [\u0661]"),
    (r"\[(\d+)\]", "[\uff11] [\u0661]", ["\uff11", "\u0661"], "[\u00b2] [\u2460]"),
    (r"(?s)<c>(.*?)</c>", "<c>a\nb</c>", ["a\nb"], "<c>a"),
]


def _read(source: str, flags: int = 0) -> Pattern:
    pattern, problem = read_pattern(source, flags)
    assert pattern is not None, problem
    return pattern


@pytest.mark.parametrize(("source", "right", "ids", "wrong"), NATURAL)
def test_a_natural_pattern_is_taken_and_finds_what_is_there(
    source: str, right: str, ids: list[str], wrong: str
) -> None:
    pattern = _read(source)
    assert [found.groups[0] for found in pattern.find(right)] == ids
    assert list(pattern.find(wrong)) == []
    assert [found.text for found in pattern.find(right)] == [found[0] for found in re.finditer(source, right)]


SLOW = [
    ("^(?:a{0,16}){0,16}$", "a" * 4000 + "!"),
    ("(^(?:a{0,16}){0,16}$)", "a" * 4000 + "!"),
    ("(?i)^(?:a{0,16}){0,16}$", "a" * 4000 + "!"),
    ("a{0,16}" * 12 + "$", "a" * 4000 + "!"),
    ("^" + "a?" * 30 + "a" * 30 + "$", "a" * 4000 + "!"),
    ("(?:a|aa|aaa){0,16}" * 3 + "$", "a" * 4000 + "!"),
    ("^" + "(?:a|b|ab)" * 40 + "$", "ab" * 2000 + "!"),
    ("^a*a*$", "a" * 4000 + "!"),
    (r"\s*\[(\d+)\]", " " * 4000),
    (r"a*b\[(\d+)\]", "a" * 4000),
    ("^(a+)+$", "a" * 4000 + "!"),
    (r"(\w+)(\w+)(\w+)!", "a" * 4000),
    ("a(?:[ab]*b[ab]{20}c)?", "ab" * 2000),
]


@pytest.mark.parametrize(("source", "text"), SLOW)
def test_a_pattern_of_any_shape_ends_soon(source: str, text: str) -> None:
    pattern = _read(source)
    started = time.process_time()
    for _ in pattern.find(text):
        pass
    assert time.process_time() - started < 2


@pytest.mark.parametrize(
    ("source", "why"),
    [
        (r"(?=^(?:a{0,16}){0,16}$)", "looks ahead"),
        (r"^(.*)(.*)\1\2x", "repeats what a group matched"),
        (r"(?<!x)\[(\d+)\]", "as in [^x]"),
        (r"(a)?(?(1)b|c)", "asks whether a group matched"),
        ("(?>a+)b", "atomic group"),
        ("a++b", "possessive"),
        ("a{1001}", "counts to more than 1000"),
        ("(?:a{1,500}){1,500}", "too large"),
        ("(", "is not one of Python's regular expressions"),
        (r"(?m:^)a$", r"write \Z"),
    ],
)
def test_what_cannot_be_run_is_refused_with_another_way(source: str, why: str) -> None:
    pattern, problem = read_pattern(source)
    assert pattern is None
    assert why in problem


PIECES = [*"ab1 ,", r"\[", r"\]", r"\d", r"\w", r"\s", r"\W", ".", "[a-c]", "[^a]", "\u00e9", r"\b", "^", "$", r"\Z"]
PATTERNS = st.recursive(
    st.sampled_from(PIECES),
    lambda inner: st.one_of(
        st.builds("{}{}".format, inner, inner),
        st.builds("(?:{}|{})".format, inner, inner),
        st.builds("({})".format, inner),
        st.builds("(?:{}){}".format, st.sampled_from(PIECES[:10]), st.sampled_from(["*", "+", "?", "{1,3}", "*?"])),
    ),
    max_leaves=6,
)


@settings(max_examples=300, deadline=None)
@given(
    PATTERNS,
    st.sampled_from(["", "(?i)", "(?m)", "(?s)", "(?a)"]),
    st.text("ab1 ,[]\u00e9\u0663\u03b1\u212aA_\n\u00a0\x1c\x1f\x20", min_size=1, max_size=12),
)
@example(r"\[(?:1|2)\s", "(?a)", "[1\x1c")
@example(r"\S", "(?a)", "\x1f")
@example(r"1\s", "", "1\x1c")
def test_it_finds_what_python_finds(source: str, flags: str, text: str) -> None:
    pattern, _ = read_pattern(flags + source)
    expected = [(found.span(), found.groups()) for found in re.finditer(flags + source, text)]
    if pattern is None or any(start == end for (start, end), _ in expected):
        return  # where nothing is matched, the next search starts one further
    assert [((one.start, one.end), one.groups) for one in pattern.find(text)] == expected


def test_searches_that_could_take_long_together_are_stopped_by_their_count() -> None:
    pattern = _read("a(?:[ab]*b[ab]{20}c)?")
    with pytest.raises(TooMuchWork, match="20000 characters"):
        list(pattern.find("ab" * 10_000))


def test_an_answer_that_is_too_much_to_search_is_wrong() -> None:
    agreed = contract(markers="(a(?:[ab]*b[ab]{20}c)?)", rules=None)
    row = {"output": {"answer": "ab" * 9_000, "citations": [], "refusal": False}}
    (read,) = answers_of({"rows": [row]}, agreed)
    assert [fault.rule for fault in read.fields.unreadable] == ["markers"]


def test_documents_that_are_too_much_to_search_for_ask_for_a_list() -> None:
    agreed = contract(documents="(?P<id>a(?:[ab]*b[ab]{20}c)?)")
    (row,) = gates.parse_golden([{"prompt": "ab" * 10_000, "answerable": False}])
    with pytest.raises(gates.InvalidData, match="list the row's documents"):
        gates.read_answer(row, gates.Output(id=row.id, output=""), agreed)
