"""Stages of one kind side by side: so many at once, each with cards of its own, and heard in the order of the list.

Who asks decides by that order alone. A stage that ends sooner than one before it waits for its turn.
"""

import contextlib
import queue
import threading
import time
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from gates.shown import counted
from release.config import ladder
from release.config.settings import Config, Container
from release.running import child, container, environment, kept, machine
from release.values.errors import GatesFailed
from release.values.events import Event, Line, Progress, Say

if TYPE_CHECKING:
    from subprocess import Popen

SEVERAL = 2
"""At a time, at the least: by one nothing is side by side."""
LATE = child.NOTICE + 3
"""Seconds for a stage to end that was told to: its own child has all but the last of them."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """One stage that is asked for."""

    name: str
    """What its events are told under."""
    arguments: tuple[Path, ...]
    log: Path
    done: bool = False
    """Whether nothing is left to do: then no process is started."""


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a stage ended."""

    seconds: float
    why: BaseException | None = None
    """What its process raised; None where it did what it was asked."""


Heard = queue.SimpleQueue[tuple[int, Event | Ended]]


@dataclass(frozen=True, kw_only=True)
class _Work:
    """A stage at work, and the thread that listens to it."""

    job: Job
    thread: threading.Thread
    share: Mapping[str, str]
    ending: threading.Event = field(default_factory=threading.Event)
    processes: list["Popen[bytes]"] = field(default_factory=list)


def shares(many: int, each: int, wanted: Container) -> tuple[Mapping[str, str], ...]:
    """The variables of so many stages, by which each has so many cards to itself; none on a machine without."""
    if container.find_gpu(wanted).gpu is None:
        return ({},) * many
    return machine.shares(many, each)


def fewer(many: int) -> str:
    """What to do where there is no room for so many at a time."""
    return f"{'lower' if many > SEVERAL else 'take out'} tries.side_by_side"


def told(config: Config, gpu: machine.Gpu | None) -> str:
    """What each of the tries of a configuration has that are trained at once."""
    many = ladder.at_once(config)
    if gpu is not None:
        return f"{many} tries at a time, each with a card to itself"
    threads = environment.share(config.run.threads, many)
    return f"{many} tries at a time, each with {counted(threads, 'thread')}, and all that follows with as many"


def problems(config: Config, cards: Sequence[machine.Found]) -> list[str]:
    """Why so many tries cannot be trained at once and come to what each would alone."""
    if any(one.problem for one in cards):
        return []  # said of the driver
    if any(one.gpu for one in cards):
        return machine.unlike(cards, machine.BESIDE)
    many, threads = ladder.at_once(config), environment.threads(config.run.threads)
    if threads >= many:
        return []
    what = f"tries.side_by_side is {many}, and there are {counted(threads, 'thread')} to share and no card"
    lower = f"Lower it to {threads} at most, or take" if threads >= SEVERAL else "Take"
    return [f"{what}. {lower} it out, or raise run.threads."]


def in_order(stage: str, jobs: Iterable[Job], shared: Sequence[Mapping[str, str]], say: Say) -> Generator[Ended]:
    """How each ended, in the order of ``jobs``; as many are at work as are ``shared``.

    Close it to end those that are still at work: each is told by SIGTERM, and keeps what it has. Once one has ended
    otherwise than by a verdict, no further one is begun. What keeps one from being begun is raised at its turn,
    if that comes.
    """
    heard: Heard = queue.SimpleQueue()
    faults = list[Exception]()
    coming, free, turn, ill = _numbered(jobs, faults), list(shared), 0, False
    at_work, ended = dict[int, _Work](), dict[int, Ended]()
    try:
        while True:
            if turn in ended:
                yield ended.pop(turn)
                turn += 1
            elif free and not ill and (following := next(coming, None)):
                number, job = following
                if job.done:
                    ended[number] = Ended(seconds=0.0)
                else:
                    at_work[number] = _started(stage, number, job, free.pop(), heard)
            elif at_work:
                number, said = heard.get()
                if isinstance(said, Ended):
                    ended[number] = said
                    free.append(at_work.pop(number).share)
                    ill = ill or (said.why is not None and not isinstance(said.why, GatesFailed))
                else:
                    say(_told(at_work[number].job, said))
            elif faults:
                raise faults[0]
            else:
                return
    finally:
        _end(at_work, heard, say)


def _numbered(jobs: Iterable[Job], faults: list[Exception]) -> Iterator[tuple[int, Job]]:
    """Each with its number, up to one that cannot be made: why goes to ``faults``."""
    try:
        yield from enumerate(jobs)
    except Exception as error:  # noqa: BLE001  it is raised where its turn is
        faults.append(error)


def _started(stage: str, number: int, job: Job, share: Mapping[str, str], heard: Heard) -> _Work:
    def work() -> None:
        begun, why = time.monotonic(), None
        try:
            child.call(
                stage,
                *map(str, job.arguments),
                say=lambda event: heard.put((number, event)),
                log=job.log,
                env={**child.STAGE, **kept.to_reach_an_engine(), **share},
                started=started,
            )
        except BaseException as error:  # noqa: BLE001  it is raised where its turn is
            why = error
        heard.put((number, Ended(seconds=round(time.monotonic() - begun, 1), why=why)))

    def started(process: "Popen[bytes]") -> None:
        one.processes.append(process)
        if one.ending.is_set():
            process.terminate()

    # The kernel ends a process with the thread that started it: this one waits until it has ended.
    one = _Work(job=job, thread=threading.Thread(target=work, daemon=True), share=share)
    one.thread.start()
    return one


def _told(job: Job, event: Event) -> Event:
    """What a stage says, under its name."""
    match event:
        case Progress():
            return Progress(name=f"{job.name}, {event.name}", done=event.done, total=event.total)
        case Line(text=text):
            return Line(text=f"  {job.name}: {text.strip()}")
        case _:
            return Line(text=f"  {job.name}: {event.name} {event.note}".rstrip())


def _end(at_work: Mapping[int, _Work], heard: Heard, say: Say) -> None:
    """End what is at work: by SIGTERM, and after a while without asking."""
    late = threading.Timer(LATE, _each, [at_work, "kill"])
    late.daemon = True
    late.start()
    try:
        for work in at_work.values():
            work.ending.set()
        _each(at_work, "terminate")
        for work in at_work.values():
            work.thread.join()
    finally:
        late.cancel()
    with contextlib.suppress(queue.Empty):
        while True:
            number, said = heard.get_nowait()
            if isinstance(said, Line) and number in at_work:
                say(_told(at_work[number].job, said))


def _each(at_work: Mapping[int, _Work], how: Literal["terminate", "kill"]) -> None:
    for work in at_work.values():
        for process in work.processes:
            process.terminate() if how == "terminate" else process.kill()
