"""release.yaml → frozen Config, as release/config/settings.py declares it; every problem named at once."""

import copy
import functools
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from release.config import evaluating, forms, messages, older, trainers
from release.config import tree as trees
from release.config.rules import HubFile, relative
from release.config.settings import (
    EMBEDDED_BASE,
    Adapter,
    Budget,
    Config,
    Data,
    Form,
    Generation,
    Model,
    Training,
)
from release.config.tree import Place, Tree
from release.values.errors import ConfigError, shown

T = TypeVar("T")
SHARED_OPTIM = ("adamw_torch", "adamw_torch_fused")
"""Optimizers that update tensors of which each process has a part; bitsandbytes' operators have no rule for these."""


@dataclass(frozen=True, kw_only=True)
class _Known:
    """The values of a tree that are right alone."""

    tree: Tree
    wrong: Mapping[str, str]

    def value(self, key: str, default: T) -> T:
        """The value at a key; the default where there is none, or one that is wrong."""
        found = trees.get(self.tree, key)
        return found if isinstance(found, type(default)) and key not in self.wrong else default

    def whole(self, section: str) -> bool:
        """Whether nothing in a section, or among the sections, is wrong: what is not there was left out then."""
        names = self.wrong.keys()
        return not any(f"{one}.".startswith(f"{section}.") if section else "." not in one for one in names)


def load(path: Path, overrides: Mapping[str, str] | None = None) -> Config:
    """The checked configuration in ``path``; ``overrides`` are dotted keys with YAML values, as in ``--set key=value``.

    Raises ``ConfigError`` with every problem found.
    """
    file = trees.read(path)
    return _checked(file.tree, path, overrides or {}, file.place, file.problems)


def parse(tree: Mapping[str, object], path: Path, overrides: Mapping[str, str] | None = None) -> Config:
    """The same from a mapping, as ``effective`` gives it: its paths are relative to the folder of ``path``."""
    return _checked(copy.deepcopy(dict(tree)), path, overrides or {}, lambda key: f"{path}: {key}", ())


def effective(config: Config) -> dict[str, Any]:
    """The configuration with its defaults, ready for JSON or YAML; paths relative to its file's folder.

    Loaded from the same folder it gives an equal ``Config``.
    """
    tree: dict[str, Any] = {
        name: _plain(getattr(config, name), _folder(config.path)) for name in messages.SCHEMA["properties"]
    }
    if config.adapter.lora.target_modules == ("all-linear",):
        trees.put(tree, "adapter.lora.target_modules", "all-linear")
    if config.weaker_because is not None:
        tree["gates"] = {**(config.gates or {}), "weaker_because": config.weaker_because}
    if config.adapter.method == "imported":
        tree["training"] = None  # nothing was trained by it
    return {name: section for name, section in tree.items() if section is not None}


def _plain(value: object, folder: Path) -> object:
    """A value as JSON has it; what a section leaves out is None in it."""
    if isinstance(value, Path):
        return relative(value, folder)
    if isinstance(value, HubFile):
        return str(value)
    if isinstance(value, tuple):
        return list(value)
    if isinstance(value, Mapping):
        return {name: _plain(one, folder) for name, one in value.items()}
    if is_dataclass(value):
        inner = {field.name: _plain(getattr(value, field.name), folder) for field in fields(value)}
        return {name: one for name, one in inner.items() if one is not None}
    return copy.deepcopy(value)


def _folder(path: Path) -> Path:
    return path.parent.absolute()


