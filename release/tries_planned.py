"""Which tries of a configuration are made: decided once, by what this machine has when the first of them begins."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from gates.canonical import canonical_json
from gates.shown import counted
from release import preflight
from release.config import ladder, reading
from release.config.ladder import Step
from release.config.settings import Config
from release.inputs import Inputs, Unread
from release.judging import tried
from release.planning.item import Item
from release.running import container, environment
from release.values.artifacts import write_atomically
from release.values.errors import PreflightError

FOLDER = "tries"
"""In the output folder: what was tried, each configuration's in a folder of its own."""
TABLE = "tries.json"
"""In that of a configuration: the tries so far, written anew after each."""
PLAN = "plan.json"
"""Beside it: which tries there are, decided once, for the memory that is free is another at each start."""
UNPLANNED = ("budget", "publishing", "serving", "container")
"""Sections that decide on no try: raising a budget goes on with the same ones."""
NOTHING = "Nothing was started."


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
    steps = (replace(one, name=str(n), config=shared(one.config, found)) for n, one in enumerate(there[:most], 1))
    return tuple(steps), [*plan["left_out"], *over]


def shared(config: Config, found: Inputs) -> Config:
    """A try's configuration with its share of the threads, where several compute on one processor.

    It is the same for each of them, whoever is at work beside it: the bytes of an adapter depend on it.
    """
    many = ladder.at_once(found.config)
    if many == 1 or container.find_gpu(found.config.container).gpu is not None:
        return config
    share = environment.share(config.run.threads, many)
    return replace(config, run=replace(config.run, threads=share))


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
        wrong = preflight.unfit(replace(found, config=step.config), ladder.at_once(found.config))
        if wrong and found.config.tries and found.config.tries.ladder is None:
            says = f"tries.changes, try {step.name} ({tried.said(step.changes)}): {wrong[0]}"
            raise PreflightError(f"{says}\n{NOTHING}")
        if wrong:
            left_out.append(f"{tried.said(step.changes)}: {wrong[0].partition('. ')[0]}")
        else:
            possible.append(step)
    return (written, *possible), left_out
