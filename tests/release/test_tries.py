"""Several trainings until one passes on the tuning rows: over a stand-in that learns one answer in a few steps."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.families_table import CASES
from tests.helpers.hub_fixture import hub_in
from tests.helpers.line import ROOT, adapter_release
from tests.release.test_families import SMALL, TAG, prepared, surroundings

pytestmark = pytest.mark.slow
TRIES = {
    **SMALL,
    "training.learning_rate": 1e-7,
    "data.tuning_share": 0.25,
    "tries": {"changes": [{"training": {"learning_rate": 2e-2}}, {"training": {"learning_rate": 1e-2}}]},
}
"""The first learns nothing, by its rate; the second does, and so the third is not made."""


def words(**settings: Any) -> list[str]:
    said = {**TRIES, **{key.replace("__", "."): value for key, value in settings.items()}}
    return [
        word
        for key, value in said.items()
        for word in ("--set", f"{key}={value if isinstance(value, str) else json.dumps(value)}")
    ]


def killed_when(when: Callable[[], bool], folder: Path, env: Mapping[str, str], settings: list[str]) -> None:
    """Start the release, and kill -9 all of it then."""
    process = subprocess.Popen(
        [sys.executable, "-m", "release.cli", "release", "release.yaml", *settings],
        cwd=folder,
        env={**os.environ, "CI": "true", "PYTHONPATH": str(ROOT), **env},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    deadline = time.monotonic() + 400
    while process.poll() is None and not when() and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert when()


def checkpoints(folder: Path) -> list[Path]:
    return list(folder.glob("runs/mine/*/checkpoints/checkpoint-*.json"))


def table(folder: Path) -> Any:
    (path,) = folder.glob("runs/mine/tries/*/tries.json")
    return json.loads(path.read_bytes())


@pytest.mark.usefixtures("without_xet")
def test_only_the_first_try_that_passes_answers_the_golden_set_and_a_killed_one_goes_on(tmp_path: Path) -> None:
    (case,) = [one for one in CASES if one.name == "Qwen2.5 base"]
    with hub_in(tmp_path / "away") as hub:
        folder = prepared(case, tmp_path / "here", hub)
        env = surroundings(hub, tmp_path / "cache")

        refused = adapter_release("release", "release.yaml", *words(budget__tries=1), cwd=folder, env=env)
        assert refused.returncode == 5, refused.stderr
        assert "json_parse" in refused.stderr
        assert "budget.tries is 1" in refused.stderr
        assert not list(folder.glob("runs/mine/*/answers.jsonl"))
        first = table(folder)["tries"]
        killed_when(lambda: len(checkpoints(folder)) > 0, folder, env, words())
        done = adapter_release("release", "release.yaml", *words(), cwd=folder, env=env)
        assert done.returncode == 0, done.stderr

        told = table(folder)["tries"]
        assert [(one["name"], one["passed"]) for one in told] == [("1", False), ("2", True)]
        assert told[:1] == first
        (run,) = (path.parent for path in folder.glob("runs/mine/*/record.json"))
        assert json.loads((run / "training.json").read_bytes())["resumed_from_step"] is not None
        assert len((run / "ledger.jsonl").read_text("utf-8").splitlines()) == 1
        rows = ("--data", str(run / "data"))
        for command in (["tries", *words()], ["tries", TAG, *rows], ["verify", TAG, *rows]):
            looked = adapter_release(*command, cwd=folder, env=env)
            assert looked.returncode == 0, looked.stderr
            if command[0] == "tries":
                assert "training.learning_rate 0.02" in looked.stdout + looked.stderr
