"""Small config.json files of several families, and models of random weights made of them."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

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
OF_70B: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 8192,
    "intermediate_size": 28672,
    "num_hidden_layers": 80,
    "num_attention_heads": 64,
    "num_key_value_heads": 8,
    "vocab_size": 128256,
}
"""Llama 3's shape of 70 billion weights, which nobody makes here: 141 GB in 16 bits."""
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
