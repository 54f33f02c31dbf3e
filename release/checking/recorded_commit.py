"""The commit that a release was made from: its files in a worktree, its libraries, and its own program."""

import contextlib
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from release.checking import flat_commit
from release.config import forms, ladder
from release.config.settings import Config
from release.models import generate
from release.running import child, environment, fence, kept, machine
from release.running.tied import inherited as locks
from release.running.tied import tied
from release.values.cache import cache_folder
from release.values.errors import BY_EXIT_CODE, ConfigError, NotReproduced, PreflightError, shown
from release.values.events import Line, Say, Stage, tell

OFFERED = "release.cli.make"
"""What a commit offers to be reproduced by: a configuration becomes a run folder, by that commit's own code."""
APART = (sys.executable, fence.__file__)
"""Begins the command of a program that can read no other process: neither its environment nor its memory."""


@dataclass(frozen=True, kw_only=True)
class RecordedCommit:
    """A commit that is laid out in a folder, and the Python whose libraries run it."""

    root: Path
    python: str

    def make(self, config: Config, answer: Path) -> Path:
        """The run folder of this configuration; ``answer`` is a file that it is written to."""
        answer.unlink(missing_ok=True)
        has_it = (self.root / f"{OFFERED.replace('.', '/')}.py").exists()
        offered = ["-m", OFFERED] if has_it else [flat_commit.__file__]
        env = {**_environment(cards(config)), "PYTHONPATH": str(self.root)}
        command = [*APART, self.python, *offered, str(config.path), str(answer)]
        code = _heard(command, self.root, env)
        if problem := child.died("The pipeline of the recorded commit", code):
            raise PreflightError(problem)
        if code or not answer.exists():
            kind = BY_EXIT_CODE.get(code, NotReproduced)
            raise kind(f"The pipeline of the recorded commit stopped with exit status {code}; see the reason above.")
        return Path(answer.read_text("utf-8"))


def _heard(command: Sequence[str], root: Path, env: Mapping[str, str]) -> int:
    """The exit status of a program; what it says goes the way of all that is said here, and not to the terminal."""
    with subprocess.Popen(
        tied(command), cwd=root, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        encoding="utf-8", errors="replace", **locks(),
    ) as process:  # fmt: skip
        assert process.stdout is not None
        try:
            for line in process.stdout:
                sys.stderr.write(line)
                sys.stderr.flush()
        except BaseException:
            process.kill()
            raise
    return process.returncode


def is_trusted(commit: str | None, ref: str, root: Path | None = None) -> bool:
    """Whether a commit is in the history of a branch or tag that the caller trusts; HEAD is what runs here already.

    That the checkout holds it is not enough: it holds pull requests too, and whatever somebody pushed to be looked at.
    """
    root = root or environment.ROOT
    here = (root / ".git").exists()  # without it: site-packages may lie in the checkout of another project
    if not here or shutil.which("git") is None:
        return False
    trusted = _trusted(root, ref)
    if commit is None or not re.fullmatch("[0-9a-f]{40}", commit):
        return False
    return _git(root, "merge-base", "--is-ancestor", commit, trusted).returncode == 0


def _trusted(root: Path, ref: str) -> str:
    """The commit of a branch, of a tag, or of HEAD; ``ConfigError`` for any other name of one."""
    full = _git(root, "rev-parse", "--verify", "--quiet", "--symbolic-full-name", "--end-of-options", ref)
    name = full.stdout.strip().splitlines()[-1:] or [""]
    if ref != "HEAD" and not name[0].startswith(("refs/heads/", "refs/tags/", "refs/remotes/")):
        says = f"--trust-ref {shown(ref)} is not a branch or a tag of {root}. Name one whose history you trust, such as"
        raise ConfigError([f"{says} main or v1.0.0; a commit or a pull request can be anybody's."])
    return "HEAD" if ref == "HEAD" else name[0]


@contextlib.contextmanager
def worktree(root: Path, commit: str, folder: Path) -> Iterator[Path]:
    """The files of a commit in ``folder``, an untouched one of a killed run too; the checkout in ``root`` stays."""
    at, changes = _git(folder, "rev-parse", "HEAD"), _git(folder, "status", "--porcelain")
    if not (folder / ".git").exists() or at.stdout.strip() != commit or changes.stdout:
        _git(root, "worktree", "remove", "--force", str(folder))
        done = _git(root, "worktree", "add", "--detach", "--force", str(folder), commit)
        if done.returncode:
            raise ConfigError([f"git cannot show commit {commit} of {root}: {done.stderr.strip()}"])
    try:
        yield folder
    finally:
        _git(root, "worktree", "remove", "--force", str(folder))


def own_environment(root: Path, other: list[str], say: Say) -> str | None:
    """The Python of an environment made in ``root`` from its own hash locks; None where that cannot be done."""
    say(Stage(name="libraries", note="an environment of its own, from the locks of that commit"))
    for line in other:
        say(Line(text=f"different here: {line}"))
    script, python = root / "setup_environment.py", root / ".venv" / "bin" / "python"
    if not script.exists():
        say(Line(text="it was not made: that commit has no setup_environment.py"))
        return None
    done = subprocess.run(
        tied([*APART, sys.executable, str(script)]),
        cwd=root, env={**_environment(), **kept.to_install()}, capture_output=True, text=True, check=False, **locks(),
    )  # fmt: skip
    if done.returncode or not python.exists():
        tell(say, ["it was not made:", *done.stderr.strip().splitlines()])
        return None
    return str(python)


def cards(config: Config) -> int:
    """How many cards of those that are here the stages of a configuration ask for; one where none asks for several.

    A commit of before any setting asked for several would take each that it saw.
    """
    answering = (generate.shared(config.generation, form)[1] for form in forms.all_of(config).values())
    asked = max(ladder.at_once(config) * ladder.processes(config), *answering)
    return min(asked, max(1, machine.visible()))  # where these are too few, the commit itself says so


def _environment(many: int = 1) -> dict[str, str]:
    """What the recorded commit's programs see: no secret, its cards, and this checkout's cache, base model included.

    And where the Docker engine is: such a program may build the image of its own commit.
    """
    engine = kept.to_reach_an_engine()
    return {**child.inherited(), **engine, **machine.cards(many), "ADAPTER_RELEASE_CACHE": str(cache_folder())}


def _git(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, check=False)
