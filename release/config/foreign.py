"""A configuration of another trainer as a release.yaml: what has a counterpart, what has none, what is to fill in."""

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from jsonschema import Draft202012Validator

from release.config import messages, reading, trainers
from release.config import tree as trees
from release.config.older import MODULES, RENAMED, WITHOUT_EFFECT, refers_elsewhere
from release.config.trainers import Rule, Trainer
from release.config.tree import Tree
from release.values import kernels
from release.values.errors import ConfigError

SECRET = re.compile(
    r"(?:^|\.)(?:\w*_)?(?:hub|hf|auth|access|api)_?(?:token|key)$|(?:^|\.)token$|secret|password", re.IGNORECASE
)
SHOWN = 160
"""Characters of a value that a comment shows."""
ROWS = re.compile(r"\.(jsonl?|parquet|csv|tsv)(\.(gz|zst))?$")
DEFAULT_RANK = 16
WHOLE = ("contract", "gates", "serving")
"""Sections of ours whose keys are names of the user's own."""


@dataclass(frozen=True, kw_only=True)
class Set:
    """A setting of the new file."""

    value: object
    by: str
    """The key that it comes from, or whose default it is."""


@dataclass(frozen=True, kw_only=True)
class Converted:
    """A release.yaml made of another trainer's file."""

    text: str
    trainer: str
    settings: Mapping[str, Set]
    without: tuple[str, ...]
    """A line for each key without a counterpart, with the reason."""
    to_fill_in: tuple[str, ...]
    """The settings that must be there and that the file does not say."""


def to_file(path: Path, to: Path, name: str | None) -> Iterator[str]:
    """Write ``path`` as a release.yaml; yields what was made of it. An existing file is never overwritten."""
    made = convert(trees.read(path), name)
    try:
        with to.open("x", encoding="utf-8") as file:
            file.write(made.text)
    except FileExistsError:
        raise ConfigError([f"{to} is there already. Nothing is overwritten: name another file with --to."]) from None
    except OSError as error:
        raise ConfigError([f"{to} cannot be written: {error.strerror}. Name another file with --to."]) from None
    yield f"read as {made.trainer}: {len(made.settings)} settings written to {to}"
    if made.without:
        yield f"without a counterpart ({len(made.without)}), each a comment with the reason:"
        yield from (f"  {one}" for one in made.without)
    if made.to_fill_in:
        yield f"to fill in: {', '.join(made.to_fill_in)}. Search {to} for FILL IN."
        return
    try:
        reading.load(to)
    except ConfigError as error:
        yield "to put right before it loads:"
        yield from (f"  {problem}" for problem in error.problems)
        return
    yield f"It loads. Next: adapter-release doctor {to}"


def convert(file: trees.File, name: str | None = None) -> Converted:
    """What another trainer's file says, as a release.yaml; ``ConfigError`` where it is not one."""
    if file.problems:
        raise ConfigError(file.problems)
    if not isinstance(file.tree, dict) or not file.tree:
        raise ConfigError([f"{file.path} holds no settings. Name the configuration file of a trainer."])
    own = any(_ours(key) for key, _ in trainers.leaves(file.tree))
    trainer = trainers.named(name) if name else trainers.whose({} if own else file.tree)
    if trainer is None and not own:
        names = ", ".join(trainers.trainers())
        say = f"Say which it is: adapter-release config convert --from NAME, one of {names}."
        raise ConfigError([f"{file.path} has no key of a trainer that is known. {say}"])
    settings, without = _translated(file.tree, trainer)
    to_fill_in = _completed(settings, file.path)
    called = trainer.name if trainer else "sections of a release.yaml"
    return Converted(
        text=_written(settings, without, to_fill_in, f"{file.path.name}, read as {called}"),
        trainer=called,
        settings=settings,
        without=tuple(without),
        to_fill_in=tuple(to_fill_in),
    )


def _ours(key: str) -> bool:
    """Whether a dotted key is one of a release.yaml, by its name of today or an older one."""
    return "." in key and (messages.named(key) in messages.SETTINGS or key in RENAMED or _idle(key) != "")


def _idle(key: str) -> str:
    """Why an older setting has no effect; empty for others."""
    parts = key.split(".")
    above = (".".join(parts[:count]) for count in range(len(parts), 1, -1))
    return next((WITHOUT_EFFECT[one] for one in above if one in WITHOUT_EFFECT), "")


