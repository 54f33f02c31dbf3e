"""What a release says of its tries: each is judged again by its answers to the tuning rows, and the first won."""

from collections.abc import Iterator, Sequence

import gates
from gates.canonical import canonical_json
from gates.shown import shorten
from release.checking import recorded_config, verify_search, verify_training
from release.checking.steps import Unchecked
from release.config import ladder
from release.config import tree as trees
from release.config.settings import Config
from release.judging import tried, tuning
from release.judging.released import Released
from release.values import bounds, layout, training_metrics
from release.values.errors import shown
from release.values.record import Record, Training, Tries, Try


def problems(release: Released) -> Iterator[str | Unchecked]:
    """A line for everything that table, files and record do not say alike."""
    found, there = release.record.tries, [name for name in release.names if name.startswith(f"{layout.TRIES}/")]
    if found is None:
        if there:
            yield f"{there[0]} is there, and the record says that nothing was tried"
        return
    if (training := release.record.training) is None or release.record.data.tuning is None:
        yield "its record says that tries were judged on tuning rows, and names no such rows or no training"
        return
    made, config = (*found.tries, *found.seeds), recorded_config.read(release.record)
    wanted = {name for one in made if one.adapter_sha256 for name in layout.of_a_try(one.name).values()}
    yield from (f"{name} is not of a try of the record" for name in there if name not in wanted)
    for one in made:
        yield from _files(release, one)
    yield from _named(release.record, found)
    yield from _different(found)
    yield from _changed(release.record, found)
    yield from _order(release.record, training, config, found)
    for one in made:
        yield from _metrics(release, config, one)
    yield from verify_search.problems(release, found)
    if release.tuning is None or release.golden is None:
        yield Unchecked(why="the rows are not in the release: give their folder with --data to judge its tries")
    else:
        yield from (line for one in made for line in _verdict(release, release.tuning.rows, one))


def _files(release: Released, one: Try) -> Iterator[str]:
    digests = {"answers.jsonl": one.answers_sha256, layout.TRAINING_METRICS: one.metrics_sha256}
    if one.adapter_sha256 is None:
        steps = one.pruned.step if one.pruned else 0
        if one.passed or any(digests.values()) or one.gates or one.steps != steps or not one.refused_by:
            yield f"try {_said(one)} has no adapter, and passed, was counted or left files all the same"
        return
    for file, name in layout.of_a_try(one.name).items():
        if digests[file] is None or release.sha256(name) != digests[file]:
            yield f"{name} is not the one that the record names"


def _named(record: Record, found: Tries) -> Iterator[str]:
    """Tries are numbered in their order, and the other seeds are those after the one that is published."""
    if len(found.tries) > found.planned:
        yield f"{len(found.tries)} tries were made, which are more than were planned: {shown(found.planned)}"
    numbers = [str(number) for number in range(1, len(found.tries) + 1)]
    seeds = ladder.after(record.determinism.seed, len(found.seeds))
    for what, made, names in (
        ("tries", found.tries, numbers),
        ("seeds", found.seeds, [ladder.of_seed(seed) for seed in seeds]),
    ):
        if (said := [one.name for one in made]) != names:
            yield f"its {what} are named {shown(said)}, and not {shown(names)}, in this order"
    if found.every_seed_passes and not found.seeds:
        yield "every seed was to pass on the tuning rows, and none is named"


def _changed(record: Record, found: Tries) -> Iterator[str]:
    """The last is the training of the configuration, and the seeds are that with another seed each."""
    won = found.tries[-1]
    for key, value in won.changes.items():
        if canonical_json([trees.get(record.config, key)]) != canonical_json([value]):
            yield f"try {_said(won)} changes {shorten(shown(key), bounds.SHOWN)}, and the configuration says otherwise"
    for one, seed in zip(found.seeds, ladder.after(record.determinism.seed, len(found.seeds)), strict=True):
        if canonical_json(dict(one.changes)) != canonical_json({**won.changes, ladder.SEED: seed}):
            yield f"{_said(one)} differs from the try that passed in more than its seed, or in another: that is {seed}"


def _different(found: Tries) -> Iterator[str]:
    """Each is another training, of what a try may change."""
    changes = [canonical_json(dict(one.changes)) for one in found.tries]
    if found.tries[0].changes:
        yield "try 1 is the configuration as written, and the record says that it changes something"
    for number, one in enumerate(found.tries):
        if changes[number] in changes[:number]:
            yield f"try {_said(one)} is the same training as one before it"
        for key in (key for key in one.changes if not ladder.may_change(key)):
            yield f"try {_said(one)} changes {shorten(shown(key), bounds.SHOWN)}, which no try does"


def _order(record: Record, training: Training, config: Config, found: Tries) -> Iterator[str]:
    """None before the last passed; the last is this adapter, trained so; and all seeds passed where that was asked."""
    *before, won = found.tries
    yield from (f"try {_said(one)} passed, and a later one is published" for one in before if one.passed)
    if not won.passed or won.adapter_sha256 != record.adapter.sha256:
        yield f"try {_said(won)} is the last, and is not the adapter that is published, or did not pass"
    if training.steps != won.steps:
        yield f"try {_said(won)} has other steps than the training of the record"
    if won.tokens < training.tokens or won.seconds < training.seconds:
        yield f"try {_said(won)} has less tokens or seconds than the training of the record, which is a part of it"
    if found.every_seed_passes and not all(one.passed for one in found.seeds):
        yield "every seed was to pass on the tuning rows, and one does not"
    steps = verify_training.planned(record, config)
    ends_early = config.training.early_stopping_patience is not None
    for one in (one for one in found.seeds if one.adapter_sha256 is not None):
        if one.steps > steps or (one.steps < steps and not ends_early):
            yield f"{_said(one)} has {shown(one.steps)} steps, its configuration and its rows make {shown(steps)}"


def _verdict(release: Released, rows: Sequence[gates.Golden], one: Try) -> Iterator[str]:
    """Whether counts and reasons come out again from its answers to the tuning rows."""
    if one.adapter_sha256 is None:
        return
    names = layout.of_a_try(one.name)
    outputs = gates.read_outputs(release.path(names["answers.jsonl"]))
    seen = tuning.judged(rows, outputs, release.terms.contract, release.policy)
    made = (seen.passed, dict(seen.gates), list(seen.refused_by))
    if made != (one.passed, dict(one.gates), list(one.refused_by)):
        outcome = "passes" if seen.passed else "is refused"
        yield f"judged again, try {_said(one)} {outcome}, and the record says otherwise, or by other counts"


def _metrics(release: Released, config: Config, one: Try) -> Iterator[str]:
    """Whether its curves are such as a training of its steps gives, and those of the last try the record's."""
    record = release.record
    if one.adapter_sha256 is None or record.training is None or record.tries is None:
        return
    name = layout.of_a_try(one.name)[layout.TRAINING_METRICS]
    if one.name == record.tries.tries[-1].name:
        same = (
            one.metrics_sha256 == record.training.evaluation.metrics_sha256
            if record.training.evaluation is not None
            else release.read(name) == tried.logged(record.training)
        )
        if not same:
            yield f"{name} does not hold what the record says was logged"
        return
    evaluations = training_metrics.read(release.read(name), name)
    if evaluations or config.training.eval_steps is not None:
        yield from verify_training.evaluated(evaluations, config, record.data.tuning, one.steps, name)


def _said(one: Try) -> str:
    return shorten(one.name, bounds.SHOWN)
