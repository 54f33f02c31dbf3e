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
        rows = list(expected([one for one in found if one.step == step], policy, golden))
        wide = [max(map(len, column)) for column in zip(*rows, strict=True)]
        if rows:
            yield "  if the golden rows go as the tuning rows did:"
        for row in rows:
            yield f"    {'  '.join(f'{text:{width}}' for text, width in zip(row, wide, strict=True))}".rstrip()


def expected(kept: Sequence[Evaluation], policy: gates.Policy, golden: int) -> Iterator[tuple[str, str, str, str]]:
    """Each required gate, its count of tuning rows, what it needs, and whether as large a share would pass it.

    How many golden rows a gate counts is taken to be in the proportion of the tuning rows.
    """
    for one in kept:
        asked = one.gates.get(JSON, (0, 0))[1]
        for bar in policy.bars_now:
            k, n = one.gates.get(bar.gate, (0, 0))
            if bar.required and not n and one.gates:
                yield bar.gate, "0/0", "no tuning row is of those that it counts", "nothing is known"
            elif bar.required and n:
                counted = round(golden * n / asked)
                needs = bar.needs(counted) if counted >= bar.minimum else None
                enough = needs is not None and k * counted >= needs * n
                asks = "needs more golden rows" if needs is None else f"needs {needs} of {counted} golden rows"
                yield bar.gate, f"{k}/{n}", asks, "would pass" if enough else "would not pass"
