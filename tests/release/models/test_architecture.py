"""What transformers builds of a base: as PEFT and bitsandbytes see it, or refused in seconds with what to take."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from release import preflight
from release.config import reading
from release.config.settings import Model
from release.models import architecture
from release.models import base as bases
from release.planning import estimates
from release.running import child
from release.values.errors import PreflightError
from tests.helpers.built import built
from tests.helpers.hub_fixture import EmbeddedHub
from tests.helpers.line import ROOT, small_config
from tests.release.models.test_base import REPO, put, quiet, weights

TINY: dict[str, Any] = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "vocab_size": 128,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
LLAMA = {"model_type": "llama", **TINY}
MIXTURE = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32}
VISION = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
FAMILIES: dict[str, dict[str, Any]] = {
    "llama": LLAMA,
    "qwen3": {"model_type": "qwen3", **TINY},
    "phi3": {"model_type": "phi3", **TINY},
    "cohere2": {"model_type": "cohere2", **TINY},
    "gpt_neox": {"model_type": "gpt_neox", **TINY},
    "gpt2": {"model_type": "gpt2", "n_embd": 64, "n_layer": 2, "n_head": 4, "vocab_size": 128},
    "falcon": {"model_type": "falcon", "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4},
    "qwen3_moe": {"model_type": "qwen3_moe", **TINY, **MIXTURE},
    "qwen3_next": {
        "model_type": "qwen3_next",
        **TINY,
        **MIXTURE,
        "layer_types": ["linear_attention", "full_attention"],
    },
    "gemma3": {
        "model_type": "gemma3",
        "text_config": {"model_type": "gemma3_text", **TINY},
        "vision_config": {"model_type": "siglip_vision_model", **VISION, "image_size": 56, "patch_size": 14},
        "mm_tokens_per_image": 4,
    },
}


def written(folder: Path, said: Mapping[str, Any] | str) -> Path:
    """The folder, with this as its config.json."""
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(said if isinstance(said, str) else json.dumps(said), "utf-8")
    return folder


def made(said: Mapping[str, Any]) -> Any:
    """A model of random weights."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(0)
    fields = {name: value for name, value in said.items() if name != "model_type"}
    return AutoModelForCausalLM.from_config(AutoConfig.for_model(said["model_type"], **fields))


PEFT_WARNS = ("ignore:`is_gradient_checkpointing` is deprecated", "ignore:fan_in_fan_out is set to False")


@pytest.mark.filterwarnings(*PEFT_WARNS)
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("short", [True, False], ids=["by name", "all-linear"])
def test_the_adapter_is_where_peft_puts_it(family: str, short: bool, tmp_path: Path) -> None:
    """Module by module, and weight by weight, for the names that a refusal would offer."""
    from peft import LoraConfig, get_peft_model

    seen = architecture.build(written(tmp_path, FAMILIES[family]))
    targets = seen.endings if short else architecture.ALL_LINEAR
    if not short and seen.fused_names:
        assert "all-linear, which PEFT takes for the router" in architecture.target_problems(seen, targets)[0]
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
    assert architecture.target_problems(seen, targets) == []
    assert not [name for name in carriers if "vision" in name or "projector" in name]
    assert architecture.excluded(made(FAMILIES[family])) == seen.exclude


@pytest.mark.parametrize("family", FAMILIES)
def test_what_bitsandbytes_quantizes_is_counted(family: str, tmp_path: Path) -> None:
    """By loading the model in four bits."""
    import torch
    from bitsandbytes.nn import Linear4bit
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    made(FAMILIES[family]).save_pretrained(tmp_path)
    seen = architecture.build(tmp_path)
    four = BitsAndBytesConfig(load_in_4bit=True)
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path, quantization_config=four, dtype=torch.float32)
    counted = sum(one.in_features * one.out_features for one in loaded.modules() if isinstance(one, Linear4bit))

    assert seen.in_linear == counted
    assert seen.parameters == sum(one.numel() for one in made(FAMILIES[family]).parameters())
    assert bool(counted) == (architecture.method_problem(seen, "qlora") == "")
    assert architecture.method_problem(seen, "lora") == ""


