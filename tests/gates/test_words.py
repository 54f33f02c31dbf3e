"""Words of texts: their stems, what is no content, and what two texts share."""

import pytest

from gates import words


@pytest.mark.parametrize(
    ("word", "stem"),
    [
        ("buildings", "build"), ("building", "build"), ("markedly", "mark"), ("marked", "mark"), ("bridges", "bridg"),
        ("marks", "mark"), ("quickly", "quick"), ("bridge", "bridge"), ("ring", "ring"), ("bring", "bring"),
        ("used", "used"), ("gases", "gase"), ("maps", "maps"), ("the", ""), ("into", ""), ("of", ""), ("42", "42"),
        ("cat", "cat"), ("7", "7"), ("ab", ""),
    ],
)  # fmt: skip
def test_a_word_has_its_stem(word: str, stem: str) -> None:
    assert words.content(word) == ({stem} if stem else set())
    assert words.content(f"{word.upper()} \u00e4") == words.content(word)  # read as any script is


def test_words_in_ascii_are_those_that_any_script_has() -> None:
    text = "It's 1,000_x, Walking-walked;\tBRIDGES\nand\x0bmarks/quickly (42)."
    assert words.content(text) == words.content(f"{text} \u2014")
    assert words.content("") == words.content("... \u2014") == set()


def test_stems_are_forgotten_before_they_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(words, "MOST_STEMS", 3)
    stems = words._Stems[str]()
    for word in ("bridges", "towers", "houses", "marks", "bridges"):
        assert {stems[word]} == words.content(word)
        assert len(stems) <= 3
    assert set(stems) == {"marks", "bridges"}


def test_what_two_texts_share() -> None:
    assert words.shared({"walk", "bridges"}, "A bridge was walked") == 0.5
    assert words.shared(set(), "anything") == 1.0
    assert words.known({"walk", "tower"}, "walked \u00e4 of") == {"walk"}
