"""The loss that is learned and evaluated: cross entropy at the positions where a row has a label, and nowhere else."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

IGNORED = -100  # the label of a token that is not learned (PyTorch cross_entropy's ignore_index)


def summed(
    model: "torch.nn.Module", inputs: Mapping[str, "torch.Tensor"], labels: "torch.Tensor", *, fused: bool = False
) -> "tuple[torch.Tensor, torch.Tensor]":
    """The sum over a batch's learned tokens, and how many there are.

    The same loss as TRL's ``nll``; the vocabulary projection, a fifth of a 135M model's work, runs only at
    positions where a row of the batch has a label. ``fused`` leaves projection and loss to the model's own forward, at
    the same positions: Liger's keeps no logits.
    """
    import torch

    positions = (labels != IGNORED).any(dim=0).nonzero().squeeze(1)
    targets = labels[:, positions]
    learned = (targets != IGNORED).sum()
    if fused:  # divided by one item: a sum
        asked = {"labels": targets, "shift_labels": targets, "num_items_in_batch": 1}
        return model(**inputs, use_cache=False, logits_to_keep=positions - 1, **asked).loss, learned
    logits = model(**inputs, use_cache=False, logits_to_keep=positions - 1).logits.float()
    total = torch.nn.functional.cross_entropy(
        logits.flatten(0, 1), targets.flatten(), ignore_index=IGNORED, reduction="sum"
    )
    return total, learned