def _checked(
    tree: object, path: Path, overrides: Mapping[str, str], in_file: Place, problems: tuple[str, ...]
) -> Config:
    """Old names replaced, overrides applied, every rule checked; raises with all the problems."""
    if not isinstance(tree, dict):
        raise ConfigError([f"{path} holds {shown(tree)}; expected {messages.SCHEMA['description']}."])
    _spell_out_container(tree)
    written = older.todays_names(tree, in_file)
    given = _overriding(tree, overrides)
    _spell_out_container(given)
    changed = older.todays_names(given, lambda key: f"--set {key}")
    places = written.places | {key: f"--set {key}" for key in _new_keys(tree, given)} | changed.places
    tree = trees.merged(tree, given)
    config, wrong = _built(tree, _folder(path))
    found = dict(messages.unfit(tree))
    for key, problem in wrong:
        found.setdefault(key, problem)
    for key, problem in _contradictions(_Known(tree=tree, wrong=found), written.idle | changed.idle):
        found.setdefault(key, problem)
    if config is not None and config.training.fsdp and len(over := forms.trained_over(config)) > 1:
        alternates = f"is true, but the base alternates between {' and '.join(over)}, and only one can be shared out."
        found.setdefault("training.fsdp", f"{alternates} Set training.over: [{over[0]}], or take training.fsdp out.")
    said = [f"{places.get(key) or in_file(key)} {problem}" for key, problem in found.items()]
    if isinstance(tree, dict) and (other := trainers.foreign(tree, messages.SCHEMA["properties"])):
        said.insert(0, f"{path} is written for {other.name}: `adapter-release config convert {path} --to NEW.yaml`.")
    all_problems = [*problems, *written.problems, *changed.problems, *said]
    if all_problems or config is None:
        raise ConfigError(all_problems)
    return replace(config, path=path, notices=(*written.notices, *changed.notices))


def _overriding(tree: Tree, overrides: Mapping[str, str]) -> Tree:
    """What overrides say. An empty section takes the place of the file's here: merging would keep all of that."""
    given: Tree = {}
    for key, text in overrides.items():
        trees.put(given, key, value := messages.override(key, text))
        if value == {} and isinstance(trees.get(tree, key), dict):
            trees.put(tree, key, {})
    return given


def _spell_out_container(tree: Tree) -> None:
    """``container: never`` is short for its ``use``."""
    if isinstance(tree.get("container"), str):
        tree["container"] = {"use": tree["container"]}


def _new_keys(tree: Tree, given: Tree) -> Iterator[str]:
    """The keys of ``given`` and the sections that come with them."""
    for leaf in trees.leaves(given):
        parts = leaf.split(".")
        above = (".".join(parts[:count]) for count in range(1, len(parts)))
        yield from (key for key in above if not isinstance(trees.get(tree, key), dict))
        yield leaf


@functools.cache
def _settings() -> TypeAdapter[Config]:
    """Built where it is first needed: `--help` does without."""
    return TypeAdapter(Config)


def _built(tree: Tree, folder: Path) -> tuple[Config | None, list[tuple[str, str]]]:
    """The configuration that a tree says, or each wrong setting in it. It has no path and no notices yet."""
    sections = messages.SCHEMA["properties"]
    wrong = [(str(name), messages.unknown("", str(name))) for name in tree if name not in sections]
    # a section that must be there counts as an empty one, so that its keys are named
    required: Tree = {name: {} for name in messages.SCHEMA["required"] if "required" in sections[name]}
    said = {name: section for name, section in (required | tree).items() if name in sections}
    if trees.get(said, "adapter.method") in ("lora", "imported"):
        said = trees.merged({"adapter": {"quantization": {"load_in_4bit": False}}}, said)
    # as JSON, in which a list, a number and a text are nothing else; what has no form in it is told by `unfit`
    text = json.dumps({**said, "path": "", "notices": []}, ensure_ascii=False, default=lambda _: None, skipkeys=True)
    try:
        return _settings().validate_json(text.encode("utf-8", "replace"), context=folder), wrong
    except ValidationError as error:
        return None, [*wrong, *messages.broken_rules(error, tree)]


