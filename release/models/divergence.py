"""A training that goes wrong: how it is told from each step, where it goes back to, and what is otherwise from there.

A value of a step is over the limit when it is more than ``threshold`` times the spread above the median of the last
``window`` steps that were not. The spread is 1.4826 times the median distance from the median (MAD), which is the
standard deviation of normally distributed values and does not move with outliers. Both follow from the steps alone, so
the same training finds the same, and goes back in the same way.
"""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from statistics import median

from gates.canonical import canonical_json
from release.config.settings import Config, OnDivergence
from release.models import callbacks
from release.values.artifacts import write_atomically
from release.values.errors import GatesFailed
from release.values.events import Line, Say
from release.values.record import Intervention
from release.values.training_metrics import turned

FILE = "interventions.json"
"""In a run folder: how often training went back, and to where."""
SIGMA = 1.4826
LEAST_LOSS = 0.05
"""The least spread of a loss, in nats: below it the losses of single batches lie wide apart, and none of it is harm."""
LEAST_NORM = 0.2
"""The least spread of the logarithm of a gradient's norm."""
COLLAPSED = 0.5
"""Of the best share of answers in JSON so far; an evaluation with less of it is a collapse."""
COLLAPSE = "eval_json_parse"
"""The measure of which."""
LEAST_JSON = 4
"""So many answers in JSON at once, before there is anything to collapse."""


class Diverged(GatesFailed):
    """A step at which training went wrong, and the last one after which all was well."""

    def __init__(self, measure: str, value: float, *, limit: float | None, step: int, good: int) -> None:
        self.measure, self.value, self.limit, self.step, self.good = measure, value, limit, step, max(good, 0)
        over = "" if limit is None else f", over the limit {limit:.4g} of the steps before"
        super().__init__(callbacks.diverged(f"{measure} is {value:.4g}{over}", step))


@dataclass
class Watched:
    """The values of the last steps that were not over the limit, and since when others are."""

    losses: list[float] = field(default_factory=list)
    norms: list[float] = field(default_factory=list)
    first: int | None = None
    """The first step in a row that is over the limit."""


def look(seen: Watched, rule: OnDivergence, step: int, loss: float, norm: float, clipped: float) -> Diverged | None:
    """What a further step shows; ``clipped`` is the norm from which gradients are clipped."""
    first = step if seen.first is None else seen.first
    for name, value in (("loss", loss), ("grad_norm", norm)):
        if not math.isfinite(value):
            return Diverged(name, value, limit=None, step=step, good=first - 2)
    found = _over(seen, rule, loss, norm, clipped)
    if found is None:
        seen.first = None
        seen.losses[:], seen.norms[:] = [*seen.losses, loss][-rule.window :], [*seen.norms, norm][-rule.window :]
        return None
    seen.first = first
    if step - first + 1 < rule.patience:
        return None
    name, value, limit = found
    # The state before the first such step made its loss, so the good one is a step older.
    return Diverged(name, value, limit=limit, step=step, good=first - 2)


def _over(
    seen: Watched, rule: OnDivergence, loss: float, norm: float, clipped: float
) -> tuple[str, float, float] | None:
    """The measure, value and limit of a step that is over one; nothing is before half a window was seen."""
    if len(seen.losses) < rule.window // 2:
        return None
    most = _limit(seen.losses, rule.threshold, LEAST_LOSS)
    if loss > most:
        return "loss", loss, most
    steep = math.exp(_limit([_log(one) for one in seen.norms], rule.threshold, LEAST_NORM))
    most = max(steep, clipped)  # what is not clipped moves the adapter no more than any other step
    return ("grad_norm", norm, most) if norm > most else None


def _limit(values: Sequence[float], threshold: float, least: float) -> float:
    middle = median(values)
    return middle + threshold * max(SIGMA * median(abs(one - middle) for one in values), least)


def _log(norm: float) -> float:
    return math.log(max(norm, 1e-12))


def last_good(seen: Watched, step: int) -> int:
    """``step``, or an earlier one where those since it are over the limit."""
    return step if seen.first is None else max(min(step, seen.first - 2), 0)


