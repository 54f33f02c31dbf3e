"""An adapter added to the weights it was judged over: one model, in a folder that transformers loads by itself."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from gates.canonical import canonical_json
from release.config.settings import Config, Precision
from release.data.chat import Chat
from release.models import loading
from release.models.engines.transformers import with_adapter
from release.values.layout import CHAT_TEMPLATE

if TYPE_CHECKING:
    from transformers import PreTrainedModel

TOKENIZER = ("tokenizer.json", "tokenizer_config.json", CHAT_TEMPLATE)


def load(base: Path, settings: Config, precision: Precision) -> "PreTrainedModel":
    """The base's weights of this precision as ordinary numbers, in float32: four bits are de-quantized, unrounded."""
    said = loading.loaded_as(settings.adapter, precision, to_merge=True, device_map=settings.generation.device_map)
    quantization = replace(said.quantization, bnb_4bit_compute_dtype="float32") if said.quantization else None
    exact = replace(said, dtype="float32", quantization=quantization)
    model = loading.load_model(base, exact, trust_remote_code=settings.model.trust_remote_code)
    model.eval()
    return model


def merged(model: "PreTrainedModel", adapter: Path) -> "PreTrainedModel":
    """The model with the adapter added to its weights, in float32."""
    return with_adapter(model, adapter).merge_and_unload()


def write(model: "PreTrainedModel", base: Path, tokenizer: Path, chat: Chat, folder: Path) -> None:
    """Weights, the base's config, the tokenizer's files and every end, whole or not at all."""
    from transformers import GenerationConfig

    partial = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    model.generation_config = GenerationConfig(eos_token_id=list(chat.ends), pad_token_id=chat.ends[0], do_sample=False)
    model.config.quantization_config = None
    model.save_pretrained(partial)
    _keep_config(base / "config.json", partial / "config.json")
    for name in TOKENIZER:
        if (tokenizer / name).exists():
            shutil.copyfile(tokenizer / name, partial / name)
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)


def _keep_config(own: Path, saved: Path) -> None:
    """The base's own config.json, which other programs read in the words of its time, if it is of the same class."""
    told, now = json.loads(own.read_bytes()), json.loads(saved.read_bytes())
    if told.get("architectures") == now.get("architectures"):
        dtype = {"dtype": now["dtype"]}
        now = {**{name: value for name, value in told.items() if name != "torch_dtype"}, **dtype}
        saved.write_bytes(canonical_json(now))
