"""The frozen base under an adapter in two precisions, between which training alternates from step to step."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from release.config.settings import Precision

if TYPE_CHECKING:
    import torch
    from torch.autograd.function import FunctionCtx
    from transformers import PreTrainedModel, TrainerCallback, TrainerState

    Multiply = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


@dataclass
class Now:
    """Which of a base's weights are computed with at this moment."""

    precision: Precision


def both(quantized: "PreTrainedModel", plain: "PreTrainedModel") -> Now:
    """Let each linear layer of ``quantized`` compute with the weights of ``plain`` too, as what is returned says.

    The weights of ``plain`` stay in the memory of the host, pinned where a card copies them: one layer at a time,
    forwards and again backwards, so that the card needs room for the largest layer and no more.
    """
    import torch

    now, multiply = Now(precision="nf4"), _multiply()
    for name, module in quantized.named_modules():
        if isinstance(module, torch.nn.Linear):  # bitsandbytes' layers of four bits are such
            weight = _as_linear(plain.get_submodule(name))
            if module.weight.shape != weight.shape or not weight.equal(module.weight.to(weight.device)):
                weight = weight.pin_memory() if module.weight.is_cuda else weight
                module.forward = _either(module, weight, now, multiply)  # type: ignore[method-assign,assignment]
    return now


def _as_linear(module: "torch.nn.Module") -> "torch.Tensor":
    """A layer's weight, (outputs, inputs): bitsandbytes makes such layers of GPT-2's Conv1D, where it is turned."""
    from transformers.pytorch_utils import Conv1D

    weight: torch.Tensor = module.get_parameter("weight").detach()
    return weight.t().contiguous() if isinstance(module, Conv1D) else weight


def _either(
    module: "torch.nn.Linear", weight: "torch.Tensor", now: Now, multiply: "Multiply"
) -> "Callable[[torch.Tensor], torch.Tensor]":
    quantized = module.forward

    def forward(given: "torch.Tensor") -> "torch.Tensor":
        if now.precision == "nf4":
            return quantized(given)
        product = multiply(given.to(weight.dtype), weight)
        return (product if module.bias is None else product + module.bias.to(weight.dtype)).to(given.dtype)

    return forward


def _multiply() -> "Multiply":
    """``given`` times a frozen weight, of which nothing is kept for the backward pass but where it is."""
    import torch

    class Frozen(torch.autograd.Function):
        @staticmethod
        def forward(
            ctx: "torch.autograd.function.FunctionCtx", given: torch.Tensor, weight: torch.Tensor
        ) -> torch.Tensor:
            ctx.weight = weight  # type: ignore[attr-defined]  # it may lie on the host, so it is not saved with the graph
            return torch.nn.functional.linear(given, weight.to(given.device, non_blocking=True))

        @staticmethod
        def backward(ctx: "FunctionCtx", gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
            weight = ctx.weight.to(gradient.device, non_blocking=True)  # type: ignore[attr-defined]
            return gradient.to(weight.dtype) @ weight, None  # autocast may have computed in another

    apply: Multiply = Frozen.apply
    return apply


def alternate(now: Now, over: Sequence[Precision]) -> "TrainerCallback":
    """Takes the precisions in turn, by the number of the optimizer step alone: a resumed run goes on as it was."""
    from transformers import TrainerCallback

    class Alternate(TrainerCallback):  # type: ignore[misc]  # transformers' callbacks are untyped
        def on_step_begin(self, _args: object, state: "TrainerState", _control: object, **_: object) -> None:
            now.precision = over[state.global_step % len(over)]

    return Alternate()
