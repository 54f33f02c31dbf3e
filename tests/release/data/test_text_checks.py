"""Texts: what marks them, what repeats them, and where a value stands in a JSON text."""

import json
import re
import unicodedata
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from release.data import chat as chats
from release.data import text_checks
from release.models import base as bases
from release.values import clock

WORDS = st.lists(st.sampled_from("abcde"), max_size=14).map(" ".join)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=12,
)


def jaccard(one: str, other: str) -> float:
    left, right = text_checks.shingles(one), text_checks.shingles(other)
    return len(left & right) / len(left | right) if left | right else 0.0


@given(st.lists(WORDS, max_size=8), st.lists(WORDS, max_size=8))
@settings(deadline=None)
def test_near_duplicates_are_those_that_comparing_all_pairs_finds(texts: list[str], others: list[str]) -> None:
    found = text_checks.near_duplicates(texts, others)
    best = {
        n: max(jaccard(text, other) for other in others)
        for n, text in enumerate(texts)
        if any(jaccard(text, other) >= text_checks.NEAR for other in others)
    }

    assert {n: similarity for n, (_, similarity) in found.items()} == best
    assert all(jaccard(texts[n], others[other]) == similarity for n, (other, similarity) in found.items())


PARTS = (
    "hf_" + "a" * 30, "sk-" + "b" * 20, "ghp_" + "c" * 36, "github_pat_" + "d" * 40, "AKIA" + "E" * 16,
    "xoxb-" + "f" * 10, "AIza" + "g" * 35, "-----BEGIN RSA PRIVATE KEY-----",
    "eyJ" + "h" * 10 + ".eyJ" + "h" * 10 + "." + "h" * 10,
    "https://a:b@c", "Password: secret1", "pa\u017f\u017fwd=secret1", "API_\u212aEY = secret1",
    "ap\u0131_key=secret1",
    "a.b+c@d.org", "+49 30 123456", "+\u0661 \u0662 \u0663\u0664 \u0665\u0666", "123-45-6789",
    "\u0661\u0662\u0663-45-6789",
    "DE89370400440532013000", "GB\u0661\u0662 AAAA AAAA AAAA", " ", "x", "7", "-", "\n", "\u0130",
    "[It would be generated]", "{{ name }}", "{{", "{name}", "{", "<insert it here>", "<\u0130nsert it>", "<your_name>",
    "Lorem \u0131psum", "lOREM IPSUM", "TODO", "TBD", "FIXME", "XXX", "\x00", "\ufeff", "\ue000",
    "<|im_start|>", "<start_of_turn>", "[INST]", "[/INST]", "<<SYS>>", "<\uff5cUser\uff5c>", "[", "<", "]",
)  # fmt: skip


@given(st.lists(st.sampled_from(PARTS), max_size=4).map("".join))
def test_what_a_pattern_would_find_is_found_in_whatever_text(text: str) -> None:
    for check, pattern in text_checks.PATTERNS.items():
        assert text_checks.spans(check, text) == tuple(found.span() for found in pattern.finditer(text))


@given(st.lists(st.sampled_from(PARTS), max_size=3), st.lists(st.sampled_from(PARTS), max_size=3))
def test_what_may_show_in_a_text_may_show_in_whatever_holds_it(some: list[str], more: list[str]) -> None:
    for check in text_checks.PATTERNS:
        if any(text_checks.spans(check, one) for one in (*some, *more)):
            assert text_checks.may_show(check, "\n".join([*some, *more]))


@given(st.text(st.characters(max_codepoint=127)) | st.text())
def test_a_text_is_respelled_alike_whatever_its_letters(text: str) -> None:
    simple = re.sub(r"[\W_]+", " ", unicodedata.normalize("NFKC", text).casefold()).strip()

    assert text_checks.normalised(text) == simple


@given(WORDS)
def test_shingles_are_the_runs_of_three_words(text: str) -> None:
    words = text.split()
    runs = {tuple(words[n : n + 3]) for n in range(max(1, len(words) - 2))} if words else set()

    assert text_checks.shingles(text) == runs


@given(st.dictionaries(st.text(), VALUES, max_size=4), st.sampled_from([None, 1]), st.booleans())
def test_a_value_is_found_where_it_stands(value: dict[str, object], indent: int | None, plain: bool) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=plain)
    for name, inner in value.items():
        place = text_checks.locate(text, "/" + name.replace("~", "~0").replace("/", "~1"))
        assert place is not None
        assert json.loads(text[place[0] : place[1]]) == inner


@pytest.mark.parametrize(("text", "path"), list(product(["", "{", '{"a": [1]}', "no"], ["/b", "/a/1", "/a/0/x"])))
def test_a_value_that_is_not_there_is_found_nowhere(text: str, path: str) -> None:
    assert text_checks.locate(text, path) is None


@pytest.mark.parametrize(
    ("check", "text"),
    [
        ("placeholders", "[Generated content from the archive]"),
        ("placeholders", "What is known about {topic}?"),
        ("placeholders", "Dear {{ name }},"),
        ("placeholders", "TODO"),
        ("placeholders", "<insert date here>"),
        ("placeholders", "Lorem ipsum dolor"),
        ("control_characters", "a\x00b"),
        ("control_characters", "a\u202eb"),
        ("control_characters", "a\ufffdb"),
        ("secrets", "AKIA" + "A" * 16),
        ("secrets", "-----BEGIN RSA PRIVATE KEY-----"),
        ("secrets", "https://user:word@example.org"),
        ("secrets", "password: correct-horse"),
        ("personal_data", "jane.doe+x@mail.example.org"),
        ("personal_data", "+49 30 1234 5678"),
        ("personal_data", "DE89 3704 0044 0532 0130 00"),
    ],
)
def test_a_text_that_shows_it_is_marked(check: str, text: str) -> None:
    assert text_checks.spans(check, f"before {text} after")


@pytest.mark.parametrize("check", text_checks.PATTERNS)
@pytest.mark.parametrize(
    "text",
    [
        "The symbol of gold is Au [1][2], and [see below] it melts at 1,064 °C.",
        '{"answer": "x", "citations": [1]}',
        "Zeile eins\nZeile zwei\tmit Tab; naïve café — 日本語",
        "Version 1.2.3 of 2026-11-21, at 12:30, ISBN 978-3-16-148410-0",
        "The generated report would insert a placeholder.",
        "A password is asked for at https://example.org:8080/path",
    ],
)
def test_an_ordinary_text_is_left_alone(check: str, text: str) -> None:
    assert text_checks.spans(check, text) == ()


def test_lengths_are_those_of_transformers(base: bases.Base) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(base.folder)
    chat = chats.read(base.folder)
    prompt = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "  Gold?\n\nünïcode 日本 "}]
    whole = [*prompt, {"role": "assistant", "content": '{"answer": "Au"}'}]

    for messages, generating in ((prompt, True), (whole, False)):
        expected = tokenizer.apply_chat_template(messages, add_generation_prompt=generating, return_dict=False)
        assert list(chat.ids(chat.text(messages, generation_prompt=generating))) == expected


@pytest.mark.parametrize("check", sorted(text_checks.PATTERNS))
@pytest.mark.parametrize("filling", ["a.", "a", "0", "+1 ", "A0", " ", "=", "a-", "eyJ", "0-", "\t"])
def test_a_text_of_one_thing_repeated_is_looked_through_in_one_pass(check: str, filling: str) -> None:
    """A row may have ten million characters: going back at each would take hours."""
    with clock.within(10):
        text_checks.spans(check, filling * 100_000)
