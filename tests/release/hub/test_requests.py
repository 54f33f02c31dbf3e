"""What goes between a process that asks and the one that speaks to a Hub: typed values, and nothing else."""

import importlib.util
import json
from pathlib import Path
from typing import get_args

import pytest

from release.hub import requests
from release.hub.requests import AnyRequest, BaseOutline, CheckRights, Fetch, FetchBase, History, OutlineBase, Tag
from release.publishing import hub_request
from release.values.errors import ConfigError, HubError

HISTORY = History(repo_id="local/x", before="v2", folder=Path("/runs/earlier"))
OUTLINE = OutlineBase(repo_id="someone/base", revision="a" * 40, destination=Path("/cache/base"))


def test_the_module_that_answers_is_there() -> None:
    assert importlib.util.find_spec(requests.ANSWERING) is not None
    assert hub_request.__name__ == requests.ANSWERING


def test_every_request_is_known_to_the_process_that_answers() -> None:
    assert set(hub_request.REQUESTS.values()) == set(get_args(AnyRequest))


@pytest.mark.parametrize(
    "request_",
    [HISTORY, OUTLINE, CheckRights(repo_id="local/x", tag="v1", private=False, manifest_digests=("a", "b"))],
    ids=lambda one: type(one).__name__,
)
def test_a_request_is_read_as_it_was_written(request_: AnyRequest) -> None:
    assert requests.from_json(type(request_), requests.to_json(type(request_), request_)) == request_


def test_an_answer_is_read_as_the_value_that_was_asked_for() -> None:
    outline = BaseOutline(license="mit", base_model=None, tensors=("a.weight", "b.weight"), bytes=7)
    tags = (Tag(tag="v1", commit="a" * 40, release=True),)

    assert requests.read_answer(OUTLINE, requests.to_json(BaseOutline, outline)) == outline
    assert requests.read_answer(HISTORY, requests.to_json(HISTORY.answer, tags)) == tags
    nothing = FetchBase(repo_id="someone/base", revision="a" * 40, code=False, destination=Path("/cache"))
    requests.read_answer(nothing, b"null")


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (b"", "Invalid JSON"),
        (b'{"tags": []}', "should be a valid array, not"),
        (b'[{"tag": "v1", "commit": 5, "release": true}]', "0: commit: Input should be a valid string, not '5'"),
        (b'[{"tag": "v1", "commit": "a", "release": "yes"}]', "0: release: Input should be a valid boolean"),
        (b'[{"tag": "v1", "commit": "a"}]', "0: release: Field required"),
    ],
)
def test_an_answer_of_another_type_is_refused_with_its_place(answer: bytes, says: str) -> None:
    with pytest.raises(HubError, match=r"The answer to History is not what a Hub says") as refused:
        requests.read_answer(HISTORY, answer)

    assert says in str(refused.value)
    assert "Nothing was taken from it" in str(refused.value)


def test_an_answer_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "LARGEST", 10)

    with pytest.raises(HubError, match="more than 10 bytes"):
        requests.read_answer(HISTORY, json.dumps([[]] * 10).encode())


def test_a_request_that_nobody_answers_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"Unknown request 'Delete': it is one of Publish, CheckRights, Fetch"):
        hub_request.run("Delete", tmp_path / "request.json", tmp_path / "answer.json", lambda _: None)


def test_why_a_process_stopped_reaches_who_asked(tmp_path: Path) -> None:
    """By a real process, to an address where nothing answers."""
    request = Fetch(repo_id="local/x", revision="v1", destination=tmp_path / "fetched")

    with pytest.raises(HubError, match="Looking up v1 of local/x failed"):
        requests.ask(request, {"HF_ENDPOINT": "http://127.0.0.1:9"}, lambda _: None, tmp_path / "log")
