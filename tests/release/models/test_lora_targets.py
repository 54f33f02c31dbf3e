"""What LoRA cannot be put on is told with the base's own names."""

import pytest

from release.models import lora_targets
from tests.helpers.built import built


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
    problems = "\n".join(lora_targets.target_problems(built(name), targets.split()))

    assert said in problems
    assert bool(problems) == bool(said)
    assert ("`target_modules: [" in problems) == bool(said)


def test_every_faulty_target_is_told_at_once() -> None:
    problems = lora_targets.target_problems(built("qwen3-30b-a3b"), ["q_proj", "gate_proj", "wi_0", "lm_head", "mlp"])

    assert [one.split(",")[0].rpartition(" ")[2] for one in problems] == ["gate_proj", "wi_0", "lm_head", "mlp"]
