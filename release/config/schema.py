"""schemas/config.schema.json, made from the declared settings: ``python -m release.config.schema`` writes it."""

import json
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from release.config.settings import Config

FILE = Path(__file__).parents[2] / "schemas" / "config.schema.json"
ABOUT = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "$comment": "Made by `python -m release.config.schema`. A description is the rule, as messages quote it ('expected"
    " a ...'). Examples are valid values, and what messages suggest to write.",
    "title": "release.yaml",
    "description": "sections of settings",
}
_IMPORTED = {"required": ["adapter"], "properties": {"adapter": {"required": ["method"], "properties": {"method": {"const": "imported"}}}}}  # fmt: skip  # noqa: E501
_EMBEDDED = {"required": ["source"], "properties": {"source": {"const": "embedded"}}}
NEEDS_A_REVISION = {
    "if": {"anyOf": [_IMPORTED, {"properties": {"model": _EMBEDDED}}]},
    "else": {"properties": {"model": {"required": ["revision"]}}},
}
Schema = dict[str, Any]


def text() -> str:
    """The file's text: a line for each setting."""
    # what a setting's words say is read from the source of each class, which no reading of a release.yaml waits for
    Config.__pydantic_config__["use_attribute_docstrings"] = True
    made = TypeAdapter(Config).json_schema()
    schema = _whole(made, made.pop("$defs"))
    sections = schema["properties"]
    sections["gates"]["properties"] = {"weaker_because": sections.pop("weaker_because")}
    return _written(ABOUT | schema | NEEDS_A_REVISION | ABOUT) + "\n"


def _whole(rule: Schema, named: Schema) -> Schema:
    """A rule without references and titles, and with all that messages need."""
    rule = named.get(rule.get("$ref", "").rpartition("/")[2], {}) | rule
    rule = {key: value for key, value in rule.items() if key not in {"$ref", "title"} and value is not None}
    if "description" in rule:
        rule["description"] = " ".join(rule["description"].split())
    if "properties" in rule:
        rule["properties"] = {name: _setting(inner, named) for name, inner in rule["properties"].items()}
    if isinstance(rule.get("additionalProperties"), dict):  # a section whose keys are names of the user's own
        inner = _whole(rule["additionalProperties"], named)
        if "properties" in inner:
            about = str(inner["description"]).removesuffix(".")
            inner["description"] = f"{about[:1].lower()}{about[1:]}"
        rule["additionalProperties"] = inner
    return rule


def _setting(rule: Schema, named: Schema) -> Schema:
    """The same, with the words and the examples that choices have by themselves, and the default as an example."""
    rule = _whole(rule, named)
    choices = [True, False] if rule.get("type") == "boolean" else rule.get("enum", [])
    first = [rule["default"]] if "default" in rule and "properties" not in rule else []
    others = rule.get("examples", [choice for choice in choices if choice not in first][: 2 - len(first)])
    if "enum" in rule:
        del rule["type"]
    words = {"description": _in_words(choices)} if choices else {}
    examples = {"examples": [*first, *others]} if first or others else {}
    return words | rule | examples


def _in_words(choices: list[Any]) -> str:
    if len(choices) > 4:
        return f"one of {', '.join(choices)}"
    *most, last = (f"'{choice}'" if isinstance(choice, str) else json.dumps(choice) for choice in choices)
    return f"{', '.join(most)} or {last}"


def _written(rule: Schema, indent: str = "") -> str:
    if "properties" not in rule:
        return json.dumps(rule, ensure_ascii=False)
    lines = [f'{indent}  "{key}": {json.dumps(value)}' for key, value in rule.items() if key != "properties"]
    settings = [f'{indent}    "{name}": {_written(one, f"{indent}    ")}' for name, one in rule["properties"].items()]
    inside = ",\n".join(settings)
    lines.append(f'{indent}  "properties": {{\n{inside}\n{indent}  }}')
    return "{\n" + ",\n".join(lines) + f"\n{indent}}}"


if __name__ == "__main__":
    FILE.write_text(text(), "utf-8")
