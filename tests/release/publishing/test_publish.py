"""Publishing, by the real client over HTTP to the real embedded Hub, through every accident on the way."""

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from hub_folder.server import serve
from release.hub import requests
from release.hub.client import Identity
from release.hub.requests import AnyRequest, CheckRights, Fetch, Publish
from release.publishing.publish import token_problems
from release.values import record
from release.values.artifacts import Adapter, Candidate, Manifest, Package, sha256_file
from release.values.errors import HubError, VerificationError
from tests.helpers.line import ROOT

KEPT = ROOT / "tests" / "data" / "releases" / "v2" / "release.json"
RECORD = replace(record.read(json.loads(KEPT.read_bytes())), earlier=None)
TOKEN = "hf_" + secrets.token_hex(17)
REPO = "user/elements"
WEIGHTS = "adapter_model.safetensors"
CHANGE_THEN_PUBLISH = """
import sys
from release.hub.requests import Publish, from_json
from release.publishing.publish import publish
asked = from_json(Publish, sys.stdin.buffer.read())
(asked.package.folder / "README.md").write_text("another card")
publish(asked.package, repo_id=asked.repo_id, tag=asked.tag, private=asked.private)
"""
CARD = "---\nlicense: apache-2.0\nlibrary_name: peft\nbase_model: someone/base\n---\n# {}\n"


@dataclass(frozen=True, kw_only=True)
class Hub:
    endpoint: str
    store: Path


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    store = tmp_path / "store"
    store.mkdir()
    with serve(store, token=TOKEN) as endpoint:
        yield Hub(endpoint=endpoint, store=store)


def a_package(folder: Path, version: str = "one", **more: str) -> Package:
    """A judged adapter and its package, whose weights depend on the version."""
    adapter = folder / "adapter"
    adapter.mkdir(parents=True)
    (adapter / WEIGHTS).write_bytes((version * 100_000).encode())
    (adapter / "adapter_config.json").write_text('{"peft_type": "LORA"}')
    package = folder / "package"
    files = {"README.md": CARD.format(version), "gates/verdict.json": '{"passed": true}'} | more
    for name, text in files.items():
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_text(text)
    for file in adapter.iterdir():
        (package / file.name).write_bytes(file.read_bytes())
    candidate = Candidate(
        adapter=Adapter(folder=adapter, files=Manifest.of_folder(adapter), training=RECORD.training),
        record=RECORD,
        verdict=b'{"passed": true}',
        passed=True,
    )
    return Package(folder=package, manifest=Manifest.of_folder(package), candidate=candidate)


def to_publish(package: Package, tag: str = "v1.0.0") -> Publish:
    return Publish(package=package, repo_id=REPO, tag=tag, private=True)


