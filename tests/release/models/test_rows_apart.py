"""Rows side by side in one sequence: what is learned is what a padded batch gives, or the base is refused."""

from collections.abc import Mapping
from typing import Any

import pytest

from release.models import loss, rows_apart
from release.values.errors import PreflightError
from tests.helpers.tiny_configs import FAMILIES, TINY, made

BESIDE = {"bloom": {"model_type": "bloom", "hidden_size": 64, "n_layer": 2, "n_head": 4, "vocab_size": 128}}
LFM2 = {"lfm2": {"model_type": "lfm2", **TINY, "layer_types": ["conv", "full_attention"]}}
REFUSED: Mapping[str, tuple[Mapping[str, Any], str]] = {
    "makes its mask without positions": (FAMILIES["falcon"], "see the row before it"),
    "counts distances through the sequence": (BESIDE["bloom"], "see the row before it"),
    "carries a state from token to token": (FAMILIES["qwen3_next"], "keep packed sequences apart"),
    "has convolutions over tokens": (LFM2["lfm2"], "keep packed sequences apart"),
}
KEPT = sorted(FAMILIES.keys() - {"falcon", "qwen3_next"})
ROWS = ((11, 4), (7, 3), (3, 1), (9, 8))
"""Tokens of a row, and how many of them at its end are learned."""


def batch(*, padding_free: bool) -> dict[str, Any]:
    """These rows as TRL gives them to the model."""
    import torch
    from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

    drawn, rows = torch.Generator().manual_seed(1), []
    for length, learned in ROWS:
        ids = torch.randint(3, 60, (length,), generator=drawn).tolist()
        rows.append({"input_ids": ids, "labels": [loss.IGNORED] * (length - learned) + ids[length - learned :]})
    return dict(DataCollatorForLanguageModeling(pad_token_id=0, padding_free=padding_free)(rows))


def learned(model: Any, given: dict[str, Any]) -> tuple[float, int, dict[str, Any]]:
    """Summed loss, its tokens, and the gradient of every parameter."""
    import torch

    model.zero_grad(set_to_none=True)
    total, count = loss.summed(model, given, given.pop("labels"))
    torch.autograd.backward(total)
    return total.item(), int(count), {name: one.grad for name, one in model.named_parameters() if one.grad is not None}


@pytest.mark.parametrize("family", KEPT)
def test_without_padding_loss_and_gradients_are_those_of_the_padded_batch(family: str) -> None:
    import torch

    model = made(FAMILIES[family]).eval()
    assert rows_apart.problem(model) == ""

    padded, beside = (learned(model, batch(padding_free=free)) for free in (False, True))

    assert padded[1] == beside[1] == sum(count for _, count in ROWS)
    assert beside[0] == pytest.approx(padded[0], rel=1e-5)
    assert padded[2].keys() == beside[2].keys()
    for name, gradient in padded[2].items():
        torch.testing.assert_close(beside[2][name], gradient, rtol=1e-4, atol=1e-5 * float(gradient.abs().max()))


def test_no_token_of_the_batch_is_padding() -> None:
    given = batch(padding_free=True)

    assert given["input_ids"].shape == (1, sum(length for length, _ in ROWS))
    assert "attention_mask" not in given


@pytest.mark.parametrize("why", REFUSED)
def test_a_base_in_which_a_row_would_see_another_is_refused_before_it_is_trained(why: str) -> None:
    said, told = REFUSED[why]

    with pytest.raises(PreflightError, match=rf"{told}.* Nothing was trained. Take padding_free out"):
        rows_apart.must_be(made(said))


def test_what_is_refused_would_have_learned_something_else() -> None:
    """Else the refusal would be about nothing."""
    model = made(FAMILIES["falcon"]).eval()

    padded, beside = (learned(model, batch(padding_free=free)) for free in (False, True))

    assert beside[0] != pytest.approx(padded[0], rel=1e-4)


def test_a_base_that_counts_positions_through_all_rows_is_refused() -> None:
    """No row sees another there, and yet each is read otherwise than alone."""
    import torch

    model = made(FAMILIES["gpt2"])
    with torch.no_grad():
        model.transformer.wpe.weight.normal_()
    assert rows_apart.problem(model) == ""
    model.transformer.wpe.register_forward_pre_hook(lambda _, given: torch.arange(given[0].shape[-1])[None])

    assert "read otherwise than alone" in rows_apart.problem(model)


@pytest.mark.parametrize("training", [True, False])
def test_the_question_leaves_the_model_and_the_dice_as_they_were(training: bool) -> None:
    import torch

    model = made(FAMILIES["llama"]).train(training)
    dice = torch.get_rng_state()

    rows_apart.must_be(model)

    assert torch.equal(torch.get_rng_state(), dice)
    assert model.training is training
    assert not model.get_input_embeddings()._forward_hooks
    assert all(one.grad is None for one in model.parameters())


@pytest.mark.parametrize("error", [AttributeError, RuntimeError, KeyError, IndexError, TypeError, ValueError])
def test_a_base_that_cannot_be_asked_is_refused_whatever_it_stumbles_over(error: type[Exception]) -> None:
    model = made(FAMILIES["llama"])

    def stumble(*_: object) -> None:
        raise error("no attention_mask")

    model.model.register_forward_pre_hook(stumble)

    with pytest.raises(PreflightError, match=r"no attention_mask.* Nothing was trained. Take padding_free out"):
        rows_apart.must_be(model)


def test_a_card_without_room_is_told_as_that() -> None:
    import torch

    model = made(FAMILIES["llama"])

    def full(*_: object) -> None:
        raise torch.OutOfMemoryError("no room")

    model.model.register_forward_pre_hook(full)

    with pytest.raises(torch.OutOfMemoryError):
        rows_apart.must_be(model)
