"""The release record: what an adapter was made of and how it was judged, as values, and as ``release.json``.

Its schema is ``schemas/record.schema.json``.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

import schemas
from gates.canonical import canonical_json
from release.values.as_json import OPTIONAL, Tree, part

VERSION = 3
"""1 had no statements beside it, and less of what was installed and spent; 2 knew one form only."""
_ITSELF = ("record_sha256", "files")


@dataclass(frozen=True, kw_only=True)
class Program:
    name: str
    version: str
    distribution_sha256: str | None = field(default=None, metadata=OPTIONAL)
    """Of the files that were installed, as ``release.running.distribution`` counts them; None in a checkout."""


@dataclass(frozen=True, kw_only=True)
class Base:
    """The base model: which files, and where they come from."""

    base_model_id: str
    revision: str | None
    """The commit on the Hub; None for the embedded base."""
    origin: str
    files: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Project:
    """The repository that the configuration lies in, where that is not this program's own."""

    commit: str
    dirty: bool
    """Whether a tracked file differs from that commit, or one that the release is made of is not in it."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """The code that made it, and the user's own commit."""

    commit: str | None
    dirty: bool | None
    locks_sha256: str
    code_sha256: str
    project: Project | None = field(default=None, metadata=OPTIONAL)


@dataclass(frozen=True, kw_only=True)
class Rows:
    """One of the datasets."""

    sha256: str
    rows: int
    file: str | None
    """Where the release holds them; None where no licence allows to give them away."""


@dataclass(frozen=True, kw_only=True)
class Data:
    train: Rows | None
    """None where an adapter was trained elsewhere, on rows that are not known."""
    golden: Rows
    source: str | None
    license: str | None = None
    tuning: Rows | None = field(default=None, metadata=OPTIONAL)
    """What it was evaluated by while it trained; None where it was not."""

    def of(self, kind: str) -> Rows | None:
        """``train``, ``tuning`` or ``golden``."""
        return {"train": self.train, "tuning": self.tuning, "golden": self.golden}[kind]


@dataclass(frozen=True, kw_only=True)
class Tensor:
    dtype: str
    shape: list[int]
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Adapter:
    """The judged files."""

    sha256: str
    """Of their manifest."""
    files: Mapping[str, str]
    tensors: Mapping[str, Tensor]


@dataclass(frozen=True, kw_only=True)
class Gpu:
    name: str
    compute_capability: str
    cuda: str
    driver: str


@dataclass(frozen=True, kw_only=True)
class Hardware:
    machine: str
    cpu: str
    cpu_capability: str
    threads: int
    gpu: Gpu | None


@dataclass(frozen=True, kw_only=True)
class Arithmetic:
    """The settings that decide how numbers are rounded and summed, as torch had them."""

    deterministic_algorithms: bool
    float32_matmul_precision: str
    onednn: bool
    cudnn_benchmark: bool
    cudnn_deterministic: bool
    environment: Mapping[str, str]
    nondeterministic: list[str] | None = field(default=None, metadata=OPTIONAL)


CURVES = {"learning_rate": "learning rate", "grad_norm": "norm of the gradient, before it is clipped"}
"""What the Trainer logs with each loss that the same training gives again to the bit, in words: no times, no speed."""


@dataclass(frozen=True, kw_only=True)
class Evaluated:
    """What was measured on tuning rows while it trained, and what followed."""

    metrics_sha256: str
    """Of ``training_metrics.json``."""
    best_step: int | None
    """The step whose state of the adapter was kept, by ``training.metric_for_best_model``; None: the last."""
    stopped_early: bool


@dataclass(frozen=True, kw_only=True)
class Intervention:
    """A step at which training went wrong, and where it went back to."""

    step: int
    measure: str
    """loss, grad_norm, eval_loss or eval_json_parse."""
    value: float | None
    """None: not finite."""
    limit: float | None
    back_to: int
    """The step after which training went on; 0 is the beginning."""
    learning_rate: float
    """The highest of the schedule from there on."""