def start(request: AnyRequest, folder: Path, endpoint: str, token: str | None = TOKEN) -> subprocess.Popen[str]:
    """The stage as the pipeline starts it: one request, one process, everything about the Hub in its environment."""
    asked, answered = folder / "request.json", folder / "answer.json"
    asked.write_bytes(requests.to_json(type(request), request))
    answered.unlink(missing_ok=True)
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "HF_HOME": str(folder / "hf_home"),
        "HF_ENDPOINT": endpoint,
        "HF_HUB_DISABLE_XET": "1",
        "TMPDIR": str(folder),
    } | ({"HF_TOKEN": token} if token else {})
    command = [sys.executable, "-m", requests.ANSWERING, type(request).__name__, str(asked), str(answered)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    code: int
    said: str
    answer: Any

    @property
    def done(self) -> object:
        """What a publication did, or why it did not."""
        return self.answer["done"] if self.code == 0 else self.said


def ask(request: AnyRequest, folder: Path, endpoint: str, token: str | None = TOKEN) -> Outcome:
    child = start(request, folder, endpoint, token)
    return finish(child, folder)


def finish(child: subprocess.Popen[str], folder: Path) -> Outcome:
    events, chatter = child.communicate(timeout=60)
    told = [json.loads(line) for line in events.splitlines()]
    said = "\n".join([chatter, *(event.get("message") or event.get("text", "") for event in told)])
    written = folder / "answer.json"
    answer = json.loads(written.read_text()) if written.exists() else None
    assert TOKEN not in said
    assert "sig=" not in said.replace("sig=REDACTED", "")
    return Outcome(code=child.returncode, said=said, answer=answer)


def get(hub: Hub, path: str) -> Any:
    request = urllib.request.Request(f"{hub.endpoint}/api/{path}", headers={"authorization": f"Bearer {TOKEN}"})
    with urllib.request.urlopen(request) as response:
        return json.load(response)


def post(hub: Hub, path: str, body: bytes) -> Any:
    headers = {"authorization": f"Bearer {TOKEN}", "content-type": "application/json"}
    with urllib.request.urlopen(urllib.request.Request(f"{hub.endpoint}/api/{path}", body, headers)) as response:
        return json.load(response)


def commits(hub: Hub) -> list[str]:
    return [commit["id"] for commit in get(hub, f"models/{REPO}/commits/main")]


def tags(hub: Hub) -> dict[str, str]:
    return {tag["name"]: tag["targetCommit"] for tag in get(hub, f"models/{REPO}/refs")["tags"]}


def files(hub: Hub, revision: str) -> set[str]:
    return {
        entry["path"] for entry in get(hub, f"models/{REPO}/tree/{revision}?recursive=true") if entry["type"] == "file"
    }


def edit_by_hand(hub: Hub, content: Mapping[str, bytes]) -> None:
    """A commit on main by somebody else."""
    lines: list[dict[str, Any]] = [{"key": "header", "value": {"summary": "by hand", "description": ""}}]
    for path, data in content.items():
        encoded = {"path": path, "content": b64encode(data).decode(), "encoding": "base64"}
        lines.append({"key": "file", "value": encoded})
    post(hub, f"models/{REPO}/commit/main", "\n".join(map(json.dumps, lines)).encode())


def flip_a_stored_bit(hub: Hub, package: Package) -> None:
    sha256 = sha256_file(package.folder / WEIGHTS)
    (stored,) = [path for path in hub.store.rglob(f"*{sha256}*") if path.is_file()]
    data = bytearray(stored.read_bytes())
    data[1000] ^= 1
    stored.chmod(0o644)
    stored.write_bytes(data)


@dataclass(frozen=True, kw_only=True)
class Accident:
    """What happens once, at the first request that starts so: before it reaches the Hub, or once that answered it."""

    request: str
    answered: bool
    happen: Callable[[], None]
    once: threading.Lock

    def meets(self, data: bytes) -> bool:
        return data.startswith(self.request.encode()) and self.once.acquire(blocking=False)


def pump(source: socket.socket, sink: socket.socket, strike: Callable[[bytes], bool]) -> None:
    """Pass bytes on until the source ends or the accident strikes; then hang up on both sides."""
    with suppress(OSError):
        while (data := source.recv(65536)) and not strike(data):
            sink.sendall(data)
    for end in (source, sink):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


def relay(client: socket.socket, hub_port: int, accident: Accident) -> None:
    """One connection to the Hub, with the accident on the way."""
    met = threading.Event()

    def strike_answer(_: bytes) -> bool:
        if met.is_set():
            accident.happen()
        return met.is_set()

    def strike_request(data: bytes) -> bool:
        if accident.meets(data):
            met.set()
        return met.is_set() and not accident.answered and strike_answer(data)

    with client, socket.create_connection(("127.0.0.1", hub_port)) as server:
        back = threading.Thread(target=pump, args=(server, client, strike_answer))
        back.start()
        pump(client, server, strike_request)
        back.join()


@contextmanager
def accident(hub: Hub, request: str, *, answered: bool, happen: Callable[[], None]) -> Iterator[str]:
    """The endpoint of a Hub to which an accident will happen."""
    coming = Accident(request=request, answered=answered, happen=happen, once=threading.Lock())
    hub_port = int(hub.endpoint.rpartition(":")[2])
    listener = socket.create_server(("127.0.0.1", 0))

    def accept() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=relay, args=(listener.accept()[0], hub_port, coming)).start()

    threading.Thread(target=accept).start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def killed(hub: Hub, request: str, *, answered: bool, package: Package, folder: Path) -> None:
    """A publication that is killed at a request, before or after the Hub's answer."""
    child: list[subprocess.Popen[str]] = []
    with accident(hub, request, answered=answered, happen=lambda: child[0].send_signal(signal.SIGKILL)) as endpoint:
        child.append(start(to_publish(package), folder, endpoint))
        outcome = finish(child[0], folder)
    assert outcome.code == -signal.SIGKILL
    assert not (folder / "answer.json").exists()


