"""Train a QLoRA or LoRA adapter with transformers, peft and trl; a run killed in the middle goes on where it was."""

import hashlib
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import gates
from gates.canonical import canonical_json
from release.config import forms
from release.config.reading import load as load_config
from release.config.settings import Config, Data, Form
from release.data import chat as chats
from release.data import evidence
from release.data.dataset import refuse, rendered
from release.models import (
    arithmetic,
    base_weights,
    built_modules,
    callbacks,
    divergence,
    evaluation,
    interrupted,
    liger,
    loading,
    loss,
    reporting,
    rows_apart,
    sft_trainer,
    sharded,
    together,
)
from release.models import base as bases
from release.models.architecture import ALL_LINEAR, uncalled
from release.running import child, environment, launched, spending
from release.running.place import Place
from release.values import layout, training_metrics
from release.values.artifacts import Adapter, Manifest, sha256_file, write_atomically
from release.values.errors import GatesFailed, PreflightError, VerificationError
from release.values.events import Progress, Say
from release.values.record import CURVES, Training, part

if TYPE_CHECKING:
    import torch
    from peft import LoraConfig
    from transformers import PreTrainedModel, PreTrainedTokenizerBase, TrainerCallback
    from trl import SFTConfig, SFTTrainer

LONGEST = 7 * 24 * 3600
"""Seconds that processes wait for the first, which evaluates alone; when it dies their launcher ends them at once."""
NO_LIMITS: Mapping[int, float] = MappingProxyType({})
LIMITS = "limits.json"
"""In a run folder: the losses over which the try that is trained there is pruned, by step."""
OURS = (
    *("processes", "padding_free", "use_liger_kernel"),
    *("activation_checkpointing", "over", "eval_steps", "eval_generate", "load_best_model_at_end"),
    *("metric_for_best_model", "early_stopping_patience", "on_divergence", "save_minutes"),
)
"""Settings of training that the Trainer is not told: this module and `evaluation` do what they say."""


def train(run: Path, base: bases.Base, place: Place, say: Say, limits: Mapping[int, float] = NO_LIMITS) -> Adapter:
    """The adapter of this run folder: trained now in this place, or found finished and unchanged.

    ``limits`` are of the losses of the tuning rows by step, over which a try of a search is pruned.
    """
    record = run / "training.json"
    while not record.exists():
        config, turned = load_config(run / "config.yaml"), len(divergence.done(run))
        limited = spending.is_limited(config.budget)
        many = config.training.processes or 1
        say(Progress(name=callbacks.NAME, done=0, total=0))
        place.of(many, many).call(
            __name__,
            [run, base.folder, *_limits_file(run, limits)],
            reads=[base.folder],
            writes=[run.parent if limited else run],  # what attempts have cost is kept beside the run folders
            say=say,
            log=run / "train.log",
        )
        if not record.exists() and len(divergence.done(run)) == turned:
            raise RuntimeError(f"training ended without {record}")
    told = json.loads(record.read_bytes())
    files = Manifest.of_folder(run / "adapter")
    if [asdict(file) for file in files.files] != told["files"]:
        raise VerificationError(
            f"{run / 'adapter'} is not the adapter that training wrote (see {record}). It is left as it is. "
            f"Restore its files, or move {run} away and run again to train anew."
        )
    _same_metrics(run, told)
    return Adapter(folder=run / "adapter", files=files, training=part(Training, told))


def _limits_file(run: Path, limits: Mapping[int, float]) -> list[Path]:
    """Where they are written for the process that trains, if there are any: an argument holds 128 KiB."""
    if not limits:
        return []
    write_atomically(run / LIMITS, canonical_json({str(step): limit for step, limit in limits.items()}))
    return [run / LIMITS]


def _same_metrics(run: Path, told: Mapping[str, Any]) -> None:
    """Stop where what was measured while it trained is not what training wrote."""
    metrics = run / layout.TRAINING_METRICS
    said = (told.get("evaluation") or {}).get("metrics_sha256")
    if said is not None and not (metrics.exists() and sha256_file(metrics) == said):
        raise VerificationError(f"{metrics} is not what training wrote. Restore it, or move {run} away and run again.")


