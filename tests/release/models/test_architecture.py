"""What transformers builds of a base is built once and kept, and tells in seconds what would fail after a download."""

import json
from pathlib import Path
from typing import Any

import pytest

from release import inputs, preflight
from release.config import reading
from release.config.settings import Model
from release.models import architecture, meta_device
from release.models import base as bases
from release.running import child
from release.values.errors import PreflightError
from tests.helpers.hub_fixture import EmbeddedHub
from tests.helpers.line import small_config
from tests.helpers.tiny_configs import FAMILIES, LLAMA, written
from tests.release.models.test_base import REPO, put, quiet, weights

UNSLOTH = "unsloth/Llama-3.2-1B-Instruct"
BNB = {"quant_method": "bitsandbytes", "load_in_4bit": True}


@pytest.mark.parametrize(
    ("base_model_id", "more", "card", "said"),
    [
        (f"{UNSLOTH}-bnb-4bit", {"quantization_config": BNB}, "meta-llama/Llama-3.2-1B-Instruct", UNSLOTH),
        (f"{UNSLOTH}-unsloth-bnb-4bit", {"quantization_config": BNB}, None, UNSLOTH),
        ("Qwen/Qwen3-8B-AWQ", {"quantization_config": {"quant_method": "awq"}}, "Qwen/Qwen3-8B", "Qwen/Qwen3-8B"),
        ("Qwen/Qwen3-8B-FP8", {"quantization_config": {"quant_method": "fp8"}}, "Qwen/Qwen3-8B", "Qwen/Qwen3-8B"),
        (
            "someone/gptq",
            {"quantization_config": {"quant_method": "gptq", "bits": 4}, "_name_or_path": "org/full"},
            None,
            "org/full",
        ),
        ("someone/w8a8", {"compression_config": {"quant_method": "compressed-tensors"}}, "org/full", "org/full"),
        ("openai/gpt-oss-20b", {"quantization_config": {"quant_method": "mxfp4"}}, None, None),
        ("someone/local", {"quantization_config": {"load_in_4bit": True}, "_name_or_path": "/home/me/x"}, None, None),
        ("someone/text", {"text_config": {"quantization_config": {"quant_method": "fp8"}}}, "org/full", "org/full"),
    ],
)
def test_weights_that_are_quantized_already_are_refused_with_those_they_were_made_of(
    tmp_path: Path, base_model_id: str, more: dict[str, Any], card: str | None, said: str | None
) -> None:
    model = Model(base_model_id=base_model_id, revision="0" * 40, trust_remote_code=True)
    with pytest.raises(PreflightError, match=f"^{base_model_id} holds weights that are quantized already") as refused:
        architecture.read(written(tmp_path, {**LLAMA, **more}), tmp_path / "kept.json", model, card)

    line = f"model: {{base_model_id: {said}}}"
    assert (line in str(refused.value)) == (said is not None)
    assert ("its page on the Hub" in str(refused.value)) == (said is None)


def test_code_that_is_trusted_is_not_run_before_training(tmp_path: Path) -> None:
    folder = written(tmp_path, {"model_type": "own", "auto_map": {"AutoModelForCausalLM": "modeling_own.Own"}})
    (folder / "modeling_own.py").write_text("raise SystemExit('it ran')\n", "utf-8")
    trusted = Model(base_model_id="someone/own", revision="0" * 40, trust_remote_code=True)

    assert architecture.read(folder, tmp_path / "kept.json", trusted) is None


