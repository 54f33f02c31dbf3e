"""What the program over there would say, of a job of Hugging Face Jobs: nobody can speak to one, so the Hub is asked.

It runs here as the client of a line, with the token, and says what `there` says: what is sent is put into the job's
bucket, and what the job put there comes home.
"""

import contextlib
import json
import re
import shutil
import sys
import tarfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from release.hub import jobs, session
from release.remote import line, mounted, system, there
from release.values import bounds, reasons
from release.values.errors import HubError, Stop

MOUNT = "/adapter-release-job"
"""Where a job has its bucket."""
PROGRAM = Path(str(mounted.__file__))
POLL = 5.0  # seconds between two questions to the Hub about a job
LATE = 60.0  # seconds in which the Hub comes to list what was started, and what an ended job put into its bucket
PRICED = 600.0  # seconds between two words on what a job has cost
TAIL = 50  # lines that are heard again by whoever attaches
OF_A_CODE = 200  # bytes of the file that says how a job ended


@dataclass(frozen=True, kw_only=True)
class Job:
    """A job as the line is told of it."""

    flavor: str
    seconds: int
    image: str
    python: str
    folder: str
    """Where it works over there; its last part is the job's name."""
    where: jobs.Place


def look(one: Job, *_: str) -> None:
    """What the image has; what it lacks is installed there. Where the Hub cannot be asked nothing is said at all."""
    jobs.machine(one.flavor)
    _ready()
    there.say({"python": [3, 11, 0], "system": "Linux", "missing": []})


def state(one: Job) -> None:
    seen = jobs.latest(one.where)
    runs = seen is not None and seen.stage == jobs.RUNNING
    there.say({"runs": runs, "code": _code(one), "folder": one.folder, "said": seen.message if seen else ""})


def stage(one: Job) -> None:
    """At which stage it is; empty where it has none any more."""
    seen = jobs.latest(one.where)
    there.say({"stage": seen.stage if seen and seen.stage in (jobs.RUNNING, *jobs.AHEAD) else ""})


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
    seen = jobs.latest(one.where)
    if seen is None or seen.stage not in (jobs.RUNNING, *jobs.AHEAD):
        program = [one.python, "-I", f"{MOUNT}/{PROGRAM.name}", MOUNT, one.folder, *system.NEEDED]
        number = jobs.start(one.where, one.image, program, flavor=one.flavor, seconds=one.seconds, mount=MOUNT)
        until = time.monotonic() + LATE
        while (seen := jobs.latest(one.where)) is None or seen.id != number:  # else the one before is taken for it
            if time.monotonic() > until:
                raise HubError(f"Job {number} was started, and the Hub does not list it after {LATE:g} s.")
            time.sleep(1)
    there.say({"runs": True})


def follow(one: Job, known: str) -> None:
    """Say what the job says and costs, until it has ended and what it put into its bucket is seen."""
    machine = jobs.machine(one.flavor)
    ends = f"ended after {one.seconds / 3600:g} hours"
    there.say({"note": f"  {one.flavor} ({machine.about}): {machine.price_per_hour:.2f} USD an hour, {ends}"})
    heard, until = False, 0.0
    while True:
        seen = jobs.latest(one.where)
        if seen and seen.stage not in jobs.AHEAD and not heard:
            ended = _listen(one, seen, machine, None if known == "0" else TAIL)
            heard, until = True, time.monotonic() + (LATE if ended else 0)
            continue
        if (code := _code(one)) is not None:
            there.say({"code": code})
            return
        late = time.monotonic() < until
        there.say({"runs": late or (seen is not None and seen.stage == jobs.RUNNING)})
        time.sleep(POLL)


def _listen(one: Job, seen: jobs.Seen, machine: jobs.Machine, tail: int | None) -> bool:
    """Say the job's lines, and now and then what it has cost; whether it came to its last line."""
    told, ended = time.monotonic(), False
    lost = contextlib.nullcontext() if seen.stage == jobs.RUNNING else contextlib.suppress(HubError)
    with lost:  # what one said that has ended may be gone
        for said in jobs.log(one.where, seen.id, tail):
            text = said.rstrip()
            ended = text == mounted.OVER
            if ended:
                break
            for at in range(0, len(text), there.PIECE):  # what is longer is heard in parts
                there.say({"log": text[at : at + there.PIECE]})
            there.say({"log": "\n"})
            if time.monotonic() - told > PRICED:
                told = time.monotonic()
                _price(one, machine, "has run")
    _price(one, machine, "ran")
    return ended


