"""A candidate made by a job on another machine: begun or attached to, watched, brought home, proved, taken away.

The job is remembered in the output folder, so the same command goes on with it: a line that is cut ends nothing.
"""

import contextlib
import json
import re
import shlex
import shutil
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from secrets import token_hex
from typing import IO, Any

from gates.canonical import canonical_json
from gates.shown import printable
from release import two_jobs
from release.config import ladder
from release.config.settings import Config
from release.publishing import candidate_folder, rules
from release.remote import home, line, needs, parcel, there
from release.remote.parcel import Parcel
from release.remote.system import AT_WORK, GONE, NEEDED, System
from release.running import child, lock
from release.values import extras
from release.values.artifacts import write_atomically
from release.values.errors import GatesFailed, PreflightError, ReviewNeeded, Stop
from release.values.events import Line, Say, Stage, tell

ACCOUNT = re.compile("[A-Za-z0-9._-]{0,96}")
STATE, LOG, CAME = "elsewhere.json", "elsewhere.log", "elsewhere.came"
PYTHONS = ((3, 11), (3, 14))
"""The first that runs this code, and the first that is too new."""
LOGGED = 64 << 20  # bytes of a job's words that are kept and shown here
SAID = 1 << 16  # bytes of its last word
SEEN = 4096  # bytes of the log that are shown again to whoever attaches
RARELY = 15.0  # seconds between two questions to a scheduler about a job that waits
FINAL = (0, 2, 3, ReviewNeeded.exit_code)
"""Exit codes after which nothing over there is of any more use; after any other one it goes on from there, and no
adapter is deleted that was refused."""
SIGNALLED = 128
"""What ended with this or more was ended from outside, and is started again."""
ERROR = "error: "


@dataclass(frozen=True, kw_only=True)
class Job:
    """A job that was started, as the output folder remembers it."""

    on: str
    job: str
    """Its name over there."""
    inputs: str
    """Digest of what it was sent."""
    told: bool = False
    """Whether its end was told: the next start is another attempt."""
    account: str = ""
    """Whose it is over there, where the system says so: a token of somebody else's finds it too, or is refused."""
    python: str = ""
    """The Python over there, where one was named."""


@dataclass(frozen=True, kw_only=True)
class Typed:
    """What the command line says besides the configuration and the machine."""

    words: Sequence[str] = ()
    """Those that name this configuration."""
    python: str = ""
    token: str = field(default="", repr=False)
    """Of the Hub that is published to; it is used here alone."""


def candidate(config: Config, to: Path, system: System, say: Say, typed: Typed = Typed()) -> None:
    """A candidate's folder ``to``, made over there and proved here as `publish` does; else the ``Stop`` of why not."""
    to = to.absolute()
    candidate_folder.replaceable(to)
    output = config.run.output_dir
    with lock.held(output):
        known = _known(output, system, typed)
        system = system.of_account(known.account if known else "")
        try:
            say(Stage(name="elsewhere", note=system.name))
            system.check(starts=True)
            account, found = _look(config, system)
            system = system.of_account(account)
            asked = rules.of_config(config, rules.Given(digests={}), say)
            sending = parcel.of(config)
            job = known or Job(on=system.name, job=token_hex(8), inputs=sending.digest)
            job = replace(job, account=job.account or account, python=typed.python)
            at = _at_work(job, system, sending, typed, say)
            if not at.begun:
                needs.check(config, system, found, typed.token, say)
                _begin(replace(job, inputs=sending.digest, told=False), at, output, system, sending, say)
            named = {f"{at.folder}/{name}": str(path) for name, path in {there.MADE: to, **sending.places}.items()}
            with (output / LOG).open("wb" if at.start == 0 else "ab") as log:
                code, word = _follow(job, system, at.start, _shown(named, log, say), say)
        except KeyboardInterrupt as why:
            left = _read(output)
            if left and getattr(why, "number", signal.SIGINT) != signal.SIGHUP:  # a closed terminal ends nothing
                _end(left, output, system, say)
            raise
        _bring_home(job, system, Home(config=config, to=to, rules=asked, code=code, word=word), say)


