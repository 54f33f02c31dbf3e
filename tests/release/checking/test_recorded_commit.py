"""The commit that a release was made from: its files beside the checkout, an environment of its own, its program."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from release.checking import recorded_commit
from release.checking.recorded_commit import RecordedCommit
from release.config import reading
from release.config.settings import Config
from release.values.errors import ConfigError, DataError, NotReproduced
from release.values.events import Line, Say
from tests.helpers.cards import ADA, ADA_LINE, TURING_LINE, machine_with
from tests.helpers.foreign_code import SECRETS, can_be_apart, leaked, looking, read
from tests.helpers.line import small_config


def test_the_line_of_another_commit_sees_the_one_card_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine_with(tmp_path, monkeypatch, TURING_LINE, ADA_LINE)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")

    assert recorded_commit._environment()["CUDA_VISIBLE_DEVICES"] == ADA


def small(folder: Path, **asked: Any) -> Config:
    """A configuration in ``folder``."""
    return reading.load(small_config(folder, **asked))


TWO = {"training": {"processes": 2}}


@pytest.mark.parametrize(
    ("asked", "there", "seen"),
    [
        ({}, 3, 1),
        (TWO, 3, 2),
        (TWO, 1, 1),
        ({"generation": {"processes": 2}}, 3, 2),
        ({"generation": {"device_map": "auto"}}, 3, 3),
        ({"serving": {"over": {"engine": "vllm", "tensor_parallel_size": 2}}}, 3, 2),
        (TWO, 0, 0),
    ],
)
def test_the_line_of_another_commit_sees_as_many_cards_as_its_configuration_asks_for(
    asked: dict[str, Any], there: int, seen: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = small(tmp_path, **asked)
    if there:
        machine_with(tmp_path, monkeypatch, *[ADA_LINE.replace("1111", f"111{number}", 1) for number in range(there)])
    commit = a_commit_with(tmp_path / "source", SEEN)

    run = commit.make(loaded, tmp_path / "made")

    assert str(run).count("GPU-") == seen


def a_repository(folder: Path) -> tuple[Path, str]:
    """A checkout with two commits; the first."""
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-C", str(folder)]
    subprocess.run(["git", "init", "-q", str(folder)], check=True)
    for text in ("first", "second"):
        (folder / "file").write_text(text)
        subprocess.run([*git, "add", "-A"], check=True)
        subprocess.run([*git, "commit", "-qm", text], check=True)
    done = subprocess.run([*git, "rev-parse", "HEAD~1"], capture_output=True, text=True, check=True)
    return folder, done.stdout.strip()


def held_by(root: Path, ref: str) -> str:
    """A commit that no branch has, only this ref; or nothing, where it is empty."""
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-C", str(root)]
    new = ["commit-tree", "HEAD^{tree}", "-p", "HEAD", "-m", "from elsewhere"]
    commit = subprocess.run([*git, *new], capture_output=True, text=True, check=True).stdout.strip()
    if ref:
        subprocess.run([*git, "update-ref", ref, commit], check=True)
    return commit


def test_commits_of_the_history_that_runs_here_are_trusted(tmp_path: Path) -> None:
    root, first = a_repository(tmp_path / "root")

    assert recorded_commit.is_trusted(first, "HEAD", root)
    assert not recorded_commit.is_trusted(None, "HEAD", root)
    assert not recorded_commit.is_trusted("0" * 40, "HEAD", root)
    assert not recorded_commit.is_trusted(first[:12], "HEAD", root)


@pytest.mark.parametrize(
    "ref",
    ["refs/pull/7/head", "refs/heads/somebody", "refs/remotes/fork/main", "refs/tags/theirs", "refs/stash", ""],
)
def test_a_commit_that_the_checkout_merely_holds_is_not_trusted(ref: str, tmp_path: Path) -> None:
    root, _ = a_repository(tmp_path / "root")

    assert not recorded_commit.is_trusted(held_by(root, ref), "HEAD", root)


@pytest.mark.parametrize(
    ("ref", "name"),
    [
        ("refs/heads/release", "release"),
        ("refs/tags/v1", "v1"),
        ("refs/remotes/origin/main", "origin/main"),
        ("refs/heads/a-b", "refs/heads/a-b"),
    ],
)
def test_a_branch_or_tag_that_the_caller_names_is_trusted(ref: str, name: str, tmp_path: Path) -> None:
    root, _ = a_repository(tmp_path / "root")

    assert recorded_commit.is_trusted(held_by(root, ref), name, root)


@pytest.mark.parametrize("ref", ["refs/pull/7/head", "", "HEAD~1", "nothing", "--all", "refs/stash"])
def test_what_is_not_a_branch_or_a_tag_cannot_be_named(ref: str, tmp_path: Path) -> None:
    root, _ = a_repository(tmp_path / "root")
    commit = held_by(root, ref if ref.startswith("refs/") else "")

    with pytest.raises(ConfigError, match="is not a branch or a tag"):
        recorded_commit.is_trusted(commit, ref or commit, root)


def test_an_installed_package_in_the_checkout_of_another_project_trusts_no_commit(tmp_path: Path) -> None:
    root, first = a_repository(tmp_path / "root")
    (root / "site-packages").mkdir()

    assert not recorded_commit.is_trusted(first, "HEAD", root / "site-packages")


def test_the_recorded_commit_is_shown_beside_the_checkout_and_taken_away_again(tmp_path: Path) -> None:
    root, first = a_repository(tmp_path / "root")

    with recorded_commit.worktree(root, first, tmp_path / "source") as source:
        assert (source / "file").read_text() == "first"

    assert (root / "file").read_text() == "second"
    assert not (tmp_path / "source").exists()


def test_a_worktree_that_a_killed_run_left_is_no_hindrance(tmp_path: Path) -> None:
    root, first = a_repository(tmp_path / "root")
    recorded_commit._git(root, "worktree", "add", "--detach", str(tmp_path / "source"), first)
    (tmp_path / "source" / "file").write_text("half")

    with recorded_commit.worktree(root, first, tmp_path / "source") as source:
        assert (source / "file").read_text() == "first"


def test_an_untouched_worktree_of_a_killed_run_is_used_again(tmp_path: Path) -> None:
    """Its environment, which took a minute to install, stays in it."""
    root, first = a_repository(tmp_path / "root")
    with recorded_commit.worktree(root, first, tmp_path / "source") as source:
        (source / ".venv").mkdir()
        (source / ".venv" / ".gitignore").write_text("*")
        shutil.copytree(source, tmp_path / "killed", symlinks=True)
    recorded_commit._git(root, "worktree", "add", "--detach", str(tmp_path / "source"), first)
    shutil.copytree(tmp_path / "killed" / ".venv", tmp_path / "source" / ".venv")

    with recorded_commit.worktree(root, first, tmp_path / "source") as source:
        assert (source / ".venv").exists()


SET_UP = """
import os, sys, venv
assert "HF_TOKEN" not in os.environ
venv.create(".venv", symlinks=True)
"""


def test_the_recorded_commit_gets_an_environment_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_" + "s" * 34)
    (tmp_path / "setup_environment.py").write_text(SET_UP)
    said: list[str] = []

    python = recorded_commit.own_environment(tmp_path, ["library: version of trl: 1 then, 2 now"], telling(said))

    assert python == str(tmp_path / ".venv" / "bin" / "python")
    assert subprocess.run([python, "-c", ""], check=False).returncode == 0
    assert "different here: library: version of trl: 1 then, 2 now" in said


@pytest.mark.parametrize(
    ("script", "told"),
    [(None, "that commit has no setup_environment.py"), ("raise SystemExit('no such package')", "no such package")],
)
def test_an_environment_that_cannot_be_made_is_told(script: str | None, told: str, tmp_path: Path) -> None:
    if script:
        (tmp_path / "setup_environment.py").write_text(script)
    said: list[str] = []

    assert recorded_commit.own_environment(tmp_path, [], telling(said)) is None
    assert told in said[-1]


def test_a_commit_that_git_does_not_know_is_named(tmp_path: Path) -> None:
    root, _ = a_repository(tmp_path / "root")

    with (
        pytest.raises(ConfigError, match="a" * 40),
        recorded_commit.worktree(root, "a" * 40, tmp_path / "source"),
    ):
        pass


def telling(said: list[str]) -> Say:
    """Keep what is said."""
    return lambda event: said.append(event.text) if isinstance(event, Line) else None


MAKE = """
import os, sys
from pathlib import Path
assert "HF_TOKEN" not in os.environ
assert os.environ["PYTHONPATH"] == os.getcwd()
Path(sys.argv[2]).write_text("the run of " + sys.argv[1])
"""


SEEN = """
import os, sys
from pathlib import Path
Path(sys.argv[2]).write_text("cards " + os.environ["CUDA_VISIBLE_DEVICES"])
"""


def a_commit_with(folder: Path, program: str) -> RecordedCommit:
    """A folder that offers this program to be reproduced by."""
    package = folder / "release" / "cli"
    package.mkdir(parents=True)
    for name, text in (("../__init__.py", ""), ("__init__.py", ""), ("make.py", program)):
        (package / name).write_text(text)
    return RecordedCommit(root=folder, python=sys.executable)


def test_its_own_program_makes_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_" + "s" * 34)
    (tmp_path / "made").write_text("of a run that was killed")

    run = a_commit_with(tmp_path / "source", MAKE).make(small(tmp_path), tmp_path / "made")

    assert run == Path(f"the run of {tmp_path}/release.yaml")


def test_its_program_sees_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    marker = tmp_path / "marker"

    with pytest.raises(NotReproduced):
        a_commit_with(tmp_path / "source", looking(marker)).make(small(tmp_path), tmp_path / "made")

    seen = read(marker)
    assert leaked(seen["environment"]) == []
    assert not can_be_apart() or {one["memory"] for one in seen["ancestors"]} == {"unreadable"}


def test_who_installs_its_libraries_sees_where_they_are_and_no_other_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "setup_environment.py").write_text(looking(tmp_path / "marker"))

    recorded_commit.own_environment(tmp_path, [], telling([]))

    seen = read(tmp_path / "marker")
    assert leaked(seen["environment"]) == ["HTTPS_PROXY", "PIP_INDEX_URL", "TORCH_FIND_LINKS"]


@pytest.mark.parametrize(
    ("program", "kind"),
    [("raise SystemExit(3)", DataError), ("raise SystemExit(1)", NotReproduced), ("", NotReproduced)],
)
def test_a_program_that_stopped_is_told_with_its_exit_status(
    program: str, kind: type[Exception], tmp_path: Path
) -> None:
    (tmp_path / "made").write_text("of a run that was killed")

    with pytest.raises(kind, match="stopped with exit status"):
        a_commit_with(tmp_path / "source", program).make(small(tmp_path), tmp_path / "made")