def run_training(run: Path, base_folder: Path, say: Say, limits: Mapping[int, float] = NO_LIMITS) -> None:
    """Train, and write ``adapter/`` and then ``training.json`` into ``run``; without it training goes back a little."""
    config = load_config(run / "config.yaml")
    loading.apart_from_others(config.model, say)
    reporting.prepare(run, config.training.report_to or (), say)
    arithmetic.make_deterministic(config.run.seed, environment.threads(config.run.threads))
    trainer = build_trainer(config, run, base_folder, say, limits)
    started_from, made = _tensor_digest(trainer), sharded.shapes(trainer.model)
    checkpoint = _checkpoint(run, config)
    machines = [] if launched.rank() else arithmetic.machines(run, goes_on=checkpoint is not None, say=say)
    started = time.monotonic()
    if checkpoint and _has_ended(checkpoint, config, run):
        _take_over(trainer, checkpoint)
    elif _turned_back(trainer, checkpoint, config, run, say):
        return
    last = sharded.trained(trainer.model)
    if launched.rank():
        return
    evaluated, best = _evaluated(trainer, config, run)
    turned = divergence.done(run)
    _save_adapter(trainer, sharded.whole(best or last, made), config, run, base_folder)
    write_atomically(
        run / "training.json",
        canonical_json(
            {
                "files": [asdict(file) for file in Manifest.of_folder(run / "adapter").files],
                "lora_init_sha256": started_from,
                "over": list(forms.trained_over(config)),
                "steps": trainer.state.global_step,
                **({"machines": machines} if len(machines) > 1 else {}),
                **({"processes": launched.count()} if launched.count() > 1 else {}),
                "losses": losses(trainer.state.log_history),
                "curves": curves(trainer.state.log_history),
                "tokens": trainer.state.num_input_tokens_seen,
                "trainable_parameters": sum(p.numel() for p in trainer.model.parameters() if p.requires_grad),
                "resumed_from_step": callbacks.step_of(checkpoint) if checkpoint else None,
                "seconds": round(time.monotonic() - started, 1),
                "peak_memory_bytes": environment.peak_memory_bytes(),
                "image_digest": environment.image_digest(),
                "gpu_peak_memory_bytes": environment.gpu_peak_memory_bytes(),
                **({"evaluation": evaluated} if evaluated else {}),
                **({"interventions": [asdict(one) for one in turned]} if turned else {}),
                **arithmetic.surroundings(),
            }
        ),
    )
    shutil.rmtree(run / "checkpoints", ignore_errors=True)


def _checkpoint(run: Path, config: Config) -> Path | None:
    """The one that training goes on from, the same in each process; what it cannot go on from is taken away."""
    if not launched.rank():
        callbacks.clear_halves(run / "checkpoints")
    together.wait()
    checkpoint = callbacks.last_whole_checkpoint(run / "checkpoints")
    known = checkpoint is None or evaluation.knows(run, config, checkpoint)
    together.wait()
    if known:
        return checkpoint
    if not launched.rank():
        shutil.rmtree(run / "checkpoints")  # none of them is gone on from, and the last would hide those to come
    return None


def _turned_back(trainer: "SFTTrainer", checkpoint: Path | None, config: Config, run: Path, say: Say) -> bool:
    """Train to the end; or to where it went wrong, from where a fresh process goes back and on, as after a kill."""
    heard: list[int] = trainer.heard
    try:
        with interrupted.kept(trainer, say, heard):
            trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    except together.Left:
        return True
    except divergence.Diverged as found:
        together.leave()
        if launched.rank():
            return True
        found.good = divergence.last_good(trainer.guard.seen, found.good)
        trainer.callback_handler.on_train_end(trainer.args, trainer.state, trainer.control)  # what it cost is counted
        divergence.turn_back(run, config, found, trainer.state.save_steps, say)
        if heard:
            sys.exit(128 + heard[0])
        return True
    except (evaluation.Pruned, evaluation.Over) as end:
        together.leave()
        trainer.callback_handler.on_train_end(trainer.args, trainer.state, trainer.control)
        if isinstance(end, evaluation.Pruned):
            raise
    if evaluation.owed(run, config, trainer.state.global_step, trainer.state.max_steps):
        interrupted.leave(heard, trainer.state, say)
    return False


