"""Whether an answer that fits a schema can have something at a place, and of which type: asked once, at load.

Only what is certain counts: where a schema leaves a place open, or is too deep to follow, everything can be there.
"""

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias
from urllib.parse import unquote

from gates import pointer
from gates.canonical import Json
from gates.pointer import EACH
from gates.schema_keywords import matches

DEPTH = 40
"""References and parts in each other that are followed."""
MOST = 2000
"""Places that are listed to find the one that was meant."""
TYPES: Mapping[str, tuple[type, ...]] = {
    "string": (str,),
    "array": (list,),
    "object": (dict,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}
Part: TypeAlias = Json
"""A subschema: an object, true or false."""


@dataclass(frozen=True, kw_only=True)
class Reach:
    """The places of one schema."""

    schema: Mapping[str, Json]

    @property
    def certain(self) -> bool:
        """Whether references lead where they seem to: no part has an address of its own."""
        return not any(_addressed(one) for one in self.schema.values())

    def at(self, place: str, *, each: bool = False) -> Part:
        """What the schema says of a place; False where nothing can be there. ``each``: ``*`` is every member."""
        part: Part = dict(self.schema)
        for token in pointer.parse(place):
            part = self._child(part, EACH if each and token == EACH else f"/{token}", 0)
        return part

    def can_be(self, part: Part, kind: str, depth: int = 0) -> bool:
        """Whether a value of this type fits; true where it is not certain that none does."""
        if part is False:
            return False
        if not isinstance(part, dict) or depth > DEPTH:
            return True
        found = [part["const"]] if "const" in part else part.get("enum")
        if isinstance(found, list) and not any(_is(value, kind) for value in found):
            return False
        types = part.get("type", kind)
        named = {"number" if one == "integer" else one for one in (types if isinstance(types, list) else [types])}
        if kind not in named:
            return False
        return all(any(self.can_be(one, kind, depth + 1) for one in ways) for ways in self._ways(part))

    def member(self, part: Part, token: str) -> Part:
        """What a part says of a member by its name, or of every one; False where it can have none."""
        return self._child(part, EACH if token == EACH else f"/{token}", 0)

    def nearest(self, place: str) -> str:
        """The place that the schema names and that comes nearest; empty where none is near."""
        named = [one for one, _ in zip(self._places(dict(self.schema), "", 0), range(MOST), strict=False)]
        return next(iter(difflib.get_close_matches(place, named, n=1, cutoff=0.5)), "")

    def _ways(self, part: Mapping[str, Json]) -> list[Sequence[Part]]:
        """What must hold beside the part itself: of each list one."""
        several = part.get("allOf")
        ways: list[Sequence[Part]] = [[one] for one in several] if isinstance(several, list) else []
        ways += [one for name in ("anyOf", "oneOf") if isinstance(one := part.get(name), list)]
        for name in ("$ref", "$dynamicRef", "$recursiveRef"):
            if isinstance(reference := part.get(name), str):
                ways.append([self._target(reference)])
        return ways

    def _target(self, reference: str) -> Part:
        """What a reference leads to in this file; True where that is not certain."""
        if not re.fullmatch("#(/.*)?", reference):
            return True
        try:
            found = pointer.get(dict(self.schema), unquote(reference[1:]))
        except ValueError:
            return True
        return True if isinstance(found, pointer.Missing) else found

    def _child(self, part: Part, token: str, depth: int) -> Part:
        """What a part says of a member; False where it can have none."""
        if part is False:
            return False
        if not isinstance(part, dict) or depth > DEPTH:
            return True
        own = self._own(part, token)
        if own is False:
            return False
        parts: list[Part] = [] if own is True else [own]
        for ways in self._ways(part):
            found = [one for way in ways if (one := self._child(way, token, depth + 1)) is not False]
            if not found:
                return False
            if not any(one is True for one in found):
                parts.append({"anyOf": found})
        return {"allOf": parts} if parts else True

    def _own(self, part: Mapping[str, Json], token: str) -> Part:
        """The same of the part alone."""
        fixed = [part["const"]] if "const" in part else part.get("enum")
        if isinstance(fixed, list):
            return any(isinstance(one, dict | list) for one in fixed)
        ways = [part] if "type" not in part else [{**part, "type": one} for one in _listed(part["type"])]
        found: list[Part] = []
        for way in ways:
            kind = way.get("type")
            if kind in (None, "object") and token != EACH:
                found.append(_member(way, token[1:]))
            if kind in (None, "array") and (token == EACH or pointer.INDEX.fullmatch(token[1:])):
                found.append(_item(way, token))
        possible = [one for one in found if one is not False]
        if not possible:
            return False
        return True if any(one is True for one in possible) else {"anyOf": possible}

    def _places(self, part: Part, at: str, depth: int) -> Iterator[str]:
        if at:
            yield at
        if not isinstance(part, dict) or depth > DEPTH // 4:
            return
        named = part.get("properties")
        for name, inner in named.items() if isinstance(named, dict) else ():
            yield from self._places(inner, at + pointer.write([name]), depth + 1)
        if isinstance(part.get("items"), dict):
            yield from self._places(part["items"], f"{at}/{EACH}", depth + 1)
        for ways in self._ways(part):
            for one in ways:
                yield from (found for found in self._places(one, at, depth + 1) if found != at)


def _addressed(part: Json) -> bool:
    inner = part.values() if isinstance(part, dict) else part if isinstance(part, list) else ()
    return (isinstance(part, dict) and "$id" in part) or any(map(_addressed, inner))


def _listed(value: Json) -> list[Json]:
    return value if isinstance(value, list) else [value]


def _is(value: Json, kind: str) -> bool:
    return isinstance(value, TYPES[kind]) and (kind == "boolean") == isinstance(value, bool)


def _member(part: Mapping[str, Json], name: str) -> Part:
    named, patterns = part.get("properties"), part.get("patternProperties")
    if isinstance(named, dict) and name in named:
        return named[name]
    if isinstance(patterns, dict):
        try:
            found = [inner for pattern, inner in patterns.items() if matches(pattern, name)]
        except ValueError:
            return True
        if found:
            return {"allOf": found}
    others = part.get("additionalProperties", True)
    return others if isinstance(others, bool | dict) else True


def _item(part: Mapping[str, Json], token: str) -> Part:
    first = part.get("prefixItems", part["items"] if isinstance(part.get("items"), list) else None)
    rest = part.get("items", True) if not isinstance(part.get("items"), list) else part.get("additionalItems", True)
    if not isinstance(first, list):
        return rest
    if token == EACH:
        return True
    number = int(token[1:])
    return first[number] if number < len(first) else rest
