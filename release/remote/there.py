"""The program over there: it takes what is sent, starts `adapter-release candidate` detached, and gives back what came.

It goes along each line anew, so it needs nothing but a Python, an old one too as long as it is only looked at: the
standard library alone, and nothing of this project. A line is cut at any time; what runs is a process of its own.
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib.util
import json
import os
import platform
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Mapping  # noqa: TC003  an old Python reads this file too
from pathlib import Path
from typing import BinaryIO

READY = b"adapter-release speaks\n"
"""Comes before all that this program says: what a login prints stands above it."""
CODE, LOG, END, LOCK, PID = "exit_code", "log", "end", "lock", "pid"
BATCH = "outside.log"
"""What is said around the job: by a batch script, and by this program where it cannot go on."""
MADE = "work/dist"
COUNTED = ("work/runs/ledger.jsonl", "work/runs/spent.jsonl")
KEEP = ("work/runs", LOG, LOCK)
"""What is over there from a run before and is not sent anew: checkpoints, and what was said."""
BEAT = 2.0  # seconds between two signs of life: a line that was cut is noticed by writing to it
NOTICE = 40  # seconds from a wish to an end: a stage that keeps its step has 25
PIECE = 1 << 16


def look(_: Path, *modules: str) -> None:
    """What is here: the Python, and which of these modules it cannot find."""
    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    told = {"python": list(sys.version_info[:3]), "system": platform.system(), "machine": platform.machine()}
    vllm = bool(os.environ.get("ADAPTER_RELEASE_VLLM")) or importlib.util.find_spec("vllm") is not None
    image = bool(os.environ.get("ADAPTER_RELEASE_IMAGE"))
    say({**told, "missing": missing, "engine": _engine(), "image": image, "vllm": vllm})


def _engine() -> bool:
    """Whether a Docker engine listens here, as the candidate will look for one."""
    where = os.environ.get("DOCKER_HOST") or "unix:///var/run/docker.sock"
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as one:
        one.connect(where[len("unix://") :])
        return where.startswith("unix://")
    return False


def state(folder: Path) -> None:
    """Whether it is at work, how it ended, and where it is."""
    said = ""
    with contextlib.suppress(OSError):
        said = (folder / BATCH).read_text("utf-8", "replace")[-2000:]
    say({"runs": runs(folder), "code": code(folder), "folder": str(folder), "said": said})


def put(folder: Path) -> None:
    """Take a tar of what is needed, in place of what was sent before. Nobody else may read it, or lay another there."""
    for one in (folder.parent, folder):
        one.mkdir(mode=0o700, exist_ok=True)
        one.chmod(0o700)  # whoever made it, and whatever a folder above hands down
    for path in sorted(folder.rglob("*"), reverse=True):
        name = path.relative_to(folder).as_posix()
        if not any(f"{name}/".startswith(f"{kept}/") or kept.startswith(f"{name}/") for kept in KEEP):
            path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
    with tarfile.open(fileobj=sys.stdin.buffer, mode="r|") as tar:
        for entry in tar:
            path = folder / entry.name
            path.parent.mkdir(parents=True, exist_ok=True)
            content = tar.extractfile(entry)
            assert content is not None
            if entry.name in COUNTED:
                _count(path, content.read())
                continue
            with path.open("wb") as file:
                shutil.copyfileobj(content, file)
    say({"put": str(folder)})


def _count(path: Path, sent: bytes) -> None:
    """What was counted before, and after it what only a job that is gone has counted here."""
    lines = sent.splitlines()
    known = set(lines)
    if path.exists():
        lines += [one for one in path.read_bytes().splitlines() if one not in known]
    half = path.with_name(f"{path.name}.half")
    half.write_bytes(b"".join(one + b"\n" for one in lines))
    half.rename(path)


def start(folder: Path) -> None:
    """Start the job as a process that no line holds. It is at work from here on: it is given the lock, held already."""
    busy = contextlib.suppress(BlockingIOError)  # it is at work already
    with (folder / LOCK).open("ab") as lock, (folder / BATCH).open("ab") as said, busy:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not (folder / END).exists():  # somebody wished so before it began
            subprocess.Popen(  # it outlives this program on purpose
                [sys.executable, "-I", str(folder / "there.py"), "run", str(folder), str(lock.fileno())],
                stdin=subprocess.DEVNULL, stdout=said, stderr=said, start_new_session=True, pass_fds=(lock.fileno(),),
            )  # fmt: skip
    say({"runs": runs(folder)})


def run(folder: Path, held: str = "") -> None:
    """Make the candidate, to its end; this process itself is the one that no line holds, or a batch job's.

    Who ends a machine or a batch job signals every process of it, so the signal is heard below and not passed on; a
    file, or SIGUSR1, ends what this process started. ``held`` is the descriptor of the lock, where it was given that.
    """
    with os.fdopen(int(held), "ab") if held else (folder / LOCK).open("ab") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return  # it is at work already
        wanted: list[bool] = []
        signal.signal(signal.SIGUSR1, lambda *_: wanted.append(True))
        for one in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            signal.signal(one, lambda *_: None)  # a handler, unlike SIG_IGN, is not inherited
        (folder / PID).write_text(f"{platform.node()} {os.getpid()}", "utf-8")
        (folder / CODE).unlink(missing_ok=True)
        with (folder / LOG).open("wb") as log:
            ended = _run(folder, log, wanted)
        half = folder / f"{CODE}.half"
        half.write_text(str(ended), "utf-8")
        half.rename(folder / CODE)


def _run(folder: Path, log: BinaryIO, wanted: list[bool]) -> int:
    work, tie = folder / "work", folder / "code" / "release" / "running" / "tied.py"
    command = [sys.executable, "-P", "-m", "release.cli", "candidate", "release.yaml", "--to", "dist"]
    tied = [sys.executable, "-I", "-S", str(tie), str(os.getpid()), "", *command]  # killed with this process
    env = {**os.environ, "PYTHONPATH": str(folder / "code"), "CI": "true"}
    job = subprocess.Popen(tied, cwd=work, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    while job.poll() is None:
        if wanted or (folder / END).exists():
            job.terminate()
            job.wait()
        time.sleep(0.1)
    return job.returncode if job.returncode >= 0 else 128 - job.returncode


def follow(folder: Path, known: str = "0") -> None:
    """Say what the job says, from a byte of its log on or of its last so many (below 0), until it or this line ends."""
    at, told = int(known), 0.0
    if at < 0:
        with contextlib.suppress(OSError):
            at = max(0, at + (folder / LOG).stat().st_size)
    while True:
        running = runs(folder)
        ended = code(folder)
        at = _tell(folder / LOG, at, ended=ended is not None)
        if ended is not None:
            say({"code": ended})
            return
        if time.monotonic() - told > BEAT:
            told = time.monotonic()
            say({"runs": running})
        time.sleep(0.1)


def _tell(log: Path, at: int, *, ended: bool) -> int:
    """What stands in the log from a byte on, in whole lines until it has ended; the byte after it."""
    with contextlib.suppress(FileNotFoundError), log.open("rb") as file:
        if at > log.stat().st_size:
            at = 0  # it was started again
        file.seek(at)
        while piece := file.read(PIECE):
            whole = piece if ended or len(piece) == PIECE else piece[: piece.rfind(b"\n") + 1]
            if not whole:
                break
            say({"log": whole.decode("utf-8", "replace")})
            at += len(whole)
            file.seek(at)
    return at


def end(folder: Path) -> None:
    """End the job: one that keeps its step has a moment for it."""
    if folder.is_dir():
        (folder / END).touch()
        for _ in range(NOTICE * 10):
            if not runs(folder):
                break
            time.sleep(0.1)
        else:
            with contextlib.suppress(OSError, ValueError):  # it ends, or does not say who it is
                node, _, number = (folder / PID).read_text("utf-8").partition(" ")
                if node == platform.node():
                    os.killpg(int(number), signal.SIGKILL)
    say({"runs": runs(folder)})


def fetch(folder: Path, *made: str) -> None:
    """What was counted, and what was made below these folders, as a tar."""
    sys.stdout.flush()
    with tarfile.open(fileobj=sys.stdout.buffer, mode="w|", format=tarfile.GNU_FORMAT, dereference=True) as tar:
        found = [*(folder / name for name in COUNTED), *(one for name in made for one in (folder / name).rglob("*"))]
        for path in sorted(found):
            if path.is_file() and not path.is_symlink():
                tar.add(path, path.relative_to(folder / "work").as_posix())


def remove(folder: Path) -> None:
    """Take away all of a job that has ended."""
    shutil.rmtree(folder, ignore_errors=True)
    say({"there": folder.exists()})


def runs(folder: Path) -> bool:
    """Whether somebody holds the job's lock, which the kernel lets go of however its holder ends."""
    try:
        with (folder / LOCK).open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def code(folder: Path) -> int | None:
    """The exit status with which it ended; None while it has not."""
    try:
        return int((folder / CODE).read_text("utf-8"))
    except (OSError, ValueError):
        return None


def say(what: Mapping[str, object]) -> None:
    """A line of JSON."""
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


WORDS: Mapping[str, Callable[..., None]] = {
    one.__name__: one for one in (look, state, put, start, run, follow, end, fetch, remove)
}

if __name__ == "__main__":
    os.umask(0o077)
    if sys.argv[1] != "run":
        sys.stdout.buffer.write(READY)
        sys.stdout.flush()
    with contextlib.suppress(BrokenPipeError):
        WORDS[sys.argv[1]](Path(sys.argv[2]).absolute(), *sys.argv[3:])
