"""release.yaml → frozen Config; every problem named at once."""

import copy
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from release.config import settings
from release.config.settings import Place, Tree
from release.values.errors import ConfigError

EMBEDDED_BASE = "HuggingFaceTB/SmolLM2-135M-Instruct"


@dataclass(frozen=True, kw_only=True)
class Run:
    name: str
    output_dir: Path
    seed: int = 42
    threads: int | None = None


@dataclass(frozen=True, kw_only=True)
class Model:
    base_model_id: str
    source: Literal["hub", "embedded"] = "hub"
    revision: str | None = None
    """A full commit; None only for the embedded base, which its sha256 names."""
    trust_remote_code: bool = False
    chat_template: Path | None = None
    """A Jinja file; None: the base's own."""
    chat_template_kwargs: Mapping[str, Any] = field(default_factory=dict)
    """What the template is rendered with, as transformers' ``apply_chat_template`` takes it."""


@dataclass(frozen=True, kw_only=True)
class Lora:
    r: int = 16
    alpha: int = 32
    dropout: float = 0.05
    target_modules: tuple[str, ...] = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
    """Module names, or ``("all-linear",)``."""
    bias: Literal["none", "all", "lora_only"] = "none"


@dataclass(frozen=True, kw_only=True)
class Quantization:
    load_in_4bit: bool
    bnb_4bit_quant_type: Literal["nf4", "fp4"] = "nf4"
    bnb_4bit_use_double_quant: bool = True
    bnb_4bit_compute_dtype: Literal["auto", "bfloat16", "float16", "float32"] = "auto"


@dataclass(frozen=True, kw_only=True)
class Adapter:
    method: Literal["qlora", "lora"] = "qlora"
    lora: Lora
    quantization: Quantization


@dataclass(frozen=True, kw_only=True)
class HubFile:
    """A file of a dataset repository at a commit."""

    repo_id: str
    commit: str
    path: str

    def __str__(self) -> str:
        return f"hf://datasets/{self.repo_id}@{self.commit}/{self.path}"


def located(text: str, folder: Path) -> Path | HubFile:
    """The file that a setting names: of a dataset repository, or here."""
    found = re.fullmatch(r"hf://datasets/([^/@]+/[^/@]+)@([0-9a-f]{40})/(.+)", text)
    if found:
        return HubFile(repo_id=found[1], commit=found[2], path=found[3])
    return _absolute(text, folder)


@dataclass(frozen=True, kw_only=True)
class Data:
    train_file: Path | HubFile
    golden_file: Path | HubFile
    max_length: int = 2048
    license: str | None = None
    source: str | None = None
    format: str = "auto"
    fields: Mapping[str, str] = field(default_factory=dict)
    """A field → the key of a row that holds it, where it is called otherwise."""
    checks: Mapping[str, str] = field(default_factory=dict)
    """A check of the data gate → ``error`` or ``warning``, where it is not its own level."""


@dataclass(frozen=True, kw_only=True)
class Container:
    """Where training and answering run; none of it changes what they compute."""

    use: Literal["auto", "require", "never"] = "auto"
    image: str | None = None
    """``name@sha256:...``, or ``sha256:...`` of an image on this machine; None: built from this checkout."""
    gpus: Literal["auto", "all", "none"] = "auto"
    memory_gib: float | None = None


@dataclass(frozen=True, kw_only=True)
class Budget:
    """What all attempts under one output folder may cost together."""

    limit: float | None = None
    currency: str = "USD"
    price_per_hour: float | None = None
    """None: the machine's price in prices.json."""
    alerts: tuple[float, ...] = (20, 50, 100)
    """Percentages of the limit."""


