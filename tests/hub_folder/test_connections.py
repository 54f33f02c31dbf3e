"""Clients that are silent, slow, many, without a token, or a web page: what the embedded Hub gives them."""

import contextlib
import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from starlette.routing import Route

from hub_folder import connections, protocol, routes
from hub_folder.protocol import Hub
from hub_folder.store import open_store
from tests.helpers.hub_fixture import TOKEN, EmbeddedHub, hub_in

REPO = "user/adapter"
BIG = b"\0" * 30_000_000
DEEP = b'{"a":' * 100_000
PLACES = {
    "kind": "models",
    "namespace": "user",
    "name": "adapter",
    "revision": "main",
    "path:path": "x",
    "oid": "0" * 64,
}


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory, without_xet: None) -> Iterator[EmbeddedHub]:  # noqa: ARG001
    with hub_in(tmp_path_factory.mktemp("hub")) as found:
        found.api.create_repo(REPO, private=False)
        yield found


@contextlib.contextmanager
def line(hub: EmbeddedHub) -> Iterator[socket.socket]:
    where = urlsplit(hub.endpoint)
    with socket.create_connection((where.hostname, where.port), timeout=10) as found:
        yield found


def head(method: str, path: str, *more: str, token: str | None = None) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", *more]
    return "\r\n".join([*lines, *([f"Authorization: Bearer {token}"] if token else []), "", ""]).encode()


def answered(connection: socket.socket) -> bytes:
    """What comes back until the end of the first head."""
    found = b""
    while b"\r\n\r\n" not in found and (block := connection.recv(65536)):
        found += block
    return found


def ends(connection: socket.socket, seconds: float) -> bool:
    """Whether the Hub ends the connection within this time."""
    connection.settimeout(seconds)
    try:
        while connection.recv(65536):
            pass
    except ConnectionError:
        return True
    except TimeoutError:
        return False
    return True


def every_route(empty: Path) -> list[tuple[str, str]]:
    """(method, path) of each route there is, with names in its places."""
    with open_store(empty) as store:
        router = routes.router(Hub(store=store, endpoint="", token="", signing_key=b""))
    found = []
    for one in router.routes:
        assert isinstance(one, Route)
        path = one.path
        for place, name in PLACES.items():
            path = path.replace(f"{{{place}}}", name)
        found += [(method, path) for method in sorted(one.methods or ())]
    return found