def collapsed(shares: Sequence[tuple[int, tuple[int, int]]]) -> Diverged | None:
    """Whether the last evaluation's answers are JSON much less often than the best before it: step, and k of n."""
    if len(shares) < 2 or not shares[-1][1][1]:  # nothing before, or nothing was asked
        return None
    *before, (step, (k, n)) = shares
    most = max(right / of for _, (right, of) in before if of)
    few = max(right for _, (right, _) in before) < LEAST_JSON
    if few or k / n >= COLLAPSED * most:
        return None
    return Diverged(COLLAPSE, k / n, limit=COLLAPSED * most, step=step, good=before[-1][0])


def sure(seen: Watched, step: int, config: Config) -> int:
    """The last step up to which nothing that is found later goes back further."""
    first, every = step + 1 if seen.first is None else seen.first, config.training.eval_steps
    last = step // every * every if every and config.training.eval_generate else step
    return min(first - 2, last)


def done(run: Path) -> list[Intervention]:
    """How training went back so far, the last one last."""
    path = run / FILE
    return [Intervention(**one) for one in json.loads(path.read_bytes())] if path.exists() else []


def turn_back(run: Path, config: Config, found: Diverged, save_steps: int, say: Say) -> None:
    """Write down that training goes back, and take away what it made since; stop where it does not go back.

    It goes back to a step at which a checkpoint is due, whether there is one or not: training goes on from the last
    whole one before it, and is as it was up to there. So a kill, or a checkpoint between, changes nothing.
    """
    rule, before = config.training.on_divergence, done(run)
    if rule is None or rule.action != "rollback":
        raise found
    if len(before) >= rule.max_rollbacks:
        raise GatesFailed(_once_more(found, before))
    back_to = found.good // save_steps * save_steps
    for mark in (run / "checkpoints").glob("checkpoint-*.json"):
        if callbacks.step_of(checkpoint := mark.with_suffix("")) > back_to:
            callbacks.take_away(checkpoint)
    one = Intervention(
        step=found.step,
        measure=found.measure,
        value=found.value if math.isfinite(found.value) else None,
        limit=found.limit,
        back_to=back_to,
        learning_rate=learning_rate(config, len(before) + 1),
    )
    write_atomically(run / FILE, canonical_json([asdict(each) for each in (*before, one)]))
    say(Line(text=f"  {turned(one)}"))


def learning_rate(config: Config, times: int) -> float:
    """The highest of the schedule once training went back so many times."""
    rule = config.training.on_divergence or OnDivergence()
    return config.training.learning_rate * rule.learning_rate_factor**times


def good_steps(config: Config, measure: str, step: int) -> tuple[int, int]:
    """The earliest and the latest step after which all can have been well, where this was seen after ``step``.

    What is over the limit was so for ``patience`` steps at most; an evaluation is compared with the one before it.
    """
    rule, every = config.training.on_divergence or OnDivergence(), config.training.eval_steps or 1
    latest = (step - 1) // every * every if measure == COLLAPSE else step - 2
    return max(min(latest, step - rule.patience - 1), 0), max(latest, 0)


def warning(found: Diverged) -> str:
    """What is said where training goes on all the same."""
    return (
        f"{found.measure} at step {found.step} is {found.value:.4g}, over the limit {found.limit:.4g} of the steps "
        "before. Training goes on; training.on_divergence.action: rollback would go back and on with less."
    )


def _once_more(found: Diverged, before: Sequence[Intervention]) -> str:
    back = ". ".join(map(turned, before))
    return (
        f"Training diverged again: {found.measure} is {found.value:.4g} at step {found.step}, and it went back "
        f"{len(before)} times, as often as training.on_divergence.max_rollbacks allows. {back}. There is no adapter to "
        "judge and nothing was published. Lower training.learning_rate, or look at the rows of these steps."
    )


def schedule(config: Config, interventions: Sequence[Intervention]) -> Callable[[int], float] | None:
    """What the learning rate of the schedule is multiplied by after so many steps; None where that is never."""
    rule = config.training.on_divergence
    if rule is None or not interventions:
        return None
    return partial(scale, rule, [one.back_to for one in interventions])


def scale(rule: OnDivergence, back_to: Sequence[int], step: int) -> float:
    """What the learning rate of the schedule is multiplied by after ``step`` steps."""
    turned = [number for number, start in enumerate(back_to, 1) if start <= step]
    if not turned:
        return 1.0
    since = step - back_to[turned[-1] - 1]
    warm = min(1.0, (since + 1) / (rule.warmup_steps + 1))
    return float(rule.learning_rate_factor ** turned[-1] * warm)
