"""Several trainings until one passes on the tuning rows: only that one is judged on the golden set.

Each try is a run like any other, in a folder named by what it depends on: what is finished is found again, and a try
that was killed goes on from its last checkpoint. Which trainings there are is written before (`release.config.ladder`);
of a search each follows from the tries before it (`release.suggest`). Those of a list may be trained side by side, in
processes that only fill their run folders; here they are looked at in their order, whichever was ready first.
"""

import contextlib
import hashlib
import json
import shutil
import time
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import gates
from gates.canonical import canonical_json
from release import begin, inputs, suggest, tries_planned
from release.begin import Judged
from release.config import ladder
from release.config.ladder import Step
from release.config.settings import Config, Search
from release.inputs import Inputs, there
from release.judging import tried, tuning
from release.models import evaluation, one_try, tuning_answers
from release.models.built_trainer import NO_LIMITS
from release.running import beside
from release.values import extras, layout, pruning, training_metrics
from release.values.artifacts import Adapter, write_atomically
from release.values.as_json import part, tree
from release.values.errors import GatesFailed
from release.values.events import Line, Say, Stage, tell
from release.values.record import Pruned, Record, Searched, Tries, Try

LOG = "try.log"
"""In the run folder of a try that was trained beside others: what its process wrote."""
ENDED = "try.json"
"""In the run folder of a try whose training ended without an adapter: so will it end again."""


class Refused(GatesFailed):
    """None of the tries passes on the tuning rows, or not every seed that must."""

    def __init__(self, why: str, told: Tries, files: Mapping[str, Path]) -> None:
        self.told, self.files = told, files
        """What was tried, and the files that it was judged by, named as below a run folder."""
        super().__init__(why)


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """The training that passed on the tuning rows, and all that were tried."""

    config: Config
    tries: Tries


@dataclass(frozen=True, kw_only=True)
class Made:
    """A try that was made."""

    step: Step
    run: Path
    told: Try


def tuning_problem(found: Inputs) -> str:
    """Why no try could pass on the tuning rows; empty where one could, or nothing is tried."""
    rows = there(found.rows).tuning
    if found.config.tries is None or rows is None:
        return ""
    for step in ladder.steps(found.config):
        if problem := inputs.metric_problem(replace(found, config=step.config)):
            return f"Try {step.name} ({tried.said(step.changes)}): {problem}"
    return tuning.problem(rows, there(found.contract), there(found.policy))


def chosen(found: Inputs, judged: Judged, say: Say) -> Chosen:
    """The first of a configuration's tries that passes, in its run folder with the files of all.

    ``Refused`` where none passes, or not every seed that must; ``PreflightError`` where the budget ends before.
    """
    if ladder.search(found.config):
        extras.need_search()
    steps, left_out = tries_planned.planned(found, {name: rows.sha256 for name, rows in judged.rows.items()})
    told = _none_yet(found.config, len(steps), left_out)
    _announce(found.config, steps, left_out, say)
    made = list[Made]()
    with contextlib.closing(_in_turn(found.config, _coming(found.config, steps, made), judged, say, made)) as coming:
        for one in coming:
            made.append(one)
            told = _kept(found.config, replace(told, tries=[one.told for one in made]))
            if one.told.passed:
                break
    if not made[-1].told.passed:
        again = [str(one.run / ENDED) for one in made if one.told.adapter_sha256 is None and not one.told.pruned]
        runs = {one.told.name: one.run for one in made}
        raise Refused(tried.refusal(told, judged.policy, _rows(judged), runs, again), told, _left(made))
    won = made[-1]
    seeds = list[Made]()
    with contextlib.closing(_in_turn(found.config, ladder.seeds(found.config, won.step), judged, say)) as coming:
        for one in coming:
            seeds.append(one)
            told = _kept(found.config, replace(told, seeds=[one.told for one in seeds]))
    tell(say, tried.lines(told))
    if told.every_seed_passes and (wrong := [one for one in told.seeds if not one.passed]):
        raise Refused(tried.unsteady(told, wrong), told, _left([*made, *seeds]))
    for name, path in _left([*made, *seeds]).items():
        (won.run / name).parent.mkdir(parents=True, exist_ok=True)
        write_atomically(won.run / name, path.read_bytes())
    return Chosen(config=won.step.config, tries=told)


def _none_yet(config: Config, listed: int, left_out: list[str]) -> Tries:
    """The table before the first try."""
    search = ladder.search(config)
    return Tries(
        planned=ladder.most(config) if search else listed,
        every_seed_passes=_every_seed(config),
        tries=[],
        seeds=[],
        left_out=left_out,
        search=part(Searched, {"optuna": suggest.version(), **tree(search)}) if search else None,
    )


