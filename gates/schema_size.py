"""How much a schema asks of one value: what every ``$ref`` in it leads to, counted where it stands."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from gates.canonical import Json

if TYPE_CHECKING:
    from referencing import Resource
    from referencing._core import Resolver

Schema: TypeAlias = Mapping[str, Json]
MOST = 10_000
"""Subschemas that one value may be checked against."""
BOUNDED = 100_000
"""Subschemas and entries of enums in all, each counted where a ``$ref`` leads to it, that jsonschema-rs checks."""
REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")
SAME_VALUE = {"allOf", "anyOf", "oneOf", "not", "if", "then", "else", "dependentSchemas", "dependencies"}
MEMBERS = {"properties", "patternProperties", "additionalProperties", "unevaluatedProperties", "propertyNames"} | {
    "items",
    "prefixItems",
    "additionalItems",
    "unevaluatedItems",
    "contains",
}
NAMED = {"properties", "patternProperties", "dependentSchemas", "dependencies"}
"""Keywords whose value names a schema for each of its keys."""
META = "https://json-schema.org/draft/", "http://json-schema.org/draft"


@dataclass(frozen=True, kw_only=True)
class Size:
    """What a schema asks."""

    same_value: float
    """Subschemas that one value is checked against; infinite where a reference leads to itself."""
    whole: float
    """Subschemas in all; infinite where they are recursive."""

    @property
    def bounded(self) -> bool:
        return self.whole <= BOUNDED

    @property
    def problem(self) -> str:
        """Why no answer could be checked, or an empty string."""
        if math.isinf(self.same_value):
            return (
                "a $ref leads back to itself for the same value, or on through hundreds of others: "
                "let it pass properties or items first"
            )
        if self.same_value > MOST:
            return (
                f"one value would be checked against {self.same_value:.3g} subschemas, at most {MOST} are: "
                "refer to each of $defs once, not again inside what it leads to"
            )
        return ""


LOOP = Size(same_value=math.inf, whole=math.inf)
DRAFT = Size(same_value=1, whole=math.inf)
"""A draft's own schema, which is recursive."""


def measure(schema: Schema) -> Size:
    """How much this schema asks of a value."""
    from jsonschema_specifications import REGISTRY  # type: ignore[import-untyped,unused-ignore]
    from referencing import Resource

    root: Resource[Json] = Resource.from_contents(dict(schema))
    base = root.id() or ""
    known: dict[int, Size] = {}
    try:
        whole = _size(root, REGISTRY.with_resource(base, root).resolver(base), known, {})
    except RecursionError:
        return LOOP
    return Size(same_value=max((whole.same_value, *(one.same_value for one in known.values()))), whole=whole.whole)


def _size(
    part: "Resource[Json]", resolver: "Resolver[Json]", known: dict[int, Size], on_the_way: Mapping[int, bool]
) -> Size:
    """``on_the_way``: the parts that led here, and whether a value was left for one of its members since."""
    contents, name = part.contents, id(part.contents)
    if not isinstance(contents, dict):
        return Size(same_value=1, whole=1)
    if name in known:
        return known[name]
    if name in on_the_way:
        return Size(same_value=0 if on_the_way[name] else math.inf, whole=math.inf)
    listed = contents.get("enum")
    same, whole = 1.0, 1.0 + (len(listed) if isinstance(listed, list) else 0)
    for key, inner in _inner(contents):
        if key in REFERENCES:
            size = _target(part, str(inner), resolver, known, {**on_the_way, name: False})
        else:
            below = part._specification.create_resource(inner)  # noqa: SLF001  # a part has the draft of the whole
            way = {**on_the_way, name: False} if key in SAME_VALUE else dict.fromkeys((*on_the_way, name), True)
            size = _size(below, resolver.in_subresource(below), known, way)
        same += 0 if key in MEMBERS else size.same_value
        whole += size.whole
    known[name] = Size(same_value=same, whole=whole)
    return known[name]


def _target(
    part: "Resource[Json]",
    reference: str,
    resolver: "Resolver[Json]",
    known: dict[int, Size],
    on_the_way: Mapping[int, bool],
) -> Size:
    from referencing.exceptions import Unresolvable

    try:
        found = resolver.lookup(reference)
    except Unresolvable:
        return DRAFT  # refused elsewhere
    if str(found.resolver._base_uri).startswith(META):  # noqa: SLF001
        return DRAFT
    return _size(part._specification.create_resource(found.contents), found.resolver, known, on_the_way)  # noqa: SLF001


def _inner(contents: Schema) -> Iterator[tuple[str, Json]]:
    """Each reference and each schema directly inside, with its keyword."""
    for key, value in contents.items():
        if key in REFERENCES:
            yield from [(key, value)] if isinstance(value, str) else []
        elif key in NAMED and isinstance(value, dict):
            yield from ((key, one) for one in value.values())
        elif key in SAME_VALUE | MEMBERS:
            yield from ((key, one) for one in (value if isinstance(value, list) else [value]))
