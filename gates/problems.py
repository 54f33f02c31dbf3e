"""How gates says that a configuration or a file is not what it must be: every problem at once, with a suggestion."""

import difflib
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import schemas

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


def schema_problems(value: object, schema_name: str, where: str) -> list[str]:
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


def _lines(error: Any, where: str) -> list[str]:
    if error.validator == "additionalProperties" and isinstance(error.instance, dict):
        known = error.schema["properties"]
        unknown = [key for key in error.instance if key not in known]
        return [f"{where}.{key}: unknown key{did_you_mean(key, known)}" for key in unknown]
    if error.validator == "enum":
        hint = did_you_mean(error.instance, map(str, error.validator_value))
        return [f"{where}: {error.instance!r} is not known{hint}"]
    message = error.message[:MESSAGE]
    if error.validator in ("maximum", "exclusiveMaximum") and 1 < error.instance <= PER_CENT:
        message += f": a share, not a percentage, so write {error.instance / 100:g}"
    return [f"{where}: {message}"]
