"""Which attention a base computes with: what cannot work here is refused with what to do, and nothing else is."""

from dataclasses import replace
from pathlib import Path

import pytest

from release.config import reading
from release.config.settings import Adapter, Attention, Quantization
from release.models import attention, loading
from release.values import kernels
from release.values.errors import PreflightError
from tests.helpers.line import ROOT
from tests.helpers.tiny_configs import LLAMA, made

ADAPTER = reading.load(ROOT / "release.yaml").adapter
IN_32_BITS = replace(ADAPTER, quantization=Quantization(bnb_4bit_compute_dtype="float32"))
FLASH: tuple[Attention, ...] = ("flash_attention_2", "flash_attention_3")


@pytest.fixture
def with_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Modules of these names, of which no more is asked than whether they are there."""
    for module in map(kernels.MODULES.__getitem__, kernels.FLASH.values()):
        (tmp_path / f"{module}.py").write_text("raise ImportError('not to be imported')", "utf-8")
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.parametrize(
    ("asked", "adapter", "cuda", "here", "told"),
    [
        (None, ADAPTER, False, True, ""),
        ("eager", ADAPTER, False, True, ""),
        ("sdpa", IN_32_BITS, True, False, ""),
        *((one, ADAPTER, False, True, "runs on a card alone") for one in FLASH),
        *((one, IN_32_BITS, True, True, "Take that out, or write bfloat16") for one in FLASH),
        *((one, ADAPTER, True, False, "`container: never`") for one in FLASH),
        ("flash_attention_2", ADAPTER, True, True, "flash-attn is not installed"),
        ("flash_attention_3", ADAPTER, True, True, "flash-attn-3 is not installed"),
    ],
)
def test_what_cannot_work_is_said_with_what_to_do(
    asked: Attention | None,
    adapter: Adapter,
    cuda: bool,
    here: bool,
    told: str,
) -> None:
    said = attention.problem(asked, adapter, cuda=cuda, here=here)

    assert bool(said) == bool(told)
    assert told in said
    assert not said or f"model.attn_implementation is {asked}" in said


@pytest.mark.usefixtures("with_packages")
@pytest.mark.parametrize("asked", FLASH)
def test_on_a_card_with_its_package_a_flash_kernel_is_taken(asked: Attention) -> None:
    assert attention.problem(asked, ADAPTER, cuda=True) == ""
    assert loading.loaded_on(ADAPTER, "nf4", asked, cuda=True).told["attn_implementation"] == asked


def test_what_is_not_asked_for_is_not_recorded() -> None:
    assert "attn_implementation" not in loading.loaded_on(ADAPTER, "nf4", cuda=False).told


def test_a_stage_refuses_it_too_so_that_a_reproduction_on_a_processor_does() -> None:
    with pytest.raises(PreflightError, match=r"runs on a card alone.*Nothing was loaded"):
        loading.loaded_as(ADAPTER, "nf4", "flash_attention_2")


@pytest.mark.parametrize("asked", [None, "eager", "sdpa"])
def test_a_base_computes_as_it_is_asked_to(asked: Attention | None, tmp_path: Path) -> None:
    made(LLAMA).save_pretrained(tmp_path)

    model = loading.load_model(tmp_path, loading.loaded_as(ADAPTER, "unquantized", asked), trust_remote_code=False)

    assert model.config._attn_implementation == asked or (asked is None and model.config._attn_implementation == "sdpa")


def test_a_base_whose_class_has_no_such_attention_is_refused_and_loads_without_the_setting(tmp_path: Path) -> None:
    made({"model_type": "bloom", "hidden_size": 64, "n_layer": 2, "n_head": 4, "vocab_size": 128}).save_pretrained(
        tmp_path
    )
    said = loading.loaded_as(ADAPTER, "unquantized", "sdpa")

    with pytest.raises(PreflightError, match=r"is sdpa, but this base does not compute so: .*Take it out"):
        loading.load_model(tmp_path, said, trust_remote_code=False)
    assert loading.load_model(tmp_path, replace(said, attn_implementation=None), trust_remote_code=False) is not None
