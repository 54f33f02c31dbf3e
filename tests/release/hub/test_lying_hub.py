"""A Hub that lies to those who look at a release from it, and to those who publish: each ends, and says why.

The Hub's client is the real one, and the Hub speaks HTTP on loopback.
"""

import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from release.cli.__main__ import main
from tests.helpers import hostile_hub
from tests.helpers.hostile_hub import COMMIT, TRICKS, Handler, Hub, Reply, as_json
from tests.helpers.line import ROOT
from tests.release.publishing.test_publish import WEIGHTS, a_package, ask, commits, tags, to_publish
from tests.release.publishing.test_publish import Hub as TrueHub
from tests.release.publishing.test_publish import hub as true_hub

__all__ = ["true_hub"]
TOKEN = "hf_" + "m" * 34
KEPT = ROOT / "tests" / "data" / "releases" / "v2"
AFTER: dict[str, tuple[str, ...]] = {
    "verify": (),
    "open": ("--no-browser",),
    "rejudge": (),
    "reproduce": ("--level", "verdict", "--anyway"),
    "serve-check": (),
    "export": (),
    "compare": (f"{ROOT / 'tests' / 'data' / 'releases' / 'v3'}", "--no-browser"),
}
BEFORE = {"explain": ("citation_coverage",)}
COMMANDS = (*AFTER, *BEFORE)
LIES = (
    "other-bytes", "more-than-listed", "less-than-listed", "size-of-everything", "pages-for-ever", "huge-json",
    "trickling-file", "in-circles", "to-a-file-of-this-disk", "commit-that-is-a-path", "gzip-bomb", "twice",
)  # fmt: skip
MET = [(COMMANDS[number % len(COMMANDS)], lie) for number, lie in enumerate((*LIES, *LIES[6:]))]
"""Each command meets two lies or three, each lie one command or two, beside `verify`, which meets all elsewhere."""


@pytest.fixture(scope="module")
def hub() -> Iterator[Hub]:
    with hostile_hub.hostile_hub(KEPT) as found:
        yield found


@pytest.fixture(name="place")
def _place(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "scratch").mkdir()
    monkeypatch.chdir(tmp_path)
    for name in ("TMPDIR", "HF_HOME"):
        monkeypatch.setenv(name, str(tmp_path / "scratch"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "scratch"))
    monkeypatch.setenv("ADAPTER_RELEASE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_DISABLE_XET", "1")
    monkeypatch.setenv("ADAPTER_RELEASE_HUB_TIMEOUT", "0.5")
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
    hub.heard.clear()
    return tmp_path


def run(hub: Hub, command: str, lie: str, capfd: pytest.CaptureFixture[str]) -> tuple[object, str]:
    code: object = 0
    typed = (*BEFORE.get(command, ()), f"local/{lie}@v1", *AFTER.get(command, ()))
    try:
        main([command, *typed, "--hub", hub.endpoint])
    except SystemExit as ended:
        code = ended.code
    return code, "".join(capfd.readouterr())


