"""What a plan tells before anything is spent."""

import json
from pathlib import Path

import pytest

from release import inputs
from release.config import reading
from release.data import sources
from release.judging import ledger
from release.models import meta_device
from release.planning import estimates, forecast
from release.values.events import Event
from tests.helpers.cards import ADA_LINE, machine_with
from tests.helpers.line import adapter_release, small_config
from tests.helpers.tiny_configs import OF_70B, written


def quiet(_: Event) -> None:
    """Say nothing."""


@pytest.mark.usefixtures("base")
def test_the_plan_of_the_default_names_cards_and_hours(tmp_path: Path) -> None:
    loaded = reading.load(small_config(tmp_path), {"run.output_dir": str(tmp_path / "runs")})
    lines = "\n".join(forecast.planned(inputs.load(loaded, quiet)))

    assert "RTX 4090         24 GB  yes" in lines
    assert "160 optimizer steps" in lines
    assert "spent so far: 0.00 USD, no limit" in lines


@pytest.mark.usefixtures("base")
@pytest.mark.parametrize(
    ("price", "card", "says"),
    [
        ("2", "", "an hour of this machine: 2.00 USD, budget.price_per_hour"),
        ("null", ADA_LINE, "an hour of this machine: 0.34 USD, the list price of RTX 4090 in prices.json"),
        ("null", "", "on this machine the budget cannot be kept: no card is used here, and prices.json has prices"),
    ],
)
def test_the_plan_says_what_the_budget_counts_an_hour_here_with(
    price: str, card: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if card:
        machine_with(tmp_path, monkeypatch, card)
    asked = {"run.output_dir": str(tmp_path / "runs"), "budget.limit": "5", "budget.price_per_hour": price}

    *_, last = forecast.planned(inputs.load(reading.load(small_config(tmp_path), asked), quiet))

    assert last.startswith(says)


@pytest.mark.usefixtures("base")
def test_the_plan_of_a_base_that_is_shared_says_what_answering_needs_all_the_same(tmp_path: Path) -> None:
    shared = {"fsdp": True, "processes": 4, "optim": "adamw_torch"}
    loaded = reading.load(small_config(tmp_path, training=shared), {"run.output_dir": str(tmp_path / "runs")})
    lines = forecast.planned(inputs.load(loaded, quiet))

    assert "  training.fsdp: of the base's weights each of 4 processes keeps 1/4" in lines
    (answering,) = [
        line for line in lines if line.startswith("  to answer (trained), one card holds all of the base, ")
    ]
    assert ": it fits L4, " in answering
    assert [line.split()[:2] for line in lines].count(["put", "together"]) == 1  # on a card


@pytest.mark.parametrize("device_map", [None, "auto"])
def test_the_plan_of_a_base_beyond_one_card_says_how_many_cards_answer(device_map: str | None, tmp_path: Path) -> None:
    """Llama 3's shape of 70 billion weights, of which no small card holds four bits, and none 16 or 32."""
    generation = {"device_map": device_map} if device_map else {}
    loaded = reading.load(small_config(tmp_path, generation=generation, serving={"merged": {"merged": True}}))
    shape = meta_device.build(written(tmp_path / "llama", OF_70B))
    sizes = [{"name": str(size), "memory_gb": size, "bf16_tflops": 1} for size in (24, 80)]
    prices = {"utilisation": 0.4, "currency": "USD", "cards": sizes}

    lines = list(forecast.answered_on(shape, loaded, estimates.answering(shape, loaded, cuda=True), prices))

    assert lines[0].startswith("  to answer (trained), one card holds all of the base, 4")
    assert lines[0].endswith(": it fits 80")
    says = "device_map: auto puts its layers" if device_map else "device_map: auto would put its layers"
    assert any(says in line for line in lines)
    if device_map is None:
        assert lines[-1].startswith("  to merge (merged), 28")
        assert lines[-1].endswith(" GB of the host's memory, and no card")
        return
    assert any(line.startswith("  to merge (merged), one card holds all of the base, 28") for line in lines)
    assert lines[-2].endswith("of which it needs: 16 x 24, 4 x 80")
    assert lines[-1] == "    50.00 GB of the host's memory for each file that is written"


@pytest.mark.usefixtures("base")
def test_the_plan_says_what_merging_takes_of_the_host_however_much_training_takes_of_a_card(tmp_path: Path) -> None:
    gguf = {"gguf": {"engine": "llama.cpp", "merged": True}}
    asked = small_config(tmp_path, serving=gguf, training={"per_device_train_batch_size": 32})
    found = inputs.load(reading.load(asked, {"run.output_dir": str(tmp_path / "runs")}), quiet)
    shape = forecast.built_of(found)
    assert shape is not None
    merging = estimates.merging(shape, found.config, 0).memory
    assert merging < forecast.estimate(found, shape, cuda=True).memory

    lines = forecast.planned(found)

    assert f"  to merge (gguf), {merging / estimates.GB:.2f} GB of the host's memory, and no card" in lines


def test_the_plan_says_first_what_the_golden_set_can_prove_and_how_many_rows_are_missing(tmp_path: Path) -> None:
    """Even where the base model is not here: the golden set is the first thing to mend."""
    small_config(tmp_path, gates={"answer_rate": {"mode": "lower_bound", "target": 0.99}})

    done = adapter_release("plan", "release.yaml", cwd=tmp_path)

    assert "golden.jsonl, 100 rows:" in done.stderr
    assert "answer_rate  INSUFFICIENT  60 rows are counted, 299 are needed: add 239" in done.stderr
    who = "an adapter of perfect form that is right 85 % of the time everywhere"
    assert f"chance that {who} passes every required gate: at most 0.0 %" in done.stderr


def test_the_plan_counts_the_attempts_that_were_made_on_this_golden_set(tmp_path: Path) -> None:
    """A line of a ledger of before, on the same rows as they were written."""
    loaded = reading.load(small_config(tmp_path))
    _, golden = sources.load(loaded, quiet)
    line = {"golden_sha256": golden.sha256, "adapter_sha256": "1" * 64, "passed": False}
    path = ledger.path_of(loaded)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(line) + "\n", "utf-8")

    done = adapter_release("plan", "release.yaml", cwd=tmp_path)

    assert "this is attempt 2 on this golden set, at least: its bounds may err with 1/6 of what all" in done.stderr
    assert "citation_coverage   needs 56/60" in done.stderr