COMMIT = f"POST /api/models/{REPO}/commit/main"
TAG = f"POST /api/models/{REPO}/tag/"


def test_a_package_becomes_one_commit_and_one_tag_and_a_second_run_changes_nothing(hub: Hub, tmp_path: Path) -> None:
    package = a_package(tmp_path / "run")
    first = ask(to_publish(package), tmp_path, hub.endpoint)
    assert first.done == ["created repo", "committed", "verified", "tagged"]
    before = commits(hub)
    second = ask(to_publish(package), tmp_path, hub.endpoint)
    assert second.done == ["found tag", "verified"]
    assert commits(hub) == before
    assert len(before) == 2
    assert tags(hub) == {"v1.0.0": before[0]}
    assert first.answer["commit"] == second.answer["commit"] == before[0]
    assert first.answer["manifest_digest"] == package.manifest.digest
    assert first.answer["endpoint"] == hub.endpoint
    assert get(hub, f"models/{REPO}")["private"] is True
    assert f"Release-Manifest: {package.manifest.digest}" in get(hub, f"models/{REPO}/commits/main")[0]["message"]


@pytest.mark.parametrize(
    ("request_line", "answered"),
    [
        pytest.param("POST /api/repos/create", True, id="after create_repo"),
        pytest.param(f"POST /{REPO}.git/info/lfs/objects/batch", True, id="before the upload"),
        pytest.param(COMMIT, False, id="after the upload"),
        pytest.param(COMMIT, True, id="after the commit"),
        pytest.param(TAG, False, id="before the tag"),
        pytest.param(TAG, True, id="after the tag"),
    ],
)
def test_a_publication_killed_anywhere_ends_as_one_commit_and_one_tag_when_run_again(
    hub: Hub, tmp_path: Path, request_line: str, answered: bool
) -> None:
    package = a_package(tmp_path / "run")
    killed(hub, request_line, answered=answered, package=package, folder=tmp_path)
    again = ask(to_publish(package), tmp_path, hub.endpoint)
    assert again.code == 0, again.said
    assert len(commits(hub)) == 2
    assert tags(hub) == {"v1.0.0": commits(hub)[0]}


@pytest.mark.parametrize(("line", "how"), [(COMMIT, "found commit"), (TAG, "committed")], ids=["commit", "tag"])
def test_a_lost_answer_is_looked_up_and_not_sent_again(hub: Hub, tmp_path: Path, line: str, how: str) -> None:
    package = a_package(tmp_path / "run")
    with accident(hub, line, answered=True, happen=lambda: None) as endpoint:
        outcome = ask(to_publish(package), tmp_path, endpoint)
    assert outcome.done == ["created repo", how, "verified", "tagged"]
    assert len(commits(hub)) == 2


def test_a_commit_that_never_arrived_fails_and_heals_when_run_again(hub: Hub, tmp_path: Path) -> None:
    package = a_package(tmp_path / "run")
    with accident(hub, COMMIT, answered=False, happen=lambda: None) as endpoint:
        outcome = ask(to_publish(package), tmp_path, endpoint)
    assert outcome.code == HubError.exit_code
    assert "run again" in outcome.said
    assert len(commits(hub)) == 1
    assert ask(to_publish(package), tmp_path, hub.endpoint).done == ["committed", "verified", "tagged"]


def test_an_upload_cut_in_the_middle_is_sent_again_and_its_address_is_not_shown(tmp_path: Path) -> None:
    with serve(tmp_path / "store", token=TOKEN, faults={"lfs.mid": 1}) as endpoint:
        outcome = ask(to_publish(a_package(tmp_path / "run")), tmp_path, endpoint)
    assert outcome.done == ["created repo", "committed", "verified", "tagged"]
    assert "sig=REDACTED" in outcome.said


