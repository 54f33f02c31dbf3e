"""Where a stage runs: the same call wherever that is, and every stage is a module that can be called."""

import ast
import importlib.util
import json
import sys
from pathlib import Path

import pytest

from release.config.settings import Container
from release.hub import requests
from release.models import generate, train
from release.running import child, environment, look, place
from release.running.container import InImage
from release.running.place import Here, Place
from release.values.errors import DataError
from release.values.events import Event, Progress
from tests.helpers import contained
from tests.helpers.line import ROOT

FILES = sorted((ROOT / "release").rglob("*.py"))


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


def calls_itself(path: Path) -> bool:
    """Whether a module hands its own name to a place or a child, to be run there."""
    calls = [node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Call)]
    named = [
        one.args[0] for one in calls if isinstance(one.func, ast.Attribute) and one.func.attr == "call" and one.args
    ]
    return any(isinstance(one, ast.Name) and one.id == "__name__" for one in named)


CALLED = [name_of(path) for path in FILES if calls_itself(path)]
STAGES = [*CALLED, environment.__name__, look.__name__, requests.ANSWERING]


def test_training_and_answering_are_called_by_their_own_names() -> None:
    assert {train.__name__, generate.__name__} <= set(CALLED)


@pytest.mark.parametrize("stage", STAGES)
def test_every_stage_is_a_module_that_runs(stage: str) -> None:
    found = importlib.util.find_spec(stage)
    assert found is not None
    assert found.origin is not None
    last = ast.parse(Path(found.origin).read_text("utf-8")).body[-1]
    assert isinstance(last, ast.If)
    assert ast.unparse(last.test) == "__name__ == '__main__'"


def test_a_stage_here_says_what_it_does_and_why_it_stopped(tmp_path: Path) -> None:
    told: list[Event] = []

    Here().call(contained.__name__, ["given", tmp_path], say=told.append, log=tmp_path / "log")
    with pytest.raises(DataError, match="There is no such row"):
        Here().call(contained.__name__, ["stop", tmp_path], say=told.append, log=tmp_path / "log")

    assert told[:2] == [Progress(name="given", done=0, total=2), Progress(name="given", done=2, total=2)]
    assert "a library talks" in (tmp_path / "log").read_text("utf-8")


def test_a_stage_here_gets_no_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_" + "s" * 34)

    Here().call(contained.__name__, ["given", tmp_path], say=lambda _: None, log=tmp_path / "log")

    assert "HF_TOKEN" not in json.loads((tmp_path / "given.json").read_text("utf-8"))


def test_the_key_of_a_served_model_reaches_the_stage_that_asks_it_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (child.SERVER_KEY, "HF_TOKEN"):
        monkeypatch.setenv(name, "a secret")

    def given(by: Here) -> dict[str, str]:
        by.call(contained.__name__, ["given", tmp_path], say=lambda _: None, log=tmp_path / "log")
        found: dict[str, str] = json.loads((tmp_path / "given.json").read_text("utf-8"))
        return found

    assert "a secret" not in given(Here()).values()
    asking = given(Here(secrets=(child.SERVER_KEY,)))
    assert [name for name, value in asking.items() if value == "a secret"] == [child.SERVER_KEY]
    monkeypatch.delenv(child.SERVER_KEY)
    assert child.SERVER_KEY not in given(Here(secrets=(child.SERVER_KEY,)))


def test_another_python_runs_the_code_of_this_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its libraries are others; a link to the same program stands for it."""
    monkeypatch.delenv("PYTHONPATH", raising=False)
    monkeypatch.chdir(tmp_path)
    other = tmp_path / "python"
    other.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n', "utf-8")
    other.chmod(0o755)

    Here(python=str(other)).call(contained.__name__, ["given", tmp_path], say=lambda _: None, log=tmp_path / "log")

    assert json.loads((tmp_path / "given.json").read_text("utf-8"))["PYTHONPATH"] == str(ROOT)


def test_where_no_container_is_wanted_stages_run_here_and_the_versions_here_count() -> None:
    found = place.find(Container(use="never"), lambda _: None)

    assert found == Here()
    assert (found.source, found.image_digest) == (None, environment.image_digest())


def test_an_image_is_a_place_too() -> None:
    image: Place = InImage(
        reference="a@sha256:0", image_digest="sha256:0", source="sha256:1", gpu=None, memory_bytes=None
    )

    assert (image.source, image.image_digest) == ("sha256:1", "sha256:0")
