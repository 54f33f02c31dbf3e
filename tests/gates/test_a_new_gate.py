"""The gate that CONTRIBUTING.md adds as an example: a copy of the tree takes its diff and judges with it."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import gates
from gates.__main__ import main
from tests.gates.examples import DATA, answer, golden, golden_rows, write_lines

ROOT = Path(__file__).parents[2]
PATCH = re.search(r"## To add a gate\n.*?```diff\n(.*?)```", (ROOT / "CONTRIBUTING.md").read_text("utf-8"), re.DOTALL)
POLICY = "whole_sentences: {target: 0.9}\n"


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what a gate is made of, with the example in it."""
    assert PATCH is not None
    tree = tmp_path_factory.mktemp("tree")
    for folder in ("gates", "schemas", "tests/gates"):
        shutil.copytree(ROOT / folder, tree / folder, ignore=shutil.ignore_patterns("__pycache__"))
    (tree / "docs").mkdir()
    shutil.copy(ROOT / "docs" / "gates.md", tree / "docs")
    subprocess.run(["git", "apply", "-"], input=PATCH[1].encode(), check=True, cwd=tree, timeout=60)
    return tree


@pytest.fixture
def judged(tmp_path: Path) -> list[str]:
    """Reference answers of which five break off within a sentence, as arguments of the command."""
    outputs = [{"id": one.id, "output": one.output} for one in gates.gold_outputs(golden())]
    for one in outputs[:5]:
        one["output"] = answer(2).replace("It is so", "It is not").replace("].", "]")
    answers = write_lines(tmp_path / "answers.jsonl", outputs)
    rows = write_lines(tmp_path / "golden.jsonl", golden_rows())
    return [str(answers), "--golden", str(rows), "--contract", str(DATA / "contract" / "contract.yaml")]


def _in(tree: Path, *command: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"}
    arguments = [sys.executable, "-m", *command]
    return subprocess.run(
        arguments, check=False, cwd=tree, env=environment, text=True, capture_output=True, timeout=300
    )


def test_the_example_is_short() -> None:
    assert PATCH is not None
    added = [line for line in PATCH[1].splitlines() if line.startswith("+") and not line.startswith("+++")]
    assert 20 < len(added) < 40


def test_it_decides_and_its_control_proves_that_it_can_fail(tree: Path, judged: list[str], tmp_path: Path) -> None:
    (tmp_path / "policy.yaml").write_text(POLICY, "utf-8")
    done = _in(tree, "gates", *judged, "--policy", str(tmp_path / "policy.yaml"), "--explain", "whole_sentences")
    assert done.returncode == 5, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("FAIL whole_sentences: 35/40 = 87.5 %")
    assert lines.count("  q00: ends within a sentence") == 1


def test_a_tree_without_it_refuses_its_name(judged: list[str], tmp_path: Path) -> None:
    (tmp_path / "policy.yaml").write_text(POLICY, "utf-8")
    with pytest.raises(gates.InvalidConfig, match="whole_sentences: unknown key"):
        gates.load_policy({"whole_sentences": {"target": 0.9}})
    assert main([*judged, "--policy", str(tmp_path / "policy.yaml")]) == 2


def test_a_verdict_by_a_policy_that_does_not_name_it_keeps_its_bytes(
    tree: Path, judged: list[str], tmp_path: Path
) -> None:
    main([*judged, "--json", str(tmp_path / "before.json")])
    _in(tree, "gates", *judged, "--json", str(tmp_path / "after.json"))
    before = (tmp_path / "before.json").read_bytes()
    assert before == (tmp_path / "after.json").read_bytes()
    assert "answer_rate" in {gate["gate"] for gate in json.loads(before)["gates"]}


def test_the_tests_of_every_gate_pass_with_it(tree: Path) -> None:
    options = ["-q", "-p", "no:cacheprovider", "-c", os.devnull, f"--rootdir={tree}", "--import-mode=importlib"]
    done = _in(
        tree,
        "pytest",
        *options,
        "-k",
        "whole_sentences or gates_and_the_schema or documentation",
        "tests/gates/test_metrics.py",
    )
    assert done.returncode == 0, done.stdout
    assert re.search(r"\b[5-9] passed", done.stdout), done.stdout
