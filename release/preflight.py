"""What would fail after hours of training, checked in seconds before it starts; all problems at once."""

import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import gates
from gates.report import plan_lines
from release import base as bases
from release import (
    chat_tokens,
    container,
    data_report,
    dataset,
    earlier,
    environment,
    hub_target,
    ledger,
    licences,
    plan,
)
from release.config import Config, Publishing
from release.errors import ConfigError, DataError, PreflightError
from release.events import Line, Say

GIB = 1 << 30
DISK_NEEDED = 3 * GIB  # the embedded base 0.6, checkpoints 0.2, package and Hub 0.1, a downloaded base some 2
MEMORY_NEEDED = 5 * GIB  # where the base is not here yet to plan with; measured peak of the default: docs/figures.md
MEMORY_SPARE = 1.15  # the plan's own tolerance
OLDEST_DRIVER = 580  # CUDA 13.0, which torch is built with here, needs R580 or newer (NVIDIA's compatibility table)
LOOPBACK = ("127.0.0.1", "::1", "localhost")  # a Hub there has one user
EMBEDDED_LICENCE = "apache-2.0"
PRICES = Path(__file__).parent.parent / "prices.json"


@dataclass(frozen=True, kw_only=True)
class Gpu:
    name: str
    free: int
    """Bytes."""
    driver: str


def check(config: Config, hub: Mapping[str, str], say: Say, *, rights: bool = True) -> tuple[earlier.Release, ...]:
    """The releases that are there already. Raises ``PreflightError`` with every problem; says what was not checked.

    Without ``rights`` the Hub is read and no more: whether it may be written to is left to who writes.
    """
    problems, unchecked = look(config)
    if not rights:
        unchecked.append("the token's rights, the repository and the tag: `adapter-release publish` asks the Hub")
    for line in unchecked:
        say(Line(text=f"  not checked: {line}"))
    problems += container.problems(config.container)
    problems += unpinned_problems(config.publishing, pinned=container.used(config.container))
    problems += hub_problems(config, hub, say) if rights else []
    if problems:
        raise PreflightError("\n".join(problems) + "\nNothing was started.")
    before = earlier.fetch(config, hub, say)
    if problem := weaker_problem(config, before, say):
        raise PreflightError(f"{problem}\nNothing was started.")
    return before


def weaker_problem(config: Config, before: Sequence[earlier.Release], say: Say) -> str:
    """Whether less is asked for than by the last release, without a reason; faults of data are the data gate's."""
    try:
        policy = gates.load_policy(gates.DEFAULT_POLICY if config.gates is None else config.gates)
        contract = gates.load_contract(config.contract, config.path.parent)
        golden = dataset.load(config.data.golden_file, config.data.format, config.data.fields)
    except (gates.Invalid, DataError):
        return ""
    now = earlier.now(golden, policy, earlier.contract_files(config.contract, contract))
    earlier.tell(config, before, now, say)
    return earlier.excuses(before, earlier.weaker(before, now), config.weaker_because)


def look(config: Config) -> tuple[list[str], list[str]]:
    """Every problem of this machine and this configuration, and what could not be checked; no network."""
    problems = [*disk_problems(config), *_budget_problems(config), *_policy_problems(config)]
    unchecked = []
    gpus, gpu_problem = find_gpus()
    problems += [gpu_problem] if gpu_problem else []
    folder = base_folder(config)
    licence = EMBEDDED_LICENCE if config.model.source == "embedded" else None
    if folder is None:
        unchecked.append("LoRA target names, chat template and exact memory: the base model is not here yet")
        problems += memory_problems(config, None, gpus)
        if config.model.source == "embedded":
            problems += _wheel_problems()
    else:
        problems += [
            *_target_problems(config, folder),
            *template_problems(folder),
            *memory_problems(config, folder, gpus),
        ]
        licence = licence or _licence(folder)
    if licence is None:
        unchecked.append("the base model's licence: its card is not here or names none. See its page on the Hub")
    wrong = licences.problem(licence, config.publishing.license)
    return problems + ([f"{wrong[:1].upper()}{wrong[1:]}"] if wrong else []), unchecked


