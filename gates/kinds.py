"""Kinds of characters: those that one pattern cannot tell apart are written as one byte.

A kind is a range of code points, cut where the pattern's sets begin and end, and one of four classes: digits, other
characters of words, white space, and the rest, as Python's ``re`` sorts them.
"""

import re
import re._constants as op  # type: ignore[import-not-found]  # the names of a pattern's parts
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, TypeAlias

Range: TypeAlias = tuple[int, int]
Kind: TypeAlias = tuple[int, str]
"""The first code point of its range, and its class."""
CLASSES = ("digit", "word", "space", "other")
WORDS = bytes(one for one in range(128) if chr(one).isalnum() or one == ord("_"))
"""The bytes that RE2 takes for parts of words."""
OTHERS = bytes(one for one in range(256) if one not in WORDS and one != ord("\n"))
OUTSIDE = re.compile(r"[^\x00-\x7f]")
FEW = 8
"""One in so many characters outside ASCII is still few."""
SMALL = 512
"""Characters that are looked at one by one."""
TOP = 0x10FFFF
CATEGORIES = {
    op.CATEGORY_DIGIT: (("digit",), False),
    op.CATEGORY_NOT_DIGIT: (("digit",), True),
    op.CATEGORY_SPACE: (("space",), False),
    op.CATEGORY_NOT_SPACE: (("space",), True),
    op.CATEGORY_WORD: (("digit", "word"), False),
    op.CATEGORY_NOT_WORD: (("digit", "word"), True),
}


class TooMany(Exception):
    """More kinds than can be told apart, and what to do."""


SEPARATORS = range(0x1C, 0x20)
"""Characters of ASCII that are white space to Unicode, and to ``re.ASCII`` are not."""


@dataclass(frozen=True, kw_only=True)
class CharacterSet:
    """What one part of a pattern takes."""

    ranges: tuple[Range, ...]
    classes: tuple[tuple[tuple[str, ...], bool], ...]
    """Classes, and whether what is in none of them is meant."""
    negated: bool
    ascii_only: bool

    def takes(self, kind: Kind) -> bool:
        start, name = kind
        found = any(low <= start <= high for low, high in self.ranges)
        if self.ascii_only and (start > 127 or start in SEPARATORS):
            name = "other"
        found = found or any((name in names) != outside for names, outside in self.classes)
        return found != self.negated


@dataclass(frozen=True, kw_only=True)
class Kinds:
    """The kinds of one pattern, and how texts are written in them."""

    starts: tuple[int, ...]
    """The first code point of each range."""
    codes: "dict[Kind, int]" = field(repr=False)
    last_line_only: bool
    """Whether only a line break at the very end is written as one: ``$`` is there and before it."""
    inner_break: int
    table: "_Table" = field(repr=False)
    ascii: bytes = field(repr=False)
    """The bytes of the first 256 code points, for a text of ASCII alone, which most are."""

    def written(self, characters: CharacterSet) -> bytes:
        """A set of bytes, as RE2 reads it."""
        taken = {code for kind, code in self.codes.items() if characters.takes(kind)}
        if self.last_line_only and ord("\n") in taken:
            taken.add(self.inner_break)
        if not taken:
            return rb"[^\x00-\xff]"
        return b"[" + b"".join(b"\\x%02x" % code for code in sorted(taken)) + b"]"

    def write(self, text: str) -> bytes:
        """The text, a byte for each character."""
        written = self._bytes(text)
        if self.last_line_only and "\n" in text:
            last = len(text) - text.endswith("\n")
            written = written[:last].replace(b"\n", bytes([self.inner_break])) + written[last:]
        return written

    def _bytes(self, text: str) -> bytes:
        plain = text.encode("ascii", "replace").translate(self.ascii)
        if text.isascii():
            return plain
        others = OUTSIDE.findall(text)
        if len(others) * FEW > len(text):
            return text.translate(self.table).encode("latin-1")
        mended = bytearray(plain)
        for found in OUTSIDE.finditer(text):
            mended[found.start()] = self.table[ord(found[0])]
        return bytes(mended)


