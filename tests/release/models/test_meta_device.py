"""What is built of a config.json, as PEFT and bitsandbytes see the modules of a model with weights."""

import json
from pathlib import Path

import pytest

from release.config import reading
from release.models import architecture, built_modules, lora_targets, meta_device
from release.planning import estimates
from tests.helpers.line import ROOT
from tests.helpers.tiny_configs import FAMILIES, made, written

PEFT_WARNS = ("ignore:`is_gradient_checkpointing` is deprecated", "ignore:fan_in_fan_out is set to False")


@pytest.mark.filterwarnings(*PEFT_WARNS)
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("short", [True, False], ids=["by name", "all-linear"])
def test_the_adapter_is_where_peft_puts_it(family: str, short: bool, tmp_path: Path) -> None:
    """Module by module, and weight by weight, for the names that a refusal would offer."""
    from peft import LoraConfig, get_peft_model

    seen = meta_device.build(written(tmp_path, FAMILIES[family]))
    targets = seen.endings if short else architecture.ALL_LINEAR
    if not short and seen.fused_names:
        assert "all-linear, which PEFT takes for the router" in lora_targets.target_problems(seen, targets)[0]
        return
    asked = "all-linear" if targets == architecture.ALL_LINEAR else list(targets)
    lora = LoraConfig(r=2, target_modules=asked, exclude_modules=seen.exclude, task_type="CAUSAL_LM")
    model = get_peft_model(made(FAMILIES[family]), lora)
    carriers = {
        name.removeprefix("base_model.model.") for name, module in model.named_modules() if hasattr(module, "lora_A")
    }
    trained = sum(one.numel() for one in model.parameters() if one.requires_grad)
    configured = reading.load(
        ROOT / "release.yaml",
        {"adapter.lora.r": "2", "adapter.lora.target_modules": asked if isinstance(asked, str) else json.dumps(asked)},
    )

    assert carriers == seen.adapted(targets).keys()
    assert estimates.trainable(seen, configured) == trained
    assert lora_targets.target_problems(seen, targets) == []
    assert not [name for name in carriers if "vision" in name or "projector" in name]
    assert built_modules.excluded(made(FAMILIES[family])) == seen.exclude


@pytest.mark.parametrize("family", FAMILIES)
def test_what_bitsandbytes_quantizes_is_counted(family: str, tmp_path: Path) -> None:
    """By loading the model in four bits."""
    import torch
    from bitsandbytes.nn import Linear4bit
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    made(FAMILIES[family]).save_pretrained(tmp_path)
    seen = meta_device.build(tmp_path)
    four = BitsAndBytesConfig(load_in_4bit=True)
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path, quantization_config=four, dtype=torch.float32)
    counted = sum(one.in_features * one.out_features for one in loaded.modules() if isinstance(one, Linear4bit))

    assert seen.in_linear == counted
    assert seen.parameters == sum(one.numel() for one in made(FAMILIES[family]).parameters())
    assert bool(counted) == (architecture.method_problem(seen, "qlora") == "")
    assert architecture.method_problem(seen, "lora") == ""
