"""The page of a review, served to this machine alone: to who has its address, from that page itself, and no other."""

import contextlib
import hmac
import json
import re
import secrets
import tempfile
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import cast

from gates import human_review
from gates.canonical import Json
from gates.human_review import REASONS, SAYS, Review, Settled
from release.reviewing import answers
from release.reviewing import page as pages
from release.reviewing.answers import Refused
from release.reviewing.opened import ToRead
from release.values.errors import Stop

HOST = "127.0.0.1"
MOST = 64_000
"""Bytes that the page ever sends at once."""
WAIT = 20
"""Seconds that a connection may be silent."""
KEPT_OUT: Mapping[str, str] = {
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


@dataclass(frozen=True, kw_only=True)
class Serving:
    """A page that is being served."""

    to_read: ToRead
    token: str
    port: int
    ended: threading.Event = field(default_factory=threading.Event)
    """Set once somebody says in the page that all is done."""

    @property
    def origin(self) -> str:
        return f"http://{HOST}:{self.port}"

    @property
    def address(self) -> str:
        return f"{self.origin}/{self.token}/"


@contextlib.contextmanager
def served(to_read: ToRead) -> Iterator[Serving]:
    """The page while the block lasts, at an address that only its reader knows."""
    answers.read(to_read)  # what is wrong with the file is said before a browser opens
    server = _Server((HOST, 0), _Handler)
    server.serving = Serving(to_read=to_read, token=secrets.token_urlsafe(32), port=server.server_address[1])
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True)
    thread.start()
    try:
        yield server.serving
    finally:
        server.shutdown()
        server.server_close()


@contextlib.contextmanager
def door(serving: Serving) -> Iterator[str]:
    """A file of this user alone that leads to the page: with which address a browser is started, everybody can see."""
    with tempfile.TemporaryDirectory(prefix="adapter-release-") as folder:
        path = Path(folder) / "review.html"
        leads = f'<!doctype html><title>Review</title><meta http-equiv="refresh" content="0;url={serving.address}">'
        path.write_text(f'{leads}<a href="{serving.address}">To the review</a>\n', "utf-8")
        yield path.as_uri()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    serving: Serving

    def handle_error(self, *_: object) -> None:
        """Nothing: the browser has gone, and the next one asks again."""


class _Handler(BaseHTTPRequestHandler):
    timeout = WAIT
    protocol_version = "HTTP/1.0"
    server_version, sys_version = "review", ""

    @property
    def serving(self) -> Serving:
        return cast("_Server", self.server).serving

    def do_GET(self) -> None:
        if (what := self._asked_for(self.headers.get("Origin", self.serving.origin))) is None:
            return
        if what == "":
            self._send(200, pages.page(self.serving.to_read.name), "text/html; charset=utf-8")
        else:
            self._send(404, b"there is no such page", "text/plain")

    def do_POST(self) -> None:
        if (what := self._asked_for(self.headers.get("Origin"))) is None:
            return
        size = self.headers.get("Content-Length", "")
        if (
            self.headers.get("Content-Type") != "application/json"
            or not re.fullmatch("[0-9]{1,7}", size)
            or int(size) > MOST
        ):
            self._send(400, b"the page sends no such thing", "text/plain")
            return
        try:
            sent = json.loads(self.rfile.read(int(size)))
            if not isinstance(sent, dict):
                raise Refused("this is not an object")
            told = _answer(self.serving, what, sent)
        except (ValueError, RecursionError) as error:
            self._send_json(400, {"error": str(error) if isinstance(error, Refused) else "this is not JSON"})
        except (Stop, OSError) as error:  # the file was moved or changed, or the disk is full
            self._send_json(409, {"error": str(error)})
        else:
            self._send_json(200, told)
            if what == "close":
                self.serving.ended.set()

    def _asked_for(self, origin: str | None) -> str | None:
        """What stands behind the token; None, and an answer, for who is not this page at this address."""
        serving, site = self.serving, self.headers.get("Sec-Fetch-Site", "same-origin")
        opens = (self.command, self.headers.get("Sec-Fetch-Dest")) == ("GET", "document")  # from `door`, or a bookmark
        hosts = self.headers.get_all("Host") or []
        there = hosts == [f"{HOST}:{serving.port}"] and origin == serving.origin
        there = there and (opens or site in ("same-origin", "none"))
        _, _, rest = self.path.partition("/")
        token, slash, what = rest.partition("/")
        known = hmac.compare_digest(token.encode("utf-8", "replace"), serving.token.encode())
        if there and known and slash:
            return what
        self._send(
            403, b"this page is for one reader on this machine: open the address that the command shows", "text/plain"
        )
        return None

    def _send_json(self, status: int, value: Json) -> None:
        self._send(status, json.dumps(value).encode(), "application/json")

    def _send(self, status: int, body: bytes, kind: str) -> None:
        self.send_response(status)
        for name, value in KEPT_OUT.items():
            self.send_header(name, value)
        self.send_header("Content-Security-Policy", pages.policy())
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        with contextlib.suppress(OSError):  # the browser has gone
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing: an address with its token is no line for a log."""


def _answer(serving: Serving, what: str, sent: Mapping[str, object]) -> dict[str, Json]:
    """What the page is told after it said something."""
    to_read = serving.to_read
    asked, name = to_read.asked, answers.typed(sent.get("name", ""), answers.NAME).strip()
    match what:
        case "people":
            review = answers.read(to_read)
            people: list[Json] = [
                {"name": one.name, "done": human_review.answered(one, review.rows), "through": one.through}
                for one in review.reviewers
            ]
            return {"people": people, "rows": len(review.rows), "wanted": asked.gate.reviewers}
        case "begin":
            review = answers.read(to_read)
            through = answers.of(review, name).through
            rows = answers.shown(review, asked, name)
            return {"rows": rows, "through": through, "says": [*SAYS], "reasons": [*REASONS]}
        case "say":
            row = answers.row_of(asked, sent)
            review = answers.changed(to_read, lambda one: answers.said(one, name, row))
            return {"done": human_review.answered(answers.of(review, name), review.rows)}
        case "finish":
            review = answers.changed(to_read, lambda one: answers.finished(one, name))
            return answers.ending(review, to_read, name)
        case "settle":
            one = _settled(sent, name)
            review = answers.changed(to_read, lambda before: answers.settled(before, one))
            return answers.ending(review, to_read, name)
        case "close":
            return {}
        case _:
            raise Refused("the page asks no such thing")


def _settled(sent: Mapping[str, object], name: str) -> Settled:
    says = sent.get("says")
    if says not in SAYS:
        raise Refused("this is not an opinion")
    return Settled(
        id=answers.typed(sent.get("id"), 10_000),
        says=str(says),
        by=name,
        notes=answers.typed(sent.get("notes", ""), answers.REASON),
    )


def summary(to_read: ToRead) -> list[str]:
    """What stands in the file when the command ends."""
    review: Review = answers.read(to_read)
    if not review.reviewers:
        return ["Nobody said anything; nothing was written."]
    open_ = list(human_review.unfinished(review, to_read.asked.gate))
    if open_:
        return [*open_, f"Go on whenever you like: what was said is in {to_read.file}"]
    return [*human_review.terminal(answers.result(review, to_read)), f"What was said is in {to_read.file}"]
