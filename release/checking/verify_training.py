"""What a release says of its training: steps, losses, evaluations and ways back are such as its configuration gives."""

import math
from collections.abc import Iterator, Sequence
from itertools import zip_longest

from gates.canonical import canonical_json
from gates.shown import shorten
from gates.table import GATES
from release.checking import recorded_config
from release.config import evaluating, forms
from release.config.settings import Config
from release.judging.released import Released
from release.models import divergence
from release.planning import estimates
from release.values import bounds, layout, training_metrics
from release.values.errors import shown
from release.values.record import Intervention, Record, Rows, Training
from release.values.training_metrics import JSON, LOSS, Evaluation, Kept


def problems(release: Released) -> Iterator[str]:
    """A line for everything that the record, its configuration and ``training_metrics.json`` do not say alike."""
    record, config = release.record, recorded_config.read(release.record)
    if record.training is not None:
        yield from _ran(record, record.training, config)
    settings = canonical_json(dict(record.config))
    if layout.TRAINING_CONFIG in release.names and release.read(layout.TRAINING_CONFIG) != settings:
        yield f"{layout.TRAINING_CONFIG} holds other settings than the record"
    said, name = record.training.evaluation if record.training else None, layout.TRAINING_METRICS
    if said is None:
        if name in release.names:
            yield f"{name} is there, and the record says that nothing was evaluated while it trained"
        if record.setting("training", "eval_steps") is not None:
            yield "its configuration evaluates while it trains, and its record holds no evaluation"
        return
    if release.sha256(name) != said.metrics_sha256:
        yield f"{name} is not the one that the record names"
        return
    try:
        found = training_metrics.read(release.read(name), name)
    except ValueError as error:
        yield shorten(str(error), bounds.LINE)
        return
    assert record.training is not None
    yield from evaluated(found, config, record.data.tuning, record.training.steps, name)
    yield from _other(record.training, config, found, release.read(name))


def planned(record: Record, config: Config) -> int:
    """Steps that its training has where nothing ends it before; ``ValueError`` where nobody can tell."""
    if record.data.train is None:
        raise ValueError("its record names no rows that it was trained on")
    return estimates.steps_of(config, record.data.train.rows)


def _ran(record: Record, training: Training, config: Config) -> Iterator[str]:
    """Whether it ran as its configuration asks for: in so many processes, over such a base, so many steps."""
    steps, processes = planned(record, config), config.training.processes or 1
    if (training.processes or 1) != processes:
        yield f"{training.processes or 1} processes trained it, its configuration asks for {processes}"
    early = training.evaluation is not None and training.evaluation.stopped_early
    if training.steps > steps or (training.steps < steps and not early):
        yield f"it was trained for {shown(training.steps)} steps, its configuration and its rows make {shown(steps)}"
    if (training.resumed_from_step or 0) > training.steps:
        yield f"it went on from step {shown(training.resumed_from_step)}, and has {shown(training.steps)}"
    over, asked = tuple(training.over or ()), forms.trained_over(config)
    if record.record >= 3 and over != asked:
        yield f"it was trained over {', '.join(over) or 'nothing'}, its configuration asks for {', '.join(asked)}"
    yield from _logged(training, config.training.logging_steps)
    yield from _turned(training, config, steps)


def _logged(training: Training, every: int) -> Iterator[str]:
    """What no training logs: values at other steps than the first and ``every`` so many, or below 0 or not finite."""
    grid = training.steps // every
    for name, points in {"loss": training.losses, **(training.curves or {})}.items():
        numbers = [step for step, _ in points]
        due = [step for step in numbers if step % every == 0]
        first = numbers[: len(numbers) - len(due)]
        if first not in ([], [1]) or len(due) != grid or due != list(range(every, training.steps + 1, every)):
            yield f"its {name} was logged after other steps than the first and each {every} of {shown(training.steps)}"
        if wrong := [value for _, value in points if not 0 <= value < math.inf]:
            yield f"its {name} is {shown(wrong[0])} at a step, which no training gives"


def _turned(training: Training, config: Config, steps: int) -> Iterator[str]:
    """Whether training went back as its configuration asks for: so often, to such a step and rate each time."""
    turned, rule = training.interventions or [], config.training.on_divergence
    if turned and (rule is None or rule.action != "rollback" or len(turned) > rule.max_rollbacks):
        yield f"its record says that training went back {len(turned)} times, which its configuration does not ask for"
        return
    for number, one in enumerate(turned, 1):
        last = turned[number].step if number < len(turned) else training.steps
        faults = (*_seen(one, config, steps), *_way(one, config, steps, number))
        if last <= one.back_to:
            faults = (*faults, f"went on from step {shown(one.back_to)}, and step {shown(last)} came after it")
        yield from (f"its record says that training went back from step {shown(one.step)}: it {why}" for why in faults)


