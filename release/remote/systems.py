"""The systems that lend a machine, each behind its own client: how to speak to what is over there, and to start it.

A further one is a frozen value with the same functions and a line in ``SYSTEMS``.
"""

import os
import pwd
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from release.remote import hf_jobs, there
from release.remote.system import AT_WORK, GONE, Here, System
from release.running import kept
from release.running.tied import inherited as locks
from release.running.tied import tied
from release.values.errors import ConfigError, PreflightError, shown

BOOT = (
    "import sys;sys.version_info<(3,8) and sys.exit('it is Python %d.%d, and 3.11 to 3.13 are needed'"
    "%sys.version_info[:2]);exec(sys.stdin.buffer.read(int(sys.stdin.buffer.readline())))"
)
"""What the Python over there is told: the program itself comes on standard input, with its length before it. One that
could not read it says so."""
PYTHON = re.compile(r"[A-Za-z0-9_./][A-Za-z0-9_./+-]*")
FOLDER = ".adapter-release"
PATIENCE = 60  # seconds in which a client of a scheduler answers
COMPLETES = 60  # seconds in which a node lets go of a job: Slurm itself kills it after 30


@dataclass(frozen=True, kw_only=True)
class Ssh:
    """A machine that OpenSSH reaches: the job is a process there that no connection holds."""

    host: str
    python: str
    scheduled: ClassVar[bool] = False

    @property
    def name(self) -> str:
        return f"ssh:{self.host}"

    @property
    def client(self) -> Mapping[str, str]:
        """Where keys and agents are; no language and nothing else that a configuration may send along."""
        names = ("PATH", "HOME", "USER", "LOGNAME", "SSH_AUTH_SOCK", "KRB5CCNAME")
        return {name: os.environ[name] for name in names if name in os.environ}

    def check(self, *, starts: bool) -> None:  # noqa: ARG002
        if not shutil.which("ssh"):
            raise PreflightError(
                "There is no ssh on the PATH here, so no other machine can be reached. Nothing was sent. Install "
                "OpenSSH's client (Debian: openssh-client)."
            )

    def of_account(self, account: str) -> "Ssh":  # noqa: ARG002
        return self

    def folder(self, job: str) -> str:
        return f"{FOLDER}/{job}"  # where a login starts

    def speak(self, words: Sequence[str]) -> list[str]:
        asked = {
            "BatchMode": "yes",
            "StrictHostKeyChecking": "yes",
            "ConnectTimeout": "20",
            "ServerAliveInterval": "15",
            "ServerAliveCountMax": "4",
            "ForwardAgent": "no",
            "ForwardX11": "no",
            "ClearAllForwardings": "yes",
            "PermitLocalCommand": "no",
            "ControlMaster": "no",  # one that is there already is used, and none outlives this program
        }
        options = [word for name, value in asked.items() for word in ("-o", f"{name}={value}")]
        return ["ssh", "-T", *options, "--", self.host, shlex.join([self.python, "-I", "-c", BOOT, *words])]

    def silent(self, code: int, said: str) -> str:
        if code == 255:  # ssh's own, of which ssh(1) tells
            return (
                f"{self.host} cannot be reached: {said}. Try `ssh -o BatchMode=yes {self.host} true`: it must need no "
                "password, and the host's key must be known here."
            )
        if code in (126, 127):
            return (
                f"There is no {self.python} on {self.host}: {said}. Name the Python there that has "
                "'adapter-release[train]' by --python PATH."
            )
        return f"{self.python} on {self.host} ended with exit status {code}: {said}. Name another one by --python PATH."

    def start(self, job: str) -> bool:  # noqa: ARG002
        return False

    def state(self, job: str) -> str:  # noqa: ARG002
        return GONE

    def cancel(self, job: str) -> None:
        """Nothing: the process is all there is."""


