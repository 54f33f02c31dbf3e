"""A base over several cards: placed whole or refused, and loaded in parts it answers as it does in one.

There is no card here. Where layers go is asked of transformers on the meta device with pretended cards; the hooks by
which layers hand on are put on and run for real, with the processor as the device of each.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest

from release.config import reading
from release.config.settings import DeviceMap, Form, Generation
from release.models import generate, loading, spread
from release.models.engines.transformers import with_adapter
from release.models.exports import merging
from release.running import launched, machine
from release.values.bounds import GB
from release.values.errors import PreflightError
from tests.helpers.cards import ADA_LINE, TURING_LINE, machine_with
from tests.helpers.line import ROOT
from tests.helpers.tiny_configs import LLAMA, OF_70B, made, written

pytestmark = pytest.mark.filterwarnings(
    "ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"
)  # peft asks transformers
ADAPTER = reading.load(ROOT / "release.yaml").adapter


def four_bits(*, really: bool) -> Any:
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_compute_dtype="bfloat16") if really else None


def placed(folder: Path, how: DeviceMap, cards: int, gigabytes: int, *, in_four_bits: bool) -> dict[str, int]:
    import torch

    free = {card: int(gigabytes * GB) for card in range(cards)}
    quantization = four_bits(really=in_four_bits)
    return spread.placed(written(folder, OF_70B), how, free, dtype=torch.bfloat16, quantization=quantization)


@pytest.mark.parametrize(
    ("how", "cards", "gigabytes", "in_four_bits", "used"),
    [
        ("auto", 4, 78, False, {0, 1, 2, 3}),
        ("balanced_low_0", 4, 78, False, {1, 2, 3}),
        ("sequential", 4, 78, False, {0, 1, 2}),
        ("auto", 2, 24, True, {0, 1}),
        ("auto", 1, 48, True, {0}),
    ],
)
def test_every_layer_lies_whole_on_a_card(
    how: DeviceMap, cards: int, gigabytes: int, in_four_bits: bool, used: set[int], tmp_path: Path
) -> None:
    found = placed(tmp_path / "base", how, cards, gigabytes, in_four_bits=in_four_bits)

    assert {*found.values()} == used
    assert cards == 1 or {f"model.layers.{number}" for number in range(80)} <= found.keys()


@pytest.mark.parametrize("how", get_args(DeviceMap))
def test_the_cards_of_a_further_process_hold_what_those_of_the_first_do(how: DeviceMap, tmp_path: Path) -> None:
    """Of two processes over four cards: transformers itself balances over cards that are counted from 0."""
    import torch

    base = written(tmp_path / "base", OF_70B)
    first, second = (
        spread.placed(base, how, dict.fromkeys(mine, 160 * GB), dtype=torch.bfloat16) for mine in ((0, 1), (2, 3))
    )

    assert second == {name: card + 2 for name, card in first.items()}


@pytest.mark.parametrize(("cards", "gigabytes", "in_four_bits"), [(1, 78, False), (2, 60, False), (1, 24, True)])
def test_what_cards_cannot_hold_is_refused_and_never_left_to_the_disk(
    cards: int, gigabytes: int, in_four_bits: bool, tmp_path: Path
) -> None:
    with pytest.raises(PreflightError, match=r"would be left to the disk.*Nothing was loaded\. Use more"):
        placed(tmp_path / "base", "auto", cards, gigabytes, in_four_bits=in_four_bits)


LAYERS = 4
SMALL = {**LLAMA, "num_hidden_layers": LAYERS, "intermediate_size": 128}  # of whole blocks of four bits


def loaded(base: Path, how: str, *, in_parts: bool) -> Any:
    """A base; in parts it has the hooks that transformers puts on one that lies on several cards."""
    import accelerate

    ends = ("model.embed_tokens", "model.norm", "model.rotary_emb", "lm_head")
    on = dict.fromkeys([*ends, *(f"model.layers.{number}" for number in range(LAYERS))], "cpu") if in_parts else None
    model = loading.load_model(base, replace(LOADED[how], dequantized=False), trust_remote_code=False, on=on).eval()
    if in_parts:
        skipped = model._skip_keys_device_placement
        accelerate.dispatch_model(model, on, skip_keys=skipped, force_hooks=True)
    hooked = [name for name, one in model.named_modules() if hasattr(one, "_hf_hook")]
    assert len(hooked) > LAYERS if in_parts else not hooked
    return model.dequantize(model.dtype) if LOADED[how].dequantized else model


def an_adapter(folder: Path, base: Path) -> Path:
    import torch
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(1)
    lora = LoraConfig(r=4, target_modules=["q_proj", "down_proj"], init_lora_weights=False, task_type="CAUSAL_LM")
    said = loading.loaded_as(ADAPTER, "unquantized")
    get_peft_model(loading.load_model(base, said, trust_remote_code=False), lora).save_pretrained(str(folder))
    return folder


def answered(model: Any) -> tuple[bytes, list[list[int]]]:
    """The logits' very bytes, and what is written after two prompts."""
    import torch

    ids = (torch.arange(24).view(2, 12) * 7 + 3) % 128
    mask = torch.ones_like(ids)
    with torch.no_grad():
        logits = model(input_ids=ids, attention_mask=mask).logits
        texts = model.generate(
            input_ids=ids, attention_mask=mask, max_new_tokens=8, do_sample=False, pad_token_id=0, eos_token_id=2
        )
    return logits.numpy().tobytes(), texts.tolist()