def end(config: Config, system: System, say: Say, typed: Typed = Typed()) -> None:
    """End the job of this configuration, if there is one, and take away all that it left over there."""
    with lock.held(config.run.output_dir):
        if job := _known(config.run.output_dir, system, typed):
            system.check(starts=False)
            system = system.of_account(job.account)
            _end(job, config.run.output_dir, system, say)
            try:
                with _fetched(job, system, config.run.output_dir) as came:
                    home.count(came, config)
            except line.Cut:
                raise
            except Stop as stop:
                say(Line(text=f"What it judged and spent is not counted here: {stop}"))
            left = _remove(job, config.run.output_dir, system)
            say(Line(text=f"Job {job.job} on {system.name} is ended. {left}"))
        else:
            say(Line(text=f"No job of this configuration is known in {config.run.output_dir}: nothing was done."))


def _look(config: Config, system: System) -> tuple[str, needs.Seen]:
    """The account that it is asked as, where the system says that, and what is there. Only a program is sent by then.

    ``PreflightError`` where the Python over there cannot make a candidate.
    """
    searched = extras.SEARCH if ladder.search(config) else ()
    match line.ask(system, "look", ".", *NEEDED, *searched):
        case {
            "python": [int(major), int(minor), int(micro)],
            "system": str(name),
            "missing": list(missing),
            **more,
        }:
            found = f"{system.python} on {system.name} is Python {major}.{minor}.{micro}"
            if not PYTHONS[0] <= (major, minor) < PYTHONS[1] or name != "Linux":
                raise PreflightError(
                    f"{found} on {name[:20]}, and training needs 3.11 to 3.13 on Linux. Nothing was sent. Name another "
                    "one by --python PATH."
                )
            if missing:
                lacks = ", ".join(str(one)[:40] for one in missing[:8])
                extra = "train,search" if searched else "train"
                raise PreflightError(
                    f"{found} and lacks {lacks}. Nothing was sent. Run there: {system.python} -m pip install "
                    f"'adapter-release[{extra}]'; or name the Python of an environment that has it by --python PATH. "
                    "The code itself is sent."
                )
            account = str(more.get("account", ""))
            return account if ACCOUNT.fullmatch(account) else "", needs.seen(more, system)
        case other:
            raise line.strange(system, other)


def _known(output: Path, system: System, typed: Typed) -> Job | None:
    """The job that was started from here before, if there is one."""
    job = _read(output)
    if job and job.on != system.name:
        raise PreflightError(
            f"{output / STATE} names job {job.job} on {job.on}, not on {system.name}. Go on with it there, or end it "
            f"first: {_to_end(job, typed)}"
        )
    return job


def _to_end(job: Job, typed: Typed) -> str:
    """The command that ends a job of this configuration."""
    python = ["--python", job.python] if job.python else []
    return shlex.join(["adapter-release", "candidate", *typed.words, "--on", job.on, *python, "--end"])


def _read(output: Path) -> Job | None:
    path = output / STATE
    try:
        job = Job(**json.loads(path.read_bytes()))
        sound = re.fullmatch("[0-9a-f]{16}", job.job) is not None and ACCOUNT.fullmatch(job.account) is not None
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise PreflightError(f"{path} cannot be read: {error}. {_MOVE_IT}") from None
    if not sound:
        raise PreflightError(f"{path} names no job of this program. {_MOVE_IT}")
    return job


_MOVE_IT = "A job that it named is not ended by that. Look there for one, and move the file away to start a new job."


def _write(job: Job, output: Path) -> None:
    write_atomically(output / STATE, canonical_json(asdict(job)))


@dataclass(frozen=True, kw_only=True)
class Found:
    """Where over there a job is, and from which byte on its log is to be shown; of its last so many below 0."""

    folder: str
    start: int
    begun: bool


def _at_work(job: Job, system: System, sending: Parcel, typed: Typed, say: Say) -> Found:
    """A job that is at work, or has ended and nobody was told; or one that is to begin."""
    folder = system.folder(job.job)
    seen = _state(system, folder)
    running = seen["runs"] or system.state(job.job) != GONE
    if running or (seen["code"] in range(SIGNALLED) and not job.told):
        if job.inputs != sending.digest:
            raise PreflightError(
                f"Job {job.job} on {job.on} was sent another configuration, rows or code than are here now. Nothing "
                f"was sent. Put them back to go on with it, or end it and remove what it left: {_to_end(job, typed)}"
            )
        say(Line(text=f"  attached to job {job.job}, {'at work' if running else 'which has ended'}"))
        return Found(folder=seen["folder"], start=-SEEN, begun=True)
    return Found(folder=seen["folder"], start=0, begun=False)


