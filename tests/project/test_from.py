"""Coming from elsewhere: the commands of each page run as they are written, over the files that it shows."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from release.cli import __main__ as cli
from release.values import layout, tensors
from tests.helpers import trainers
from tests.helpers.hub_fixture import EmbeddedHub
from tests.helpers.line import ROOT
from tests.release.models.test_base import REPO, put
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


def test_each_trainer_has_a_page() -> None:
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


def left_by_llama_factory(folder: Path) -> None:
    """The page speaks of a base that is a path there."""
    trainers.llama_factory(folder)
    trainers.changed(folder, base_model_name_or_path="/models/tiny")


LEFT: dict[str, tuple[Callable[[Path], object], str, str | None]] = {
    "axolotl": (trainers.axolotl, "Axolotl 0.12.2", None),
    "llama-factory": (left_by_llama_factory, "LLaMA-Factory", "local-path"),
    "mlx": (trainers.mlx, "MLX", "mlx-community/tiny-4bit"),
    "trl": (trainers.trl, "TRL 0.23.0", None),
    "unsloth": (trainers.unsloth, "Unsloth", "unsloth/tiny-unsloth-bnb-4bit"),
}
"""What a trainer leaves, what is told of it, and the ``named_base`` that is to be set."""


def test_what_the_pages_import_is_taken_with_the_base_that_it_was_trained_on(
    away: EmbeddedHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each page's own line, of its own folder; in the place of the page's base stands a small one on a Hub of here."""
    trainers.base(tmp_path / "base")
    tensors.write(trainers.lora(), tmp_path / "base" / "model.safetensors")  # of a base's weights names alone are read
    commit = put(away, tmp_path / "base", **{path.name: path.read_bytes() for path in (tmp_path / "base").iterdir()})
    for page, (left, told, named) in LEFT.items():
        text = "".join(text for _, text in blocks(ROOT / "docs" / "from" / f"{page}.md", "(bash)"))
        (line,) = (line for line in text.splitlines() if line.startswith("adapter-release import "))
        _, *typed = shlex.split(line)
        typed[typed.index("--base") + 1] = f"{REPO}@{commit}"
        (tmp_path / page).mkdir()
        monkeypatch.chdir(tmp_path / page)
        left(Path(typed[1]))

        cli.main(typed)

        said = capsys.readouterr().err
        assert told in said
        assert [one.strip() for one in said.splitlines() if "named_base" in one] == (
            [f"named_base: {named}"] if named else []
        ), said
        assert 'source: "adapter"' in said, said
        assert Path("adapter", layout.WEIGHTS).is_file()


@each_page
def test_what_a_page_only_names_is_a_command_with_real_options(page: Path) -> None:
    """What needs an adapter or a base of the Hub is not run here."""
    for _, text in blocks(page, "(bash)"):
        for line in text.splitlines():
            name, *typed = shlex.split(line)
            assert name == "adapter-release"
            cli.parser().parse_args(typed)
