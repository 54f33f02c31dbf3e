"""A small release with a fault at a random moment, resumed, and compared with one that nothing disturbed."""

import contextlib
import hashlib
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.helpers.line import ROOT

TOO_LONG = 300  # seconds: a release of this size takes a tenth of it
GONE = 1.0  # seconds after which a process that was to end with another is an orphan
SAME = ("adapter_model.safetensors", "adapter_config.json", "gates/answers.jsonl", "gates/verdict.json")
"""What a release that was disturbed publishes to the byte as one that was not; its record tells of the resumption."""
DISK = 1280 << 20  # bytes: preflight asks for a GiB


@dataclass(frozen=True, kw_only=True)
class Line:
    """A prepared folder, and how a release is made in it."""

    folder: Path
    command: Sequence[str]
    env: Mapping[str, str]
    repo: str
    tag: str

    def start(self) -> "subprocess.Popen[bytes]":
        with (self.folder / "said").open("ab") as said:
            return subprocess.Popen(
                self.command, cwd=self.folder, env=self.env, stdin=subprocess.DEVNULL,
                stdout=said, stderr=said, start_new_session=True,
            )  # fmt: skip

    def published(self) -> Mapping[str, str]:
        """The sha256 of what the tag holds; ``AssertionError`` where it is not one commit, one tag, and whole."""
        assert self._git("fsck", "--strict").returncode == 0, "git fsck finds a fault"
        assert self._git("tag").stdout.split() == [self.tag.encode()], "there is not one tag"
        commits = self._git("log", "--format=%H", "main").stdout.split()
        assert len(commits) == 2, f"main has {len(commits)} commits"  # the repository's first, and the release
        shown = {name: self._git("show", f"{self.tag}:{name}").stdout for name in SAME}
        return {name: hashlib.sha256(content).hexdigest() for name, content in shown.items()}

    def _git(self, *arguments: str) -> "subprocess.CompletedProcess[bytes]":
        store = self.folder / "hub" / "models" / f"{self.repo}.git"
        return subprocess.run(["git", "-C", str(store), *arguments], capture_output=True, check=False)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of one fault."""

    fault: str
    after: float
    code: int
    told: bool
    """It ended with its own message and exit code; of a SIGKILL nothing can be told."""
    orphans: int
    resumed: int
    """The exit code of the next start."""
    equal: bool
    why: str = ""

    @property
    def sound(self) -> bool:
        return self.told and self.equal and not self.orphans


def kill(process: "subprocess.Popen[bytes]", _: Path) -> None:
    process.kill()


def kill_group(process: "subprocess.Popen[bytes]", _: Path) -> None:
    os.killpg(process.pid, signal.SIGKILL)


def kill_child(process: "subprocess.Popen[bytes]", folder: Path) -> None:
    """The next child that there is."""
    while process.poll() is None:
        if children := [one for one in at_work(folder) if one != process.pid]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(children[-1], signal.SIGKILL)
            return
        time.sleep(0.005)


def ctrl_c(process: "subprocess.Popen[bytes]", _: Path) -> None:
    """As a terminal does: to all of them at once."""
    os.killpg(process.pid, signal.SIGINT)


def cancelled(process: "subprocess.Popen[bytes]", _: Path) -> None:
    """As a CI job that is cancelled: SIGINT, and SIGTERM if it takes its time."""
    process.send_signal(signal.SIGINT)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(2)
    process.send_signal(signal.SIGTERM)


def sent(number: signal.Signals) -> Callable[["subprocess.Popen[bytes]", Path], None]:
    return lambda process, _: process.send_signal(number)


def fill_the_disk(process: "subprocess.Popen[bytes]", folder: Path) -> None:
    """With a file beside the release's; or, where it has no disk of its own, let no process of it write a byte."""
    if not os.path.ismount(folder):
        for one in at_work(folder):
            with contextlib.suppress(ProcessLookupError):
                resource.prlimit(one, resource.RLIMIT_FSIZE, (0, 0))
        process.wait(TOO_LONG)
        return
    with (folder / "ballast").open("wb") as ballast:
        room = os.statvfs(folder)
        for size in (room.f_bavail * room.f_frsize >> shift for shift in range(32)):  # others write at the same time
            with contextlib.suppress(OSError):
                os.posix_fallocate(ballast.fileno(), ballast.seek(0, os.SEEK_END), max(size, 1))


FAULTS: Mapping[str, Callable[["subprocess.Popen[bytes]", Path], None]] = {
    "SIGKILL to the parent": kill,
    "SIGKILL to a child": kill_child,
    "SIGKILL to all": kill_group,
    "SIGTERM": sent(signal.SIGTERM),
    "SIGHUP": sent(signal.SIGHUP),
    "Ctrl-C": ctrl_c,
    "a cancelled CI job": cancelled,
    "a full disk": fill_the_disk,
}
SILENT = ("SIGKILL to the parent", "SIGKILL to all")


