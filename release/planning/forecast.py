"""What a run of this configuration will need, and what its golden set can prove, before anything is spent."""

import gates
from gates.report import plan_lines
from release.data.dataset import refuse
from release.inputs import Inputs, there
from release.models import architecture
from release.models.architecture import Architecture
from release.planning import estimates
from release.running import environment, spending
from release.values.errors import PreflightError


def planned(found: Inputs) -> list[str]:
    """Memory, hours and money of this configuration, on the cards of the price file and here."""
    config, prices = found.config, estimates.read_prices()
    built = built_of(found)
    lines = []
    if config.adapter.method == "imported":
        for cuda in (True, False):
            lines += ["on a GPU:" if cuda else "on a CPU:", *estimates.table(estimate(found, built, cuda=cuda), (), "")]
        return ["nothing is trained; to answer the golden set:", *lines]
    for cuda in (True, False):
        estimated = estimate(found, built, cuda=cuda)
        lines += ["on a GPU:" if cuda else "on a CPU:"]
        cards = estimates.options(estimated, prices, config.budget.price_per_hour) if cuda else ()
        lines += estimates.table(estimated, cards, config.budget.currency)
        if cuda and not all(one.fits for one in cards):
            lines += ["where it does not fit:", *(f"  {line}" for line in estimates.remedies(estimated, config))]
        if not cuda:
            threads = environment.threads(config.run.threads)
            lines += [
                f"  {estimates.cpu_hours(estimated, prices, threads):.2f} hours of training with {threads} threads"
            ]
    spent = sum(one.cost for one in spending.read(config.run.output_dir))
    limit = "no limit" if config.budget.limit is None else f"of {config.budget.limit:.2f}"
    return [*lines, f"spent so far: {spent:.2f} {config.budget.currency}, {limit}"]


def provable(found: Inputs, attempt: int = 1) -> list[str]:
    """What the golden set can prove in this attempt on it: rows that are missing, and who would slip through."""
    policy, golden = there(found.policy).at(attempt), there(found.rows).golden
    try:
        plan = gates.plan(golden.rows, policy)
    except gates.InvalidData as error:
        refuse(error.problems)
        raise
    return [f"{golden.path.name}, {len(golden.rows)} rows:", *plan_lines(plan, policy)]


def built_of(found: Inputs) -> Architecture | None:
    """What transformers builds of the base model; None where its own code is trusted to build it.

    ``PreflightError`` why it cannot be trained here, and what to take instead.
    """
    base = there(found.base)
    return architecture.read(base.folder, base.architecture, found.config.model, base.base_model)


def estimate(found: Inputs, built: Architecture | None, *, cuda: bool) -> estimates.Estimate:
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
    lengths = [(one.asked, one.total) for one in rows.train.measured]
    load = estimates.load_of(lengths, len(rows.train.rows), config.data.max_length)
    return estimates.estimate(built, config, load, cuda=cuda)