def planned(config: Config) -> list[str]:
    """Memory, hours and money of this configuration, on the cards of the price file and here."""
    folder = base_folder(config)
    if folder is None:
        raise PreflightError(
            "The base model is not here yet, and the plan reads its config.json and counts tokens with its tokenizer. "
            "Run `adapter-release release` once: it fetches the base before it trains."
        )
    prices = plan.read_prices(PRICES)
    lines = []
    for cuda in (True, False):
        estimated = estimate(config, folder, cuda=cuda)
        lines += ["on a GPU:" if cuda else "on a CPU:"]
        cards = plan.options(estimated, prices, config.budget.price_per_hour) if cuda else ()
        lines += plan.table(estimated, cards, config.budget.currency)
        if cuda and not all(one.fits for one in cards):
            lines += ["where it does not fit:", *(f"  {line}" for line in plan.remedies(estimated, config))]
        if not cuda:
            threads = environment.threads(config.run.threads)
            lines += [f"  {plan.cpu_hours(estimated, prices, threads):.2f} hours of training with {threads} threads"]
    spent = sum(one.cost for one in ledger.read(config.run.output_dir))
    limit = "no limit" if config.budget.limit is None else f"of {config.budget.limit:.2f}"
    return [*lines, f"spent so far: {spent:.2f} {config.budget.currency}, {limit}"]


def provable(config: Config) -> list[str]:
    """What the golden set can prove under this policy: rows that are missing, and who would slip through."""
    try:
        policy = gates.load_policy(gates.DEFAULT_POLICY if config.gates is None else config.gates)
    except gates.InvalidConfig as error:
        raise ConfigError([f"{config.path.name}: {problem}" for problem in error.problems]) from None
    golden = dataset.load(config.data.golden_file, config.data.format, config.data.fields)
    return [f"{golden.path.name}, {len(golden.rows)} rows:", *plan_lines(gates.plan(golden.rows, policy))]


def options(config: Config) -> dataset.Options:
    """What the data gate may know of this configuration; tokens only where the base model is here."""
    folder = base_folder(config)
    return dataset.Options(
        levels=config.data.checks,
        tokens=None if folder is None else chat_tokens.read(folder),
        max_length=config.data.max_length,
        max_new_tokens=config.generation.max_new_tokens,
        policy=gates.load_policy(gates.DEFAULT_POLICY if config.gates is None else config.gates),
    )


def checked_data(config: Config, folder: Path) -> list[str]:
    """The data gate's report, written to a folder and in lines; ``DataError`` if an error was found."""
    try:
        contract = gates.load_contract(config.contract, config.path.parent)
        known = options(config)
    except gates.InvalidConfig as error:
        raise ConfigError([f"{config.path.name}: {problem}" for problem in error.problems]) from None
    data = config.data
    train, golden = (dataset.load(path, data.format, data.fields) for path in (data.train_file, data.golden_file))
    report = dataset.examine(train, golden, contract, known)
    _, page = data_report.write(report, folder)
    lines = [*data_report.terminal(report), f"The rows, with what is wrong in them marked: {page}"]
    if not report.passed:
        raise DataError("\n".join([*lines, "Nothing was trained. Mend the rows and run again."]))
    return lines


def base_folder(config: Config) -> Path | None:
    """Where the base model's files are, if they are here already."""
    folder = bases.folder_of(config.model)
    return folder if (folder / bases.RECORD).exists() else None


def disk_problems(config: Config) -> list[str]:
    """A line for each disk the run writes to that has too little room."""
    folders = {config.run.output_dir, bases.cache_folder()}
    lines = []
    for folder in sorted(folders):
        existing = next(path for path in (folder, *folder.parents) if path.exists())
        free = shutil.disk_usage(existing).free
        if free < DISK_NEEDED:
            lines.append(
                f"{folder} has {free / GIB:.1f} GiB free, {DISK_NEEDED / GIB:.0f} GiB are needed: the run would end "
                "with a full disk. Free some space, or set run.output_dir or ADAPTER_RELEASE_CACHE to another disk."
            )
    return lines