def _contradictions(known: _Known, idle: Tree) -> Iterator[tuple[str, str]]:
    """Values that are right alone and wrong together."""
    method = known.value("adapter.method", Adapter.method)
    in_4bit = known.value("adapter.quantization.load_in_4bit", method == "qlora")
    if in_4bit != (method == "qlora") and method != "imported":
        problem = f"is {shown(in_4bit)}, but adapter.method is '{method}'"
        means = "qlora means a 4-bit base, lora an unquantized one. Change one of them."
        yield "adapter.quantization.load_in_4bit", f"{problem}: {means}"
    yield from _contradictory_adapter(known, method)
    yield from _contradictory_bases(known)
    yield from _contradictory_forms(known, method)
    if known.value("publishing.keyless", False) and known.value("publishing.signing_key", ""):
        yield "publishing.keyless", "is true, but publishing.signing_key names a key. Take one of them out."
    for alert in known.value("budget.alerts", list[object]()):
        if isinstance(alert, str) and alert.split()[-1] != (spent := known.value("budget.currency", Budget.currency)):
            yield "budget.alerts", f"names {alert}, but budget.currency is {spent}. Use one currency."
    if known.value("data.train_file", "") == known.value("data.golden_file", "none"):
        yield "data.golden_file", "is the file to train on, but an adapter must be judged by rows it has not seen."
    if idle.get("generation.do_sample", False) is not False:
        why = older.WITHOUT_EFFECT["generation.do_sample"]
        yield "generation.do_sample", f"is {shown(idle['generation.do_sample'])}, but {why}. Take it out."
    yield from _contradictory_numbers(known, idle)
    yield from _contradictory_shares(known)
    yield from evaluating.contradictions(known, method)


def _contradictory_adapter(known: _Known, method: str) -> Iterator[tuple[str, str]]:
    """An imported adapter has a source and no training; any other is trained, on rows."""
    given: Tree = known.value("adapter", {})
    if method != "imported":
        if "data" not in known.wrong and "train_file" not in known.value("data", {}):
            yield "data.train_file", messages.missing("data.train_file")
        for name in ("source", "named_base", "reproduce_with"):
            if name in given:
                why = f"is given, but adapter.method is '{method}', which trains one."
                yield f"adapter.{name}", f"{why} Write `method: imported`, or take it out."
        return
    if "source" not in given and "adapter" not in known.wrong:
        yield "adapter.source", messages.missing("adapter.source")
    if known.value("training", {}):
        yield "training", "is given, but adapter.method 'imported' trains nothing. Take it out."
    yield from _contradictory_trainer(known)


def _contradictory_trainer(known: _Known) -> Iterator[tuple[str, str]]:
    """How an imported adapter was trained: what its command leaves where, and what it runs in."""
    key, said = "adapter.reproduce_with", known.value("adapter.reproduce_with", dict[str, object]())
    if not said or any(one.startswith(key) for one in known.wrong):
        return
    words = known.value(f"{key}.command", list[str]())
    names = [name for word in words for name in re.findall(r"\{([a-z_]+)\}", word)]
    if "output" not in names:
        yield f"{key}.command", "has no {output}: nobody would know where it leaves the adapter. Write {output} there."
    elif other := [name for name in names if name not in ("output", "base", "train")]:
        yield (
            f"{key}.command",
            f"has {{{other[0]}}}, which nothing stands for. There are {{output}}, {{base}}, {{train}}.",
        )
    elif "train" in names and "train_file" not in known.value("data", dict[str, object]()):
        yield f"{key}.command", "has {train}, but data.train_file names no rows. Name them, or take {train} out."
    if "image" not in said and "lock" not in said:
        yield key, "has neither an image nor a lock: nothing would say what its command runs in. Add one of them."


def _contradictory_bases(known: _Known) -> Iterator[tuple[str, str]]:
    if known.value("model.source", Model.source) != "embedded":
        code = known.value("model.trust_remote_code", Model.trust_remote_code)  # whoever runs it has looked at a commit
        imported = known.value("adapter.method", Adapter.method) == "imported" and not code  # it is looked up
        if "model" not in known.wrong and "revision" not in known.value("model", {}) and not imported:
            yield "model.revision", messages.missing("model.revision")
        return
    if (base := known.value("model.base_model_id", EMBEDDED_BASE)) != EMBEDDED_BASE:
        problem = f"is '{base}', but the embedded base is {EMBEDDED_BASE}."
        yield "model.base_model_id", f"{problem} Write that, or `source: hub` and a revision."
    if known.value("model.revision", ""):
        yield "model.revision", "is given, but the embedded base has none: its sha256 names it. Take it out."


