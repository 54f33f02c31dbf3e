"""Keywords that jsonschema checks by Python's ``re``, by floats or in square time, as their standards and bounds ask.

The words of each fault are jsonschema's own.
"""

from collections.abc import Callable, Hashable, Iterator, Mapping
from fractions import Fraction
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from gates.canonical import Json
from gates.schema_patterns import SchemaPattern, schema_pattern

if TYPE_CHECKING:
    from jsonschema import ValidationError
    from jsonschema.protocols import Validator

Errors: TypeAlias = "Iterator[ValidationError]"
Keyword: TypeAlias = "Callable[[Validator, Any, Json, Mapping[str, Json]], Errors | None]"
STEPS = 500_000
"""Keywords that are checked for one answer: seconds. A count and not a clock, so that every machine comes to the same.
An answer of 20,000 characters takes some tens of thousands."""
ENTRIES = 32
"""Entries of an enum that cost as much as a keyword."""


class Steps:
    """How many keywords have been checked for the answer at hand."""

    def __init__(self) -> None:
        self.taken = 0

    def take(self, steps: int) -> None:
        self.taken += steps
        if self.taken > STEPS:
            raise ValueError(f"more than {STEPS} steps: the schema checks the same values again and again")


def bounded(draft: "type[Validator]", steps: Steps) -> "type[Validator]":
    """A draft's validator with these keywords in place of its own, and its steps counted."""
    from jsonschema.validators import extend

    own = {"multipleOf": _multiple_of, "uniqueItems": _unique_items, "pattern": _pattern}
    own |= {"patternProperties": _pattern_properties}
    own |= {"additionalProperties": _additional(draft.VALIDATORS["additionalProperties"])}
    keywords = {**draft.VALIDATORS, **own}
    counted = {name: _counted(check, steps) for name, check in keywords.items()}
    return cast("type[Validator]", extend(draft, counted))  # type: ignore[no-untyped-call]


def _counted(check: Keyword, steps: Steps) -> Keyword:
    def counted(validator: "Validator", value: Any, instance: Json, schema: Mapping[str, Json]) -> Errors:
        steps.take(1 + len(value) // ENTRIES if isinstance(value, list) else 1)
        yield from check(validator, value, instance, schema) or ()

    return counted


def matches(pattern: str, text: str) -> bool:
    """Whether a schema's pattern is found in a text."""
    read = schema_pattern(pattern)
    if not isinstance(read, SchemaPattern):
        raise ValueError(f"pattern {pattern!r} {read}")  # noqa: TRY004  # a fault of the pattern, not of a type
    return read.found_in(text)


def _pattern(_: "Validator", pattern: str, instance: Json, __: Mapping[str, Json]) -> Errors:
    from jsonschema import ValidationError

    if isinstance(instance, str) and not matches(pattern, instance):
        yield ValidationError(f"{instance!r} does not match {pattern!r}")


def _pattern_properties(validator: "Validator", patterns: Any, instance: Json, _: Mapping[str, Json]) -> Errors:
    for pattern, schema in patterns.items():
        for name, value in instance.items() if isinstance(instance, dict) else ():
            if matches(pattern, name):
                yield from validator.descend(value, schema, path=name, schema_path=pattern)  # type: ignore[attr-defined]


def _additional(check: Keyword) -> Keyword:
    def additional(validator: "Validator", value: Any, instance: Json, schema: Mapping[str, Json]) -> Errors:
        patterns = schema.get("patternProperties")
        if isinstance(instance, dict) and isinstance(patterns, dict):
            named = {name for name in instance if any(matches(pattern, name) for pattern in patterns)}
            rest: Json = {name: member for name, member in instance.items() if name not in named}
            # No name that is left matches a pattern; an empty set of them keeps the library from searching.
            plain = {**schema, "patternProperties": {}}
            for error in check(validator, value, rest, plain) or ():
                if value is False:
                    error.message += ", ".join(repr(pattern) for pattern in sorted(patterns))
                yield error
        else:
            yield from check(validator, value, instance, schema) or ()

    return additional


def _multiple_of(_: "Validator", step: float, instance: Json, __: Mapping[str, Json]) -> Errors:
    from jsonschema import ValidationError

    if isinstance(instance, bool) or not isinstance(instance, int | float):
        return
    # In decimals, as they are written: 0.3 is three times 0.1.
    if (Fraction(str(instance)) / Fraction(str(step))).denominator != 1:
        yield ValidationError(f"{instance!r} is not a multiple of {step}")


def _unique_items(_: "Validator", unique: bool, instance: Json, __: Mapping[str, Json]) -> Errors:
    from jsonschema import ValidationError

    if unique and isinstance(instance, list) and len(set(map(_key, instance))) < len(instance):
        yield ValidationError(f"{instance!r} has non-unique elements")


def _key(value: Json) -> Hashable:
    """The same for values that JSON Schema takes for equal: 1 and 1.0, not 1 and true."""
    if isinstance(value, dict):
        return "object", frozenset((name, _key(member)) for name, member in value.items())
    if isinstance(value, list):
        return "array", tuple(map(_key, value))
    return type(value) is bool, value