def _price(one: Job, machine: jobs.Machine, runs: str) -> None:
    if (seen := jobs.latest(one.where)) and seen.seconds:
        hours = seen.seconds / 3600
        cost = f"about {hours * machine.price_per_hour:.2f} USD"
        there.say({"note": f"  it {runs} for {hours:.2f} hours on {one.flavor}: {cost}"})


def end(one: Job) -> None:
    """Wish for the end, in the bucket, and cancel what does not see that."""
    if _at(one) == jobs.RUNNING:
        with contextlib.suppress(HubError):
            jobs.put(one.where, {mounted.END: b"end\n"})
        until = time.monotonic() + there.NOTICE
        while time.monotonic() < until and _at(one) == jobs.RUNNING and _code(one) is None:
            time.sleep(1)
    seen = jobs.latest(one.where)
    if seen and seen.stage in (jobs.RUNNING, *jobs.AHEAD):
        jobs.cancel(one.where, seen.id)
    there.say({"runs": False})


def fetch(one: Job, *_: str) -> None:
    """What the job made and counted; of one that was killed what it counted, as far as that was kept."""
    found = jobs.files(one.where)
    kept = max((name for name in found if mounted.KEPT.fullmatch(name)), default=None)
    name = mounted.MADE if _code(one) is not None else kept
    with TemporaryDirectory() as folder:
        tar = Path(folder) / "tar"
        if name:
            jobs.get(one.where, name, found[name], tar)
        if name == mounted.MADE:
            with tar.open("rb") as made:
                if made.read(len(there.READY)) != there.READY:
                    made.seek(0)
                shutil.copyfileobj(made, sys.stdout.buffer)
        else:
            _counted(tar if name else None)


def _counted(kept: Path | None) -> None:
    """What was counted, out of what was kept, as `there` gives it."""
    with tarfile.open(fileobj=sys.stdout.buffer, mode="w|", format=tarfile.GNU_FORMAT) as tar:
        if kept:
            with tarfile.open(kept, "r|") as runs:
                for entry in runs:
                    if entry.name in there.COUNTED and entry.isreg() and entry.size <= bounds.LEDGER.most:
                        content = runs.extractfile(entry)
                        plain = tarfile.TarInfo(entry.name.removeprefix("work/"))
                        plain.size = entry.size
                        tar.addfile(plain, content)


def remove(one: Job) -> None:
    jobs.remove(one.where)
    there.say({"there": False})


def _at(one: Job) -> str:
    seen = jobs.latest(one.where)
    return seen.stage if seen else ""


def _code(one: Job) -> int | None:
    """The exit status with which the job ended, once what it made is seen as well; None while it is not."""
    found = jobs.files(one.where)
    if mounted.MADE not in found or not 0 < found.get(mounted.CODE, 0) <= OF_A_CODE:
        return None
    with TemporaryDirectory() as folder:
        jobs.get(one.where, mounted.CODE, found[mounted.CODE], Path(folder) / mounted.CODE)
        return ended((Path(folder) / mounted.CODE).read_bytes(), found[mounted.MADE])


def ended(said: bytes, made: int) -> int | None:
    """The exit status that a job says, if what it made has as many bytes as it says too."""
    try:
        match json.loads(said):
            case {"code": int(code), "size": int(size)} if code in range(256) and size == made:
                return code
    except (ValueError, RecursionError):
        pass
    return None


WORDS: Mapping[str, Callable[..., None]] = {
    one.__name__: one for one in (look, state, stage, put, start, follow, end, fetch, remove)
}


def main(given: list[str]) -> None:
    """Say what is asked for. The program that comes first is for others: it lies in the bucket as a file."""
    flavor, namespace, seconds, image, python, word, folder, *more = given
    sys.stdin.buffer.read(int(sys.stdin.buffer.readline()))
    if word != look.__name__:
        _ready()
    where = jobs.place(re.sub("[^0-9a-f]", "", Path(folder).name), namespace or None)
    asked = Job(flavor=flavor, seconds=int(seconds), image=image, python=python, folder=folder, where=where)
    WORDS[word](asked, *more)


def _ready() -> None:
    sys.stdout.buffer.write(there.READY)
    sys.stdout.flush()


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
        cut = isinstance(stop, HubError) and not isinstance(stop, session.Refused)
        sys.exit(line.OF_SSH if cut else stop.exit_code)
