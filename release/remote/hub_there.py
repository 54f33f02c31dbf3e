"""What the program over there would say, of a job of Hugging Face Jobs: nobody can speak to one, so the Hub is asked.

It runs here as the client of a line, with the token, and says what `there` says: what is sent is put into the job's
bucket, and what the job put there comes home.
"""

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from http import HTTPStatus
from pathlib import Path
from secrets import token_hex
from tempfile import TemporaryDirectory

from release.hub import jobs, session
from release.remote import hf_jobs, home, line, mounted, system, there
from release.remote.hf_jobs import Lent
from release.running import image_source
from release.running.tied import inherited as locks
from release.running.tied import tied
from release.values import bounds, reasons
from release.values.errors import HubError, Stop

MOUNT = "/adapter-release-job"
"""Where a job has its bucket."""
PROGRAM = Path(str(mounted.__file__))
POLL = 5.0  # seconds between two questions to the Hub about a job
LATE = 60.0  # seconds in which the Hub comes to list what was started, and what an ended job put into its bucket
WISHED = 30.0  # seconds in which a wish for the end is to be in the bucket
TRIES = 5  # of what a Hub that fails once must not leave undone
BEGAN = re.compile(r"began-([0-9a-f]{16})(?:-([0-9A-Za-z]{1,64}))?")
"""A file of the bucket: which start of the job is the last, and its number as soon as it is known."""
PASSING = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS)
PRICED = 600.0  # seconds between two words on what a job has cost
TAIL = 50  # lines that are heard again by whoever attaches
OF_A_CODE = 200  # bytes of the file that says how a job ended
_SPEAKS = threading.Lock()


@dataclass(frozen=True, kw_only=True)
class Job:
    """A job as the line is told of it."""

    lent: Lent
    folder: str
    """Where it works over there; its last part is the job's name."""
    where: jobs.Place


def look(one: Job, *_: str) -> None:
    """What the image has; what it lacks is installed there. Where the Hub cannot be asked nothing is said at all."""
    jobs.machine(one.lent.flavor)
    _ready()
    told = {"python": [3, 11, 0], "system": "Linux", "missing": [], "account": one.where.namespace}
    own = one.lent.image != image_source.base_image() or os.environ.get(image_source.BASE_IMAGE)
    has = dict.fromkeys(("engine", "image", "servers"), False)  # a container, which is given no variable
    there.say({**told, **has, **({} if own else {"vllm": False})})


def state(one: Job) -> None:
    found = jobs.files(one.where)
    seen = _last(one, found)
    runs = seen is not None and seen.stage == jobs.RUNNING
    there.say({"runs": runs, "code": _code(one, found), "folder": one.folder, "said": seen.message if seen else ""})


def stage(one: Job) -> None:
    """At which stage it is; empty where it has none any more."""
    seen = _last(one, jobs.files(one.where))
    there.say({"stage": seen.stage if seen and seen.stage in jobs.ALIVE else ""})


def put(one: Job) -> None:
    """Put what is needed into the bucket, and take away what was said of the end of a job before."""
    with TemporaryDirectory() as folder:
        sent = Path(folder) / mounted.SENT
        with sent.open("wb") as file:
            shutil.copyfileobj(sys.stdin.buffer, file)
        programs = {path.name: path for path in (PROGRAM, Path(there.__file__))}
        of_before = {mounted.CODE, mounted.MADE, mounted.END} & jobs.files(one.where).keys()
        jobs.put(one.where, {**programs, mounted.SENT: sent}, sorted(of_before))
    there.say({"put": one.where.bucket})


def start(one: Job) -> None:
    """Start it. Which start it is lies in its bucket before: one that no list has is found again, and not repeated."""
    found = jobs.files(one.where)
    _cancel(one, found)  # two must not write into one bucket
    which = token_hex(8)
    mark = f"began-{which}"
    jobs.put(one.where, {mark: b"began\n"}, [name for name in found if BEGAN.fullmatch(name)])
    program = [one.lent.python, "-I", f"{MOUNT}/{PROGRAM.name}", MOUNT, one.folder, which, *system.NEEDED]
    lent = one.lent
    order = jobs.Order(image=lent.image, command=program, flavor=lent.flavor, seconds=lent.seconds, mount=MOUNT)
    try:
        number = jobs.start(one.where, order, which)
    except session.Refused as stop:
        if status(stop) != line.OF_SSH:  # there is none that is to be waited for
            with contextlib.suppress(HubError):
                jobs.put(one.where, {}, [mark])
        raise
    if BEGAN.fullmatch(f"{mark}-{number}"):
        with contextlib.suppress(HubError):  # it is found by its label too, where the Hub lists it
            jobs.put(one.where, {f"{mark}-{number}": b"began\n"}, [mark])
    there.say({"runs": True})


