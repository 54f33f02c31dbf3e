"""Tuning rows evaluated while an adapter is trained: their loss, the gates of some generated answers, the best state.

Training is not disturbed: the state of every random generator is put back, so the adapter of a step has the same bytes
with and without evaluation. What was found lies in the run folder, and a resumed training goes on from it.
"""

import contextlib
import json
import math
import os
import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import gates
from gates.canonical import canonical_json
from gates.shown import counted
from release.config.evaluating import metric
from release.config.settings import Config, Form
from release.data import chat as chats
from release.data.chat import Example
from release.data.dataset import few, rendered
from release.models import callbacks, divergence, interrupted, loss, sharded
from release.models.engines import engine, transformers
from release.models.engines.engine import Asked, Prompt
from release.running import environment
from release.values import layout, pruning, training_metrics
from release.values.artifacts import write_atomically
from release.values.errors import GatesFailed
from release.values.events import Line, Say
from release.values.training_metrics import JSON, Evaluation, Kept

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, TrainerCallback, TrainerControl, TrainerState

METRICS = "metrics.jsonl"
"""In a run folder: a row for each step that was logged or evaluated, written as it goes."""
PRUNED = "pruned.json"
"""In the run folder of a try that was pruned: how."""
ALWAYS = (JSON, "schema_compliance")
"""Gates that are measured whatever the policy requires."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is evaluated, how often, and what follows."""

    run: Path
    every: int
    turns: bool
    """Whether a collapse ends the training, as ``training.on_divergence`` says, and is not only told of."""
    metric: str | None
    patience: int | None
    examples: Sequence[Example]
    batch: int
    asked: Asked
    """How answers are generated."""
    judged: Sequence[gates.Golden]
    """The tuning rows whose answers are generated."""
    prompts: Sequence[Prompt]
    contract: gates.Contract
    gates: Sequence[str]
    limits: Mapping[int, float] = field(default_factory=dict)
    """By step: a best loss so far above it ends a try of a search."""
    as_trained: Callable[[], None]
    """Lets the base compute in the precision of the form that the adapter is trained in."""


def planned(
    config: Config,
    run: Path,
    base: Path,
    chat: chats.Chat,
    as_trained: Callable[[], None],
    limits: Mapping[int, float],
) -> Plan | None:
    """What the configuration asks for; None where nothing is evaluated."""
    training = config.training
    if training.eval_steps is None:
        return None
    rows = gates.read_golden(run / layout.DATA["tuning"])
    judged = [rows[number] for number in few(rows, training.eval_generate or 0)]
    contract = json.loads((run / layout.in_run(layout.CONTRACT)).read_bytes())
    policy = gates.load_policy(json.loads((run / layout.in_run(layout.POLICY)).read_bytes()))
    best = metric(config)
    measured = [*ALWAYS, *(bar.gate for bar in policy.bars if bar.required)]
    measured += [best.removeprefix("eval_")] if best and best != training_metrics.LOSS else []
    return Plan(
        run=run,
        every=training.eval_steps,
        turns=training.on_divergence is not None and training.on_divergence.action != "warn",
        metric=best,
        patience=training.early_stopping_patience,
        examples=rendered(rows, chat, config.data.learn),
        batch=training.per_device_train_batch_size,  # what is known to fit
        asked=Asked(
            base=base,
            adapter=run / "adapter",
            chat=chat,
            settings=config,
            form=Form(),
            schema=run / layout.in_run(layout.ANSWER_SCHEMA),
            exports=run / layout.EXPORTS,
        ),
        judged=judged,
        prompts=engine.prompts(judged, chat),
        contract=gates.load_contract(contract, run, kept=True),
        gates=[name for name in dict.fromkeys(measured) if name in gates.GATES] if judged else [],
        as_trained=as_trained,
        limits=limits,
    )


class Pruned(GatesFailed):
    """A try of a search that promises less than those before it; ``pruned.json`` in its run folder says how."""


class Over(Exception):
    """Training goes no further: an evaluation that was cut by a signal was made up for, or was cut once more."""