def _evaluated(
    trainer: "SFTTrainer", config: Config, run: Path
) -> "tuple[dict[str, object] | None, dict[str, torch.Tensor] | None]":
    """Write down what was measured, None where nothing was; and the best state, where it is to be kept."""
    if config.training.eval_steps is None:
        return None, None
    logged = trainer.state.log_history
    found, kept = evaluation.kept(run, config, trainer.state.global_step)
    best = None if kept.best_step is None else evaluation.state_of(run, kept.best_step)
    content = training_metrics.written(losses(logged), curves(logged), found, kept, divergence.done(run))
    write_atomically(run / layout.TRAINING_METRICS, content)
    told: dict[str, object] = {"metrics_sha256": hashlib.sha256(content).hexdigest(), "best_step": kept.best_step}
    return told | {"stopped_early": kept.stopped_early}, best


def losses(logged: Sequence[Mapping[str, float]]) -> list[tuple[int, float]]:
    """Step and loss, as logged."""
    return [(int(entry["step"]), float(entry["loss"])) for entry in logged if "loss" in entry]


def curves(logged: Sequence[Mapping[str, float]]) -> dict[str, list[tuple[int, float]]]:
    """Step and value of each thing that is logged over steps, but the loss; what was never logged is left out."""
    found = {name: [(int(entry["step"]), float(entry[name])) for entry in logged if name in entry] for name in CURVES}
    return {name: points for name, points in found.items() if points}


def _has_ended(checkpoint: Path, config: Config, run: Path) -> bool:
    """Whether training came to its end with this checkpoint: the Trainer would make one step more from it."""
    state = json.loads((checkpoint / "trainer_state.json").read_bytes())
    step, last = state["global_step"], state["max_steps"]
    is_last = step >= last and not evaluation.owed(run, config, step, last)
    return is_last or evaluation.ended(run, config, checkpoint)


def _take_over(trainer: "SFTTrainer", checkpoint: Path) -> None:
    """Put the trainer where it was when it made this checkpoint."""
    from transformers import TrainerState

    trainer._load_from_checkpoint(str(checkpoint))  # noqa: SLF001  what its own resume calls
    trainer.state = TrainerState.load_from_json(str(checkpoint / "trainer_state.json"))


def build_trainer(
    config: Config, run: Path, base_folder: Path, say: Say, limits: Mapping[int, float] = NO_LIMITS
) -> "SFTTrainer":
    """TRL's trainer over the base model, with the rows of the run folder as token ids; TRL renders nothing."""
    import torch
    from datasets import Dataset

    chat = chats.read(
        base_folder, chats.Wanted(template=run / layout.CHAT_TEMPLATE, arguments=config.model.chat_template_kwargs)
    )
    rows = gates.read_golden(run / "data" / "train.jsonl")
    examples = _examples(rows, chat, config.data)
    tokenizer = _tokenizer(base_folder, run, chat)
    asked = [(row.prompt, example.asked) for row, example in zip(rows, examples, strict=True)]
    if problem := loading.asks_otherwise(tokenizer, chat, asked):
        raise PreflightError(f"{problem} Nothing was trained.")
    over = forms.trained_over(config)
    model = _base_model(config, base_folder, over)
    both = _both(model, base_folder, config) if len(over) > 1 else None
    _refuse_unmatched(model, config)
    dataset = Dataset.from_list(
        [{"input_ids": [*one.asked, *one.learned], "labels": one.labels(loss.IGNORED)} for one in examples]
    )
    guard, heard = sft_trainer.guard(config, say), list[int]()
    plan = evaluation.planned(config, run, base_folder, chat, partial(_as_trained, both, config), limits)
    watched = sft_trainer.watched_class(divergence.schedule(config, divergence.done(run)))
    trainer: SFTTrainer = (sharded.trainer_class(watched) if config.training.fsdp else watched)(
        model=model,
        args=training_arguments(config, run / "checkpoints", cuda=torch.cuda.is_available()),
        train_dataset=dataset,
        processing_class=tokenizer,
        peft_config=lora_config(config, model),
        callbacks=[
            *([base_weights.alternate(both, over)] if both else []),
            callbacks.watch(say),
            guard,
            *_deciding(config, run, plan, say, heard),
            together.agree(),
        ],
    )
    if list(trainer.train_dataset["labels"]) != list(dataset["labels"]):
        raise RuntimeError("TRL changed the rows that it was given")
    guard.trainer, trainer.guard, trainer.heard = trainer, guard, heard
    trainer.fused = bool(config.training.use_liger_kernel)
    trainer.add_callback(sft_trainer.running_loss(trainer))
    return trainer


