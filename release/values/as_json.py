"""Frozen values as JSON, and back: how a record, an attestation, and what stages leave for each other are written.

A field that is ``OPTIONAL`` and None is not written: what earlier versions wrote lacks it.
"""

import functools
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import TypeAlias, TypeVar, get_args, get_origin, get_type_hints

from gates.canonical import Json

Tree: TypeAlias = Mapping[str, object]
"""A JSON object of which nothing more is said here."""
T = TypeVar("T")
OPTIONAL = {"optional": True}
"""Of a field that some records lack."""


def part(kind: type[T], value: object) -> T:
    """A dataclass from JSON that fits it; ``ValueError`` where a field is missing."""
    assert is_dataclass(kind)
    if not isinstance(value, Mapping):
        raise ValueError(f"{kind.__name__} is not {value!r:.80}")  # noqa: TRY004  a fault of what was read
    known = {name: _read(hint, value[name]) for name, hint in _hints(kind).items() if name in value}
    try:
        return kind(**known)
    except TypeError as error:
        raise ValueError(f"{kind.__name__}: {error}") from None


@functools.cache
def _hints(kind: type[object]) -> Mapping[str, object]:
    return get_type_hints(kind)


def _read(hint: object, value: object) -> object:
    """A field's value: dataclasses within mappings, lists and what may be None are read too."""
    kinds = [one for one in get_args(hint) if one is not type(None)]
    if value is None or not (kinds or is_dataclass(hint)):
        return value
    if isinstance(hint, type) and is_dataclass(hint):
        return part(hint, value)
    if isinstance(value, Mapping) and len(kinds) == 2:
        return {name: _read(kinds[1], one) for name, one in value.items()}
    if get_origin(hint) is tuple and isinstance(value, list):
        return tuple(value)
    if isinstance(value, list):
        return [_read(kinds[0], one) for one in value]
    return _read(kinds[0], value) if len(kinds) == 1 else value


def to_json(value: object) -> Json:
    """A value as JSON, from which ``part`` makes the same again; of no other types than those that a record has."""
    if is_dataclass(value):
        found = {one.name: (getattr(value, one.name), one.metadata.get("optional")) for one in fields(value)}
        return {name: to_json(one) for name, (one, left_out) in found.items() if not (left_out and one is None)}
    if isinstance(value, Mapping):
        return {name: to_json(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [to_json(one) for one in value]
    assert value is None or isinstance(value, bool | int | float | str)
    return value


def tree(value: object) -> dict[str, object]:
    """A dataclass as a JSON object."""
    found = to_json(value)
    assert isinstance(found, dict)
    return dict(found)
