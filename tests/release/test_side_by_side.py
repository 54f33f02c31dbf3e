"""Tries side by side: the record says what it says of the same tries one after the other, kills and all."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.families_table import CASES
from tests.helpers.hub_fixture import hub_in
from tests.helpers.line import adapter_release
from tests.release.test_families import TAG, prepared, surroundings
from tests.release.test_tries import checkpoints, killed_when, table, words

pytestmark = pytest.mark.slow
CHANGES = [
    {"training": {"learning_rate": 2e-2, "max_steps": 48}},
    {"training": {"learning_rate": 2e-2}},
    {"training": {"learning_rate": 1e-2}},
]
"""After the first, which learns nothing, one that passes; and one that would pass sooner."""


def told(folder: Path) -> list[tuple[Any, ...]]:
    """What the table says of each but how long it took."""
    return [tuple(value for key, value in sorted(one.items()) if key != "seconds") for one in table(folder)["tries"]]


def at_work(folder: Path) -> list[str]:
    """The processes that were told of this folder."""
    found = []
    for one in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            said = one.read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
        except OSError:
            continue
        if str(folder) in said:
            found.append(said)
    return found


@pytest.mark.usefixtures("without_xet")
def test_side_by_side_the_first_that_passes_is_judged_and_has_the_bytes_it_has_alone(tmp_path: Path) -> None:
    (case,) = [one for one in CASES if one.name == "Qwen2.5 base"]
    with hub_in(tmp_path / "away") as hub:
        folder, other = prepared(case, tmp_path / "here", hub), tmp_path / "alone"
        shutil.copytree(folder, other)
        env = surroundings(hub, tmp_path / "cache")
        several = {"tries": {"changes": CHANGES, "side_by_side": 2}, "run__threads": 2}
        both: set[Path] = set()

        def two_at_once() -> bool:
            both.update(path.parents[1] for path in checkpoints(folder))
            return len(both) >= 2

        killed_when(two_at_once, folder, env, words(**several))
        assert at_work(folder) == []
        done = adapter_release("release", "release.yaml", *words(**several), cwd=folder, env=env)
        assert done.returncode == 0, done.stderr
        beside = told(folder)
        names = [one["name"] for one in table(folder)["tries"]]
        assert names == ["1", "2"]
        (record,) = folder.glob("runs/mine/*/record.json")
        said = json.loads(record.read_bytes())
        assert said["config"]["run"]["threads"] == 1
        verified = adapter_release("verify", TAG, "--data", str(record.parent / "data"), cwd=folder, env=env)
        assert verified.returncode == 0, verified.stderr

        one_by_one = {"tries": {"changes": CHANGES}}
        alone = adapter_release("release", "release.yaml", *words(**one_by_one), cwd=other, env=env)
        assert alone.returncode == 0, alone.stderr
        assert told(other) == beside