@dataclass(frozen=True, kw_only=True)
class Training:
    """Names and defaults as in transformers, but for the QLoRA choices of Dettmers et al. (2023) and their users."""

    num_train_epochs: float = 3
    max_steps: int = -1
    learning_rate: float = 2e-4
    lr_scheduler_type: str = "cosine"
    warmup_steps: float = 0.03
    """Below 1: a share of all steps."""
    weight_decay: float = 0.0
    max_grad_norm: float = 1.0
    per_device_train_batch_size: int = 1
    gradient_accumulation_steps: int = 16
    optim: str = "paged_adamw_8bit"
    adam_beta1: float = 0.9
    adam_beta2: float = 0.999
    adam_epsilon: float = 1e-8
    activation_checkpointing: bool | Literal["auto"] = "auto"
    save_steps: float = 0.25
    """Below 1: a share of all steps."""
    logging_steps: int = 10


@dataclass(frozen=True, kw_only=True)
class Generation:
    """How the answers that are judged are made: always greedily."""

    max_new_tokens: int = 512
    batch_size: int = 8


@dataclass(frozen=True, kw_only=True)
class Publishing:
    hf_repo: str
    tag: str
    license: str
    private: bool = False
    allow_unpinned: bool = False
    """Publish to a real Hub what was made outside the pinned container image."""
    endpoint: str = "https://huggingface.co"
    """An http(s) address, or ``file:`` and a folder relative to the configuration file."""
    language: tuple[str, ...] = ("en",)
    tags: tuple[str, ...] = ()
    enabled: bool = True
    signing_key: Path | None = None
    """A private key in PEM; None: not signed by a key."""
    keyless: bool = False
    """Signed by the identity of a CI job."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """What release.yaml says, with every default filled in; its paths are absolute."""

    path: Path = field(compare=False)
    run: Run
    model: Model
    adapter: Adapter
    data: Data
    training: Training
    generation: Generation
    container: Container = field(default_factory=Container)
    budget: Budget
    contract: Mapping[str, Any]
    gates: Mapping[str, Any] | None
    """None: the default policy."""
    weaker_because: str | None = None
    """Why this release may ask for less than the last one did."""
    publishing: Publishing
    notices: tuple[str, ...] = field(default=(), compare=False)
    """A line for each setting of the file that changes nothing here, with the reason."""


def load(path: Path, overrides: Mapping[str, str] | None = None) -> Config:
    """The checked configuration in ``path``; ``overrides`` are dotted keys with YAML values, as in ``--set key=value``.

    Raises ``ConfigError`` with every problem found.
    """
    tree, lines, problems = settings.read(path)

    def in_file(key: str) -> str:
        known = key
        while known and known not in lines:
            known = known.rpartition(".")[0]
        return f"{path}:{lines.get(known, 1)}: {key}"

    return _checked(tree, path, overrides or {}, in_file, problems)


def parse(tree: Mapping[str, Any], path: Path, overrides: Mapping[str, str] | None = None) -> Config:
    """The same from a mapping, as ``effective`` gives it: its paths are relative to the folder of ``path``."""
    return _checked(copy.deepcopy(dict(tree)), path, overrides or {}, lambda key: f"{path}: {key}", [])


def effective(config: Config) -> Tree:
    """The configuration with its defaults, ready for JSON or YAML; paths relative to its file's folder.

    Loaded from the same folder it gives an equal ``Config``.
    """
    values = asdict(config)
    del values["path"], values["notices"], values["weaker_because"]
    if config.weaker_because is not None:
        values["gates"] = {**(config.gates or {}), "weaker_because": config.weaker_because}
    folder = _folder(config.path)
    values["run"]["output_dir"] = _relative(config.run.output_dir, folder)
    for name, file in (("train_file", config.data.train_file), ("golden_file", config.data.golden_file)):
        values["data"][name] = str(file) if isinstance(file, HubFile) else _relative(file, folder)
    modules = config.adapter.lora.target_modules
    values["adapter"]["lora"]["target_modules"] = modules[0] if modules == ("all-linear",) else list(modules)
    if config.model.chat_template:
        values["model"]["chat_template"] = _relative(config.model.chat_template, folder)
    if config.publishing.signing_key:
        values["publishing"]["signing_key"] = _relative(config.publishing.signing_key, folder)
    values["publishing"] |= {"language": list(config.publishing.language), "tags": list(config.publishing.tags)}
    values["budget"]["alerts"] = list(config.budget.alerts)
    for section in ("run", "model", "data", "container", "budget", "publishing"):
        values[section] = _present(values[section])
    return _present(values)


def _present(values: Tree) -> Tree:
    return {name: value for name, value in values.items() if value is not None}


def _folder(path: Path) -> Path:
    return path.parent.absolute()


def _absolute(text: str, folder: Path) -> Path:
    return Path(os.path.normpath(folder / text))


def _relative(path: Path, folder: Path) -> str:
    return Path(os.path.relpath(path, folder)).as_posix()


def _checked(tree: Any, path: Path, overrides: Mapping[str, str], in_file: Place, problems: list[str]) -> Config:
    """Old names replaced, overrides applied, every rule checked; raises with all the problems."""
    if not isinstance(tree, dict):
        raise ConfigError([f"{path} holds {settings.shown(tree)}; expected {settings.SCHEMA['description']}."])
    _spell_out_container(tree)
    written = settings.todays_names(tree, in_file)
    given: Tree = {}
    for key, text in overrides.items():
        settings.put(given, key, settings.override(key, text))
    _spell_out_container(given)
    changed = settings.todays_names(given, lambda key: f"--set {key}")
    places = written.places | {key: f"--set {key}" for key in _new_keys(tree, given)} | changed.places
    tree = settings.merged(tree, given)
    found = dict(settings.unfit(tree))
    for key, problem in settings.broken_rules(tree):
        found.setdefault(key, problem)
    for key, problem in _contradictions(tree, found, written.idle | changed.idle):
        found.setdefault(key, problem)
    problems += [*written.problems, *changed.problems]
    problems += [f"{places.get(key) or in_file(key)} {problem}" for key, problem in found.items()]
    if problems:
        raise ConfigError(problems)
    return _build(tree, path, (*written.notices, *changed.notices))


def _spell_out_container(tree: Tree) -> None:
    """``container: never`` is short for its ``use``."""
    if isinstance(tree.get("container"), str):
        tree["container"] = {"use": tree["container"]}


def _new_keys(tree: Tree, given: Tree) -> Iterator[str]:
    """The keys of ``given`` and the sections that they bring with them."""
    for leaf in settings.leaves(given):
        parts = leaf.split(".")
        above = (".".join(parts[:count]) for count in range(1, len(parts)))
        yield from (key for key in above if not isinstance(settings.get(tree, key), dict))
        yield leaf


def _contradictions(tree: Tree, wrong: Mapping[str, str], idle: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Values that are right alone and wrong together; those in ``wrong`` are left aside."""

    def value(key: str, default: Any = None) -> Any:
        found = settings.get(tree, key)
        return default if found is None or key in wrong else found

    method, in_4bit = value("adapter.method", Adapter.method), value("adapter.quantization.load_in_4bit")
    if in_4bit is not None and in_4bit != (method == "qlora"):
        problem = f"is {settings.shown(in_4bit)}, but adapter.method is '{method}'"
        means = "qlora means a 4-bit base, lora an unquantized one. Change one of them."
        yield "adapter.quantization.load_in_4bit", f"{problem}: {means}"
    if value("model.source") == "embedded":
        yield from _embedded_contradictions(value)
    if value("publishing.keyless") and value("publishing.signing_key"):
        yield "publishing.keyless", "is true, but publishing.signing_key names a key. Take one of them out."
    if value("data.train_file", 0) == value("data.golden_file", 1):
        yield "data.golden_file", "is the file to train on, but an adapter must be judged by rows it has not seen."
    if idle.get("generation.do_sample", False) is not False:
        why = settings.WITHOUT_EFFECT["generation.do_sample"]
        yield "generation.do_sample", f"is {settings.shown(idle['generation.do_sample'])}, but {why}. Take it out."
    yield from _contradictory_numbers(value, idle)