def test_a_base_of_which_four_bits_would_be_none_is_refused_for_qlora_alone(tmp_path: Path) -> None:
    """Falcon's linear layers are a class of their own, which bitsandbytes leaves as they are."""
    folder, adapter = tmp_path / "falcon", reading.load(ROOT / "release.yaml").adapter
    made(FAMILIES["falcon"]).save_pretrained(folder)
    lora = reading.load(ROOT / "release.yaml", {"adapter.method": "lora", "adapter.quantization.load_in_4bit": "false"})

    assert "bitsandbytes quantizes no layer" in architecture.method_problem(architecture.build(folder), "qlora")
    with pytest.raises(PreflightError, match=r"method: lora, quantization: \{load_in_4bit: false\}"):
        bases.load_model(folder, adapter, trust_remote_code=False)
    assert bases.load_model(folder, lora.adapter, trust_remote_code=False) is not None
    made(LLAMA).save_pretrained(tmp_path / "llama")
    assert bases.load_model(tmp_path / "llama", adapter, trust_remote_code=False) is not None


@pytest.mark.parametrize(
    ("name", "targets", "said"),
    [
        ("smollm2-135m", "q_proj o_proj", ""),
        ("smollm2-135m", "all-linear", ""),
        ("smollm2-135m", "layers.0.self_attn.q_proj model.layers.1.mlp.up_proj", ""),
        ("smollm2-135m", "embed_tokens q_proj", ""),
        ("smollm2-135m", "q_proj wi_0", "names wi_0, which no module of the base model is called: PEFT would skip it"),
        ("smollm2-135m", "proj", "names proj, which no module"),
        ("smollm2-135m", "layers.30.self_attn.q_proj", "names layers.30.self_attn.q_proj, which no module"),
        ("smollm2-135m", "lm_head q_proj", "names lm_head, which makes the logits"),
        ("smollm2-135m", "mlp", "names mlp, which is LlamaMLP: PEFT's LoRA cannot adapt that"),
        ("phi-3.5-mini", "qkv_proj gate_up_proj", ""),
        ("phi-3.5-mini", "q_proj v_proj", "`target_modules: [o_proj, qkv_proj, gate_up_proj, down_proj]`"),
        ("pythia-1.4b", "q_proj", "`target_modules: [query_key_value, dense, dense_h_to_4h, dense_4h_to_h]`"),
        ("qwen3-30b-a3b", "q_proj k_proj v_proj o_proj", ""),
        (
            "qwen3-30b-a3b",
            "q_proj gate_proj up_proj",
            "names gate_proj, up_proj, which transformers and PEFT take for parts",
        ),
        ("qwen3-30b-a3b", "q_proj gate_proj", "`target_modules: [q_proj, k_proj, v_proj, o_proj]`"),
        ("qwen3-30b-a3b", "experts", "names experts, which is Qwen3MoeExperts: PEFT's LoRA cannot adapt that"),
        ("qwen3-30b-a3b", "gate", "or for their router"),
        ("qwen3-30b-a3b", "all-linear", "is all-linear, which PEFT takes for the router and the fused parameters"),
        ("gpt-oss-20b", "all-linear", ""),
        ("gpt-oss-20b", "gate_proj", "Its experts are one parameter for a layer (experts), which it cannot adapt"),
        ("gpt-oss-20b", "router", "names router, which is GptOssTopKRouter"),
        ("gemma-3-4b", "q_proj gate_proj", ""),
        ("gemma-3-4b", "q_proj fc1", "names fc1, which no module"),  # the vision tower's
    ],
)
def test_a_target_that_carries_no_adapter_is_told_with_the_bases_own_names(name: str, targets: str, said: str) -> None:
    problems = "\n".join(architecture.target_problems(built(name), targets.split()))

    assert said in problems
    assert bool(problems) == bool(said)
    assert ("`target_modules: [" in problems) == bool(said)


def test_every_faulty_target_is_told_at_once() -> None:
    problems = architecture.target_problems(built("qwen3-30b-a3b"), ["q_proj", "gate_proj", "wi_0", "lm_head", "mlp"])

    assert [one.split(",")[0].rpartition(" ")[2] for one in problems] == ["gate_proj", "wi_0", "lm_head", "mlp"]


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
        architecture.build(written(tmp_path, said))


def test_code_that_nobody_needs_is_not_asked_for(tmp_path: Path) -> None:
    """Phi-3 brings code for older versions, and transformers has its own."""
    said = {**FAMILIES["phi3"], "auto_map": {"AutoConfig": "own.Config", "AutoModelForCausalLM": "own.Model"}}

    assert architecture.build(written(tmp_path, said)).name == "Phi3ForCausalLM"


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

    assert first == architecture.build(folder)
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
    assert calls == ["release.models.architecture"] * 3


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

    items = {item.name: item for item in preflight.look(loaded, quiet)}

    for name, (state, words) in expected.items():
        assert items[name].state == state
        assert words in items[name].says
    assert not bases.folder_of(loaded.model).exists()