def _begin(job: Job, at: Found, output: Path, system: System, sending: Parcel, say: Say) -> None:
    """Send it and start it."""
    folder = system.folder(job.job)
    _write(job, output)  # first: whatever is over there from now on is remembered
    say(Line(text=f"  sending {len(sending.inputs) + len(sending.counted)} files, {sending.size / 1e6:,.1f} MB"))
    line.ask(system, "put", folder, give=sending.write)
    if not system.start(job.job):
        line.ask(system, "start", folder)
    tell(
        say,
        [
            f"  job {job.job} in {at.folder} there; Ctrl-C ends it.",
            "  Where the line is cut or the terminal closed it goes on: type the same command again.",
        ],
    )


def _state(system: System, folder: str) -> dict[str, Any]:
    match line.ask(system, "state", folder):
        case {"runs": bool(runs), "code": int() | None as code, "folder": str(where), "said": str(said)}:
            return {"runs": runs, "code": code, "folder": where, "said": said}
        case other:
            raise line.strange(system, other)


def _follow(job: Job, system: System, at: int, show: Callable[[str], str], say: Say) -> tuple[int, str]:
    """The same of every run of a job that its scheduler starts again after it took the machine away."""
    while True:
        code, word = _follow_a_run(job, system, at, show, say)
        if code < SIGNALLED or not system.scheduled or not _waits_again(job, system, say):
            return code, word
        at = 0


def _waits_again(job: Job, system: System, say: Say) -> bool:
    """Whether a job that was ended from outside is to be started again; comes back when it is, or has gone."""
    waited, waits = False, ""
    while (state := system.state(job.job)) != GONE and _state(system, system.folder(job.job))["code"] is not None:
        if state not in (AT_WORK, waits):
            say(Line(text=f"  the job waits to be started again: {state}"))
            waited, waits = True, state
        time.sleep(1 if state == AT_WORK else RARELY)
    return waited or state != GONE


def _follow_a_run(job: Job, system: System, at: int, show: Callable[[str], str], say: Say) -> tuple[int, str]:
    """Show what the job says until it ends; its exit status, and why it stopped as it said itself."""
    gone, waits, word, ask = 0, "", "", 0.0
    with line.opened(system, "follow", system.folder(job.job), str(at)) as said:
        for one in _answers(said, say):
            match one:
                case {"log": str(text)}:
                    word = show(text)
                case {"code": int(code)}:
                    return code, word
                case {"runs": bool(runs)}:
                    if not runs and time.monotonic() < ask:
                        continue
                    state = AT_WORK if runs else system.state(job.job)
                    gone = gone + 1 if state == GONE else 0
                    if state not in (AT_WORK, GONE, waits):
                        say(Line(text=f"  the job waits: {state}"))
                    waits, ask = state, time.monotonic() + (0 if state in (AT_WORK, GONE) else RARELY)
                    if gone > 1:  # the first may be seen before its last word is
                        raise _is_gone(job, system)
                case other:
                    raise line.strange(system, other)
    raise line.cut(system, "it ended without a word")


def _answers(said: IO[bytes], say: Say) -> Iterator[object]:
    """What is said in lines; of them those are told that are a note of the system's."""
    for one in iter(lambda: said.readline(child.LONGEST + 1), b""):
        match line.read(one):
            case {"note": str(text)}:
                say(Line(text=printable(text)))
            case other:
                yield other


def _shown(named: Mapping[str, str], log: IO[bytes], say: Say) -> Callable[[str], str]:
    """Log and say the lines of a text that comes in pieces; the last of them that say why it stopped, so far.

    Those are held back while nothing follows them: they are told last. Files are called what they are ``named`` here.
    """
    rest, held, last, size = "", list[str](), list[str](), 0

    def show(text: str) -> str:
        nonlocal rest, held, last, size
        *lines, rest = (rest + text).split("\n")
        rest = rest[-SAID:]
        for one in lines:
            one = _as_here(one, named)  # noqa: PLW2901  the same line
            if held and not (one.startswith("  ") and size < SAID):
                tell(say, held)
                held = []
            if one.startswith(ERROR):
                held = last = []
                size = 0
            if held or one.startswith(ERROR):
                held.append(one)
                size += len(one)
            elif log.tell() < LOGGED and not one.startswith("Publish it, where"):
                say(Line(text=one))
            if log.tell() < LOGGED:
                log.write(f"{one}\n".encode("utf-8", "replace"))
                log.flush()
        return "\n".join(last).removeprefix(ERROR)

    return show