@pytest.mark.parametrize(("command", "lie"), MET)
def test_a_command_that_looks_at_a_release_ends_and_says_why(
    hub: Hub, command: str, lie: str, place: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    started = time.monotonic()
    code, said = run(hub, command, lie, capfd)

    assert code in (6, 7), said
    assert "Traceback" not in said
    assert TOKEN not in said
    assert time.monotonic() - started < 20
    assert [one for one in (place / "scratch").rglob("*") if one.is_file() and one.name != "fetch.log"] == []
    assert not list(place.glob("exports/*"))
    assert {token for _, token in hub.heard} <= {None, f"Bearer {TOKEN}"}


def test_every_command_meets_lies() -> None:
    assert {command for command, _ in MET} == set(COMMANDS)
    assert {lie for _, lie in MET} == set(LIES) <= TRICKS.keys()
    assert len(set(MET)) == len(MET)


@contextmanager
def trick(name: str, played: Callable[[Handler, str, str, Reply], Reply | None]) -> Iterator[str]:
    TRICKS[name] = played
    try:
        yield name
    finally:
        del TRICKS[name]


@pytest.mark.usefixtures("place")
def test_a_hub_that_sends_on_to_another_one_takes_no_token_there(hub: Hub, capfd: pytest.CaptureFixture[str]) -> None:
    with hostile_hub.hostile_hub(KEPT) as other:

        def goes_on(asked: Handler, kind: str, _: str, honest: Reply) -> Reply:
            if asked.headers.get("authorization") is None:
                return Reply(status=401, body=b"{}", headers={"X-Error-Code": "RepoNotFound"})
            where = f"{other.endpoint}{asked.path.replace('goes-on', 'honest')}"
            return Reply(status=302, headers={"Location": where}) if kind == "resolve" else honest

        with trick("goes-on", goes_on) as name:
            run(hub, "verify", name, capfd)

    assert f"Bearer {TOKEN}" in {token for _, token in hub.heard}
    assert other.heard
    assert {token for _, token in other.heard} == {None}


@pytest.mark.usefixtures("place")
def test_a_tag_that_moves_while_it_is_fetched_is_one_commit(hub: Hub, capfd: pytest.CaptureFixture[str]) -> None:
    moved = iter([COMMIT, *[f"{number:040x}" for number in range(1, 99)]])

    def moves(_: Handler, kind: str, __: str, honest: Reply) -> Reply:
        return as_json({"id": "x", "sha": next(moved), "private": False}) if kind == "revision" else honest

    with trick("moves", moves) as name:
        code, said = run(hub, "verify", name, capfd)

    assert (code, COMMIT in said) == (0, True), said
    after = [path for path, _ in hub.heard if "/tree/" in path or "/resolve/" in path]
    assert len(after) > 10
    assert [path for path in after if COMMIT not in path] == []


@dataclass(frozen=True, kw_only=True)
class Retold:
    """Of a Hub's answers those to requests that begin so, told otherwise, in as many bytes."""

    port: int
    heard: str
    told: Callable[[bytes], bytes]

    def speak(self, client: socket.socket) -> None:
        """One connection to the Hub."""
        lies = threading.Event()

        def listens(data: bytes) -> bytes:
            if data.startswith((b"GET", b"POST", b"PUT", b"HEAD", b"DELETE")):
                (lies.set if data.startswith(self.heard.encode()) else lies.clear)()
            return data

        with client, socket.create_connection(("127.0.0.1", self.port)) as server:
            tells = lambda data: self.told(data) if lies.is_set() else data  # noqa: E731
            back = threading.Thread(target=_pass_on, args=(server, client, tells))
            back.start()
            _pass_on(client, server, listens)
            back.join()


def _pass_on(source: socket.socket, sink: socket.socket, change: Callable[[bytes], bytes]) -> None:
    with suppress(OSError):
        while data := source.recv(1 << 20):
            sink.sendall(change(data))
    for end in (source, sink):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


@contextmanager
def retold(hub: TrueHub, heard: str, told: Callable[[bytes], bytes]) -> Iterator[str]:
    """The endpoint of a Hub that lies."""
    listener = socket.create_server(("127.0.0.1", 0))
    lying = Retold(port=int(hub.endpoint.rpartition(":")[2]), heard=heard, told=told)

    def accept() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=lying.speak, args=(listener.accept()[0],)).start()

    threading.Thread(target=accept).start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def instead(old: bytes, new: bytes) -> Callable[[bytes], bytes]:
    assert len(old) == len(new)
    return lambda data: data.replace(old, new)


REPO = "user/elements"
TO_PUBLISH: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "other bytes than were sent": (f"GET /{REPO}/resolve/", instead(b"oneoneone", b"onetwoone")),
    "another size than was sent": (f"GET /api/models/{REPO}/tree/", instead(b"300000", b"300001")),
    "another name than was sent": (f"GET /api/models/{REPO}/tree/", instead(WEIGHTS.encode(), b"x" * len(WEIGHTS))),
    "another commit than was made": (f"POST /api/models/{REPO}/commit/", lambda data: _other(data, b"commitOid")),
    "a tag at another commit": (f"GET /api/models/{REPO}/refs", lambda data: _other(data, b"targetCommit")),
}  # fmt: skip


def _other(data: bytes, key: bytes) -> bytes:
    """With another commit under this key."""
    return re.sub(b'("' + key + b'": ?")[0-9a-f]{40}', lambda found: found[1] + b"0" * 40, data)


@pytest.mark.parametrize("lie", TO_PUBLISH)
def test_who_publishes_believes_nothing_of_it(true_hub: TrueHub, tmp_path: Path, lie: str) -> None:
    package = a_package(tmp_path / "run")
    with retold(true_hub, *TO_PUBLISH[lie]) as endpoint:
        outcome = ask(to_publish(package), tmp_path, endpoint)

    assert outcome.code in (6, 7), outcome.said
    assert outcome.answer is None
    assert "Traceback" not in outcome.said
    assert set(tags(true_hub)) == ({"v1.0.0"} if lie == "a tag at another commit" else set())
    healed = ask(to_publish(package), tmp_path, true_hub.endpoint)
    assert healed.code == 0, healed.said
    assert len(set(tags(true_hub).values())) == 1
    assert json.loads((tmp_path / "answer.json").read_text())["commit"] in commits(true_hub)
