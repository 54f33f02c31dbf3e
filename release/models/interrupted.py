"""A training that is ended by a signal: its step is finished and kept as a checkpoint before the process ends.

What is evaluated after the step is not finished: it is made again from the checkpoint.
"""

import contextlib
import signal
import sys
from collections.abc import Iterator, Sequence
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

from release.models import together
from release.values.events import Line, Say

if TYPE_CHECKING:
    from transformers import PreTrainedModel, TrainerCallback, TrainerControl, TrainerState
    from trl import SFTTrainer

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Cut(Exception):
    """A signal was heard in the middle of what is made again."""


@contextlib.contextmanager
def cut(model: "PreTrainedModel", heard: Sequence[int]) -> Iterator[None]:
    """A block that a signal ends with ``Cut`` before the model's next forward pass: within a token."""

    def look(*_: object) -> None:
        if heard:
            raise Cut

    hook = model.get_input_embeddings().register_forward_pre_hook(look)
    try:
        yield
    finally:
        hook.remove()


@contextlib.contextmanager
def kept(trainer: "SFTTrainer", say: Say, heard: list[int]) -> Iterator[None]:
    """A block in which a signal ends the training after its step, with a checkpoint, and then the process.

    ``heard`` gets the signals, for training may end in another way too.
    """

    def hear(number: int, _: FrameType | None) -> None:
        heard.append(number)

    before = {one: signal.getsignal(one) for one in SIGNALS}
    trainer.add_callback(_ending(heard, say))
    for one, old in before.items():
        if old is not signal.SIG_IGN:  # nohup's wish
            signal.signal(one, hear)
    try:
        yield
    finally:
        for one, old in before.items():
            signal.signal(one, old)


def _ending(heard: list[int], say: Say) -> "TrainerCallback":
    from transformers import TrainerCallback

    class Ending(TrainerCallback):  # type: ignore[misc]  # transformers' callbacks are untyped
        saved = 0

        def on_step_end(self, _args: object, _state: "TrainerState", control: "TrainerControl", **_: object) -> None:
            (loudest,) = together.largest([max(heard, default=0)])
            if loudest:
                heard[:] = [loudest]
                control.should_save = control.should_training_stop = True

        def on_save(self, _args: object, state: "TrainerState", _control: object, **_: object) -> None:
            self.saved = state.global_step

        def on_train_end(self, _args: object, state: "TrainerState", _control: object, **_: object) -> None:
            if heard and self.saved == state.global_step < state.max_steps:
                leave(heard, state, say)

    return Ending()


def leave(heard: Sequence[int], state: "TrainerState", say: Say) -> NoReturn:
    """End the process after this step, of which there is a checkpoint."""
    say(Line(text=f"  stopped after step {state.global_step} of {state.max_steps}, with a whole checkpoint"))
    sys.exit(128 + heard[0])  # not by the signal itself, which the first process of a container ignores
