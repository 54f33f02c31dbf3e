"""A base that two processes share: the adapter is whole, or nobody gets one; the losses and the bytes are known."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from release.config import reading
from release.config.settings import Adapter
from release.models import base as bases
from release.models import built_trainer, loading, sharded, train
from release.running.place import Here
from release.values.errors import PreflightError
from release.values.tensors import header
from tests.helpers.line import small_config
from tests.helpers.tiny_base import write_tiny
from tests.release.models.test_together import kill_one
from tests.release.models.test_train import quiet, start_run

MADE = {
    "m.q.lora_A.default.weight": (2, 8),
    "m.q.lora_B.default.weight": (6, 2),
    "m.e.lora_embedding_A.default": (2, 9),
}
WRONG: Mapping[str, tuple[Mapping[str, tuple[int, ...]], str]] = {
    "nothing was saved": ({}, "3 of 3 tensors are wrong"),
    "a tensor is missing": (dict(list(MADE.items())[1:]), "lora_A.*is missing"),
    "a share of the rows": (MADE | {"m.q.lora_A.default.weight": (1, 8)}, r"has shape \[1, 8\] instead of \[2, 8\]"),
    "a flat share": (MADE | {"m.q.lora_B.default.weight": (6,)}, r"has shape \[6\] instead of \[6, 2\]"),
    "an empty tensor": (MADE | {"m.q.lora_B.default.weight": (0,)}, r"has shape \[0\] instead of \[6, 2\]"),
}


def tensors_of(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
    import torch

    return {name: torch.zeros(shape) for name, shape in shapes.items()}


def test_a_whole_adapter_is_taken_and_as_it_is_written() -> None:
    found = tensors_of(MADE)

    assert sharded.whole(found, MADE) is found


@pytest.mark.parametrize("name", WRONG)
def test_what_is_not_the_whole_adapter_is_refused(name: str) -> None:
    shapes, said = WRONG[name]

    with pytest.raises(PreflightError, match=said):
        sharded.whole(tensors_of(shapes), MADE)


def test_no_adapter_and_one_that_holds_more_are_refused() -> None:
    with pytest.raises(PreflightError, match="that there are none"):
        sharded.whole({}, {})
    with pytest.raises(PreflightError, match=r"m\.other is none of its tensors"):
        sharded.whole(tensors_of(MADE | {"m.other": (1,)}), MADE)


def saved(path: Path, shapes: Mapping[str, tuple[int, ...]]) -> Path:
    """As PEFT writes it: without the adapter's name."""
    from safetensors.torch import save_file

    save_file({name.replace(".default", ""): one for name, one in tensors_of(shapes).items()}, str(path))
    return path


def test_the_file_is_held_to_what_was_learned(tmp_path: Path) -> None:
    learned = tensors_of(MADE)
    sharded.refuse_partial(saved(tmp_path / "whole", MADE | {"m.embed_tokens.weight": (9, 8)}), learned)

    for number, (shapes, said) in enumerate(WRONG.values()):
        with pytest.raises(PreflightError, match=said.replace(".default", "")):
            sharded.refuse_partial(saved(tmp_path / str(number), shapes), learned)


def test_a_base_that_nobody_shared_out_is_refused() -> None:
    """Where accelerate leaves weights as they are, each process would hold all of them and none would say so."""
    from torch import nn

    model = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False))
    sharded.refuse_unshared(model)  # all of it is trained, so none of it is the base's
    model[1].weight.requires_grad = False

    with pytest.raises(PreflightError, match=r"1 of the base's weights not out, such as 1\.weight"):
        sharded.refuse_unshared(model)


def test_accelerate_is_told_of_the_second_version(tmp_path: Path) -> None:
    path = small_config(tmp_path, training={"fsdp": True, "processes": 2, "optim": "adamw_torch"})
    shared = built_trainer.training_arguments(reading.load(path), tmp_path, cuda=False)
    alone = built_trainer.training_arguments(reading.load(small_config(tmp_path)), tmp_path, cuda=False)

    assert shared.fsdp_plugin_args["fsdp_version"] == 2
    assert shared.fsdp_plugin_args["state_dict_type"] == "FULL_STATE_DICT"
    assert alone.fsdp_plugin_args is None


def test_four_bits_that_are_to_be_shared_are_stored_as_numbers_and_mean_the_same(
    tmp_path: Path, base: bases.Base
) -> None:
    """As bytes, which is the default, accelerate leaves them whole in every process."""
    import bitsandbytes
    import torch

    folder = write_tiny(tmp_path / "tiny", base)
    said = loading.loaded_as(Adapter(), "nf4")
    each, shared = (
        loading.load_model(folder, said, trust_remote_code=False, to_share=one).state_dict() for one in (False, True)
    )
    kept = replace(said, dequantized=False)
    stored = [
        {module.weight.dtype for module in model.modules() if isinstance(module, bitsandbytes.nn.Linear4bit)}
        for model in (loading.load_model(folder, kept, trust_remote_code=False, to_share=one) for one in (False, True))
    ]

    assert each.keys() == shared.keys()
    assert all(torch.equal(each[name], shared[name]) for name in each)
    assert stored == [{torch.uint8}, {getattr(torch, said.dtype)}]


@pytest.mark.slow
def test_processes_that_share_the_base_learn_as_those_that_each_have_it_and_the_same_after_a_kill(
    tmp_path: Path, base: bases.Base
) -> None:
    """In float32 over a tiny base: losses to rounding, a whole adapter, the optimizer's state by the bytes after it."""
    tiny = replace(base, folder=write_tiny(tmp_path / "tiny", base))
    asked: dict[str, Any] = {
        "rows": 16,
        "gradient_accumulation_steps": 2,
        "logging_steps": 1,
        "processes": 2,
        "optim": "adamw_torch",
        "adapter": {"method": "lora", "quantization": {"load_in_4bit": False}, "lora": {"dropout": 0.1}},
    }
    each = start_run(tmp_path / "each", **asked)
    shared, again = (start_run(tmp_path / name, fsdp=True, **asked) for name in ("shared", "again"))
    apart = train.train(each, tiny, Here(), quiet)
    with pytest.raises(PreflightError, match="killed"):
        train.train(shared, tiny, Here(), kill_one(shared))

    adapter = train.train(shared, tiny, Here(), quiet)

    told, other = (json.loads((run / "training.json").read_bytes()) for run in (shared, each))
    assert (told["processes"], told["resumed_from_step"]) == (2, 2)
    assert told["trainable_parameters"] == other["trainable_parameters"]
    assert told["lora_init_sha256"] == other["lora_init_sha256"]
    for (_, loss), (_, same) in zip(told["losses"], other["losses"], strict=True):
        assert loss == pytest.approx(same, rel=1e-5)
    shapes = [
        {name: one.shape for name, one in header(found.folder / "adapter_model.safetensors").items()}
        for found in (adapter, apart)
    ]
    assert shapes[0] == shapes[1]
    assert train.train(again, tiny, Here(), quiet).files == adapter.files
    assert {path.name for path in shared.iterdir()} == {path.name for path in each.iterdir()}
