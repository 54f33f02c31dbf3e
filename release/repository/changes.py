"""What a change asks of a release otherwise than before: configuration and rows beside those of another checkout.

Nothing is trained. The page is for whoever must agree to the change: first what is asked no more.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import gates
from gates.policy import SPENDING
from gates.report import cell
from release import inputs
from release.config import reading
from release.config.settings import Config
from release.data import sources
from release.data.dataset import Dataset
from release.judging import previous, terms
from release.values.errors import Stop
from release.values.events import Say

MOST = 20
"""Rows or settings that are named; the others are counted."""


@dataclass(frozen=True, kw_only=True)
class Side:
    """What one checkout asks."""

    config: Config
    contract: gates.Contract
    policy: gates.Policy
    train: Dataset | None
    golden: Dataset


@dataclass(frozen=True, kw_only=True)
class Changes:
    """What is otherwise, in lines."""

    less: tuple[str, ...]
    """What is asked no more, or may be let through."""
    rows: tuple[str, ...]
    settings: tuple[str, ...]
    table: tuple[tuple[str, str, str, str], ...]
    """Of each gate: its name, what it counts and needs now, the same then, and what cannot be proven."""
    alone: str = ""
    """Why there is nothing to compare with; empty where there is."""

    @property
    def head(self) -> str:
        """Whether less is asked, in a sentence; empty where it is, which stands in lines of its own."""
        if self.alone:
            return f"Whether less is asked than before nobody can tell: there is nothing to compare with. {self.alone}"
        return "" if self.less else "Nothing is asked less than before."


def read(path: Path, say: Say) -> Side:
    """What a configuration asks; raises the ``Stop`` that says why it cannot be read."""
    config = reading.load(path)
    train, golden = sources.load(config, say)
    contract = inputs.there(inputs.read_contract(config))
    policy = inputs.there(inputs.read_policy(config, contract.declares))
    return Side(config=config, contract=contract, policy=policy, train=train, golden=golden)


def before(path: Path, say: Say) -> Side | str:
    """What it asked then; or why that cannot be told."""
    try:
        return read(path, say)
    except Stop as why:
        return str(why)


def between(now: Side, then: Side) -> Changes:
    """What is otherwise."""
    mine, theirs = now.config.contract, then.config.contract
    less = [*gates.weaker(now.policy, then.policy), *gates.weaker_contract(mine, theirs)]
    if now.contract.schema != then.contract.schema:
        less.append("the answer schema is another one: look at its difference, it may let through more")
    less += _worse(now, then)
    less += _less_checked(now.config, then.config)
    rows = [
        f"rows to {what}: {len(ours.rows)}, were {len(of_then.rows)}; {_moved(ours.rows, of_then.rows)}"
        for what, ours, of_then in (("judge by", now.golden, then.golden), ("train on", now.train, then.train))
        if ours is not None and of_then is not None
    ]
    return Changes(
        less=tuple(less), rows=tuple(rows), settings=tuple(_settings(now.config, then.config)), table=table(now, then)
    )


def table(now: Side, then: Side | None) -> tuple[tuple[str, str, str, str], ...]:
    """A line for each gate that is asked for, now or then."""
    ours, theirs = ({one.bar.gate: one for one in _plans(side)} for side in (now, then))
    lines = []
    for name in dict.fromkeys([*ours, *theirs]):
        here = ours.get(name)
        lacks = f"{here.missing} more rows are needed" if here and here.missing else ""
        lines.append((name, _asked(here), _asked(theirs.get(name)) if then else "", lacks))
    return tuple(lines)


def _plans(side: Side | None) -> Sequence[gates.GatePlan]:
    return () if side is None else gates.plan(side.golden.rows, side.policy)


def _asked(one: gates.GatePlan | None) -> str:
    if one is None:
        return "not asked"
    needs = "cannot pass" if one.needs is None else f"{one.needs} of {one.n}"
    return needs if one.bar.required else f"{needs}, advisory"


def markdown(changes: Changes) -> str:
    """A comment: no text of rows or settings can become markup in it."""
    lines = ["### What this change asks of a release", ""]
    lines += [
        f"**{cell(changes.head)}**" if changes.alone else changes.head or "**Less is asked, or more may pass:**",
        "",
    ]
    lines += [f"- {cell(one)}" for one in changes.less] + ([""] if changes.less else [])
    lines += ["| gate | rows right, to pass | before | |", "|---|---|---|---|"]
    lines += [f"| {' | '.join(map(cell, one))} |" for one in changes.table]
    lines += ["", *(f"- {cell(one)}" for one in changes.rows)]
    lines += [f"- {cell(one)}" for one in changes.settings]
    return "\n".join(lines) + "\n"


def first(now: Side, why: str) -> Changes:
    """Where there is nothing to compare with: what is asked."""
    return Changes(less=(), rows=(), settings=(), table=table(now, None), alone=why.splitlines()[0])


def told(changes: Changes) -> Iterator[str]:
    """The same on a terminal."""
    yield from (f"less is asked: {one}" for one in changes.less)
    if changes.head:
        yield changes.head
    width = max((len(name) for name, *_ in changes.table), default=0)
    for name, here, there, lacks in changes.table:
        was = f", was {there}" if there and there != here else ""
        yield f"  {name:{width}}  {here}{was}{f'; {lacks}' if lacks else ''}"
    yield from (*changes.rows, *changes.settings)


def _worse(now: Side, then: Side) -> Iterator[str]:
    """Rows that judged before and do not, whatever their ids are now."""
    version = max(now.policy.version, SPENDING)  # by what is asked and labelled: both sides are there whole
    labels = terms.labels_in_meta(then.contract, then.policy)
    rows = {row.id: gates.known(row, labels) for row in then.golden.rows}
    yield from previous.dropped(gates.matched(now.golden.rows, rows, version=version))


def _moved(now: Sequence[gates.Golden], then: Sequence[gates.Golden]) -> str:
    ours, theirs = ({row.id: row.digest for row in side} for side in (now, then))
    changed = sum(theirs[name] != digest for name, digest in ours.items() if name in theirs)
    return f"{len(ours.keys() - theirs.keys())} new, {len(theirs.keys() - ours.keys())} gone, {changed} changed"


def _less_checked(now: Config, then: Config) -> Iterator[str]:
    """Checks of the rows that only warn now, forms that need not pass any more, and the image that need not be used."""
    for name, level in now.data.checks.items():
        if level == "warning" and then.data.checks.get(name) != "warning":
            yield f"data.checks.{name} is only a warning, was {then.data.checks.get(name, 'the default')}"
    asked_then, asked_now = (terms.required_forms(reading.effective(one)["serving"]) for one in (then, now))
    yield from previous.fewer_forms(asked_then, asked_now)
    if now.publishing.allow_unpinned and not then.publishing.allow_unpinned:
        yield "publishing.allow_unpinned: what no pinned image made may be published"


def _settings(now: Config, then: Config) -> Iterator[str]:
    """Every setting that is otherwise, with both values."""
    ours, theirs = (_leaves(reading.effective(one)) for one in (now, then))
    names = [name for name in dict.fromkeys([*ours, *theirs]) if ours.get(name) != theirs.get(name)]
    for name in names[:MOST]:
        yield f"{name}: {_shown(ours, name)}, was {_shown(theirs, name)}"
    if len(names) > MOST:
        yield f"and {len(names) - MOST} settings more"


def _leaves(tree: Mapping[str, object], above: str = "") -> dict[str, object]:
    found: dict[str, object] = {}
    for name, value in tree.items():
        found |= _leaves(value, f"{above}{name}.") if isinstance(value, dict) and value else {f"{above}{name}": value}
    return found


def _shown(leaves: Mapping[str, object], name: str) -> str:
    return f"{json.dumps(leaves[name], ensure_ascii=False):.80}" if name in leaves else "not there"