LOADED = {
    "unquantized": loading.Loading(dtype="float32", quantization=None, dequantized=False, device="cpu"),
    "four bits that stay so": replace(loading.loaded_on(ADAPTER, "nf4", cuda=False), dequantized=False),
    "four bits turned back": loading.loaded_on(ADAPTER, "nf4", cuda=False),
}


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("how", LOADED)
def test_a_base_in_parts_answers_as_in_one_alone_with_an_adapter_and_merged(
    how: str, tied: bool, tmp_path: Path
) -> None:
    base = tmp_path / "base"
    made({**SMALL, "tie_word_embeddings": tied}).save_pretrained(base)
    adapter = an_adapter(tmp_path / "adapter", base)

    def each(*, in_parts: bool) -> list[Any]:
        model = loaded(base, how, in_parts=in_parts)
        alone = answered(model)
        adapted = with_adapter(model, adapter)
        found = [alone, answered(adapted)]
        return [*found, answered(adapted.merge_and_unload())] if how != "four bits that stay so" else found

    in_one, several = each(in_parts=False), each(in_parts=True)

    assert in_one == several
    assert in_one[0] != in_one[1]


def test_a_merged_model_has_the_same_names_and_bytes_from_parts_as_from_one(tmp_path: Path) -> None:
    from safetensors.torch import save

    base = tmp_path / "base"
    made(SMALL).save_pretrained(base)
    adapter = an_adapter(tmp_path / "adapter", base)
    models = [loaded(base, "four bits turned back", in_parts=one) for one in (False, True)]

    in_one, in_parts = (save(dict(merging.merged(one, adapter).state_dict())) for one in models)

    assert in_one == in_parts


@pytest.mark.parametrize(
    ("generation", "form", "shared"),
    [
        ({}, Form(), (1, 1)),
        ({"device_map": "auto"}, Form(), (1, 4)),
        ({"device_map": "auto"}, Form(merged=True), (1, 4)),
        ({"processes": 2}, Form(), (2, 2)),
        ({"processes": 2, "device_map": "auto"}, Form(), (2, 4)),
        ({"processes": 8, "device_map": "auto"}, Form(), (4, 4)),
        ({"processes": 2, "device_map": "auto"}, Form(engine="llama.cpp"), (1, 1)),
        ({"device_map": "auto"}, Form(engine="vllm"), (1, 1)),
        ({}, Form(engine="vllm", tensor_parallel_size=2), (1, 2)),
    ],
)
def test_all_cards_that_are_visible_are_divided_among_the_processes(
    generation: Any, form: Form, shared: tuple[int, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine_with(tmp_path, monkeypatch, *[ADA_LINE.replace("1111", f"111{number}", 1) for number in range(4)])

    assert generate.shared(Generation(**generation), form) == shared


def test_files_are_made_without_a_card_unless_a_base_is_put_on_several(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine_with(tmp_path, monkeypatch, *[ADA_LINE.replace("1111", f"111{number}", 1) for number in range(4)])

    assert spread.to_merge(Generation()) == 0
    assert machine.cards(0)[machine.VISIBLE] == ""
    assert spread.to_merge(Generation(device_map="auto")) == 4
    assert machine.cards(4)[machine.VISIBLE].count("GPU-") == 4


def test_without_a_card_nothing_is_divided() -> None:
    assert machine.visible() == 0
    assert generate.shared(Generation(device_map="auto"), Form()) == (1, 1)
    assert loading.loaded_on(ADAPTER, "nf4", cuda=False, device_map="auto").device_map is None
    assert "device_map" not in loading.loaded_on(ADAPTER, "nf4", cuda=True).told
    assert loading.loaded_on(ADAPTER, "nf4", cuda=True, device_map="auto").told["device_map"] == "auto"


@pytest.mark.parametrize(
    ("processes", "rank", "there", "mine"),
    [(1, 0, 1, [0]), (1, 0, 4, [0, 1, 2, 3]), (2, 1, 2, [1]), (2, 1, 4, [2, 3]), (2, 1, 5, [2, 3])],
)
def test_each_process_has_as_many_cards(
    processes: int, rank: int, there: int, mine: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {launched.LAUNCHED_BY: 1, launched.RANK: rank, launched.WORLD: processes}.items():
        monkeypatch.setenv(name, str(value))

    assert [*launched.cards(there)] == mine


def test_cards_of_two_kinds_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine_with(tmp_path, monkeypatch, ADA_LINE, TURING_LINE.replace("7.5", "8.6"))
    (said,) = machine.unlike(machine.find_gpus(2), machine.SPREAD)

    assert "cards of one kind" in said
    assert "NVIDIA GeForce RTX 4090, Tesla T4" in said
    assert machine.VISIBLE in said


@pytest.mark.parametrize(
    ("loaded", "device_map", "kept"),
    [
        ({"device": "cuda"}, None, True),
        ({"device": "cuda"}, "auto", False),
        ({"device": "cuda", "device_map": "auto"}, "auto", True),
        ({"device": "cuda", "device_map": "auto"}, None, False),
        ({"device": "cpu"}, "auto", True),
        ({"engine": "an address"}, "auto", True),
    ],
)
def test_answers_of_one_card_are_not_kept_for_several(
    loaded: dict[str, object], device_map: DeviceMap | None, kept: bool
) -> None:
    assert generate.on_the_cards(loaded, Generation(device_map=device_map)) == kept
