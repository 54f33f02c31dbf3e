"""What tries cost: each by itself, and all of them together where none before the last passes."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from release.config import ladder
from release.inputs import Inputs
from release.models.architecture import Architecture
from release.planning import cards, estimates, forecast
from release.planning.cards import Option
from release.running import environment


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Of one training."""

    hours: float
    """With this machine's threads."""
    card: Option | None
    """The cheapest that it fits; None where it fits none."""


def planned(found: Inputs, built: Architecture | None) -> list[str]:
    """A line for each try, and one for all with their seeds; what memory may leave out is counted."""
    config = found.config
    steps = ladder.foreseen(config)
    seeds, currency = ladder.other_seeds(config), cards.currency_of(config, estimates.read_prices())
    searched = ladder.search(config) is not None
    if searched:
        largest = [_cost(replace(found, config=step.config), built) for step in ladder.largest(config)]
        costs = [_cost(replace(found, config=steps[0].config), built), *[_dearest(largest)] * (len(steps) - 1)]
    else:
        costs = [_cost(replace(found, config=step.config), built) for step in steps]
    threads = environment.threads(config.run.threads)
    lines = [f"tries, at most {len(steps)}: hours with {threads} threads, and on the cheapest card that fits"]
    for step, cost in list(zip(steps, costs, strict=True))[: 2 if searched else None]:
        changed = ", ".join(f"{key} {value}" for key, value in step.changes.items()) or "as written"
        if searched and step.changes:
            changed = f"and each further one of the search, at most: {changed}"
        lines.append(f"  {step.name:>3}  {cost.hours:7.2f} h  {_card(cost.card, currency):32}  {changed}")
    sums = [one.card.cost for one in costs if one.card]
    known = [one for one in sums if one is not None]
    hours = sum(one.hours for one in costs) + seeds * max(one.hours for one in costs)
    money = None if len(known) < len(sums) else sum(known) + seeds * max(known, default=0.0)
    more = f", and {seeds} more seeds of the dearest" if seeds else ""
    return [
        *lines,
        f"  all  {hours:7.2f} h  {cards.money(money)} {currency}, if none before the last passes{more}",
        *_limits(found),
    ]


def _limits(found: Inputs) -> Iterator[str]:
    if (hours := found.config.budget.hours) is not None:
        yield f"  budget.hours ends them after {hours:g} hours of training"


def _cost(found: Inputs, built: Architecture | None) -> Cost:
    config, prices = found.config, estimates.read_prices()
    on_cpu, on_gpu = (forecast.estimate(found, built, cuda=cuda) for cuda in (False, True))
    best = cards.cheapest(cards.options(on_gpu, prices, config.budget.price_per_hour))
    hours = estimates.cpu_hours(on_cpu, prices, environment.threads(config.run.threads))
    return Cost(hours=hours, card=best)


def _dearest(several: Sequence[Cost]) -> Cost:
    """What is enough for any one of them."""
    fit = [one.card for one in several if one.card]
    card = max(fit, key=lambda one: math.inf if one.cost is None else one.cost) if len(fit) == len(several) else None
    return Cost(hours=max(one.hours for one in several), card=card)


def _card(card: Option | None, currency: str) -> str:
    return (
        f"{card.card}: {cards.number(card.hours)} h, {cards.money(card.cost)} {currency}"
        if card
        else "fits no card of prices.json"
    )
