"""The format of ``release.json`` and the files of a release as tables, in docs/record.md.

``python -m tests.helpers.record_page`` writes both anew: from schemas/record.schema.json, and from
``release.values.layout``.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import schemas
from release.values import layout
from tests.helpers.line import ROOT

PAGE = ROOT / "docs" / "record.md"
SCHEMA = schemas.load("record")
HEAD = "| field | what it is | there | what it says |\n|---|---|---|---|"
PATTERNS = {
    "^[0-9a-f]{40}$": "40 hex digits",
    "^([0-9a-f]{40}|[0-9a-f]{64})$": "40 or 64 hex digits",
    "^[a-z0-9][a-z0-9._:/-]*@sha256:[0-9a-f]{64}$": "a name, `@sha256:` and 64 hex digits",
    "^sha256:[0-9a-f]{64}$": "`sha256:` and 64 hex digits",
    "^[A-Z]{3}$": "three capital letters",
    "^([1-9][0-9]?|100|seed-[0-9]{1,10})$": "a number, or `seed-` and one",
}
"""What is said of a pattern instead of the pattern."""

Node = Mapping[str, Any]


def files() -> str:
    """Each file of a release with what may be done with it."""
    lines = ["| file | what it holds | always | judged | compared | listed |", "|---|---|:-:|:-:|:-:|:-:|"]
    for file in layout.FILES:
        marks = (file.needed, file.judged, file.compared, file.listed)
        lines.append(f"| `{file.name}` | {file.holds} | {' | '.join('x' if mark else '' for mark in marks)} |")
    return "\n".join(lines)


def fields() -> str:
    """A table for the record, one for each object in it, and one for each that several of them hold."""
    later, lines = _later(), ["### The record", "", HEAD]
    lines += [_row(SCHEMA, name, name, later) for name in SCHEMA["properties"]]
    for name, node in SCHEMA["properties"].items():
        if "properties" in node:
            lines += [
                "",
                f"### `{name}`",
                "",
                HEAD,
                *_rows(
                    node,
                    "",
                    {key[len(name) + 1 :]: since for key, since in later.items() if key.startswith(f"{name}.")},
                ),
            ]
    for name, node in SCHEMA["$defs"].items():
        if "properties" in node:
            lines += ["", f"### *{name}*", "", _sentence(node["description"]), "", HEAD, *_rows(node, "", {})]
    return "\n".join(lines)


def _later() -> dict[str, int]:
    """The version since which a field must be there, by its dotted name."""
    found: dict[str, int] = {}
    for one in SCHEMA["allOf"]:
        version, asked = one["if"]["properties"]["record"]["minimum"], one["then"]
        inside = {name: inner.get("required", ()) for name, inner in asked.get("properties", {}).items()}
        names = [*asked.get("required", ()), *(f"{name}.{field}" for name, all_ in inside.items() for field in all_)]
        found |= dict.fromkeys(names, version)
    return found


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


def _rows(node: Node, within: str, later: Mapping[str, int]) -> Iterator[str]:
    """The fields of an object, and of the objects in it; ``later``: what later versions ask for beside the rest."""
    for name, one in node["properties"].items():
        yield _row(node, name, f"{within}{name}", later)
        for inner, step in _inside(one):
            yield from _rows(inner, f"{within}{name}{step}.", {})


def _row(node: Node, name: str, shown: str, later: Mapping[str, int]) -> str:
    one = node["properties"][name]
    there = "always" if name in node["required"] else f"since {later[name]}" if name in later else "not always"
    return f"| `{shown}` | {_kind(one)} | {there} | {_says(one)} |"


def _says(node: Node) -> str:
    """A field's description; without one, that of what it is."""
    name = node.get("$ref", "").rpartition("/")[2]
    held = [SCHEMA["$defs"][name]] if name not in ("", "sha256") else node.get("anyOf", [])
    return str(next((one["description"] for one in (node, *held) if "description" in one), ""))


def _inside(node: Node) -> Iterator[tuple[Node, str]]:
    """The objects with fields of their own that a value is or holds, and how one comes to them."""
    for one in node.get("anyOf", [node]):
        for held, step in ((one, ""), (one.get("items"), "[]"), (one.get("additionalProperties"), ".NAME")):
            if isinstance(held, Mapping) and "properties" in held:
                yield held, step


def _kind(node: Node) -> str:
    """What a field's value is, in words."""
    match node:
        case {"$ref": str(ref)}:
            name = ref.rpartition("/")[2]
            return f"*{name}*" if "properties" in SCHEMA["$defs"][name] else name
        case {"anyOf": options}:
            return " or ".join(map(_kind, options))
        case {"type": "array", "items": {"prefixItems": parts}}:
            return "list of " + " with ".join(map(_kind, parts))
        case {"type": "array", "items": item}:
            return f"list of {_kind(item)}"
        case {"type": "object", "additionalProperties": Mapping() as held}:
            return f"{_kind(held)} by name"
        case _:
            return _plain(node)


def _plain(node: Node) -> str:
    match node:
        case {"const": value}:
            return f"`{json.dumps(value)}`"
        case {"enum": values}:
            return " or ".join(f"`{value}`" for value in values)
        case {"pattern": str(pattern)}:
            return PATTERNS[pattern]
        case {"type": str(kind), "minimum": 1}:
            return f"{kind} ≥ 1"
        case _:
            return str(node.get("type", "any"))


def written() -> str:
    """The page with its two tables made anew."""
    text = PAGE.read_text("utf-8")
    for name, part in (("files", files()), ("fields", fields())):
        begin, end = f"<!-- {name}: python -m tests.helpers.record_page -->", f"<!-- end of {name} -->"
        before, _, rest = text.partition(begin)
        text = f"{before}{begin}\n{part}\n{end}{rest.partition(end)[2]}"
    return text


if __name__ == "__main__":
    PAGE.write_text(written(), "utf-8")