@dataclass(frozen=True, kw_only=True)
class Training:
    lora_init_sha256: str
    steps: int
    losses: list[tuple[int, float]]
    """Step and loss, as logged."""
    tokens: int
    trainable_parameters: int
    resumed_from_step: int | None
    seconds: float
    peak_memory_bytes: int
    hardware: Hardware
    versions: Mapping[str, str]
    image_digest: str | None = None
    gpu_peak_memory_bytes: int | None = None
    packages: Mapping[str, str] | None = field(default=None, metadata=OPTIONAL)
    arithmetic: Arithmetic | None = field(default=None, metadata=OPTIONAL)
    over: list[str] | None = field(default=None, metadata=OPTIONAL)
    """The precisions of the frozen base, which alternated from step to step."""
    curves: Mapping[str, list[tuple[int, float]]] | None = field(default=None, metadata=OPTIONAL)
    """Step and value of what else is logged with the loss, by the trainer's names."""
    processes: int | None = field(default=None, metadata=OPTIONAL)
    """How many trained it together, each with batches of its own; None for one alone."""
    machines: list[str] | None = field(default=None, metadata=OPTIONAL)
    """Each kind of machine on which it was made, where a start went on on another kind; None for one."""
    evaluation: Evaluated | None = field(default=None, metadata=OPTIONAL)
    interventions: list[Intervention] | None = field(default=None, metadata=OPTIONAL)
    """How often training went back because it diverged; None: never."""


@dataclass(frozen=True, kw_only=True)
class ReproduceWith:
    """How its publisher says that it was trained; nobody checked it until it is reproduced."""

    command: list[str]
    image: str | None
    lock: str | None
    files: Mapping[str, str]
    """sha256 of each file that the command needs, the lock among them."""


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Where an adapter comes from that was trained elsewhere: what its files say, which nobody checked."""

    form: str
    """What it was brought as: peft, mlx or gguf."""
    source: str | None
    """``hf://REPO@COMMIT``; None for files of the publisher's own disk."""
    weights_sha256: str
    """Of the weights as they were brought; another than the published ones where they were converted."""
    tool: str | None
    tool_version: str | None
    base: str | None
    """The base's name in its own settings; ``local-path`` for a path."""
    revision: str | None
    told: Mapping[str, str]
    """Settings of its training, as found."""
    files: Mapping[str, str]
    """sha256 of each file that was looked at, as it was brought."""
    chat_template: str
    """Whose it was judged with: the base's, the adapter's, or one that the configuration names."""
    unknown: list[str]
    """What none of its files tells."""
    reproduce_with: ReproduceWith | None = field(default=None, metadata=OPTIONAL)
    """None where its publisher did not say how it was trained."""


@dataclass(frozen=True, kw_only=True)
class Decoding:
    do_sample: bool
    max_new_tokens: int
    batch_size: int
    constraint: str | None
    """What decoding was held to; None where it was free."""


@dataclass(frozen=True, kw_only=True)
class End:
    """A token that ends an answer."""

    id: int
    token: str


@dataclass(frozen=True, kw_only=True)
class Chat:
    """How it was asked, beside the published chat template."""

    chat_template_sha256: str
    chat_template_kwargs: Tree
    ends: list[End]
    changed: list[str]
    """What is otherwise than in the base's own template, a sentence each."""


@dataclass(frozen=True, kw_only=True)
class Quantization:
    load_in_4bit: bool
    bnb_4bit_quant_type: str
    bnb_4bit_use_double_quant: bool
    bnb_4bit_compute_dtype: str


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """How the base was loaded under the adapter, in transformers' names."""

    dtype: str
    quantization: Quantization | None
    dequantized: bool
    """Turned back into ``dtype`` once: the same numbers, faster on a CPU."""
    device: str
    attn_implementation: str | None = field(default=None, metadata=OPTIONAL)
    """How it computes attention, where the configuration says it; else as transformers chooses."""
    device_map: str | None = field(default=None, metadata=OPTIONAL)
    """How its layers were put on all cards there were; None: one card or the processor had all of it."""


