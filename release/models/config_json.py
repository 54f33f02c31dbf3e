"""A base model's config.json: read as JSON and by transformers, or refused with what to take instead."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from release.config.settings import Model
from release.values.errors import PreflightError

if TYPE_CHECKING:
    from transformers import PretrainedConfig

QUANTIZED_ENDINGS = ("-unsloth-bnb-4bit", "-bnb-4bit", "-bnb-8bit")
"""How a repository of quantized weights is named after the one that it was made of."""
TEXT_MODELS = {
    "qwen2_vl": "Qwen/Qwen2.5-7B-Instruct",
    "qwen2_5_vl": "Qwen/Qwen2.5-7B-Instruct",
    "qwen3_vl": "Qwen/Qwen3-4B-Instruct-2507",
    "qwen3_vl_moe": "Qwen/Qwen3-30B-A3B-Instruct-2507",
    "mistral3": "mistralai/Mistral-Small-24B-Instruct-2501",
    "llava": "mistralai/Mistral-7B-Instruct-v0.3",
    "llava_next": "mistralai/Mistral-7B-Instruct-v0.3",
    "paligemma": "google/gemma-2-2b-it",
    "idefics3": "HuggingFaceTB/SmolLM2-1.7B-Instruct",
    "smolvlm": "HuggingFaceTB/SmolLM2-1.7B-Instruct",
    "aya_vision": "CohereLabs/c4ai-command-r7b-12-2024",
    "cohere2_vision": "CohereLabs/c4ai-command-r7b-12-2024",
}
"""A model of text alone in the family of a larger one, by the larger one's ``model_type``."""
_QUANTIZATION = ("quantization_config", "compression_config")


def parsed(path: Path) -> Mapping[str, object]:
    """What a config.json says; ``PreflightError`` where it is none of a model."""
    why = ""
    try:
        found = json.loads(path.read_bytes())
    except FileNotFoundError:
        found, why = None, "it has no config.json"
    except (OSError, ValueError) as error:
        found, why = None, f"its config.json cannot be read ({error})"
    if not why and not (isinstance(found, dict) and isinstance(found.get("model_type"), str)):
        why = "its config.json names no model_type"
    if why:
        raise PreflightError(
            f"{why}, so nobody can tell what to build of its weights. Use a revision that has a whole config.json, or "
            "another base model."
        )
    return dict(found)


def loaded(path: Path) -> "PretrainedConfig":
    """The configuration as transformers reads it; ``PreflightError`` where it knows no such model of text."""
    import transformers
    from transformers import AutoConfig
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING

    here = f"transformers {transformers.__version__}"
    said = parsed(path / "config.json" if path.is_dir() else path)
    kind = str(said["model_type"])
    if kind not in CONFIG_MAPPING_NAMES:
        raise PreflightError(_unknown(kind, _section(said.get("auto_map")), here))
    try:
        config = AutoConfig.from_pretrained(path, trust_remote_code=False)
    except Exception as error:  # noqa: BLE001  every configuration checks its values in its own way
        raise PreflightError(
            f"{here} cannot read its config.json: {brief(error)}. The file is damaged, or is for another version. "
            "Use another revision, or another base model."
        ) from None
    if type(config) not in MODEL_FOR_CAUSAL_LM_MAPPING:
        raise PreflightError(_no_text_model(kind, said, here))
    return config


def _unknown(kind: str, auto_map: Mapping[str, object], here: str) -> str:
    if "AutoModelForCausalLM" in auto_map:
        return (
            f"its model_type {kind!r} is none that {here} knows, so it needs code of its own, and "
            "model.trust_remote_code is false. That code would run with your rights on this machine. Read it, then "
            "write `model: {trust_remote_code: true}`; or use another base model."
        )
    return (
        f"its model_type {kind!r} is none that {here} knows. It is newer than this program, or no language model. "
        "Use another base model, or a newer version of this program."
    )


def _no_text_model(kind: str, said: Mapping[str, object], here: str) -> str:
    inner = _section(said.get("text_config")).get("_name_or_path")
    text = inner if _is_repository(inner) else TEXT_MODELS.get(kind)
    named = said.get("architectures")
    classes = ", ".join(map(str, named)) if isinstance(named, list) and named else kind
    instead = f"Use the text model of its family, such as {text}" if text else "Use a text model of its family"
    return (
        f"it is {classes}, which {here} does not load as a language model (AutoModelForCausalLM): it takes images or "
        f"sound too, or is no decoder. {instead} (`model.base_model_id` and a commit as `model.revision`), "
        "or a newer version of this program."
    )


def quantized_problem(said: Mapping[str, object], model: Model, base_model: str | None) -> str:
    """Why weights that are quantized already cannot be trained over, and what to take; empty where they are not."""
    inner = _section(said.get("text_config"))
    how = next((one for where in (said, inner) for one in map(where.get, _QUANTIZATION) if one), None)
    if how is None:
        return ""
    method = how.get("quant_method") if isinstance(how, dict) else None
    if method is None and isinstance(how, dict) and (how.get("load_in_4bit") or how.get("load_in_8bit")):
        method = "bitsandbytes"
    source = _unquantized(said, model.base_model_id, base_model)
    instead = (
        f"Write `model: {{base_model_id: {source}}}`, and as its revision a commit of that repository."
        if source
        else "Use the repository that it was made of: its page on the Hub usually names it."
    )
    return (
        f"{model.base_model_id} holds weights that are quantized already ({method or 'its config.json says so'}). An "
        "adapter is trained over unquantized weights here, and adapter.method: qlora brings them to four bits itself. "
        f"{instead}"
    )


def _unquantized(said: Mapping[str, object], base_model_id: str, base_model: str | None) -> str | None:
    """The repository that quantized weights were made of, as far as anything names it."""
    ending = next((one for one in QUANTIZED_ENDINGS if base_model_id.endswith(one)), None)
    renamed = base_model_id.removesuffix(ending) if ending and base_model_id.startswith("unsloth/") else None
    known = (renamed, base_model, said.get("_name_or_path"))
    return next((str(one) for one in known if _is_repository(one) and one != base_model_id), None)


def _is_repository(name: object) -> bool:
    """Whether it is an id on the Hub, of weights that are not quantized by their name."""
    whole = isinstance(name, str) and re.fullmatch(r"[\w-][\w.-]*/[\w-][\w.-]*", name)
    return bool(whole) and not str(name).endswith(QUANTIZED_ENDINGS)


def _section(value: object) -> Mapping[str, object]:
    """A section of a config.json; empty where it is none."""
    return value if isinstance(value, dict) else {}


def brief(error: BaseException) -> str:
    """An error in one line: its class, and the first 300 characters of what it says."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {' '.join(lines)[:300]}".rstrip(". ")
