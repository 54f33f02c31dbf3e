"""What a run of this configuration will need, and what its golden set can prove, before anything is spent."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import gates
from gates.report import plan_lines
from release.config import forms
from release.config.settings import Config, Precision
from release.data.dataset import refuse
from release.inputs import Inputs, there
from release.models import architecture
from release.models.architecture import Architecture
from release.planning import cards, estimates
from release.planning.estimates import GB, Estimate, Load
from release.running import environment, machine, price_list, spending
from release.values.errors import PreflightError

IN_A_MACHINE = 16
"""Cards of a machine that are counted with, at most."""


def planned(found: Inputs) -> list[str]:
    """Memory, hours and money of this configuration, on the cards of the price file and here."""
    config, prices = found.config, price_list.read()
    built = built_of(found)
    lines = []
    if config.adapter.method == "imported":
        for cuda in (True, False):
            one = estimate(found, built, cuda=cuda)
            lines += ["on a GPU:" if cuda else "on a CPU:", *estimates.table(one)]
            lines += answered_on(built, config, one, prices) if cuda and built else []
        return ["nothing is trained; to answer the golden set:", *lines]
    on_gpu, on_cpu = (estimate(found, built, cuda=cuda) for cuda in (True, False))
    assert built is not None  # or there was no estimate
    peaks = cards.peaks(built, config, _load(found))
    lines = ["on a GPU:", *estimates.table(on_gpu), *cards.table(peaks, config, prices)]
    if config.training.fsdp:
        many = on_gpu.processes
        lines.append(f"  training.fsdp: of the base's weights each of {many} processes keeps 1/{many}")
    lines += answered_on(built, config, on_gpu, prices)
    if not all(one.fits for one in cards.options(on_gpu, prices)):
        lines += ["where it does not fit:", *(f"  {line}" for line in estimates.remedies(on_gpu, config))]
    threads = environment.threads(config.run.threads)
    hours = cards.number(estimates.cpu_hours(on_cpu, prices, threads))
    lines += ["on a CPU:", *estimates.table(on_cpu), f"  {hours} hours of training with {threads} threads"]
    lines += _here(on_cpu, answering(found, built))
    spent = sum(one.cost for one in spending.read(config.run.output_dir))
    limit = "no limit" if config.budget.limit is None else f"of {config.budget.limit:.2f}"
    return [*lines, f"spent so far: {spent:.2f} {config.budget.currency}, {limit}", *_an_hour_here(config)]


def _an_hour_here(config: Config) -> Iterator[str]:
    """What the budget counts an hour of this machine with, or why it could not be kept here."""
    if spending.counts_money(config.budget):
        hour = price_list.of_this_machine(config)
        if hour.price is None:
            yield f"on this machine the budget cannot be kept: {hour.says}"
        else:
            yield f"an hour of this machine: {cards.money(hour.price)} {config.budget.currency}, {hour.says}"


def answered_on(shape: Architecture, config: Config, training: Estimate, prices: Mapping[str, Any]) -> Iterator[str]:
    """Which cards can answer and merge, where training's memory is not enough for it.

    For both all of the base is loaded, even where the processes of a training share it.
    """
    several = config.generation.device_map
    for load in to_load(shape, config):
        on_cards = several or not load.merges
        one = load.needed(1 if on_cards else 0)
        if not on_cards:  # of another memory than training's
            yield f"  to {load.what}, {one.memory / GB:.2f} GB of the host's memory, and no card"
            continue
        if one.memory <= training.memory and not (several or config.training.fsdp or training.steps == 0):
            continue
        fit = [card.card for card in cards.options(one, prices) if card.fits and not card.unsupported]
        where = f"it fits {', '.join(fit)}" if fit else "it fits none of these cards"
        yield f"  to {load.what}, one card holds all of the base, {one.memory / GB:.2f} GB: {where}"
        over = ", ".join(_fewest(load.needed, prices))
        if over and (several or not fit):
            said = f"generation.device_map: {several} puts" if several else "generation.device_map: auto would put"
            yield f"    {said} its layers on all cards that are visible, of which it needs: {over}"
        elif not fit:
            yield f"    and {IN_A_MACHINE} of them cannot hold it either: nothing could be judged so"
        if load.merges:
            written = estimates.written_at_once(shape) / GB
            yield f"    {written:.2f} GB of the host's memory for each file that is written"


@dataclass(frozen=True, kw_only=True)
class ToLoad:
    """What is loaded on cards as a whole, once an adapter is there."""

    merges: bool
    """Whether files are made of it, in float32; else it answers."""
    names: tuple[str, ...]
    """The forms it is for."""
    needed: Callable[[int], Estimate]
    """What each of so many cards holds of it; of none, the host's memory."""

    @property
    def what(self) -> str:
        return f"{'merge' if self.merges else 'answer'} ({', '.join(self.names)})"


