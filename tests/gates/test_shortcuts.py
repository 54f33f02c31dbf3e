"""What is found by a shortcut is what is found without it: for texts of any kind, by properties."""

import re
import time
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import gates
from gates import citations
from gates.answer import Answer, pairing_problems
from gates.canonical import digest, digest_of_texts
from gates.metrics import lexical_grounding, unsupported_specifics
from gates.patterns import Pattern, read_pattern
from gates.rows import near_key, prompt_key
from gates.strict_json import SURROGATE, _has_half, read
from gates.words import folded
from tests.gates.examples import answers_of, contract

DIRECT = [
    r"\[(\d+)\]", r"\[(\d{1,3})\]", r"\[(doc-[a-z0-9]+)\]", r"\[(\w*?)\]", r"\((\d+)\)", r"(?a)\[(\d+)\]",
    r"\[([^\[\]]+)\]", r"\[(a|b)\]", r"\[\^?(\d)\]", r"<cite>([^<]*)</cite>", r"\u3010(\d+)\u2020", r"\[(?:(\d+))\]",
    r"(\[)\d+", r"\[(\d)(\d)\]", r"\[", r"c(\d+)" + "." * 15,
]  # fmt: skip
BY_RE2 = [
    r"\[([^\]]+)\]", r"\[(.*?)\]", r"\[(\d+)(\d+)\]", r"\[(\d+)\](?: |$)", r"(\d+)\]", r"(?i)a(\d+)",
    r"\[(?:(\d),?)*\]", r"\[(ab|c)\]", r"\[(\d+)\]$", r"\b\[(\d+)\]", r"(\w)\[\d+", r"\[(\W+)x", r"\[?(\d+)\]", r"",
    r"\[((?i:a)+)\]", r"\[(?:ab)+\]", r"\[(\d+),(\d*)\]", r"(?:\[)+(\d)", r".(\d+)", r"a([^b]+)", r"a([a-c]+)",
    r"a((?i:A+))", r"\[(?-s:\d+)\]", "c" + "." * 8 + r"(\d+)" + "." * 8,
]  # fmt: skip
TEXTS = st.text("[]()0129abdocite-<>/^, \u3010\u2020\u0663\uff11\n\u00e9A_", max_size=40)


def _read(source: str) -> Pattern:
    pattern, problem = read_pattern(source)
    assert pattern is not None, problem
    return pattern


@pytest.mark.parametrize("source", [*DIRECT, *BY_RE2])
def test_only_what_reads_a_text_once_is_left_to_pythons_engine(source: str) -> None:
    assert (_read(source).direct is not None) == (source in DIRECT)


@pytest.mark.parametrize("source", DIRECT)
@given(text=TEXTS)
@settings(max_examples=60, deadline=None)
def test_both_engines_find_the_same(source: str, text: str) -> None:
    pattern = _read(source)
    assert [*pattern.find(text)] == [*replace(pattern, direct=None).find(text)]


PATTERNS = st.lists(
    st.sampled_from([r"\[", r"\]", "a", "1", r"\d", r"\d+", "[a1]*", "[^a]?", ".", ".{0,2}", r"(\w+?)", "(a)"]),
    max_size=5,
).map("".join)


@given(PATTERNS, st.text("[]a1b\n\u0663", max_size=25))
@settings(max_examples=400, deadline=None)
def test_both_engines_find_the_same_by_any_pattern_that_both_can_read(source: str, text: str) -> None:
    pattern = _read(source)
    if pattern.direct is not None:
        assert [*pattern.find(text)] == [*replace(pattern, direct=None).find(text)]


@pytest.mark.parametrize("source", DIRECT)
@pytest.mark.parametrize(
    "text", ["[" * 9000, "[1" * 4500, "[" + "1" * 9000, "<cite>" * 1500, "[" + "a" * 9000, "[doc-" * 1800]
)
def test_pythons_engine_ends_soon_on_a_hostile_text(source: str, text: str) -> None:
    direct = _read(source).direct
    assert direct is not None
    started = time.process_time()
    for _ in direct.finditer(text):
        pass
    assert time.process_time() - started < 0.5


@given(st.text('ab. 12,"\u201c\u201d\n:/htps\uff11\u0663\x1c', max_size=60))
@example('say "eight letters" and https://a.b/c1 or 3.5')
@example("\u201cquoted words\u201d \uff11\uff12")
def test_specifics_are_those_of_the_folded_text(text: str) -> None:
    whole = folded(text)
    quoted = [*unsupported_specifics.URL.findall(whole), *unsupported_specifics.QUOTATION.findall(whole)]
    numbers = unsupported_specifics.NUMBER.findall(unsupported_specifics.URL.sub(" ", whole))
    assert unsupported_specifics._specifics(text) == (quoted, numbers)


@given(st.text("aA.:/wWdoi1xv htps\u00e9", max_size=30))
@example("see WWW.a.b")
@example("DOI: 10.1")
@example("arXiv: 2")
@example("ftp://a")
def test_a_form_is_looked_for_wherever_it_is(text: str) -> None:
    there = {form for form, pattern in citations.LOOKS.items() if pattern.search(text)}
    assert there <= set(citations._forms(text))


