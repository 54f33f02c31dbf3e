"""Where a training fits, for how long and for how much; what nobody named is said to be unknown."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from release.config import reading
from release.config.settings import Config
from release.planning import cards, estimates
from release.planning.cards import Option
from release.running import price_list
from release.values.errors import PreflightError
from tests.helpers.built import built
from tests.helpers.line import ROOT

PRICES = price_list.read(ROOT / "prices.json")
LOAD = estimates.Load(rows=20000, tokens=12_000_000, longest=1024, learned=256)
LONG = {"training.max_steps": "-1", "data.max_length": "2048"}


def config_of(**overrides: str) -> Config:
    return reading.load(
        ROOT / "release.yaml", LONG | {key.replace("__", "."): value for key, value in overrides.items()}
    )


def lines_of(config: Config, model: str = "llama-3.1-8b", prices: Any = PRICES) -> list[str]:
    return cards.table(cards.peaks(built(model), config, LOAD), config, prices)


def row(lines: list[str], card: str) -> list[str]:
    (found,) = [one for one in lines if one.startswith(f"  {card} ")]
    return found.removeprefix(f"  {card}").split()


def test_each_card_says_whether_each_method_fits_how_long_and_how_much() -> None:
    """Llama 3.1 8B: in four bits on 16 GB, in sixteen not; the counts are those of one estimate each."""
    config = config_of()
    found = cards.peaks(built("llama-3.1-8b"), config, LOAD)
    lines = lines_of(config)

    nf4, bf16 = (one.memory / estimates.GB for one in found.by_method.values())
    assert f"NF4 {nf4:.2f} GB, bf16 {bf16:.2f} GB; configured is NF4" in lines[0]
    assert found.estimated == estimates.estimate(built("llama-3.1-8b"), config, LOAD, cuda=True)
    memory, _, four, sixteen, processes, hours, money = row(lines, "RTX 4090")
    assert (memory, four, sixteen, processes) == ("24", "yes", "yes", "1")
    assert float(money) == pytest.approx(float(hours) * 0.34, abs=0.01)
    assert row(lines, "T4")[2:4] == ["yes", "no"]


def test_processes_are_cards_of_the_same_work_in_less_time_for_the_same_money() -> None:
    one = row(lines_of(config_of(training__gradient_accumulation_steps="16")), "H100 SXM 80GB")
    two = row(lines_of(config_of(training__processes="2", training__gradient_accumulation_steps="8")), "H100 SXM 80GB")

    assert (one[4], two[4]) == ("1", "2")
    assert float(two[5]) == pytest.approx(float(one[5]) / 2, abs=0.01)
    assert two[6] == one[6]


def test_more_cards_are_told_with_settings_that_learn_as_many_rows_a_step() -> None:
    config = config_of(training__gradient_accumulation_steps="12")
    told = [one for one in lines_of(config) if "as many rows a step" in one]

    assert [one.split(" of them")[0] for one in told] == ["  with 2", "  with 4"]  # 12 is not of 8
    for line in told:
        settings = [one.partition("=")[::2] for one in line.split("--set ")[1:]]
        there = config_of(**{name.replace(".", "__"): value.strip(" )") for name, value in settings})
        training = there.training
        assert (training.processes or 1) * training.gradient_accumulation_steps == 12
        more = cards.peaks(built("llama-3.1-8b"), there, LOAD).estimated
        assert more.steps == cards.peaks(built("llama-3.1-8b"), config, LOAD).estimated.steps


def option(name: str, **changes: Any) -> Option:
    return Option(**{"card": name, "memory_gb": 24, "fits": True, "hours": 1.0, "cost": 1.0, **changes})


@pytest.mark.parametrize(
    ("there", "best"),
    [
        ([option("a", cost=2.0), option("b")], "b"),
        ([option("a"), option("b", hours=0.5)], "b"),
        ([option("a", cost=None, hours=0.1), option("b", cost=9.0)], "b"),  # nobody knows that it is cheaper
        ([option("a", cost=None), option("b", cost=None, hours=0.5)], "b"),
        ([option("a", cost=0.0), option("b", fits=False, cost=-1.0)], "a"),
        ([option("a", unsupported="no"), option("b", cost=9.0)], "b"),
        ([option("a", fits=False), option("b", unsupported="no")], None),
        ([], None),
    ],
)
def test_the_cheapest_is_the_cheapest_that_can_be_used_and_has_a_price(there: list[Option], best: str | None) -> None:
    found = cards.cheapest(there)
    assert (found.card if found else None) == best


def test_a_price_that_nobody_named_is_unknown_and_no_card_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    prices = copy.deepcopy(PRICES)
    (before,) = [one for one in lines_of(config_of()) if "the cheapest" in one]
    assert "RTX 4090" in before
    del prices["cards"][-1]["price_per_hour"]
    prices["cards"][4]["price_per_hour"] = None
    path = tmp_path / "prices.json"
    path.write_text(json.dumps(prices), "utf-8")

    lines = lines_of(config_of(), prices=price_list.read(path))

    assert row(lines, "RTX 4090")[-1] == row(lines, "MI300X")[-1] == "unknown"
    assert "  unknown: prices.json names no price of RTX 4090, MI300X" in lines
    (cheapest,) = [one for one in lines if "the cheapest" in one]
    assert "RTX 4090" not in cheapest
    assert any("not used: T4, which has no bfloat16" in one for one in lines)
    prices["cards"][4]["price_per_hour"] = "free"
    path.write_text(json.dumps(prices), "utf-8")
    with pytest.raises(PreflightError, match=r"cards\.4\.price_per_hour"):
        price_list.read(path)


def test_a_card_that_is_lent_is_named_as_it_is_typed_with_what_it_costs() -> None:
    def lent(lines: list[str]) -> list[str]:
        return [one for one in lines if "candidate --on" in one]

    lines = lines_of(config_of())

    assert lent(lines) == [
        "  lent by the hour, for `candidate --on`: "
        + ", ".join(
            f"{on} {row(lines, card)[-1]}"
            for on, card in {"hf-jobs:l4x1": "L4", "hf-jobs:a10g-small": "A10G", "hf-jobs:l40sx1": "L40S"}.items()
        )
        + " USD"
    ]
    assert lent(lines_of(config_of(training__processes="2"))) == []  # the price is of a machine with one card
    assert lent(lines_of(config_of(budget__price_per_hour="5"))) == []  # and the own one of another machine


def test_ones_own_price_is_of_the_whole_machine_in_ones_own_currency() -> None:
    mine = {"training__processes": "2", "budget__currency": "EUR", "budget__price_per_hour": "5"}
    lines = lines_of(config_of(**mine))

    *_, hours, money = row(lines, "H100 SXM 80GB")
    assert float(money) == pytest.approx(float(hours) * 5, abs=0.05)
    assert "  money: 5 EUR for an hour of the machine, as budget.price_per_hour says" in lines
    assert "EUR" in lines[1]
    assert "USD" in lines_of(config_of(budget__currency="EUR"))[1]  # the file's prices are in its own


def test_what_fits_nowhere_is_said_and_so_is_what_the_hours_rest_on() -> None:
    lines = lines_of(config_of(), model="mixtral-8x7b")
    assert "  the cheapest that it fits: H200 141GB" in " ".join(lines)
    assert any("30 % of a card's dense bfloat16 speed" in one and "Not measured here" in one for one in lines)

    small = {**PRICES, "cards": [PRICES["cards"][1]]}
    assert "  it fits none of these cards that can be used" in lines_of(config_of(), "mixtral-8x7b", small)


@pytest.mark.parametrize(
    ("value", "told"), [(0.0, "0.00"), (0.0004, "<0.001"), (0.0123, "0.012"), (0.1, "0.10"), (12.345, "12.35")]
)
def test_small_hours_and_sums_are_not_told_as_none(value: float, told: str) -> None:
    assert cards.number(value) == told


def test_a_process_that_answers_holds_what_was_measured() -> None:
    """By the record of a kept release, whose rows were answered as they are today, in batches by length."""
    record = json.loads((ROOT / "tests" / "data" / "releases" / "v3" / "release.json").read_bytes())
    planned = estimates.answering(built("smollm2-135m"), reading.load(ROOT / "release.yaml"), cuda=False)

    assert planned.memory == pytest.approx(record["generation"]["peak_memory_bytes"], rel=0.15)
