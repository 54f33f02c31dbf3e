"""What a release says of its tries: each is judged again by its answers to the tuning rows, and the first won."""

from collections.abc import Iterator, Sequence

import gates
from gates.shown import shorten
from release.checking.steps import Unchecked
from release.config import ladder
from release.config import tree as trees
from release.judging import tried, tuning
from release.judging.released import Released
from release.values import bounds, layout
from release.values.record import Record, Tries, Try


def problems(release: Released) -> Iterator[str | Unchecked]:
    """A line for everything that table, files and record do not say alike."""
    found, there = release.record.tries, [name for name in release.names if name.startswith(f"{layout.TRIES}/")]
    if found is None:
        if there:
            yield f"{there[0]} is there, and the record says that nothing was tried"
        return
    made = (*found.tries, *found.seeds)
    if len({one.name for one in made}) < len(made) or len(found.tries) > found.planned:
        yield "its tries are more than were planned, or two have one name"
    wanted = {name for one in made if one.adapter_sha256 for name in layout.of_a_try(one.name).values()}
    yield from (f"{name} is not of a try of the record" for name in there if name not in wanted)
    for one in made:
        yield from _files(release, one)
    yield from _order(release.record, found)
    yield from _metrics(release, found.tries[-1])
    if release.tuning is None or release.golden is None:
        yield Unchecked(why="the rows are not in the release: give their folder with --data to judge its tries")
    else:
        yield from (line for one in made for line in _verdict(release, release.tuning.rows, one))


def _files(release: Released, one: Try) -> Iterator[str]:
    digests = {"answers.jsonl": one.answers_sha256, layout.TRAINING_METRICS: one.metrics_sha256}
    if one.adapter_sha256 is None:
        if one.passed or any(digests.values()):
            yield f"try {_named(one)} has no adapter, and passed or left files all the same"
        return
    for file, name in layout.of_a_try(one.name).items():
        if digests[file] is None or release.sha256(name) != digests[file]:
            yield f"{name} is not the one that the record names"


def _order(record: Record, found: Tries) -> Iterator[str]:
    """None before the last passed; the last is this adapter, with its settings."""
    *before, won = found.tries
    yield from (f"try {_named(one)} passed, and a later one is published" for one in before if one.passed)
    if not won.passed or won.adapter_sha256 != record.adapter.sha256:
        yield f"try {_named(won)} is the last, and is not the adapter that is published, or did not pass"
    for key, value in won.changes.items():
        if trees.get(record.config, key) != value:
            yield f"try {_named(won)} changes {shorten(key, bounds.SHOWN)}, and the configuration says otherwise"
    if (training := record.training) is None or training.steps != won.steps:
        yield f"try {_named(won)} has other steps than the training of the record"
    yield from _seeds(record, found, won)


def _seeds(record: Record, found: Tries, won: Try) -> Iterator[str]:
    """The other seeds differ in nothing else, and all passed where that was asked."""
    if found.every_seed_passes and not all(one.passed for one in found.seeds):
        yield "every seed was to pass on the tuning rows, and one does not"
    for one in found.seeds:
        seed = one.changes.get(ladder.SEED)
        if seed == record.determinism.seed or one.name != f"seed-{seed}":
            yield f"{_named(one)} is the seed that is published, or another than its name says"
        if {key: value for key, value in one.changes.items() if key != ladder.SEED} != dict(won.changes):
            yield f"{_named(one)} differs from the try that passed in more than its seed"


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
        yield f"judged again, try {_named(one)} {outcome}, and the record says otherwise, or by other counts"


def _metrics(release: Released, won: Try) -> Iterator[str]:
    """Whether the curves of the last try are those of the record's training."""
    training = release.record.training
    if training is None or won.adapter_sha256 is None:
        return
    name = layout.of_a_try(won.name)[layout.TRAINING_METRICS]
    if training.evaluation is not None:
        same = won.metrics_sha256 == training.evaluation.metrics_sha256
    else:
        same = release.read(name) == tried.logged(training)
    if not same:
        yield f"{name} does not hold what the record says was logged"


def _named(one: Try) -> str:
    return shorten(one.name, bounds.SHOWN)