@dataclass(frozen=True, kw_only=True)
class Slurm:
    """A cluster that this machine submits to: its nodes see the folder of the runs and this Python."""

    script: Path
    python: str
    runs: Path
    scheduled: ClassVar[bool] = True

    @property
    def name(self) -> str:
        return f"slurm:{self.script}"

    @property
    def client(self) -> Mapping[str, str]:
        """Also where Slurm is configured, and what its users set for every job."""
        own = ("SLURM_CONF", "SLURM_CLUSTERS")
        return kept.kept() | {
            name: value for name, value in os.environ.items() if name in own or name.startswith("SBATCH_")
        }

    def check(self, *, starts: bool) -> None:
        if lacking := [one for one in ("sbatch", "squeue", "scancel") if not shutil.which(one)]:
            raise PreflightError(
                f"There is no {' and no '.join(lacking)} on the PATH here, so no job can be submitted or ended. "
                "Nothing was sent. Run this on the cluster's login node, or reach it by ssh:HOST."
            )
        if starts:
            self._check_the_script()
        self._ask("squeue", "--noheader", "--format=%T", f"--name={_named('none')}", f"--user={_user()}")

    def _check_the_script(self) -> None:
        needs = 'a first line `#!/bin/bash`, #SBATCH lines for what your cluster asks for, and a last one `exec "$@"`'
        try:
            text = self.script.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            says = f"--on {self.name}: {self.script} cannot be read: {error}."
            raise ConfigError([f"{says} Name your sbatch script: {needs}."]) from None
        if not text.startswith("#!") or '"$@"' not in text:
            says = f"--on {self.name}: {self.script} does not run what it is given"
            raise ConfigError([f"{says}: it needs {needs}."])

    def of_account(self, account: str) -> "Slurm":  # noqa: ARG002
        return self

    def folder(self, job: str) -> str:
        return str(self.runs.absolute() / "elsewhere" / job)

    def speak(self, words: Sequence[str]) -> list[str]:
        return [self.python, "-I", "-c", BOOT, *words]

    def silent(self, code: int, said: str) -> str:
        return f"{self.python} ended with exit status {code}: {said}. Name another Python by --python PATH."

    def start(self, job: str) -> bool:
        folder = self.folder(job)
        program = [shutil.which(self.python) or self.python, "-I", f"{folder}/there.py", "run", folder]
        log = f"{folder}/{there.BATCH}".replace("%", "%%")  # a pattern, says sbatch(1)
        options = [f"--job-name={_named(job)}", f"--chdir={folder}", f"--output={log}"]
        # nothing of this shell's environment; the node's own, as at a login
        options += ["--parsable", "--open-mode=append", "--export=NONE"]
        self._ask("sbatch", *options, str(self.script.absolute()), *program)
        return True

    def state(self, job: str) -> str:
        until = time.monotonic() + COMPLETES
        while (states := self._states(job)) and {one for one, _ in states} == {"COMPLETING"}:
            if time.monotonic() > until:
                return GONE
            time.sleep(1)  # what was requeued waits only after that
        if any(one == "RUNNING" for one, _ in states):
            return AT_WORK
        waiting = [f"{one.lower()} ({why.strip()})" for one, why in states if one != "COMPLETING"]
        return waiting[0] if waiting else GONE

    def _states(self, job: str) -> list[tuple[str, str]]:
        """Each with its reason, of every job of this name that has not ended."""
        said = self._ask("squeue", "--noheader", "--format=%T %r", f"--name={_named(job)}", f"--user={_user()}")
        return [(one, why) for one, _, why in (line.partition(" ") for line in said.splitlines())]

    def cancel(self, job: str) -> None:
        until = time.monotonic() + there.NOTICE
        while self.state(job) == AT_WORK and time.monotonic() < until:
            time.sleep(1)  # it was told to end, and keeps the step it is at
        self._ask("scancel", f"--name={_named(job)}", f"--user={_user()}")

    def _ask(self, *command: str) -> str:
        try:
            done = subprocess.run(
                tied(command), env=dict(self.client), stdin=subprocess.DEVNULL, capture_output=True, text=True,
                check=True, timeout=PATIENCE, **locks(),
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise PreflightError(
                f"{command[0]} gave no answer in {PATIENCE} seconds, and may yet do what it was asked for. See that "
                "`sinfo` works here, and type the same command again: it finds what was submitted."
            ) from None
        except subprocess.CalledProcessError as error:
            said = error.stderr.strip()[-500:] or f"exit status {error.returncode}"
        else:
            return done.stdout
        raise PreflightError(
            f"{command[0]} refused: {said}. Nothing was changed by it. See that `sinfo` works here, and that "
            f"{self.script} asks for what this cluster has."
        )


def _named(job: str) -> str:
    return f"adapter-release-{job}"


def _user() -> str:
    return pwd.getpwuid(os.getuid()).pw_name


def _ssh(host: str, python: str | None, _: Here) -> System:
    user = "[A-Za-z0-9_][A-Za-z0-9_.-]*@"
    if not re.fullmatch(rf"({user})?[A-Za-z0-9_][A-Za-z0-9_.:%-]*", host, re.ASCII):
        says = f"--on ssh:{shown(host)} names no host: write [USER@]HOST, or a name of your ~/.ssh/config,"
        raise ConfigError([f"{says} where a port and a key have their place."])
    return Ssh(host=host, python=python or "python3")


def _slurm(script: str, python: str | None, here: Here) -> System:
    return Slurm(script=Path(script), python=python or sys.executable, runs=here.runs)


def _hf_jobs(named: str, python: str | None, here: Here) -> System:
    found = hf_jobs.NAMED.fullmatch(named)
    if not found:
        says = f"--on hf-jobs:{shown(named)} names no machine: write [NAMESPACE/]FLAVOR[@TIME], as a10g-small or"
        raise ConfigError([f"{says} my-org/a10g-small@6h (a TIME of minutes, hours or days: 90m, 6h, 2d)."])
    return hf_jobs.of(named, found, python or "python3", token=here.token, image=here.image)


SYSTEMS: Mapping[str, Callable[[str, str | None, Here], System]] = {
    "ssh": _ssh,
    "slurm": _slurm,
    "hf-jobs": _hf_jobs,
}


def find(on: str, python: str | None, runs: Path, *, token: str = "", image: str | None = None) -> System:
    """The machine that ``--on`` names; ``ConfigError`` where it names none.

    ``token`` is for a system that is asked through a Hub; ``image``: the container's, as it is configured.
    """
    kind, _, name = on.partition(":")
    if kind not in SYSTEMS or not name:
        known = "ssh:HOST, slurm:FILE with your sbatch script, or hf-jobs:FLAVOR"
        raise ConfigError([f"--on {shown(on)} is not known: write {known}."])
    if python is not None and not PYTHON.fullmatch(python):
        raise ConfigError(
            [f"--python {shown(python)} is not the path of a program: letters, digits and _ . / + - only."]
        )
    return SYSTEMS[kind](name, python, Here(runs=runs, token=token, image=image))