def _seen(one: Intervention, config: Config, steps: int) -> Iterator[str]:
    """Whether this can have been measured at this step, and leads back."""
    every, value, limit = config.training.eval_steps, one.value, one.limit
    at = one.step <= steps and (one.measure in ("loss", "grad_norm") or _is_due(one.step, every, steps))
    if not at or (one.measure == divergence.COLLAPSE and not config.training.eval_generate):
        yield f"was seen by {one.measure}, which its configuration does not measure then"
    if value is None or limit is None:
        far = value is limit and one.measure != divergence.COLLAPSE  # not finite, which needs no limit
    elif one.measure == divergence.COLLAPSE:
        far = 0 <= value < limit <= divergence.COLLAPSED
    else:
        clipped = config.training.max_grad_norm if one.measure == "grad_norm" else 0.0
        far = one.measure != LOSS and clipped <= limit < value < math.inf
    if not far:
        yield f"was {one.measure} of {shown(value)} with a limit of {shown(limit)}, which is no divergence"


def _way(one: Intervention, config: Config, steps: int, number: int) -> Iterator[str]:
    """Whether it leads to a step at which a checkpoint is due, and to this learning rate."""
    every = estimates.save_steps_of(config, steps)
    least, most = divergence.good_steps(config, one.measure, one.step)
    if one.back_to % every or not least // every * every <= one.back_to <= most:
        why = f"a checkpoint is due after each {every} steps, and all was well after step {shown(most)} at the latest"
        yield f"went to step {shown(one.back_to)} otherwise than configured: {why}"
    if one.learning_rate != (rate := divergence.learning_rate(config, number)):
        yield f"went on with a learning rate of {shown(one.learning_rate)} otherwise than configured: that is {rate}"


def _is_due(step: int, every: int | None, steps: int) -> bool:
    return every is not None and (step % every == 0 or step == steps)


def evaluated(found: Sequence[Evaluation], config: Config, tuning: Rows | None, steps: int, name: str) -> Iterator[str]:
    """Whether a training of so many steps can have been evaluated so, on tuning rows of which the record tells."""
    every, rows = config.training.eval_steps, min(config.training.eval_generate or 0, tuning.rows if tuning else 0)
    if every is None or tuning is None:
        yield f"{name} holds evaluations, and its configuration or its rows allow none"
        return
    if any(one != due for one, due in zip_longest((one.step for one in found), training_metrics.due(every, steps))):
        yield f"{name} holds evaluations after other steps than each {every} of {shown(steps)}, and the last"
    counts = {gate: most for one in found for gate, (_, most) in one.gates.items()}
    if any(one.gates.keys() != counts.keys() for one in found) or not counts.keys() <= GATES.keys():
        yield f"{name} holds other gates in one evaluation than in another, or one that there is not"
    of = (n for one in found for _, n in one.gates.values())
    whole = (one.gates.get(JSON, (0, 0))[1] for one in found)
    if any(n > rows for n in of) or any(n != rows for n in whole):
        yield f"{name} counts other rows than the {rows} of which answers were generated"


def _other(training: Training, config: Config, found: Sequence[Evaluation], content: bytes) -> Iterator[str]:
    """Whether the file comes out again from the record and from the evaluations in it."""
    metric, patience = evaluating.metric(config), config.training.early_stopping_patience
    kept, said = training_metrics.kept(found, metric, patience), training.evaluation
    if said is None or (said.best_step, said.stopped_early) != (kept.best_step, kept.stopped_early):
        yield f"by {layout.TRAINING_METRICS} step {kept.best_step} is the best, the record says otherwise"
    if kept.metric is not None and kept.best_step is None:
        yield f"no evaluation counted anything for {kept.metric}, so none was the best, and no state was kept"
    if any(list(training_metrics.stopping(found, metric, patience))[:-1]):
        yield f"{layout.TRAINING_METRICS} holds evaluations after training.early_stopping_patience had ended it"
    if content != _written(training, found, kept):
        yield f"{layout.TRAINING_METRICS} does not hold what the record says was logged, or its best step is another"


def _written(training: Training, found: Sequence[Evaluation], kept: Kept) -> bytes:
    curves, turned = training.curves or {}, training.interventions or ()
    return training_metrics.written(training.losses, curves, found, kept, turned)
