"""Which tries there are is decided once: not by the memory that is free at each start."""

from pathlib import Path
from typing import Any

import pytest

from release import inputs, tries
from release.config import reading
from release.inputs import Inputs
from release.running import machine
from release.values.errors import PreflightError
from tests.helpers.line import small_config


def configured(folder: Path, **sections: Any) -> Inputs:
    path = small_config(
        folder, data={"tuning_share": 0.2}, run={"output_dir": "run"}, container={"use": "never"}, **sections
    )
    return inputs.load(reading.load(path), lambda _: None)


def with_memory(folder: Path, patch: pytest.MonkeyPatch, size: int) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "memory.max").write_text(str(size))
    (folder / "memory.current").write_text("0")
    patch.setattr(machine, "CGROUP", folder)


def named(found: Inputs, rows: str = "a") -> tuple[list[str], int]:
    """The tries, and how many were left out."""
    steps, left_out = tries.planned(found, {"train": rows})
    return [one.name for one in steps], len(left_out)


@pytest.mark.usefixtures("base")
def test_what_was_planned_stays_whatever_is_free_at_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = configured(tmp_path, tries={"ladder": "learning_rates"})
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / tries.TABLE).write_text("of other tries")

    with_memory(tmp_path / "cgroup", monkeypatch, 64 << 30)
    first = named(found)
    assert not (tmp_path / "run" / tries.TABLE).exists()
    with_memory(tmp_path / "cgroup", monkeypatch, 100 << 20)

    assert named(found) == first == (["1", "2", "3", "4"], 0)
    assert named(configured(tmp_path, tries={"ladder": "learning_rates"}, budget={"tries": 2})) == (["1", "2"], 2)
    assert named(found) == first
    assert named(found, rows="other") == (["1"], 3)


@pytest.mark.usefixtures("base")
def test_in_a_list_a_try_without_memory_is_wrong_and_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = configured(tmp_path, tries={"changes": [{"training": {"learning_rate": 1e-4}}]})
    with_memory(tmp_path / "cgroup", monkeypatch, 100 << 20)

    with pytest.raises(PreflightError, match=r"tries.changes, try 2 \(training.learning_rate 0.0001\): .* memory"):
        tries.planned(found, {})
