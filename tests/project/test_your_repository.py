"""A repository that `init` wrote, as GitHub would run it: its workflows' rights, and the comment on a pull request."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

import gates
from release.config import example
from release.repository import written
from release.repository.asked import Wanted
from release.repository.rows import Given
from tests.helpers.line import ROOT, copy_of_this_repository
from tests.project.test_workflows import BIN, PUBLISHES, STANDINS, faults, python
from tests.release.repository.shapes import chat, write
from tests.release.repository.test_written import BASE, TOOL

GH = """#!/bin/sh
test -n "$GH_TOKEN" && test "$1 $2 $3" = "pr comment 7" || exit 3
mkdir -p "$ARTIFACTS/comment" && cp changes/changes.md "$ARTIFACTS/comment/"
"""


@pytest.fixture(scope="module")
def mine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("user")
    rows = Given(data=write(folder / "rows.jsonl", chat()))
    written.write(folder / "mine", Wanted(base=BASE, repo="me/mine", rows=rows, tool=TOOL))
    return folder / "mine"


def workflow(mine: Path, name: str) -> str:
    return (mine / ".github" / "workflows" / name).read_text("utf-8")


@pytest.mark.parametrize("name", ["release.yml", "reproduce.yml"])
def test_secrets_and_rights_reach_one_step_as_in_this_repository(mine: Path, name: str) -> None:
    tool = f"actions/adapter-release@{TOOL.partition('@')[2]}"
    text = workflow(mine, name).replace(TOOL, tool)  # an action by commit, as those of GitHub are

    assert faults(name, text) == []
    assert faults(name, text.replace(PUBLISHES, "Another step")) or name == "reproduce.yml"


def test_where_a_comment_may_be_written_nothing_of_the_pull_request_runs(mine: Path) -> None:
    jobs: dict[str, Any] = yaml.safe_load(workflow(mine, "check.yml"))["jobs"]

    rights = {name: job["permissions"] for name, job in jobs.items()}
    assert rights == {"check": {"contents": "read"}, "comment": {"pull-requests": "write"}}
    assert "token" not in str(jobs["check"])
    used = [step.get("uses", "").partition("@")[0] for step in jobs["comment"]["steps"]]
    assert used == ["actions/download-artifact", ""]
    assert "${{" not in str([step.get("run") for job in jobs.values() for step in job["steps"]])


def test_every_workflow_takes_the_tool_by_one_commit(mine: Path) -> None:
    taken = re.findall(
        r"uses: (?!actions/)(\S+)", "".join(workflow(mine, f"{n}.yml") for n in ("check", "release", "reproduce"))
    )

    assert set(taken) == {TOOL}
    assert len(taken) == 4


def worse(mine: Path) -> None:
    """The golden set is a row shorter, and a threshold lower."""
    golden = mine / "data" / "golden.jsonl"
    golden.write_text("".join(golden.read_text("utf-8").splitlines(keepends=True)[1:]), "utf-8")
    with (mine / "release.yaml").open("a", encoding="utf-8") as file:
        file.write("\ngates: {json_parse: {mode: zero_failures}, citation_coverage: {target: 0.6}}\n")


def commit(mine: Path, *arguments: str) -> str:
    git = ["git", "-C", str(mine), "-c", "user.name=a", "-c", "user.email=a@b.c"]
    for command in (["add", "--all"], ["commit", "--quiet", "-m", "mine"], *([[*arguments]] if arguments else [])):
        subprocess.run([*git, *command], check=True)
    return subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.slow
def test_a_pull_request_that_asks_less_is_seen_in_its_comment(mine: Path, tmp_path: Path) -> None:
    subprocess.run(["git", "init", "--quiet", "--initial-branch=main", str(mine)], check=True)
    before = commit(mine, "remote", "add", "origin", "https://github.com/me/mine.git")
    worse(mine)
    after = commit(mine)
    copy_of_this_repository(tmp_path / "tool")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "gh").write_text(GH, "utf-8")
    (tmp_path / "bin" / "gh").chmod(0o755)
    head = {"sha": after, "ref": "worse", "repo": {"full_name": "me/mine"}}
    pull = {"number": 7, "base": {"sha": before, "ref": "main"}, "head": head}
    event = tmp_path / "event.json"
    event.write_text(json.dumps({"pull_request": pull, "repository": {"full_name": "me/mine"}}), "utf-8")

    done = act(mine, tmp_path, event)

    assert done.returncode == 0, done.stdout + done.stderr
    comment = (tmp_path / "artifacts" / "comment" / "changes.md").read_text("utf-8")
    less = comment.partition("| gate |")[0].replace("&#95;", "_")
    assert "citation_precision&#58; gone" in less
    assert "citation_coverage&#58; target 0&#46;6&#44; was 0&#46;9".replace("&#44;", ",") in less
    assert "golden set&#58; 1 of its rows are gone" in less


def act(mine: Path, folder: Path, event: Path) -> subprocess.CompletedProcess[str]:
    """The workflow of pull requests, with stand-ins for the actions of others and a copy of this tool for its own."""
    used = set(
        re.findall(r"uses: (actions/(\S+)@\S+)", workflow(mine, "check.yml") + (ROOT / "action.yml").read_text())
    )
    local = [f"--local-repository={name}={STANDINS / action.partition('@')[0]}" for name, action in used]
    environment = {
        "PYTHON": str(python(folder)),
        "PYTHONPATH": str(ROOT),
        "ADAPTER_RELEASE_CACHE": str(folder / "cache"),
        "ARTIFACTS": str(folder / "artifacts"),
    }
    command = [
        *(str(BIN / "act"), "pull_request", "--workflows", ".github/workflows/check.yml", "--eventpath", str(event)),
        *("--no-cache-server", "-P", "ubuntu-24.04=-self-hosted", "--secret=GITHUB_TOKEN=unused"),
        *local,
        f"--local-repository={TOOL}={folder / 'tool'}",
        *(f"--env={name}={value}" for name, value in environment.items()),
    ]
    env = {**os.environ, "HOME": str(folder), "PATH": f"{folder / 'bin'}:{os.environ['PATH']}"}
    return subprocess.run(command, cwd=mine, env=env, capture_output=True, text=True, check=False)


def test_answers_in_a_file_are_judged_as_the_page_says(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "your-repository.md").read_text("utf-8").partition("## I only have answers in a file")[2]
    (contract,) = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    (commands,) = re.findall(r"```\n(python -m gates.*?)```", page, re.DOTALL)
    example.write(tmp_path)
    (tmp_path / "contract.yaml").write_text(contract, "utf-8")
    golden = gates.read_golden(tmp_path / "data" / "elements" / "golden.jsonl")
    answers = [{"id": row.id, "output": row.gold, "finish_reason": "stop"} for row in golden]
    write(tmp_path / "answers.jsonl", answers)

    for command in commands.splitlines():
        words = [sys.executable, *command.split()[1:]]
        env = {**os.environ, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(words, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    assert "**PASS**" in (tmp_path / "report.md").read_text("utf-8")