def memory_problems(config: Config, folder: Path | None, gpus: tuple[Gpu, ...]) -> list[str]:
    """A line if the run needs more memory than is free where it will run."""
    free = gpus[0].free if gpus else _available()
    needed: float = MEMORY_NEEDED
    remedies = ["close other programs, or use a machine with more memory"]
    if folder is not None:
        try:
            estimated = estimate(config, folder, cuda=bool(gpus))
        except PreflightError as error:
            return [str(error)] if gpus else []
        needed, remedies = estimated.memory * MEMORY_SPARE, plan.remedies(estimated, config)
    elif gpus:
        return []
    if free is None or free >= needed:
        return []
    where = f"{gpus[0].name} has {free / GIB:.1f} GiB free" if gpus else f"{free / GIB:.1f} GiB of memory are available"
    return [f"{where}, {needed / GIB:.1f} GiB are needed: the run would be killed. Do one of: {'; '.join(remedies)}."]


def estimate(config: Config, folder: Path, *, cuda: bool) -> plan.Estimate:
    """What this configuration needs over the base model in a folder, by the real lengths of its rows."""
    train = dataset.load(config.data.train_file, config.data.format, config.data.fields)
    tokens = chat_tokens.read(folder)
    measured = [tokens.measure(row.prompt, row.gold or "") for row in train.rows]
    lengths = [(one.prompt, one.total) for one in measured]
    load = plan.load_of(lengths, len(train.rows), config.data.max_length)
    return plan.estimate(plan.read_shape(folder / "config.json"), config, load, cuda=cuda)


def _available() -> int | None:
    """Bytes of memory that a new process can have; None where the system does not say."""
    meminfo = Path("/proc/meminfo")
    if not meminfo.exists():
        return None
    sizes = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in meminfo.read_text("utf-8").splitlines()}
    return sizes["MemAvailable"]


def find_gpus() -> tuple[tuple[Gpu, ...], str]:
    """The NVIDIA cards of this machine, and what keeps them from being used."""
    if not list(Path("/dev").glob("nvidia[0-9]*")):
        return (), ""
    query = ["nvidia-smi", "--query-gpu=name,memory.free,driver_version", "--format=csv,noheader,nounits"]
    try:
        said = subprocess.run(query, capture_output=True, text=True, check=True, timeout=30).stdout
    except (OSError, subprocess.SubprocessError) as error:
        return (), f"There is an NVIDIA card, but nvidia-smi does not answer ({error}). Install or repair its driver."
    gpus = read_gpus(said)
    old = [one for one in gpus if int(one.driver.partition(".")[0]) < OLDEST_DRIVER]
    if old:
        need = f"the driver is {old[0].driver}; CUDA 13 needs {OLDEST_DRIVER} or newer"
        return gpus, f"{old[0].name}: {need}. Update the driver, or hide the card with CUDA_VISIBLE_DEVICES=''."
    return gpus, ""


def read_gpus(said: str) -> tuple[Gpu, ...]:
    """What nvidia-smi printed: name, free MiB, driver."""
    lines = [[part.strip() for part in line.rsplit(",", 2)] for line in said.splitlines() if line.strip()]
    return tuple(Gpu(name=name, free=int(free) << 20, driver=driver) for name, free, driver in lines)


def _budget_problems(config: Config) -> list[str]:
    """Whether anything may still be spent. A price for the machine is looked for when the run starts."""
    budget = config.budget
    try:
        ledger.start(config.run.output_dir, budget, "", "", budget.price_per_hour or 0.0)
    except PreflightError as error:
        return [str(error)]
    return []


def _policy_problems(config: Config) -> list[str]:
    """Gates that this golden set cannot prove, however good the adapter is; faults of its own are the data gate's."""
    try:
        policy = gates.load_policy(gates.DEFAULT_POLICY if config.gates is None else config.gates)
        golden = dataset.load(config.data.golden_file, config.data.format, config.data.fields)
    except (gates.Invalid, DataError):
        return []
    return [
        f"Gate {one.bar.gate} counts {one.n} rows of {config.data.golden_file.name}, so no adapter could pass it. "
        f"Add {one.missing} such rows, or lower gates.{one.bar.gate}."
        for one in gates.plan(golden.rows, policy)
        if one.bar.required and not one.possible
    ]


