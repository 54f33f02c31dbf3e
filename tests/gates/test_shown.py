"""Texts and lists that are shown shortened."""

from gates.shown import TEXT, shorten, some


def test_a_text_is_shown_whole_up_to_its_length_and_never_longer() -> None:
    assert shorten("abc", 3) == "abc"
    assert shorten("abcd", 3) == "ab…"
    assert (shorten("x" * TEXT), len(shorten("x" * (TEXT + 1)))) == ("x" * 160, 160)


def test_a_list_is_shown_whole_up_to_its_length_and_the_rest_is_counted() -> None:
    assert some([], 2) == ""
    assert some([1, "b"], 2) == "1, b"
    assert some([1, "b", 3], 2) == "1, b and 1 more"
    assert some("abcde", 2) == "a, b and 3 more"
