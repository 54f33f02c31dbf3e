"""Rows side by side in one sequence, without padding: proof on the loaded base itself that none can see another.

What keeps them apart is each class's own: it must make its mask, and whatever else it carries from token to token, from
the positions. Some classes do not, and say nothing of it.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from release.values.errors import PreflightError, shown

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

FIRST, SECOND = 5, 7
"""Tokens of the two rows that are tried."""
IN_32_BITS, IN_16_BITS = 1e-3, 0.05
"""How far a row's logits may be from those of the row alone, in the mean, as a share of their standard deviation."""


def must_be(model: "PreTrainedModel") -> None:
    """``PreflightError`` where a row in a sequence with others would not be read as it is read alone."""
    if found := problem(model):
        raise PreflightError(
            f"training.padding_free is true, but {type(model).__name__} cannot have rows side by side: {found}. "
            "Nothing was trained. Take padding_free out: the rows of a batch are padded then."
        )


def problem(model: "PreTrainedModel") -> str:
    """What a row would see of the one before it, or why that cannot be asked; empty where it sees nothing.

    The second row's logits must not depend on the first row's tokens at all: their gradient is exactly zero. And they
    must be those of the row alone, which a class that counts positions through the whole sequence does not give.
    """
    import torch

    training = model.training
    model.eval()
    try:
        reached, beside = _second(model)
        with torch.no_grad():
            alone = model(**_batch(model, [_row(model, SECOND)]), use_cache=False).logits[0].float()
    except torch.OutOfMemoryError:
        raise
    except (AttributeError, ImportError, LookupError, RuntimeError, TypeError, ValueError) as error:
        return f"it says {shown(str(error))}"
    finally:
        model.train(training)
    if reached:
        return "a row would see the row before it"
    apart = float((beside - alone).abs().mean() / alone.std())
    if not apart <= (IN_32_BITS if model.dtype == torch.float32 else IN_16_BITS):
        return f"a row would be read otherwise than alone (its logits are {apart:.2g} standard deviations apart)"
    return ""


def _second(model: "PreTrainedModel") -> "tuple[bool, torch.Tensor]":
    """Whether the second row's logits depend on the first row, and these logits."""
    import torch

    seen: list[torch.Tensor] = []

    def begin(_module: object, _given: object, made: "torch.Tensor") -> "torch.Tensor":
        seen.append(made.detach().requires_grad_())
        return seen[-1]

    hook = model.get_input_embeddings().register_forward_hook(begin)
    try:
        with torch.enable_grad():
            batch = _batch(model, [_row(model, FIRST, begin=0), _row(model, SECOND)])
            logits = model(**batch, use_cache=False).logits[0, FIRST:].float()
            (slope,) = torch.autograd.grad(logits.square().sum(), seen[0])
    finally:
        hook.remove()
    return bool((slope[0, :FIRST] != 0).any()), logits.detach()


def _row(model: "PreTrainedModel", length: int, *, begin: int = FIRST) -> list[int]:
    """Some tokens of the vocabulary; without ``begin`` the second row's, which are other ones than the first row's."""
    size = model.config.get_text_config().vocab_size
    return [(7 * (begin + number) + 3) % size for number in range(length)]


def _batch(model: "PreTrainedModel", rows: list[list[int]]) -> Mapping[str, Any]:
    """What the model is given of these rows in training."""
    import torch
    from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

    made = DataCollatorForLanguageModeling(pad_token_id=0, padding_free=True)([{"input_ids": row} for row in rows])
    del made["labels"]
    return {name: one.to(model.device) if isinstance(one, torch.Tensor) else one for name, one in made.items()}
