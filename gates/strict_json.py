"""A JSON reader that refuses what a careful consumer would refuse, and says why: RFC 8259 and I-JSON (RFC 7493).

``json.loads`` is not a gate: it takes NaN, repeated names, lone surrogates and 1e999, and it raises errors that are
not ``JSONDecodeError``. ``read`` takes any text or bytes and always returns a ``Reading``.
"""

import json
import math
import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

from gates.canonical import Json
from gates.shown import shorten

MAX_DEPTH = 128
MAX_DIGITS = 4300
"""CPython's own limit for text to integer (CVE-2020-10735)."""
MAX_CHARACTERS = 100_000
"""About 25,000 tokens."""
MAX_FILE = 10_000_000
"""Characters of a schema, or of a row of a golden set: its documents stand in it."""

MAX_VALUES = 10_000_000
"""Brackets and commas, those within texts too; a colon as two, a brace as four: ``{"a":1},`` is eight bytes, and 230 of
memory, and a member with a name of its own has as many."""

WHITESPACE = " \t\n\r"
FENCE = re.compile(r"```[ \t]*+\w*+[ \t]*+\r?\n(.*?)\r?\n?```", re.DOTALL)
STRINGS = re.compile(r'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
BRACKETS = re.compile(r"[\[{]|[\]}]")
SURROGATE = re.compile("[\ud800-\udfff]")
SURROGATE_ESCAPE = re.compile(r"\\u[dD][89a-fA-F]")
CUT_TOKEN = re.compile(r"\.|[eE][+-]?|-|t|tr|tru|f|fa|fal|fals|n|nu|nul|u[0-9a-fA-F]{0,4}")


class Reading(NamedTuple):
    """What a text is. ``value`` is set for ``ok``, ``not_object`` and ``lone_surrogate`` only."""

    code: str
    detail: str = ""
    value: Json = None
    ok: bool = False
    """Whether it is one JSON object."""


class _Refused(Exception):
    def __init__(self, code: str, detail: str) -> None:
        self.reading = Reading(code=code, detail=detail)


def read(data: str | bytes, *, max_characters: int = MAX_CHARACTERS) -> Reading:
    """The one JSON object that ``data`` is, or the code of the first thing wrong with it."""
    try:
        text = _text(data, max_characters)
        value, end = _decode(text)
        return _checked(text, value, end)
    except _Refused as refused:
        return refused.reading


def read_fenced(data: str, *, max_characters: int = MAX_CHARACTERS) -> Reading:
    """``read`` after taking away one surrounding code fence: what lenient tools measure, for the report alone."""
    fenced = FENCE.fullmatch(data.strip(WHITESPACE)) if len(data) <= max_characters else None
    return read(fenced.group(1) if fenced else data, max_characters=max_characters)


def _text(data: str | bytes, max_characters: int) -> str:
    if isinstance(data, bytes):
        data = _from_bytes(data)
    if data.startswith("\ufeff"):
        raise _Refused("bom", "the text starts with U+FEFF")
    if len(data) > max_characters:
        raise _Refused("too_long", f"{len(data)} characters, at most {max_characters} are read")
    text = data.strip(WHITESPACE)
    if not text:
        raise _Refused("empty", "nothing but white space")
    if text.startswith("```"):
        raise _Refused("fenced", "the object stands in a code fence")
    if 4 * len(text) > MAX_VALUES and _values(text) > MAX_VALUES:
        raise _Refused("too_long", f"{_values(text):,} values, at most {MAX_VALUES:,} are read")
    if _too_deep(text):
        raise _Refused("too_deep", f"more than {MAX_DEPTH} levels")
    return text


def _from_bytes(data: bytes) -> str:
    encoding = json.detect_encoding(data)
    if not encoding.startswith("utf-8"):
        raise _Refused("not_utf8", f"the bytes look like {encoding}")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _Refused("not_utf8", f"byte {data[error.start]:#04x} at offset {error.start}") from None


def _values(text: str) -> int:
    return text.count("[") + 4 * text.count("{") + text.count(",") + 2 * text.count(":")


def _too_deep(text: str) -> bool:
    if text.count("[") + text.count("{") <= MAX_DEPTH:
        return False
    depth = 0
    for bracket in BRACKETS.finditer(STRINGS.sub("", text)):
        depth += 1 if bracket.group() in "[{" else -1
        if depth > MAX_DEPTH:
            return True
    return False


def _decode(text: str) -> tuple[Json, int]:
    try:
        decoded: tuple[Json, int] = _decoder().raw_decode(text)
    except json.JSONDecodeError as error:
        raise _Refused(_kind(text, error), f"{error.msg} at line {error.lineno} column {error.colno}") from None
    except RecursionError:
        raise _Refused("too_deep", "deeper than the interpreter's stack") from None
    return decoded


@cache
def _decoder() -> json.JSONDecoder:
    return json.JSONDecoder(object_pairs_hook=_object, parse_float=_float, parse_int=_integer, parse_constant=_constant)


def _kind(text: str, error: json.JSONDecodeError) -> str:
    rest = text[error.pos :]
    if error.pos >= len(text) or error.msg.startswith("Unterminated string") or CUT_TOKEN.fullmatch(rest):
        return "truncated" if text[0] in '{["' else "syntax"
    before, brace, _ = text.partition("{")
    return "prose_before" if error.pos == 0 and brace and re.search(r"\w", before) else "syntax"


def _checked(text: str, value: Json, end: int) -> Reading:
    if text[end:].strip(WHITESPACE):
        return Reading(code="trailing_text", detail=f"{text[end:].strip(WHITESPACE)[:40]!r} after the first value")
    if _has_half(text, value):
        return Reading(code="lone_surrogate", detail="half of a surrogate pair", value=value)
    if not isinstance(value, dict):
        return Reading(code="not_object", detail=f"the value is of type {type(value).__name__}", value=value)
    return Reading(code="ok", value=value, ok=True)


def _has_half(text: str, value: Json) -> bool:
    """Whether half of a surrogate pair stands in the text, as itself or as an escape."""
    if not text.isascii() and SURROGATE.search(text):
        return True
    if "\\" not in text or "\\u" not in text:  # one character is found sooner than two
        return False
    return SURROGATE_ESCAPE.search(text) is not None and any(map(SURROGATE.search, _strings(value)))


def _object(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    members = dict(pairs)
    if len(members) < len(pairs):
        names = Counter(name for name, _ in pairs)
        repeated = next(name for name, times in names.items() if times > 1)
        raise _Refused("duplicate_key", f"member {shorten(repr(repeated), 80)} stands twice")
    return members


def _float(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise _Refused("number_overflow", f"{digits[:40]} is larger than any float")
    return number


def _integer(digits: str) -> int:
    try:
        if len(digits.lstrip("-")) <= MAX_DIGITS:
            return int(digits)
    except ValueError:
        pass  # the interpreter was started with a lower limit
    raise _Refused("number_too_long", f"an integer of {len(digits)} digits")


def _constant(name: str) -> float:
    raise _Refused("non_finite", f"{name} is not JSON")


def _strings(value: Json) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for name, member in value.items():
            yield name
            yield from _strings(member)
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item)