def watch(plan: Plan, say: Say, heard: Sequence[int]) -> "TrainerCallback":
    """Evaluates after each so many steps and after the last, keeps the best state, and stops when patience ends.

    A signal in ``heard`` ends an evaluation. The checkpoint of its step owes it, and who goes on from there begins so.
    """
    from transformers import TrainerCallback

    class Evaluate(TrainerCallback):  # type: ignore[misc]  # transformers' callbacks are untyped
        found: list[Evaluation]
        started = 0.0

        def on_train_begin(
            self,
            _args: object,
            state: "TrainerState",
            control: "TrainerControl",
            *,
            model: "PreTrainedModel",
            **_: object,
        ) -> None:
            self.found, self.started = goes_on(plan.run, state.global_step), time.monotonic()
            if not _owed(plan.every, self.found, state.global_step, state.max_steps):
                return
            whole = self.evaluate(state, control, model)
            if not whole or control.should_training_stop or state.global_step >= state.max_steps:
                raise Over

        def on_step_end(
            self,
            _args: object,
            state: "TrainerState",
            control: "TrainerControl",
            *,
            model: "PreTrainedModel",
            **_: object,
        ) -> None:
            if _due(plan.every, state.global_step, state.max_steps):
                self.evaluate(state, control, model)

        def evaluate(self, state: "TrainerState", control: "TrainerControl", model: "PreTrainedModel") -> bool:
            """Whether it came to its end."""
            try:
                self.found.append(measured(plan, model, state.global_step, heard))
            except interrupted.Cut:
                return False
            control.should_training_stop |= _ends(plan, model, self.found, self.started, say)
            _prune(plan, self.found, state.max_steps)
            return True

    return Evaluate()


def _ends(plan: Plan, model: "PreTrainedModel", found: Sequence[Evaluation], started: float, say: Say) -> bool:
    """Keep and tell what was measured last; whether patience ends with it."""
    _look(plan, found, say)
    if plan.metric and training_metrics.best(found, plan.metric) is found[-1]:
        _keep(plan.run, model, found, plan.metric)
    _append(plan.run, {**found[-1].as_dict(), **_spent(started)})
    say(Line(text=told(found)))
    stops = training_metrics.stops(found, plan.metric, plan.patience)
    if stops:
        say(Line(text=f"  {plan.metric} has not been better for {plan.patience} evaluations: training ends"))
    return stops


def _prune(plan: Plan, found: Sequence[Evaluation], last: int) -> None:
    """Raise ``Pruned`` where the losses so far say so."""
    losses = [(one.step, one.loss) for one in found]
    if pruned := pruning.pruned(losses, plan.limits, last):
        write_atomically(plan.run / PRUNED, canonical_json(asdict(pruned)))
        raise Pruned(f"The try was {pruning.said(pruned)}. There is no adapter to judge.")


def log(run: Path) -> "TrainerCallback":
    """Writes down what the Trainer logs, beside what is evaluated where something is."""
    from transformers import TrainerCallback

    class Log(TrainerCallback):  # type: ignore[misc]  # transformers' callbacks are untyped
        started, before, tokens = 0.0, 0.0, 0

        def on_train_begin(self, _args: object, state: "TrainerState", _control: object, **_: object) -> None:
            goes_on(run, state.global_step)
            self.started = self.before = time.monotonic()
            self.tokens = state.num_input_tokens_seen

        def on_log(
            self, _args: object, state: "TrainerState", _control: object, *, logs: Mapping[str, float], **_: object
        ) -> None:
            if "loss" in logs:
                now, seen = time.monotonic(), state.num_input_tokens_seen
                speed = {"tokens_per_second": round((seen - self.tokens) / max(now - self.before, 1e-9), 1)}
                _append(run, {"step": state.global_step, **logs, **speed, **_spent(self.started)})
                self.before, self.tokens = now, seen

    return Log()


def _due(every: int, step: int, last: int) -> bool:
    """Whether an evaluation follows this step."""
    return step > 0 and (step % every == 0 or step >= last)


def _owed(every: int, found: Sequence[Evaluation], step: int, last: int) -> bool:
    """Whether the one that follows this step is not among those that were made."""
    return _due(every, step, last) and step not in {one.step for one in found}


def owed(run: Path, config: Config, step: int, last: int) -> bool:
    """Whether a signal ended the evaluation that follows this step; ``last`` is the step that training ends with."""
    every = config.training.eval_steps
    return every is not None and _owed(every, _evaluations(run, step), step, last)


