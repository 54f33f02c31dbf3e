"""What every answer of the embedded Hub has in common: the token, the body, refusals and their headers."""

import errno
import hashlib
import hmac
import json
import re
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import unquote

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from hub_folder.faults import Refusal
from hub_folder.repository import Pointer, Repository
from hub_folder.store import Store

JSON_LIMIT = 8 * 1024 * 1024
"""Bytes of a request's body that came with the token."""
ANONYMOUS_LIMIT = 256 * 1024
"""Bytes of one that came without."""
UPLOAD_SECONDS = 6 * 3600
"""How long an upload URL is good for."""
WITHOUT = "This needs the token of this Hub: pass it as HF_TOKEN."
DISK_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Hub:
    store: Store
    endpoint: str
    token: str
    signing_key: bytes

    def upload_url(self, repository: Repository, pointer: Pointer) -> str:
        """Where to PUT a large file: the client sends no token there, so the URL itself is the permission."""
        expires = int(time.monotonic()) + UPLOAD_SECONDS  # by a clock that nobody sets; its key ends with it
        signature = self.signature(repository.kind, repository.name, pointer, expires)
        path = f"{web_path(repository.kind, repository.name)}.git/lfs/{pointer.sha256}"
        return f"{self.endpoint}{path}?size={pointer.size}&expires={expires}&sig={signature}"

    def signature(self, kind: str, name: str, pointer: Pointer, expires: int) -> str:
        promise = f"{kind}/{name}/{pointer.sha256}/{pointer.size}/{expires}"
        return hmac.new(self.signing_key, promise.encode(), hashlib.sha256).hexdigest()


@dataclass(frozen=True, kw_only=True)
class Call:
    """One request with its body, and whether it came with the token."""

    hub: Hub
    request: Request
    body: bytes
    trusted: bool

    def segment(self, name: str) -> str:
        """A path parameter; routes match the raw path, so an encoded slash is part of its segment."""
        return unquote(self.request.path_params[name])

    @property
    def kind(self) -> str:
        """As the API's paths say it; elsewhere only datasets are named."""
        of_web = "datasets" if self.request.scope["path"].startswith("/datasets/") else "models"
        return str(self.request.path_params.get("kind", of_web))

    @property
    def name(self) -> str:
        return f"{self.segment('namespace')}/{self.segment('name')}"

    def json(self) -> dict[str, Any]:
        value = read_json(self.body, "The request's body")
        if not isinstance(value, dict):
            raise Refusal(400, "The request's body is not a JSON object.")
        return value

    def readable(self) -> AbstractContextManager[Repository]:
        return self.hub.store.open(self.kind, self.name, private_too=self.trusted)

    @contextmanager
    def writable(self) -> Iterator[Repository]:
        with self.readable() as repository:
            self.must_be_trusted()
            yield repository

    def must_be_trusted(self) -> None:
        if not self.trusted:
            raise Refusal(401, WITHOUT)


def route(
    hub: Hub,
    method: str,
    path: str,
    answer: Callable[[Call], Response],
    *,
    limit: int = JSON_LIMIT,
    anonymous: bool = False,
) -> Route:
    """A route whose answer needs the whole body, and is worked out in a thread of its own.

    What changes something needs the token, and so does what does not say ``anonymous``: it is looked at before the
    body. ``limit``: bytes of the body; to GET there is none.
    """

    async def endpoint(request: Request) -> Response:
        trusted = _is_trusted(hub, request)
        if not (trusted or anonymous):
            raise Refusal(401, WITHOUT)
        body = b"" if method == "GET" else await _body(request, limit if trusted else min(limit, ANONYMOUS_LIMIT))
        return await run_in_threadpool(answer, Call(hub=hub, request=request, body=body, trusted=trusted))

    return Route(path, answering_refusals(endpoint), methods=[method])


async def _body(request: Request, limit: int) -> bytes:
    """All of the body, or 413 as soon as it is known to be longer."""
    refusal = Refusal(413, f"The body may have {limit:,} bytes here, and this one has more.")
    if announced_size(request) > limit:
        raise refusal
    body = bytearray()
    async for block in request.stream():
        body += block
        if len(body) > limit:
            raise refusal
    return bytes(body)


def announced_size(request: Request) -> int:
    """Bytes of the body by its header; 0 where it comes in chunks."""
    return int(request.headers.get("content-length", "0"))


def read_json(content: bytes, what: str) -> Any:
    """A value of JSON; 400 for what is none, and for what is nested too deeply to be read."""
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise Refusal(400, f"{what} is not JSON: {error}") from None


def answering_refusals(endpoint: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
    async def answering(request: Request) -> Response:
        try:
            response = await endpoint(request)
        except (Refusal, OSError, UnicodeEncodeError) as problem:
            response = _refused(problem, anonymous="authorization" not in request.headers)
        request_id = request.headers.get("x-amzn-trace-id")
        if request_id:
            response.headers["X-Request-Id"] = request_id
        return response

    return answering


def _is_trusted(hub: Hub, request: Request) -> bool:
    given = request.headers.get("authorization")
    if given is None:
        return False
    if not hmac.compare_digest(given.encode(), f"Bearer {hub.token}".encode()):
        raise Refusal(401, "Invalid credentials in Authorization header")
    return True


def _refused(problem: Refusal | OSError | UnicodeEncodeError, *, anonymous: bool) -> Response:
    refusal = _as_refusal(problem)
    headers = {"X-Error-Message": re.sub(r"[^ -~]", "?", refusal.message)}
    if refusal.code:
        headers["X-Error-Code"] = refusal.code
    if refusal.commit:
        headers["X-Repo-Commit"] = refusal.commit
    # The Hub answers 401 to those who may not know whether the repository exists.
    status = 401 if anonymous and refusal.code == "RepoNotFound" else refusal.status
    return json_answer({"error": refusal.message}, status=status, headers=headers)


def _as_refusal(problem: Refusal | OSError | UnicodeEncodeError) -> Refusal:
    if isinstance(problem, Refusal):
        return problem
    if isinstance(problem, UnicodeEncodeError):
        return Refusal(400, "The request holds text that is not Unicode (half of a surrogate pair).")
    if problem.errno not in DISK_FULL:
        raise problem
    return Refusal(507, f"The Hub's disk is full ({problem.strerror}); nothing was stored. Make room and run again.")


def json_answer(value: object, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(json.dumps(value, allow_nan=False), status, headers, media_type="application/json")


def web_path(kind: str, name: str) -> str:
    return f"/{name}" if kind == "models" else f"/{kind}/{name}"


def field(fields: object, name: str, kind: type[T], default: T | None = None) -> T:
    if not isinstance(fields, Mapping):
        raise Refusal(400, f"{str(fields)[:100]!r} must be an object with {name!r}.")
    value = default if fields.get(name) is None else fields[name]
    if not isinstance(value, kind):
        raise Refusal(400, f"{name!r} is {str(value)[:100]!r}, but it must be a {kind.__name__}.")
    return value
