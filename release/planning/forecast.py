"""What a run of this configuration will need, and what its golden set can prove, before anything is spent."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import gates
from gates.report import plan_lines
from release.data.dataset import refuse
from release.inputs import Inputs, there
from release.models import architecture
from release.models.architecture import Architecture
from release.planning import cards, estimates
from release.planning.estimates import GB, Estimate, Load
from release.running import environment, machine, spending
from release.values.errors import PreflightError


def planned(found: Inputs) -> list[str]:
    """Memory, hours and money of this configuration, on the cards of the price file and here."""
    config, prices = found.config, estimates.read_prices()
    built = built_of(found)
    lines = []
    if config.adapter.method == "imported":
        for cuda in (True, False):
            lines += ["on a GPU:" if cuda else "on a CPU:", *estimates.table(estimate(found, built, cuda=cuda))]
        return ["nothing is trained; to answer the golden set:", *lines]
    on_gpu, on_cpu = (estimate(found, built, cuda=cuda) for cuda in (True, False))
    assert built is not None  # or there was no estimate
    peaks = cards.peaks(built, config, _load(found))
    lines = ["on a GPU:", *estimates.table(on_gpu), *cards.table(peaks, config, prices)]
    if config.training.fsdp:
        lines += _shared(estimates.answering(built, config, cuda=True), on_gpu.processes, prices)
    if not all(one.fits for one in cards.options(on_gpu, prices)):
        lines += ["where it does not fit:", *(f"  {line}" for line in estimates.remedies(on_gpu, config))]
    threads = environment.threads(config.run.threads)
    hours = cards.number(estimates.cpu_hours(on_cpu, prices, threads))
    lines += ["on a CPU:", *estimates.table(on_cpu), f"  {hours} hours of training with {threads} threads"]
    lines += _here(on_cpu, answering(found, built))
    spent = sum(one.cost for one in spending.read(config.run.output_dir))
    limit = "no limit" if config.budget.limit is None else f"of {config.budget.limit:.2f}"
    return [*lines, f"spent so far: {spent:.2f} {config.budget.currency}, {limit}"]


def _shared(answering: Estimate, processes: int, prices: Mapping[str, Any]) -> Iterator[str]:
    """What training over a base that is shared out says, and does not say, of the cards that answer."""
    yield f"  training.fsdp: of the base's weights each of {processes} processes keeps 1/{processes}"
    fit = [one.card for one in cards.options(answering, prices) if one.fits and not one.unsupported]
    where = f"it fits {', '.join(fit)}" if fit else "it fits none of these cards, so nothing could be judged here"
    yield f"  to answer, one card holds all of the base, {answering.memory / GB:.2f} GB: {where}"


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
    """Bytes of the host's memory that a base takes which goes to cards in shares: each process loads all of it."""
    weights = estimates.answering(built, found.config, cuda=True).parts["base weights"]
    return weights * (found.config.training.processes or 1)


def built_of(found: Inputs) -> Architecture | None:
    """What transformers builds of the base model; None where its own code is trusted to build it.

    ``PreflightError`` why it cannot be trained here, and what to take instead.
    """
    base = there(found.base)
    return architecture.read(base.folder, base.architecture, found.config.model, base.base_model)


def estimate(found: Inputs, built: Architecture | None, *, cuda: bool) -> Estimate:
    """What this configuration needs over a base model, by the real lengths of its rows."""
    config, rows = found.config, there(found.rows)
    if built is None:
        raise PreflightError(
            f"{config.model.base_model_id} is built by code of its own (model.trust_remote_code), which is not run "
            "before training: its memory cannot be planned. Try the first steps with `--set training.max_steps=2`."
        )
    there(found.chat)
    if rows.train is None or config.adapter.method == "imported":
        return estimates.answering(built, config, cuda=cuda)
    return estimates.estimate(built, config, _load(found), cuda=cuda)


def _load(found: Inputs) -> Load:
    """What the training rows ask for, by their lengths as they will be read."""
    train = there(found.rows).train
    assert train is not None
    lengths = [(one.asked, one.total) for one in train.measured]
    return estimates.load_of(lengths, len(train.rows), found.config.data.max_length)