def _as_here(text: str, named: Mapping[str, str]) -> str:
    for theirs, ours in named.items():
        text = text.replace(theirs, ours)
    return printable(text)


def _is_gone(job: Job, system: System) -> PreflightError:
    said = _state(system, system.folder(job.job))["said"]
    last = f" It said last: {said[-300:]!r}." if said else ""
    return PreflightError(
        f"Job {job.job} on {system.name} is gone without an exit status: it was killed, its time ran out, or the "
        f"machine went down.{last} Its checkpoints are kept there. Type the same command again: it goes on "
        "at the last one."
    )


@dataclass(frozen=True, kw_only=True)
class Home:
    """Where what was made goes, what it must be, and how the job ended."""

    config: Config
    to: Path
    rules: rules.Rules
    code: int
    word: str


def _bring_home(job: Job, system: System, wanted: Home, say: Say) -> None:
    """Fetch what was made and counted, prove it, take away what is over there; raises what the exit status means."""
    output, code = wanted.config.run.output_dir, wanted.code
    say(Stage(name="bring home", note=system.name))
    try:
        with _fetched(job, system, output, there.MADE) as came:
            _prove(came, wanted, say)
    except Stop as stop:
        if not isinstance(stop, PreflightError):  # it is wrong, and will be: the next start is another attempt
            _write(replace(job, told=True), output)
        raise
    _write(replace(job, told=True), output)
    left = f"What was made is kept on {system.name}, in {system.folder(job.job)}, until --end removes it."
    if code in FINAL:
        try:
            left = _remove(job, output, system)
        except PreflightError as stop:
            left = f"What lies on {system.name} could not be removed, and --end does that: {stop}"
    if code:
        say(Line(text=left))
        why = wanted.word or f"{system.name} did not say why."
        child.end(f"`adapter-release candidate` on {system.name}", code, why, output / LOG)
    holds = f"It was brought to {wanted.to}, and checked as `publish` checks it. {left}"
    tell(say, ["", holds, f"Publish it:  adapter-release publish {wanted.to}"])


def _prove(came: Path, wanted: Home, say: Say) -> None:
    """Count what was judged, and lay what was made in its place if it is what the exit status says."""
    home.count(came, wanted.config)
    if wanted.code == 0:
        two_jobs.prove(came / home.DIST, wanted.rules, say)
    elif wanted.code == ReviewNeeded.exit_code:
        two_jobs.sound(came / home.DIST)
    if wanted.code in (0, GatesFailed.exit_code, ReviewNeeded.exit_code):
        home.lay(came, wanted.to, refused=wanted.code == GatesFailed.exit_code)


@contextlib.contextmanager
def _fetched(job: Job, system: System, output: Path, *made: str) -> Iterator[Path]:
    """What was counted over there, and what was made below these folders, while the block lasts."""
    came = output / CAME
    shutil.rmtree(came, ignore_errors=True)
    came.mkdir()
    try:
        with line.opened(system, "fetch", system.folder(job.job), *made) as stream:
            home.unpack(stream, came)
        yield came
    finally:
        shutil.rmtree(came, ignore_errors=True)


def _end(job: Job, output: Path, system: System, say: Say) -> None:
    """End a job, and keep over there what it finished."""
    keeps = f"up to {there.NOTICE} s, in which it keeps the step it is at"
    say(Line(text=f"  ending job {job.job} on {system.name}: {keeps}"))
    line.ask(system, "end", system.folder(job.job))
    system.cancel(job.job)
    if known := _read(output):
        _write(replace(known, told=True), output)


def _remove(job: Job, output: Path, system: System) -> str:
    """Take all of a job away that has ended, and forget it; what is to be said of that."""
    folder = system.folder(job.job)
    gone = line.ask(system, "remove", folder) == {"there": False}
    (output / STATE).unlink(missing_ok=True)
    return f"Nothing is left on {system.name}." if gone else f"Not all of it could be removed: see {folder} there."