def test_no_route_reads_a_body_before_it_knows_whose_it_is(
    hub: EmbeddedHub, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The head alone is answered: a body that were awaited would have been asked for by 100 Continue."""
    may_be_anonymous = {"/api/validate-yaml", f"/api/models/{REPO}/paths-info/main"}
    seen = set()
    for method, path in every_route(tmp_path_factory.mktemp("empty")):
        for size in ("Content-Length: 1000000000", "Transfer-Encoding: chunked"):
            for token in (None, "hf_wrong"):
                with line(hub) as client:
                    client.sendall(head(method, path, size, "Expect: 100-continue", token=token))
                    if token is None and path in may_be_anonymous and "chunked" in size:
                        continue
                    said = answered(client)
                status = said.split(b" ", 2)[1].decode()
                assert b"100 Continue" not in said, (method, path, size)
                seen.add(status)
                if token and ".git/lfs/" not in path:
                    assert status == "401", (method, path)
                elif method not in ("GET", "HEAD"):
                    assert status in ("401", "403", "413"), (method, path, said)
    assert {"401", "403", "413"} <= seen


def test_a_body_in_chunks_is_stopped_at_its_limit(hub: EmbeddedHub) -> None:
    block = b"%x\r\n" % 65536 + b" " * 65536 + b"\r\n"
    for token, blocks, status in ((None, 5, b"413"), (TOKEN, 5, b""), (TOKEN, 129, b"413")):
        with line(hub) as client:
            client.sendall(head("POST", "/api/validate-yaml", "Transfer-Encoding: chunked", token=token))
            with contextlib.suppress(ConnectionError):
                for _ in range(blocks):
                    client.sendall(block)
            if status:
                assert answered(client).split(b" ", 2)[1] == status
            else:
                client.sendall(b"0\r\n\r\n")
                assert answered(client).split(b" ", 2)[1] == b"400"


def test_an_upload_longer_than_its_promise_is_refused_by_its_head(hub: EmbeddedHub) -> None:
    asked = {"operation": "upload", "objects": [{"oid": "0" * 64, "size": 100}]}
    url = hub.send("POST", f"/{REPO}.git/info/lfs/objects/batch", asked).json["objects"][0]["actions"]["upload"]["href"]
    path = url.removeprefix(hub.endpoint)
    with line(hub) as client:
        client.sendall(head("PUT", path, "Content-Length: 1000000000", "Expect: 100-continue"))
        assert answered(client).split(b" ", 2)[1] == b"400"
    with line(hub) as client:
        client.sendall(head("PUT", path, "Content-Length: 100", "Expect: 100-continue"))
        assert answered(client).split(b" ", 2)[1] == b"100"


def test_whoever_sends_on_after_a_refusal_is_cut_off(hub: EmbeddedHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.3)
    with line(hub) as client:
        client.sendall(head("POST", "/api/repos/create", "Content-Length: 1000000000000"))
        assert answered(client).split(b" ", 2)[1] == b"401"
        started = time.monotonic()
        with pytest.raises(ConnectionError):  # noqa: PT012  sending is what must come to an end
            while time.monotonic() - started < 5:
                client.sendall(b" " * 65536)


@pytest.mark.parametrize("sent", [b"", b"GET", head("GET", "/api/whoami-v2")[:-2]])
def test_a_head_that_does_not_end_is_given_up(hub: EmbeddedHub, monkeypatch: pytest.MonkeyPatch, sent: bytes) -> None:
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.3)
    with line(hub) as client:
        client.sendall(sent)
        assert ends(client, 5)
    with line(hub) as client:  # the second request of a connection, too, a byte at a time
        client.sendall(head("GET", "/api/whoami-v2"))
        assert answered(client)
        with pytest.raises(ConnectionError):  # noqa: PT012
            for letter in b"GET /api/whoami-v2 HTTP/1.1\r\nX-Slow: " + b"a" * 100:
                client.sendall(bytes([letter]))
                time.sleep(0.05)


def test_a_connection_at_rest_between_two_requests_stays(hub: EmbeddedHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.2)
    with line(hub) as client:
        for _ in range(2):
            client.sendall(head("GET", f"/api/models/{REPO}/refs"))
            assert answered(client).split(b" ", 2)[1] == b"200"
            assert not ends(client, 0.5)


def test_a_body_that_trickles_is_given_up_and_a_slow_one_is_not(
    hub: EmbeddedHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "GRACE_SECONDS", 0.4)
    asked = head("POST", "/api/validate-yaml", "Content-Length: 1000", token=TOKEN)
    with line(hub) as client:
        client.sendall(asked)
        assert ends(client, 5)
    monkeypatch.setattr(connections, "SLOWEST", 100)
    with line(hub) as client:
        client.sendall(asked)
        for _ in range(10):
            client.sendall(b" " * 100)
            time.sleep(0.1)
        assert answered(client).split(b" ", 2)[1] == b"400"


def test_an_answer_that_nobody_takes_is_given_up(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    without_xet: None,  # noqa: ARG001
) -> None:
    monkeypatch.setattr(connections, "GRACE_SECONDS", 0.4)
    with hub_in(tmp_path / "hub") as hub:
        hub.api.create_repo(REPO, private=False)
        hub.api.upload_file(path_or_fileobj=BIG, path_in_repo="w.bin", repo_id=REPO)
        with line(hub) as client:
            client.sendall(head("GET", f"/{REPO}/resolve/main/w.bin"))
            time.sleep(1.5)
            taken = 0
            with contextlib.suppress(ConnectionError):
                while block := client.recv(1 << 20):
                    taken += len(block)
            assert taken < len(BIG)
        got = hub.send("GET", f"/{REPO}/resolve/main/w.bin")
        assert got.body == BIG


def test_many_silent_connections_keep_nobody_out(hub: EmbeddedHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "CONNECTIONS", 20)
    with contextlib.ExitStack() as stack:
        silent = [stack.enter_context(line(hub)) for _ in range(60)]
        started = time.monotonic()
        assert hub.send("GET", f"/api/models/{REPO}").status == 200
        assert time.monotonic() - started < 20
        assert sum(ends(one, 0.05) for one in silent) >= 40


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "https://attacker.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://127.0.0.1:1"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "none"}, 200),
        ({"Sec-Fetch-Mode": "cors"}, 200),
        ({}, 200),
    ],
)
def test_no_web_page_drives_it(hub: EmbeddedHub, headers: dict[str, str], status: int) -> None:
    told = {"Content-Type": "text/plain", **headers}
    assert hub.send("POST", "/api/validate-yaml", {"content": "# x"}, token=None, **told).status == status
    assert hub.send("GET", f"/api/models/{REPO}", token=None, **headers).status == status


SHAPES = [
    b"null",
    b"1",
    b"[]",
    b'"x"',
    b"[[]]",
    b'{"files": 1}',
    b'{"files": [1]}',
    b'{"files": [[]]}',
    b'{"files": [null]}',
    b'{"files": [{"path": "x", "size": 1, "sample": "\xc3\xa4"}]}',
    b'{"operation": "upload", "objects": ["x"]}',
    b'{"operation": "upload", "objects": [{"oid": 1, "size": 1}]}',
    b'{"name": ["x"]}',
    b'{"content": {}}',
    b'{"paths": {}}',
    b'{"key": "file", "value": {"path": "a", "content": "\xc3\xa4", "encoding": "base64"}}',
    b"9" * 5000,
    b"\xff\xfe",
    DEEP,
    b"[" * 100_000,
    b'{"key": "header", "value": ' + b"[" * 100_000,
]


@pytest.mark.parametrize("body", SHAPES, ids=lambda body: body[:40].decode("latin-1"))
def test_json_of_another_shape_is_the_callers_fault(
    hub: EmbeddedHub, tmp_path_factory: pytest.TempPathFactory, body: bytes
) -> None:
    """Every route that reads JSON: 500 would be the Hub's own."""
    for method, path in every_route(tmp_path_factory.mktemp("empty")):
        if method in ("POST", "PUT", "DELETE") and ".git/lfs/" not in path:
            answer = hub.send(method, path, body, **{"Content-Type": "application/json"})
            assert answer.status < 500, (method, path, answer.body)
            json.loads(answer.body)


@pytest.mark.parametrize("wanted", ["bytes=" + "9" * 5000 + "-", "bytes=٣-", "bytes=-" + "9" * 30, "bytes=5-1"])
def test_a_range_that_is_none_is_no_fault(hub: EmbeddedHub, wanted: str) -> None:
    with line(hub) as client:
        asked = (
            head("GET", f"/{REPO}/resolve/main/.gitattributes")
            .decode()
            .replace("\r\n\r\n", f"\r\nRange: {wanted}\r\n\r\n")
        )
        client.sendall(asked.encode())
        assert answered(client).split(b" ", 2)[1] in (b"200", b"206", b"400", b"416")


def test_numbers_without_end_in_an_upload_address_are_no_fault(hub: EmbeddedHub) -> None:
    for query in ("size=" + "9" * 5000 + "&expires=1", "size=1&expires=" + "9" * 5000, "size=٣&expires=1&sig=x"):
        assert hub.send("PUT", f"/{REPO}.git/lfs/{'0' * 64}?{query.replace('٣', '%D9%A3')}", b"").status == 403


def test_more_paths_than_may_be_asked_for_are_refused(hub: EmbeddedHub) -> None:
    answer = hub.send("POST", f"/api/models/{REPO}/paths-info/main", b"paths=a&" * 1001, token=None)
    assert answer.status == 400
    assert len(b"paths=a&" * 1001) < protocol.ANONYMOUS_LIMIT
