"""What is said before anything is sent to a machine that lacks what a candidate needs."""

import os
import re
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from release.config import reading
from release.config.settings import Config
from release.remote import needs, systems
from release.remote.needs import Seen
from release.values import layout
from release.values.errors import PreflightError
from release.values.events import Line
from tests.helpers import lent
from tests.helpers.hub_fixture import EmbeddedHub

BARE = Seen(engine=False, image=False, vllm=False, servers=False)
OTHERS = {"publishing.endpoint": "https://hub.example", "publishing.allow_unpinned": "false", "container.use": "auto"}
VLLM = {"serving": "{served: {engine: vllm}}"}
HERE = {"serving": "{served: {engine: openai, url: 'http://127.0.0.1:8000/v1', model: m, base_model: b}}"}
AWAY = {"serving": "{served: {engine: openai, url: 'https://models.example/v1', model: m, base_model: b}}"}
PRIVATE = {**OTHERS, "publishing.allow_unpinned": "true", "publishing.private": "true"}


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return lent.project(tmp_path_factory.mktemp("project") / "line")


def checked(config: Config, found: Seen, token: str = "") -> list[str]:
    """What is told, where nothing is refused."""
    told: list[str] = []
    system = systems.find("ssh:there", None, Path())
    needs.check(
        config, system, found, token, lambda event: told.append(event.text) if isinstance(event, Line) else None
    )
    return told


@pytest.mark.parametrize(
    ("settings", "found", "says"),
    [
        (
            OTHERS,
            {},
            "must run in the pinned container image, which is not so on ssh:there. Set publishing.allow_unpin",
        ),
        (
            {**OTHERS, "container.use": "never"},
            {"engine": True},
            "must run in the pinned container image, which is not",
        ),
        ({"container.use": "require"}, {}, "container.use is require, so training and answering need a Docker engine"),
        (VLLM, {}, "serving.served is answered by vLLM, so in the environment over there ADAPTER_RELEASE_VLLM"),
        (HERE, {}, "serving.served.url is http://127.0.0.1:8000/v1, so a server must answer at that address"),
        ({"publishing.endpoint": "http://127.0.0.1:9"}, {}, "publishing.endpoint is http://127.0.0.1:9, so a server"),
    ],
)
def test_what_is_not_there_is_refused_and_what_may_be_is_told(
    line: Path, settings: dict[str, str], found: dict[str, bool], says: str
) -> None:
    config = reading.load(line / "release.yaml", settings)
    with pytest.raises(PreflightError, match=re.escape(says)) as stop:
        checked(config, replace(BARE, **found))
    assert str(stop.value).endswith("Nothing was sent.")

    (told,) = checked(config, Seen())
    assert says.partition(", which is not")[0] in told


@pytest.mark.parametrize(
    ("settings", "found"),
    [
        ({"container.use": "auto"}, {}),
        ({**OTHERS, "publishing.allow_unpinned": "true"}, {}),
        (OTHERS, {"engine": True}),
        (OTHERS, {"image": True}),
        ({**OTHERS, "container.use": "never"}, {"image": True}),
        ({"container.use": "require"}, {"engine": True}),
        ({"container.use": "require"}, {"image": True}),
        (VLLM, {"vllm": True}),
        (AWAY, {}),
    ],
)
def test_what_is_there_is_no_word_worth(line: Path, settings: dict[str, str], found: dict[str, bool]) -> None:
    assert checked(reading.load(line / "release.yaml", settings), replace(BARE, **found)) == []


def test_of_a_machine_that_a_scheduler_chooses_nothing_is_known(line: Path) -> None:
    told = {"engine": False, "vllm": False, "more": 1, "image": "yes"}

    assert needs.seen(told, systems.find("slurm:a.sbatch", None, line)) == Seen()
    assert needs.seen(told, systems.find("ssh:there", None, line)) == Seen(engine=False, vllm=False)


@pytest.mark.parametrize("where", ["listens", "nobody listens", "is nowhere", "is another machine"])
def test_an_engine_is_one_that_listens_there(tmp_path: Path, where: str) -> None:
    path = tmp_path / "sock"
    with socket.socket(socket.AF_UNIX) as one:
        if where != "is nowhere":
            one.bind(str(path))
        if where == "listens":
            one.listen()
        host = f"tcp://{path}" if where == "is another machine" else f"unix://{path}"
        program = f"import sys; sys.path[:0] = {sys.path!r}; from release.remote import there; print(there._engine())"
        done = subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "DOCKER_HOST": host}, capture_output=True, text=True, check=True,
        )  # fmt: skip

    assert done.stdout.strip() == str(where == "listens")


def test_a_private_repository_with_releases_is_refused_and_one_without_is_not(line: Path, away: EmbeddedHub) -> None:
    config = reading.load(line / "release.yaml", {**PRIVATE, "publishing.endpoint": away.endpoint})
    found, repo = replace(BARE, servers=None), config.publishing.hf_repo
    assert not any("is private" in told for told in checked(config, found, away.token))
    assert any(f"{repo} is private" in told for told in checked(config, found))  # without a token it is not known

    away.api.create_repo(repo, private=True)
    away.api.upload_file(path_or_fileobj=b"{}", path_in_repo=layout.RECORD, repo_id=repo)
    away.api.create_tag(repo, tag="v0.0.1")
    with pytest.raises(PreflightError, match=f"{repo} is private, .*adapter-release release"):
        checked(config, found, away.token)
