"""How gates says that a configuration or a file is not what it must be: every problem at once, with a suggestion."""

import difflib
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import schemas
from gates.shown import shorten

if TYPE_CHECKING:
    from jsonschema import ValidationError

MESSAGE = 200
"""Characters of a validator's message that are kept: it may quote the whole answer."""
PER_CENT = 100


class Invalid(Exception):
    """Something that must be put right before anything can be judged."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


class InvalidConfig(Invalid):
    """A contract or a policy."""


class InvalidData(Invalid):
    """A golden set or a file of answers."""


def did_you_mean(word: object, known: Iterable[str]) -> str:
    """`` (did you mean 'x'?)`` or, when nothing is near, the list of what is known."""
    names = sorted(known)
    near = difflib.get_close_matches(str(word), names)
    if near:
        return f" (did you mean {near[0]!r}?)"
    return f" (known: {', '.join(names)})"


def against_schema(value: object, schema_name: str, where: str) -> list[str]:
    """A line for each way in which ``value`` breaks the schema in ``schemas/``."""
    from jsonschema import Draft202012Validator

    lines = [f"{path}: {number} is not a number to compare with" for path, number in _not_finite(value, where)]
    found = Draft202012Validator(schemas.load(schema_name)).iter_errors(value)
    for error in sorted(found, key=lambda error: [str(part) for part in error.absolute_path]):
        lines += _lines(error, ".".join([where, *map(str, error.absolute_path)]))
    return lines


def _not_finite(value: object, where: str) -> Iterator[tuple[str, float]]:
    if isinstance(value, float) and not math.isfinite(value):
        yield where, value
    elif isinstance(value, Mapping):
        for key, member in value.items():
            yield from _not_finite(member, f"{where}.{key}")
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for index, item in enumerate(value):
            yield from _not_finite(item, f"{where}.{index}")


def unknown_keys(error: "ValidationError") -> Mapping[object, str]:
    """The keys that a schema does not know, each with what may be meant; empty if something else is wrong."""
    if error.validator != "additionalProperties" or not isinstance(error.instance, dict):
        return {}
    known = error.schema["properties"] if isinstance(error.schema, Mapping) else {}
    return {key: did_you_mean(key, known) for key in error.instance if key not in known}


def _lines(error: "ValidationError", where: str) -> list[str]:
    if unknown := unknown_keys(error):
        return [f"{where}.{key}: unknown key{hint}" for key, hint in unknown.items()]
    if error.validator == "enum" and isinstance(error.validator_value, list):
        hint = did_you_mean(error.instance, map(str, error.validator_value))
        return [f"{where}: {error.instance!r} is not known{hint}"]
    message = shorten(error.message, MESSAGE)
    if error.validator in ("maximum", "exclusiveMaximum"):
        number = float(str(error.instance))
        message += f": a share, not a percentage, so write {number / 100:g}" if 1 < number <= PER_CENT else ""
    return [f"{where}: {message}"]
