"""A real Hub for tests: the embedded server over a folder of the test's own, and the unmodified client beside it."""

import http.client
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import HfApi, constants

from hub_folder.server import serve

TOKEN = "hf_" + "t" * 34


@dataclass(frozen=True, kw_only=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True, kw_only=True)
class EmbeddedHub:
    endpoint: str
    token: str
    root: Path

    @property
    def api(self) -> HfApi:
        return HfApi(endpoint=self.endpoint, token=self.token)

    def bare(self, repo_id: str) -> Path:
        return self.root / "models" / f"{repo_id}.git"

    def send(self, method: str, path: str, body: object = None, *, token: str | None = TOKEN, **headers: str) -> Answer:
        """One plain HTTP request, without the client's retries; a body that is not bytes is sent as JSON."""
        if token:
            headers["Authorization"] = f"Bearer {token}"
        content = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        connection = http.client.HTTPConnection(self.endpoint.removeprefix("http://"), timeout=10)
        try:
            connection.request(method, path.removeprefix(self.endpoint), content, headers)
            response = connection.getresponse()
            found = {name.lower(): value for name, value in response.getheaders()}
            return Answer(status=response.status, headers=found, body=response.read())
        finally:
            connection.close()


@pytest.fixture(scope="session")
def without_xet() -> Iterator[None]:
    """The client's own switch, HF_HUB_DISABLE_XET, for a process that has imported it already."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        yield


@pytest.fixture
def embedded_hub(tmp_path: Path, without_xet: None) -> Iterator[EmbeddedHub]:  # noqa: ARG001
    with hub_in(tmp_path / "hub") as hub:
        yield hub


@pytest.fixture
def away(tmp_path: Path, embedded_hub: EmbeddedHub, monkeypatch: pytest.MonkeyPatch) -> EmbeddedHub:
    """A Hub that the environment names, and a cache of the test's own."""
    monkeypatch.setenv("ADAPTER_RELEASE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_ENDPOINT", embedded_hub.endpoint)
    monkeypatch.setenv("HF_TOKEN", embedded_hub.token)
    monkeypatch.setenv("HF_HUB_DISABLE_XET", "1")
    return embedded_hub


@contextmanager
def hub_in(root: Path, faults: Mapping[str, int] | None = None) -> Iterator[EmbeddedHub]:
    with serve(root, token=TOKEN, faults=faults) as endpoint:
        yield EmbeddedHub(endpoint=endpoint, token=TOKEN, root=root)
