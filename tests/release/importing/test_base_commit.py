"""The commit of an imported adapter's base where release.yaml names none: found once, said, and kept; or asked for."""

from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from release import inputs
from release.config import reading
from release.config.settings import Config
from release.importing import base_commit, sources
from release.inputs import Unread
from release.models import base as bases
from release.values.errors import ConfigError
from tests.helpers import trainers
from tests.helpers.hub_fixture import EmbeddedHub
from tests.helpers.line import small_config
from tests.release.models.test_base import REPO, put

NOWHERE = "http://127.0.0.1:9"


def configured(folder: Path, **adapter: object) -> Config:
    """A configuration without a commit, of an adapter with these settings of its own."""
    trainers.plain(folder / "brought", **adapter)
    path = trainers.configuration(small_config(folder, run={"output_dir": "runs"}), "brought")
    said = yaml.safe_load(path.read_text("utf-8"))
    said["model"] = {"base_model_id": REPO}
    path.write_text(yaml.safe_dump(said), "utf-8")
    return reading.load(path)


def test_the_commit_of_main_is_asked_once_said_and_kept(
    away: EmbeddedHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    config = configured(tmp_path, revision=None)
    first = put(away, tmp_path / "files", **{"config.json": b"{}"})

    found = base_commit.settled(config, None, lambda event: told.append(getattr(event, "text", "")))
    later = put(away, tmp_path / "files", **{"config.json": b'{"a": 1}'})
    monkeypatch.setenv("HF_ENDPOINT", NOWHERE)  # the second command asks nobody
    again = base_commit.settled(config, None, lambda event: told.append(getattr(event, "text", "")))

    assert later != first
    assert (found.model.revision, again.model.revision) == (first, first)
    assert told == [f'note: model.revision is not set: "{first}" of {REPO} is taken and recorded.'] * 2
    assert reading.effective(found)["model"]["revision"] == first


def test_the_commit_that_the_adapter_names_counts_before_the_hubs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ADAPTER_RELEASE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_ENDPOINT", NOWHERE)
    own = configured(tmp_path, revision=trainers.COMMIT)

    with sources.opened(str(own.adapter.source), lambda _: None, tmp_path) as adapter:
        assert base_commit.settled(own, adapter, lambda _: None).model.revision == trainers.COMMIT


def test_the_adapter_of_a_hub_is_fetched_once_for_its_commit_and_for_itself(
    away: EmbeddedHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ADAPTER_RELEASE_CACHE", str(tmp_path / "cache"))
    config = configured(tmp_path, revision=trainers.COMMIT)
    there = {path.name: path.read_bytes() for path in (tmp_path / "brought").iterdir()}
    commit = put(away, tmp_path / "files", **there)
    named = replace(config, adapter=replace(config.adapter, source=f"hf://{REPO}@{commit}"))
    told: list[str] = []

    found = inputs.load(named, lambda event: told.append(getattr(event, "text", "")))

    assert found.config.model.revision == trainers.COMMIT
    assert len([one for one in told if "downloading the adapter" in one]) == 1


@pytest.mark.parametrize(
    "adapter",
    [
        {"revision": None},
        {"revision": "main"},
        {"revision": trainers.COMMIT, "base_model_name_or_path": "someone/other"},  # a commit of another repository
    ],
)
def test_without_a_hub_the_key_to_set_is_named(
    adapter: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ADAPTER_RELEASE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_ENDPOINT", NOWHERE)
    config = configured(tmp_path, **adapter)

    found = inputs.load(config, lambda _: None)

    assert isinstance(found.base, Unread)
    assert isinstance(found.base.why, ConfigError)
    assert 'Write `revision: "COMMIT"` under model' in str(found.base.why)
    assert not (config.run.output_dir / base_commit.KEPT).exists()


@pytest.mark.parametrize("kept", ["", "[]", '{"commit": "main", "base_model_id": "someone/tiny"}', '{"commit": 1}'])
def test_what_was_kept_and_is_no_commit_is_not_taken(kept: str, away: EmbeddedHub, tmp_path: Path) -> None:
    config = configured(tmp_path)
    commit = put(away, tmp_path / "files", **{"config.json": b"{}"})
    config.run.output_dir.mkdir(parents=True)
    (config.run.output_dir / base_commit.KEPT).write_text(kept, "utf-8")

    assert base_commit.settled(config, None, lambda _: None).model.revision == commit


def test_what_is_trained_here_or_embedded_is_left_as_it_is(tmp_path: Path) -> None:
    trained = reading.load(small_config(tmp_path))

    assert base_commit.settled(trained, None, lambda _: None) is trained
    with pytest.raises(ConfigError, match=r"model\.revision is missing"):
        reading.load(small_config(tmp_path, model={"source": "hub"}))


def test_code_of_a_base_runs_at_a_commit_that_somebody_wrote_down(tmp_path: Path) -> None:
    path = configured(tmp_path).path
    said = yaml.safe_load(path.read_text("utf-8"))
    said["model"]["trust_remote_code"] = True
    path.write_text(yaml.safe_dump(said), "utf-8")

    with pytest.raises(ConfigError, match=r"model\.revision is missing"):
        reading.load(path)


def test_a_base_without_a_commit_is_asked_for_nowhere(tmp_path: Path) -> None:
    """As a record may say that another program wrote."""
    with pytest.raises(ConfigError, match=r"model\.revision is missing"):
        bases.resolve(configured(tmp_path).model, lambda _: None)
