"""What an answer says beside what the row's reference says, by the means that a contract declares for each place.

It judges the places that are declared and nothing else: a text compared ``contains_all`` may say anything beside.
"""

import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import NotRequired, TypedDict

from gates import pointer
from gates.canonical import Json
from gates.numerals import EXACT, Numeral, numerals, spans
from gates.words import CASED, comparable

DIGIT = re.compile(r"\d")


class CorrectnessEntry(TypedDict):
    """A place of a contract's ``correctness``, once ``schemas/contract.schema.json`` has passed it."""

    at: str
    by: str
    reference: NotRequired[str]
    tolerance: NotRequired[float]
    relative: NotRequired[float]


@dataclass(frozen=True, kw_only=True)
class Place:
    """One place of an answer, and how it is compared."""

    at: str
    by: str
    """A key of ``MEANS``."""
    reference: str | None
    """A pointer into the golden row's ``meta``; None: the same place of the reference answer."""
    tolerance: Decimal
    """How far a number may be off, absolutely."""
    relative: Decimal
    """How far a number may be off, as a share of the reference."""


NOTHING_OFF = Place(at="", by="number", reference=None, tolerance=Decimal(0), relative=Decimal(0))


@dataclass(frozen=True, kw_only=True)
class Expected:
    """What must stand at one place."""

    place: Place
    value: Json


def place(entry: CorrectnessEntry) -> Place:
    """The place that an entry of a contract describes."""
    return Place(
        at=entry["at"],
        by=entry["by"],
        reference=entry.get("reference"),
        tolerance=Decimal(str(entry.get("tolerance", 0))),
        relative=Decimal(str(entry.get("relative", 0))),
    )


def problems(entry: CorrectnessEntry) -> list[str]:
    """What is wrong with an entry beyond its schema."""
    unused = [key for key in ("tolerance", "relative") if key in entry and entry["by"] != "number"]
    return [f"{key}: has no effect on {entry['by']}; leave it out, or compare by number" for key in unused]


def expected(
    places: Sequence[Place], reference: Json, meta: Json, said: Callable[[str, Json], Json]
) -> tuple[Expected, ...]:
    """What a row's reference asks of each place; a place of which it says nothing is not compared.

    ``said`` has the value of a place as it is compared, from the place and what stands there.
    """
    found = []
    for one in places:
        value = pointer.get(reference, one.at) if one.reference is None else pointer.get(meta, one.reference)
        compared = None if isinstance(value, pointer.Missing) else said(one.at, value)
        if _says_something(one, compared):
            found.append(Expected(place=one, value=compared))
    return tuple(found)


def _says_something(one: Place, value: Json) -> bool:
    if one.by == "number":
        return bool(numerals(value))
    return any(map(_says, value)) if isinstance(value, list) else value is not None and _says(value)


def _says(value: Json) -> bool:
    """Whether it is more than marks of sentences."""
    return not isinstance(value, str) or bool(comparable(value))


def right(one: Expected, given: Json) -> bool:
    """Whether what stands at the place is what the reference says, by the place's means."""
    return MEANS[one.place.by](one.place, one.value, given)


def _exact(_: Place, reference: Json, given: Json) -> bool:
    return _typed(reference) == _typed(given)


def _normalized(_: Place, reference: Json, given: Json) -> bool:
    return _alike(reference, given)


def _alike(reference: Json, given: Json) -> bool:
    return _typed(_normal(reference)) == _typed(_normal(given))


def _number(one: Place, reference: Json, given: Json) -> bool:
    wanted, found = numerals(reference), numerals(given)
    return len(wanted) == len(found) and all(_near(one, should, is_) for should, is_ in zip(wanted, found, strict=True))


def _near(one: Place, should: Numeral, is_: Numeral) -> bool:
    """Whether a number is near enough to another; one that is not read is near to what is written as it is."""
    if should.value is None or is_.value is None:
        return should.value is is_.value and should.written == is_.written
    off = EXACT.subtract(is_.value, should.value).copy_abs()
    return off <= max(one.tolerance, EXACT.multiply(one.relative, should.value.copy_abs()))


def _one_of(_: Place, reference: Json, given: Json) -> bool:
    allowed = reference if isinstance(reference, list) else [reference]
    return any(_alike(each, given) for each in allowed if _says(each))


def _contains_all(_: Place, reference: Json, given: Json) -> bool:
    wanted = [each for each in (reference if isinstance(reference, list) else [reference]) if _says(each)]
    if isinstance(given, list):
        return all(any(_is_member(each, member) for member in given) for each in wanted)
    if isinstance(given, bool) or not isinstance(given, int | float | str):
        return False
    text = comparable(str(given))
    parts = [comparable(str(each)) for each in wanted if not _is_number(each)]
    asked = [each for each in wanted if _is_number(each)]
    found = numerals(given) if asked else ()
    there = spans(text) if any(map(DIGIT.search, parts)) else ()
    return all(_is_one(each, found) for each in asked) and all(_holds(text, there, part) for part in parts)


def _is_member(each: Json, member: Json) -> bool:
    """Whether a member of a list says what is looked for; a number may be written as a text."""
    if _is_number(each) and isinstance(member, str):
        found = numerals(member)
        return len(found) == 1 and _is_one(each, found)
    if isinstance(each, str) and _is_number(member):
        return comparable(each) == str(member)
    return _alike(each, member)


def _is_number(value: Json) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_one(each: Json, found: Sequence[Numeral]) -> bool:
    """Whether a number is one of these, however they are written."""
    (wanted,) = numerals(each)
    return any(_near(NOTHING_OFF, wanted, one) for one in found)


def _holds(text: str, there: Sequence[tuple[int, int]], part: str) -> bool:
    """Whether the part stands in the text as whole words and whole numbers; in scripts without capitals, at all.

    ``there``: where the text's numbers are.
    """
    if DIGIT.search(part) is None:
        return next(_places(text, part), None) is not None
    own = spans(part)
    starts, ends = {start for start, _ in there}, {end for _, end in there}
    first = any(start == 0 for start, _ in own)
    last = any(end == len(part) for _, end in own)
    return any((at in starts or not first) and (at + len(part) in ends or not last) for at in _places(text, part))


def _places(text: str, part: str) -> Iterator[int]:
    """Where the part stands in the text without a letter of an alphabet beside its own; C does not stand in C++."""
    before = rf"(?<![{CASED}\d_])" if re.match(rf"[{CASED}_]", part) else ""
    after = rf"(?![{CASED}\d_]|#|\+\+|\+(?!\w))" if re.search(rf"[{CASED}_]$", part) else ""
    for match in re.finditer(f"{before}(?={re.escape(part)}{after})", text):
        end = match.start() + len(part)
        if not unicodedata.category(text[end : end + 1] or " ").startswith("M"):
            yield match.start()


def _normal(value: Json) -> Json:
    if isinstance(value, str):
        return comparable(value)
    if isinstance(value, list):
        return [_normal(member) for member in value]
    return {key: _normal(member) for key, member in value.items()} if isinstance(value, dict) else value


def _typed(value: Json) -> object:
    """Equal for equal JSON: 1 and 1.0 are one number, true is none."""
    if isinstance(value, list):
        return [_typed(member) for member in value]
    if isinstance(value, dict):
        return {key: _typed(member) for key, member in value.items()}
    return (isinstance(value, bool), value)


MEANS: Mapping[str, Callable[[Place, Json, Json], bool]] = {
    "exact": _exact,
    "normalized": _normalized,
    "number": _number,
    "one_of": _one_of,
    "contains_all": _contains_all,
}
"""How two values may be compared."""