def _look(plan: Plan, found: Sequence[Evaluation], say: Say) -> None:
    """Raise ``Diverged`` where answers ceased to be JSON, or tell of it."""
    fell = divergence.collapsed([(each.step, each.gates[JSON]) for each in found if JSON in each.gates])
    if fell and plan.turns:
        raise fell
    if fell:
        say(Line(text=f"  {divergence.warning(fell)}"))


def measured(plan: Plan, model: "PreTrainedModel", step: int, heard: Sequence[int]) -> Evaluation:
    """The tuning rows as this state of the adapter answers them; ``Cut`` where a signal is in ``heard``."""
    with _undisturbed(model), interrupted.cut(model, heard):
        plan.as_trained()
        mean = _loss(model, plan.examples, plan.batch)
        outputs = list(transformers.answers(plan.asked, model, plan.prompts)) if plan.prompts else []
    if not math.isfinite(mean):
        raise divergence.Diverged(training_metrics.LOSS, mean, limit=None, step=step, good=step - 2)
    said = {one.id: one for one in outputs}
    answers = [gates.read_answer(row, said[row.id], plan.contract) for row in plan.judged]
    scores = {name: gates.GATES[name](answers) for name in plan.gates}
    return Evaluation(step=step, loss=mean, gates={name: (one.k, one.n) for name, one in scores.items()})


@contextlib.contextmanager
def _undisturbed(model: "PreTrainedModel") -> Iterator[None]:
    """The model evaluates, and learns nothing; every random generator goes on as if nothing had been asked."""
    import numpy as np
    import torch

    state, numbers, training = random.getstate(), np.random.get_state(), model.training  # noqa: NPY002  the Trainer's
    cards = range(torch.cuda.device_count()) if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices=list(cards)), torch.no_grad():
        model.eval()
        try:
            yield
        finally:
            model.train(training)
            random.setstate(state)
            np.random.set_state(numbers)  # noqa: NPY002


def _loss(model: "PreTrainedModel", examples: Sequence[Example], size: int) -> float:
    """Mean cross entropy of the learned tokens of all rows; the longest together, so that little is padded."""
    import torch

    ordered = sorted(examples, key=lambda one: -one.total)
    total, counted = 0.0, 0
    for start in range(0, len(ordered), size):
        some = ordered[start : start + size]
        longest = some[0].total
        inputs, labels = _batch(some, longest, model.device)
        summed, n = loss.summed(model, inputs, labels)
        total, counted = total + float(torch.as_tensor(summed)), counted + int(n)
    return total / counted


def _batch(
    some: Sequence[Example], longest: int, device: "torch.device"
) -> "tuple[dict[str, torch.Tensor], torch.Tensor]":
    """Rows of one length, padded on the right with what is neither read nor learned."""
    import torch

    def padded(rows: Sequence[Sequence[int]], filler: int) -> "torch.Tensor":
        return torch.tensor([[*row, *[filler] * (longest - len(row))] for row in rows], device=device)

    ids = [[*one.asked, *one.learned] for one in some]
    mask = padded([[1] * len(row) for row in ids], 0)
    labels = padded([one.labels(loss.IGNORED) for one in some], loss.IGNORED)
    return {"input_ids": padded(ids, 0), "attention_mask": mask}, labels


def told(found: Sequence[Evaluation]) -> str:
    """The last evaluation in a line: its loss, the gates that are not all right, all losses so far as small bars."""
    last, losses = found[-1], [one.loss for one in found]
    in_order = sorted(last.gates.items(), key=lambda one: one[0] != training_metrics.JSON)
    rates = [f"{name} {k}/{n}" for name, (k, n) in in_order if name == training_metrics.JSON or k < n or not n]
    if others := len(in_order) - len(rates):
        rates.append(f"{counted(others, 'other gate')} all right")
    perplexity = f"perplexity {training_metrics.perplexity(last.loss):.4g}"
    said = ", ".join([f"{training_metrics.LOSS} {last.loss:.4g}", perplexity, *rates])
    return f"  step {last.step}: {said}  {training_metrics.bars(losses)}"


