"""Somebody else's machine, on this one: OpenSSH's daemon on loopback, and a cluster of Slurm with one node.

Both are the real programs, started by a test with keys, ports and folders of its own, and ended with it.
"""

import contextlib
import getpass
import os
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from gates.canonical import canonical_json
from release.config import reading
from release.models import base as bases
from release.remote import job, parcel, systems
from tests.helpers.line import ROOT
from tests.helpers.prepared import answered, prepared_config, trained

HOST = "there"
CACHE = str(ROOT / ".cache")
JOB = "0123456789abcdef"


def program(*names: str) -> str:
    """The path of a program of the system; skips the test where it is not installed."""
    for name in names:
        for folder in ("", "/usr/sbin/", "/usr/local/sbin/"):
            if found := shutil.which(f"{folder}{name}"):
                return found
    pytest.skip(f"{' or '.join(names)} is not installed")


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What a command is given to reach it, and where its account is at home."""

    on: str
    home: Path
    env: Mapping[str, str]
    python: str = sys.executable

    def folder(self, line: Path) -> Path:
        """Where a job of a project would lie."""
        return (line / "run" / "elsewhere" if self.on.startswith("slurm") else self.home / ".adapter-release") / JOB

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "release.cli", "candidate", "--on", self.on, "--python", self.python, *arguments]

    def run(self, line: Path, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
        """`adapter-release candidate --on` to its end."""
        return subprocess.run(
            self.command(*arguments), cwd=line, env={**self.env, **env}, capture_output=True, text=True, check=False
        )

    def make(self, line: Path, monkeypatch: pytest.MonkeyPatch, *, end: bool = False, **settings: str) -> None:
        """The same in this process, in which all is imported already; raises why it stops."""
        with monkeypatch.context() as patched:
            patched.chdir(line)
            for name in ("PATH", "SLURM_CONF", "HF_ENDPOINT", "PYTHONPATH"):
                if name in self.env:
                    patched.setenv(name, self.env[name])
            loaded = reading.load(line / "release.yaml", {key.replace("__", "."): one for key, one in settings.items()})
            token = self.env.get("HF_TOKEN", "")
            system = systems.find(
                self.on, self.python, loaded.run.output_dir, token=token, image=loaded.container.image
            )
            if end:
                job.end(loaded, system, lambda _: None)
            else:
                job.candidate(loaded, line / "dist", system, lambda _: None)

    def start(self, line: Path, until: str, *, session: bool = False) -> "subprocess.Popen[str]":
        """The same, up to where it has said something."""
        process = subprocess.Popen(
            self.command(),
            cwd=line,
            env=self.env,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=session,
            # a shell has what it starts in the background ignore Ctrl-C, and what that starts too
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509  no thread is at work
        )
        assert process.stderr is not None
        said = ""
        for heard in process.stderr:
            if until in heard:
                return process
            said += heard
        process.wait()
        raise AssertionError(f"it ended without saying {until!r}: {said}")


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "CI": "true", "PYTHONPATH": str(ROOT), "ADAPTER_RELEASE_CACHE": CACHE, **more}


@contextlib.contextmanager
def sshd(folder: Path, **there: str) -> Iterator[Machine]:
    """A daemon with a host key, a user key and a home of its own; ``there`` is the environment of its logins."""
    daemon, client = program("sshd"), program("ssh")
    home, port, user = folder / "home", free_port(), getpass.getuser()
    home.mkdir()
    for name in ("host", "user"):
        made = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)]
        subprocess.run(made, check=True)
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # where a root's daemon goes before anybody has logged in
    variables = " ".join(f"{name}={value}" for name, value in {"ADAPTER_RELEASE_CACHE": CACHE, **there}.items())
    settings = f"""
        Port {port}
        ListenAddress 127.0.0.1
        HostKey {folder}/host
        AuthorizedKeysFile {folder}/user.pub
        PidFile {folder}/pid
        StrictModes no
        UsePAM no
        PasswordAuthentication no
        KbdInteractiveAuthentication no
        AcceptEnv *
        SetEnv {variables}
        ForceCommand cd {home} && HOME={home} exec sh -c "$SSH_ORIGINAL_COMMAND"
    """
    (folder / "sshd_config").write_text(settings, "utf-8")
    (folder / "known").write_text(f"[127.0.0.1]:{port} {(folder / 'host.pub').read_text('utf-8')}", "utf-8")
    (folder / "ssh_config").write_text(
        f"Host {HOST}\n HostName 127.0.0.1\n Port {port}\n User {user}\n IdentityFile {folder}/user\n"
        f" IdentitiesOnly yes\n UserKnownHostsFile {folder}/known\n SendEnv *\n",
        "utf-8",
    )
    (folder / "bin").mkdir()
    wrapped = folder / "bin" / "ssh"
    wrapped.write_text(f'#!/bin/sh\nexec {client} -F {folder}/ssh_config "$@"\n', "utf-8")
    wrapped.chmod(0o755)
    with subprocess.Popen([daemon, "-D", "-e", "-f", str(folder / "sshd_config")], stderr=subprocess.DEVNULL) as one:
        try:
            _wait(lambda: _listens(port), "sshd does not listen")
            path = f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
            yield Machine(on=f"ssh:{HOST}", home=home, env=environment(PATH=path))
        finally:
            one.kill()


SCRIPT = ROOT / "examples" / "slurm.sbatch"


@contextlib.contextmanager
def slurm(folder: Path) -> Iterator[Machine]:
    """A controller and a node on this machine; skips where they are not installed, or this is not root."""
    programs = {name: program(name) for name in ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scancel")}
    if os.geteuid() != 0:
        pytest.skip("a node of Slurm starts jobs as their users, which needs root")
    ports, node = (free_port(), free_port()), socket.gethostname().partition(".")[0]
    for name in ("state", "spool", "munge"):
        (folder / name).mkdir(mode=0o700)
    (folder / "munge" / "key").write_bytes(os.urandom(1024))
    (folder / "munge" / "key").chmod(0o400)
    cores = len(os.sched_getaffinity(0))
    (folder / "slurm.conf").write_text(
        f"""
        ClusterName=test
        SlurmctldHost={node}(127.0.0.1)
        AuthType=auth/munge
        AuthInfo=socket={folder}/munge/sock
        SlurmUser=root
        SlurmctldPort={ports[0]}
        SlurmdPort={ports[1]}
        StateSaveLocation={folder}/state
        SlurmdSpoolDir={folder}/spool
        SlurmctldPidFile={folder}/slurmctld.pid
        SlurmdPidFile={folder}/slurmd.pid
        ProctrackType=proctrack/linuxproc
        TaskPlugin=task/none
        JobAcctGatherType=jobacct_gather/none
        AccountingStorageType=accounting_storage/none
        SelectType=select/cons_tres
        ReturnToService=2
        MpiDefault=none
        NodeName={node} NodeAddr=127.0.0.1 CPUs={cores} State=UNKNOWN
        PartitionName=main Nodes={node} Default=YES MaxTime=INFINITE State=UP
        """.replace("        ", ""),
        "utf-8",
    )
    env = environment(SLURM_CONF=str(folder / "slurm.conf"))
    own = {"socket": "sock", "pid-file": "pid", "log-file": "log", "seed-file": "seed", "key-file": "key"}
    munge = [f"--{name}={folder}/munge/{file}" for name, file in own.items()]
    daemons = (
        [programs["munged"], "--foreground", "--force", *munge],
        [programs["slurmctld"], "-D"],
        [programs["slurmd"], "-D", "-N", node],
    )
    with contextlib.ExitStack() as stack:
        for command in daemons:
            quiet = subprocess.DEVNULL
            one = stack.enter_context(subprocess.Popen(command, env=env, stdout=quiet, stderr=quiet))
            stack.callback(one.kill)
            if command[0] == programs["munged"]:
                _wait((folder / "munge" / "sock").exists, "munged does not start")
        _wait(lambda: _says(env, "sinfo", "--noheader", "--format=%T") == "idle", "the node is not up")
        script = folder / "job.sbatch"
        script.write_text(SCRIPT.read_text("utf-8").replace("\nexec", f"\nexport ADAPTER_RELEASE_CACHE={CACHE}\nexec"))
        yield Machine(on=f"slurm:{script}", home=folder, env=env)


def _says(env: Mapping[str, str], *command: str) -> str:
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False).stdout.strip()


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def _wait(ready: Callable[[], bool], why: str, seconds: float = 60) -> None:
    began = time.monotonic()
    while not ready():
        if time.monotonic() - began > seconds:
            raise AssertionError(why)
        time.sleep(0.1)


def wait_until(ready: Callable[[], bool], why: str) -> None:
    """Come back when it is so."""
    _wait(ready, why)


def project(line: Path) -> Path:
    """A project whose configuration fits what a kept release lends."""
    line.mkdir()
    prepared_config(line)
    return line


def trained_and_answered(work: Path, base: bases.Base) -> None:
    """The slow stages of a project as if they were done."""
    answered(trained(work, base), work / "golden.jsonl")


def sent_to(folder: Path, line: Path) -> None:
    """What is sent of a project, in a new folder."""
    folder.mkdir(parents=True)
    tar = line.parent / "sent.tar"
    with tar.open("wb") as file:
        parcel.of(reading.load(line / "release.yaml")).write(file)
    with tarfile.open(tar) as sent:
        sent.extractall(folder, filter="data")


def laid_over_there(machine: Machine, line: Path, base: bases.Base) -> Path:
    """A job of this project that is known here, and whose slow stages are done over there; its folder."""
    folder = machine.folder(line)
    shutil.rmtree(folder, ignore_errors=True)  # another test's job of the same name, which nobody took away
    (line / "run").mkdir(exist_ok=True)
    sent_to(folder, line)
    work = folder / "work"
    shutil.copy(line / "golden.jsonl", work)
    trained_and_answered(work, base)
    told = {"on": machine.on, "job": JOB, "inputs": "", "told": True}
    (line / "run" / "elsewhere.json").write_bytes(canonical_json(told))
    return folder