def _contradictory_forms(known: _Known, method: str) -> Iterator[tuple[str, str]]:
    if method == "lora" and "nf4" in known.value("training.over", ["unquantized"]):
        yield "training.over", "names nf4, but adapter.method 'lora' has an unquantized base. Change one of them."
    seen: dict[str, str] = {}
    for name, form in known.value("serving", dict[str, object]()).items():
        said = form if isinstance(form, dict) else {}
        yield from ((f"serving.{name}{key}", problem) for key, problem in _contradictory_form(name, said))
        same = json.dumps({**asdict(Form()), **said, "required": None}, sort_keys=True, default=repr)
        if (other := seen.setdefault(same, name)) != name:
            yield f"serving.{name}", f"is the same form as serving.{other}. Take one of them out."


def _contradictory_form(name: str, said: Tree) -> Iterator[tuple[str, str]]:
    engine = said.get("engine", Form.engine)
    if engine == "openai":
        lacking = [key for key in ("url", "model") if key not in said]
        yield from ((f".{key}", messages.missing(f"serving.{name}.{key}")) for key in lacking)
        if said.get("merged") or said.get("base", Form.base) != Form.base:
            yield "", "says how the base is loaded, which nobody can know of an address. Take out base and merged."
    for key, of in ONLY.items():
        if said.get(key, getattr(Form, key)) != getattr(Form, key) and engine != of:
            yield f".{key}", f"is given, but the engine is '{engine}': only '{of}' has it. Take it out."


ONLY = {
    "file_type": "llama.cpp",
    "max_kl": "llama.cpp",
    "tensor_parallel_size": "vllm",
    "url": "openai",
    "model": "openai",
    "base_model": "openai",
}
"""The settings of a form that only one engine has."""


def _contradictory_shares(known: _Known) -> Iterator[tuple[str, str]]:
    """What does not go with a base that several processes share."""
    if not known.value("training.fsdp", False):
        return
    if known.value("training.processes", 1) == 1 and known.whole("training"):
        yield "training.fsdp", "is true, but one process trains. Set training.processes, such as 2, or take it out."
    optim = known.value("training.optim", Training.optim)
    if optim not in SHARED_OPTIM and known.whole("training"):
        why = "is bitsandbytes', whose operators take no tensors that processes share (training.fsdp)"
        yield "training.optim", f"is {optim}, which {why}. Write adamw_torch or adamw_torch_fused."
    if known.value("training.eval_steps", 0):
        why = "the first process evaluates alone, and with training.fsdp it has a share of the base only"
        yield "training.eval_steps", f"is given, but {why}. Take one of them out."
    for name, what in (("padding_free", "rows are proved to lie apart"), ("use_liger_kernel", "its loss is computed")):
        if known.value(f"training.{name}", False):
            why = f"{what} on the whole base, and training.fsdp shares it out"
            yield f"training.{name}", f"is true, but {why}. Take one of them out."


def _contradictory_numbers(known: _Known, idle: Tree) -> Iterator[tuple[str, str]]:
    longest = known.value("data.max_length", Data.max_length)
    new_tokens = known.value("generation.max_new_tokens", Generation.max_new_tokens)
    if new_tokens >= longest:
        problem = f"is {new_tokens}, but rows end at data.max_length, {longest} tokens: no room for a question."
        yield "generation.max_new_tokens", f"{problem} Change one of them."
    warmup, steps = known.value("training.warmup_steps", 0), known.value("training.max_steps", Training.max_steps)
    if 0 < steps <= warmup:
        yield "training.warmup_steps", f"is {warmup}, but training ends at max_steps, {steps}. Make it smaller."
    batch = known.value("training.per_device_train_batch_size", Training.per_device_train_batch_size)
    rows = batch * known.value("training.gradient_accumulation_steps", Training.gradient_accumulation_steps)
    processes = known.value("training.processes", 1)
    rows *= processes
    stated = idle.get("training.effective_batch_size", rows)
    if stated != rows:
        factors = f"per_device_train_batch_size x gradient_accumulation_steps{' x processes' if processes > 1 else ''}"
        problem = f"is {shown(stated)}, but {factors} is {rows}."
        yield "training.effective_batch_size", f"{problem} Correct one of the three, or take this one out."