def _tokenizer(base_folder: Path, run: Path, chat: chats.Chat) -> "PreTrainedTokenizerBase":
    """The tokenizer that the adapter will have, read back from its files as whoever loads it will read it."""
    with tempfile.TemporaryDirectory() as folder:
        write_tokenizer(base_folder, run, Path(folder))
        return loading.load_tokenizer(Path(folder), chat)


def _refuse_unmatched(model: "PreTrainedModel", config: Config) -> None:
    """Raises ``PreflightError`` where a name of ``target_modules`` is that of no module."""
    targets = config.adapter.lora.target_modules
    if targets != ALL_LINEAR and (missing := uncalled(targets, [name for name, _ in model.named_modules()])):
        raise PreflightError(
            f"adapter.lora.target_modules names {', '.join(missing)}, which no module of {config.model.base_model_id} "
            "is called. Such a name would be skipped silently. Take it out, or name the model's own modules."
        )


def _deciding(
    config: Config, run: Path, plan: evaluation.Plan | None, say: Say, heard: Sequence[int]
) -> "Iterator[TrainerCallback]":
    """What may save or stop after a step, beside the guard: an evaluation, the budget, the clock.

    The budget is asked when all else has had its say: a training that ends at this step anyway costs no further one.
    """
    if plan and not launched.rank():
        yield evaluation.watch(plan, say, heard)
    if not launched.rank():
        yield evaluation.log(run)
    if meter := _meter(config, run):
        yield callbacks.budget(meter, say)
    if minutes := config.training.save_minutes:
        yield callbacks.timed(minutes)


def _base_model(config: Config, base_folder: Path, over: Sequence[str]) -> "PreTrainedModel":
    """The base as it is trained over, with the kernels that are asked for; ``PreflightError`` where they do not fit."""
    import torch

    said = loading.loaded_as(
        config.adapter, "nf4" if "nf4" in over else "unquantized", config.model.attn_implementation
    )
    code, to_share = config.model.trust_remote_code, bool(config.training.fsdp)
    model = loading.load_model(base_folder, said, trust_remote_code=code, to_share=to_share)
    if config.training.use_liger_kernel:
        if why := liger.problem(cuda=torch.cuda.is_available()):
            raise PreflightError(f"{why} Nothing was trained.")
        liger.put_on(model)
    if config.training.padding_free:
        rows_apart.must_be(model)
    return model


def _both(model: "PreTrainedModel", base_folder: Path, config: Config) -> base_weights.Now:
    """The unquantized weights beside those of ``model``, in the memory of the host, and which of them compute."""
    plain = replace(loading.loaded_as(config.adapter, "unquantized"), device="cpu")
    other = loading.load_model(base_folder, plain, trust_remote_code=config.model.trust_remote_code)
    return base_weights.both(model, other)


def _as_trained(both: base_weights.Now | None, config: Config) -> None:
    """Let the base compute in the precision of the form that the adapter is trained in, until the next step begins."""
    if both is not None:
        both.precision = forms.precision(Form(), config.adapter)


