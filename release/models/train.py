"""Train a QLoRA or LoRA adapter with transformers, peft and trl; a run killed in the middle goes on where it was."""

import hashlib
import json
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gates.canonical import canonical_json
from release.config import forms
from release.config.reading import load as load_config
from release.config.settings import Config
from release.models import (
    arithmetic,
    built_trainer,
    callbacks,
    divergence,
    evaluation,
    interrupted,
    loading,
    reporting,
    sharded,
    together,
)
from release.models import base as bases
from release.models.built_trainer import NO_LIMITS
from release.running import child, environment, launched, spending
from release.running.place import Place
from release.values import layout, training_metrics
from release.values.artifacts import Adapter, Manifest, sha256_file, write_atomically
from release.values.as_json import part
from release.values.errors import GatesFailed, VerificationError
from release.values.events import Progress, Say
from release.values.record import CURVES, Training

if TYPE_CHECKING:
    import torch
    from trl import SFTTrainer

LIMITS = "limits.json"
"""In a run folder: the losses over which the try that is trained there is pruned, by step."""


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
    trainer = built_trainer.build_trainer(config, run, base_folder, say, limits)
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


def _tensor_digest(trainer: "SFTTrainer") -> str:
    """sha256 over the adapter's tensors in name order: what the seed made of them."""
    import torch

    digest = hashlib.sha256()
    for name, parameter in sorted(trainer.model.named_parameters()):
        if parameter.requires_grad:
            digest.update(name.encode())
            digest.update(parameter.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


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
    built_trainer.write_tokenizer(base_folder, run, whole)
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
