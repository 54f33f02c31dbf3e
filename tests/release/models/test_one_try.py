"""A try in a process of its own trains where its run folder says, or not at all."""

import json
from pathlib import Path

import pytest

from release.models import one_try
from release.running import child, environment, kept
from release.running.container import InImage
from release.running.place import Here, Place
from release.values import layout
from release.values.errors import PreflightError
from tests.helpers.line import small_config

ONE, OTHER = (f"sha256:{letter * 64}" for letter in "ab")


def in_image(source: str) -> InImage:
    return InImage(reference=source, image_digest=source, source=source, gpu=None, memory_bytes=None)


def begun(run: Path, image: str | None) -> Path:
    run.mkdir()
    told = {"image": image} if image else {"versions": environment.versions()}
    (run / layout.INPUTS).write_text(json.dumps(told))
    return run


@pytest.mark.parametrize(("image", "found"), [(None, Here()), (ONE, in_image(ONE))])
def test_the_place_that_the_run_was_begun_for_is_used(tmp_path: Path, image: str | None, found: Place) -> None:
    assert one_try._place(begun(tmp_path / "run", image), found) is found


@pytest.mark.parametrize(
    ("image", "found", "said"),
    [
        (ONE, Here(), f"for the image {ONE}; its own process finds this machine itself, without one"),
        (ONE, in_image(OTHER), f"for the image {ONE}; its own process finds the image {OTHER}"),
        (None, in_image(ONE), f"for this machine itself, without one; its own process finds the image {ONE}"),
    ],
)
def test_another_place_is_refused(tmp_path: Path, image: str | None, found: Place, said: str) -> None:
    with pytest.raises(PreflightError, match=f"{said}. Nothing was trained.*docker info.*run again"):
        one_try._place(begun(tmp_path / "run", image), found)


def test_an_engine_that_is_away_since_the_run_began_lets_no_try_train_on_the_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none")
    run = begun(tmp_path / "run", ONE)
    (run / "config.yaml").write_bytes(small_config(tmp_path).read_bytes())

    with pytest.raises(PreflightError, match="this machine itself"):
        child.call(
            one_try.__name__,
            str(run),
            say=lambda _: None,
            log=tmp_path / "try.log",
            env={**child.STAGE, **kept.to_reach_an_engine()},
        )
    assert not (run / "train.log").exists()