def to_load(shape: Architecture, config: Config) -> Iterator[ToLoad]:
    """What judging loads: forms of one precision the same."""
    loaded = forms.loaded_in(config)
    for precision in dict.fromkeys(loaded.values()):
        names = tuple(name for name, one in loaded.items() if one == precision)
        yield ToLoad(merges=False, names=names, needed=partial(_answering_on, shape, config, precision))
    if made := tuple(name for name, one in config.serving.items() if forms.has_files(one)):
        yield ToLoad(merges=True, names=made, needed=partial(estimates.merging, shape, config))


def _answering_on(shape: Architecture, config: Config, precision: Precision, cards: int) -> Estimate:
    return estimates.answering(shape, config, cuda=True, precision=precision, cards=cards)


def _fewest(needed: Callable[[int], Estimate], prices: Mapping[str, Any]) -> Iterator[str]:
    """Where one of a card is too small for it: the least number of them that is enough, up to ``IN_A_MACHINE``."""
    for number, card in enumerate(prices["cards"]):
        fitting = (many for many in range(1, IN_A_MACHINE + 1) if cards.options(needed(many), prices)[number].fits)
        if not card.get("unsupported") and (many := next(fitting, 1)) > 1:
            yield f"{many} x {card['name']}"


def provable(found: Inputs, attempt: int = 1) -> list[str]:
    """What the golden set can prove in this attempt on it: rows that are missing, and who would slip through."""
    policy, golden = there(found.policy).at(attempt), there(found.rows).golden
    try:
        plan = gates.plan(golden.rows, policy)
    except gates.InvalidData as error:
        refuse(error.problems)
        raise
    return [f"{golden.path.name}, {len(golden.rows)} rows:", *plan_lines(plan, policy)]


def _here(training: Estimate, answering: Estimate) -> Iterator[str]:
    """How many processes of each stage this machine's memory holds."""
    free = machine.available_memory()
    for name, one in (("training", training), ("answering", answering)):
        each = one.memory / one.processes
        room = "" if free is None else f"; {free / GB:.2f} GB are free here, room for {int(free // each)}"
        yield f"  {name}: {each / GB:.2f} GB for each process, {one.processes} configured{room}"


def answering(found: Inputs, built: Architecture, *, cuda: bool = False) -> Estimate:
    """What the processes that answer hold together on a machine without a card; on one each has a card of its own."""
    many = 1 if cuda else found.config.generation.processes or 1
    one = estimates.answering(built, found.config, cuda=cuda)
    return replace(one, parts={name: size * many for name, size in one.parts.items()}, processes=many)


def to_share_out(found: Inputs, built: Architecture) -> float:
    """Bytes of the host's memory until each card has its share of the base: every process loads all of it first."""
    weights = estimates.answering(built, found.config, cuda=True).parts["base weights"]
    return weights * (found.config.training.processes or 1)


def built_of(found: Inputs) -> Architecture | None:
    """What transformers builds of the base model; None where its own code is trusted to build it.

    ``PreflightError`` why it cannot be trained here, and what to take instead.
    """
    base = there(found.base)
    return architecture.read(base.folder, base.architecture, found.config.model, base.base_model)


def estimate(found: Inputs, built: Architecture | None, *, cuda: bool, cards: int = 1) -> Estimate:
    """What this configuration needs over a base model, by the real lengths of its rows.

    Where nothing is trained, what each of so many cards holds to answer.
    """
    config, rows = found.config, there(found.rows)
    if built is None:
        raise PreflightError(
            f"{config.model.base_model_id} is built by code of its own (model.trust_remote_code), which is not run "
            "before training: its memory cannot be planned. Try the first steps with `--set training.max_steps=2`."
        )
    there(found.chat)
    if rows.train is None or config.adapter.method == "imported":
        return estimates.answering(built, config, cuda=cuda, cards=cards)
    return estimates.estimate(built, config, _load(found), cuda=cuda)


def _load(found: Inputs) -> Load:
    """What the training rows ask for, by their lengths as they will be read."""
    train = there(found.rows).train
    assert train is not None
    lengths = [(one.asked, one.total) for one in train.measured]
    return estimates.load_of(lengths, len(train.rows), found.config.data.max_length)
