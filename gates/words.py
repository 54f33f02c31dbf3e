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


CASED = (
    "A-Za-z\u00b5\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u02af\u0370-\u03ff\u0400-\u052f\u0531-\u0587\u10a0-\u10ff"
    "\u1c80-\u1cbf\u1d00-\u1fff\u2c00-\u2d2f\ua640-\ua69f\ua720-\ua7ff\uab30-\uabbf\ufb00-\ufb17"
)
"""Letters of alphabets with capitals, for a class of characters. Other scripts write words, particles and numbers
without a space between."""
DASHES = "-\u2010-\u2013\u2212\ufe63\uff0d"
RAISED, LOWERED = "\u2070\u2071\u00b2\u00b3\u00b9\u2074-\u207b\u207f", "\u2080-\u208b"
"""Digits and signs above and below the line."""
UNRAISED = str.maketrans(
    {
        **dict(
            zip("\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079\u207a\u207b", "0123456789+-", strict=True)
        ),
        **dict(
            zip("\u2080\u2081\u2082\u2083\u2084\u2085\u2086\u2087\u2088\u2089\u208a\u208b", "0123456789+-", strict=True)
        ),
        "\u207f": "n",
        "\u2071": "i",
    }
)
RAISED_RUN, LOWERED_RUN = re.compile(f"[{RAISED}]+"), re.compile(f"[{LOWERED}]+")
OF_FORMULAS = re.compile(rf"(?<=[{CASED}])[{LOWERED}]+(?!\d)")
OF_UNITS = re.compile(r"(?<![^\W\d])([dcmk\u00b5\u03bcn]?m|ft|in|yd|mi)\^([23])(?!\w)")
CURLY = str.maketrans(
    dict.fromkeys("\u2018\u2019\u201a\u201b", "'") | dict.fromkeys("\u201c\u201d\u201e\u201f\u00ab\u00bb", '"')
)
DASH = re.compile(f"[{DASHES[1:]}]")
QUOTED = re.compile(r"""(?<![^\W_])(["'])(?=\S)([^"']*)\1(?![^\W_])""")
MARKS = r".,;:!?'\"\u00ab\u00bb\u2018-\u201f\u2026\u3001\u3002"
NO_PART = re.compile(
    rf"(?<![^\W_])(?!(?<![{MARKS}])[.,]\d)[{MARKS}\u00a1\u00bf]+|(?!(?<=\d)[!'\"])[{MARKS}]+(?![^\W_])"
)
"""The marks of sentences that touch no number as part of it: .5 is not 5, 5! is not 5, and 5' is not 5"."""


def unraised(text: str) -> str:
    """The text with digits above and below the line as digits in it."""
    return text.translate(UNRAISED)


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


def comparable(text: str) -> str:
    """One spelling for a text and others that say the same: as ``spelled``, but no sign of a value goes or is changed.

    10\u2079 and 10^9 are one, and not 109; H\u2082O is H2O, and m\u00b2 m2; a dash is a minus; a point before a digit,
    and behind one a ``!`` or a mark of feet and inches, stay.
    """
    text = plain(text)
    if not text.isascii():
        text = _compatible(DASH.sub("-", text.translate(CURLY)))
    text = OF_UNITS.sub(r"\1\2", text.casefold()) if "^" in text else text.casefold()
    if "'" in text or '"' in text:
        text = QUOTED.sub(r" \2 ", text)
    return " ".join(NO_PART.sub(" ", text).split())


def _compatible(text: str) -> str:
    """One spelling for compatible characters but for those that write a number, which stay apart from other digits."""
    text = OF_FORMULAS.sub(lambda found: unraised(found[0]), text)
    text = RAISED_RUN.sub(lambda found: "^" + unraised(found[0]), text)
    text = LOWERED_RUN.sub(lambda found: "_" + unraised(found[0]), text)
    apart = "".join(one for one in set(text) if not one.isascii() and _begins_with_a_digit(one))
    if not apart:
        return normal("NFKC", text)
    parts = re.split(f"([{re.escape(apart)}])", text)
    return "".join(one if number % 2 else normal("NFKC", one) for number, one in enumerate(parts))


def _begins_with_a_digit(character: str) -> bool:
    return unicodedata.category(character)[1] == "o" and normal("NFKC", character)[0].isdecimal()


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