def test_a_tag_with_other_content_is_refused_and_not_moved(hub: Hub, tmp_path: Path) -> None:
    ask(to_publish(a_package(tmp_path / "one", "one")), tmp_path, hub.endpoint)
    before = (commits(hub), tags(hub))
    outcome = ask(to_publish(a_package(tmp_path / "two", "two")), tmp_path, hub.endpoint)
    assert outcome.code == HubError.exit_code
    assert "never moved" in outcome.said
    assert f"different: {WEIGHTS}" in outcome.said
    assert (commits(hub), tags(hub)) == before


def test_one_byte_changed_after_the_verdict_publishes_nothing(hub: Hub, tmp_path: Path) -> None:
    package = a_package(tmp_path / "run")
    weights = package.folder / WEIGHTS
    weights.write_bytes(weights.read_bytes()[:-1] + b"\0")
    outcome = ask(to_publish(package), tmp_path, hub.endpoint)
    assert outcome.code == VerificationError.exit_code
    assert WEIGHTS in outcome.said
    assert "Traceback" not in outcome.said
    assert not list(hub.store.rglob("elements*"))


def test_bytes_that_change_after_the_package_was_proved_are_not_sent(hub: Hub, tmp_path: Path) -> None:
    package = a_package(tmp_path / "run")
    environment = {"HF_ENDPOINT": hub.endpoint, "HF_TOKEN": TOKEN, "PYTHONPATH": str(ROOT)}
    child = subprocess.run(
        [sys.executable, "-c", CHANGE_THEN_PUBLISH],
        input=requests.to_json(Publish, to_publish(package)),
        env=environment,
        capture_output=True,
        check=False,
    )
    assert b"VerificationError" in child.stderr
    assert not list(hub.store.rglob("elements*"))


def test_a_wrong_token_is_named_with_what_to_set(hub: Hub, tmp_path: Path) -> None:
    wrong = "hf_" + "w" * 34
    outcome = ask(to_publish(a_package(tmp_path / "run")), tmp_path, hub.endpoint, wrong)
    assert outcome.code == HubError.exit_code
    assert "Set HF_TOKEN" in outcome.said
    assert wrong not in outcome.said


def test_a_public_repository_stops_a_private_release_before_any_byte(hub: Hub, tmp_path: Path) -> None:
    post(hub, "repos/create", json.dumps({"name": "elements", "organization": "user", "visibility": "public"}).encode())
    before = (commits(hub), sorted(hub.store.rglob("*")))
    outcome = ask(to_publish(a_package(tmp_path / "run")), tmp_path, hub.endpoint)
    assert outcome.code == HubError.exit_code
    assert "is public" in outcome.said
    assert (commits(hub), sorted(hub.store.rglob("*"))) == before


def test_a_second_release_removes_stale_files_and_leaves_the_first_tag_alone(hub: Hub, tmp_path: Path) -> None:
    ask(to_publish(a_package(tmp_path / "one", "one", **{"old.txt": "x"})), tmp_path, hub.endpoint)
    first = tags(hub)["v1.0.0"]
    outcome = ask(to_publish(a_package(tmp_path / "two", "two"), "v2.0.0"), tmp_path, hub.endpoint)
    assert outcome.done == ["committed", "verified", "tagged"]
    assert tags(hub) == {"v1.0.0": first, "v2.0.0": commits(hub)[0]}
    assert "old.txt" in files(hub, "v1.0.0")
    assert "old.txt" not in files(hub, "v2.0.0")
    assert len(commits(hub)) == 3


def test_a_hand_edit_between_commit_and_tag_stays_outside_the_tag(hub: Hub, tmp_path: Path) -> None:
    package = a_package(tmp_path / "run")
    killed(hub, TAG, answered=False, package=package, folder=tmp_path)
    ours = commits(hub)[0]
    edit_by_hand(hub, {"notes.md": b"mine"})
    outcome = ask(to_publish(package), tmp_path, hub.endpoint)
    assert outcome.done == ["found commit", "verified", "tagged"]
    assert tags(hub) == {"v1.0.0": ours}
    assert len(commits(hub)) == 3