def training_arguments(config: Config, output: Path, *, cuda: bool) -> "SFTConfig":
    """The configuration in TRL's own names; what is not the user's choice is fixed here, with its reason."""
    from trl import SFTConfig

    values = {name: value for name, value in asdict(config.training).items() if name not in (*OURS, "report_to")}
    checkpointing = config.training.activation_checkpointing
    arguments = SFTConfig(
        **values,
        fsdp_config={"version": 2} if config.training.fsdp else None,  # the rest as accelerate has it
        output_dir=str(output),
        seed=config.run.seed,
        use_cpu=not cuda,
        bf16=cuda,
        activation_checkpointing=cuda if checkpointing == "auto" else checkpointing,
        max_length=None,  # TRL cuts long rows silently and loses their end; _examples refuses them instead
        packing=False,
        padding_free=bool(config.training.padding_free),
        save_strategy="steps",
        save_total_limit=2 if config.training.on_divergence is None else None,  # the guard knows which may go
        logging_nan_inf_filter=False,  # the default logs a NaN loss as 0.0
        logging_first_step=True,  # so that the shortest run has a loss on record
        # without an attention mask transformers takes the padding token for padding, and it may be a row's own end
        include_num_input_tokens_seen="all" if config.training.padding_free else "non_padding",
        report_to=list(config.training.report_to or ["none"]),
        project=config.run.name,  # what trackio calls it
        push_to_hub=False,
        disable_tqdm=True,
        dataloader_pin_memory=cuda,
        ddp_find_unused_parameters=False,
        ddp_timeout=LONGEST,
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
        target_modules="all-linear" if lora.target_modules == ALL_LINEAR else list(lora.target_modules),
        exclude_modules=built_modules.excluded(model),
        task_type="CAUSAL_LM",
    )


def _meter(config: Config, run: Path) -> spending.Meter | None:
    """What counts this attempt's cost; None where the configuration sets no limit, and for all processes but one."""
    if launched.rank() or not spending.is_limited(config.budget):
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


def _save_adapter(
    trainer: "SFTTrainer", learned: "Mapping[str, torch.Tensor]", config: Config, run: Path, base_folder: Path
) -> None:
    """Write ``adapter/`` in one rename: weights, a canonical configuration, the base's tokenizer, the chat template."""
    import torch

    broken = [name for name, one in learned.items() if not torch.isfinite(one).all()]
    if broken:
        raise GatesFailed(callbacks.diverged(f"{len(broken)} tensors hold NaN or infinity", trainer.state.global_step))
    from_peft, whole, adapter = run / ".peft.tmp", run / ".adapter.tmp", run / "adapter"
    for left in (from_peft, whole, adapter):
        shutil.rmtree(left, ignore_errors=True)
    state = {**sharded.state(trainer.model), **learned}
    trainer.model.save_pretrained(str(from_peft), state_dict=state, safe_serialization=True)
    whole.mkdir()
    shutil.copyfile(from_peft / layout.WEIGHTS, whole / layout.WEIGHTS)
    sharded.refuse_partial(whole / layout.WEIGHTS, learned)
    write_tokenizer(base_folder, run, whole)
    settings = json.loads((from_peft / layout.SETTINGS).read_bytes())
    settings |= {"base_model_name_or_path": config.model.base_model_id, "revision": config.model.revision}
    settings["target_modules"] = sorted(settings["target_modules"])  # PEFT writes a set: another order each time
    write_atomically(whole / layout.SETTINGS, canonical_json(settings))
    shutil.rmtree(from_peft)
    whole.rename(adapter)


def _stage(arguments: Sequence[str], say: Say) -> None:
    """``RUN BASE [LIMITS]``, these a file."""
    run, base, *limited = arguments
    limits = {int(step): float(limit) for one in limited for step, limit in json.loads(Path(one).read_bytes()).items()}
    run_training(Path(run), Path(base), say, limits)


if __name__ == "__main__":
    child.main(_stage)
