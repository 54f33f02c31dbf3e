"""What an hour of a machine costs: as the budget says, else as the price file says of its card, else nobody knows."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from release.config.settings import Config
from release.running import container
from release.values import assets
from release.values.errors import PreflightError

PRICES = assets.asset("prices.json")


@dataclass(frozen=True, kw_only=True)
class Hour:
    """An hour of a machine."""

    price: float | None
    """In the budget's currency; None where nobody named one."""
    says: str
    """Who named it; or why nobody did, and what to do."""


NOTHING = Hour(price=0.0, says="")
"""Where no money is counted."""


def of_this_machine(config: Config) -> Hour:
    """What an hour of training costs here, of all its processes together."""
    budget = config.budget
    if budget.price_per_hour is not None:
        return Hour(price=budget.price_per_hour, says="budget.price_per_hour")
    own = f"Set budget.price_per_hour: what an hour of it costs in {budget.currency}."
    gpu = container.find_gpu(config.container).gpu
    if gpu is None:
        return Hour(price=None, says=f"no card is used here, and prices.json has prices of cards alone. {own}")
    listed = read()
    card, currency = card_of(gpu.name, listed), listed["currency"]
    if card.get("price_per_hour") is None:
        lacks = f"prices.json has {'no price of ' + card['name'] if card else 'no card that is called so'}"
        return Hour(price=None, says=f"its card is {gpu.name}, and {lacks}. {own}")
    if currency != budget.currency:
        said = f"budget.currency is {budget.currency}, and prices.json counts {currency}"
        return Hour(price=None, says=f"{said}. Set budget.currency: {currency}. Or s{own[1:]}")
    many = config.training.processes or 1
    each = f", of each of {many}" if many > 1 else ""
    return Hour(price=card["price_per_hour"] * many, says=f"{list_price(card)}{each}")


def list_price(card: Mapping[str, Any]) -> str:
    """What a price of the file is called."""
    return f"the list price of {card.get('name')} in prices.json"


def read(path: Path | None = None) -> dict[str, Any]:
    """The price file; ``PreflightError`` with what it lacks."""
    path = path or PRICES
    prices: dict[str, Any] = {}
    try:
        prices = json.loads(path.read_bytes())
        problems = list(_price_problems(prices))
    except (OSError, ValueError) as error:
        problems = [str(error)]
    if problems:
        why = "; ".join(problems)
        raise PreflightError(f"{path} cannot be used: {why}. Compare it with the prices.json of this tool.")
    return prices


def _price_problems(prices: Any) -> Iterator[str]:
    from jsonschema import Draft202012Validator

    import schemas

    for error in Draft202012Validator(schemas.load("prices")).iter_errors(prices):
        yield f"{'.'.join(map(str, error.absolute_path)) or 'the file'}: {error.message[:120]}"


def card_of(name: str, prices: Mapping[str, Any]) -> Mapping[str, Any]:
    """The price file's GPU that a driver calls so, as ``NVIDIA H100 80GB HBM3`` is H100; empty when there is none.

    Of one that is sold with two memories, the one whose memory stands in the name; the first where none does.
    """
    found: list[Mapping[str, Any]] = []
    for card in prices["cards"]:
        model = re.match(r"(?:RTX )?[A-Z]*\d+\w*", card["name"])
        if model and re.search(rf"\b{re.escape(model[0])}\b(?! Ti\b)", name):
            found.append(card)
    return next((one for one in found if f"{one['memory_gb']}GB" in name), found[0] if found else {})
