"""What was measured on tuning rows while an adapter was trained, and which of its states was therefore kept.

``training_metrics.json`` of a release holds what was logged and evaluated over steps, and nothing that another run of
the same training would not give again: no times, no memory.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from gates.canonical import Json, canonical_json
from release.values import bounded
from release.values.record import Intervention

LOSS = "eval_loss"
JSON = "json_parse"
"""The gate that tells of each row whether it was answered in JSON."""
BARS = "▁▂▃▄▅▆▇█"
SHOWN = 24  # values in a line of the terminal
VERSION = 1
MOST_STEPS = 10**9


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What was measured after a step."""

    step: int
    loss: float
    """Mean cross entropy of the learned tokens of all tuning rows, in nats."""
    gates: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """k of n of each gate, over generated answers to some of these rows."""

    def value(self, metric: str) -> float | None:
        """What is named ``eval_loss`` or ``eval_GATE``; None where nothing was counted."""
        if metric == LOSS:
            return self.loss
        k, n = self.gates.get(metric.removeprefix("eval_"), (0, 0))
        return k / n if n else None

    def as_dict(self) -> dict[str, Json]:
        """In the names of the Trainer, with counts beside them."""
        gates: dict[str, Json] = {f"eval_{name}": [k, n] for name, (k, n) in sorted(self.gates.items())}
        return {"step": self.step, LOSS: self.loss, "eval_perplexity": perplexity(self.loss), **gates}


@dataclass(frozen=True, kw_only=True)
class Kept:
    """Which state of the adapter was kept, and why training ended."""

    metric: str | None = None
    """None: the last step's."""
    best_step: int | None = None
    stopped_early: bool = False


def turned(one: Intervention) -> str:
    """An intervention in a sentence."""
    value = "not finite" if one.value is None else f"{one.value:.4g}"
    limit = "" if one.limit is None else f" (limit {one.limit:.4g})"
    return (
        f"{one.measure} at step {one.step} was {value}{limit}: training went back to step {one.back_to}, "
        f"with a learning rate of {one.learning_rate:.4g}"
    )


def bars(values: Sequence[float]) -> str:
    """The last values as small bars, the lowest and the highest of them as the lowest and the highest bar."""
    last = values[-SHOWN:]
    low, high = min(last), max(last)
    return "".join(BARS[round((one - low) / (high - low) * (len(BARS) - 1)) if high > low else 0] for one in last)


def perplexity(loss: float) -> float:
    """To six digits, so that no machine's last bit shows."""
    return float(f"{math.exp(min(loss, 700.0)):.6g}")


def best(found: Sequence[Evaluation], metric: str) -> Evaluation | None:
    """The first evaluation than which none is better; None where none measured anything."""
    sign = 1 if metric == LOSS else -1
    measured = [(sign * value, one.step) for one in found if (value := one.value(metric)) is not None]
    step = min(measured)[1] if measured else None
    return next((one for one in found if one.step == step), None)


def stops(found: Sequence[Evaluation], metric: str | None, patience: int | None) -> bool:
    """Whether so many evaluations in a row, the last ones, are not better than the best before them."""
    return any(list(stopping(found, metric, patience))[-1:])


def stopping(found: Sequence[Evaluation], metric: str | None, patience: int | None) -> Iterator[bool]:
    """The same after each of them: training ends at the first."""
    if metric is None or patience is None:
        yield from (False for _ in found)
        return
    top, since = math.inf, -1
    for one in found:
        value = one.value(metric)
        lower = math.inf if value is None else value if metric == LOSS else -value
        top, since = (lower, 0) if lower < top else (top, since + 1)
        yield since >= patience


def due(every: int, steps: int) -> Iterator[int]:
    """The steps after which a training of so many is evaluated: after each ``every``, and after the last."""
    yield from range(every, steps + 1, every)
    if steps % every:
        yield steps


def kept(found: Sequence[Evaluation], metric: str | None, patience: int | None) -> Kept:
    """What follows from the evaluations of a whole training."""
    top = best(found, metric) if metric else None
    return Kept(metric=metric, best_step=top.step if top else None, stopped_early=stops(found, metric, patience))


def written(
    losses: Sequence[tuple[int, float]],
    curves: Mapping[str, Sequence[tuple[int, float]]],
    found: Sequence[Evaluation],
    kept: Kept,
    interventions: Sequence[Intervention] = (),
) -> bytes:
    """The file: a row for each step at which something was logged or evaluated, and how training went back."""
    named = {"loss": dict(losses), **{name: dict(points) for name, points in curves.items()}}
    logged: list[dict[str, Json]] = [
        {"step": step, **{name: values[step] for name, values in sorted(named.items()) if step in values}}
        for step in sorted({step for values in named.values() for step in values})
    ]
    history: list[Json] = [*logged, *(one.as_dict() for one in found)]
    said: dict[str, Json] = {
        "training_metrics": VERSION,
        "log_history": sorted(history, key=lambda one: one["step"] if isinstance(one, dict) else 0),  # type: ignore[arg-type,return-value]
        "metric_for_best_model": kept.metric,
        "best_step": kept.best_step,
        "stopped_early": kept.stopped_early,
        **({"interventions": [asdict(one) for one in interventions]} if interventions else {}),
    }
    return canonical_json(said)


def read(data: bytes, name: str) -> tuple[Evaluation, ...]:
    """The evaluations in such a file; ``ValueError`` where one is not what ``written`` writes."""
    history = bounded.json_object(data, name).get("log_history")
    if not isinstance(history, list):
        raise ValueError(f"{name} holds no log_history")  # noqa: TRY004  a fault of the file
    return tuple(evaluation(one) for one in history if isinstance(one, dict) and LOSS in one)


def loss(data: bytes, name: str) -> float | None:
    """The loss of the state that was kept; None where nothing was evaluated."""
    found, best_step = read(data, name), bounded.json_object(data, name).get("best_step")
    kept = [one.loss for one in found if one.step == best_step] or [one.loss for one in found[-1:]]
    return kept[0] if kept else None


def evaluation(said: Mapping[str, Any]) -> Evaluation:
    """An evaluation from its row; ``ValueError`` for what is not one."""
    step, loss = said.get("step"), said.get(LOSS)
    counts = {name.removeprefix("eval_"): value for name, value in said.items() if isinstance(value, list | tuple)}
    right = all(len(one) == 2 and all(type(n) is int for n in one) and 0 <= one[0] <= one[1] for one in counts.values())
    numbers = type(step) is int and 1 <= step <= MOST_STEPS and type(loss) is float and 0 <= loss < math.inf
    if not numbers or not right:
        raise ValueError(f"an evaluation is not {dict(said)!r:.80}")
    assert isinstance(step, int)
    assert isinstance(loss, float)
    return Evaluation(step=step, loss=loss, gates={name: (k, n) for name, (k, n) in counts.items()})
