"""Several processes of one stage: what they tell each other, and what one of them decides between steps, all do."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from release.running import launched

if TYPE_CHECKING:
    import torch
    from transformers import TrainerCallback, TrainerControl


class Left(Exception):
    """The first process has left the training, for it went wrong there."""


def largest(numbers: Sequence[int]) -> list[int]:
    """Of each number the largest that any process has; every process asks, or they wait for each other for ever."""
    if launched.count() == 1:
        return list(numbers)
    import torch

    found: list[int] = _reduced(torch.tensor(numbers), torch.distributed.ReduceOp.MAX).tolist()
    return found


def mean(number: float) -> float:
    """The mean over all processes, the same in each."""
    if launched.count() == 1:
        return number
    import torch

    summed = _reduced(torch.tensor(number, dtype=torch.float64), torch.distributed.ReduceOp.SUM)
    return float(summed) / launched.count()


def gathered(text: str) -> list[str]:
    """What each process says, the same list in each; they meet for this alone, and need each other no longer."""
    if launched.count() == 1:
        return [text]
    import torch

    found: list[str] = [""] * launched.count()
    torch.distributed.init_process_group("gloo")
    torch.distributed.all_gather_object(found, text)
    torch.distributed.destroy_process_group()
    return found


def _reduced(there: "torch.Tensor", how: "torch.distributed.ReduceOp.RedOpType") -> "torch.Tensor":
    import torch

    there = there.to("cuda" if torch.cuda.is_available() else "cpu")
    torch.distributed.all_reduce(there, how)
    return there


def wait() -> None:
    """Until every process is here."""
    largest([0])


def leave() -> None:
    """Tell the others, which wait in ``agree``, that training has ended here, or that it does not begin."""
    largest([0, 0, 1])


def agree() -> "TrainerCallback":
    """After every callback that decides something: when one process saves, stops or leaves after a step, all do."""
    from transformers import TrainerCallback

    class Agree(TrainerCallback):  # type: ignore[misc]  # transformers' callbacks are untyped
        def on_train_begin(self, _args: object, _state: object, _control: object, **_: object) -> None:
            if largest([0, 0, 0])[2]:
                raise Left

        def on_step_end(self, _args: object, _state: object, control: "TrainerControl", **_: object) -> None:
            save, stop, left = largest([control.should_save, control.should_training_stop, 0])
            if left:
                raise Left
            control.should_save, control.should_training_stop = bool(save), bool(stop)

    return Agree()
