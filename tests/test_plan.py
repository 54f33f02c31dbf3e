"""The plan: exact where a count is exact, near what was measured, and monotone in everything that costs."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from release import config, plan
from release.errors import PreflightError
from tests.line import ROOT

FILES = Path(__file__).parent / "data" / "plan"
DEFAULT = config.load(ROOT / "release.yaml")
PRICES = plan.read_prices(ROOT / "prices.json")
ROWS = plan.Load(rows=640, tokens=61007, longest=113, learned=55)
TOLERANCE = 0.15


def set_to(**overrides: str) -> config.Config:
    return config.load(ROOT / "release.yaml", {key.replace("__", "."): value for key, value in overrides.items()})


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("smollm2-135m", 134_515_008),  # counted by torch
        ("llama-3.1-8b", 8_030_261_248),  # the sizes that their safetensors indexes name
        ("qwen2.5-0.5b", 494_032_768),
        ("mistral-7b-v0.3", 7_248_023_552),
        ("olmo-7b", 6_888_095_744),
        ("qwen2.5-1.5b", 1_543_714_304),
    ],
)
def test_every_weight_is_counted(name: str, parameters: int) -> None:
    """Grouped-query attention, tied and separate embeddings, biases."""
    assert plan.read_shape(FILES / f"{name}.json").parameters == parameters


def test_every_trained_weight_is_counted() -> None:
    """As training reports them for rank 16 on all seven projections."""
    assert plan.trainable(plan.read_shape(FILES / "smollm2-135m.json"), DEFAULT) == 4_884_480


MEASURED = json.loads((FILES / "measured.json").read_bytes())


@pytest.mark.parametrize("run", MEASURED, ids=lambda run: run["name"])
def test_the_plan_is_within_fifteen_percent_of_what_was_measured(run: dict[str, object]) -> None:
    overrides = {str(key): str(value) for key, value in dict(run["set"]).items()}  # type: ignore[call-overload]
    loaded = config.load(ROOT / "release.yaml", overrides)
    load = plan.Load(**run["load"])  # type: ignore[arg-type]
    estimated = plan.estimate(plan.read_shape(FILES / f"{run['model']}.json"), loaded, load, cuda=bool(run["cuda"]))

    assert estimated.memory == pytest.approx(float(str(run["peak_memory_bytes"])), rel=TOLERANCE)
    assert estimated.steps == run["steps"]


@pytest.mark.parametrize("path", sorted((ROOT / "runs").glob("*/*/training.json")), ids=str)
def test_the_plan_is_near_the_peaks_of_runs_made_here(path: Path) -> None:
    """For each run on a CPU that this checkout holds, by its own configuration and rows."""
    training = json.loads(path.read_bytes())
    if training["hardware"]["gpu"] is not None or training.get("resumed_from_step"):
        pytest.skip("not a whole run on a CPU")
    load = plan.Load(rows=640, tokens=training["tokens"], longest=113, learned=55)
    estimated = plan.estimate(plan.read_shape(FILES / "smollm2-135m.json"), DEFAULT, load, cuda=False)

    assert estimated.memory == pytest.approx(training["peak_memory_bytes"], rel=TOLERANCE)


@given(
    st.sampled_from([path.stem for path in sorted(FILES.glob("*-*.json"))]),
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
    shape = plan.read_shape(FILES / f"{name}.json")
    load = plan.load_of(None, 1000, 1024)
    less, more = (plan.estimate(shape, set_to(**{change[0]: value}), load, cuda=cuda).memory for value in change[1:])

    assert less <= more
    assert less < more or not cuda


def test_four_bits_are_less_than_sixteen_on_a_gpu() -> None:
    shape, load = plan.read_shape(FILES / "llama-3.1-8b.json"), plan.load_of(None, 1000, 2048)
    lora = config.load(ROOT / "release.yaml", {"adapter.method": "lora", "adapter.quantization.load_in_4bit": "false"})
    four, sixteen = (plan.estimate(shape, one, load, cuda=True).parts["base weights"] for one in (DEFAULT, lora))

    assert 5e9 < four < 6e9  # 3.5 GB in four bits, 2.1 GB of embeddings, one projection at a time
    assert sixteen == 2 * shape.parameters


def test_a_card_that_is_too_small_is_said_and_so_is_what_to_change() -> None:
    shape, load = plan.read_shape(FILES / "llama-3.1-8b.json"), plan.load_of(None, 1000, 4096)
    loaded = set_to(training__per_device_train_batch_size="8", training__activation_checkpointing="false")
    estimated = plan.estimate(shape, loaded, load, cuda=True)
    cards = {one.card: one.fits for one in plan.options(estimated, PRICES)}

    assert not cards["RTX 4090"]
    assert "per_device_train_batch_size" in " ".join(plan.remedies(estimated, loaded))
    assert "activation_checkpointing" in " ".join(plan.remedies(estimated, loaded))


def test_steps_are_those_of_the_trainer() -> None:
    assert plan.steps_of(DEFAULT, 640) == 160
    assert plan.steps_of(set_to(training__gradient_accumulation_steps="3"), 640) == 54
    assert plan.steps_of(set_to(training__num_train_epochs="2.5"), 640) == 400
    assert plan.steps_of(set_to(training__max_steps="7"), 640) == 7


@pytest.mark.parametrize("name", ["mixture_of_experts", "no_vocabulary", "unknown_architecture"])
def test_a_model_that_cannot_be_counted_is_refused(name: str) -> None:
    with pytest.raises(PreflightError, match="cannot be planned"):
        plan.read_shape(FILES / "faults" / f"{name}.json")


@pytest.mark.parametrize("text", ["", "{}", '{"cards": []}', "[]"])
def test_a_price_file_that_lacks_something_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "prices.json"
    path.write_text(text, "utf-8")

    with pytest.raises(PreflightError, match="cannot be used"):
        plan.read_prices(path)


def test_money_is_hours_times_price() -> None:
    estimated = plan.estimate(plan.read_shape(FILES / "llama-3.1-8b.json"), DEFAULT, ROWS, cuda=True)

    for card, one in zip(PRICES["cards"], plan.options(estimated, PRICES), strict=True):
        assert one.cost == pytest.approx(one.hours * card["price_per_hour"])
    assert {one.cost for one in plan.options(estimated, PRICES, price=0.0)} == {0.0}
