"""What tries cost: each by itself, and all of them together where none before the last passes."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from gates.shown import counted
from release.config import ladder
from release.config.ladder import Step
from release.config.settings import Config
from release.inputs import Inputs
from release.models.architecture import Architecture
from release.planning import cards, estimates, forecast
from release.planning.cards import Option
from release.running import environment, price_list


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
    steps, many = ladder.foreseen(config), ladder.at_once(config)
    currency = cards.currency_of(config, price_list.read())

    def cost(step: Step) -> Cost:
        return _cost(replace(found, config=step.config), built, many)

    if ladder.search(config) and len(steps) > 1:
        largest = [(one, cost(one)) for one in ladder.largest(config)]
        first, others = cost(steps[0]), _enough(largest)
        costs = [first, *[others] * (len(steps) - 1)]
        says = ["as written", f"each further one of the search, at most: {_dearest(largest)}"]
    else:
        costs, says = [cost(one) for one in steps], [_said(one) for one in steps]
    threads = counted(environment.share(config.run.threads, many), "thread")
    lines = [f"tries, at most {len(steps)}: hours with {threads}, and on the cheapest card that fits"]
    for number, (one, said) in enumerate(zip(costs, says, strict=False), 1):
        lines.append(f"  {number:>3}  {one.hours:7.2f} h  {_card(one.card, currency):32}  {said}")
    return [*lines, *_all(costs, config, currency), *_limits(found)]


def _all(costs: Sequence[Cost], config: Config, currency: str) -> Iterator[str]:
    """What all of them take where none before the last passes, and their other seeds after them."""
    seeds, many = ladder.other_seeds(config), ladder.at_once(config)
    known = [one.card.cost for one in costs if one.card and one.card.cost is not None]
    unknown = any(one.card and one.card.cost is None for one in costs)
    money = None if unknown else sum(known) + seeds * max(known, default=0.0)
    more = f", and {seeds} more seeds of the dearest" if seeds else ""
    hours = _passing([one.hours for one in costs], seeds, many)
    yield f"  all  {hours:7.2f} h  {cards.money(money)} {currency}, if none before the last passes{more}"
    if many > 1:
        on_cards = [one.card.hours for one in costs if one.card]
        there = f"; on {many} cards {cards.number(_passing(on_cards, seeds, many))} h" if on_cards else ""
        yield f"  {many} at a time: these hours are of the clock{there}; the sum is of all trainings together"


def _passing(hours: Sequence[float], seeds: int, many: int) -> float:
    """How long so many at a time take, each begun as soon as one before it has ended; the seeds after all."""
    longest, passed = max(hours, default=0.0), 0.0
    for several in (hours, [longest] * seeds):
        free = [0.0] * many
        for one in several:
            free.sort()
            free[0] += one
        passed += max(free)
    return passed


def _said(step: Step) -> str:
    return ", ".join(f"{key} {value}" for key, value in step.changes.items()) or "as written"


def _limits(found: Inputs) -> Iterator[str]:
    if (hours := found.config.budget.hours) is not None:
        yield f"  budget.hours ends them after {hours:g} hours of training"


def _cost(found: Inputs, built: Architecture | None, many: int) -> Cost:
    config, prices = found.config, price_list.read()
    on_cpu, on_gpu = (forecast.estimate(found, built, cuda=cuda) for cuda in (False, True))
    best = cards.cheapest(cards.options(on_gpu, prices, config.budget.price_per_hour))
    hours = estimates.cpu_hours(on_cpu, prices, environment.share(config.run.threads, many))
    return Cost(hours=hours, card=best)


def _enough(several: Sequence[tuple[Step, Cost]]) -> Cost:
    """What is enough for any one of them."""
    fit = [one.card for _, one in several if one.card]
    card = max(fit, key=_price) if len(fit) == len(several) else None
    return Cost(hours=max(one.hours for _, one in several), card=card)


def _dearest(several: Sequence[tuple[Step, Cost]]) -> str:
    """Which of them costs the most, and which takes the longest here, where that is another."""
    dearest, _ = max(several, key=lambda one: (math.inf if one[1].card is None else _price(one[1].card), one[1].hours))
    longest, _ = max(several, key=lambda one: (one[1].hours, one[0] is dearest))
    if longest is dearest:
        return _said(dearest)
    return f"{_said(dearest)}, which costs the most; the hours are of {_said(longest)}"


def _price(card: Option) -> float:
    return math.inf if card.cost is None else card.cost


def _card(card: Option | None, currency: str) -> str:
    return (
        f"{card.card}: {cards.number(card.hours)} h, {cards.money(card.cost)} {currency}"
        if card
        else "fits no card of prices.json"
    )
