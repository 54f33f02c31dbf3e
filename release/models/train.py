"""Train a QLoRA or LoRA adapter with transformers, peft and trl; a run killed in the middle goes on where it was."""

import hashlib
import json
import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

import gates
from gates.canonical import canonical_json
from release.config import forms
from release.config.reading import load as load_config
from release.config.settings import Config, Data
from release.data import chat as chats
from release.data import evidence
from release.data.dataset import refuse, rendered
from release.models import arithmetic, base_weights, built_modules, callbacks, loading
from release.models import base as bases
from release.running import child, environment, spending
from release.running.place import Place
from release.values import layout
from release.values.artifacts import Adapter, Manifest, write_atomically
from release.values.errors import GatesFailed, PreflightError, VerificationError
from release.values.events import Progress, Say
from release.values.record import CURVES, Training, part

if TYPE_CHECKING:
    import torch
    from peft import LoraConfig
    from transformers import PreTrainedModel, TrainerCallback
    from trl import SFTConfig, SFTTrainer

IGNORED = -100  # the label of a token that is not learned (PyTorch cross_entropy's ignore_index)


def train(run: Path, base: bases.Base, place: Place, say: Say) -> Adapter:
    """The adapter of this run folder: trained now in this place, or found finished and unchanged."""
    record = run / "training.json"
    if not record.exists():
        say(Progress(name=callbacks.NAME, done=0, total=0))
        limited = load_config(run / "config.yaml").budget.limit is not None
        place.call(
            __name__,
            [run, base.folder],
            reads=[base.folder],
            writes=[run.parent if limited else run],  # what attempts have cost is kept beside the run folders
            say=say,
            log=run / "train.log",
        )
    told = json.loads(record.read_bytes())
    files = Manifest.of_folder(run / "adapter")
    if [asdict(file) for file in files.files] != told["files"]:
        raise VerificationError(
            f"{run / 'adapter'} is not the adapter that training wrote (see {record}). It is left as it is. "
            f"Restore its files, or move {run} away and run again to train anew."
        )
    return Adapter(folder=run / "adapter", files=files, training=part(Training, told))


def run_training(run: Path, base_folder: Path, say: Say) -> None:
    """Train, and write ``adapter/`` and then ``training.json`` into ``run``."""
    config = load_config(run / "config.yaml")
    loading.apart_from_others(config.model, say)
    arithmetic.make_deterministic(config.run.seed, environment.threads(config.run.threads))
    trainer = build_trainer(config, run, base_folder, say)
    started_from = _tensor_digest(trainer)
    checkpoint = callbacks.last_whole_checkpoint(run / "checkpoints")
    started = time.monotonic()
    if checkpoint and _is_last(checkpoint):
        _take_over(trainer, checkpoint)
    else:
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    _save_adapter(trainer, config, run, base_folder)
    steps = [entry for entry in trainer.state.log_history if "loss" in entry]
    write_atomically(
        run / "training.json",
        canonical_json(
            {
                "files": [asdict(file) for file in Manifest.of_folder(run / "adapter").files],
                "lora_init_sha256": started_from,
                "over": list(forms.trained_over(config)),
                "steps": trainer.state.global_step,
                "losses": [[entry["step"], float(entry["loss"])] for entry in steps],
                "curves": curves(trainer.state.log_history),
                "tokens": trainer.state.num_input_tokens_seen,
                "trainable_parameters": sum(p.numel() for p in trainer.model.parameters() if p.requires_grad),
                "resumed_from_step": int(checkpoint.name.rpartition("-")[2]) if checkpoint else None,
                "seconds": round(time.monotonic() - started, 1),
                "peak_memory_bytes": environment.peak_memory_bytes(),
                "image_digest": environment.image_digest(),
                "gpu_peak_memory_bytes": environment.gpu_peak_memory_bytes(),
                **arithmetic.surroundings(),
            }
        ),
    )
    shutil.rmtree(run / "checkpoints", ignore_errors=True)


def curves(logged: Sequence[Mapping[str, float]]) -> dict[str, list[list[float]]]:
    """Step and value of each thing that is logged over steps, but the loss; what was never logged is left out."""
    found = {name: [[entry["step"], float(entry[name])] for entry in logged if name in entry] for name in CURVES}
    return {name: points for name, points in found.items() if points}


def _is_last(checkpoint: Path) -> bool:
    """Whether a checkpoint was made after the last step: the Trainer would make one step more from it."""
    state = json.loads((checkpoint / "trainer_state.json").read_bytes())
    return bool(state["global_step"] >= state["max_steps"])


def _take_over(trainer: "SFTTrainer", checkpoint: Path) -> None:
    """Put the trainer where it was when it made this checkpoint."""
    from transformers import TrainerState

    trainer._load_from_checkpoint(str(checkpoint))  # noqa: SLF001  what its own resume calls
    trainer.state = TrainerState.load_from_json(str(checkpoint / "trainer_state.json"))


