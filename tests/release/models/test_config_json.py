"""A config.json of which nothing can be built is refused with what to take instead."""

from pathlib import Path
from typing import Any

import pytest

from release.config.settings import Model
from release.models import architecture, meta_device
from release.values.errors import PreflightError
from tests.helpers.tiny_configs import FAMILIES, LLAMA, written


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"model_type": "qwen2_5_vl"}, r"Use the text model of its family, such as Qwen/Qwen2.5-7B-Instruct"),
        ({"model_type": "qwen3_vl", "architectures": ["Qwen3VLForConditionalGeneration"]}, "it is Qwen3VLForCond"),
        ({"model_type": "mistral3"}, "such as mistralai/Mistral-Small-24B-Instruct-2501"),
        (
            {"model_type": "llava", "text_config": {"model_type": "llama", "_name_or_path": "lmsys/vicuna-7b-v1.5"}},
            "such as lmsys/vicuna-7b-v1.5",
        ),
        ({"model_type": "t5"}, "Use a text model of its family"),
        ({"model_type": "llama9"}, "its model_type 'llama9' is none that transformers .* a newer version"),
        (
            {"model_type": "own", "auto_map": {"AutoModelForCausalLM": "modeling_own.Own"}},
            r"needs code of its own, and model.trust_remote_code is false.*\{trust_remote_code: true\}",
        ),
        ({"model_type": "own", "auto_map": {"AutoModel": "modeling_own.Own"}}, "or no language model"),
        ({**LLAMA, "hidden_size": "wide"}, "cannot read its config.json"),
        ({**LLAMA, "hidden_act": "no such"}, "cannot build a model of its config.json"),
    ],
)
def test_what_transformers_cannot_build_as_a_language_model_is_refused(
    tmp_path: Path, said: dict[str, Any], why: str
) -> None:
    with pytest.raises(PreflightError, match=why):
        meta_device.build(written(tmp_path, said))


def test_code_that_nobody_needs_is_not_asked_for(tmp_path: Path) -> None:
    """Phi-3 brings code for older versions, and transformers has its own."""
    said = {**FAMILIES["phi3"], "auto_map": {"AutoConfig": "own.Config", "AutoModelForCausalLM": "own.Model"}}

    assert meta_device.build(written(tmp_path, said)).name == "Phi3ForCausalLM"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "its config.json cannot be read"),
        ("{", "its config.json cannot be read"),
        ("[]", "its config.json names no model_type"),
        ("{}", "its config.json names no model_type"),
        ('{"model_type": null}', "its config.json names no model_type"),
    ],
)
def test_a_config_json_that_says_nothing_is_refused(tmp_path: Path, text: str, why: str) -> None:
    model = Model(base_model_id="someone/broken", revision="0" * 40)
    with pytest.raises(PreflightError, match=f"someone/broken cannot be used as a base model: {why}"):
        architecture.read(written(tmp_path, text), tmp_path / "kept.json", model)
    (tmp_path / "config.json").unlink()
    with pytest.raises(PreflightError, match=r"it has no config\.json"):
        architecture.read(tmp_path, tmp_path / "kept.json", model)