def test_a_commit_by_somebody_else_in_between_is_not_overwritten(hub: Hub, tmp_path: Path) -> None:
    ask(to_publish(a_package(tmp_path / "one", "one")), tmp_path, hub.endpoint)
    package = a_package(tmp_path / "two", "two")
    batch = f"POST /{REPO}.git/info/lfs/objects/batch"
    with accident(hub, batch, answered=True, happen=lambda: edit_by_hand(hub, {"notes.md": b"mine"})) as endpoint:
        outcome = ask(to_publish(package, "v2.0.0"), tmp_path, endpoint)
    assert outcome.code == HubError.exit_code
    assert "main moved" in outcome.said
    assert "notes.md" in files(hub, "main")
    assert set(tags(hub)) == {"v1.0.0"}


def test_files_added_by_somebody_else_are_never_tagged_although_the_client_finds_nothing_to_commit(
    hub: Hub, tmp_path: Path
) -> None:
    """The client makes no commit when every file to add is there already, and then checks no parent either."""
    ask(to_publish(a_package(tmp_path / "one")), tmp_path, hub.endpoint)
    package = a_package(tmp_path / "two", **{"README.md": CARD.format("corrected")})
    theirs = {"README.md": CARD.format("corrected").encode(), "notes.md": b"mine"}
    preupload = f"POST /api/models/{REPO}/preupload/"
    with accident(hub, preupload, answered=False, happen=lambda: edit_by_hand(hub, theirs)) as endpoint:
        outcome = ask(to_publish(package, "v1.0.1"), tmp_path, endpoint)
    assert outcome.code == VerificationError.exit_code, outcome.said
    assert "extra: notes.md" in outcome.said
    assert set(tags(hub)) == {"v1.0.0"}
    assert ask(to_publish(package, "v1.0.1"), tmp_path, hub.endpoint).done == ["committed", "verified", "tagged"]
    assert "notes.md" not in files(hub, "v1.0.1")


def test_a_bit_flipped_in_the_store_is_caught_before_the_tag(hub: Hub, tmp_path: Path) -> None:
    package = a_package(tmp_path / "run")
    killed(hub, TAG, answered=False, package=package, folder=tmp_path)
    flip_a_stored_bit(hub, package)
    outcome = ask(to_publish(package), tmp_path, hub.endpoint)
    assert outcome.code == VerificationError.exit_code, outcome.said
    assert WEIGHTS in outcome.said
    assert tags(hub) == {}


def test_two_publications_at_once_end_as_one_commit_and_one_tag(hub: Hub, tmp_path: Path) -> None:
    package = a_package(tmp_path / "run")
    folders = [tmp_path / name for name in ("left", "right")]
    for folder in folders:
        folder.mkdir()
    children = [start(to_publish(package), folder, hub.endpoint) for folder in folders]
    outcomes = [finish(child, folder) for child, folder in zip(children, folders, strict=True)]
    assert any(outcome.code == 0 for outcome in outcomes), outcomes
    assert len(commits(hub)) == 2
    assert tags(hub) == {"v1.0.0": commits(hub)[0]}


def test_the_token_is_nowhere_in_the_store(hub: Hub, tmp_path: Path) -> None:
    ask(to_publish(a_package(tmp_path / "run")), tmp_path, hub.endpoint)
    holders = [path for path in tmp_path.rglob("*") if path.is_file() and TOKEN.encode() in path.read_bytes()]
    assert holders == []


def test_rights_are_checked_without_changing_anything(hub: Hub, tmp_path: Path) -> None:
    request = CheckRights(repo_id=REPO, tag="v1.0.0", private=True)
    assert ask(request, tmp_path, hub.endpoint).answer == []
    assert not list(hub.store.rglob("elements*"))
    package = a_package(tmp_path / "run")
    ask(to_publish(package), tmp_path, hub.endpoint)
    (taken,) = ask(request, tmp_path, hub.endpoint).answer
    assert "never moved" in taken
    ours = replace(request, manifest_digests=(package.manifest.digest,))
    assert ask(ours, tmp_path, hub.endpoint).answer == []
    (visible,) = ask(replace(ours, private=False), tmp_path, hub.endpoint).answer
    assert "is private" in visible


