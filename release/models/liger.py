"""Liger's fused kernels on a base: rotary positions, norms and MLPs, and a cross entropy that keeps no logits."""

import importlib.util
from typing import TYPE_CHECKING

from release.models import loss
from release.values.errors import PreflightError
from release.values.kernels import LIGER, MODULES

if TYPE_CHECKING:
    from transformers import PreTrainedModel

IN_32_BITS, IN_16_BITS = 1e-3, 0.02
"""How far its loss may be from the one before, as a share of that."""
NAMED = "training.use_liger_kernel is true"
OTHERWISE = "Or take it out."


def problem(*, cuda: bool, here: bool = True) -> str:
    """Why Liger cannot be used, and what to do; empty where it can. ``here`` unless the stages run in an image."""
    if not cuda:
        return f"{NAMED}, whose kernels run on a card alone, and none is used here. Use a machine with one. {OTHERWISE}"
    if not here:
        return (
            f"{NAMED}, and the container image does not have liger-kernel. Say `container: never` where it is "
            f"installed. {OTHERWISE}"
        )
    if importlib.util.find_spec(MODULES[LIGER]) is None:
        return (
            f"{NAMED}, and liger-kernel is not installed. Run `pip install --no-deps --require-hashes -r "
            f"locks/liger.txt` in this environment. {OTHERWISE}"
        )
    return ""


def put_on(model: "PreTrainedModel") -> None:
    """Put them into this model; ``PreflightError`` where Liger has none for it, or they do not compute the same."""
    import torch
    from liger_kernel.transformers import monkey_patch

    kind = model.config.model_type
    if kind not in monkey_patch.MODEL_TYPE_TO_APPLY_LIGER_FN:
        raise PreflightError(f"{NAMED}, but Liger has no kernels for {kind}. Nothing was trained. Take it out.")
    before = _of_some_tokens(model, fused=False)
    monkey_patch._apply_liger_kernel_to_instance(model=model)  # noqa: SLF001  what transformers calls
    after = _of_some_tokens(model, fused=True)
    allowed = IN_32_BITS if model.dtype == torch.float32 else IN_16_BITS
    if not abs(after - before) <= allowed * before:
        raise PreflightError(
            f"{NAMED}, but with Liger's kernels the loss of some tokens is {after:.4f} and without {before:.4f}: they "
            f"do not fit this base or this transformers. Nothing was trained. Take it out."
        )


def _of_some_tokens(model: "PreTrainedModel", *, fused: bool) -> float:
    """The loss of two rows, of which the second is shorter."""
    import torch

    size, training = model.config.get_text_config().vocab_size, model.training
    ids = (torch.arange(24, device=model.device).view(2, 12) * 7 + 3) % size
    mask = torch.ones_like(ids)
    mask[1, 8:] = 0
    labels = ids.masked_fill(mask == 0, loss.IGNORED)
    labels[:, :4] = loss.IGNORED
    model.train()  # Liger's forward keeps logits otherwise
    try:
        with torch.no_grad():
            total, learned = loss.summed(model, {"input_ids": ids, "attention_mask": mask}, labels, fused=fused)
    finally:
        model.train(training)
    return float(total / learned)
