"""Under an adapter the base computes with the weights of the precision whose turn it is, and with no others."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from release.config import reading
from release.config.settings import Precision
from release.models import base_weights, loading
from release.models.base_weights import Now
from tests.helpers.line import ROOT
from tests.helpers.tiny_configs import FAMILIES, LLAMA, made

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

ADAPTER = reading.load(ROOT / "release.yaml").adapter
PRECISIONS: tuple[Precision, ...] = ("nf4", "unquantized")
Load = Callable[[Precision], "PreTrainedModel"]


@pytest.fixture(params=["llama", "gpt_neox"])
def load(request: pytest.FixtureRequest, tmp_path: Path) -> Load:
    made(LLAMA if request.param == "llama" else FAMILIES[request.param]).save_pretrained(tmp_path)

    def loaded(precision: Precision) -> "PreTrainedModel":
        said = replace(loading.loaded_as(ADAPTER, precision), device="cpu", dtype="float32")
        return loading.load_model(tmp_path, replace(said, dequantized=precision == "nf4"), trust_remote_code=False)

    return loaded


def gradients(model: "PreTrainedModel") -> tuple["torch.Tensor", "torch.Tensor"]:
    """Logits for three tokens, and how the first embedding would change them."""
    import torch

    embedded = model.get_input_embeddings()(torch.tensor([[1, 2, 3]])).detach().requires_grad_()
    logits = model(inputs_embeds=embedded).logits
    logits.square().sum().backward()
    assert embedded.grad is not None
    return logits.detach(), embedded.grad


def test_forwards_and_backwards_it_is_the_model_of_the_precision_whose_turn_it_is(load: Load) -> None:
    import torch

    alone = {precision: gradients(load(precision)) for precision in PRECISIONS}
    model = load("nf4")
    now = base_weights.both(model, load("unquantized"))

    assert not torch.equal(alone["nf4"][0], alone["unquantized"][0])
    for precision in (*PRECISIONS, "nf4"):
        now.precision = precision
        for found, wanted in zip(gradients(model), alone[precision], strict=True):
            torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-6)
            other = alone["unquantized" if precision == "nf4" else "nf4"]
            assert not any(
                torch.allclose(found, one, rtol=1e-5, atol=1e-6) for one in other if one.shape == found.shape
            )


def test_layers_that_are_not_quantized_are_left_as_they_are(load: Load) -> None:
    model = load("unquantized")
    base_weights.both(model, load("unquantized"))

    assert not [name for name, module in model.named_modules() if "forward" in vars(module)]


@pytest.mark.parametrize("over", [PRECISIONS, ("unquantized", "nf4"), ("nf4",)])
def test_turns_go_by_the_number_of_the_step_wherever_a_run_begins(over: tuple[Precision, ...]) -> None:
    for first in (0, 3):
        now, seen = Now(precision=over[0]), []
        turns = base_weights.alternate(now, over)
        for step in range(first, first + 4):
            turns.on_step_begin(None, SimpleNamespace(global_step=step), None)
            seen.append(now.precision)
        assert seen == [over[step % len(over)] for step in range(first, first + 4)]


def test_under_autocast_gradients_flow_back_through_weights_of_another_dtype(load: Load) -> None:
    """As on a card: Trainer's autocast computes forwards in bfloat16, whatever ``bnb_4bit_compute_dtype`` says."""
    import torch

    model = load("nf4")
    now = base_weights.both(model, load("unquantized"))
    now.precision = "unquantized"
    embedded = model.get_input_embeddings()(torch.tensor([[1, 2, 3]])).detach().requires_grad_()

    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = model(inputs_embeds=embedded).logits.square().sum()
    loss.backward()

    assert embedded.grad is not None
    torch.testing.assert_close(embedded.grad, gradients(load("unquantized"))[1], rtol=0.1, atol=0.05)


def test_the_batches_that_one_optimizer_step_accumulates_are_computed_over_one_precision(
    load: Load, tmp_path: Path
) -> None:
    from transformers import Trainer, TrainingArguments

    model, seen = load("nf4"), []
    now = base_weights.both(model, load("unquantized"))
    model.register_forward_pre_hook(lambda *_: seen.append(now.precision))
    arguments = TrainingArguments(
        output_dir=str(tmp_path / "out"),
        use_cpu=True,
        max_steps=3,
        per_device_train_batch_size=1,
        gradient_accumulation_steps=2,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
    )
    rows = [{"input_ids": [1, 2, 3], "labels": [1, 2, 3]}] * 6
    turns = base_weights.alternate(now, PRECISIONS)
    Trainer(model=model, args=arguments, train_dataset=rows, callbacks=[turns]).train()

    assert seen == ["nf4", "nf4", "unquantized", "unquantized", "nf4", "nf4"]


def test_a_card_computes_with_weights_from_the_memory_of_the_host(tmp_path: Path) -> None:
    """With a projection to the vocabulary, which is linear and not quantized, on the card too."""
    import torch

    if not torch.cuda.is_available():
        pytest.skip("a card refuses what the memory of the host does not, and there is none here")
    made(LLAMA).save_pretrained(tmp_path)
    on_card = loading.load_model(tmp_path, loading.loaded_as(ADAPTER, "nf4"), trust_remote_code=False)
    said = loading.loaded_as(ADAPTER, "unquantized")
    plain = loading.load_model(tmp_path, replace(said, device="cpu"), trust_remote_code=False)
    now = base_weights.both(on_card, plain)
    now.precision = "unquantized"
    tokens = torch.tensor([[1, 2, 3]])

    found = on_card(tokens.cuda()).logits.cpu()

    torch.testing.assert_close(found, plain(tokens).logits, rtol=0.05, atol=0.05)