def _translated(tree: Tree, trainer: Trainer | None) -> tuple[dict[str, Set], list[str]]:
    """The settings that a file says, and a line for each key that says none."""
    settings: dict[str, Set] = {}
    without: list[str] = []
    if trainer is None:
        settings |= {name: Set(value=tree[name], by="") for name in WHOLE if isinstance(tree.get(name), dict)}
    flat = dict(trainers.leaves({name: value for name, value in tree.items() if name not in settings}))
    for key, value in flat.items():
        rules = _rules(key, trainer)
        why = "" if rules else _why_not(key, value, trainer)
        for rule in rules:
            found, problem = _read(rule, value)
            same = key.rpartition(".")[2] == rule.to.rpartition(".")[2]
            why = why or problem or _taken(settings, rule.to, Set(value=found, by="" if same else key))
        if why:
            without.append(f"{key}: {_shown(key, value)} - {why}")
    for key, value in trainer.defaults.items() if trainer else ():
        settings.setdefault(key, Set(value=value, by=f"{trainer.name}'s default" if trainer else ""))
    _scaled(settings)
    _accumulated(settings)
    for key, one in settings.items():
        if package := kernels.asked_by(key, one.value):
            needs = f"needs a card and {package}, or take it out (docs/gpu.md)"
            settings[key] = replace(one, by=f"{one.by}; {needs}" if one.by else needs)
    return settings, without


def _rules(key: str, trainer: Trainer | None) -> tuple[Rule, ...]:
    """How a key becomes settings; without a trainer it may be ours, or one of a block among our sections."""
    if trainer is not None and key in trainer.keys:
        return trainer.keys[key]
    if _ours(key):
        return () if _idle(key) else (_plain(RENAMED.get(key, key)),)
    if trainer is not None:
        return ()
    among = trainers.trainers()["block"].keys
    return among[key] if key in among else trainers.rules(key.rpartition(".")[2]) if key.count(".") == 1 else ()


def _plain(to: str) -> Rule:
    return Rule(to=to, values={}, reads="", inside="", unless="", because="")


def _why_not(key: str, value: object, trainer: Trainer | None) -> str:
    known = (trainer.why_not(key) if trainer else "") or _idle(key) or trainers.reason(key.rpartition(".")[2])
    known = known or "not known here"
    return "is empty" if value is None else f"off; else: {known}" if value is False else known


def _read(rule: Rule, value: object) -> tuple[object, str]:
    """What a value is called here, or why it has no counterpart."""
    said = str(value).lower() if isinstance(value, bool) else str(value)
    if said in rule.values:
        return rule.values[said], "" if rule.values[said] is not None else f"says nothing of {rule.to}"
    if rule.reads == "times_rank":
        return {"as": "times_rank", "value": value}, ""
    if rule.reads == "list":
        value = _list(value)
    elif rule.reads == "rows" and isinstance(value, list) and len(value) == 1:
        value = value[0]
    elif rule.inside:
        value = f"{said.rstrip('/')}/{rule.inside}"
    return value, _problem(rule, value)


def _problem(rule: Rule, value: object) -> str:
    """Why a setting cannot have this value; empty if it can."""
    if rule.unless and re.search(rule.unless, str(value)):
        return rule.because
    if rule.reads == "rows" and isinstance(value, list):
        return "one file is used: `adapter-release data convert A B --to rows.jsonl` puts several into one"
    if rule.reads == "rows" and isinstance(value, str) and not ROWS.search(value):
        return f"a dataset of the Hub is named by its file: {rule.to}: hf://datasets/{value}@COMMIT/FILE.jsonl"
    if rule.to == MODULES and refers_elsewhere(value):
        return "names no module: the default ones are adapted"
    if value is None:
        return "is empty"
    return "" if _fits(rule.to, value) else f"{rule.to} cannot be that; expected {messages.expected(rule.to)}"


def _list(value: object) -> object:
    if isinstance(value, str):
        value = [part.strip() for part in value.split(",") if part.strip()]
    return "all-linear" if value in (["all"], ["all-linear"]) else value


def _fits(key: str, value: object) -> bool:
    rule = messages.SETTINGS.get(messages.named(key))
    return rule is None or Draft202012Validator(dict(rule)).is_valid(value)


def _taken(settings: dict[str, Set], key: str, new: Set) -> str:
    """Take a setting in; why not, where another key has set it already. One that is 0 or false gives way."""
    before = settings.get(key)
    if before is None or before.value == new.value or not before.value:
        settings[key] = new
        return ""
    return "" if not new.value else f"{key} is {_scalar(before.value)} already"


def _scaled(settings: dict[str, Set]) -> None:
    """Where the scale is said as a factor: alpha is that many times the rank."""
    alpha = settings.get("adapter.lora.alpha")
    if alpha is None or not isinstance(alpha.value, dict):
        return
    rank = settings["adapter.lora.r"].value if "adapter.lora.r" in settings else DEFAULT_RANK
    factor = alpha.value["value"]
    known = isinstance(rank, int) and isinstance(factor, int | float) and math.isfinite(factor)
    value = round(rank * factor) if known else 0
    settings["adapter.lora.alpha"] = Set(value=value, by=f"{alpha.by}: {factor:g} times the rank")


