"""All that a configuration names, loaded once: rows, answer format, policy, base outline, and rows as token ids.

What cannot be loaded is a value too, with its reason: whoever needs it raises that, and preflight can go on to tell
every other problem.
"""

import contextlib
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import gates
from gates.report import left_out, terminal
from gates.shown import counted
from gates.table import ABOUT
from release.config import ladder
from release.config.evaluating import metric
from release.config.settings import Config, Lora
from release.data import apart, gate, sources
from release.data import chat as chats
from release.data.checks import Report
from release.data.dataset import Dataset, few, measured
from release.data.evidence import Limits
from release.importing import base_commit, bring, declared, fit, peft_settings, telling
from release.importing import sources as import_from
from release.importing.bring import Brought
from release.importing.sources import Source
from release.models import base as bases
from release.models.base import Outline
from release.values.errors import ConfigError, DataError, HubError, PreflightError, Stop
from release.values.events import Line, Say

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Unread:
    """What could not be loaded, and why."""

    why: Stop


@dataclass(frozen=True, kw_only=True)
class Rows:
    """The rows to train on and the rows to judge by, as token ids too where the base's chat could be read."""

    train: Dataset | None
    """None: an imported adapter's, which are not here."""
    golden: Dataset
    tuning: Dataset | None = None
    """The rows to evaluate by while it trains; None where nothing is evaluated."""


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """A configuration and what it names.

    The LoRA's settings in it are those of the adapter, where that is imported.
    """

    config: Config
    contract: gates.Contract | Unread
    policy: gates.Policy | Unread
    rows: Rows | Unread
    base: Outline | Unread
    chat: chats.Chat | Unread
    brought: Brought | Unread | None = None
    """An imported adapter; None where one is trained."""


def load(config: Config, say: Say) -> Inputs:
    """Everything that the configuration names but the base's weights, fetched if need be.

    ``ConfigError`` where it says wrongly how an imported adapter was trained, or what is tried: that is known before
    anything is read.
    """
    declared.of(config)
    ladder.steps(config)
    contract = read_contract(config)
    policy = read_policy(config, None if isinstance(contract, Unread) else contract.declares)
    rows = _rows(config, contract, policy, say)
    with contextlib.ExitStack() as while_read:
        source = _opened(config, while_read, say)
        config, base = _base(config, source, say)
        brought = _brought(config, base, source)
    if isinstance(brought, Brought):
        config = replace(config, adapter=replace(config.adapter, lora=brought.lora))
    own = brought if isinstance(brought, Brought) else None
    chat = base if isinstance(base, Unread) else _chat(config, base, own)
    if not isinstance(rows, Unread) and not isinstance(chat, Unread):
        train, tuning = (one and measured(one, chat, say, config.data.learn) for one in (rows.train, rows.tuning))
        rows = Rows(train=train, golden=measured(rows.golden, chat, say), tuning=tuning)
    if not isinstance(contract, Unread):
        for note in (*contract.notes, *(left_out(contract.declares) if config.gates is None else ())):
            say(Line(text=f"note: {note}"))
    return Inputs(config=config, contract=contract, policy=policy, rows=rows, base=base, chat=chat, brought=brought)


def there(value: T | Unread) -> T:
    """What was loaded; raises why it was not."""
    if isinstance(value, Unread):
        raise value.why
    return value


def examined(found: Inputs, say: Say, docs: Path | None = None) -> Report:
    """The data gate's report on the rows; ``docs``: a folder for Great Expectations' own pages."""
    contract, policy, rows = there(found.contract), there(found.policy), there(found.rows)
    config, unread = found.config, found.chat.why if isinstance(found.chat, Unread) else None
    limits = Limits(
        max_length=config.data.max_length,
        max_new_tokens=config.generation.max_new_tokens,
        every_answer=config.data.learn == "all",
    )
    options = gate.Options(
        levels=config.data.checks,
        without_tokens=str(unread).splitlines()[0] if unread else "",
        docs=docs,
        limits=limits,
        policy=policy,
        tuning=rows.tuning,
        say=say,
    )
    return gate.examine(rows.train, rows.golden, contract, options)


def gate_zero_problem(found: Inputs) -> str:
    """Why no adapter can pass these gates on these rows; empty if the reference answers do and broken ones do not."""
    golden = there(found.rows).golden
    verdict = gates.gate_zero(golden.rows, there(found.contract), there(found.policy))
    if verdict.passed:
        return ""
    table = "\n".join(terminal(verdict))
    return (
        f"The reference answers of {golden.path} do not pass the gates themselves, so no adapter can:\n{table}\n"
        "Mend the golden rows, or a policy that asks what this set cannot prove."
    )


