"""Base models small enough to train in seconds: random weights in Llama's shape, and the embedded base cut short.

Both have the embedded base's tokenizer.
"""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from release.models import base as bases
from tests.helpers.hub_fixture import EmbeddedHub

REPO = "someone/tiny"
SHAPE = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 49152,
    "tie_word_embeddings": True,
    "max_position_embeddings": 512,
}


def write_tiny(folder: Path, base: bases.Base) -> Path:
    """The files of such a model, with the tokenizer of ``base``."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    known = json.loads((base.folder / "config.json").read_bytes())
    special = {name: known[name] for name in ("bos_token_id", "eos_token_id", "pad_token_id") if name in known}
    LlamaForCausalLM(LlamaConfig(**SHAPE, **special)).save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        (folder / name).write_bytes((base.folder / name).read_bytes())
    return folder


@pytest.fixture(scope="session")
def short_base(base: bases.Base, tmp_path_factory: pytest.TempPathFactory) -> bases.Base:
    """The embedded base with the first two of its thirty layers: it learns, and loads in a tenth of the time."""
    from safetensors import safe_open
    from safetensors.torch import save_file

    folder, layers = tmp_path_factory.mktemp("short"), 2
    for path in base.folder.iterdir():
        if path.suffix != ".safetensors":
            (folder / path.name).write_bytes(path.read_bytes())
    config = json.loads((base.folder / "config.json").read_bytes())
    (folder / "config.json").write_text(json.dumps({**config, "num_hidden_layers": layers}), "utf-8")
    later = tuple(f"model.layers.{number}." for number in range(layers, config["num_hidden_layers"]))
    with safe_open(base.folder / "model.safetensors", "pt") as file:
        kept = {name: file.get_tensor(name) for name in file.keys() if not name.startswith(later)}  # noqa: SIM118
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
    return replace(base, folder=folder)


@pytest.fixture
def tiny_base(away: EmbeddedHub, base: bases.Base, tmp_path: Path) -> str:
    """The commit of ``REPO`` on the Hub that the environment names."""
    from huggingface_hub import CommitOperationAdd

    folder = write_tiny(tmp_path / "tiny", base)
    (folder / "README.md").write_text("---\nlicense: apache-2.0\n---\n# Nothing learned\n", "utf-8")
    away.api.create_repo(REPO)
    files = [CommitOperationAdd(path.name, str(path)) for path in sorted(folder.iterdir())]
    return away.api.create_commit(REPO, files, commit_message="A tiny base").oid
