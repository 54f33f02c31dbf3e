"""The JSON Schema that a number of answers have in common: what all have is required, what none has is forbidden."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from gates import pointer
from gates.canonical import Json

FEW = 8
"""Different texts of a field, at most, that are taken for the only ones."""
OFTEN = 5
"""How often each of them must come, in the mean: fewer may be free text that repeats by chance."""
LONGEST = 60
"""Characters of one of them."""
MANY_KEYS = 20
"""Keys of an object, of which none is in all, from which on they are taken for data and not for names of fields."""
DRAFT = "https://json-schema.org/draft/2020-12/schema"
KINDS: Mapping[type, str] = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array"}


@dataclass(frozen=True, kw_only=True)
class Shape:
    """A schema, and what in it is a guess."""

    schema: dict[str, Json]
    guessed: tuple[str, ...]


def of(values: Sequence[Json]) -> Shape:
    """The schema of these answers."""
    guessed: list[str] = []
    return Shape(schema={"$schema": DRAFT, **_schema(values, (), guessed)}, guessed=tuple(guessed))


def places(values: Sequence[Json]) -> dict[str, list[Json]]:
    """Every value below these objects that a pointer through objects alone leads to, by the pointer."""
    found: dict[str, list[Json]] = {}
    for value in values:
        for name, inner in _within(value, ()):
            found.setdefault(name, []).append(inner)
    return found


def _within(value: Json, above: tuple[str, ...]) -> Iterator[tuple[str, Json]]:
    if above:
        yield pointer.write(above), value
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _within(inner, (*above, name))


def _schema(values: Sequence[Json], at: tuple[str, ...], guessed: list[str]) -> dict[str, Json]:
    kinds = sorted({_kind(value) for value in values})
    if "number" in kinds:
        kinds = [kind for kind in kinds if kind != "integer"]
    schema: dict[str, Json] = {"type": kinds[0] if len(kinds) == 1 else [*kinds]}
    if chosen := _choices(values):
        guessed.append(f"{_name(at)} is always one of {len(chosen)} values: an enum")
        schema["enum"] = chosen
    if objects := [value for value in values if isinstance(value, dict)]:
        schema |= _of_objects(objects, at, guessed)
    if lists := [value for value in values if isinstance(value, list)]:
        items = [item for one in lists for item in one]
        if items:
            schema["items"] = _schema(items, (*at, "*"), guessed)
        else:
            guessed.append(f"{_name(at)} is always empty: nothing is said of its items")
    return schema


def _kind(value: Json) -> str:
    return "null" if value is None else KINDS.get(type(value), "object")


def _choices(values: Sequence[Json]) -> list[Json]:
    """The values of a field that has few, the text they are in order; empty for any other."""
    texts = [value for value in values if isinstance(value, str)]
    count = Counter(texts)
    fits = 1 < len(count) <= FEW and len(texts) >= OFTEN * len(count) and max(map(len, count)) <= LONGEST
    if not fits or any(value is not None and not isinstance(value, str) for value in values):
        return []
    return [*sorted(count), *([None] if len(texts) < len(values) else [])]


def _of_objects(objects: Sequence[Mapping[str, Json]], at: tuple[str, ...], guessed: list[str]) -> dict[str, Json]:
    count = Counter(name for one in objects for name in one)
    names = list(dict.fromkeys(name for one in objects for name in one))
    everywhere = [name for name in names if count[name] == len(objects)]
    if len(names) > MANY_KEYS and not everywhere:
        guessed.append(f"{_name(at)} has {len(names)} different keys, none in all: any key is let through")
        return {"additionalProperties": _schema([value for one in objects for value in one.values()], at, guessed)}
    properties: dict[str, Json] = {
        name: _schema([one[name] for one in objects if name in one], (*at, name), guessed) for name in names
    }
    if optional := [name for name in names if count[name] < len(objects)]:
        said = ", ".join(_name((*at, name)) for name in optional[:FEW])
        guessed.append(f"{said} may be left out: not in every answer")
    return {"properties": properties, "required": [*everywhere], "additionalProperties": False}


def _name(at: tuple[str, ...]) -> str:
    return pointer.write(at) or "the answer"