def _answer(text: str, document: str) -> Answer:
    row = {"output": {"answer": text, "citations": [1], "refusal": False}, "answerable": True, "support": [1]}
    (read,) = answers_of({"rows": [{**row, "documents": [{"id": 1, "text": document}]}]}, contract(rules=None))
    return read


@pytest.mark.parametrize(
    ("text", "document", "right"),
    [
        ("It has 12.", "All \uff11\uff12 of them.", True),
        ("It has 12.", "All 13 of them.", False),
        ("It has 1,200.", "1200", True),
        ('It is "A  Quoted Text".', "they say a QUOTED\ntext", True),
        ('It is "A Quoted Text".', "they say a quoted Texte", True),
        ('It is "A Quoted Text".', "they say a quoted word", False),
        ("See HTTPS://a.b/c1.", "at https://A.b/c1", True),
    ],
)
def test_specifics_are_compared_with_the_folded_documents(text: str, document: str, right: bool) -> None:
    score = unsupported_specifics.compared([_answer(text, document)])
    assert (score.k, score.n) == (int(right), 1)


@pytest.mark.parametrize("end", [". ", "! ", "? ", "\n", " ", ", "])
def test_every_end_of_a_sentence_makes_two(end: str) -> None:
    claims = lexical_grounding._claims(_answer(f"bridges stand here{end}towers fall there again today", "x"))
    assert len(claims) == (1 if end in (" ", ", ") else 2)


DOCUMENTS = {name: {"id": name} for name in "123"}


@pytest.mark.parametrize(
    ("source", "text", "markers", "prose"),
    [
        (r"\[(\d)\]", "[1, 2] and [3] so", ("1", "2", "3"), " and  so"),
        (r"\[(\d)\]", "[3] and [1-2] so", ("3", "1", "2"), " and  so"),
        (r"(x?)", "a [1, 2] b", ("1", "2"), "a  b"),
    ],
)
def test_lists_stand_among_what_a_pattern_takes(source: str, text: str, markers: tuple[str, ...], prose: str) -> None:
    found = citations.read(_read(source), text, DOCUMENTS)
    assert (found.markers, found.prose, found.strange) == (markers, prose, ())


def test_every_character_is_digested_as_json_writes_it() -> None:
    for code in (*range(256), 0x2028, 0xD800, 0x1F600):
        text = f'a{chr(code)}\\"b'
        assert digest_of_texts([[text]]) == digest([[text]]), code


@given(
    st.lists(st.sampled_from(["a", "A", "a?", "b", "\u200bb", "c"]), max_size=6),
    st.lists(st.integers(0, 4), max_size=6),
)
def test_repeated_rows_are_those_that_are_counted_twice(prompts: list[str], ids: list[int]) -> None:
    documents = [[{"id": 1, "text": "a"}], [{"id": 1, "text": "b"}]]
    rows = [
        {"id": number, "prompt": prompt, "documents": documents[number % 2]}
        for number, prompt in zip(ids, prompts, strict=False)
    ]
    golden = gates.parse_golden(rows)
    outputs = [gates.Output(id=str(number), output="") for number in ids]
    for version, key in ((1, prompt_key), (3, near_key)):
        twice = Counter(map(key, golden))
        expected = {row.id for row in golden if twice[key(row)] > 1}
        said = [one for one in pairing_problems(golden, outputs, version=version) if "repeat a prompt" in one]
        assert bool(said) == bool(expected)
        assert not said or set(said[0].partition(": ")[2].split(", ")) == expected
    again = {str(one) for one, count in Counter(ids).items() if count > 1}
    said = [one for one in pairing_problems(golden, outputs) if "outputs that stand twice" in one]
    assert [set(one.partition(": ")[2].split(", ")) for one in said] == ([again] if again else [])


@given(st.text('u\\d8"00a', max_size=20).map(lambda one: f'{{"a": "{one}"}}'))
@example('{"a": "\\\\ud800"}')
@example('{"a": "\\ud800"}')
@example('{"a": "\\ud83d\\ude00"}')
def test_half_a_surrogate_is_seen_in_whatever_is_read(text: str) -> None:
    reading = read(text)
    if reading.code in ("ok", "lone_surrogate"):
        assert isinstance(reading.value, dict)
        half = SURROGATE.search("".join([*reading.value, *map(str, reading.value.values())])) is not None
        assert _has_half(text, reading.value) is half is not reading.ok


def test_only_one_whole_object_is_ok() -> None:
    for text in ("{}", "[]", "1", "{} x", '{"a": "\\ud800"}', "{", ""):
        assert read(text).ok == (read(text).code == "ok") == (text == "{}")


def test_what_re_knows_of_a_match_is_what_re2_says() -> None:
    pattern = _read(r"\[(\d)?(a)\]")
    assert pattern.direct is None
    found = next(pattern.find("x[a]"))
    match = re.search(pattern.source, "x[a]")
    assert match is not None
    assert (found.text, found.groups, found.spans) == (match[0], match.groups(), match.regs[1:])