@pytest.mark.parametrize(
    ("token", "says"), [("hf_" + "w" * 34, "Set HF_TOKEN"), (None, "HF_TOKEN is not set")], ids=["wrong", "missing"]
)
def test_rights_without_a_good_token_are_one_problem(hub: Hub, tmp_path: Path, token: str | None, says: str) -> None:
    request = CheckRights(repo_id=REPO, tag="v1.0.0", private=True)
    (problem,) = ask(request, tmp_path, hub.endpoint, token).answer
    assert says in problem


@pytest.mark.parametrize(
    ("repo_id", "role", "exists", "endpoint", "problems"),
    [
        ("ann/x", "write", False, "https://hub.example", 0),
        ("lab/x", "fineGrained", False, "https://hub.example", 0),
        ("ann/x", "read", True, "https://hub.example", 1),
        ("other/x", "write", False, "https://hub.example", 1),
        ("other/x", "write", True, "https://hub.example", 0),
        ("x", "read", False, "https://hub.example", 2),
        ("other/x", "write", False, "http://127.0.0.1:80", 0),
    ],
)
def test_a_token_needs_the_right_role_and_for_a_new_repository_the_right_owner(
    repo_id: str, role: str, exists: bool, endpoint: str, problems: int
) -> None:
    ann = Identity(name="ann", role=role, namespaces=frozenset({"ann", "lab"}))
    assert len(token_problems(repo_id, ann, exists=exists, endpoint=endpoint)) == problems


def test_a_tag_is_fetched_as_plain_files_equal_to_the_package(hub: Hub, tmp_path: Path) -> None:
    package = a_package(tmp_path / "run")
    published = ask(to_publish(package), tmp_path, hub.endpoint).answer
    edit_by_hand(hub, {"notes.md": b"mine"})
    request = Fetch(repo_id=REPO, revision="v1.0.0", destination=tmp_path / "fetched")
    outcome = ask(request, tmp_path, hub.endpoint)
    assert outcome.answer == published["commit"], outcome.said
    assert Manifest.of_folder(tmp_path / "fetched") == package.manifest
    again = ask(request, tmp_path, hub.endpoint)
    assert again.code == 2
    assert "is not empty" in again.said
    unknown = ask(replace(request, revision="v9", destination=tmp_path / "v9"), tmp_path, hub.endpoint)
    assert unknown.code == HubError.exit_code
    assert "Tags there: v1.0.0" in unknown.said
    assert not (tmp_path / "v9").exists()


def test_damaged_files_are_not_fetched(hub: Hub, tmp_path: Path) -> None:
    package = a_package(tmp_path / "run")
    ask(to_publish(package), tmp_path, hub.endpoint)
    flip_a_stored_bit(hub, package)
    request = Fetch(repo_id=REPO, revision="v1.0.0", destination=tmp_path / "fetched")
    outcome = ask(request, tmp_path, hub.endpoint)
    assert outcome.code == VerificationError.exit_code, outcome.said
    assert WEIGHTS in outcome.said
    assert not (tmp_path / "fetched").exists()


def test_a_package_survives_the_way_to_the_process_that_publishes_it(tmp_path: Path) -> None:
    asked = to_publish(a_package(tmp_path))

    assert requests.from_json(Publish, requests.to_json(Publish, asked)) == asked


def test_a_package_that_arrives_is_proved_anew(tmp_path: Path) -> None:
    asked = requests.to_json(Publish, to_publish(a_package(tmp_path)))

    with pytest.raises(VerificationError, match="did not"):
        requests.from_json(Publish, asked.replace(b'"passed":true,"waits"', b'"passed":false,"waits"'))
    with pytest.raises(ValueError, match="valid boolean"):
        requests.from_json(Publish, asked.replace(b'"passed":true,"waits"', b'"passed":"false","waits"'))
    (tmp_path / "package" / "README.md").write_text("another card")
    with pytest.raises(VerificationError, match=r"different: README\.md"):
        requests.from_json(Publish, asked)
