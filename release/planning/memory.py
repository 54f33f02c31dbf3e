"""Whether cards and host have the memory that a run loads: training, answering, merging, writing files.

Each is an item of its own, and says what to do where there is too little.
"""

from dataclasses import dataclass

from gates.shown import counted
from release.config import ladder
from release.config.settings import Config, Form
from release.inputs import Inputs
from release.models import generate, spread
from release.models.architecture import Architecture
from release.planning import estimates, forecast
from release.planning.estimates import Estimate
from release.planning.forecast import ToLoad
from release.planning.item import Item, items_of
from release.running import beside, container, machine
from release.running.machine import GIB, Gpu
from release.values import layout
from release.values.errors import PreflightError

SPARE = 1.15  # the plan's own tolerance
RAISE = "raise container.memory_gib"


@dataclass(frozen=True, kw_only=True)
class _Room:
    """What stages may take of the host's memory."""

    free: int | None
    says: str
    more: str
    """What to do where it is too little."""


def _host(config: Config, at_once: int = 1) -> _Room:
    """The room for so many stages at a time: what is available, and what their containers may take of it."""
    available, limit = machine.available_memory(), container.memory(config.container)
    limits = [] if limit is None else [limit * at_once]
    free = min([*limits, *([] if available is None else [available])], default=None)
    if free is None:
        return _Room(free=None, says="this system does not say how much is free", more="")
    if free in limits:
        says = f"container.memory_gib leaves {free / GIB:.1f} GiB of memory"
        return _Room(free=free, says=says, more=RAISE)
    says = f"{free / GIB:.1f} GiB of memory are available"
    return _Room(free=free, says=says, more="take a machine with more memory")


def look(found: Inputs, built: Architecture | None, gpu: Gpu | None, at_once: int = 1) -> list[Item]:
    """Whether there is memory for so many trainings at once, which share the machine's where each has no card."""
    try:
        estimated = forecast.estimate(found, built, cuda=gpu is not None, cards=_each(found.config)[1] if gpu else 1)
    except PreflightError as unknown:
        return [not_known(unknown)]
    room, sharing = _host(found.config, at_once), list[Item]()
    free = gpu.free if gpu else room.free
    if gpu and built and found.config.training.fsdp:
        sharing = _sharing_items(found, built, room, at_once)
    if free is None:
        says = f"nvidia-smi does not say how much {gpu.name} has free" if gpu else room.says
        of_the_host = _loading_items(found, built, gpu, free, estimated) if built and gpu else []
        return [Item(name="memory", state="not checked", says=says), *sharing, *of_the_host]
    many = 1 if gpu else at_once
    needed = estimated.memory * SPARE * many
    where = f"{gpu.name} has {free / GIB:.1f} GiB free" if gpu else room.says
    first = [beside.fewer(many)] if many > 1 else []
    first += [RAISE] if not gpu and room.more == RAISE else []
    what, remedies = (
        f"{where}, {needed / GIB:.1f} GiB are needed{f' for {many} tries at a time' if many > 1 else ''}",
        "; ".join([*first, *estimates.remedies(estimated, found.config)]),
    )
    short = f"{what}: the run would be killed. Do one of: {remedies}." if free < needed else ""
    training = [*items_of("memory", [short] if short else [], what), *sharing]
    if built and gpu:
        return [*training, *_loading_items(found, built, gpu, free, estimated)]
    return [*training, *_answering_items(found, built, room, many)]


def not_known(why: PreflightError) -> Item:
    """What is said where the base cannot be built, and so nobody knows its size."""
    return Item(name="memory", state="not checked", says=str(why).partition(". ")[0])


def _sharing_items(found: Inputs, built: Architecture, room: _Room, at_once: int) -> list[Item]:
    """Whether the host has room while a base is shared out: every process of every try at a time loads all of it."""
    name = "memory to share out"
    if room.free is None:
        return [Item(name=name, state="not checked", says=room.says)]
    config, needed = found.config, forecast.to_share_out(found, built) * SPARE * at_once
    many = (config.training.processes or 1) * at_once
    what = f"{needed / GIB:.1f} GiB of the host's memory for {many} processes that each load all of the base"
    remedies = [
        *([beside.fewer(at_once)] if at_once > 1 else []),
        *([] if config.adapter.quantization.load_in_4bit else ["set adapter.method: qlora"]),
        "lower training.processes, if fewer cards hold the shares",
        room.more,
    ]
    short = (
        f"{room.says}, and training.fsdp needs {what}, before they share it out: the kernel would kill them. "
        f"Do one of: {'; '.join(remedies)}."
    )
    return items_of(name, [short] if room.free < needed else [], what)