def _coming(config: Config, listed: Sequence[Step], made: Sequence[Made]) -> Iterator[Step]:
    """The tries in their order; of a search each once those before it are ``made``."""
    yield from listed
    search, fits = ladder.search(config), partial(ladder.fits, config)
    while search and len(made) < ladder.most(config):
        values = suggest.following(search, [_seen(config, search, one.told) for one in made], fits)
        if values is None:
            return
        yield ladder.suggested(config, len(made) + 1, values)


def _seen(config: Config, search: Search, told: Try) -> suggest.Seen:
    losses = told.pruned.losses if told.pruned else []
    return suggest.Seen(values=ladder.values(config, search, told.changes), loss=told.loss, losses=losses)


def _limits(config: Config, made: Sequence[Made]) -> dict[int, float]:
    """By step: the loss over which the next try is pruned."""
    search = ladder.search(config)
    if search is None or search.pruner == "none":
        return {}
    whole = [_losses(one.run / tuning_answers.FOLDER) for one in made if one.told.adapter_sha256]
    return pruning.limits(whole, search.n_startup_trials)


def _losses(folder: Path) -> pruning.Losses:
    path = folder / layout.TRAINING_METRICS
    return [(one.step, one.loss) for one in training_metrics.read(path.read_bytes(), str(path))]


def trained(record: Record) -> list[Try]:
    """The tries of a record that left an adapter, other seeds among them."""
    found = record.tries
    return [one for one in (*found.tries, *found.seeds) if one.adapter_sha256] if found else []


def _announce(config: Config, steps: Sequence[Step], left_out: Sequence[str], say: Say) -> None:
    searched = ladder.search(config) is not None
    several = f"at most {ladder.most(config) if searched else len(steps)} tries"
    lines = [f"  {several}, in this order; the first that passes answers the golden set, and only it"]
    lines += [f"  {one.name:>3}  {tried.said(one.changes)}" for one in steps]
    if (many := ladder.at_once(config)) > 1:
        lines[0] += f"; {many} at a time"
    lines += ["       then what optuna suggests from the tuning losses of those before"] if searched else []
    lines += [f"  not to be made: {one}" for one in left_out]
    if others := ladder.seeds(config, steps[0]):
        spread = f"  then {len(others)} more seeds of it, for the spread"
        lines.append(f"{spread}; seed {config.run.seed} is the one to publish")
    tell(say, lines)


def _in_turn(
    config: Config, steps: Iterable[Step], judged: Judged, say: Say, before: Sequence[Made] = ()
) -> Generator[Made]:
    """Each of the tries in its turn, after those ``before``; close it, and no other one is begun or goes on.

    Side by side, what a later one came to is looked at only if the ones before it are refused. Whether it was begun is
    a question of time, so nothing that is kept of the tries says it.
    """
    if ladder.at_once(config) == 1:
        for step in steps:
            yield _made(step, _begun(step, judged, say), judged, say, _limits(config, before))
        return
    begun = list[tuple[Step, begin.Begun]]()

    def jobs() -> Iterator[beside.Job]:
        for step in steps:
            begun.append((step, one := _begun(step, judged, say)))
            yield beside.Job(name=f"try {step.name}", arguments=(one.run,), log=one.run / LOG, done=_is_done(one.run))

    cards = beside.shares(ladder.at_once(config), ladder.processes(config), config.container)
    with contextlib.closing(beside.in_order(one_try.__name__, jobs(), cards, say)) as ended:
        for number, end in enumerate(ended):
            yield _made(*begun[number], judged, say, end=end)


def _begun(step: Step, judged: Judged, say: Say) -> begin.Begun:
    say(Stage(name="try", note=f"{step.name}: {tried.said(step.changes)}"))
    return begin.begin(step.config, judged, say)


def _is_done(run: Path) -> bool:
    """Whether a try has ended, and is only to be looked at; were something of it gone, it would be made then."""
    answered = run / tuning_answers.FOLDER / "generation.json"
    return (run / ENDED).exists() or ((run / "training.json").exists() and answered.exists())


