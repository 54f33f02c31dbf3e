"""Texts and lists that are shown shortened."""

import re

import pytest

from gates.shown import HIDDEN, TEXT, counted, p_value, plain, printable, shorten, some

READ = [
    "caf\u00e9 na\u00efve \u0141\u00f3d\u017a \u1ec7 e\u0301",
    "\u65e5\u672c\u8a9e \ud55c\uad6d\uc5b4 \u4e2d\u6587",
    "\u05e9\u05dc\u05d5\u05dd \u0627\u0644\u0639\u0631\u0628\u064a\u0629",
    "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",  # Persian: a joiner within a word
    "\u0915\u094d\u200d\u0937",  # Hindi: the same
    "\U0001f600 \u2764\ufe0f \U0001f44d\U0001f3fd",
    "\U0001f468\u200d\U0001f469\u200d\U0001f467 \u2764\ufe0f\u200d\U0001f525 \U0001f926\U0001f3fd\u200d\u2640\ufe0f",
    "\U0001fae8",  # younger than some Pythons
    "a::b C:\\x [1] # [x] 12:30 std::vector {}: <|im_end|> \u2265 95 %",
]
ACTS = [
    *map(chr, [*range(9), 11, 12, *range(14, 32), *range(0x7F, 0x85), *range(0x86, 0xA0)]),
    *"\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u061c",
    *"\u200b\u200c\u200d\u2060\ufeff\u00ad\u180e\u034f\u115f\u3164\uffa0",
    *"\ud800\udfff\ue000\ufffe\uffff\ufdd0\ufdef\ufff0\U0001fffe\U0001ffff",
    *"\U000e0000\U000e0041\U000e01f0\U0010ffff",
]
COMMANDS = [
    "::error::x",
    "  ::error::x",
    "\t::set-output name=a::b",
    "\u3000::error::x",
    "\ufe0f::error::x",
    "\u2014::error::x",
    "text\n::error::x",
    "text\r::error::x",
    "text\u2028::error::x",
    "\x1b::error::x",
    ":\ufe0f:error::x",
    "##[error]x",
    "before ##[error]x",
    "###[error]x",
    "##vso[task.setvariable]x",
    "#\ufe0f#[error]x",
]


@pytest.mark.parametrize("text", READ)
def test_words_of_every_script_and_emoji_stay_as_they_are(text: str) -> None:
    assert plain(text) == text
    assert printable(f"{text}\n  {text}\n") == f"{text}\n  {text}\n"


@pytest.mark.parametrize("character", ACTS, ids=lambda one: f"U+{ord(one):04X}")
def test_what_acts_or_cannot_be_seen_is_replaced(character: str) -> None:
    assert plain(f"a{character}b") == printable(f"a{character}b") == f"a{HIDDEN}b"


@pytest.mark.parametrize("beside", ["\u4e2d", "\u00a9", "a", " ", ""])
def test_a_joiner_that_joins_nothing_is_replaced(beside: str) -> None:
    assert plain(f"{beside}\u200d{beside}") == f"{beside}{HIDDEN}{beside}"


@pytest.mark.parametrize("end", ["\n", "\r", "\t", "\x85", "\u2028", "\u2029", "\r\n"])
def test_a_value_is_one_line(end: str) -> None:
    assert len(plain(f"a{end}b").splitlines()) == 1
    assert plain(f"a{end}b").replace(" ", "") == "ab"
    assert printable(f"a{end}b").splitlines() in (["a", "b"], ["a b"], ["a\tb"])


@pytest.mark.parametrize("text", COMMANDS)
def test_no_line_is_a_command_to_a_runner(text: str) -> None:
    """As the runner reads them: `::` where a line begins, but for what it trims or passes over; `##[` anywhere."""
    shown = printable(text)

    for line in shown.splitlines():
        assert not re.match(r"[^\w!-~]*:\ufe0f*:", line)
        assert not re.search(r"#\ufe0f*#\ufe0f*\w*\[", line)
    assert "error" in shown or "name" in shown or "task" in shown
    assert printable(shown) == shown


def test_a_command_is_taken_apart_by_a_space() -> None:
    assert printable("::error::x") == ": :error::x"
    assert printable("a ##[error]x") == "a # #[error]x"


def test_a_long_text_takes_no_longer_than_its_length() -> None:
    for part in ("\n", " ", "#", ": ", "\ufe0f", "\u200d", "\x1b"):
        assert len(printable(part * 300_000)) >= 300_000


def test_a_text_is_shown_whole_up_to_its_length_and_never_longer() -> None:
    assert shorten("abc", 3) == "abc"
    assert shorten("abcd", 3) == "ab…"
    assert (shorten("x" * TEXT), len(shorten("x" * (TEXT + 1)))) == ("x" * 160, 160)


def test_a_list_is_shown_whole_up_to_its_length_and_the_rest_is_counted() -> None:
    assert some([], 2) == ""
    assert some([1, "b"], 2) == "1, b"
    assert some([1, "b", 3], 2) == "1, b and 1 more"
    assert some("abcde", 2) == "a, b and 3 more"


def test_a_number_and_its_noun_agree() -> None:
    assert [counted(number, "row") for number in (0, 1, 2, 1200)] == ["0 rows", "1 row", "2 rows", "1,200 rows"]


@pytest.mark.parametrize(
    ("p", "says"),
    [
        (1.0, "= 1.000"),
        (0.0625, "= 0.062"),
        (0.0005, "= 0.001"),
        (0.000499, "< 0.001"),
        (2**-99, "< 0.001"),
        (0.0, "< 0.001"),
    ],
)
def test_a_p_value_is_never_nothing(p: float, says: str) -> None:
    assert p_value(p) == says
