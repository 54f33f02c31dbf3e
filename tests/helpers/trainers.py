"""Folders as other trainers leave them: a tiny base, adapters on it made by PEFT, and the files beside them."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from release.importing.bring import Known
from release.models import meta_device
from release.values import layout, tensors
from release.values.tensors import Whole
from tests.helpers.line import ROOT

BASE = "someone/tiny"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
SHAPE: Mapping[str, Any] = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 64,
    "tie_word_embeddings": False,
}
TEMPLATE = "{{ messages }}"
FRONT = "---\nbase_model: {base}\nlibrary_name: peft\ntags:\n{tags}\n---\n\n"
VERSIONS = "### Framework versions\n\n- PEFT 0.17.1\n- Transformers: 4.56.2\n- TRL: 0.23.0\n- Pytorch: 2.8.0+cu128\n"


def base(folder: Path, **changed: object) -> Known:
    """A base of which config, tokenizer and template are there."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps({**SHAPE, **changed}), "utf-8")
    (folder / layout.CHAT_TEMPLATE).write_text(TEMPLATE, "utf-8")
    tokenizer(folder, ())
    return Known(folder=folder, built=meta_device.build(folder))


def tokenizer(folder: Path, added: tuple[str, ...], pad: str | None = None) -> None:
    """A tokenizer of 60 words, and these tokens after them."""
    words = {f"w{number}": number for number in range(60)}
    more = [{"id": 60 + number, "content": text, "special": True} for number, text in enumerate(added)]
    said = {"model": {"type": "WordLevel", "vocab": words}, "added_tokens": more}
    (folder / "tokenizer.json").write_text(json.dumps(said), "utf-8")
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", **({"pad_token": pad} if pad else {})}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), "utf-8")


def peft(folder: Path, *, zero: bool = False, shape: Mapping[str, Any] | None = None, **settings: Any) -> Path:
    """An adapter as ``save_pretrained`` of PEFT leaves it, with numbers in it."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = {name: value for name, value in {**SHAPE, **(shape or {})}.items() if name != "architectures"}
    asked = {"r": 4, "lora_alpha": 8, "target_modules": ["q_proj", "v_proj"], "task_type": "CAUSAL_LM", **settings}
    model = get_peft_model(LlamaForCausalLM(LlamaConfig(**config)), LoraConfig(**asked))
    if not zero:
        for name, one in model.named_parameters():
            if "lora_" in name or "delta" in name:
                torch.nn.init.normal_(one, std=0.02)
    model.save_pretrained(str(folder))
    changed(folder, base_model_name_or_path=BASE)
    return folder


def changed(folder: Path, **settings: object) -> None:
    """Other settings in an adapter's folder."""
    path = folder / layout.SETTINGS
    path.write_text(json.dumps(json.loads(path.read_bytes()) | settings), "utf-8")


def plain(folder: Path, **settings: object) -> Path:
    """The same without torch: a LoRA on q_proj of both layers."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors.write(lora(), folder / layout.WEIGHTS)
    said = {"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": 4, "lora_alpha": 8, "lora_dropout": 0.05}
    said |= {"target_modules": ["q_proj"], "base_model_name_or_path": BASE, "peft_version": "0.17.1", **settings}
    (folder / layout.SETTINGS).write_text(json.dumps(said), "utf-8")
    return folder


def lora(modules: tuple[str, ...] = ("self_attn.q_proj",), size: int = 32, rank: int = 4) -> dict[str, Whole]:
    """Tensors of a LoRA on square modules of both layers, in PEFT's names."""
    numbers = np.random.default_rng(0)
    found = {}
    for name in (f"base_model.model.model.layers.{layer}.{module}" for layer in (0, 1) for module in modules):
        for part, shape in (("lora_A", (rank, size)), ("lora_B", (size, rank))):
            data = numbers.standard_normal(shape).astype("<f4").tobytes()
            found[f"{name}.{part}.weight"] = Whole(dtype="F32", shape=shape, data=data)
    return found


def mlx(folder: Path) -> Path:
    """An adapter as ``mlx_lm.lora`` leaves it."""
    numbers = np.random.default_rng(1)
    found = {}
    for name, outputs in (("self_attn.q_proj", 32), ("self_attn.v_proj", 16)):
        for part, shape in (("lora_a", (32, 4)), ("lora_b", (4, outputs))):
            data = numbers.standard_normal(shape).astype("<f4").tobytes()
            found[f"model.layers.1.{name}.{part}"] = Whole(dtype="F32", shape=shape, data=data)
    folder.mkdir(parents=True, exist_ok=True)
    tensors.write(found, folder / "adapters.safetensors")
    said = {
        "fine_tune_type": "lora",
        "model": "mlx-community/tiny-4bit",
        "num_layers": 1,
        "iters": 200,
        "learning_rate": 1e-5,
        "data": "/Users/somebody/data",
        "lora_parameters": {"rank": 4, "scale": 20.0, "dropout": 0.0},
    }
    (folder / layout.SETTINGS).write_text(json.dumps(said), "utf-8")
    return folder


