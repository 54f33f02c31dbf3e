"""The embedded Hub as its clients see it: the unmodified huggingface_hub, git, and HTTP where they are too polite."""

import hashlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from huggingface_hub import CommitOperationAdd
from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError

from hub_folder.faults import Unusable
from hub_folder.server import read_or_create_token, serve
from tests.helpers.hub_fixture import TOKEN, EmbeddedHub, hub_in

# The client's own, about how it hands bytes to httpx2.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=<...>' to upload raw bytes:DeprecationWarning")

ROOT = Path(__file__).parents[2]
FLOW = ROOT.parent / "shared" / "tools" / "hub_client_flow.py"
REPO = "user/adapter"
WEIGHTS = "adapter_model.safetensors"
BYTES = bytes(range(256)) * 4096
SHA256 = hashlib.sha256(BYTES).hexdigest()
SERVER = """
import resource, signal, sys
from pathlib import Path
from hub_folder.server import serve
if len(sys.argv) > 3:
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]),) * 2)
with serve(Path(sys.argv[1]), token=sys.argv[2]) as endpoint:
    print(endpoint, flush=True)
    signal.pause()
"""


def release(hub: EmbeddedHub, repo_id: str = REPO) -> str:
    """A repository with a commit of a large and a small file, tagged v1; the commit's id."""
    hub.api.create_repo(repo_id, private=False, exist_ok=True)
    files = [CommitOperationAdd(WEIGHTS, BYTES), CommitOperationAdd("gate/report.json", b'{"passed": true}')]
    commit = hub.api.create_commit(repo_id, files, commit_message="release").oid
    hub.api.create_tag(repo_id, tag="v1", revision=commit, tag_message="gates passed")
    return commit


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory, without_xet: None) -> Iterator[EmbeddedHub]:  # noqa: ARG001
    """A Hub with one release, for tests that change nothing."""
    with warnings.catch_warnings(), hub_in(tmp_path_factory.mktemp("released")) as hub:
        warnings.simplefilter("ignore", DeprecationWarning)
        release(hub)
        yield hub


def upload_url(hub: EmbeddedHub, content: bytes) -> str:
    asked = {"operation": "upload", "objects": [{"oid": hashlib.sha256(content).hexdigest(), "size": len(content)}]}
    answer = hub.send("POST", f"/{REPO}.git/info/lfs/objects/batch", asked)
    return str(answer.json["objects"][0]["actions"]["upload"]["href"])


def small_commit(path: str, content: str, parent: str = "") -> bytes:
    header = {"key": "header", "value": {"summary": "by hand", "description": "", "parentCommit": parent}}
    file = {"key": "file", "value": {"path": path, "content": content, "encoding": "utf-8"}}
    return "\n".join(map(json.dumps, (header, file))).encode()


def test_a_pull_request_is_a_commit_beside_main(embedded_hub: EmbeddedHub) -> None:
    release(embedded_hub)
    api, head = embedded_hub.api, embedded_hub.api.model_info(REPO).sha

    made = [
        api.create_commit(REPO, [CommitOperationAdd(name, b"text")], commit_message="Offer", create_pr=True)
        for name in ("one.md", "other.md")
    ]

    assert [one.pr_num for one in made] == [1, 2]
    assert [one.pr_revision for one in made] == ["refs/pr/1", "refs/pr/2"]
    assert api.model_info(REPO).sha == head
    files = api.list_repo_files(REPO, revision="refs/pr/2")
    assert "other.md" in files
    assert "one.md" not in files
    listed = api.list_repo_refs(REPO, include_pull_requests=True).pull_requests
    assert [one.target_commit for one in listed or []] == [one.oid for one in made]


def stored(hub: EmbeddedHub) -> list[str]:
    return [path.name for path in hub.bare(REPO).glob("lfs/objects/*/*/*")]


@contextmanager
def server_process(root: Path, *limit: str) -> Iterator[tuple[EmbeddedHub, subprocess.Popen[str]]]:
    command = [sys.executable, "-c", SERVER, str(root), TOKEN, *limit]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            yield EmbeddedHub(endpoint=process.stdout.readline().strip(), token=TOKEN, root=root), process
        finally:
            process.kill()


