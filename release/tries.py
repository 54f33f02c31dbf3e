"""Several trainings until one passes on the tuning rows: only that one is judged on the golden set.

Each try is a run like any other, in a folder named by what it depends on: what is finished is found again, and a try
that was killed goes on from its last checkpoint. Which trainings there are is written before (`release.config.ladder`);
of a search each follows from the tries before it (`release.suggest`).
"""

import hashlib
import json
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import gates
from gates.canonical import canonical_json
from gates.shown import counted
from release import begin, inputs, preflight, suggest
from release.begin import Judged
from release.config import ladder, reading
from release.config.ladder import Step
from release.config.settings import Config, Search
from release.inputs import Inputs, Unread, there
from release.judging import tried, tuning
from release.models import evaluation, tuning_answers
from release.models.train import NO_LIMITS
from release.preflight import Item
from release.values import extras, layout, pruning, training_metrics
from release.values.artifacts import Adapter, write_atomically
from release.values.errors import GatesFailed, PreflightError
from release.values.events import Line, Say, Stage, tell
from release.values.record import Pruned, Record, Searched, Tries, Try, part, tree

FOLDER = "tries"
"""In the output folder: what was tried, each configuration's in a folder of its own."""
TABLE = "tries.json"
"""In that of a configuration: the tries so far, written anew after each."""
PLAN = "plan.json"
"""Beside it: which tries there are, decided once, for the memory that is free is another at each start."""
UNPLANNED = ("budget", "publishing", "serving", "container")
"""Sections that decide on no try: raising a budget goes on with the same ones."""
NOTHING = "Nothing was started."
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
    steps, left_out = planned(found, {name: rows.sha256 for name, rows in judged.rows.items()})
    told = _none_yet(found.config, len(steps), left_out)
    _announce(found.config, steps, left_out, say)
    made = list[Made]()
    for step in _coming(found.config, steps, made):
        made.append(_made(step, judged, say, _limits(found.config, made)))
        told = _kept(found.config, replace(told, tries=[one.told for one in made]))
        if made[-1].told.passed:
            break
    else:
        again = [str(one.run / ENDED) for one in made if one.told.adapter_sha256 is None and not one.told.pruned]
        raise Refused(tried.refusal(told, judged.policy, _rows(judged), again), told, _left(made))
    won = made[-1]
    seeds = list[Made]()
    for step in ladder.seeds(found.config, won.step):
        seeds.append(_made(step, judged, say))
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


def planned(found: Inputs, rows: Mapping[str, str]) -> tuple[tuple[Step, ...], list[str]]:
    """The tries that were possible when these were begun, up to the budget, and why others are not made.

    ``rows`` are the digests of what is trained on and judged by.
    """
    plan, path = _plan(found, rows), folder_of(found.config) / PLAN
    if _there(path) != plan:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.with_name(TABLE).unlink(missing_ok=True)  # of other rows
        write_atomically(path, canonical_json(plan))
    return _of(found, plan)


def foreseen(found: Inputs) -> list[Item]:
    """How many tries would be made here, and which of those listed would not and why; nothing is written."""
    if found.config.tries is None or isinstance(found.rows, Unread) or isinstance(found.base, Unread):
        return []
    rows = {"train": found.rows.train, "tuning": found.rows.tuning, "golden": found.rows.golden}
    try:
        steps, left_out = _of(found, _plan(found, {name: one.sha256 for name, one in rows.items() if one}))
    except PreflightError as why:
        return [Item(name="tries", state="problem", says=str(why).removesuffix(f"\n{NOTHING}"))]
    several = ladder.most(found.config) if ladder.search(found.config) else len(steps)
    says = [f"{counted(several, 'training')} at most", *(f"not to be made: {one}" for one in left_out)]
    return [Item(name="tries", state="ok", says=one) for one in says]


def _plan(found: Inputs, rows: Mapping[str, str]) -> dict[str, Any]:
    """What was decided when these tries were begun; else what this machine's memory decides."""
    steps = ladder.steps(found.config)
    key = _digest([_planning(found.config), [one.changes for one in steps], dict(rows)])
    kept = _there(folder_of(found.config) / PLAN)
    if kept.get("key") == key:
        return kept
    possible, left_out = fitting(found, steps)
    return {"key": key, "steps": [dict(one.changes) for one in possible], "left_out": left_out}


