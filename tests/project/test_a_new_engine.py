"""The answering engine that CONTRIBUTING shows is whole: applied to a copy of the tree, it answers."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import gates
from tests.helpers.line import ROOT
from tests.helpers.prepared import GOLDEN_ROWS, RELEASED, prepared_config

SHOWN = re.compile(r"^## To add an answering engine\n.*?^```diff\n(.*?)^```$", re.DOTALL | re.MULTILINE)
REFUSAL = {"answer": "", "citations": [], "refusal": True}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """The packages with the diff applied."""
    (diff,) = SHOWN.findall((ROOT / "CONTRIBUTING.md").read_text("utf-8"))
    assert len(re.findall(r"^[+](?![+])", diff, re.MULTILINE)) < 40
    tree = tmp_path / "tree"
    for name in ("release", "gates", "hub_folder", "schemas", "locks"):
        shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
    subprocess.run(["git", "apply", "-"], cwd=tree, input=diff.encode(), check=True)
    return tree


def test_the_engine_that_contributing_shows_answers_every_golden_question(tree: Path, tmp_path: Path) -> None:
    """No weight is there, so no other engine could."""
    run, base, kept = (tmp_path / name for name in ("run", "base", "kept"))
    for folder in (run / "data", run / "adapter", base, kept):
        folder.mkdir(parents=True)
    config = yaml.safe_load(prepared_config(tmp_path).read_text("utf-8"))
    config["serving"] = {"refused": {"engine": "refusing"}}
    (run / "config.yaml").write_text(yaml.safe_dump(config), "utf-8")
    (run / "answers.jsonl").write_bytes((RELEASED / "gates" / "answers.jsonl").read_bytes())
    (run / "base_answers.jsonl").write_bytes((RELEASED / "gates" / "base_answers.jsonl").read_bytes())
    shutil.copyfile(tmp_path / "golden.jsonl", run / "data" / "golden.jsonl")
    for name in json.loads((RELEASED / "release.json").read_bytes())["adapter"]["files"]:
        shutil.copyfile(RELEASED / name, run / "adapter" / name)
    (base / "base.json").write_text("{}", "utf-8")

    done = subprocess.run(
        [sys.executable, "-P", "-m", "release.models.generate", str(run), str(base), str(kept), "refused"],
        env={**os.environ, "PYTHONPATH": str(tree)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    golden = gates.read_golden(run / "data" / "golden.jsonl")
    outputs = gates.read_outputs(run / "forms" / "refused" / "answers.jsonl")
    assert [one.id for one in outputs] == [row.id for row in golden]
    assert len(outputs) == GOLDEN_ROWS
    assert all(json.loads(one.output) == REFUSAL for one in outputs)
    told = json.loads((run / "forms" / "refused" / "generation.json").read_bytes())
    assert told["loaded"] == {"text": json.dumps(REFUSAL)}