def build_trainer(config: Config, run: Path, base_folder: Path, say: Say) -> "SFTTrainer":
    """TRL's trainer over the base model, with the rows of the run folder as token ids; TRL renders nothing."""
    import torch
    from datasets import Dataset

    chat = chats.read(
        base_folder, chats.Wanted(template=run / layout.CHAT_TEMPLATE, arguments=config.model.chat_template_kwargs)
    )
    rows = gates.read_golden(run / "data" / "train.jsonl")
    examples = _examples(rows, chat, config.data)
    with tempfile.TemporaryDirectory() as folder:
        write_tokenizer(base_folder, run, Path(folder))
        tokenizer = loading.load_tokenizer(Path(folder), chat)
    asked = [(row.prompt, example.asked) for row, example in zip(rows, examples, strict=True)]
    if problem := loading.asks_otherwise(tokenizer, chat, asked):
        raise PreflightError(f"{problem} Nothing was trained.")
    over = forms.trained_over(config)
    said = loading.loaded_as(config.adapter, "nf4" if "nf4" in over else "unquantized")
    model = loading.load_model(base_folder, said, trust_remote_code=config.model.trust_remote_code)
    turns = [_alternation(model, base_folder, config)] if len(over) > 1 else []
    missing = unmatched_targets(model, config.adapter.lora.target_modules)
    if missing:
        raise PreflightError(
            f"adapter.lora.target_modules names {', '.join(missing)}, which no module of {config.model.base_model_id} "
            "is called. Such a name would be skipped silently. Take it out, or name the model's own modules."
        )
    dataset = Dataset.from_list(
        [{"input_ids": [*one.asked, *one.learned], "labels": one.labels(IGNORED)} for one in examples]
    )
    meter = _meter(config, run)
    trainer: SFTTrainer = _trainer_class()(
        model=model,
        args=training_arguments(config, run / "checkpoints", cuda=torch.cuda.is_available()),
        train_dataset=dataset,
        processing_class=tokenizer,
        peft_config=lora_config(config, model),
        callbacks=[*turns, callbacks.watch(say), *([callbacks.budget(meter, say)] if meter else [])],
    )
    if list(trainer.train_dataset["labels"]) != list(dataset["labels"]):
        raise RuntimeError("TRL changed the rows that it was given")
    return trainer


def _alternation(model: "PreTrainedModel", base_folder: Path, config: Config) -> "TrainerCallback":
    """The unquantized weights beside those of ``model``, in the memory of the host, and what takes them in turn."""
    plain = replace(loading.loaded_as(config.adapter, "unquantized"), device="cpu")
    other = loading.load_model(base_folder, plain, trust_remote_code=config.model.trust_remote_code)
    return base_weights.alternate(base_weights.both(model, other), forms.trained_over(config))


def training_arguments(config: Config, output: Path, *, cuda: bool) -> "SFTConfig":
    """The configuration in TRL's own names; what is not the user's choice is fixed here, with its reason."""
    from trl import SFTConfig

    values = asdict(config.training)
    checkpointing = values.pop("activation_checkpointing")
    del values["over"]
    arguments = SFTConfig(
        **values,
        output_dir=str(output),
        seed=config.run.seed,
        use_cpu=not cuda,
        bf16=cuda,
        activation_checkpointing=cuda if checkpointing == "auto" else checkpointing,
        max_length=None,  # TRL cuts long rows silently and loses their end; _examples refuses them instead
        packing=False,
        save_strategy="steps",
        save_total_limit=2,
        logging_nan_inf_filter=False,  # the default logs a NaN loss as 0.0
        logging_first_step=True,  # so that the shortest run has a loss on record
        include_num_input_tokens_seen="non_padding",
        report_to="none",
        push_to_hub=False,
        disable_tqdm=True,
        dataloader_pin_memory=cuda,
    )
    arguments._n_gpu = min(arguments.n_gpu, 1)  # noqa: SLF001  with two cards in sight transformers splits batches
    return arguments


def lora_config(config: Config, model: "PreTrainedModel") -> "LoraConfig":
    """PEFT's settings of the adapter on this model."""
    from peft import LoraConfig

    lora = config.adapter.lora
    return LoraConfig(
        r=lora.r,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        bias=lora.bias,
        target_modules="all-linear" if lora.target_modules == ("all-linear",) else list(lora.target_modules),
        exclude_modules=built_modules.excluded(model),
        task_type="CAUSAL_LM",
    )


def unmatched_targets(model: "torch.nn.Module", names: tuple[str, ...]) -> list[str]:
    """The names that no module's name ends with. PEFT complains only when none at all matches."""
    if names == ("all-linear",):
        return []
    modules = [name for name, _ in model.named_modules()]
    return [n for n in names if not any(m == n or m.endswith(f".{n}") for m in modules)]


