"""What is done between the steps of training: progress, checkpoints marked, the cost."""

import json
import shutil
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from gates.canonical import canonical_json
from release.models import together
from release.running import launched, spending
from release.values.artifacts import Manifest, write_atomically
from release.values.events import Line, Progress, Say

if TYPE_CHECKING:
    from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

NAME = "training"


def watch(say: Say) -> "TrainerCallback":
    """Shows progress, and marks each checkpoint as whole."""
    from transformers import TrainerCallback

    class Watch(TrainerCallback):  # type: ignore[misc]  # transformers' callbacks are untyped
        def on_step_end(self, _args: object, state: "TrainerState", _control: object, **_: object) -> None:
            say(Progress(name=NAME, done=state.global_step, total=state.max_steps))

        def on_save(self, args: "TrainingArguments", state: "TrainerState", _control: object, **_: object) -> None:
            together.wait()  # each process writes its own generators' state into the folder
            if launched.rank():
                return
            folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
            files = [asdict(file) for file in Manifest.of_folder(folder).files]
            write_atomically(folder.with_suffix(".json"), canonical_json(files))

    return Watch()


def budget(meter: spending.Meter, say: Say) -> "TrainerCallback":
    """Counts this attempt's cost, tells when a mark is passed, and stops with a checkpoint before the limit.

    It stops no training that another callback before it ends.
    """
    from transformers import TrainerCallback

    class Budget(TrainerCallback):  # type: ignore[misc]
        started, steps, over = time.monotonic(), 0, False
        counted, told = meter, meter.cost(0)

        def on_step_end(self, _args: object, state: "TrainerState", control: "TrainerControl", **_: object) -> None:
            self.steps += 1
            seconds = time.monotonic() - self.started
            step = seconds / self.steps
            self.counted = self.counted.before_a_step(seconds, step)
            for alert in self.counted.passed_since(self.told, seconds):
                say(Line(text=f"  {alert}"))
            self.told = self.counted.cost(seconds)
            ends = control.should_training_stop or state.global_step >= state.max_steps
            if not ends and self.counted.must_stop(seconds, step):
                self.over = control.should_save = control.should_training_stop = True

        def on_save(self, _args: object, _state: object, _control: object, **_: object) -> None:
            self.counted.write(time.monotonic() - self.started)

        def on_train_end(self, _args: object, _state: object, _control: object, **_: object) -> None:
            seconds = time.monotonic() - self.started
            self.counted.write(seconds)
            if self.over:
                raise self.counted.stopped(seconds)

    return Budget()


def timed(minutes: float) -> "TrainerCallback":
    """Asks for a checkpoint at the end of a step after which the last one is older than so many minutes."""
    from transformers import TrainerCallback

    class Timed(TrainerCallback):  # type: ignore[misc]
        saved = time.monotonic()

        def on_train_begin(self, _args: object, _state: object, _control: object, **_: object) -> None:
            self.saved = time.monotonic()

        def on_step_end(self, _args: object, _state: object, control: "TrainerControl", **_: object) -> None:
            if time.monotonic() - self.saved >= 60 * minutes:
                control.should_save = True

        def on_save(self, _args: object, _state: object, _control: object, **_: object) -> None:
            self.saved = time.monotonic()

    return Timed()


def step_of(checkpoint: Path) -> int:
    """The step after which a checkpoint was made, by its name."""
    return int(checkpoint.name.rpartition("-")[2])


def clear_halves(folder: Path) -> None:
    """Take away what a kill left half made: the Trainer would count it among those that it keeps."""
    for one in folder.glob("checkpoint-*"):
        if one.is_dir() and not one.with_suffix(".json").exists():
            shutil.rmtree(one)


def last_whole_checkpoint(folder: Path) -> Path | None:
    """The newest checkpoint whose files are all as they were when it was marked whole."""
    marks = sorted(folder.glob("checkpoint-*.json"), key=lambda mark: step_of(mark.with_suffix("")), reverse=True)
    for mark in marks:
        checkpoint = mark.with_suffix("")
        if not checkpoint.is_dir():
            continue
        if [asdict(file) for file in Manifest.of_folder(checkpoint).files] == json.loads(mark.read_bytes()):
            return checkpoint
    return None


def thin(folder: Path, until: int) -> None:
    """Leave the two newest checkpoints, and the newest that is not after the step ``until``; take the others away."""
    steps = sorted(step_of(mark.with_suffix("")) for mark in folder.glob("checkpoint-*.json"))
    kept = {*steps[-2:], *[step for step in steps if step <= until][-1:]}
    for step in set(steps) - kept:
        take_away(folder / f"checkpoint-{step}")


def take_away(checkpoint: Path) -> None:
    """Remove a checkpoint, its mark first: what is left of one that was killed here is none."""
    checkpoint.with_suffix(".json").unlink()
    shutil.rmtree(checkpoint, ignore_errors=True)


def diverged(what: str, step: int) -> str:
    return (
        f"Training diverged: {what} at step {step}. There is no adapter to judge and nothing was published. "
        "Lower training.learning_rate, raise training.warmup_steps, or look for broken rows, and run again."
    )
