"""Coming from elsewhere: the commands of each page run as they are written, over the files that it shows."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from release.cli import __main__ as cli
from tests.helpers.line import ROOT
from tests.release.repository.shapes import chat, write

PAGES = sorted((ROOT / "docs" / "from").glob("*.md"))
each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)


def blocks(page: Path, first: str) -> list[tuple[str, str]]:
    """The fenced blocks whose opening line fits, each with what stands there after the language."""
    return re.findall(rf"```{first}\n(.*?)```", page.read_text("utf-8"), re.DOTALL)


def commands(page: Path) -> list[tuple[str, list[str]]]:
    """Each line that is typed, with the lines that it is said to print."""
    found: list[tuple[str, list[str]]] = []
    for _, text in blocks(page, "(console)"):
        for line in text.splitlines():
            if line.startswith("$ "):
                found.append((line.removeprefix("$ "), []))
            else:
                found[-1][1].append(line)
    return found


def test_each_trainer_of_the_issue_has_a_page() -> None:
    assert {page.stem for page in PAGES} == {"answers", "axolotl", "llama-factory", "mlx", "trl", "unsloth"}


@each_page
def test_what_a_page_types_runs_and_says_what_it_shows(page: Path, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    if page.stem != "answers":
        write(tmp_path / "data" / "train.jsonl", chat())
    for name, text in blocks(page, r"\w+ ([\w.-]+)"):
        (tmp_path / name).write_text(text, "utf-8")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    env = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}

    for line, shown in commands(page):
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", line], cwd=tmp_path, env=env, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{line}\n{done.stderr}"
        said = [one.strip() for one in (done.stdout + done.stderr).splitlines()]
        assert [one for one in shown if one.strip() not in said] == [], "\n".join(said)


@each_page
def test_what_a_page_only_names_is_a_command_with_real_options(page: Path) -> None:
    """What needs an adapter or a base of the Hub is not run here."""
    for _, text in blocks(page, "(bash)"):
        for line in text.splitlines():
            name, *typed = shlex.split(line)
            assert name == "adapter-release"
            cli.parser().parse_args(typed)