def follow(one: Job, known: str) -> None:
    """Say what the job says and costs, until it has ended and what it put into its bucket is seen."""
    machine = jobs.machine(one.lent.flavor)
    ends = f"ended after {one.lent.seconds / 3600:g} hours"
    _say({"note": f"  {one.lent.flavor} ({machine.about}): {machine.price_per_hour:.2f} USD an hour, {ends}"})
    heard, until = False, 0.0
    while True:
        found = jobs.files(one.where)
        seen = _last(one, found)
        if seen and seen.stage not in jobs.AHEAD and not heard:
            ended = _listen(one, seen, machine, None if known == "0" else TAIL)
            heard, until = True, time.monotonic() + (LATE if ended else 0)
            continue
        if (code := _code(one, found)) is not None:
            _say({"code": code})
            return
        late = time.monotonic() < until
        _say({"runs": late or (seen is not None and seen.stage == jobs.RUNNING)})
        time.sleep(POLL)


def _listen(one: Job, seen: jobs.Seen, machine: jobs.Machine, tail: int | None) -> bool:
    """Say the job's lines, and now and then what it has cost; whether it came to its last line."""
    over, ended = threading.Event(), False

    def tell_the_price() -> None:  # beside, for a job may be silent for hours
        while not over.wait(PRICED):
            with contextlib.suppress(HubError):
                _price(one, seen.id, machine, "has run")

    threading.Thread(target=tell_the_price, daemon=True).start()
    lost = contextlib.nullcontext() if seen.stage == jobs.RUNNING else contextlib.suppress(HubError)
    with lost:  # what one said that has ended may be gone
        for said in jobs.log(one.where, seen.id, tail):
            text = said.rstrip()
            ended = text == mounted.OVER
            if ended:
                break
            for at in range(0, len(text), there.PIECE):  # what is longer is heard in parts
                _say({"log": text[at : at + there.PIECE]})
            _say({"log": "\n"})
    over.set()
    _price(one, seen.id, machine, "ran")
    return ended


def _price(one: Job, number: str, machine: jobs.Machine, runs: str) -> None:
    if (seen := jobs.numbered(one.where, number)) and seen.seconds:
        hours = seen.seconds / 3600
        cost = f"about {hours * machine.price_per_hour:.2f} USD"
        _say({"note": f"  it {runs} for {hours:.2f} hours on {one.lent.flavor}: {cost}"})


def _say(what: Mapping[str, object]) -> None:
    """A line, also where two threads speak."""
    with _SPEAKS:
        there.say(what)


def end(one: Job) -> None:
    """Wish for the end, in the bucket, and cancel what does not see that: also where the Hub fails meanwhile."""
    until = time.monotonic() + LATE
    found = None
    with contextlib.suppress(HubError):
        found = jobs.files(one.where)
    if found != {} and _wished(one):  # whether or not it is listed: it may begin yet
        notice = time.monotonic() + there.NOTICE
        while time.monotonic() < notice and _works(one, found or {}, until):
            time.sleep(1)
    _cancel(one, found or {}, until)
    there.say({"runs": False})


def _wished(one: Job) -> bool:
    """Put the wish for the end into the bucket, by a process with a deadline: hf_xet hears no signal meanwhile."""
    try:
        subprocess.run(
            tied(one.lent.speak([wish.__name__, one.folder])),
            input=b"0\n",
            capture_output=True,
            timeout=WISHED,
            check=True,
            **locks(),
        )
    except (subprocess.SubprocessError, OSError):
        return False
    return True


def wish(one: Job) -> None:
    jobs.put(one.where, {mounted.END: b"end\n"})


def _works(one: Job, found: Mapping[str, int], until: float) -> bool:
    """Whether it runs and has not said how it ended; a Hub that fails says neither."""
    with contextlib.suppress(HubError):
        running = any(seen.stage == jobs.RUNNING for seen in _every(one, found, until))
        return running and mounted.CODE not in jobs.files(one.where)
    return True


def _cancel(one: Job, found: Mapping[str, int], until: float | None = None) -> None:
    """Cancel every job of this name that has not ended; a Hub that fails once must not leave that undone."""
    for left in reversed(range(TRIES)):
        try:
            for seen in _every(one, found, until):
                if seen.stage in jobs.ALIVE:
                    jobs.cancel(one.where, seen.id)
        except HubError:
            if not left:
                raise
            time.sleep(1)
        else:
            return


def fetch(one: Job, *_: str) -> None:
    """What the job made and counted; of a job that was killed what it had counted by the last copy that is whole."""
    found = jobs.files(one.where)
    with TemporaryDirectory() as folder:
        tar = Path(folder) / "tar"
        if _code(one, found) is not None:
            jobs.get(one.where, mounted.MADE, found[mounted.MADE], tar)
            with tar.open("rb") as made:
                if made.read(len(there.READY)) != there.READY:
                    made.seek(0)
                shutil.copyfileobj(made, sys.stdout.buffer)
        else:
            kept = mounted.whole(found, lambda name: jobs.get(one.where, name, found[name], tar), tar)
            _counted(tar if kept else None)


