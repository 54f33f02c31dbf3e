"""A server on loopback that speaks OpenAI's API as far as it is asked here, and answers as a test wants it to."""

import json
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

Body = dict[str, Any]
Reply = Callable[[Body, int], Awaitable[Any]]
"""What is answered to a question, by its JSON and how many came before: an ASGI response, or a completion's JSON."""


@dataclass(frozen=True, kw_only=True)
class ServedModel:
    url: str
    asked: list[Body]
    """The questions in the order in which they came."""
    keys: list[str] = field(default_factory=list)
    """What opened each request."""
    most: list[int] = field(default_factory=lambda: [0, 0])
    """How many questions are in flight, and how many were at most."""


def completion(text: str | None, **changes: Any) -> Body:
    """As vLLM answers."""
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    told = {name: changes.pop(name) for name in ("finish_reason",) if name in changes}
    whole = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice | told]}
    return {**whole, "usage": {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8}, **changes}


async def echo(body: Body, _: int) -> Body:
    """The question itself, in capitals."""
    return completion(body["messages"][-1]["content"].upper(), model=body["model"])


@contextmanager
def served_model(
    reply: Reply = echo, *, listed: Sequence[str] | Response = ("m", "base"), version: str | None = None
) -> Iterator[ServedModel]:
    """The server until the block ends; ``listed`` is what it says of its models."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        found = ServedModel(url=f"http://127.0.0.1:{listener.getsockname()[1]}/v1", asked=[])
        app = _application(found, reply, listed, version)
        config = uvicorn.Config(app, log_config=None, lifespan="off", ws="none", timeout_graceful_shutdown=1)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
        thread.start()
        try:
            while not server.started:
                assert thread.is_alive()
                time.sleep(0.01)
            yield found
        finally:
            server.should_exit = True
            thread.join()


def _application(found: ServedModel, reply: Reply, listed: Sequence[str] | Response, version: str | None) -> Starlette:
    async def answer(request: Request) -> Response:
        found.keys.append(request.headers.get("authorization", ""))
        body = json.loads(await request.body())
        found.asked.append(body)
        found.most[0] += 1
        found.most[1] = max(found.most)
        try:
            said = await reply(body, len(found.asked) - 1)
        finally:
            found.most[0] -= 1
        return said if callable(said) else JSONResponse(said)

    async def models(request: Request) -> Response:
        found.keys.append(request.headers.get("authorization", ""))
        return listed if isinstance(listed, Response) else JSONResponse({"data": [{"id": one} for one in listed]})

    async def told(request: Request) -> Response:
        assert "authorization" not in request.headers
        return JSONResponse({"version": version}) if version else Response(status_code=404)

    paths = {"/v1/chat/completions": (answer, "POST"), "/v1/models": (models, "GET"), "/version": (told, "GET")}
    return Starlette(routes=[Route(path, one, methods=[how]) for path, (one, how) in paths.items()])
