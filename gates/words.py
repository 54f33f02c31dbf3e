"""Words that two texts share: a weak sign that one came from the other, good enough to be shown and not to decide.

On AttributionBench (arXiv 2402.15089) a share of 0.3 keeps nine of ten supported claims and more, and rejects at most
half of the unsupported ones.
"""

import re
import unicodedata
from collections.abc import Iterator
from typing import TypeVar

from gates.normal import normal

T = TypeVar("T", str, bytes)
WORD = re.compile(r"\w+")
PLAIN = bytes(ord(chr(one).lower()) if one < 128 and WORD.match(chr(one)) else ord(" ") for one in range(256))
"""In ASCII: letters become small, and what is not part of a word becomes a space."""
SHARED = 0.3
MOST_STEMS = 16384
SHORT = 4
"""Words up to this length are not stemmed; up to two letters they are not content."""
COMMON = frozenset(
    WORD.findall(
        "about after all also and any are because been before but can could did does each for from had has have her his"
        " how into its more most not one only other our out over she should some such than that the their them then"
        " there these they this those through under was were what when where which while who will with would you your"
    )
)


THOUSANDS = re.compile(r",(?=\d{3}(?!\d))")
"""The commas that group the digits of a number."""
SENTENCE_MARKS = re.compile(
    r"(?<![^\W_])[.,;:!?'\"\u00a1\u00bf\u00ab\u00bb\u2018-\u201f\u2026\u3001\u3002]+"
    r"|[.,;:!?'\"\u00ab\u00bb\u2018-\u201f\u2026\u3001\u3002]+(?![^\W_])"
)
"""What marks a sentence, and not what is part of a word or a number: 3.5, 1,000 and don't keep theirs."""


def plain(text: str) -> str:
    """The text without characters that have no width, and with the digits of every script as 0 to 9."""
    if text.isascii():
        return text
    return "".join(_plain(character) for character in text)


def _plain(character: str) -> str:
    category = unicodedata.category(character)
    if (
        category == "Cf"
        or character in "\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0"
        or "\ufe00" <= character <= "\ufe0f"
    ):
        return ""
    return str(unicodedata.decimal(character)) if category == "Nd" else character


def spelled(text: str) -> str:
    """One spelling for texts that say the same in the same words: without case, marks of sentences, and spacing.

    Characters without width do not count; symbols do: C++ is not C, and -5 is not 5.
    """
    return " ".join(SENTENCE_MARKS.sub(" ", folded(plain(text))).split())


def folded(text: str) -> str:
    """One spelling for compatible characters, quotation marks and white space."""
    if text.isascii():
        return " ".join(text.lower().split())
    plain = normal("NFKC", text).replace("\u2019", "'").casefold()
    return " ".join(plain.split())


def content(text: str) -> set[str]:
    """The stems of a text's content words."""
    found = set(_stems(text))
    found.discard("")
    return found


def _stems(text: str) -> Iterator[str]:
    """The stem of each word, empty for one without content."""
    if text.isascii():  # the same words, in a third of the time
        return map(ASCII_STEMS.__getitem__, text.encode().translate(PLAIN).split())
    return map(STEMS.__getitem__, WORD.findall(folded(text)))


def shared(words: set[str], source: str) -> float:
    """The share of these content words that the source has too; 1 where there are none."""
    return len(known(words, source)) / len(words) if words else 1.0


def known(words: set[str], source: str) -> set[str]:
    """Those of these content words that the source has too."""
    return words.intersection(_stems(source))


class _Stems(dict[T, str]):
    """The stem of each word, found when it is first asked for: quicker than calling ``_stem``, for words are many."""

    def __missing__(self, word: T) -> str:
        if len(self) == MOST_STEMS:
            self.clear()
        self[word] = stem = _stem(word.decode() if isinstance(word, bytes) else word)
        return stem


STEMS = _Stems[str]()
ASCII_STEMS = _Stems[bytes]()


def _stem(word: str) -> str:
    """Empty for a word without content."""
    if word in COMMON or (len(word) <= 2 and not word.isdigit()):
        return ""
    for ending in ("ings", "ing", "edly", "ed", "es", "s", "ly"):
        if word.endswith(ending) and len(word) - len(ending) >= SHORT:
            return word[: -len(ending)]
    return word