def _made(
    step: Step,
    begun: begin.Begun,
    judged: Judged,
    say: Say,
    limits: Mapping[int, float] = NO_LIMITS,
    end: beside.Ended | None = None,
) -> Made:
    """A try trained and judged on the tuning rows, or found as it was; ``limits`` are of its losses by step.

    ``end`` is how the process ended that trained it beside others.
    """
    ended = begun.run / ENDED
    if told := _ended(ended, limits):
        return Made(step=step, run=begun.run, told=replace(told, name=step.name, changes=dict(step.changes)))
    started, pruned = time.monotonic(), begun.run / evaluation.PRUNED
    pruned.unlink(missing_ok=True)
    try:
        if end and end.why:
            raise end.why
        adapter = begin.adapter(begun, judged, say, limits)
    except GatesFailed as why:
        told = replace(_without(step, str(why)), seconds=end.seconds if end else round(time.monotonic() - started, 1))
        if pruned.exists():
            told = _pruned(told, part(Pruned, json.loads(pruned.read_bytes())))
        write_atomically(ended, canonical_json(tree(told)))
        shutil.rmtree(begun.run / "checkpoints", ignore_errors=True)  # nothing goes on from them
    else:
        made = adapter.trained
        over = pruning.pruned(_losses(begun.run), limits, made.steps) if limits else None  # trained without limits
        if over:
            told = _pruned(replace(_without(step, ""), seconds=made.seconds), over)
        else:
            told = _told(step, begun, judged, adapter, say)
    say(Line(text=f"  try {step.name} {'passes on the tuning rows' if told.passed else 'is refused'}"))
    tell(say, [f"  {line}" for line in told.refused_by])
    return Made(step=step, run=begun.run, told=told)


def _ended(path: Path, limits: Mapping[int, float]) -> Try | None:
    """What is known of a try whose training ended without an adapter; one pruned by other limits is trained again."""
    told = part(Try, json.loads(path.read_bytes())) if path.exists() else None
    if told and told.pruned and limits.get(told.pruned.step) != told.pruned.limit:
        path.unlink()
        return None
    return told


def _pruned(told: Try, one: Pruned) -> Try:
    return replace(told, steps=one.step, pruned=one, refused_by=[pruning.said(one)])


def _without(step: Step, why: str) -> Try:
    """A try that has no adapter to judge."""
    return Try(
        name=step.name,
        changes=dict(step.changes),
        passed=False,
        refused_by=[why.partition(" There is no adapter")[0][:2000]],
        gates={},
        steps=0,
        tokens=0,
        seconds=0.0,
    )


def _told(step: Step, begun: begin.Begun, judged: Judged, adapter: Adapter, say: Say) -> Try:
    """What came of a try that has an adapter."""
    assert judged.tuning is not None
    answered = tuning_answers.answered(begun.run, begun.base, adapter, begun.place, say)
    outputs = gates.read_outputs(answered.path)
    seen = tuning.judged(judged.tuning.rows, outputs, judged.contract, judged.policy)
    training = adapter.trained
    metrics = _metrics(begun.run, adapter)
    write_atomically(answered.path.with_name(layout.TRAINING_METRICS), metrics)
    return Try(
        name=step.name,
        changes=dict(step.changes),
        passed=seen.passed,
        refused_by=list(seen.refused_by),
        gates=dict(seen.gates),
        steps=training.steps,
        tokens=training.tokens + answered.tokens,
        seconds=round(training.seconds + answered.seconds, 1),
        adapter_sha256=adapter.files.digest,
        answers_sha256=answered.sha256,
        metrics_sha256=hashlib.sha256(metrics).hexdigest(),
        loss=training_metrics.loss(metrics, layout.TRAINING_METRICS),
    )


def _metrics(run: Path, adapter: Adapter) -> bytes:
    """What was logged and evaluated while it trained."""
    training = adapter.trained
    if training.evaluation is not None:
        return (run / layout.TRAINING_METRICS).read_bytes()
    return tried.logged(training)


def _left(made: Sequence[Made]) -> dict[str, Path]:
    """The files by which each try was judged, in its own run folder, by their names below the published run's."""
    return {
        layout.in_run(name): one.run / tuning_answers.FOLDER / file
        for one in made
        if one.told.adapter_sha256 is not None
        for file, name in layout.of_a_try(one.told.name).items()
    }


def _kept(config: Config, told: Tries) -> Tries:
    """The table so far, on the disk too."""
    write_atomically(tries_planned.folder_of(config) / tries_planned.TABLE, canonical_json(tree(told)))
    return told


def _every_seed(config: Config) -> bool:
    return bool(config.tries and config.tries.every_seed_passes)


def _rows(judged: Judged) -> int:
    return len(judged.tuning.rows) if judged.tuning else 0
