"""What the Hub asks of a README's YAML block; a card it would refuse is refused here too."""

import json
import re
from typing import Any

import yaml
from jsonschema import Draft202012Validator

import schemas
from schemas import plain_yaml


def _one_or_more(item: dict[str, Any]) -> dict[str, Any]:
    return {"anyOf": [item, {"type": "array", "items": item}]}


_WORD = {"type": "string", "minLength": 1}
_REPOSITORY = {"type": "string", "pattern": r"^[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?$"}
_TYPED = {"type": "object", "required": ["type"], "properties": {"type": _WORD, "name": _WORD}}
_RESULT = {
    "type": "object",
    "required": ["task", "metrics"],
    "properties": {
        "task": _TYPED,
        "dataset": {**_TYPED, "required": ["type", "name"]},
        "metrics": {"type": "array", "minItems": 1, "items": {**_TYPED, "required": ["type", "value"]}},
    },
}
_MODEL = {
    "type": "object",
    "required": ["name", "results"],
    "properties": {"name": _WORD, "results": {"type": "array", "items": _RESULT}},
}
_CARD = Draft202012Validator(
    {
        "type": "object",
        "properties": {
            "license": _one_or_more(schemas.load("licence")),
            # ISO 639, with a script or region, or one of the two that the Hub takes beside it.
            "language": _one_or_more(
                {"type": "string", "pattern": "^([a-z]{2,3}(-[A-Za-z]{2,4})?|code|multilingual)$"}
            ),
            "base_model": _one_or_more(_REPOSITORY),
            "datasets": _one_or_more(_WORD),
            "metrics": _one_or_more(_WORD),
            "tags": {"type": "array", "items": _WORD},
            "library_name": _WORD,
            "pipeline_tag": _WORD,
            "model-index": {"type": "array", "items": _MODEL},
        },
    }
)
_BLOCK = re.compile(r"\s*---[ \t]*\r?\n(.*?\r?\n)??---[ \t]*(\r?\n|$)", re.DOTALL)

LARGEST = 128 * 1024
"""Characters of a card in which its YAML block ends: PyYAML takes a second for as many."""


def read_card(text: str) -> tuple[dict[str, Any], list[str]]:
    """The YAML block of a README and the reasons to refuse it; both empty where there is no block."""
    block = _BLOCK.match(text[:LARGEST])
    if block is None and len(text) > LARGEST and text[:LARGEST].lstrip().startswith("---"):
        return {}, [f"the YAML block of README.md does not end within {LARGEST:,} characters"]
    if block is None or not (block[1] or "").strip():
        return {}, []
    try:
        data = plain_yaml.read(block[1])
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        return {}, [f"the YAML block of README.md cannot be read: {error}"]
    if not isinstance(data, dict):
        return {}, ["the YAML block of README.md is not a mapping"]
    try:
        data = json.loads(json.dumps(data, default=str, allow_nan=False))  # dates become text
    except (TypeError, ValueError) as error:
        return {}, [f"the YAML block of README.md holds what JSON cannot: {error}"]
    errors = sorted(_CARD.iter_errors(data), key=lambda error: list(map(str, error.absolute_path)))
    return data, [f'"{".".join(map(str, error.absolute_path))}": {error.message[:300]}' for error in errors]
