"""What llama.cpp loads of a small model with a random LoRA: the base, the adapter and the merged model as GGUF."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from release.data.chat import Chat
from release.data.chat import read as read_chat
from release.models import wheels
from release.models.exports import converter, gguf_lora, making, merging
from release.values.events import Event
from tests.helpers import families
from tests.helpers.families import Family
from tests.helpers.line import ROOT

if TYPE_CHECKING:
    from transformers import PreTrainedModel

GOLDEN_ROWS = 4
NOT_ADAPTED = ("lm_head", "embed_out", "gate", "router")


@dataclass(frozen=True, kw_only=True)
class Files:
    """All of one model, and the merged one as transformers holds it."""

    folder: Path
    """As a base model's repository."""
    base: Path
    lora: Path
    merged: Path
    model: "PreTrainedModel"
    chat: Chat


def wheel() -> Path:
    """The converter's wheel in the project's cache."""
    return wheels.found(converter.WHEEL, lambda _: None)


def adapted(model: "PreTrainedModel", *, use_rslora: bool = True) -> Any:
    """The model with a LoRA of random numbers on every linear layer, as PEFT wraps it."""
    import torch
    from peft import LoraConfig, get_peft_model

    names = {name.rpartition(".")[2] for name, one in model.named_modules() if isinstance(one, torch.nn.Linear)}
    torch.manual_seed(1)
    wanted = {"target_modules": sorted(names - {*NOT_ADAPTED}), "init_lora_weights": False, "use_rslora": use_rslora}
    lora = LoraConfig(r=4, lora_alpha=24, task_type="CAUSAL_LM", **wanted)
    return get_peft_model(model, lora).eval()


def made(family: Family, folder: Path) -> Files:
    """Each file in ``folder``; a ``Stop`` where the converter or the LoRA's refuses."""
    import torch
    import transformers

    origin, base, merged = folder / "origin", folder / "base", folder / "merged"
    families.make(family, origin)
    model = getattr(transformers, family.auto).from_pretrained(origin, dtype=torch.float32).eval()
    chat = read_chat(origin)
    merging.write(model, origin, origin, chat, base)
    converter.convert(wheel(), base, folder / "base.gguf", "F32")
    wrapped = adapted(model)
    gguf_lora.write(wrapped, folder / "base.gguf", folder / "lora.gguf")
    whole = wrapped.merge_and_unload()
    merging.write(whole, origin, origin, chat, merged)
    converter.convert(wheel(), merged, folder / "merged.gguf", "F32")
    return Files(
        folder=origin,
        base=folder / "base.gguf",
        lora=folder / "lora.gguf",
        merged=folder / "merged.gguf",
        model=whole,
        chat=chat,
    )


def run_of(family: Family, folder: Path, serving: Mapping[str, dict[str, object]]) -> tuple[Path, Path]:
    """A run's folder with a trained adapter of random numbers and a configuration, and the base's."""
    import transformers

    base, run = folder / "base", folder / "runs" / "one"
    families.make(family, base)
    put(base / "base.json", {})
    wrapped = adapted(transformers.AutoModelForCausalLM.from_pretrained(base), use_rslora=False)
    (run / "data").mkdir(parents=True)
    wrapped.save_pretrained(run / "adapter")
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copyfile(base / name, run / "adapter" / name)
    (run / "adapter" / "README.md").unlink(missing_ok=True)
    shutil.copytree(ROOT / "data" / "elements", run / "data" / "elements")
    shutil.copyfile(ROOT / "data" / "elements" / "answer.schema.json", run / "answer.schema.json")
    rows = (ROOT / "data" / "elements" / "golden.jsonl").read_text("utf-8").splitlines(keepends=True)[:GOLDEN_ROWS]
    (run / "data" / "golden.jsonl").write_text("".join(rows), "utf-8")
    said = yaml.safe_load((ROOT / "release.yaml").read_text("utf-8"))
    said["adapter"] = {"method": "lora", "quantization": {"load_in_4bit": False}, "lora": {"r": 4, "alpha": 24}}
    said["run"]["threads"] = 1
    said["generation"] = {"max_new_tokens": 12}
    (run / "config.yaml").write_text(yaml.safe_dump({**said, "serving": dict(serving)}), "utf-8")
    return run, base


def exported(run: Path, base: Path, form: str) -> list[Event]:
    """What the stage says while it makes what this form loads, in this process."""
    kept, said = run.parent / making.KEPT, list[Event]()
    kept.mkdir(exist_ok=True)
    making.stage([*map(str, (run, base, kept)), form, str(wheel())], said.append)
    return said


def rewritten(source: Path, target: Path, change: Any) -> Path:
    """A GGUF LoRA with other tensors: ``change(name, tensor)``."""
    from gguf import GGUFReader, GGUFWriter

    reader = GGUFReader(str(source))
    said = {name: field.contents() for name, field in reader.fields.items()}
    writer = GGUFWriter(str(target), said["general.architecture"])
    writer.add_string("general.type", "adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", said["adapter.lora.alpha"])
    for one in reader.tensors:
        writer.add_tensor(one.name, change(one.name, one.data))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return target


def put(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value), "utf-8")