def _card(folder: Path, tags: str, text: str = VERSIONS, of: str = BASE) -> None:
    listed = "\n".join(f"- {one}" for one in tags.split())
    (folder / "README.md").write_text(FRONT.format(base=of, tags=listed) + text, "utf-8")


def unsloth(folder: Path) -> None:
    plain(folder, base_model_name_or_path="unsloth/tiny-unsloth-bnb-4bit", target_modules=r"(?:.*?(?:language).*?)")
    changed(folder, auto_mapping={"base_model_class": "LlamaForCausalLM", "unsloth_fixed": True})
    _card(folder, "base_model:adapter:unsloth/tiny-unsloth-bnb-4bit lora sft transformers trl unsloth")
    tokenizer(folder, ("<|PAD_TOKEN|>",), pad="<|PAD_TOKEN|>")
    (folder / layout.CHAT_TEMPLATE).write_text(TEMPLATE, "utf-8")


def axolotl(folder: Path) -> None:
    plain(folder)
    config = f"base_model: {BASE}\nadapter: qlora\nload_in_4bit: true\nlearning_rate: 0.0002\nnum_epochs: 3\n"
    config += "datasets:\n- path: /home/somebody/rows.jsonl\n  type: chat_template\n"
    details = f"<details><summary>See axolotl config</summary>\n\naxolotl version: `0.12.2`\n```yaml\n{config}\n```\n"
    _card(folder, "axolotl base_model:adapter:someone/tiny lora transformers", details + VERSIONS)


def llama_factory(folder: Path) -> None:
    plain(folder)
    (folder / "training_args.yaml").write_text(
        "model_name_or_path: /models/tiny\nstage: sft\nfinetuning_type: lora\ntemplate: qwen\ndataset: rows\n"
        "learning_rate: 5.0e-05\nnum_train_epochs: 3.0\nquantization_bit: 4\n",
        "utf-8",
    )
    (folder / "all_results.json").write_text('{"epoch": 3.0, "train_loss": 0.4}', "utf-8")
    (folder / "trainer_state.json").write_text('{"global_step": 120, "log_history": []}', "utf-8")
    _card(folder, "llama-factory lora generated_from_trainer")


def swift(folder: Path) -> None:
    plain(folder, base_model_name_or_path="/root/.cache/modelscope/hub/models/someone/tiny")
    said = {"model": BASE, "train_type": "lora", "seed": 42, "learning_rate": 1e-4, "swift_version": "3.8.1"}
    (folder / "args.json").write_text(json.dumps(said), "utf-8")


def trl(folder: Path) -> None:
    plain(folder)
    _card(folder, "base_model:adapter:someone/tiny lora sft transformers trl")


TRAINERS: Mapping[str, tuple[Callable[[Path], None], str, str | None]] = {
    "unsloth": (unsloth, "Unsloth", None),
    "axolotl": (axolotl, "Axolotl", "0.12.2"),
    "llama_factory": (llama_factory, "LLaMA-Factory", None),
    "swift": (swift, "ms-swift", "3.8.1"),
    "trl": (trl, "TRL", "0.23.0"),
}
"""What makes each trainer's folder, and what is to be told of it."""


def released(folder: Path) -> Path:
    """The adapter of the kept release as Axolotl would have left it: a real one, on the embedded base."""
    kept = ROOT / "tests" / "data" / "releases" / "v2"
    axolotl(folder)
    for name in (layout.WEIGHTS, layout.SETTINGS, "tokenizer.json", "tokenizer_config.json", layout.CHAT_TEMPLATE):
        if (kept / name).exists():
            (folder / name).write_bytes((kept / name).read_bytes())
    return folder


def configuration(path: Path, source: str, **adapter: object) -> Path:
    """A configuration, made one that brings the adapter ``source`` in the place of training."""
    said = yaml.safe_load(path.read_text("utf-8"))
    said.pop("training", None)
    del said["data"]["train_file"]
    said["adapter"] = {"method": "imported", "source": source, **adapter}
    path.write_text(yaml.safe_dump(said), "utf-8")
    return path
