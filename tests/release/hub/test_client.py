"""What the Hub client says when a Hub refuses, errs, is silent or away, asked over real sockets."""

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from huggingface_hub import CommitOperationAdd

from release.hub import session
from release.values.errors import HubError
from tests.helpers.hub_fixture import hub_in
from tests.helpers.line import ROOT

TOKEN = "hf_" + "s" * 34
ASK = """
import json, sys
from release.values.errors import HubError
from release.hub import client
said = {}
for repo_id in sys.argv[1:]:
    try:
        said[repo_id] = str(client.repo(repo_id))
    except HubError as error:
        said[repo_id] = "HubError " + str(error)
print(json.dumps(said))
"""
CACHED = """
import sys
from pathlib import Path
from huggingface_hub import snapshot_download
from release.values.errors import HubError
from release.hub import client
repo_id, commit = sys.argv[1:]
print(Path(snapshot_download(repo_id, revision="v1")).name == commit)
try:
    print(client.tags(repo_id))
except HubError as error:
    print("HubError", " ".join(str(error).split()))
"""


class Refusing(BaseHTTPRequestHandler):
    """Answers a question about the repository ``user/STATUS`` with that status, echoing the token as bad servers do."""

    def do_GET(self) -> None:
        name = self.path.rpartition("/")[2]
        body = json.dumps({"error": f"no: {self.headers['authorization']} ?sig=abc123"}).encode()
        if name == "html":
            body = b"<html>Welcome</html>"
        self.send_response(int(name) if name.isdigit() else 200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def refusing_hub() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def ask(endpoint: str, *repo_ids: str, token: str = TOKEN, **environment: str) -> dict[str, str]:
    """What ``client.repo`` answers or raises for each repository, in a process whose Hub is ``endpoint``."""
    inherited = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    settings = {"HF_ENDPOINT": endpoint, "HF_TOKEN": token, "HF_HUB_DISABLE_XET": "1"}
    child = subprocess.run(
        [sys.executable, "-c", ASK, *repo_ids],
        env=inherited | settings | environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert token not in child.stderr
    said: dict[str, str] = json.loads(child.stdout)
    return said


def test_every_refusal_says_what_failed_what_the_hub_said_and_what_to_do() -> None:
    expected = {
        "401": "Set HF_TOKEN to one that may write",
        "403": "write access",
        "404": "repository or revision does not exist",
        "409": "Run again",
        "412": "main moved",
        "413": "too large",
        "418": "refuses this request",
        "429": "fewer requests",
        "500": "fault of its own",
        "507": "disk is full",
    }
    with refusing_hub() as endpoint:
        said = ask(endpoint, *(f"user/{status}" for status in expected))
    for status, advice in expected.items():
        text = said[f"user/{status}"]
        assert text.startswith(f"HubError Looking up user/{status} failed at {endpoint}: "), text
        assert advice in text
        assert status in text
        assert TOKEN not in text
        assert "abc123" not in text


def test_a_server_that_is_no_hub_is_a_hub_error() -> None:
    with refusing_hub() as endpoint:
        said = ask(endpoint, "user/html", "a/b/c")
    assert said["user/html"].startswith("HubError"), said
    assert said["a/b/c"].startswith("HubError"), said


def test_a_port_where_nobody_listens_is_unreachable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    said = ask(f"http://127.0.0.1:{port}", "user/x")
    assert "Check HF_ENDPOINT" in said["user/x"]


def test_what_the_clients_cache_holds_is_not_given_in_the_name_of_a_hub_that_is_away(
    tmp_path: Path,
    without_xet: None,  # noqa: ARG001
) -> None:
    """huggingface_hub gives the commit that a tag had when it was last asked; the tag may be another's by now."""
    with hub_in(tmp_path / "hub") as hub:
        hub.api.create_repo("user/x")
        commit = hub.api.create_commit(
            "user/x", [CommitOperationAdd("a.txt", b"old")], commit_message="one", revision="main"
        ).oid
        hub.api.create_tag("user/x", tag="v1", revision=commit)
        hub.api.snapshot_download("user/x", revision="v1", cache_dir=tmp_path / "home" / "hub")
    child = subprocess.run(
        [sys.executable, "-c", CACHED, "user/x", commit],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
        | {"HF_HOME": str(tmp_path / "home"), "HF_ENDPOINT": "http://127.0.0.1:9", "HF_HUB_DISABLE_XET": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    trap, said = child.stdout.splitlines()
    assert trap == "True"
    assert said.startswith("HubError Reading the tags of user/x failed")


def test_a_hub_that_never_answers_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        said = ask(f"http://127.0.0.1:{silent.getsockname()[1]}", "user/x", ADAPTER_RELEASE_HUB_TIMEOUT="0.5")
    assert "No byte for 0.5 s" in said["user/x"]


def test_offline_mode_is_named() -> None:
    assert "Unset it" in ask("http://127.0.0.1:9", "user/x", HF_HUB_OFFLINE="1")["user/x"]


@pytest.mark.parametrize(
    ("secret", "text"),
    [
        ("a" * 34, "token hf_" + "a" * 34 + " refused"),
        ("9f3c", "PUT http://127.0.0.1:1/x?part=1&sig=9f3c failed"),
        ("beef", "https://bucket/x?X-Amz-Signature=beef&X-Amz-Date=20260101"),
    ],
)
def test_tokens_and_signatures_are_redacted(secret: str, text: str) -> None:
    assert secret in text
    assert secret not in session.redact(text)


@pytest.mark.parametrize("secret", ["my-own-token-9f3c\n", "\r\nmy-own-token-9f3c", "my-own-token\n9f3c-the-rest"])
def test_a_token_with_a_line_end_is_not_shown_as_a_library_quotes_it(
    monkeypatch: pytest.MonkeyPatch, secret: str
) -> None:
    monkeypatch.setenv("HF_TOKEN", secret)

    said = session.redact(f"Illegal header value {f'Bearer {secret}'.encode()!r}")

    assert "my-own-token" not in said
    assert "9f3c" not in said


def test_of_a_token_with_a_short_part_only_the_whole_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "a b")
    assert session.redact("a b and a hook") == "hf_REDACTED and a hook"


def test_text_without_secrets_is_left_as_it_is() -> None:
    text = "hf_hub_download of ?revision=v1&size=3 took 2 s"
    assert session.redact(text) == text


def test_writing_without_a_token_says_how_to_set_one() -> None:
    said = subprocess.run(
        [sys.executable, "-c", "from release.hub import client; client.create_repo('user/x', private=True)"],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "HOME": os.devnull},
        capture_output=True,
        text=True,
        check=False,
    ).stderr
    assert f"{HubError.__name__}: HF_TOKEN is not set" in said
