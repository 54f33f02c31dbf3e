"""Processes that end with whoever started them, at whichever moment that ends."""

import ast
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from release.running import tied
from tests.helpers.line import ROOT

CHILD = "import sys, time; time.sleep(0.7); open(sys.argv[1], 'w').close()"
PARENT = """
import subprocess, sys
from release.running.tied import tied
command = [sys.executable, "-c", sys.argv[1], sys.argv[2]]
with subprocess.Popen(tied(command) if sys.argv[3] == "tied" else command):
    print("started", flush=True)
"""
AFTER = (0, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1)  # seconds: Python needs some 0.02 to ask the kernel


def parent(mark: Path, how: str) -> "subprocess.Popen[str]":
    """A process that has just started one that will make a file."""
    process = subprocess.Popen(
        [sys.executable, "-c", PARENT, CHILD, str(mark), how],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "started\n"
    return process


def test_a_process_whose_parent_is_killed_right_after_the_start_ends_too(tmp_path: Path) -> None:
    """The one that is not tied goes on, as a stage did that went on training."""
    started = []
    for after in AFTER:
        process = parent(tmp_path / f"after {after}", "tied")
        time.sleep(after)
        process.kill()
        started.append(process)
    alone = parent(tmp_path / "not tied", "alone")
    alone.kill()
    time.sleep(1.5)

    for process in (*started, alone):
        process.communicate()
    assert [path.name for path in tmp_path.iterdir()] == ["not tied"]


def test_a_process_whose_parent_had_ended_before_it_could_ask_does_not_begin() -> None:
    command = [sys.executable, *tied.LIGHT, tied.__file__, "1", "", "echo", "begun"]

    done = subprocess.run(command, capture_output=True, check=False)

    assert (done.returncode, done.stdout) == (tied.ENDED, b"")


def test_it_becomes_the_command_with_its_streams_its_exit_status_and_its_signals() -> None:
    code = "import signal, sys; sys.stdout.write(sys.stdin.read()); sys.exit(5)"
    done = subprocess.run(
        tied.tied([sys.executable, "-c", code]), input="a", capture_output=True, text=True, check=False
    )
    status = Path("/proc/self/status")
    shown = subprocess.run(tied.tied(["cat", str(status)]), capture_output=True, text=True, check=True).stdout
    ignored = int(next(line for line in shown.splitlines() if line.startswith("SigIgn")).split()[1], 16)
    missing = subprocess.run(tied.tied(["no-such-program"]), capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout, done.stderr) == (5, "a", "")
    assert not ignored & (1 << (signal.SIGPIPE - 1) | 1 << (signal.SIGXFSZ - 1))
    assert (missing.returncode, missing.stderr) == (127, "no-such-program: No such file or directory\n")


ASKS = {
    "release/checking/recorded_commit.py": {"_git"},
    "release/models/engines/vllm.py": {"lacking"},
    "release/running/container.py": {"_watched"},  # outlives its parent, to take away what that started
    "release/running/environment.py": {"git"},
    "release/running/machine.py": {"find_gpus"},
    "release/remote/mounted.py": {"make", "install", "run"},  # the first process of a container, which ends with it
    "release/remote/there.py": {"start", "_run"},  # outlives its parent; as a file of its own it ties what it starts
}
"""Functions that ask git, the driver or a Python something, which takes a moment and writes nothing of a release."""


def started(path: Path) -> list[tuple[str, bool]]:
    """The functions of a module that start a process, and whether it is tied and given the locks."""
    found = []
    for function in ast.walk(ast.parse(path.read_text("utf-8"))):
        if not isinstance(function, ast.FunctionDef):
            continue
        text = ast.unparse(function)
        for call in ast.walk(function):
            if isinstance(call, ast.Call) and ast.unparse(call.func) in ("subprocess.run", "subprocess.Popen"):
                found.append((function.name, "tied(" in text and "locks()" in ast.unparse(call)))
            assert not (isinstance(call, ast.Call) and ast.unparse(call.func) in ("os.system", "os.fork", "os.popen"))
    return found


@pytest.mark.parametrize("path", sorted((ROOT / "release").rglob("*.py")), ids=lambda path: path.stem)
def test_every_process_is_tied_but_those_that_only_ask(path: Path) -> None:
    name = path.relative_to(ROOT).as_posix()

    assert {function for function, is_tied in started(path) if not is_tied} == ASKS.get(name, set())
