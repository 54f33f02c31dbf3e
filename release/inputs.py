"""All that a configuration names, loaded once: rows, answer format, policy, base outline, and rows as token ids.

What cannot be loaded is a value too, with its reason: whoever needs it raises that, and preflight can go on to tell
every other problem.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import gates
from gates.report import terminal
from release.config.settings import Config
from release.data import chat as chats
from release.data import gate, sources
from release.data.checks import Report
from release.data.dataset import Dataset, rendered
from release.data.evidence import Limits
from release.models import base as bases
from release.models.base import Outline
from release.values.errors import ConfigError, DataError, HubError, PreflightError, Stop
from release.values.events import Say

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Unread:
    """What could not be loaded, and why."""

    why: Stop


@dataclass(frozen=True, kw_only=True)
class Rows:
    """The rows to train on and the rows to judge by, as token ids too where the base's chat could be read."""

    train: Dataset
    golden: Dataset


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """A configuration and what it names."""

    config: Config
    contract: gates.Contract | Unread
    policy: gates.Policy | Unread
    rows: Rows | Unread
    base: Outline | Unread
    chat: chats.Chat | Unread


def load(config: Config, say: Say) -> Inputs:
    """Everything that the configuration names but the base's weights, fetched if need be."""
    rows, base = _rows(config, say), _base(config, say)
    chat = base if isinstance(base, Unread) else _chat(config, base)
    if not isinstance(rows, Unread) and not isinstance(chat, Unread):
        train = replace(rows.train, examples=rendered(rows.train.rows, chat, config.data.learn))
        rows = Rows(train=train, golden=replace(rows.golden, examples=rendered(rows.golden.rows, chat)))
    contract = read_contract(config)
    policy = read_policy(config, () if isinstance(contract, Unread) else contract.declares)
    return Inputs(config=config, contract=contract, policy=policy, rows=rows, base=base, chat=chat)


def there(value: T | Unread) -> T:
    """What was loaded; raises why it was not."""
    if isinstance(value, Unread):
        raise value.why
    return value


def examined(found: Inputs, docs: Path | None = None) -> Report:
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


def wanted_chat(config: Config) -> chats.Wanted:
    """What the configuration says of the chat template."""
    return chats.Wanted(template=config.model.chat_template, arguments=config.model.chat_template_kwargs)


def _rows(config: Config, say: Say) -> Rows | Unread:
    try:
        train, golden = sources.load(config, say)
    except (DataError, HubError) as why:
        return Unread(why=why)
    return Rows(train=train, golden=golden)


def _base(config: Config, say: Say) -> Outline | Unread:
    try:
        return bases.outline(config.model, say)
    except (PreflightError, HubError) as why:
        return Unread(why=why)


def _chat(config: Config, base: Outline) -> chats.Chat | Unread:
    try:
        return chats.read(base.folder, wanted_chat(config))
    except PreflightError as why:
        return Unread(why=why)


def read_contract(config: Config) -> gates.Contract | Unread:
    """The answer format that the configuration names."""
    try:
        return gates.load_contract(config.contract, config.path.parent)
    except gates.InvalidConfig as why:
        return _unread(config, why)


def read_policy(config: Config, declares: Collection[str]) -> gates.Policy | Unread:
    """The policy that the configuration names, or the default one for what its contract declares."""
    try:
        return gates.load_policy(gates.default_policy(declares) if config.gates is None else config.gates)
    except gates.InvalidConfig as why:
        return _unread(config, why)


def _unread(config: Config, why: gates.InvalidConfig) -> Unread:
    return Unread(why=ConfigError([f"{config.path.name}: {problem}" for problem in why.problems]))