def _embedded_contradictions(value: Callable[..., Any]) -> Iterator[tuple[str, str]]:
    if (base := value("model.base_model_id", EMBEDDED_BASE)) != EMBEDDED_BASE:
        problem = f"is '{base}', but the embedded base is {EMBEDDED_BASE}."
        yield "model.base_model_id", f"{problem} Write that, or `source: hub` and a revision."
    if value("model.revision"):
        yield "model.revision", "is given, but the embedded base has none: its sha256 names it. Take it out."


def _contradictory_numbers(value: Callable[..., Any], idle: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    longest = value("data.max_length", Data.max_length)
    new_tokens = value("generation.max_new_tokens", Generation.max_new_tokens)
    if new_tokens >= longest:
        problem = f"is {new_tokens}, but rows end at data.max_length, {longest} tokens: no room for a question."
        yield "generation.max_new_tokens", f"{problem} Change one of them."
    warmup, steps = value("training.warmup_steps", 0), value("training.max_steps", -1)
    if 0 < steps <= warmup:
        yield "training.warmup_steps", f"is {warmup}, but training ends at max_steps, {steps}. Make it smaller."
    batch = value("training.per_device_train_batch_size", Training.per_device_train_batch_size)
    rows = batch * value("training.gradient_accumulation_steps", Training.gradient_accumulation_steps)
    stated = idle.get("training.effective_batch_size", rows)
    if stated != rows:
        problem = (
            f"is {settings.shown(stated)}, but per_device_train_batch_size x gradient_accumulation_steps is {rows}."
        )
        yield "training.effective_batch_size", f"{problem} Correct one of the three, or take this one out."


def _build(tree: Tree, path: Path, notices: tuple[str, ...]) -> Config:
    """The values of a checked tree. Defaults are those of the dataclasses."""
    folder = _folder(path)
    adapter, publishing = tree.get("adapter", {}), dict(tree["publishing"])
    method, budget = adapter.get("method", Adapter.method), tree.get("budget", {})
    lora, language = dict(adapter.get("lora", {})), publishing.get("language", Publishing.language)
    modules = lora.get("target_modules", Lora.target_modules)
    lora["target_modules"] = (modules,) if isinstance(modules, str) else tuple(modules)
    publishing["language"] = (language,) if isinstance(language, str) else tuple(language)
    publishing["tags"] = tuple(publishing.get("tags", Publishing.tags))
    if publishing.get("endpoint", "").startswith("file:"):
        hub = _absolute(re.sub("^file:(//(?=/))?", "", publishing["endpoint"]), folder)
        publishing["endpoint"] = f"file:{_relative(hub, folder)}"
    policy = dict(tree.get("gates", {}))
    because = policy.pop("weaker_because", None)
    if "signing_key" in publishing:
        publishing["signing_key"] = _absolute(publishing["signing_key"], folder)
    model = dict(tree["model"])
    if "chat_template" in model:
        model["chat_template"] = _absolute(model["chat_template"], folder)
    output = tree["run"].get("output_dir", f"runs/{tree['run']['name']}")
    files = {name: located(tree["data"][name], folder) for name in ("train_file", "golden_file")}
    return Config(
        path=path,
        run=Run(**tree["run"] | {"output_dir": _absolute(output, folder)}),
        model=Model(**model),
        adapter=Adapter(
            method=method,
            lora=Lora(**lora),
            quantization=Quantization(**{"load_in_4bit": method == "qlora"} | adapter.get("quantization", {})),
        ),
        data=Data(**tree["data"] | files),
        training=Training(**tree.get("training", {})),
        generation=Generation(**tree.get("generation", {})),
        container=Container(**tree.get("container", {})),
        budget=Budget(**budget | {"alerts": tuple(budget.get("alerts", Budget.alerts))}),
        contract=tree["contract"],
        gates=policy or None,
        weaker_because=because,
        publishing=Publishing(**publishing),
        notices=notices,
    )
