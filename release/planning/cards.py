"""Where a training fits, on which of the price file's cards, for how long and for how much."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from release.config.settings import Config
from release.models.architecture import Architecture
from release.planning import estimates
from release.planning.estimates import GB, Estimate, Load

Method = Literal["qlora", "lora"]
METHODS: Mapping[Method, str] = {"qlora": "NF4", "lora": "bf16"}
"""What the frozen base's weights are held in on a card, by the method of training."""
TENTH, LEAST = 0.1, 0.001
"""Hours and sums below the first are told to three decimals, below the second as less than it."""
MORE = (2, 4, 8)
"""Of so many cards is told what they would save."""


@dataclass(frozen=True, kw_only=True)
class Option:
    """A card beside what a training needs."""

    card: str
    memory_gb: float
    fits: bool
    """Whether there is room; whether it can be used is said in ``unsupported``."""
    hours: float
    cost: float | None
    """Of all cards together; None where nobody named a price."""
    unsupported: str = ""
    """Why nothing is trained on it here; empty for nothing that is known."""
    on: str = ""
    """What `candidate --on` is given for a machine with one of them at this price; empty where none is known."""


@dataclass(frozen=True, kw_only=True)
class Peaks:
    """What each card needs by the method of training, as an estimate each."""

    configured: Method
    by_method: Mapping[Method, Estimate]

    @property
    def estimated(self) -> Estimate:
        return self.by_method[self.configured]


def peaks(shape: Architecture, config: Config, load: Load) -> Peaks:
    """The peak of this configuration on a card, and of the same over a base that is held otherwise."""
    found: dict[Method, Estimate] = {}
    for method in METHODS:
        held = replace(config.adapter.quantization, load_in_4bit=method == "qlora")
        adapter = replace(config.adapter, method=method, quantization=held)
        found[method] = estimates.estimate(shape, replace(config, adapter=adapter), load, cuda=True)
    return Peaks(configured="qlora" if config.adapter.method == "qlora" else "lora", by_method=found)


def options(estimated: Estimate, prices: Mapping[str, Any], price: float | None = None) -> tuple[Option, ...]:
    """Each card of the price file: whether the run fits, how long it takes, what it costs.

    ``price`` is what an hour of the whole machine costs, in place of the file's prices.
    """
    many, found = estimated.processes, []
    for card in prices["cards"]:
        hours = estimated.flops / (card["bf16_tflops"] * 1e12 * prices["utilisation"]) / 3600 / many
        each = card.get("price_per_hour")
        an_hour = price if price is not None else each and each * many
        found.append(
            Option(
                card=card["name"],
                memory_gb=card["memory_gb"],
                fits=_fits(estimated, card["memory_gb"]),
                hours=hours,
                cost=None if an_hour is None else hours * an_hour,
                unsupported=card.get("unsupported", ""),
                on=card.get("on", "") if price is None else "",
            )
        )
    return tuple(found)


def cheapest(cards: Sequence[Option]) -> Option | None:
    """Of the usable cards that it fits the one that costs least, then the fastest; one of no price comes last."""
    fitting = [one for one in cards if one.fits and not one.unsupported]
    return min(fitting, key=lambda one: (one.cost is None, one.cost or 0.0, one.hours), default=None)


def table(found: Peaks, config: Config, prices: Mapping[str, Any]) -> list[str]:
    """Every card in a line, by what it has room for; the cheapest; and what the figures rest on."""
    estimated, price = found.estimated, config.budget.price_per_hour
    currency = currency_of(config, prices)
    cards = options(estimated, prices, price)
    held = [f"{METHODS[name]} {one.memory / GB:.2f} GB" for name, one in found.by_method.items()]
    which = "each card" if estimated.processes > 1 else "a card"
    lines = [
        f"  the peak on {which}: {', '.join(held)}; configured is {METHODS[found.configured]}",
        f"  {'card':14} {'memory':>7}  {'NF4':4} {'bf16':4}  processes  {'hours':>8}  {currency:>8}",
    ]
    for one in cards:
        fits = ["yes" if _fits(each, one.memory_gb) else "no" for each in found.by_method.values()]
        lines.append(
            f"  {one.card:14} {one.memory_gb:4g} GB  {fits[0]:4} {fits[1]:4}  {estimated.processes:9}  "
            f"{number(one.hours):>8}  {money(one.cost):>8}"
        )
    return [*lines, *_best(cards, config, estimated.processes, currency), *_rests_on(prices, price, currency)]


def currency_of(config: Config, prices: Mapping[str, Any]) -> str:
    """What money is counted in: as the price is that is used."""
    own: str = config.budget.currency
    return prices["currency"] if config.budget.price_per_hour is None else own


def _best(cards: Sequence[Option], config: Config, processes: int, currency: str) -> Iterator[str]:
    best = cheapest(cards)
    if best is None:
        yield "  it fits none of these cards that can be used"
        return
    which = f"{processes} x {best.card}" if processes > 1 else best.card
    yield f"  the cheapest that it fits: {which}, {number(best.hours)} hours, {money(best.cost)} {currency}"
    lent = [f"{one.on} {money(one.cost)}" for one in cards if one.on and one.fits and processes == 1]
    if lent:
        yield f"  lent by the hour, for `candidate --on`: {', '.join(lent)} {currency}"
    whole = processes * config.training.gradient_accumulation_steps
    for many in MORE:
        if many > processes and whole % many == 0:
            yield (
                f"  with {many} of them, as many rows a step: {number(best.hours * processes / many)} hours (--set "
                f"training.processes={many} --set training.gradient_accumulation_steps={whole // many})"
            )


def _rests_on(prices: Mapping[str, Any], price: float | None, currency: str) -> Iterator[str]:
    source = prices.get("utilisation_source", "it names no source")
    yield f"  hours: {100 * prices['utilisation']:g} % of a card's dense bfloat16 speed, as prices.json says ({source})"
    yield "  several cards are counted as that many times as fast; answering is not counted"
    if price is not None:
        yield f"  money: {price:g} {currency} for an hour of the machine, as budget.price_per_hour says"
    for one in prices["cards"]:
        if why := one.get("unsupported"):
            yield f"  not used: {one['name']}, {why}"
    if price is None and (lacking := [one["name"] for one in prices["cards"] if one.get("price_per_hour") is None]):
        yield f"  unknown: prices.json names no price of {', '.join(lacking)}"


def _fits(estimated: Estimate, memory_gb: float) -> bool:
    return estimated.memory <= memory_gb * GB


def number(value: float) -> str:
    """Hours or a sum, to three decimals where it is small."""
    return f"{value:.2f}" if value >= TENTH or not value else f"{value:.3f}" if value >= LEAST else f"<{LEAST}"


def money(cost: float | None) -> str:
    """A sum; the word for none."""
    return "unknown" if cost is None else number(cost)
