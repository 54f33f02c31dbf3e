"""What a release says of evaluation while it trained: the file is what was logged, and the kept state follows."""

from collections.abc import Iterator, Mapping
from typing import Any

from gates.shown import shorten
from release.judging.released import Released
from release.values import bounds, layout, training_metrics
from release.values.record import Record, Training
from release.values.training_metrics import LOSS, Evaluation, Kept


def problems(release: Released) -> Iterator[str]:
    """A line for everything that the record, its configuration and ``training_metrics.json`` do not say alike."""
    record, name = release.record, layout.TRAINING_METRICS
    yield from _turned(record)
    said = record.training.evaluation if record.training else None
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
    yield from _other(record, found, release.read(name))


def _turned(record: Record) -> Iterator[str]:
    """Whether training went back as its configuration asks for: so often, and to such a learning rate each time."""
    turned = (record.training.interventions if record.training else None) or []
    rule, rate = record.setting("training", "on_divergence"), record.setting("training", "learning_rate")
    asked: Mapping[str, Any] = rule if isinstance(rule, dict) else {}
    if turned and (asked.get("action") != "rollback" or len(turned) > asked.get("max_rollbacks", 0)):
        yield f"its record says that training went back {len(turned)} times, which its configuration does not ask for"
        return
    for number, one in enumerate(turned, 1):
        lower = float(rate) * asked["learning_rate_factor"] ** number if isinstance(rate, int | float) else None
        if one.learning_rate != lower or one.back_to >= one.step:
            yield f"its record says that training went back from step {one.step} otherwise than configured"


def _written(training: Training, found: tuple[Evaluation, ...], kept: Kept) -> bytes:
    curves, turned = training.curves or {}, training.interventions or ()
    return training_metrics.written(training.losses, curves, found, kept, turned)


def _other(record: Record, found: tuple[Evaluation, ...], content: bytes) -> Iterator[str]:
    """Whether the file comes out again from the record and from the evaluations in it."""
    training, settings = record.training, record.config.get("training")
    assert training is not None
    asked: Mapping[str, Any] = settings if isinstance(settings, dict) else {}
    metric = str(asked.get("metric_for_best_model", LOSS)) if asked.get("load_best_model_at_end") else None
    patience = asked.get("early_stopping_patience")
    kept = training_metrics.kept(found, metric, patience if isinstance(patience, int) else None)
    said = training.evaluation
    if said is None or (said.best_step, said.stopped_early) != (kept.best_step, kept.stopped_early):
        yield f"by {layout.TRAINING_METRICS} step {kept.best_step} is the best, the record says otherwise"
    if content != _written(training, found, kept):
        yield f"{layout.TRAINING_METRICS} does not hold what the record says was logged, or its best step is another"
