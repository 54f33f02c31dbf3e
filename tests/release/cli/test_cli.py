"""The command line as its users meet it: help, exit codes, bad input, and what the documents say of it."""

import re
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from release.cli import __main__ as cli
from release.values import errors
from tests.helpers import rooms
from tests.helpers.line import ROOT, adapter_release

README = (ROOT / "README.md").read_text("utf-8")


def test_help_is_quick_and_imports_nothing_heavy() -> None:
    """Under half a second of CPU, without torch, the Hub's client or the server."""
    code = (
        "import sys, contextlib\n"
        "from release.cli import main\n"
        "with contextlib.suppress(SystemExit): main(['--help'])\n"
        "heavy = {'torch', 'transformers', 'huggingface_hub', 'great_expectations', 'starlette', 'docker'}\n"
        "sys.exit(', '.join(sorted(heavy & sys.modules.keys())) or 0)"
    )
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)

    assert done.returncode == 0, done.stderr
    assert after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime < 0.5


def commands() -> list[str]:
    """Every command and subcommand, as typed."""
    found = []
    for name, parser in subparsers(cli.parser()).items():
        inner = subparsers(parser)
        found += [f"{name} {sub}" for sub in inner] or [name]
    return found


def subparsers(parser: object) -> dict[str, object]:
    import argparse

    assert isinstance(parser, argparse.ArgumentParser)
    actions = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    return {name: sub for action in actions for name, sub in action.choices.items()}


@pytest.mark.parametrize("command", commands())
def test_every_command_is_in_the_readme(command: str) -> None:
    assert f"adapter-release {command}" in README


def test_every_command_of_the_readme_exists() -> None:
    """What the README lets a reader type is parsed by the program."""
    typed = set(re.findall(r"adapter-release ((?:hub |data )?[a-z]+)(?=[ `\n])", README))
    assert typed
    assert typed <= set(commands()) | {"hub", "data"}


def test_every_exit_code_is_in_the_readme_and_in_help() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.Stop)]
    codes = {kind.exit_code for kind in kinds}
    assert codes == set(range(1, 9))
    for code in sorted(codes | {0}):
        assert re.search(rf"^\| {code} \|", README, re.MULTILINE), code
        assert re.search(rf"\b{code} \w", cli.EXIT_CODES), code


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


def test_all_problems_of_a_configuration_are_told_at_once(tmp_path: Path) -> None:
    path = tmp_path / "release.yaml"
    path.write_text((ROOT / "release.yaml").read_text("utf-8").replace("learning_rate", "lerning_rate"), "utf-8")

    done = adapter_release("check", "release.yaml", "--set", "adapter.lora.r=0", cwd=tmp_path)

    assert done.returncode == 2
    assert "lerning_rate" in done.stderr
    assert "learning_rate" in done.stderr
    assert "adapter.lora.r" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_missing_configuration_is_a_usage_error(tmp_path: Path) -> None:
    done = adapter_release("check", "nowhere.yaml", cwd=tmp_path)

    assert done.returncode == 2
    assert "nowhere.yaml" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_override_without_a_value_is_a_usage_error() -> None:
    done = adapter_release("check", "--set", "training.max_steps", cwd=ROOT)

    assert done.returncode == 2
    assert "expected KEY=VALUE" in done.stderr


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


@pytest.mark.parametrize(
    ("command", "code", "says"),
    [
        (("hub", "serve", "--root", "a_file"), 4, "a_file cannot be used: File exists"),
        (("hub", "serve", "--port", "99999"), 2, "99999 is no port"),
        (("verify", "local/x@v1", "--hub", "file:a_file"), 4, "a_file cannot be used: File exists"),
        (("verify", "local/x@v1", "--hub", "host.example"), 2, '"host.example" is no Hub'),
        (("verify", "local/x@v1", "--hub", "file:"), 2, '"file:" is no Hub'),
        (("verify", "local/x@v1", "--hub", "http://me:sekret@127.0.0.1:1"), 2, "without a password"),
    ],
)
def test_a_slip_in_a_command_is_told_without_a_traceback(
    command: tuple[str, ...], code: int, says: str, tmp_path: Path
) -> None:
    (tmp_path / "a_file").touch()

    done = adapter_release(*command, cwd=tmp_path)

    assert done.returncode == code, done.stderr
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert "sekret" not in done.stderr
