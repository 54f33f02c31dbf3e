"""Liger's kernels: refused where they cannot run, and a loss that is made in the model's forward is the same loss."""

import pytest

from release.models import liger, loss
from tests.helpers.tiny_configs import FAMILIES, made
from tests.release.models.test_rows_apart import batch, learned


@pytest.mark.parametrize(
    ("cuda", "here", "told"),
    [
        (False, True, "run on a card alone"),
        (False, False, "run on a card alone"),
        (True, False, "`container: never`"),
        (True, True, "--require-hashes -r locks/liger.txt"),
    ],
)
def test_where_it_cannot_run_it_is_said_with_what_to_do(cuda: bool, here: bool, told: str) -> None:
    said = liger.problem(cuda=cuda, here=here)

    assert told in said
    assert said.startswith("training.use_liger_kernel is true")
    assert said.endswith("Or take it out.")


@pytest.mark.parametrize("padding_free", [True, False])
@pytest.mark.parametrize("family", ["llama", "qwen3", "phi3"])
def test_the_loss_of_the_models_own_forward_is_the_same_at_the_same_positions(family: str, padding_free: bool) -> None:
    """What Liger's forward is given, given to transformers' own, which makes its loss of logits."""
    import torch

    model = made(FAMILIES[family]).train()
    plain = learned(model, batch(padding_free=padding_free))
    given = batch(padding_free=padding_free)
    model.zero_grad(set_to_none=True)

    total, count = loss.summed(model, given, given.pop("labels"), fused=True)
    torch.autograd.backward(total)

    assert total.item() == pytest.approx(plain[0], rel=1e-6)
    assert int(count) == plain[1]
    for name, parameter in model.named_parameters():
        wanted = plain[2][name]
        torch.testing.assert_close(parameter.grad, wanted, rtol=1e-4, atol=1e-5 * float(wanted.abs().max()))