def test_it_is_built_in_a_process_of_its_own_once_for_a_version_of_transformers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, kept = Model(base_model_id="someone/tiny", revision="0" * 40), tmp_path / "kept.json"
    folder = written(tmp_path / "base", LLAMA)
    calls: list[str] = []
    really = child.call

    def counted(module: str, *arguments: str, **options: Any) -> None:
        calls.append(module)
        really(module, *arguments, **options)

    monkeypatch.setattr(child, "call", counted)
    first = architecture.read(folder, kept, model)

    assert first == meta_device.build(folder)
    assert first.endings == ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
    assert architecture.read(folder, kept, model) == first
    assert len(calls) == 1

    older = json.loads(kept.read_bytes())
    older["key"]["transformers"] = "4.57.0"
    older["built"]["name"] = "OfAnOlderVersion"
    kept.write_text(json.dumps(older), "utf-8")
    assert architecture.read(folder, kept, model) == first

    written(folder, {"model_type": "qwen2_5_vl"})
    for _ in range(2):
        with pytest.raises(PreflightError, match=r"^someone/tiny cannot be used as a base model: it is qwen2_5_vl"):
            architecture.read(folder, kept, model)
    assert calls == ["release.models.meta_device"] * 3


CARD = b"---\nlicense: apache-2.0\nbase_model: someone/full\n---\n"
TENSOR = "model.layers.0.self_attn.q_proj.weight"


@pytest.mark.parametrize(
    ("said", "settings", "expected"),
    [
        (
            FAMILIES["qwen3_moe"],
            {},
            {"LoRA targets": ("problem", "names gate_proj, up_proj, down_proj, which"), "memory": ("ok", "are needed")},
        ),
        (
            FAMILIES["qwen3_moe"],
            {"adapter.lora.target_modules": "[q_proj, k_proj, v_proj, o_proj]"},
            {"base model": ("ok", "GiB to download, Qwen3MoeForCausalLM"), "LoRA targets": ("ok", "q_proj, k_proj")},
        ),
        (
            {**LLAMA, "quantization_config": {"quant_method": "fp8"}},
            {},
            {
                "base model": ("problem", "Write `model: {base_model_id: someone/full}`"),
                "LoRA targets": ("not checked", "cannot be used"),
                "memory": ("not checked", "quantized already"),
            },
        ),
        ({"model_type": "qwen3_vl"}, {}, {"base model": ("problem", "such as Qwen/Qwen3-4B-Instruct-2507")}),
        (
            FAMILIES["falcon"],
            {"adapter.lora.target_modules": "all-linear"},
            {"base model": ("problem", "Write `adapter: {method: lora"), "LoRA targets": ("ok", "all-linear")},
        ),
        (
            {"model_type": "own", "auto_map": {"AutoModelForCausalLM": "modeling_own.Own"}},
            {"model.trust_remote_code": "true"},
            {
                "LoRA targets": ("problem", "names k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj, which"),
                "memory": ("not checked", "is built by code of its own"),
            },
        ),
        (
            {"model_type": "own", "auto_map": {"AutoModelForCausalLM": "modeling_own.Own"}},
            {"model.trust_remote_code": "true", "adapter.lora.target_modules": "[q_proj]"},
            {"base model": ("ok", "GiB to download"), "LoRA targets": ("ok", "q_proj")},
        ),
    ],
    ids=["mixture", "mixture, attention", "quantized", "wrapper", "no four bits", "own code", "own code, its weights"],
)
def test_preflight_tells_it_before_any_weight_is_fetched(
    base: bases.Base,
    away: EmbeddedHub,
    tmp_path: Path,
    said: dict[str, Any],
    settings: dict[str, str],
    expected: dict[str, tuple[str, str]],
) -> None:
    small = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")
    files = {name: (base.folder / name).read_bytes() for name in small}
    files |= {"config.json": json.dumps(said).encode(), "README.md": CARD, "model.safetensors": weights(TENSOR)}
    commit = put(away, tmp_path / "files", **files)
    chosen = {"model.source": "hub", "model.base_model_id": REPO, "model.revision": commit, **settings}
    loaded = reading.load(small_config(tmp_path), chosen)

    items = {item.name: item for item in preflight.look(inputs.load(loaded, quiet), quiet)}

    for name, (state, words) in expected.items():
        assert items[name].state == state
        assert words in items[name].says
    assert not bases.folder_of(loaded.model).exists()
