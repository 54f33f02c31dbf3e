"""Programs to look at a training with: one that is not there is named before, and none gets a network or a key."""

import importlib.util
import os
from pathlib import Path
from typing import Any

import pytest

from release.config import reading
from release.config.settings import Config
from release.judging import recording
from release.models import reporting
from release.values.errors import ConfigError
from release.values.events import Event, Line
from tests.helpers.line import small_config


def asking(folder: Path, **training: Any) -> Config:
    return reading.load(small_config(folder, training=training, container={"use": "never"}))


@pytest.mark.parametrize("name", reporting.REPORTS)
def test_a_program_that_is_not_installed_is_named_with_the_command_to_install_it(tmp_path: Path, name: str) -> None:
    asked, there = asking(tmp_path, report_to=[name]), importlib.util.find_spec(name) is not None

    problems = list(reporting.problems(asked, contained=False))

    assert [f"pip install {name}" in one for one in problems] == ([] if there else [True])
    assert ["container.use: never" in one for one in reporting.problems(asked, contained=True)] == [True]


def test_where_nothing_is_asked_for_nothing_is_said(tmp_path: Path) -> None:
    assert list(reporting.problems(asking(tmp_path), contained=True)) == []


@pytest.mark.parametrize("name", reporting.REPORTS)
def test_what_is_written_lies_in_the_run_folder_and_nothing_asks_for_a_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    for key in reporting.REPORTS[name].environment:
        monkeypatch.setenv(key, "before")
    said: list[Event] = []

    reporting.prepare(tmp_path, [name], said.append)

    assert (tmp_path / name).is_dir()
    assert any(str(tmp_path / name) in os.environ[key] for key in reporting.REPORTS[name].environment)
    (one,) = said
    assert isinstance(one, Line)
    assert str(tmp_path / name) in one.text
    assert os.environ.get("WANDB_MODE", "offline") == "offline"


def test_neither_a_tracker_nor_the_clock_of_checkpoints_reaches_a_release(tmp_path: Path) -> None:
    plain, watched = asking(tmp_path), asking(tmp_path, report_to=["wandb"], save_minutes=5)

    assert watched.training.save_minutes == 5
    assert recording.as_published(watched) == recording.as_published(plain)


@pytest.mark.parametrize("wrong", ["tensorboard", ["tensorbord"], [], ["wandb", "wandb"]])
def test_a_tracker_that_nobody_knows_is_refused(tmp_path: Path, wrong: object) -> None:
    with pytest.raises(ConfigError, match="report_to"):
        asking(tmp_path, report_to=wrong)
