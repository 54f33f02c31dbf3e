"""What the Hub asks of a README's YAML block; a card it would refuse is refused here too."""

import json
import re
from typing import Any

import yaml
from jsonschema import Draft202012Validator

# The licence ids that the Hub lists in its documentation.
_LICENSES = """
afl-3.0 agpl-3.0 apache-2.0 apple-amlr apple-ascl artistic-2.0 bigcode-openrail-m bigscience-bloom-rail-1.0
bigscience-openrail-m bsd bsd-2-clause bsd-3-clause bsd-3-clause-clear bsl-1.0 c-uda cc cc-by-2.0 cc-by-2.5 cc-by-3.0
cc-by-4.0 cc-by-nc-2.0 cc-by-nc-3.0 cc-by-nc-4.0 cc-by-nc-nd-3.0 cc-by-nc-nd-4.0 cc-by-nc-sa-2.0 cc-by-nc-sa-3.0
cc-by-nc-sa-4.0 cc-by-nd-4.0 cc-by-sa-3.0 cc-by-sa-4.0 cc0-1.0 cdla-permissive-1.0 cdla-permissive-2.0
cdla-sharing-1.0 creativeml-openrail-m deepfloyd-if-license ecl-2.0 epl-1.0 epl-2.0 etalab-2.0 eupl-1.1 eupl-1.2
fair-noncommercial-research-license gemma gfdl gpl gpl-2.0 gpl-3.0 grok2-community h-research intel-research isc lgpl
lgpl-2.1 lgpl-3.0 lgpl-lr llama2 llama3 llama3.1 llama3.2 llama3.3 llama4 lppl-1.3c mit mpl-2.0 ms-pl ncsa odbl odc-by
ofl-1.1 openmdw-1.0 openrail openrail++ osl-3.0 other pddl postgresql unknown unlicense wtfpl zlib
"""


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
            "license": _one_or_more({"enum": _LICENSES.split()}),
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


class _Loader(yaml.SafeLoader):
    """No aliases: a few hundred bytes of them stand for gigabytes of JSON."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases (*name) are not allowed")
        return super().compose_node(parent, index)


def read_card(text: str) -> tuple[dict[str, Any], list[str]]:
    """The YAML block of a README and the reasons to refuse it; both empty where there is no block."""
    block = _BLOCK.match(text)
    if block is None or not (block[1] or "").strip():
        return {}, []
    try:
        data = yaml.load(block[1], _Loader)  # noqa: S506 - a SafeLoader
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
