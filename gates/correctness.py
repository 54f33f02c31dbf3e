"""What an answer says beside what the row's reference says, by the means that a contract declares for each place.

It judges the places that are declared and nothing else: a text compared ``contains_all`` may say anything beside.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import NotRequired, TypedDict

from gates import pointer
from gates.canonical import Json
from gates.words import THOUSANDS, plain, spelled

NUMBER = re.compile(r"(?<![\w.])[-+\u2212]?\d+(?:[.,]\d+)*(?:[eE][-+]?\d+)?")
MOST_DIGITS = 400


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
        return bool(numbers(value))
    if isinstance(value, list):
        return any(not isinstance(member, str) or spelled(member) for member in value)
    return value is not None and (not isinstance(value, str) or bool(spelled(value)))


def right(one: Expected, given: Json) -> bool:
    """Whether what stands at the place is what the reference says, by the place's means."""
    return MEANS[one.place.by](one.place, one.value, given)


def numbers(value: Json) -> tuple[Decimal, ...]:
    """A number, or the numbers in a text, in order: 1,000 is a thousand, 3,5 is three and a half."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return ()
    texts = NUMBER.findall(plain(value)) if isinstance(value, str) else [str(value)]
    written = (THOUSANDS.sub("", text).replace("\u2212", "-").replace(",", ".") for text in texts)
    return tuple(Decimal(one) for one in written if one.count(".") <= 1 and len(one) <= MOST_DIGITS)


def _exact(_: Place, reference: Json, given: Json) -> bool:
    return _typed(reference) == _typed(given)


def _normalized(_: Place, reference: Json, given: Json) -> bool:
    return _alike(reference, given)


def _alike(reference: Json, given: Json) -> bool:
    return _typed(_normal(reference)) == _typed(_normal(given))


def _number(one: Place, reference: Json, given: Json) -> bool:
    wanted, found = numbers(reference), numbers(given)
    return len(wanted) == len(found) and all(
        abs(is_ - should) <= max(one.tolerance, one.relative * abs(should))
        for is_, should in zip(found, wanted, strict=True)
    )


def _one_of(_: Place, reference: Json, given: Json) -> bool:
    allowed = reference if isinstance(reference, list) else [reference]
    return any(_alike(each, given) for each in allowed)


def _contains_all(_: Place, reference: Json, given: Json) -> bool:
    wanted = reference if isinstance(reference, list) else [reference]
    if isinstance(given, list):
        return all(any(_alike(each, member) for member in given) for each in wanted)
    text = spelled(str(given))
    return all(_holds(text, spelled(str(each))) for each in wanted)


def _holds(text: str, part: str) -> bool:
    """Whether the part stands in the text as whole words, or, in scripts without spaces, at all."""
    before, after = (r"(?<!\w)", r"(?!\w)") if part.isascii() else ("", "")
    return re.search(f"{before}{re.escape(part)}{after}", text) is not None


def _normal(value: Json) -> Json:
    if isinstance(value, str):
        return spelled(value)
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
