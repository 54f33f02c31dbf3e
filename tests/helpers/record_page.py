"""The record field by field and a release's files, in docs/record.md, from schema and layout.

``python -m tests.helpers.record_page`` writes both anew.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import schemas
from release.values import layout
from tests.helpers.line import ROOT

DOCS = ROOT / "docs" / "record.md"


def fields(schema: Mapping[str, Any], whole: Mapping[str, Any], above: str = "") -> Iterator[str]:
    """A line for each field, those within it after it."""
    for name, field in schema.get("properties", {}).items():
        found = _resolved(field, whole)
        needed = "" if name in schema.get("required", ()) else "optional"
        told = found.get("description", field.get("description", ""))
        yield f"| `{above}{name}` | {_kind(found, whole)} | {needed} | {told} |"
        yield from fields(found, whole, f"{above}{name}.")
        if "properties" in found.get("items", {}):
            yield from fields(found["items"], whole, f"{above}{name}[].")


def _resolved(field: Mapping[str, Any], whole: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a reference refers to, with what is said beside it."""
    if "$ref" not in field:
        return field
    return {**whole["$defs"][field["$ref"].rpartition("/")[2]], **{k: v for k, v in field.items() if k != "$ref"}}


def _kind(field: Mapping[str, Any], whole: Mapping[str, Any]) -> str:
    if "anyOf" in field:
        return " or ".join(_kind(_resolved(one, whole), whole) for one in field["anyOf"])
    if "const" in field or "enum" in field:
        return ", ".join(f"`{str(one).lower()}`" for one in field.get("enum", [field.get("const")]))
    if field.get("pattern", "").startswith("^[0-9a-f]{64}"):
        return "sha256"
    return str(field.get("type", "any"))


def files() -> str:
    """Each file of a release."""
    rows = [
        f"| `{file.name}` | {file.holds} | {'always' if file.needed else ''} | {'yes' if file.listed else 'no'} |"
        for file in layout.FILES
    ]
    return "\n".join(["| file | holds | there | in `files` of the record |", "|---|---|---|---|", *rows])


def record() -> str:
    """Each field of release.json."""
    schema = schemas.load("record")
    return "\n".join(["| field | type | | what it says |", "|---|---|---|---|", *fields(schema, schema)])


def written() -> str:
    """The page with both tables made anew."""
    text = DOCS.read_text("utf-8")
    for name, part in (("files", files()), ("fields", record())):
        begin, end = f"<!-- {name}: python -m tests.helpers.record_page -->", f"<!-- end of {name} -->"
        before, _, rest = text.partition(begin)
        text = f"{before}{begin}\n{part}\n{end}{rest.partition(end)[2]}"
    return text


if __name__ == "__main__":
    DOCS.write_text(written(), "utf-8")
