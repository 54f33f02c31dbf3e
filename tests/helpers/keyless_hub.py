"""A CI provider and a Hub that trusts it, on loopback: tokens are exchanged here, all else is the embedded Hub's.

As huggingface_hub asks for them (its `_oidc.py`; RFC 8693) and as hub-docs' trusted-publishers.md says of the token: an
hour, one repository that exists, no user.
"""

import http.client
import json
import threading
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from tests.helpers.hub_fixture import TOKEN, EmbeddedHub, hub_in

REQUEST_TOKEN = "of-this-job-alone"
ID_TOKEN = ".".join(urlsafe_b64encode(text * 4).decode().rstrip("=") for text in (b'{"alg": ', b'{"sub": ', b"signed"))
MINTED = f"hf_jwt_{ID_TOKEN}"
SECRETS = (REQUEST_TOKEN, ID_TOKEN, MINTED)


@dataclass(frozen=True, kw_only=True)
class KeylessHub:
    hub: EmbeddedHub
    endpoint: str
    asked: list[str]
    """Each request that was answered here, in order."""

    def job(self, resource: str, **changes: str) -> dict[str, str]:
        """What a job's environment holds that may ask for a token."""
        return {
            "GITHUB_ACTIONS": "true",
            "ACTIONS_ID_TOKEN_REQUEST_URL": f"{self.endpoint}/mint?api-version=2.0",
            "ACTIONS_ID_TOKEN_REQUEST_TOKEN": REQUEST_TOKEN,
            "HF_OIDC_RESOURCE": resource,
            "HF_HUB_DISABLE_XET": "1",
        } | changes


class Exchange(ThreadingHTTPServer):
    """Gives out tokens for the repository ``trusted`` of the Hub behind it."""

    daemon_threads = True

    def __init__(self, hub: EmbeddedHub, trusted: str) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.hub, self.trusted = hub, trusted
        self.endpoint = f"http://127.0.0.1:{self.server_port}"
        self.asked: list[str] = []

    def token_for(self, sent: dict[str, str]) -> tuple[int, object]:
        if sent["subject_token"] != ID_TOKEN:
            return 401, {"error": "invalid_grant", "error_description": f"not signed: {sent['subject_token']}"}
        if sent["resource"] != self.trusted:
            return 403, {"error": f"no trusted publisher of {sent['resource']} is this workflow"}
        return 200, {"access_token": MINTED, "token_type": "bearer", "expires_in": 3600}


class Handler(BaseHTTPRequestHandler):
    server: Exchange

    def handle_any(self) -> None:
        body, path = self.body(), urlsplit(self.path)
        bearer = self.headers.get("authorization", "").removeprefix("Bearer ")
        match (self.command, path.path):
            case ("GET", "/mint"):
                right = bearer == REQUEST_TOKEN and parse_qs(path.query)["audience"] == [self.server.endpoint]
                self.answer(200 if right else 401, {"value": ID_TOKEN} if right else {})
            case ("GET", "/no-provider"):
                self.answer(200, {})
            case ("POST", "/oauth/token"):
                self.answer(*self.server.token_for(json.loads(body)))
            case ("POST", "/api/repos/create") | ("GET", "/api/whoami-v2") if bearer == MINTED:
                self.answer(403, {"error": f"not a user's token: {bearer}"})
            case _:
                self.forward(body, TOKEN if bearer == MINTED else bearer)

    do_GET = do_POST = do_PUT = do_HEAD = handle_any  # noqa: N815  the names http.server looks for

    def body(self) -> bytes:
        if self.headers.get("transfer-encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("content-length", 0)))
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def answer(self, status: int, told: object) -> None:
        self.server.asked.append(f"{self.command} {urlsplit(self.path).path} {status}")
        self.reply(status, {}, json.dumps(told).encode())

    def forward(self, body: bytes, bearer: str) -> None:
        dropped = ("authorization", "transfer-encoding", "content-length", "connection", "host")
        headers = {name: value for name, value in self.headers.items() if name.lower() not in dropped}
        if bearer:
            headers["authorization"] = f"Bearer {bearer}"
        connection = http.client.HTTPConnection(self.server.hub.endpoint.removeprefix("http://"), timeout=30)
        connection.request(self.command, self.path, body, headers)
        response = connection.getresponse()
        kept = {name: value for name, value in response.getheaders() if name.lower() not in dropped}
        size = response.getheader("content-length", "0") if self.command == "HEAD" else None
        self.reply(response.status, kept | ({"content-length": size} if size else {}), response.read())
        connection.close()

    def reply(self, status: int, headers: dict[str, str], content: bytes) -> None:
        self.send_response(status)
        for name, value in ({"content-length": str(len(content))} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def keyless_hub(root: Path, trusted: str) -> Iterator[KeylessHub]:
    """The embedded Hub in ``root`` behind an exchange that gives out tokens for the repository ``trusted``."""
    with hub_in(root) as hub, Exchange(hub, trusted) as exchange:
        threading.Thread(target=exchange.serve_forever, daemon=True).start()
        yield KeylessHub(hub=hub, endpoint=exchange.endpoint, asked=exchange.asked)
        exchange.shutdown()