def _counted(kept: Path | None) -> None:
    """What was counted, out of what was kept, in which it comes first, as `there` gives it."""
    with tarfile.open(fileobj=sys.stdout.buffer, mode="w|", format=tarfile.GNU_FORMAT) as tar:
        if kept:
            with tarfile.open(kept, "r|", tarinfo=home.Plain) as runs:
                for entry in runs:
                    if entry.name not in there.COUNTED or entry.size > bounds.LEDGER.most:
                        break
                    content = runs.extractfile(entry)
                    plain = tarfile.TarInfo(entry.name.removeprefix("work/"))
                    plain.size = entry.size
                    tar.addfile(plain, content)


def remove(one: Job) -> None:
    """Take the bucket away, and end whatever has it as a folder."""
    found: Mapping[str, int] = {}
    with contextlib.suppress(HubError):  # which may have too many files to be listed
        found = jobs.files(one.where)
    _cancel(one, found)
    jobs.remove(one.where)
    there.say({"there": False})


def _every(one: Job, found: Mapping[str, int], until: float | None = None) -> list[jobs.Seen]:
    """Every job of this name, by what its bucket has; one that was just started is waited for until it is listed."""
    which, number = _began(found)
    until = until or time.monotonic() + LATE
    while True:
        listed = jobs.listed(one.where)
        if number:
            last = jobs.numbered(one.where, number)
            return [*(seen for seen in listed if seen.id != number), *([last] if last else [])]
        if not which or any(seen.start == which for seen in listed) or time.monotonic() > until:
            return listed
        time.sleep(1)


def _last(one: Job, found: Mapping[str, int]) -> jobs.Seen | None:
    """The job that was started last, if there is one."""
    which, number = _began(found)
    if number:
        return jobs.numbered(one.where, number)
    return next((seen for seen in reversed(_every(one, found)) if which in ("", seen.start)), None)


def _began(found: Mapping[str, int]) -> tuple[str, str]:
    """Which start is the last, and its number; empty where that is not known."""
    marks = [mark.groups(default="") for mark in map(BEGAN.fullmatch, found) if mark]
    which, number = max(marks, default=("", ""), key=lambda mark: mark[1])
    return which, number


def _code(one: Job, found: Mapping[str, int]) -> int | None:
    """The exit status with which the job ended, once what it made is seen as well; None while it is not."""
    which, _ = _began(found)
    if not which or mounted.MADE not in found or not 0 < found.get(mounted.CODE, 0) <= OF_A_CODE:
        return None
    with TemporaryDirectory() as folder:
        jobs.get(one.where, mounted.CODE, found[mounted.CODE], Path(folder) / mounted.CODE)
        return ended((Path(folder) / mounted.CODE).read_bytes(), found[mounted.MADE], which)


def ended(said: bytes, made: int, which: str) -> int | None:
    """The exit status that this start of a job says, if what it made has as many bytes as it says too."""
    try:
        match json.loads(said):
            case {"code": int(code), "size": int(size), "start": str(start)} if code in range(256) and size == made:
                return code if start == which else None
    except (ValueError, RecursionError):
        pass
    return None


WORDS: Mapping[str, Callable[..., None]] = {
    one.__name__: one for one in (look, state, stage, put, start, follow, wish, end, fetch, remove)
}


def main(given: list[str]) -> None:
    """Say what is asked for. The program that comes first is for others: it lies in the bucket as a file."""
    lent, (word, folder, *more) = hf_jobs.told(given)
    sys.stdin.buffer.read(int(sys.stdin.buffer.readline()))
    if word != look.__name__:
        _ready()
    where = jobs.place(re.sub("[^0-9a-f]", "", Path(folder).name), lent.namespace or None)
    known = replace(lent, namespace=where.namespace)  # nobody has to ask whose token it is again
    WORDS[word](Job(lent=known, folder=folder, where=where), *more)


def _ready() -> None:
    sys.stdout.buffer.write(there.READY)
    sys.stdout.flush()


def status(stop: Stop) -> int:
    """The exit status for it: that of a line which was cut where the same question may be answered later."""
    if isinstance(stop, session.Refused):
        passing = stop.status >= HTTPStatus.INTERNAL_SERVER_ERROR or stop.status in PASSING
    else:
        passing = isinstance(stop, HubError)
    return line.OF_SSH if passing else stop.exit_code


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except BrokenPipeError:
        sys.exit(line.OF_SSH)
    except Exception as error:
        stop = error if isinstance(error, Stop) else reasons.stop_of(error)
        if stop is None:
            raise
        sys.stderr.write(session.redact(" ".join(str(stop).split())) + "\n")
        sys.exit(status(stop))