def _trainer_class() -> "type[SFTTrainer]":
    """SFTTrainer with logits only where something is learned, and with a resume that keeps the adapter's precision."""
    import torch
    from trl import SFTTrainer

    class Trainer(SFTTrainer):  # type: ignore[misc]  # trl ships no types
        def compute_loss(
            self,
            model: torch.nn.Module,
            inputs: dict[str, torch.Tensor],
            return_outputs: bool = False,  # noqa: ARG002  transformers' signature
            num_items_in_batch: torch.Tensor | None = None,
        ) -> torch.Tensor:
            """Mean cross entropy over the learned tokens of the whole optimizer step.

            The same loss as TRL's ``nll``; the vocabulary projection, a fifth of a 135M model's work, runs only at
            positions where a row of the batch has a label.
            """
            labels = inputs.pop("labels")
            positions = (labels != IGNORED).any(dim=0).nonzero().squeeze(1)
            logits = model(**inputs, use_cache=False, logits_to_keep=positions - 1).logits.float()
            targets = labels[:, positions]
            total = torch.nn.functional.cross_entropy(
                logits.flatten(0, 1), targets.flatten(), ignore_index=IGNORED, reduction="sum"
            )
            counted = (targets != IGNORED).sum() if num_items_in_batch is None else num_items_in_batch
            loss = total / counted
            if not torch.isfinite(loss):
                raise GatesFailed(callbacks.diverged(f"the loss is {loss.item()}", self.state.global_step))
            return loss

        def _load_from_checkpoint(self, *arguments: object, **options: object) -> None:
            """PEFT loads a checkpoint's adapter in float32; over a 4-bit base TRL trains it in bfloat16."""
            super()._load_from_checkpoint(*arguments, **options)
            if getattr(self.model, "is_loaded_in_4bit", False):
                for name, parameter in self.model.named_parameters():
                    if parameter.requires_grad and "lora_magnitude_vector" not in name:
                        parameter.data = parameter.data.to(torch.bfloat16)

    return Trainer


def _meter(config: Config, run: Path) -> spending.Meter | None:
    """What counts this attempt's cost; None where the configuration sets no limit."""
    if config.budget.limit is None:
        return None
    return spending.start(run.parent, config.budget, run.name, spending.attempt(), config.budget.price_per_hour)


def _examples(rows: Sequence[gates.Golden], chat: chats.Chat, data: Data) -> tuple[chats.Example, ...]:
    """Every row as token ids; it must fit, and be learned as it would be asked."""
    examples = rendered(rows, chat, data.learn)
    refuse([why for row, one in zip(rows, examples, strict=True) for why in evidence.unfit(row, one, data.max_length)])
    return examples


def _tensor_digest(trainer: "SFTTrainer") -> str:
    """sha256 over the adapter's tensors in name order: what the seed made of them."""
    import torch

    digest = hashlib.sha256()
    for name, parameter in sorted(trainer.model.named_parameters()):
        if parameter.requires_grad:
            digest.update(name.encode())
            digest.update(parameter.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def write_tokenizer(base_folder: Path, run: Path, folder: Path) -> None:
    """The tokenizer as it is published: the base's, with this run's chat template."""
    if (base_folder / "tokenizer.json").exists():
        shutil.copyfile(base_folder / "tokenizer.json", folder / "tokenizer.json")
    if (special := chats.special_tokens(base_folder)) is not None:
        write_atomically(folder / "special_tokens_map.json", special)
    write_atomically(folder / "tokenizer_config.json", canonical_json(chats.tokenizer_settings(base_folder)))
    shutil.copyfile(run / layout.CHAT_TEMPLATE, folder / layout.CHAT_TEMPLATE)


def _save_adapter(trainer: "SFTTrainer", config: Config, run: Path, base_folder: Path) -> None:
    """Write ``adapter/`` in one rename: weights, a canonical configuration, the base's tokenizer, the chat template."""
    import torch

    broken = [n for n, p in trainer.model.named_parameters() if p.requires_grad and not torch.isfinite(p).all()]
    if broken:
        raise GatesFailed(callbacks.diverged(f"{len(broken)} tensors hold NaN or infinity", trainer.state.global_step))
    from_peft, whole, adapter = run / ".peft.tmp", run / ".adapter.tmp", run / "adapter"
    for left in (from_peft, whole, adapter):
        shutil.rmtree(left, ignore_errors=True)
    trainer.model.save_pretrained(str(from_peft), safe_serialization=True)
    whole.mkdir()
    shutil.copyfile(from_peft / layout.WEIGHTS, whole / layout.WEIGHTS)
    write_tokenizer(base_folder, run, whole)
    settings = json.loads((from_peft / layout.SETTINGS).read_bytes())
    settings |= {"base_model_name_or_path": config.model.base_model_id, "revision": config.model.revision}
    settings["target_modules"] = sorted(settings["target_modules"])  # PEFT writes a set: another order each time
    write_atomically(whole / layout.SETTINGS, canonical_json(settings))
    shutil.rmtree(from_peft)
    whole.rename(adapter)


if __name__ == "__main__":
    child.main(lambda arguments, say: run_training(Path(arguments[0]), Path(arguments[1]), say))