def _accumulated(settings: dict[str, Set]) -> None:
    """Where it follows from the batch: as many steps as make so many rows of it."""
    steps = settings.get("training.gradient_accumulation_steps")
    if steps is None or not isinstance(steps.value, dict):
        return
    batch, rows = settings["training.per_device_train_batch_size"].value, steps.value["value"]
    assert isinstance(batch, int)  # a default at least, and each fits its rule
    settings["training.gradient_accumulation_steps"] = Set(
        value=max(1, math.ceil(rows / batch)), by=f"{steps.by}: {rows} rows a step"
    )


def _completed(settings: dict[str, Set], path: Path) -> list[str]:
    """What can be told from the rest is added; returns the settings that must still be said."""
    if "run.name" not in settings:
        folder = settings["run.output_dir"].value if "run.output_dir" in settings else path.stem
        name = re.sub(r"[^A-Za-z0-9._-]+", "-", Path(str(folder)).name).strip("-._")[:96]
        if name:
            settings["run.name"] = Set(value=name, by="the name of its folder or file")
    required = [
        f"{section}.{key}"
        for section in messages.SCHEMA["required"]
        for key in messages.SETTINGS[section].get("required", ())
    ]
    required.insert(required.index("model.base_model_id") + 1, "model.revision")
    required.insert(required.index("data.golden_file"), "data.train_file")  # whoever converts means to train
    return [key for key in (*required, "contract") if key not in settings]


def _written(settings: Mapping[str, Set], without: list[str], to_fill_in: list[str], source: str) -> str:
    lines = [f"# Made by `adapter-release config convert` of {_one_line(source)}.", ""]
    for section in messages.SCHEMA["properties"]:
        filled = [key for key in to_fill_in if key.split(".")[0] == section]
        if found := block(settings, section, filled):
            lines += [*found, ""]
    if without:
        lines += [*comments(without), ""]
    return "\n".join(lines)


def block(settings: Mapping[str, Set], section: str, filled: list[str]) -> list[str]:
    """The lines of a section, ``filled`` as comments to fill in; none where nothing is said of it."""
    if section in settings:
        return [f"{section}: {_scalar(settings[section].value)}"]
    tree: Tree = {}
    for key, one in settings.items():
        if key.split(".")[0] == section:
            trees.put(tree, key, one)
    return _section(section, tree.get(section), filled) if tree or filled else []


def comments(without: Sequence[str]) -> list[str]:
    """The keys without a counterpart, each with its reason, as comments."""
    return ["# What has no counterpart here:", *(f"#   {_one_line(one)}" for one in without)] if without else []


def _section(section: str, inner: object, filled: list[str]) -> list[str]:
    """A section's lines; what is to fill in stands in it as a comment."""
    body = list(_lines(inner, "  ")) if isinstance(inner, dict) else []
    if filled == ["contract"]:
        example = "{schema: answer.schema.json, answer: /answer, citations: /citations, refusal: /refused}"
        return [f"# contract: {example}  # FILL IN: where in an answer its parts are (docs/gates.md, Contract)"]
    for key in filled:
        rule = messages.SETTINGS[key]
        example = json.dumps(rule["examples"][0], ensure_ascii=False)
        body.append(f"  # {key.rpartition('.')[2]}: {example}  # FILL IN: {rule['description']}")
    return [f"{section}:" if inner else f"# {section}:", *body]


def _lines(tree: Mapping[str, object], indent: str) -> Iterator[str]:
    for name, one in tree.items():
        if isinstance(one, dict):
            yield f"{indent}{name}:"
            yield from _lines(one, f"{indent}  ")
        elif isinstance(one, Set):
            yield f"{indent}{name}: {_scalar(one.value)}{f'  # {_one_line(one.by)}' if one.by else ''}"


def _scalar(value: object) -> str:
    """A value as YAML reads it back: JSON is YAML, and a plain word needs no quotes."""
    if isinstance(value, str) and re.fullmatch(r"[A-Za-z][A-Za-z0-9_./-]*", value) and value.lower() not in _WORDS:
        return value
    text = json.dumps(value, ensure_ascii=False, default=str)
    return "".join(one if one.isprintable() else f"\\u{ord(one):04x}" for one in text)


_WORDS = frozenset({"true", "false", "null", "yes", "no", "on", "off", "y", "n"})
"""Words that YAML reads as something else."""


def _shown(key: str, value: object) -> str:
    return "(not copied)" if SECRET.search(key) and value else _scalar(value)[:SHOWN]


def _one_line(text: str) -> str:
    return "".join(one if one.isprintable() else "?" for one in text)