def at_work(folder: Path) -> list[int]:
    """The processes that work in a folder, the oldest first."""
    found = []
    for one in Path("/proc").iterdir():
        if one.name.isdecimal():
            with contextlib.suppress(OSError):
                state = (one / "stat").read_text("utf-8").rpartition(")")[2].split()[0]
                if (one / "cwd").readlink() == folder and state != "Z":
                    found.append(int(one.name))
    return sorted(found)


@contextlib.contextmanager
def disk(folder: Path) -> Iterator[None]:
    """A small disk of its own, where this user may mount one."""
    folder.mkdir()
    mounted = os.geteuid() == 0
    if mounted:
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(folder)], check=True)
    try:
        yield
    finally:
        if mounted:
            subprocess.run(["umount", "--lazy", str(folder)], check=True)
        shutil.rmtree(folder, ignore_errors=True)


def disturbed(line: Line, fault: str, after: float, wanted: Mapping[str, str]) -> Outcome | None:
    """A release that meets a fault after so many seconds, and the next start; None where it had ended before."""
    process = line.start()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(after)
        return None
    FAULTS[fault](process, line.folder)
    code = process.wait(TOO_LONG)
    if code == 0:  # the fault met nothing: there was no child any more, or nothing more to write
        return None
    time.sleep(0 if fault in SILENT else GONE)  # after a SIGKILL it is started again at once, as a supervisor does
    orphans = [] if fault in SILENT else at_work(line.folder)
    (line.folder / "ballast").unlink(missing_ok=True)
    said = (line.folder / "said").read_text("utf-8", errors="replace")
    again = line.start()
    if fault in SILENT:
        time.sleep(GONE)
        orphans = [one for one in at_work(line.folder) if _group(one) != again.pid]
    resumed = again.wait(TOO_LONG)
    why = "" if not resumed else (line.folder / "said").read_text("utf-8", errors="replace")[-2000:]
    equal = False
    try:
        equal = not resumed and line.published() == wanted
    except AssertionError as error:
        why = str(error)
    told = fault in SILENT or (code not in (1, -1, -2, -15) and "Traceback" not in said)
    return Outcome(
        fault=fault, after=after, code=code, told=told, orphans=len(orphans), resumed=resumed, equal=equal,
        why=why or ("" if told else said[-2000:]),
    )  # fmt: skip


def _group(process: int) -> int:
    try:
        return os.getpgid(process)
    except ProcessLookupError:
        return -1


def many(
    prepare: Callable[[Path], Line], folder: Path, count: int, seed: int, tell: Callable[[str], None]
) -> Iterator[Outcome]:
    """So many faults of every kind in turn, each in a release of its own, at moments that the seed decides."""
    chance, done = random.Random(seed), 0
    # Where nohup or a shell's & started this, the releases would ignore them too.
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with disk(folder / "whole"):
        whole, started = prepare(folder / "whole"), time.monotonic()
        if whole.start().wait(TOO_LONG):
            raise RuntimeError((whole.folder / "said").read_text("utf-8"))
        seconds, wanted = time.monotonic() - started, whole.published()
    tell(f"undisturbed: {seconds:.1f} s")
    while done < count:
        fault, after = [*FAULTS][done % len(FAULTS)], chance.uniform(0, seconds)
        with disk(folder / "disturbed"):
            found = disturbed(prepare(folder / "disturbed"), fault, after, wanted)
        if found is None:
            tell(f"{fault} after {after:.1f} s met nothing")
            continue
        done += 1
        tell(f"{fault} after {after:.1f} s: {f'{found.code}, then {found.resumed}' if found.sound else found}")
        yield found


def table(outcomes: Sequence[Outcome]) -> list[str]:
    """The counts of each fault, in Markdown."""
    heads = ("fault", "injected", "ended with a message", "survived", "lost", "orphans", "refused to go on")
    lines = [f"| {' | '.join(heads)} |", f"|---|{'--:|' * (len(heads) - 1)}"]
    for name in [*FAULTS, "all"]:
        found = [one for one in outcomes if name in (one.fault, "all")]
        told = "–" if name in SILENT else sum(one.told for one in found if one.fault not in SILENT)
        survived, refused = sum(one.equal for one in found), sum(one.resumed != 0 for one in found)
        lost, orphans = len(found) - survived - refused, sum(one.orphans for one in found)
        counts = (len(found), told, survived, lost, orphans, refused)
        lines.append(f"| {name} | {' | '.join(map(str, counts))} |")
    return lines


def command(overrides: Sequence[str]) -> list[str]:
    return [sys.executable, "-m", "release.cli", "release", "release.yaml", *overrides]


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "CI": "true", "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **more}