@dataclass(frozen=True, kw_only=True)
class Generation:
    adapter_sha256: str
    answers_sha256: str
    prompts_sha256: str
    decoding: Decoding
    seconds: float
    tokens: int
    peak_memory_bytes: int
    hardware: Hardware
    versions: Mapping[str, str]
    image_digest: str | None = None
    gpu_peak_memory_bytes: int | None = None
    base_answers_sha256: str | None = field(default=None, metadata=OPTIONAL)
    base_seconds: float | None = field(default=None, metadata=OPTIONAL)
    base_answers_reused: bool | None = field(default=None, metadata=OPTIONAL)
    processes: int | None = field(default=None, metadata=OPTIONAL)
    """How many shared the questions; None for one."""
    cards: int | None = field(default=None, metadata=OPTIONAL)
    """On how many cards the base of each process lay; None for one, or a processor."""
    chat: Chat | None = field(default=None, metadata=OPTIONAL)
    loaded: Loaded | None = field(default=None, metadata=OPTIONAL)
    packages: Mapping[str, str] | None = field(default=None, metadata=OPTIONAL)
    arithmetic: Arithmetic | None = field(default=None, metadata=OPTIONAL)


@dataclass(frozen=True, kw_only=True)
class Answering:
    """How it answered in a form, by any engine."""

    adapter_sha256: str
    answers_sha256: str
    prompts_sha256: str
    decoding: Decoding
    chat: Chat
    loaded: Tree
    """What answered, in the engine's own words."""
    seconds: float
    tokens: int
    versions: Mapping[str, str]
    processes: int | None = field(default=None, metadata=OPTIONAL)
    cards: int | None = field(default=None, metadata=OPTIONAL)
    """On how many cards the base of each process lay, in transformers; None for one."""
    packages: Mapping[str, str] | None = field(default=None, metadata=OPTIONAL)
    hardware: Hardware | None = field(default=None, metadata=OPTIONAL)
    """None where an address answered: nobody knows what stands behind it."""
    arithmetic: Arithmetic | None = field(default=None, metadata=OPTIONAL)
    image_digest: str | None = None


@dataclass(frozen=True, kw_only=True)
class Parity:
    """How far llama.cpp's probabilities are from those of the weights that its file was made of, in transformers.

    At the first tokens of the answers to the first golden rows, each given the same tokens before it.
    """

    rows: int
    tokens: int
    """Over all of these rows."""
    mean_kl: float
    """Of llama.cpp's probabilities from transformers', in nats: what is lost by believing llama.cpp's."""
    max_kl: float
    same_first: int
    """Tokens at which both find the same token the most probable."""


@dataclass(frozen=True, kw_only=True)
class Ollama:
    """Ollama's Modelfile for what a form loads."""

    file: str | None
    """Its name in ``exports/``; None where there can be none."""
    sha256: str | None
    context: int
    """Tokens that it makes room for."""
    adds: str
    """What llama.cpp puts before a prompt by itself."""
    why_not: str | None
    """Why Ollama's templates cannot write what was judged."""


@dataclass(frozen=True, kw_only=True)
class Form:
    """A form in which it is served, judged beside the one it was trained in."""

    settings: Tree
    """As under ``serving`` in release.yaml, with every default."""
    passed: bool
    """Whether every required gate passes in it."""
    verdict_sha256: str
    comparison_sha256: str
    answering: Answering
    files: Mapping[str, str]
    """sha256 of what was made for it from the judged weights, by name in ``exports/``."""
    parity: Parity | None = field(default=None, metadata=OPTIONAL)
    """None where llama.cpp loads no file of its own, and in earlier records."""
    ollama: Ollama | None = field(default=None, metadata=OPTIONAL)
    """Likewise; and where an answer is held to a grammar, which no Modelfile can say."""

    @property
    def exports(self) -> Mapping[str, str]:
        """sha256 of all that is in ``exports/`` for it."""
        told = self.ollama
        return {**self.files, told.file: told.sha256} if told and told.file and told.sha256 else self.files


@dataclass(frozen=True, kw_only=True)
class Determinism:
    seed: int
    threads: int
    deterministic_algorithms: bool
    environment: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Cost:
    amount: float
    currency: str


@dataclass(frozen=True, kw_only=True)
class Spent:
    """Training and answering together; energy and cost are estimates that say how they were come by."""

    seconds: float
    tokens: int
    peak_memory_bytes: int
    energy_kwh: float | None
    cost: Cost | None
    energy_how: str | None = field(default=None, metadata=OPTIONAL)
    cost_how: str | None = field(default=None, metadata=OPTIONAL)