@pytest.mark.skipif(not FLOW.is_file(), reason="the conformance script lies beside the project, not in it")
def test_the_unmodified_client_finds_everything_a_release_needs(embedded_hub: EmbeddedHub, tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "HF_ENDPOINT": embedded_hub.endpoint,
        "HF_TOKEN": TOKEN,
        "HF_HUB_DISABLE_XET": "1",
        "HF_HOME": str(tmp_path / "hf_home"),
        "TMPDIR": str(tmp_path),
    }
    command = [sys.executable, str(FLOW), str(tmp_path / "flow.json")]
    ran = subprocess.run(command, env=environment, check=False, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout
    assert ran.stdout.splitlines()[-1] == "50/50 steps pass"


def test_the_clients_snapshot_is_the_bytes_that_were_committed(released: EmbeddedHub, tmp_path: Path) -> None:
    commit = str(released.api.model_info(REPO, revision="v1").sha)
    folder = Path(released.api.snapshot_download(REPO, revision="v1", cache_dir=tmp_path))
    assert folder.name == commit
    assert (folder / WEIGHTS).read_bytes() == BYTES
    checked = released.api.verify_repo_checksums(REPO, revision="v1", cache_dir=tmp_path)
    assert (checked.checked_count, checked.mismatches, checked.missing_paths, checked.extra_paths) == (3, [], [], [])


def test_a_dataset_repository_is_served_like_a_model(embedded_hub: EmbeddedHub, tmp_path: Path) -> None:
    api = embedded_hub.api
    url = api.create_repo("user/rows", repo_type="dataset")
    assert (url.repo_id, url.repo_type) == ("user/rows", "dataset")
    api.upload_file(path_or_fileobj=BYTES, path_in_repo="rows.parquet", repo_id="user/rows", repo_type="dataset")
    path = api.hf_hub_download("user/rows", "rows.parquet", repo_type="dataset", cache_dir=tmp_path)
    assert Path(path).read_bytes() == BYTES
    assert not api.repo_exists("user/rows")


def test_git_clones_the_folder_and_finds_no_fault(released: EmbeddedHub, tmp_path: Path) -> None:
    commit = str(released.api.model_info(REPO, revision="v1").sha)
    bare = released.bare(REPO)

    def git(*command: str) -> str:
        return subprocess.run(["git", *command], check=True, capture_output=True, text=True).stdout.strip()

    git("clone", "--quiet", "--branch", "v1", str(bare), str(tmp_path / "clone"))
    assert git("-C", str(tmp_path / "clone"), "rev-parse", "HEAD") == commit
    assert (tmp_path / "clone/gate/report.json").read_text() == '{"passed": true}'
    assert f"oid sha256:{SHA256}\n" in (tmp_path / "clone" / WEIGHTS).read_text()
    assert (bare / "lfs/objects" / SHA256[:2] / SHA256[2:4] / SHA256).read_bytes() == BYTES
    assert git("-C", str(bare), "cat-file", "-t", "v1") == "tag"
    assert git("-C", str(bare), "fsck", "--full", "--strict") == ""


def test_a_wrong_token_is_refused_everywhere(released: EmbeddedHub) -> None:
    paths = ["/api/whoami-v2", f"/api/models/{REPO}", f"/{REPO}/resolve/v1/{WEIGHTS}", "/api/models/no/body"]
    for path in paths:
        answer = released.send("GET", path, token="hf_wrong")
        assert (answer.status, answer.headers["x-error-message"]) == (
            401,
            "Invalid credentials in Authorization header",
        )
    assert released.send("GET", "/api/whoami-v2", token="ü").status == 401


def test_without_a_token_public_repositories_can_be_read_and_nothing_else(released: EmbeddedHub) -> None:
    commit = str(released.api.model_info(REPO, revision="v1").sha)
    api = f"/api/models/{REPO}"
    assert released.send("GET", f"{api}/revision/v1", token=None).json["sha"] == commit
    assert released.send("GET", f"{api}/auth-check", token=None).status == 200
    writes = {
        f"{api}/commit/main": "POST",
        f"{api}/preupload/main": "POST",
        f"{api}/tag/main": "POST",
        f"{api}/tag/v1": "DELETE",
        f"{api}/branch/b": "POST",
        f"{api}/branch/main": "DELETE",
        f"{api}/settings": "PUT",
        f"{api}/auth-check/write": "GET",
        f"/{REPO}.git/info/lfs/objects/batch": "POST",
        "/api/repos/create": "POST",
        "/api/repos/delete": "DELETE",
    }
    body = {"operation": "upload", "name": "adapter", "organization": "user", "visibility": "private", "tag": "x"}
    answers = {path: released.send(method, path, body, token=None).status for path, method in writes.items()}
    assert answers == dict.fromkeys(writes, 401)
    assert released.api.model_info(REPO).sha == commit


def test_a_private_repository_looks_like_none_without_the_token(embedded_hub: EmbeddedHub) -> None:
    embedded_hub.api.create_repo(REPO, private=True)
    found = [
        embedded_hub.send("GET", path.format(repo_id), token=None)
        for repo_id in (REPO, "user/missing")
        for path in ("/api/models/{}", "/{}/resolve/main/.gitattributes")
    ]
    assert {(answer.status, answer.headers["x-error-code"]) for answer in found} == {(401, "RepoNotFound")}
    with pytest.raises(RepositoryNotFoundError):
        embedded_hub.api.model_info(REPO, token=False)
    assert embedded_hub.api.model_info(REPO).private
    embedded_hub.api.auth_check(REPO, write=True)


def test_of_writers_at_the_same_moment_one_wins(embedded_hub: EmbeddedHub) -> None:
    head = release(embedded_hub)
    api, writers = f"/api/models/{REPO}", 4

    def together(path: str, bodies: list[Any]) -> Counter[int]:
        with ThreadPoolExecutor(writers) as threads:
            return Counter(threads.map(lambda body: embedded_hub.send("POST", path, body).status, bodies))

    for turn in range(5):
        commits = [small_commit(f"{writer}.txt", f"{turn}", head) for writer in range(writers)]
        assert together(f"{api}/commit/main", commits) == {200: 1, 412: 3}
        head = str(embedded_hub.api.model_info(REPO).sha)
        assert together(f"{api}/tag/main", [{"tag": f"t{turn}"}] * writers) == {200: 1, 409: 3}
        assert together("/api/repos/create", [{"name": f"r{turn}"}] * writers) == {200: 1, 409: 3}
    assert len(embedded_hub.api.list_repo_commits(REPO)) == 2 + 5


def test_a_tag_or_repository_that_exists_is_refused_and_stays(embedded_hub: EmbeddedHub) -> None:
    commit = release(embedded_hub)
    embedded_hub.send("POST", f"/api/models/{REPO}/commit/main", small_commit("later.txt", "later"))
    answer = embedded_hub.send("POST", f"/api/models/{REPO}/tag/main", {"tag": "v1"})
    assert (answer.status, answer.json["error"]) == (409, "Tag reference exists already: refs/tags/v1")
    answer = embedded_hub.send("POST", "/api/repos/create", {"name": "adapter", "organization": "user"})
    assert (answer.status, answer.json["url"]) == (409, f"{embedded_hub.endpoint}/{REPO}")
    assert embedded_hub.api.list_repo_refs(REPO).tags[0].target_commit == commit


def test_an_upload_whose_bytes_are_not_the_announced_ones_is_refused(embedded_hub: EmbeddedHub) -> None:
    embedded_hub.api.create_repo(REPO)
    url = upload_url(embedded_hub, BYTES)
    for content in (b"x" + BYTES[1:], BYTES[:-1], BYTES + b"x", b""):
        assert embedded_hub.send("PUT", url, content, token=None).status == 400
    assert stored(embedded_hub) == []
    assert embedded_hub.send("PUT", url, BYTES, token=None).status == 200
    assert stored(embedded_hub) == [SHA256]


def test_an_upload_url_is_good_for_one_object_in_one_repository(embedded_hub: EmbeddedHub) -> None:
    embedded_hub.api.create_repo(REPO)
    embedded_hub.api.create_repo("user/other")
    url = upload_url(embedded_hub, BYTES)
    forged = [
        url.partition("?")[0],
        url.replace("sig=", "sig=0"),
        url.replace(SHA256, "0" * 64),
        url.replace(f"size={len(BYTES)}", "size=1"),
        url.replace(REPO, "user/other"),
        re.sub("expires=[0-9]+", "expires=1", url),
        re.sub("expires=[0-9]+", "expires=-1", url),
        url.replace(f"/{REPO}", f"/datasets/{REPO}"),
    ]
    assert {embedded_hub.send("PUT", path, BYTES).status for path in forged} == {403}
    assert stored(embedded_hub) == []


@pytest.mark.parametrize("path", [WEIGHTS, "gate/report.json"])
@pytest.mark.parametrize(
    ("asked", "status", "part"),
    [
        ("bytes=0-3", 206, slice(0, 4)),
        ("bytes=5-", 206, slice(5, None)),
        ("bytes=-4", 206, slice(-4, None)),
        ("bytes=0-99999999", 200, slice(None)),
        ("bytes=0-1,4-5", 200, slice(None)),
        ("lines=1-2", 200, slice(None)),
        ("bytes=99999999-", 416, slice(0, 0)),
        ("bytes=3-1", 416, slice(0, 0)),
    ],
)
def test_a_part_of_a_file_is_answered_with_that_part(
    released: EmbeddedHub, path: str, asked: str, status: int, part: slice
) -> None:
    whole = BYTES if path == WEIGHTS else b'{"passed": true}'
    answer = released.send("GET", f"/{REPO}/resolve/v1/{path}", Range=asked)
    head = released.send("HEAD", f"/{REPO}/resolve/v1/{path}", Range=asked)
    assert (answer.status, answer.body) == (status, whole[part])
    assert (head.status, head.headers["content-length"]) == (status, answer.headers["content-length"])
    if status == 206:
        start, stop, _ = part.indices(len(whole))
        assert answer.headers["content-range"] == f"bytes {start}-{stop - 1}/{len(whole)}"


def test_a_file_is_answered_with_its_commit_and_digest_and_never_by_xet(released: EmbeddedHub) -> None:
    commit = str(released.api.model_info(REPO, revision="v1").sha)
    found = released.send("HEAD", f"/{REPO}/resolve/v1/{WEIGHTS}", **{"X-Amzn-Trace-Id": "trace-1"})
    wanted = {"x-repo-commit": commit, "etag": f'"{SHA256}"', "x-linked-etag": f'"{SHA256}"', "x-request-id": "trace-1"}
    assert wanted.items() <= found.headers.items()
    missing = released.send("HEAD", f"/{REPO}/resolve/v1/nope")
    assert (missing.status, missing.headers["x-error-code"]) == (404, "EntryNotFound")
    assert missing.headers["x-repo-commit"] == commit
    assert not [name for name in (found.headers | missing.headers) if name.startswith("x-xet")]


@pytest.mark.parametrize(
    ("point", "call", "heals"),
    [
        ("create_repo.before_meta", "create_repo", False),
        ("lfs.mid", "commit", True),
        ("lfs.after", "commit", True),
        ("commit.before_ref", "commit", False),
        ("commit.after_ref", "commit", False),
        ("tag.before_ref", "tag", False),
        ("tag.after_ref", "tag", False),
        ("download.mid", "download", True),
    ],
)
@pytest.mark.usefixtures("without_xet")
def test_a_dropped_connection_leaves_all_or_nothing_and_the_same_call_again_ends_well(
    tmp_path: Path, point: str, call: str, heals: bool
) -> None:
    with hub_in(tmp_path / "hub", {point: 1}) as hub:
        calls: dict[str, Callable[[], Any]] = {
            "create_repo": lambda: hub.api.create_repo(REPO, exist_ok=True),
            "commit": lambda: hub.api.create_commit(
                REPO, [CommitOperationAdd(WEIGHTS, BYTES)], commit_message="release"
            ),
            "tag": lambda: hub.api.create_tag(REPO, tag="v1"),
            "download": lambda: hub.api.hf_hub_download(REPO, WEIGHTS, revision="v1", cache_dir=tmp_path),
        }
        for name, act in calls.items():
            if name == call and not heals:
                with pytest.raises(httpx2.TransportError):
                    act()
            if (name, point) == ("tag", "tag.after_ref"):
                with pytest.raises(HfHubHTTPError, match="409"):
                    act()
            else:
                act()
        assert [commit.title for commit in hub.api.list_repo_commits(REPO)] == ["release", "initial commit"]
        assert [tag.name for tag in hub.api.list_repo_refs(REPO).tags] == ["v1"]
        assert (stored(hub), list((hub.root / ".tmp").iterdir())) == ([SHA256], [])


def test_a_fault_that_does_not_exist_is_an_error_of_the_test(tmp_path: Path) -> None:
    with (
        pytest.raises(ValueError, match=r"no such fault: lfs\.before"),
        serve(tmp_path, token=TOKEN, faults={"lfs.before": 1}),
    ):
        pass


def test_a_server_killed_in_an_upload_leaves_nothing_visible_and_the_next_one_serves(tmp_path: Path) -> None:
    with server_process(tmp_path) as (hub, process):
        hub.send("POST", "/api/repos/create", {"name": "adapter", "organization": "user"})
        url = upload_url(hub, BYTES)
        host, port = hub.endpoint.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as half:
            path = url.removeprefix(hub.endpoint)
            half.sendall(f"PUT {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {len(BYTES)}\r\n\r\n".encode())
            half.sendall(BYTES[: len(BYTES) // 2])
            while not any(file.stat().st_size for file in (tmp_path / ".tmp").iterdir()):
                time.sleep(0.01)
            process.send_signal(signal.SIGKILL)
            process.wait()
        (hub.bare(REPO) / "refs/heads/main.lock").touch()
        assert stored(hub) == []
    with server_process(tmp_path) as (hub, process):
        assert list((tmp_path / ".tmp").iterdir()) == []
        assert hub.send("PUT", url.replace(f":{port}/", hub.endpoint[-6:] + "/"), BYTES, token=None).status == 403
        assert hub.send("PUT", upload_url(hub, BYTES), BYTES, token=None).status == 200
        assert hub.send("POST", f"/api/models/{REPO}/commit/main", small_commit("a.txt", "a")).status == 200
        assert stored(hub) == [SHA256]
    subprocess.run(["git", "-C", hub.bare(REPO), "fsck", "--full", "--strict"], check=True, capture_output=True)


def test_a_full_disk_is_said_and_leaves_no_part_of_anything(tmp_path: Path) -> None:
    limit = 300_000
    text = os.urandom(limit).hex()
    with server_process(tmp_path, str(limit)) as (hub, process):
        hub.send("POST", "/api/repos/create", {"name": "adapter", "organization": "user"})
        answers = [
            hub.send("PUT", upload_url(hub, BYTES), BYTES, token=None),
            hub.send("POST", f"/api/models/{REPO}/commit/main", small_commit("a.txt", text)),
            hub.send("POST", f"/api/models/{REPO}/commit/main", small_commit("a.txt", text)),
        ]
        assert [answer.status for answer in answers] == [507, 507, 507]
        assert "disk is full" in answers[0].json["error"]
        assert (stored(hub), list((tmp_path / ".tmp").iterdir())) == ([], [])
        assert hub.send("POST", f"/api/models/{REPO}/commit/main", small_commit("a.txt", "a")).status == 200
        process.kill()
    subprocess.run(["git", "-C", hub.bare(REPO), "fsck", "--full", "--strict"], check=True, capture_output=True)
    assert list(hub.bare(REPO).rglob("*.lock")) == []


def test_a_second_server_on_the_same_folder_is_refused_with_the_first_ones_pid(tmp_path: Path) -> None:
    first, refused = serve(tmp_path, token=TOKEN), pytest.raises(Unusable, match=f"pid {os.getpid()}")
    with first, refused, serve(tmp_path, token=TOKEN):
        pass
    with serve(tmp_path, token=TOKEN) as endpoint:
        assert endpoint.startswith("http://127.0.0.1:")


def test_a_port_in_use_is_named(tmp_path: Path) -> None:
    with serve(tmp_path / "one", token=TOKEN) as endpoint:
        port = int(endpoint.rpartition(":")[2])
        with (
            pytest.raises(Unusable, match=f"Port {port} cannot be used"),
            serve(tmp_path / "two", token=TOKEN, port=port),
        ):
            pass


def test_neither_token_nor_signature_is_written_anywhere(tmp_path: Path) -> None:
    with server_process(tmp_path) as (hub, process):
        hub.send("POST", "/api/repos/create", {"name": "adapter", "organization": "user"})
        url = upload_url(hub, BYTES)
        hub.send("PUT", url, BYTES)
        hub.send("PUT", url + "0", BYTES)
        hub.send("GET", "/api/whoami-v2", token="hf_wrong")
        process.kill()
        said = "".join(process.communicate())
    assert said == ""
    secrets = [TOKEN.encode(), url.rpartition("=")[2].encode()]
    kept = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert [secret for secret in secrets if secret in kept] == []


def test_a_token_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    token = read_or_create_token(tmp_path / "hub")
    assert re.fullmatch("hf_[0-9a-f]{34}", token)
    assert read_or_create_token(tmp_path / "hub") == token
    assert [(path.name, path.stat().st_mode & 0o777) for path in (tmp_path / "hub").iterdir()] == [("token", 0o600)]


def test_a_token_that_others_can_read_or_that_is_empty_is_refused(tmp_path: Path) -> None:
    read_or_create_token(tmp_path)
    (tmp_path / "token").chmod(0o640)
    with pytest.raises(Unusable, match="chmod 600"):
        read_or_create_token(tmp_path)
    (tmp_path / "token").chmod(0o600)
    (tmp_path / "token").write_text("\n")
    with pytest.raises(Unusable, match="is empty"):
        read_or_create_token(tmp_path)


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/api/models/..%2F..%2Fetc/passwd", None, 400),
        ("GET", "/api/models/user/..", None, 400),
        ("GET", "/api/spaces/user/adapter", None, 400),
        ("GET", "/..%2Fuser/adapter/resolve/main/x", None, 400),
        ("GET", "/user/adapter/resolve/main/..%2F..%2Fhub.json", None, 404),
        ("GET", "/user/adapter/resolve/main/gate", None, 404),
        ("GET", "/user/adapter/resolve/..%2F..%2Fhub.json/x", None, 404),
        ("GET", "/api/models/user/adapter/tree/main/nope", None, 404),
        ("GET", "/api/nothing", None, 404),
        ("POST", "/api/models/user/adapter", None, 405),
        ("POST", "/api/repos/create", b"{", 400),
        ("POST", "/api/repos/create", [], 400),
        ("POST", "/api/repos/create", {}, 400),
        ("POST", "/api/repos/create", {"name": "..", "organization": ".."}, 400),
        ("POST", "/api/repos/create", {"name": "x", "visibility": "secret"}, 400),
        ("POST", "/api/repos/create", {"name": "x", "type": "space"}, 400),
        ("POST", "/api/repos/create", {"name": "\ud800"}, 400),
        ("PUT", "/api/models/user/adapter/settings", {"gated": "auto"}, 400),
        ("POST", "/api/models/user/adapter/tag/main", {"tag": "../../hub"}, 400),
        ("POST", "/api/models/user/adapter/tag/nope", {"tag": "v2"}, 404),
        ("DELETE", "/api/models/user/adapter/branch/main", None, 400),
        ("POST", "/api/models/user/adapter/commit/nope", small_commit("a", "a"), 404),
        ("POST", "/api/models/user/adapter/commit/v1", small_commit("a", "a"), 404),
        ("POST", "/api/models/user/adapter/commit/main?create_pr=1", small_commit("../a", "a"), 400),
        ("POST", "/api/models/user/adapter/commit/main", small_commit("../a", "a"), 400),
        ("POST", "/api/models/user/adapter/commit/main", small_commit("\ud800", "a"), 400),
        ("POST", "/api/models/user/adapter/commit/main", small_commit("README.md", "---\nlicense: none\n---\n"), 400),
        ("POST", "/api/models/user/adapter/commit/main", b"", 400),
        ("POST", "/api/models/user/adapter/commit/main", b"not json", 400),
        ("POST", "/api/models/user/adapter/commit/main", b'{"key": "movedFile", "value": {}}', 400),
        ("POST", "/user/adapter.git/info/lfs/objects/batch", {"operation": "download"}, 400),
        ("POST", "/user/adapter.git/info/lfs/objects/batch", {"operation": "upload", "objects": [{"oid": "x"}]}, 400),
        ("POST", "/api/validate-yaml", b" " * (9 * 1024 * 1024), 413),
    ],
)
def test_what_cannot_be_is_refused_and_changes_nothing(
    released: EmbeddedHub, method: str, path: str, body: object, status: int
) -> None:
    before = sorted(released.root.rglob("*"))
    answer = released.send(method, path, body)
    assert answer.status == status, answer.body
    refs = [file for file in set(released.root.rglob("*")) - set(before) if "objects" not in file.parts]
    assert refs == []


def test_a_page_of_another_host_name_is_not_let_in(released: EmbeddedHub) -> None:
    assert released.send("GET", "/api/whoami-v2", Host="attacker.example").status == 400


@pytest.mark.parametrize(
    ("block", "error"),
    [
        ("license: apache-2.0\nlanguage: [en, de]\nbase_model: someone/base\ndate: 2026-11-21", None),
        ("model-index: [{name: m, results: [{task: {type: t}, metrics: [{type: f1, value: 1.0}]}]}]", None),
        ("license: none", '"license"'),
        ("language: English", '"language"'),
        ("base_model: /home/me/base", '"base_model"'),
        ("tags: lora", '"tags"'),
        ("model-index: [{name: m, results: [{task: {type: t}, metrics: []}]}]", '"model-index.0.results.0.metrics"'),
        ("license: [unclosed", "cannot be read"),
        ("a: &a [x]\nb: [*a, *a]", "refers to a value elsewhere"),
        ("score: .nan", "what JSON cannot"),
        ("just text", "is not a mapping"),
        ("license: mit\nlicense: apache-2.0", "stands twice"),
        ("a: {b: 1, b: 2}", "stands twice"),
        ("a: " + "[" * 5000, "cannot be read"),
        ("a: " + "x" * 140_000, "does not end within 131,072 characters"),
    ],
)
def test_a_card_is_checked_as_the_hub_checks_it(released: EmbeddedHub, block: str, error: str | None) -> None:
    content = {"content": f"---\n{block}\n---\n# Card\n", "repoType": "model"}
    answer = released.send("POST", "/api/validate-yaml", content, token=None)
    if error is None:
        assert (answer.status, answer.json["errors"]) == (200, [])
    else:
        assert answer.status == 400
        assert error in answer.json["errors"][0]["message"]


def test_a_card_without_a_block_is_only_a_warning(released: EmbeddedHub) -> None:
    answer = released.send("POST", "/api/validate-yaml", {"content": "# Card\n"})
    assert (answer.status, answer.json["errors"], len(answer.json["warnings"])) == (200, [], 1)


@pytest.mark.parametrize("kind", ["link", "pipe"])
def test_a_token_that_lies_elsewhere_or_never_ends_is_not_read(tmp_path: Path, kind: str) -> None:
    (tmp_path / "hub").mkdir()
    (tmp_path / "secret").write_text("secret", "utf-8")
    if kind == "pipe":
        os.mkfifo(tmp_path / "hub" / "token", 0o600)
    else:
        (tmp_path / "hub" / "token").symlink_to(tmp_path / "secret")

    with pytest.raises(Unusable, match="token is neither a file nor a folder"):
        read_or_create_token(tmp_path / "hub")


def test_a_large_file_that_is_gone_is_said_to_be(embedded_hub: EmbeddedHub) -> None:
    release(embedded_hub)
    next(embedded_hub.bare(REPO).glob("lfs/objects/*/*/*")).unlink()

    answer = embedded_hub.send("GET", f"/{REPO}/resolve/v1/{WEIGHTS}")

    assert (answer.status, answer.headers["x-error-code"]) == (404, "EntryNotFound")
    assert f"The large file '{WEIGHTS}'" in answer.headers["x-error-message"]