def goes_on(run: Path, step: int) -> list[Evaluation]:
    """The evaluations up to a step, from where training goes on; what came after it is taken out of the file."""
    rows = [row for row in _rows(run) if row["step"] <= step]
    write_atomically(run / METRICS, "".join(json.dumps(row) + "\n" for row in rows).encode())
    return _of_rows(rows)


def knows(run: Path, config: Config, checkpoint: Path) -> bool:
    """Whether the run folder has every evaluation before a checkpoint, and the best of them; else it begins anew.

    The one at the checkpoint itself is made again where a signal ended it.
    """
    every, step = config.training.eval_steps, callbacks.step_of(checkpoint)
    if every is None:
        return True
    there = _evaluations(run, step)
    best = training_metrics.best(there, name) if (name := metric(config)) else None
    whole = {*range(every, step, every)} <= {one.step for one in there}
    return whole and (best is None or _state(run, best.step).exists())


def ended(run: Path, config: Config, checkpoint: Path) -> bool:
    """Whether training ended early at this checkpoint."""
    step = callbacks.step_of(checkpoint)
    there, patience = _evaluations(run, step), config.training.early_stopping_patience
    return bool(there) and there[-1].step == step and training_metrics.stops(there, metric(config), patience)


def kept(run: Path, config: Config, step: int) -> tuple[list[Evaluation], Kept]:
    """What was evaluated up to the last step, and which state of the adapter is kept."""
    found = _evaluations(run, step)
    kept = training_metrics.kept(found, metric(config), config.training.early_stopping_patience)
    if kept.metric and kept.best_step is None:
        raise GatesFailed(
            f"No evaluation counted anything for {kept.metric}: nobody can tell which state of the adapter is the "
            "best. Nothing was published. Name another training.metric_for_best_model, or evaluate more rows."
        )
    return found, kept


def state_of(run: Path, step: int) -> "dict[str, torch.Tensor]":
    """The adapter's tensors as they were after this step, which was the best."""
    from safetensors.torch import load_file

    found: dict[str, torch.Tensor] = load_file(str(_state(run, step)))
    return found


def _keep(run: Path, model: "torch.nn.Module", found: Sequence[Evaluation], name: str) -> None:
    """Save the trained parameters as the best, and let go of what no checkpoint could go on with."""
    from safetensors.torch import save_file

    state = _state(run, found[-1].step)
    state.parent.mkdir(exist_ok=True)
    save_file(sharded.trained(model), str(state.with_suffix(".tmp")))
    state.with_suffix(".tmp").rename(state)
    steps = [callbacks.step_of(one) for one in state.parent.glob("checkpoint-*") if one.is_dir()]
    until = [training_metrics.best([one for one in found if one.step <= step], name) for step in steps]
    needed = {state, *(_state(run, one.step) for one in until if one)}
    for other in set(state.parent.glob("best-*.safetensors")) - needed:
        other.unlink()


def _state(run: Path, step: int) -> Path:
    return run / "checkpoints" / f"best-{step}.safetensors"


def _evaluations(run: Path, step: int) -> list[Evaluation]:
    """Those up to a step."""
    return _of_rows(row for row in _rows(run) if row["step"] <= step)


def _of_rows(rows: Iterable[Mapping[str, float]]) -> list[Evaluation]:
    return [training_metrics.evaluation(row) for row in rows if training_metrics.LOSS in row]


def _rows(run: Path) -> list[dict[str, float]]:
    """What the file holds, less a last line of which a part is missing."""
    path = run / METRICS
    lines = path.read_text("utf-8").splitlines(keepends=True) if path.exists() else []
    return [json.loads(line) for line in lines if line.endswith("\n")]


def _append(run: Path, row: Mapping[str, object]) -> None:
    with (run / METRICS).open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")
        file.flush()
        os.fsync(file.fileno())  # a checkpoint that is there has its evaluation too


def _spent(started: float) -> dict[str, object]:
    """What another run would not give again: seconds since this start, and memory in bytes."""
    return {
        "seconds": round(time.monotonic() - started, 1),
        "peak_memory_bytes": environment.peak_memory_bytes(),
        "gpu_peak_memory_bytes": environment.gpu_peak_memory_bytes(),
    }
