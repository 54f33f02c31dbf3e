"""A trainer of somebody else's, run by a declared command: in its image, or in an environment made from its lock.

It sees the folder that it may change, the base model, and no secret.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from release.config.settings import Container
from release.running import child, container, fence, kept, machine, pip
from release.running.tied import inherited as locks
from release.running.tied import tied
from release.values.errors import NotReproduced, PreflightError
from release.values.events import Say, Stage


@dataclass(frozen=True, kw_only=True)
class At:
    """Where it runs."""

    own: Path
    """All that it may change."""
    folder: Path
    """The folder in it that the command starts in."""

    @property
    def log(self) -> Path:
        """What it says."""
        return self.own.with_name(f"{self.own.name}.log")


def in_image(command: Sequence[str], wanted: Container, at: At, reads: Iterable[Path], say: Say) -> None:
    """Run it in a container of an image, without network; ``NotReproduced`` where it fails."""
    if reason := container.absent():
        raise PreflightError(f"The trainer's image cannot be used: {reason}. Nothing of it was run.")
    at.log.unlink(missing_ok=True)
    mounted = container.Mounted(reads=tuple(reads), writes=at.own, starts_in=at.folder)
    _ended(container.run(command, wanted, mounted, say, at.log), at.log)


def by_lock(command: Sequence[str], lock: Path, at: At, say: Say) -> None:
    """Run it on this machine, in an environment made from its lock; ``NotReproduced`` where it fails."""
    made, log = at.own.with_name(f"{at.own.name}-environment"), at.log
    programs = _made(lock, made, say) / "bin"
    # The base model's files and this machine's are as open to it as to its caller; other processes are not.
    apart = [sys.executable, fence.__file__]
    env = {**kept.kept(), **child.ENVIRONMENT, **child.OFFLINE, **machine.one_card()}
    env |= {"VIRTUAL_ENV": str(made), "PATH": f"{programs}{os.pathsep}{env.get('PATH', os.defpath)}"}
    env.pop("PYTHONPATH", None)
    with log.open("wb") as said:
        done = subprocess.run(
            tied([*apart, *command]), cwd=at.folder, env=env, stdin=subprocess.DEVNULL, stdout=said, stderr=said,
            check=False, **locks(),
        )  # fmt: skip
    _ended(done.returncode, log)


def _made(lock: Path, made: Path, say: Say) -> Path:
    """An environment with the packages of a lock, made anew."""
    say(Stage(name="libraries", note=f"an environment of its own, from {lock.name}"))
    shutil.rmtree(made, ignore_errors=True)
    # -I: the standard library's venv, and nothing that lies in the folder where this is run
    create = [sys.executable, "-I", "-P", "-m", "venv", "--without-pip", str(made)]
    subprocess.run(tied(create), env=kept.kept(), check=True, **locks())
    asked = pip.install(lock, made / "bin" / "python")
    if not asked.found:
        raise PreflightError(f"The trainer's environment cannot be made from {lock.name}. pip says: {asked.said}")
    return made


def _ended(code: int, log: Path) -> None:
    """``NotReproduced`` with the end of what it said where it did not end well."""
    if problem := child.died("The trainer", code):
        raise PreflightError(f"{problem} What it said is in {log}.")
    if code:
        raise NotReproduced(f"The trainer ended with exit status {code}; the end of {log}:\n{child.tail(log)}")
