"""The trainer of a run: TRL's over the base, with the run's rows as token ids, its LoRA, and what may save or stop."""

import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import gates
from gates.canonical import canonical_json
from release.config import forms
from release.config.settings import Config, Data, Form
from release.data import chat as chats
from release.data import evidence
from release.data.dataset import refuse, rendered
from release.models import (
    base_weights,
    built_modules,
    callbacks,
    divergence,
    evaluation,
    liger,
    loading,
    loss,
    rows_apart,
    sft_trainer,
    sharded,
    together,
)
from release.models.architecture import ALL_LINEAR, uncalled
from release.running import launched, price_list, spending
from release.values import layout
from release.values.artifacts import write_atomically
from release.values.errors import PreflightError
from release.values.events import Say

if TYPE_CHECKING:
    from peft import LoraConfig
    from transformers import PreTrainedModel, PreTrainedTokenizerBase, TrainerCallback
    from trl import SFTConfig, SFTTrainer

LONGEST = 7 * 24 * 3600
"""Seconds that processes wait for the first, which evaluates alone; when it dies their launcher ends them at once."""
NO_LIMITS: Mapping[int, float] = MappingProxyType({})
OURS = (
    *("processes", "padding_free", "use_liger_kernel"),
    *("activation_checkpointing", "over", "eval_steps", "eval_generate", "load_best_model_at_end"),
    *("metric_for_best_model", "early_stopping_patience", "on_divergence", "save_minutes"),
)
"""Settings of training that the Trainer is not told: this module and `evaluation` do what they say."""


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
    hour = price_list.of_this_machine(config)
    return spending.start(run.parent, config.budget, run.name, spending.attempt(), hour)


def _examples(rows: Sequence[gates.Golden], chat: chats.Chat, data: Data) -> tuple[chats.Example, ...]:
    """Every row as token ids; it must fit, and be learned as it would be asked."""
    examples = rendered(rows, chat, data.learn)
    refuse([why for row, one in zip(rows, examples, strict=True) for why in evidence.unfit(row, one, data.max_length)])
    return examples


def write_tokenizer(base_folder: Path, run: Path, folder: Path) -> None:
    """The tokenizer as it is published: the base's, with this run's chat template."""
    if (base_folder / "tokenizer.json").exists():
        shutil.copyfile(base_folder / "tokenizer.json", folder / "tokenizer.json")
    if (special := chats.special_tokens(base_folder)) is not None:
        write_atomically(folder / "special_tokens_map.json", special)
    write_atomically(folder / "tokenizer_config.json", canonical_json(chats.tokenizer_settings(base_folder)))
    shutil.copyfile(run / layout.CHAT_TEMPLATE, folder / layout.CHAT_TEMPLATE)