def metric_problem(found: Inputs) -> str:
    """Why the best evaluation could not be told by the measure that is asked for; empty where it can."""
    name, tuning, contract = metric(found.config), there(found.rows).tuning, there(found.contract)
    if tuning is None or name is None or (gate := name.removeprefix("eval_")) not in ABOUT:
        return ""
    says = f"training.metric_for_best_model is {name}, but"
    if lacking := [one for one in ABOUT[gate].needs if one not in contract.declares]:
        return f"{says} the contract declares no {' and no '.join(lacking)}, by which that gate measures. Name another."
    rows = [tuning.rows[number] for number in few(tuning.rows, found.config.training.eval_generate or 0)]
    answers = [gates.read_answer(row, gates.Output(id=row.id, output=row.gold or ""), contract) for row in rows]
    if (score := ABOUT[gate].score(answers)).n:
        return ""
    of = f"of the {counted(len(rows), 'tuning row')} whose answers are generated it counts none"
    return f"{says} {of}: {score.empty}. Raise training.eval_generate, or name another measure."


def wanted_chat(config: Config, brought: Brought | None = None) -> chats.Wanted:
    """What the configuration says of the chat template; else an imported adapter's own, where it has another."""
    template = config.model.chat_template or (brought.template if brought else None)
    return chats.Wanted(template=template, arguments=config.model.chat_template_kwargs)


def _rows(config: Config, contract: gates.Contract | Unread, policy: gates.Policy | Unread, say: Say) -> Rows | Unread:
    try:
        train, golden = sources.load(config, say)
        tuning = sources.tuning(config, say)
        if train and config.data.tuning_share and not isinstance(contract, Unread):
            cluster_key = None if isinstance(policy, Unread) else policy.cluster_key
            train, tuning = apart.tuning(train, config.data.tuning_share, config.run.seed, contract, cluster_key)
    except (DataError, HubError) as why:
        return Unread(why=why)
    return Rows(train=train, golden=golden, tuning=tuning)


def _opened(config: Config, while_read: contextlib.ExitStack, say: Say) -> Source | Unread | None:
    """The files of an imported adapter; None where one is trained."""
    if config.adapter.method != "imported":
        return None
    try:
        return while_read.enter_context(import_from.opened(str(config.adapter.source), say, config.path.parent))
    except (ConfigError, PreflightError, HubError) as why:
        return Unread(why=why)


def _base(config: Config, source: Source | Unread | None, say: Say) -> tuple[Config, Outline | Unread]:
    """What is known of the base, and the configuration with its commit."""
    try:
        config = base_commit.settled(config, source if isinstance(source, Source) else None, say)
    except (ConfigError, HubError) as why:
        return config, Unread(why=why)
    try:
        return config, bases.outline(config.model, say)
    except (PreflightError, HubError) as why:
        return config, Unread(why=why)


def _brought(config: Config, base: Outline | Unread, source: Source | Unread | None) -> Brought | Unread | None:
    if source is None:
        return None
    if isinstance(base, Unread):
        return base
    if isinstance(source, Unread):
        return source
    try:
        found = bring.brought(source, telling.of_outline(base, config.model))
    except (ConfigError, PreflightError, HubError) as why:
        return Unread(why=why)
    wrong = fit.name_problem(found.origin.base, config.model.base_model_id, config.adapter.named_base)
    if not wrong and config.adapter.lora not in (Lora(), found.lora):
        own = peft_settings.spelt(found.settings)
        wrong = f"adapter.lora says other settings than the imported adapter has ({own}). Take adapter.lora out."
    return Unread(why=PreflightError(wrong)) if wrong else found


def _chat(config: Config, base: Outline, brought: Brought | None) -> chats.Chat | Unread:
    try:
        return chats.read(base.folder, wanted_chat(config, brought))
    except PreflightError as why:
        return Unread(why=why)


def read_contract(config: Config) -> gates.Contract | Unread:
    """The answer format that the configuration names."""
    try:
        return gates.load_contract(config.contract, config.path.parent)
    except gates.InvalidConfig as why:
        return _unread(config, why)


def read_policy(config: Config, declares: Collection[str] | None) -> gates.Policy | Unread:
    """The policy that the configuration names, or the default one for what its contract declares."""
    try:
        asked = gates.default_policy(declares) if config.gates is None else gates.completed(config.gates, declares)
        return gates.load_policy(asked)
    except gates.InvalidConfig as why:
        return _unread(config, why)


def _unread(config: Config, why: gates.InvalidConfig) -> Unread:
    return Unread(why=ConfigError([f"{config.path.name}: {problem}" for problem in why.problems]))
