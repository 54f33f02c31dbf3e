"""A Hub that holds one release and plays a trick on whoever reads it: the repository's name says which.

Real HTTP on loopback, by hand: the embedded Hub could not send what these do.
"""

import gzip
import hashlib
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"
MIB = b" " * (1 << 20)


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What a Hub answers."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] | None = None


class Hub(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files = {
            path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
        }
        self.endpoint = f"http://127.0.0.1:{self.server_port}"
        self.heard: list[tuple[str, str | None]] = []
        """Path and token of every request."""

    def handle_error(self, request: object, client_address: object) -> None:
        """Who reads may hang up at any time."""

    def listing(self) -> list[dict[str, object]]:
        """What an honest Hub says of the files."""
        return [_entry(path, data) for path, data in self.files.items()]


def _entry(path: str, data: bytes, size: int | None = None) -> dict[str, object]:
    size = len(data) if size is None else size
    oid = hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()
    return {"type": "file", "path": path, "size": size, "oid": oid}


class Handler(BaseHTTPRequestHandler):
    server: Hub
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.server.heard.append((path, self.headers.get("authorization")))
        parts = path.strip("/").split("/")
        trick = parts[3] if parts[0] == "api" else parts[1]
        kind, rest = (parts[4], "") if parts[0] == "api" else ("resolve", "/".join(parts[4:]))
        honest = self.honest(kind, rest)
        with suppress(ConnectionError):
            played = TRICKS[trick](self, kind, rest, honest) if trick in TRICKS else honest
            if played is not None:
                self.reply(played)

    def honest(self, kind: str, path: str) -> Reply:
        match kind:
            case "revision":
                return as_json({"id": "local/x", "sha": COMMIT, "private": False, "siblings": []})
            case "tree":
                return as_json(self.server.listing())
            case "resolve" if path in self.server.files:
                return Reply(body=self.server.files[path])
        return Reply(status=404, body=b"{}", headers={"X-Error-Code": "EntryNotFound"})

    def reply(self, reply: Reply) -> None:
        self.begin(reply.status, {"Content-Length": str(len(reply.body)), **(reply.headers or {})})
        self.wfile.write(reply.body)

    def begin(self, status: int, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def as_json(value: object) -> Reply:
    return Reply(body=json.dumps(value).encode())


Trick = Callable[[Handler, str, str, Reply], Reply | None]
TRICKS: dict[str, Trick] = {}


def trick(played: Trick) -> Trick:
    TRICKS[played.__name__.replace("_", "-")] = played
    return played


def lists(name: str, change: Callable[[list[dict[str, object]]], object]) -> None:
    """A trick that is another listing."""
    TRICKS[name] = lambda hub, kind, _, honest: as_json(change(hub.server.listing())) if kind == "tree" else honest


def says(name: str, of: str, value: object) -> None:
    """A trick that is another answer to one kind of request."""
    TRICKS[name] = lambda _, kind, __, honest: as_json(value) if kind == of else honest


X = b"x"
for _number, _path in enumerate(
    ["../../escaped", "/tmp/escaped", "a/../../escaped", "a\\..\\b", "C:x", "con.txt", "a\x1b[2Jb", "a\nb", "", "a//b",
     "x" * 300]
):  # fmt: skip
    lists(f"name-{_number}", lambda found, path=_path: [*found, _entry(path, X)])  # type: ignore[misc]
lists("twice", lambda found: [*found, found[0]])
lists("file-and-folder", lambda found: [*found, _entry("a", X), _entry("a/b", X)])
lists("size-of-minus-one", lambda found: [*found, _entry("x", X, -1)])
lists("size-of-text", lambda found: [{**found[0], "size": "1"}])
lists("size-of-everything", lambda found: [*found, _entry("x", X, 1 << 60)])
lists("size-of-a-disk", lambda found: [*found, _entry("x", X, 99 << 30)])
lists("digest-that-is-none", lambda found: [{**found[0], "oid": "../../x"}])
lists("path-of-a-number", lambda found: [{**found[0], "path": 7}])
lists("no-path", lambda _: [{"type": "file"}])
lists("many-files", lambda _: [_entry(f"f{number}", X) for number in range(21_000)])
says("list-of-numbers", "tree", [1, 2, 3])
says("object-for-a-list", "tree", {"error": "x"})
says("list-for-an-object", "revision", [])
says("null", "revision", None)
says("commit-that-is-a-path", "revision", {"id": "x", "sha": "../../escaped", "private": False})
says("commit-that-is-a-list", "revision", {"id": "x", "sha": ["a"], "private": False})


@trick
def deep_json(_: Handler, kind: str, __: str, honest: Reply) -> Reply:
    return Reply(body=b"[" * 1_000_000) if kind == "tree" else honest


@trick
def huge_json(hub: Handler, kind: str, _: str, honest: Reply) -> Reply | None:
    """A listing of a gigabyte."""
    if kind != "tree":
        return honest
    hub.begin(200, {"Content-Length": str(1 << 30)})
    for _number in range(1024):
        hub.wfile.write(MIB)
    return None


@trick
def pages_for_ever(hub: Handler, kind: str, _: str, honest: Reply) -> Reply:
    where = f"{hub.server.endpoint}{hub.path}"
    return Reply(body=b"[]", headers={"Link": f'<{where}>; rel="next"'}) if kind == "tree" else honest


@trick
def trickle(hub: Handler, kind: str, _: str, honest: Reply) -> Reply | None:
    return _trickled(hub, honest) if kind == "tree" else honest


@trick
def trickling_file(hub: Handler, kind: str, _: str, honest: Reply) -> Reply | None:
    return _trickled(hub, honest) if kind == "resolve" else honest


def _trickled(hub: Handler, honest: Reply) -> Reply | None:
    hub.begin(200, {"Content-Length": str(len(honest.body))})
    for byte in honest.body:
        hub.wfile.write(bytes([byte]))
        time.sleep(0.1)
    return None


@trick
def trickling_head(hub: Handler, kind: str, _: str, honest: Reply) -> Reply | None:
    if kind != "tree":
        return honest
    for byte in b"HTTP/1.1 200 OK\r\nX-Slow: " + b"a" * 10_000:
        hub.wfile.write(bytes([byte]))
        time.sleep(0.1)
    return None


@trick
def come_back_tomorrow(_: Handler, kind: str, __: str, honest: Reply) -> Reply:
    return Reply(status=429, headers={"Retry-After": "86400"}) if kind == "tree" else honest


@trick
def more_than_listed(hub: Handler, kind: str, _: str, honest: Reply) -> Reply | None:
    """A file without an end."""
    if kind != "resolve":
        return honest
    hub.begin(200, {"Connection": "close"})
    hub.close_connection = True
    while True:
        hub.wfile.write(MIB)


@trick
def less_than_listed(_: Handler, kind: str, __: str, honest: Reply) -> Reply:
    return Reply(body=honest.body[:-1]) if kind == "resolve" else honest


@trick
def other_bytes(_: Handler, kind: str, __: str, honest: Reply) -> Reply:
    return Reply(body=honest.body[:-1] + b"\0") if kind == "resolve" else honest


@trick
def hangs_up_at_once(hub: Handler, kind: str, _: str, honest: Reply) -> Reply | None:
    if kind != "resolve":
        return honest
    hub.begin(200, {"Content-Length": str(len(honest.body))})
    hub.close_connection = True
    return None


@trick
def gzip_bomb(_: Handler, kind: str, __: str, honest: Reply) -> Reply:
    return _packed(MIB * 256) if kind == "tree" else honest


@trick
def gzip_bomb_for_a_file(_: Handler, kind: str, __: str, honest: Reply) -> Reply:
    return _packed(honest.body) if kind == "resolve" else honest


def _packed(body: bytes) -> Reply:
    return Reply(body=gzip.compress(body, 1), headers={"Content-Encoding": "gzip"})


def goes_on_to(name: str, of: str, where: str) -> None:
    """A trick that is a redirect."""
    TRICKS[name] = lambda hub, kind, _, honest: (
        Reply(status=302, headers={"Location": where or hub.server.endpoint + hub.path}) if kind == of else honest
    )


goes_on_to("to-a-file-of-this-disk", "resolve", "file:///etc/passwd")
goes_on_to("to-another-scheme", "tree", "gopher://127.0.0.1/x")
goes_on_to("in-circles", "tree", "")


@trick
def asks_for_a_token(_: Handler, __: str, ___: str, ____: Reply) -> Reply:
    return Reply(status=401, body=b"{}", headers={"X-Error-Code": "RepoNotFound"})


@contextmanager
def hostile_hub(folder: Path) -> Iterator[Hub]:
    """The release in ``folder`` on a Hub where ``local/TRICK`` plays that trick."""
    with Hub(folder) as hub:
        threading.Thread(target=hub.serve_forever, daemon=True).start()
        yield hub
        hub.shutdown()