class _Table(dict[int, int]):
    """The byte of each code point, found when it is first asked for."""

    def __init__(self, starts: Sequence[int], codes: dict[Kind, int]) -> None:
        super().__init__()
        self._starts, self._codes = starts, codes

    def __missing__(self, point: int) -> int:
        start = self._starts[bisect_right(self._starts, point) - 1]
        self[point] = code = self._codes[start, class_of(chr(point))]
        return code


def class_of(character: str) -> str:
    """The class in which Python's ``re`` puts a character."""
    if character.isdecimal():
        return "digit"
    if character.isalnum() or character == "_":
        return "word"
    return "space" if character.isspace() else "other"


def kinds_of(sets: Iterable[CharacterSet], *, boundary: Sequence[bool], last_line_only: bool) -> Kinds:
    """The kinds that these sets tell apart. ``boundary``: for each word boundary whether it is one of ASCII words."""
    if len(set(boundary)) > 1:
        raise TooMany("has word boundaries of two kinds: write (?a) or (?u) for the whole")
    cuts = {0, 10, 11}
    for one in sets:
        cuts |= {cut for low, high in one.ranges for cut in (low, high + 1)}
        cuts |= {SEPARATORS.start, SEPARATORS.stop, 128} if one.ascii_only else set()
    cuts |= {128} if any(boundary) else set()
    starts = tuple(sorted(cut for cut in cuts if cut <= TOP))
    free = {True: [*WORDS], False: [*OTHERS]}
    inner_break = free[False].pop()
    codes = {(10, "space"): 10}
    for number, start in enumerate(starts):
        end = starts[number + 1] - 1 if number + 1 < len(starts) else TOP
        for name in _classes_between(start, end):
            word = name in ("digit", "word") and not (any(boundary) and start > 127)
            # Without word boundaries a byte is a byte.
            pool = free[word] if boundary or free[word] else free[not word]
            if (start, name) in codes:
                continue
            if not pool:
                raise TooMany("tells too many characters apart: write ranges such as [a-z] in place of single ones")
            codes[start, name] = pool.pop()
    table = _Table(starts, codes)
    return Kinds(
        starts=starts,
        codes=codes,
        last_line_only=last_line_only,
        inner_break=inner_break,
        table=table,
        ascii=bytes(table[point] for point in range(256)),
    )


def _classes_between(low: int, high: int) -> Iterable[str]:
    if high - low < SMALL:
        return sorted({class_of(chr(point)) for point in range(low, high + 1)})
    return CLASSES


def character_set(items: Sequence[tuple[object, Any]], flags: int) -> CharacterSet:
    """What a part of a pattern takes, from the tree of ``re._parser``."""
    ranges: list[Range] = []
    classes = []
    negated = False
    for kind, value in items:
        if kind is op.NEGATE:
            negated = True
        elif kind is op.CATEGORY:
            classes.append(CATEGORIES[value])
        else:
            low, high = (value, value) if kind is op.LITERAL else value
            ranges += _any_case(low, high, flags & re.ASCII) if flags & re.IGNORECASE else [(low, high)]
    return CharacterSet(
        ranges=tuple(ranges), classes=tuple(classes), negated=negated, ascii_only=bool(flags & re.ASCII)
    )


@lru_cache(maxsize=256)
def _any_case(low: int, high: int, ascii_only: int) -> tuple[Range, ...]:
    """The range with every character that ``re.IGNORECASE`` takes for one of its own."""
    if high - low >= SMALL:
        raise TooMany("has a large range whatever the case: write both cases out, without (?i)")
    flags = re.IGNORECASE | ascii_only
    asked = re.compile(f"[{re.escape(chr(low))}-{re.escape(chr(high))}]", flags)
    near = {other for point in range(low, high + 1) for other in _cases(chr(point))}
    return ((low, high), *((ord(one), ord(one)) for one in sorted(near) if asked.fullmatch(one)))


def _cases(character: str) -> set[str]:
    found, waiting = set[str](), [character]
    while waiting:
        one = waiting.pop()
        if one in found or len(one) != 1:
            continue
        found.add(one)
        waiting += [one.lower(), one.upper(), one.title(), one.casefold(), *RARE.get(one, "")]
    return found


RARE = {"s": "\u017f", "k": "\u212a", "\u00e5": "\u212b", "\u03c9": "\u2126", "i": "\u0130\u0131", "\u03bc": "\u00b5"}
"""Letters of which a common one is the lower case, not the other way round."""