def _wheel_problems() -> list[str]:
    try:
        bases.embedded_wheel()
    except PreflightError as missing:
        return [str(missing)]
    return []


def _target_problems(config: Config, folder: Path) -> list[str]:
    """LoRA target names that are no module of the base: PEFT skips such a name silently."""
    names = config.adapter.lora.target_modules
    modules = weight_modules(folder)
    if names == ("all-linear",) or not modules:
        return []
    missing = [name for name in names if not any(one == name or one.endswith(f".{name}") for one in modules)]
    if not missing:
        return []
    there = sorted({one.rpartition(".")[2] for one in modules if one.endswith("_proj") or "proj" in one})
    wrong = f"adapter.lora.target_modules names {', '.join(missing)}, which no module of the base model is called"
    return [f"{wrong}. It has {', '.join(there)}."]


def weight_modules(folder: Path) -> set[str]:
    """The modules that own a weight, by the headers of the safetensors files."""
    found = set()
    for path in sorted(folder.glob("*.safetensors")):
        with path.open("rb") as file:
            header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        found |= {name.removesuffix(".weight") for name in header if name.endswith(".weight")}
    return found


def template_problems(folder: Path) -> list[str]:
    """Why the chat template would train on something else than what generation asks for."""
    asked, answer = [{"role": "user", "content": "What is asked?"}], "What is answered."
    try:
        tokens = chat_tokens.read(folder)
        before = tokens.ids(asked, generation_prompt=True)
        whole = tokens.ids([*asked, {"role": "assistant", "content": answer}], generation_prompt=False)
        length = tokens.measure(asked, answer)
    except PreflightError as error:
        return [str(error)]
    name = f"The chat template in {folder.name}"
    problems = []
    if whole[: len(before)] != before:
        problems.append(
            f"{name} writes a prompt otherwise before an answer than with it: what is trained is not asked."
        )
    if not length.learns_to_stop:
        problems.append(f"{name} ends an answer without the end-of-sequence token: the model would never stop.")
    if len(whole) > 1 and whole[0] == whole[1]:
        problems.append(f"{name} begins with token {whole[0]} twice: a doubled beginning-of-sequence token.")
    return [f"{problem} Use another base model, or mend its template." for problem in problems]


def _licence(folder: Path) -> str | None:
    """The licence that the base model's card names."""
    card = folder / "README.md"
    text = card.read_text("utf-8", errors="replace") if card.exists() else ""
    header = re.match(r"---\n(.*?)\n---", text, re.DOTALL)
    named = re.search(r"^license:\s*['\"]?([\w.+-]+)", header[1], re.MULTILINE) if header else None
    return named[1].lower() if named else None


def hub_problems(config: Config, hub: Mapping[str, str], say: Say) -> list[str]:
    """What keeps this token from publishing this tag, asked of the Hub itself."""
    publishing = config.publishing
    request = {
        "do": "check_rights",
        "repo_id": publishing.hf_repo,
        "tag": publishing.tag,
        "private": publishing.private,
        "manifest_digests": [json.loads(path.read_bytes())["manifest_digest"] for path in packed_before(config)],
    }
    with tempfile.TemporaryDirectory() as folder:
        problems: list[str] = hub_target.ask(request, hub, say, Path(folder) / "log")["problems"]
        return problems


def unpinned_problems(publishing: Publishing, *, pinned: bool) -> list[str]:
    """A line if something made outside the pinned image would go to a Hub that others read, without being asked for."""
    elsewhere = urlsplit(publishing.endpoint).hostname not in LOOPBACK and not publishing.endpoint.startswith("file:")
    if pinned or publishing.allow_unpinned or not elsewhere:
        return []
    what = "is for others, but training and answering are not in the pinned container image"
    do = "Start a Docker engine (docs/container.md), or set publishing.allow_unpinned: true; the card will say it."
    return [f"{publishing.hf_repo} on {publishing.endpoint} {what}: no digest names what it was made with. {do}"]


def packed_before(config: Config) -> list[Path]:
    """What earlier runs here set out to publish: a tag that holds one of these is this project's own."""
    return sorted(config.run.output_dir.glob("*/published.json"))
