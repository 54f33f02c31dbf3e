"""The documents and the tracked files, compared with what is there."""

import re
import subprocess
from pathlib import Path

from tests.helpers import rooms
from tests.helpers.line import ROOT

README = (ROOT / "README.md").read_text("utf-8")


def test_every_make_target_is_in_the_readme() -> None:
    targets = re.findall(r"^([a-z]+):.*##", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    assert targets
    for target in targets:
        assert f"make {target}" in README, target


def test_every_wing_is_in_the_readme_tree() -> None:
    for path in sorted((ROOT / "release").iterdir()):
        name = f"{path.name}/" if path.is_dir() else path.name
        if path.suffix == ".py" or (path / "__init__.py").exists():
            assert name == "__init__.py" or re.search(rf"^ +{re.escape(name)} ", README, re.MULTILINE), path


def test_the_architecture_page_shows_the_imports_and_the_rooms_as_they_are() -> None:
    assert rooms.written() == rooms.DOCS.read_text("utf-8"), "run `python -m tests.helpers.rooms`"


def test_no_file_of_the_project_is_ignored_by_git() -> None:
    """A common .gitignore template hides every folder called release."""
    done = subprocess.run(
        ["git", "check-ignore", "release/cli/__main__.py", "gates/__init__.py"],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    assert done.stdout == b""


def test_no_file_names_a_registry_a_machine_or_a_token() -> None:
    """Tracked files hold no address to install from, no path of a machine and nothing like a token."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    pattern = re.compile(r"files\.pythonhosted|pypi\.org/simple|hf_[A-Za-z0-9]{30,}|/(?:opt|work)/[a-z]")
    found = []
    made_up = {Path(__file__), ROOT / "tests" / "data" / "dataset" / "secret" / "train.jsonl"}
    for name in listed.stdout.splitlines():
        path = ROOT / name
        if path.suffix not in (".safetensors", ".png") and path.is_file() and path not in made_up:
            text = path.read_text("utf-8", errors="ignore")
            found += [f"{name}: {match.group()}" for match in pattern.finditer(text)]
    assert found == []