@dataclass(frozen=True, kw_only=True)
class PreviousRelease:
    tag: str
    commit: str
    record_sha256: str | None
    kept: bool
    """Whether its answers are in this release, under its commit."""
    rows: int
    """Golden rows that are the same as then."""
    not_compared: str | None
    """Why it was not compared with."""
    gates: Mapping[str, tuple[int, int]] | None = field(default=None, metadata=OPTIONAL)
    """How many rows were right, of how many, for each gate by its own verdict."""


@dataclass(frozen=True, kw_only=True)
class Previous:
    """The releases that were there before, oldest first."""

    releases: list[PreviousRelease]
    weaker: list[str]
    """Every way in which less is required than by the last release."""
    comparisons: Mapping[str, str]
    """sha256 of each comparison with them, by the name of its file under ``gates/``."""


@dataclass(frozen=True, kw_only=True)
class PeoplesWord:
    """What people said of a sample of the answers."""

    sha256: str
    """Of the file of their answers."""
    state: str
    k: int
    n: int
    reviewers: int


@dataclass(frozen=True, kw_only=True)
class Pruned:
    """How a try of a search was ended before its end."""

    step: int
    """The one after whose evaluation it ended."""
    limit: float
    """The median of the losses there of the tries before; its own best so far is above."""
    losses: list[tuple[int, float]]
    """Step and loss of the tuning rows."""


@dataclass(frozen=True, kw_only=True)
class Searched:
    """What suggested the tries, and from what."""

    optuna: str
    """Its version."""
    space: Tree
    n_trials: int
    sampler: str
    seed: int
    n_startup_trials: int
    pruner: str


@dataclass(frozen=True, kw_only=True)
class Try:
    """A training that was tried, judged on the tuning rows alone."""

    name: str
    """Its number from 1; of another seed ``seed-N``."""
    changes: Tree
    """What is otherwise than in the configuration as it was written, by dotted key."""
    passed: bool
    refused_by: list[str]
    """Each threshold that was not met on the tuning rows, or why there is no adapter."""
    gates: Mapping[str, tuple[int, int]]
    """k of n tuning rows, of each required gate."""
    steps: int
    tokens: int
    seconds: float
    """Of training and of answering the tuning rows."""
    adapter_sha256: str | None = None
    """None where training ended without one."""
    answers_sha256: str | None = None
    metrics_sha256: str | None = None
    loss: float | None = field(default=None, metadata=OPTIONAL)
    """In a search: of the tuning rows, by the adapter."""
    pruned: Pruned | None = field(default=None, metadata=OPTIONAL)


@dataclass(frozen=True, kw_only=True)
class Tries:
    """All that was tried before the golden set was asked."""

    planned: int
    """Tries that the configuration lists, as far as its budget and this machine's memory let them be made."""
    every_seed_passes: bool
    tries: list[Try]
    """In the order in which they were made; the last is this adapter."""
    seeds: list[Try]
    """The same training with other seeds."""
    left_out: list[str]
    """Which of those listed were not to be made, and why."""
    search: Searched | None = field(default=None, metadata=OPTIONAL)
    """None where the tries were listed."""


