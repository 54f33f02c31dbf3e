r"""Regular expressions of a schema, with the meaning of ECMA 262 (``$`` is the end, ``\d`` is ASCII), in bounded time.

The engine is that of jsonschema-rs: Rust's ``regex``, which does not backtrack. A pattern that looks around or refers
back needs the other one, ``fancy-regex``, which stops after a number of steps.
"""

import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import jsonschema_rs

SIZE = 2**20
"""Bytes that a compiled pattern may take."""
STEPS = ((64, 20_000), (1024, 60_000), (2**30, 1_000_000))
"""For texts of up to so many characters, the backtracking that one search may do: what is natural grows with its
square, and all strings of an answer together cost at most a second."""
REMEMBERED = 4096
"""Characters of the longest text whose search is remembered."""
TOKEN = re.compile(
    r"\\ud[89ab][0-9a-f]{2}\\ud[c-f][0-9a-f]{2}|\\.|\(\?<?[=!:]|\[\^?|[*+?]|\{\d+(?:,\d*)?\}|.",
    re.DOTALL | re.IGNORECASE,
)
QUANTIFIER = re.compile(r"[*+?]|\{\d")
DOT = r"[^\n\r\u2028\u2029]"
WORD = "[A-Za-z0-9_]"
PLACES = {
    "A": r"\A is not in ECMA 262: write ^",
    "Z": r"\Z is not in ECMA 262: write $",
    "z": r"\z is not in ECMA 262: write $",
}


@dataclass(frozen=True, kw_only=True)
class SchemaPattern:
    """A pattern of a schema that can be searched."""

    written: str
    """As jsonschema-rs reads it to the meaning of ECMA 262."""
    backtracks: bool
    checks: "tuple[tuple[int, jsonschema_rs.Validator], ...]" = field(repr=False, compare=False)

    def found_in(self, text: str) -> bool:
        """Whether it matches somewhere; ``ValueError`` if its steps do not suffice."""
        check = next(check for length, check in self.checks if len(text) <= length)
        if not self.backtracks:
            return check.is_valid(text)
        found = (_remembered if len(text) <= REMEMBERED else _backtracking)(check, text)
        if found is None:
            raise ValueError(f"the pattern takes more steps than are allowed on {len(text)} characters")
        return found


def _backtracking(check: "jsonschema_rs.Validator", text: str) -> bool | None:
    """Whether it matches somewhere; None if its steps do not suffice."""
    import jsonschema_rs

    stopped = jsonschema_rs.ValidationErrorKind.BacktrackLimitExceeded
    found: bool | None = True
    for error in check.iter_errors(text):
        if isinstance(error.kind, stopped):
            return None
        found = False
    return found


_remembered = lru_cache(maxsize=1024)(_backtracking)
"""An answer is read again for each comparison, table and page: its search costs up to a second once."""


@lru_cache(maxsize=512)
def schema_pattern(pattern: str) -> SchemaPattern | str:
    """The pattern, or why it cannot be used."""
    import jsonschema_rs

    try:
        plain, looking = ("".join(_tokens(pattern, backtracks=one)) for one in (False, True))
    except ValueError as error:
        return str(error)
    linear = _check(plain, jsonschema_rs.RegexOptions(size_limit=SIZE))
    if linear is not None:
        return SchemaPattern(written=plain, backtracks=False, checks=((2**30, linear),))
    checks = tuple(
        (length, check)
        for length, steps in STEPS
        if (check := _check(looking, jsonschema_rs.FancyRegexOptions(backtrack_limit=steps, size_limit=SIZE)))
    )
    if checks:
        return SchemaPattern(written=looking, backtracks=True, checks=checks)
    return _why_not(pattern)


def _why_not(pattern: str) -> str:
    """The engine does not say; Python does, of most that is wrong in both."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        return f"is not a regular expression of ECMA 262: {error}"
    return "is not a regular expression of ECMA 262, or too large: write * or + in place of large counts"


def _check(
    written: str, options: "jsonschema_rs.RegexOptions | jsonschema_rs.FancyRegexOptions"
) -> "jsonschema_rs.Validator | None":
    import jsonschema_rs

    try:
        return jsonschema_rs.validator_for({"pattern": written}, pattern_options=options)
    except (ValueError, RecursionError):
        return None


def _tokens(pattern: str, *, backtracks: bool) -> Iterator[str]:
    """The pattern's parts, those rewritten to which Rust's engines give another meaning than ECMA 262."""
    inside, counted = False, 0  # 1 after a repeat, 2 after a lazy one
    dot = "." if "(?s" in pattern else DOT
    for part in TOKEN.findall(pattern):
        again = not inside and QUANTIFIER.match(part) is not None
        if again and (counted == 2 or (counted == 1 and part != "?")):
            raise ValueError(f"repeats a repeat with {part!r}, which ECMA 262 does not know: write one of them")
        if part.startswith("\\"):
            yield _escape(part, inside=inside, backtracks=backtracks)
        else:
            yield dot if part == "." and not inside else part
        counted = counted + 1 if again else 0
        inside = part != "]" if inside else part.startswith("[")


def _escape(part: str, *, inside: bool, backtracks: bool) -> str:
    if len(part) == 12:  # two halves of a character
        return re.escape(
            part.encode("ascii").decode("unicode-escape").encode("utf-16", "surrogatepass").decode("utf-16")
        )
    letter = part[1]
    if letter in PLACES:
        raise ValueError(PLACES[letter])
    if letter == "b" and inside:
        return r"\x08"
    if letter in "bB" and not inside:
        return _boundary(letter, backtracks=backtracks)
    return {"0": r"\x00", "<": "<", ">": ">"}.get(letter, part)


def _boundary(letter: str, *, backtracks: bool) -> str:
    r"""``\b`` between ASCII words, as ECMA 262 has it."""
    if not backtracks:
        return rf"(?-u:\{letter})"
    here, there = (f"(?<={WORD})", f"(?<!{WORD})")
    after, not_after = f"(?={WORD})", f"(?!{WORD})"
    pairs = ((here, not_after), (there, after)) if letter == "b" else ((here, after), (there, not_after))
    return f"(?:{'|'.join(one + two for one, two in pairs)})"
