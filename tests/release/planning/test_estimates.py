"""The plan: exact where a count is exact, near what was measured, and monotone in everything that costs."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from release.config import reading
from release.config.settings import Config
from release.planning import cards, estimates
from release.running import price_list
from tests.helpers.built import FILES, NAMES, built
from tests.helpers.line import ROOT, unevaluated

DEFAULT = reading.load(ROOT / "release.yaml")
PRICES = price_list.read(ROOT / "prices.json")
ROWS = estimates.Load(rows=640, tokens=61007, longest=113, learned=55)
TOLERANCE = 0.15


def set_to(**overrides: str) -> Config:
    changes = {key.replace("__", "."): value for key, value in overrides.items()}
    return reading.parse(unevaluated(), ROOT / "release.yaml", changes)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("smollm2-135m", 134_515_008),  # counted by torch
        ("llama-3.1-8b", 8_030_261_248),  # the sizes that their safetensors indexes name
        ("qwen2.5-0.5b", 494_032_768),
        ("mistral-7b-v0.3", 7_248_023_552),
        ("olmo-7b", 6_888_095_744),
        ("qwen2.5-1.5b", 1_543_714_304),
        ("olmo-2-7b", 7_298_617_344),
        ("qwen3-8b", 8_190_735_360),
        ("smollm3-3b", 3_075_098_624),
        ("phi-3.5-mini", 3_821_079_552),
        ("pythia-1.4b", 1_414_647_808),  # Biderman et al. 2023
        ("gemma-3-1b", 999_885_952),
        ("gemma-3-4b", 4_300_079_472),  # its vision tower among them
        ("mixtral-8x7b", 46_702_792_704),
        ("gpt-oss-20b", 20_914_757_184),
        ("qwen3-30b-a3b", 30_532_122_624),
        (
            "qwen3-next-80b-a3b",
            79_674_391_296,
        ),  # counted by torch; its checkpoint holds more
        ("command-r7b", 8_028_033_024),  # counted by torch
    ],
)
def test_every_weight_is_counted(name: str, parameters: int) -> None:
    """Grouped-query attention, tied and separate embeddings, biases, mixtures of experts, a hybrid, a vision tower."""
    assert built(name).parameters == parameters


def test_every_trained_weight_is_counted() -> None:
    """As training reports them for rank 16 on all seven projections."""
    assert estimates.trainable(built("smollm2-135m"), DEFAULT) == 4_884_480


@pytest.mark.parametrize(
    ("name", "targets", "adapted"),
    [
        ("phi-3.5-mini", "[qkv_proj, o_proj, gate_up_proj, down_proj]", 4 * 32),
        ("pythia-1.4b", "[query_key_value, dense]", 2 * 24),
        ("qwen3-30b-a3b", "[q_proj, k_proj, v_proj, o_proj]", 4 * 48),
        ("qwen3-next-80b-a3b", "[q_proj]", 12),  # every fourth layer has attention
        ("gemma-3-4b", "[q_proj, v_proj]", 2 * 34),  # of the text model, not of the vision tower
        ("smollm2-135m", "[layers.0.self_attn.q_proj, model.layers.1.self_attn.q_proj]", 2),
        ("smollm2-135m", "all-linear", 7 * 30),
        ("smollm2-135m", "[embed_tokens]", 1),
    ],
)
def test_what_is_adapted_is_counted_by_the_bases_own_names(name: str, targets: str, adapted: int) -> None:
    configured = set_to(adapter__lora__target_modules=targets)
    sizes = built(name).adapted(configured.adapter.lora.target_modules)

    assert len(sizes) == adapted
    assert estimates.trainable(built(name), configured) == 16 * sum(a + b for a, b in sizes.values())


MEASURED = json.loads((FILES / "measured.json").read_bytes())


@pytest.mark.parametrize("run", MEASURED, ids=lambda run: run["name"])
def test_the_plan_is_within_fifteen_percent_of_what_was_measured(run: dict[str, object]) -> None:
    overrides = {str(key): str(value) for key, value in dict(run["set"]).items()}  # type: ignore[call-overload]
    loaded = reading.load(ROOT / "release.yaml", overrides)
    load = estimates.Load(**run["load"])  # type: ignore[arg-type]
    estimated = estimates.estimate(built(str(run["model"])), loaded, load, cuda=bool(run["cuda"]))

    assert estimated.memory == pytest.approx(float(str(run["peak_memory_bytes"])), rel=TOLERANCE)
    assert estimated.steps == run["steps"]


@pytest.mark.parametrize("path", sorted((ROOT / "runs").glob("*/*/training.json")), ids=str)
def test_the_plan_is_near_the_peaks_of_runs_made_here(path: Path) -> None:
    """For each run on a CPU that this checkout holds, by its own configuration and rows."""
    training = json.loads(path.read_bytes())
    if training["hardware"]["gpu"] is not None or training.get("resumed_from_step"):
        pytest.skip("not a whole run on a CPU")
    load = estimates.Load(rows=640, tokens=training["tokens"], longest=113, learned=55)
    estimated = estimates.estimate(built("smollm2-135m"), DEFAULT, load, cuda=False)

    assert estimated.memory == pytest.approx(training["peak_memory_bytes"], rel=TOLERANCE)


@given(
    st.sampled_from(NAMES),
    st.booleans(),
    st.sampled_from(
        [
            ("training__per_device_train_batch_size", "1", "4"),
            ("adapter__lora__r", "8", "64"),
            ("training__activation_checkpointing", "true", "false"),
            ("training__optim", "paged_adamw_8bit", "adamw_torch"),
            ("adapter__quantization__bnb_4bit_use_double_quant", "true", "false"),
        ]
    ),
)
@settings(deadline=None, max_examples=40)
def test_what_costs_more_is_planned_to_cost_more(name: str, cuda: bool, change: tuple[str, str, str]) -> None:
    shape, load = built(name), estimates.load_of(None, 1000, 1024)
    either = [{change[0]: value, "adapter__lora__target_modules": "all-linear"} for value in change[1:]]
    less, more = (estimates.estimate(shape, set_to(**one), load, cuda=cuda).memory for one in either)

    assert less <= more
    assert less < more or not cuda


@pytest.mark.parametrize("name", ["smollm2-135m", "llama-3.1-8b"])
def test_two_precisions_hold_the_quantized_weights_twice_on_a_cpu_and_no_more_on_a_card(name: str) -> None:
    """Mapped from a float32 file, and converted from a bfloat16 one; a card gets a layer at a time, as for one."""
    shape, load = built(name), estimates.load_of(None, 1000, 1024)
    for cuda, more in ((False, shape.in_linear * 4), (True, 0)):
        one, both = (
            estimates.estimate(shape, set_to(training__over=over), load, cuda=cuda).memory
            for over in ("[nf4]", "[nf4, unquantized]")
        )
        assert both - one == pytest.approx(more)


def test_four_bits_are_less_than_sixteen_on_a_gpu() -> None:
    shape, load = built("llama-3.1-8b"), estimates.load_of(None, 1000, 2048)
    lora = reading.load(ROOT / "release.yaml", {"adapter.method": "lora", "adapter.quantization.load_in_4bit": "false"})
    four, sixteen = (estimates.estimate(shape, one, load, cuda=True).parts["base weights"] for one in (DEFAULT, lora))

    assert 5e9 < four < 6e9  # 3.5 GB in four bits, 2.1 GB of embeddings, one projection at a time
    assert sixteen == 2 * shape.parameters


@pytest.mark.parametrize(
    ("name", "gigabytes", "active"),
    [
        ("qwen3-30b-a3b", 60, 2.7e9),  # "A3B", less its embeddings and its output
        ("mixtral-8x7b", 91, 12.6e9),
        ("qwen3-next-80b-a3b", 157, 3.2e9),
        ("gpt-oss-20b", 41, 3.0e9),
    ],
)
def test_fused_experts_stay_in_sixteen_bits_and_only_some_compute(name: str, gigabytes: float, active: float) -> None:
    """bitsandbytes quantizes linear layers, and transformers holds all experts of a layer in one parameter."""
    shape, load = built(name), estimates.load_of(None, 1000, 2048)
    estimated = estimates.estimate(shape, DEFAULT, load, cuda=True)

    assert estimated.parts["base weights"] / estimates.GB == pytest.approx(gigabytes, rel=0.02)
    assert shape.active == pytest.approx(active, rel=0.02)
    assert not {one.card: one.fits for one in cards.options(estimated, PRICES)}["RTX 4090"]


@pytest.mark.parametrize("name", ["qwen3-30b-a3b", "qwen3-8b"])
def test_the_arithmetic_is_of_the_weights_that_a_token_meets(name: str) -> None:
    shape = built(name)
    estimated = estimates.estimate(shape, DEFAULT, ROWS, cuda=True)

    assert estimated.flops == pytest.approx(6 * (shape.active + estimates.trainable(shape, DEFAULT)) * ROWS.tokens)


def test_a_card_that_is_too_small_is_said_and_so_is_what_to_change() -> None:
    shape, load = built("llama-3.1-8b"), estimates.load_of(None, 1000, 4096)
    loaded = set_to(training__per_device_train_batch_size="8", training__activation_checkpointing="false")
    estimated = estimates.estimate(shape, loaded, load, cuda=True)
    fits = {one.card: one.fits for one in cards.options(estimated, PRICES)}

    assert not fits["RTX 4090"]
    assert "per_device_train_batch_size" in " ".join(estimates.remedies(estimated, loaded))
    assert "activation_checkpointing" in " ".join(estimates.remedies(estimated, loaded))


def test_steps_are_those_of_the_trainer() -> None:
    assert estimates.steps_of(DEFAULT, 640) == 160
    assert estimates.steps_of(set_to(training__gradient_accumulation_steps="3"), 640) == 54
    assert estimates.steps_of(set_to(training__num_train_epochs="2.5"), 640) == 400
    assert estimates.steps_of(set_to(training__max_steps="7"), 640) == 7
    assert estimates.steps_of(set_to(training__processes="2"), 640) == 80


SHARED = {"training__fsdp": "true", "training__optim": "adamw_torch"}
LORA = {"adapter__method": "lora", "adapter__quantization__load_in_4bit": "false", "training__over": "[unquantized]"}
NF4 = {"training__over": "[nf4]"}


@pytest.mark.parametrize("how", [LORA, NF4])
@pytest.mark.parametrize("name", ["llama-3.1-8b", "smollm2-135m", "qwen3-30b-a3b"])
def test_processes_that_share_the_base_hold_a_share_each_and_the_layers_at_work(name: str, how: dict[str, str]) -> None:
    load = estimates.load_of(None, 1000, 2048)
    alone = estimates.estimate(
        built(name), set_to(**how, training__processes="2", training__optim="adamw_torch"), load, cuda=True
    )
    shared = {
        many: estimates.estimate(built(name), set_to(**how, **SHARED, training__processes=str(many)), load, cuda=True)
        for many in (2, 4, 8)
    }
    weights = [one.parts["base weights"] for one in shared.values()]

    assert weights[0] < 0.55 * alone.parts["base weights"]
    assert weights[0] > weights[1] > weights[2] > alone.parts["base weights"] / 8 * 0.8
    assert len({one.parts["put together"] for one in shared.values()}) == 1
    for part in ("adapter", "gradients", "optimizer"):
        assert shared[4].parts[part] == pytest.approx(alone.parts[part] / 4)
    for part in ("activations", "logits", "CUDA"):
        assert shared[4].parts[part] == alone.parts[part]
    assert (shared[4].processes, shared[2].flops) == (4, alone.flops)


def test_a_base_beyond_one_card_fits_on_several_and_the_plan_offers_that() -> None:
    """Qwen3-30B-A3B in sixteen bits: 61 GB of weights on cards of 80 GB with what a step needs, and on four of 48."""
    load = estimates.load_of(None, 1000, 512)
    alone = estimates.estimate(built("qwen3-30b-a3b"), set_to(**LORA), load, cuda=True)
    four = set_to(**LORA, **SHARED, training__processes="4")
    shared = estimates.estimate(built("qwen3-30b-a3b"), four, load, cuda=True)

    assert alone.memory > 48 * estimates.GB > shared.memory
    assert "fsdp: true" in " ".join(estimates.remedies(alone, set_to(**LORA)))
    assert "fsdp: true" not in " ".join(estimates.remedies(shared, four))


def test_processes_that_share_a_machine_s_memory_can_be_fewer_and_a_card_each_cannot_help() -> None:
    load = estimates.load_of(None, 1000, 512)
    eight = {"training__processes": "8"}
    for cuda, changes, named in ((False, eight, True), (False, {}, False), (True, eight, False)):
        loaded = set_to(**changes)
        estimated = estimates.estimate(built("smollm2-135m"), loaded, load, cuda=cuda)
        assert ("lower training.processes" in " ".join(estimates.remedies(estimated, loaded))) is named


def test_on_a_processor_sharing_divides_what_is_not_turned_back_from_four_bits_first() -> None:
    load = estimates.load_of(None, 1000, 512)
    each, shared = (
        estimates.estimate(built("smollm2-135m"), set_to(**LORA, training__processes="2", **more), load, cuda=False)
        for more in ({"training__optim": "adamw_torch"}, SHARED)
    )
    turned_back = estimates.estimate(
        built("smollm2-135m"), set_to(**NF4, **SHARED, training__processes="2"), load, cuda=False
    )

    assert shared.parts["base weights"] == pytest.approx(each.parts["base weights"] / 2)
    assert "put together" not in turned_back.parts


def test_money_is_hours_times_price() -> None:
    estimated = estimates.estimate(built("llama-3.1-8b"), DEFAULT, ROWS, cuda=True)

    for card, one in zip(PRICES["cards"], cards.options(estimated, PRICES), strict=True):
        assert one.cost == pytest.approx(one.hours * card["price_per_hour"])
    assert {one.cost for one in cards.options(estimated, PRICES, price=0.0)} == {0.0}