@dataclass(frozen=True, kw_only=True)
class Record:
    record: int
    program: Program
    name: str
    config: Tree
    """release.yaml with every default; its paths are those of this release."""
    base: Base
    source: Source
    policy_sha256: str
    data: Data
    adapter: Adapter
    training: Training | None
    """None where it was trained elsewhere; ``origin`` says what is known then."""
    generation: Generation
    verdict_sha256: str
    passed: bool
    attempt: int
    """Which adapter this is of all that were judged on this golden set."""
    determinism: Determinism
    image_digest: str | None
    """The image that both stages ran in."""
    spent: Spent
    record_sha256: str = ""
    """Of the canonical JSON of all but this and ``files``."""
    comparison_sha256: str | None = field(default=None, metadata=OPTIONAL)
    earlier: Previous | None = field(default=None, metadata=OPTIONAL)
    origin: Origin | None = field(default=None, metadata=OPTIONAL)
    """Where it was trained, if not by this program."""
    forms: Mapping[str, Form] | None = field(default=None, metadata=OPTIONAL)
    """By name; records before version 3 have none."""
    review: PeoplesWord | None = field(default=None, metadata=OPTIONAL)
    """None where its policy asks nobody, or nobody answered yet."""
    tries: Tries | None = field(default=None, metadata=OPTIONAL)
    """None where one training was asked for."""
    files: Mapping[str, str] | None = field(default=None, metadata=OPTIONAL)
    """sha256 of every file published beside this record."""

    def has(self, section: str, name: str) -> bool:
        """Whether the recorded configuration holds a setting, whatever its value."""
        within = self.config.get(section)
        return not isinstance(within, dict) or name in within

    @property
    def judged_by(self) -> tuple[str, ...]:
        """The kinds of rows that its verdicts are derived from: the golden ones, and those that chose among tries."""
        return ("golden", "tuning") if self.tries else ("golden",)

    def publishes(self, kind: str) -> bool:
        """Whether its release holds the rows of a kind."""
        facts = self.data.of(kind)
        return facts is not None and facts.file is not None

    @property
    def ran(self) -> Training | Generation:
        """The stage that made it, as far as machine and libraries are concerned; answering, where it was imported."""
        return self.training or self.generation

    @property
    def threads(self) -> int:
        """What ``run.threads`` says for the processes of each stage to compute with as many again."""
        shared = [(one.hardware.threads, one.processes or 1) for one in (self.ran, self.generation)]
        return max(
            threads * processes if threads > 1 else 1 for threads, processes in shared
        )  # one is the least of any

    @property
    def early(self) -> bool:
        """Whether it was made before records said in which batches it was answered; such cards and checks had less."""
        return not self.has("generation", "batches")

    def setting(self, section: str, name: str) -> object:
        """A value of the recorded configuration; None where it has none."""
        within = self.config.get(section)
        return within.get(name) if isinstance(within, dict) else None


def read(value: object) -> Record:
    """The record that a JSON value is; ``ValueError`` with every problem if it is not one."""
    if wrong := problems(value):
        raise ValueError("it is not a record: " + "; ".join(wrong))
    assert isinstance(value, dict)
    return known(value)


def known(value: Tree) -> Record:
    """The record that a JSON value is which has no ``problems``."""
    data = value["data"]
    assert isinstance(data, dict)
    # the first releases spelt it so
    return part(Record, {**value, "data": {"license": data.get("licence"), **data}})


def digest(value: Tree) -> str:
    """sha256 of a record's own content; ``files`` are left out, for each of them is checked against its file."""
    content = {name: one for name, one in value.items() if name not in _ITSELF}
    return hashlib.sha256(canonical_json(content)).hexdigest()


def is_origin(value: object) -> bool:
    """Whether a JSON value is what the schema says of ``origin``."""
    return _is("origin", value)


def is_tries(value: object) -> bool:
    """Whether a JSON value is what the schema says of ``tries``."""
    return _is("tries", value)


def _is(name: str, value: object) -> bool:
    from jsonschema import Draft202012Validator

    schema = schemas.load("record")
    return bool(Draft202012Validator({**schema["properties"][name], "$defs": schema["$defs"]}).is_valid(value))


def problems(value: object) -> list[str]:
    """Where a JSON value is not what a record's schema says, or its own digest is another."""
    return checked(value, "record", VERSION)


def checked(value: object, what: str, known: int) -> list[str]:
    """The same of what has the schema ``what`` and says its version under that name, of which ``known`` is the last."""
    from jsonschema import Draft202012Validator

    version = value.get(what, known) if isinstance(value, dict) else known
    if isinstance(version, int) and version > known:
        named = f"a{'n' if what[0] in 'aeiou' else ''} {what}"
        return [f"it is {named} of version {version}, this program knows {known}: use a newer adapter-release"]
    found = [
        f"{'.'.join(map(str, error.absolute_path)) or f'the {what}'}: {error.message[:200]}"
        for error in Draft202012Validator(schemas.load(what)).iter_errors(value)
    ]
    if not found and isinstance(value, dict) and digest(value) != value["record_sha256"]:
        found.append(f"its content has sha256 {digest(value)}, it says {value['record_sha256']}")
    return found