def _answering_items(found: Inputs, built: Architecture | None, room: _Room, at_once: int) -> list[Item]:
    """Whether there is room for every process that answers, on a machine without a card."""
    many = found.config.generation.processes
    if built is None or many is None or room.free is None:
        return []
    needed = forecast.answering(found, built).memory * SPARE * at_once
    what = f"{needed / GIB:.1f} GiB for {many * at_once} processes that answer"
    short = f"{room.says}, and {what} are needed. Lower generation.processes."
    return items_of("memory to answer", [short] if room.free < needed else [], what)


def _each(config: Config) -> tuple[int, int]:
    """How many processes answer here, and how many cards each of them has; tries at once have cards of their own."""
    processes, cards = generate.shared(config.generation, Form())
    if ladder.at_once(config) > 1:
        cards = min(cards, ladder.processes(config))
    return processes, max(1, cards // processes)


def cards_each(config: Config) -> str:
    """The cards that each process has which answers, in words."""
    processes, each = _each(config)
    return f"{counted(each, 'card')} for each of {processes} processes" if processes > 1 else counted(each, "card")


def _loading_items(found: Inputs, built: Architecture, gpu: Gpu, free: int | None, training: Estimate) -> list[Item]:
    """Whether there is room to answer in each form, for which all of the base is loaded, and to make files of it.

    Of cards nothing is said where training needs as much of them, or where nobody knows what they have free.
    """
    config, room, items = found.config, _host(found.config), list[Item]()
    several = config.generation.device_map
    for load in forecast.to_load(built, config):
        if load.merges and not several:
            needed = load.needed(0).memory * SPARE
            items += _host_items("memory to merge", needed, f"to {load.what}", load, room)
            continue
        cards = spread.to_merge(config.generation) if load.merges else _each(config)[1]
        needed = load.needed(cards).memory
        if needed <= training.memory and not (several or config.training.fsdp):
            continue
        if free is not None:
            items += _card_items(load, config, gpu, free, needed, cards)
        if load.merges:
            written, each = estimates.written_at_once(built), f"to {load.what}, for each file of weights"
            items += _host_items("memory to write", written, each, load, room)
    return items


def _card_items(load: ToLoad, config: Config, gpu: Gpu, free: int, needed: float, cards: int) -> list[Item]:
    """Whether each of so many cards has room for its part of what is loaded."""
    what = f"{needed * SPARE / GIB:.1f} GiB to {load.what}, "
    what += f"on each of {cards} cards" if cards > 1 else "of all of the base on one card"
    short = f"{gpu.name} has {free / GIB:.1f} GiB free, and {what} are needed. Do one of: {_for_more(load, config)}."
    name = "memory to merge" if load.merges else "memory to answer"
    return items_of(name, [short] if free < needed * SPARE else [], what)


def _host_items(name: str, needed: float, to: str, load: ToLoad, room: _Room) -> list[Item]:
    """Whether the host has room to make files: for all of the weights, or for those of one file where cards merge."""
    if room.free is None:
        return [Item(name=name, state="not checked", says=room.says)]
    what = f"{needed / GIB:.1f} GiB of the host's memory {to}"
    short = (
        f"{room.says}, and {what} are needed: the kernel would kill it. "
        f"Do one of: {room.more}; take {', '.join(load.names)} out of serving."
    )
    return items_of(name, [short] if room.free < needed else [], what)


def _for_more(load: ToLoad, config: Config) -> str:
    """What to do where cards cannot hold what judging loads."""
    trained = layout.TRAINED in load.names
    more = f"name more cards in {machine.VISIBLE}"
    remedies = [
        more if config.generation.device_map else f"set generation.device_map: auto, and {more}",
        *(["lower generation.processes"] if config.generation.processes and config.generation.device_map else []),
        *(["set adapter.method: qlora"] if trained and not config.adapter.quantization.load_in_4bit else []),
        *([] if trained else [f"take {', '.join(load.names)} out of serving"]),
        "take cards with more memory",
    ]
    return "; ".join(remedies)
