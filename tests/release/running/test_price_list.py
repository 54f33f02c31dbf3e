"""What an hour of a machine costs: the budget's word, the price file's of its card, and why nobody knows."""

import json
from pathlib import Path

import pytest

from release.config import reading
from release.config.settings import Config
from release.running import price_list
from release.values.errors import PreflightError
from tests.helpers.cards import machine_with
from tests.helpers.line import small_config

H200, L40 = (f"NVIDIA {name}, 81920, 580.65.06, GPU-{name}, 9.0, [N/A]" for name in ("H200", "L40"))


def asked(folder: Path, **settings: str) -> Config:
    return reading.load(small_config(folder), {key.replace("__", "."): value for key, value in settings.items()})


@pytest.mark.parametrize(
    ("settings", "card", "price", "says"),
    [
        ({"budget__price_per_hour": "2.5"}, H200, 2.5, "budget.price_per_hour"),
        ({"budget__price_per_hour": "0"}, "", 0, "budget.price_per_hour"),
        ({"budget__price_per_hour": "2.5", "training__processes": "2"}, H200, 2.5, "budget.price_per_hour"),
        ({}, H200, 4.0, "the list price of H200 141GB in prices.json"),
        ({"training__processes": "2"}, H200, 8.0, "the list price of H200 141GB in prices.json, of each of 2"),
        ({}, "", None, "no card is used here"),
        ({}, L40, None, "its card is NVIDIA L40, and prices.json has no card that is called so"),
        ({"budget__currency": "EUR"}, H200, None, "budget.currency is EUR, and prices.json counts USD. Set"),
        ({"budget__currency": "EUR", "budget__price_per_hour": "3"}, H200, 3, "budget.price_per_hour"),
    ],
)
def test_an_hour_costs_what_the_budget_says_else_what_the_price_file_says_of_the_card(
    settings: dict[str, str], card: str, price: float | None, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if card:
        machine_with(tmp_path, monkeypatch, card)

    found = price_list.of_this_machine(asked(tmp_path, **settings))

    assert found.price == price
    assert says in found.says
    assert price is not None or "et budget.price_per_hour: what an hour of it costs in " in found.says


def test_a_card_without_a_price_has_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = price_list.read()
    listed["cards"] = [{**one, "price_per_hour": None} for one in listed["cards"]]
    (tmp_path / "prices.json").write_text(json.dumps(listed), "utf-8")
    monkeypatch.setattr(price_list, "PRICES", tmp_path / "prices.json")
    machine_with(tmp_path, monkeypatch, H200)

    found = price_list.of_this_machine(asked(tmp_path))

    assert found.price is None
    assert "prices.json has no price of H200 141GB. Set budget.price_per_hour" in found.says


@pytest.mark.parametrize("text", ["", "{}", '{"cards": []}', "[]"])
def test_a_price_file_that_lacks_something_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "prices.json"
    path.write_text(text, "utf-8")

    with pytest.raises(PreflightError, match="cannot be used"):
        price_list.read(path)


@pytest.mark.parametrize(
    ("name", "card"),
    [
        ("NVIDIA H100 80GB HBM3", "H100 SXM 80GB"),
        ("NVIDIA GeForce RTX 4090", "RTX 4090"),
        ("NVIDIA A100-SXM4-40GB", "A100 40GB"),
        ("NVIDIA H200", "H200 141GB"),
        ("NVIDIA A100 80GB PCIe", "A100 80GB"),
        ("NVIDIA A100-SXM4-80GB", "A100 80GB"),
        ("NVIDIA A10G", "A10G"),
        ("NVIDIA L40S", "L40S"),
        ("NVIDIA L4", "L4"),
        ("Tesla T4", "T4"),
        ("NVIDIA GeForce RTX 3090", "RTX 3090"),
        ("AMD Instinct MI300X", "MI300X"),
        ("NVIDIA L40", None),
        ("NVIDIA A10", None),
        ("NVIDIA GeForce RTX 3090 Ti", None),
    ],
)
def test_a_card_is_found_by_the_name_that_its_driver_gives_it(name: str, card: str | None) -> None:
    assert price_list.card_of(name, price_list.read()).get("name") == card
