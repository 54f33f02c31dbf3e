"""Rows from a dataset repository of the Hub: at a commit, whole, once; and as a file here would be."""

import json
from pathlib import Path

import pytest

from release.config import reading
from release.config.rules import HubFile
from release.data import dataset, sources
from release.values.errors import ConfigError, HubError, VerificationError
from release.values.events import Event
from tests.helpers.hub_fixture import EmbeddedHub
from tests.helpers.line import ROOT, adapter_release, small_config

REPO = "someone/rows"
ROWS = (ROOT / "data" / "elements" / "train.jsonl").read_bytes()


def quiet(_: Event) -> None:
    """Say nothing."""


@pytest.fixture
def commit(away: EmbeddedHub) -> str:
    """A dataset repository with the default training rows in a folder."""
    away.api.create_repo(REPO, repo_type="dataset", private=True)
    return away.api.upload_file(
        path_or_fileobj=ROWS, path_in_repo="data/train.jsonl", repo_id=REPO, repo_type="dataset"
    ).oid


def test_rows_from_the_hub_are_those_of_the_file(commit: str, tmp_path: Path) -> None:
    """The digest in the record is that of the same rows in a file."""
    address = f"hf://datasets/{REPO}@{commit}/data/train.jsonl"
    loaded = reading.load(small_config(tmp_path, data={"train_file": address}))

    train, _ = sources.load(loaded, quiet)

    assert train is not None
    assert train.sha256 == dataset.load(ROOT / "data" / "elements" / "train.jsonl").sha256
    assert reading.effective(loaded)["data"]["train_file"] == address


def test_what_was_fetched_is_kept_and_needs_no_hub(commit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    file = HubFile(repo_id=REPO, commit=commit, path="data/train.jsonl")
    first = sources.local(file, quiet)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")

    assert sources.local(file, quiet) == first
    assert first.read_bytes() == ROWS


def test_a_file_that_changed_in_the_cache_is_refused(commit: str) -> None:
    file = HubFile(repo_id=REPO, commit=commit, path="data/train.jsonl")
    path = sources.local(file, quiet)
    path.write_bytes(ROWS + b"\n")

    with pytest.raises(VerificationError, match="is not what was fetched"):
        sources.local(file, quiet)


def test_a_file_that_is_not_there_is_named_with_those_that_are(commit: str) -> None:
    with pytest.raises(HubError, match=r"has no file 'train\.jsonl'\. There are: data/train\.jsonl"):
        sources.local(HubFile(repo_id=REPO, commit=commit, path="train.jsonl"), quiet)


@pytest.mark.usefixtures("commit")
def test_a_commit_that_is_not_there_is_refused() -> None:
    with pytest.raises(HubError, match="repository or revision does not exist"):
        sources.local(HubFile(repo_id=REPO, commit="0" * 40, path="data/train.jsonl"), quiet)


@pytest.mark.parametrize("at", ["", "@main", "@v1", "@0123abc"])
def test_a_branch_is_no_commit_on_the_command_line_either(at: str) -> None:
    with pytest.raises(ConfigError, match=r"a branch or tag can move\. Write the commit"):
        sources.named(f"hf://datasets/{REPO}{at}/train.jsonl", quiet)


def test_a_dataset_of_the_hub_is_converted_by_the_command(commit: str, tmp_path: Path) -> None:
    address = f"hf://datasets/{REPO}@{commit}/data/train.jsonl"

    done = adapter_release("data", "convert", address, "--to", "rows.jsonl", cwd=tmp_path)

    assert done.returncode == 0, done.stderr
    assert len((tmp_path / "rows.jsonl").read_bytes().splitlines()) == 640
    assert json.loads((tmp_path / "rows.jsonl").read_bytes().splitlines()[0])["id"] == "train-0001"