def _there(plan: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(plan.read_bytes()) if plan.exists() else {}
    return found


def _of(found: Inputs, plan: Mapping[str, Any]) -> tuple[tuple[Step, ...], list[str]]:
    """The tries of a plan, up to the budget, and why others are not made."""
    there = [one for one in ladder.steps(found.config) if one.changes in plan["steps"]]
    most = found.config.budget.tries or len(there)
    over = [f"{tried.said(one.changes)}: budget.tries is {most}" for one in there[most:]]
    return tuple(replace(one, name=str(n)) for n, one in enumerate(there[:most], 1)), [*plan["left_out"], *over]


def folder_of(config: Config) -> Path:
    """Where plan and table of this configuration's tries are; those of another one, even in one output folder, are not.

    What decides on no try makes no other configuration: a budget, a tag, a reason to require less.
    """
    return config.run.output_dir / FOLDER / _digest(_planning(config))[:12]


def _planning(config: Config) -> dict[str, object]:
    settings = reading.effective(replace(config, weaker_because=None))
    return {name: one for name, one in settings.items() if name not in UNPLANNED}


def _digest(value: object) -> str:
    return hashlib.sha256(canonical_json(value)).hexdigest()


def fitting(found: Inputs, steps: Sequence[Step]) -> tuple[tuple[Step, ...], list[str]]:
    """Those of the tries that this machine can make, and why not others.

    Of a ladder a step that there is no memory for is left out; in a list of changes it is wrong.
    """
    possible, left_out = list[Step](), list[str]()
    written, *changed = steps
    for largest in ladder.largest(found.config):
        if wrong := preflight.unfit(replace(found, config=largest.config)):
            says = f"tries.search.space, the largest values ({tried.said(largest.changes)}): {wrong[0]}"
            raise PreflightError(f"{says}\n{NOTHING}")
    for step in changed:
        wrong = preflight.unfit(replace(found, config=step.config))
        if wrong and found.config.tries and found.config.tries.ladder is None:
            says = f"tries.changes, try {step.name} ({tried.said(step.changes)}): {wrong[0]}"
            raise PreflightError(f"{says}\n{NOTHING}")
        if wrong:
            left_out.append(f"{tried.said(step.changes)}: {wrong[0].partition('. ')[0]}")
        else:
            possible.append(step)
    return (written, *possible), left_out


def trained(record: Record) -> list[Try]:
    """The tries of a record that left an adapter, other seeds among them."""
    found = record.tries
    return [one for one in (*found.tries, *found.seeds) if one.adapter_sha256] if found else []


def _announce(config: Config, steps: Sequence[Step], left_out: Sequence[str], say: Say) -> None:
    searched = ladder.search(config) is not None
    several = f"at most {ladder.most(config) if searched else len(steps)} tries"
    lines = [f"  {several}, in this order; the first that passes answers the golden set, and only it"]
    lines += [f"  {one.name:>3}  {tried.said(one.changes)}" for one in steps]
    lines += ["       then what optuna suggests from the tuning losses of those before"] if searched else []
    lines += [f"  not to be made: {one}" for one in left_out]
    if others := ladder.seeds(config, steps[0]):
        spread = f"  then {len(others)} more seeds of it, for the spread"
        lines.append(f"{spread}; seed {config.run.seed} is the one to publish")
    tell(say, lines)


def _made(step: Step, judged: Judged, say: Say, limits: Mapping[int, float] = NO_LIMITS) -> Made:
    """A try trained and judged on the tuning rows, or found as it was; ``limits`` are of its losses by step."""
    say(Stage(name="try", note=f"{step.name}: {tried.said(step.changes)}"))
    begun = begin.begin(step.config, judged, say)
    ended = begun.run / ENDED
    if told := _ended(ended, limits):
        return Made(step=step, run=begun.run, told=replace(told, name=step.name, changes=dict(step.changes)))
    started, pruned = time.monotonic(), begun.run / evaluation.PRUNED
    pruned.unlink(missing_ok=True)
    try:
        adapter = begin.adapter(begun, judged, say, limits)
    except GatesFailed as why:
        told = replace(_without(step, str(why)), seconds=round(time.monotonic() - started, 1))
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
    """What each try was judged by, which lies in its own run folder, by its name below the one that is published."""
    return {
        layout.in_run(name): one.run / tuning_answers.FOLDER / file
        for one in made
        if one.told.adapter_sha256 is not None
        for file, name in layout.of_a_try(one.told.name).items()
    }


def _kept(config: Config, told: Tries) -> Tries:
    """The table so far, on the disk too."""
    write_atomically(folder_of(config) / TABLE, canonical_json(tree(told)))
    return told


def _every_seed(config: Config) -> bool:
    return bool(config.tries and config.tries.every_seed_passes)


def _rows(judged: Judged) -> int:
    return len(judged.tuning.rows) if judged.tuning else 0
