"""After training and before any golden row is asked: how the loss went, and what the tuning rows let one expect."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import gates
from release.values import layout, training_metrics
from release.values.record import Training
from release.values.training_metrics import JSON, Evaluation


def lines(training: Training, run: Path, policy: gates.Policy, golden: int) -> Iterator[str]:
    """The curve in a line; and where tuning rows were answered, a line for each required gate of the policy."""
    values = [loss for _, loss in training.losses]
    if values:
        yield f"  loss {values[0]:.4g} → {values[-1]:.4g}  {training_metrics.bars(values)}"
    if training.evaluation is not None:
        found = training_metrics.read((run / layout.TRAINING_METRICS).read_bytes(), layout.TRAINING_METRICS)
        step = training.evaluation.best_step or training.steps
        yield from (f"  {one}" for one in expected([one for one in found if one.step == step], policy, golden))


def expected(kept: Sequence[Evaluation], policy: gates.Policy, golden: int) -> Iterator[str]:
    """Each required gate over the tuning rows, and whether as large a share of the golden rows would pass it.

    How many golden rows a gate counts is taken to be in the proportion of the tuning rows.
    """
    for one in kept:
        asked = one.gates.get(JSON, (0, 0))[1]
        for bar in policy.bars_now:
            k, n = one.gates.get(bar.gate, (0, 0))
            if bar.required and n:
                counted = round(golden * n / asked)
                needs = bar.needs(counted) if counted >= bar.minimum else None
                enough = needs is not None and k * counted >= needs * n
                asks = "more golden rows are needed" if needs is None else f"{needs}/{counted} golden rows are needed"
                yield f"tuning rows: {bar.gate} {k}/{n}; {asks}, {'and' if enough else 'but'} as many would " + (
                    "pass" if enough else "not pass"
                )
