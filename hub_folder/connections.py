"""Who may speak to the embedded Hub, how many at once, and for how long: it is one process among a user's others."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

import h11
from starlette.types import Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

CONNECTIONS = 200
"""At once. One more ends the oldest that has nothing under way."""
HEAD_SECONDS = 10
"""For the head of a request, and for the rest of a body that nobody reads."""
IDLE_SECONDS = 600
"""A client that hashes a large file between two requests finds its connection still open."""
GRACE_SECONDS = 30
"""How long a body, or an answer, may stand still."""
SLOWEST = 16 * 1024
"""Bytes a second at which a body, or an answer, must go on after that."""
T = TypeVar("T")


class BoundedProtocol(H11Protocol):
    """HTTP/1.1 of clients that may be silent, slow or many."""

    _timer: asyncio.TimerHandle | None = None
    _given: int | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        self._since = self.loop.time()
        others = [one for one in self.connections if isinstance(one, BoundedProtocol)]
        there = [one for one in others if not one.transport.is_closing()]  # one that was ended leaves a moment later
        if len(there) > CONNECTIONS:
            at_rest = [one for one in there if not one.is_busy]
            min(at_rest, key=lambda one: one._since).transport.abort()  # noqa: SLF001  another of its own kind
        self._watch()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer:
            self._timer.cancel()
        super().connection_lost(exc)

    @property
    def is_busy(self) -> bool:
        """Whether a request is being answered; its own clock runs then."""
        return self.cycle is not None and not self.cycle.response_complete

    def _watch(self) -> None:
        """Start the clock that fits what is awaited now, unless it runs already."""
        allowed = self._allowed()
        if allowed != self._given:
            if self._timer:
                self._timer.cancel()
            self._given = allowed
            self._timer = None if allowed is None else self.loop.call_later(allowed, self.transport.abort)

    def _allowed(self) -> int | None:
        if self.is_busy or self.transport.is_closing():
            return None
        between = self.cycle is not None and self.conn.their_state is h11.IDLE and not self.conn.trailing_data[0]
        return IDLE_SECONDS if between else HEAD_SECONDS


class Pace:
    """The clock of one body or one answer: it runs while the other side is awaited, and stops at one that stalls."""

    def __init__(self) -> None:
        self._seconds, self.bytes = 0.0, 0

    async def of(self, step: Awaitable[T]) -> T:
        """The step's result; ``TimeoutError`` where it takes longer than all of them may."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        try:
            left = GRACE_SECONDS + self.bytes / SLOWEST - self._seconds
            async with asyncio.timeout(max(0.0, min(GRACE_SECONDS, left))):
                return await step
        finally:
            self._seconds += loop.time() - started


def paced(connection: H11Protocol, receive: Receive, send: Send) -> tuple[Receive, Send]:
    """The same two, ending a connection whose client neither sends nor takes anything for too long."""
    asked, answered, more = Pace(), Pace(), True

    async def receive_in_time() -> Message:
        nonlocal more
        if not more:
            return await receive()  # for the end of the connection, which may be far away
        try:
            message = await asked.of(receive())
        except TimeoutError:
            connection.transport.abort()
            return {"type": "http.disconnect"}
        asked.bytes += len(message.get("body", b""))
        more = bool(message.get("more_body"))
        return message

    async def send_in_time(message: Message) -> None:
        try:
            await answered.of(send(message))
        except TimeoutError:
            connection.transport.abort()
        answered.bytes += len(message.get("body", b""))

    return receive_in_time, send_in_time


def comes_from_a_page(scope: Scope) -> bool:
    """Whether a web page sent it: every browser says so. No page is served here, so it is one of somebody else."""
    headers = dict(scope["headers"])
    return b"origin" in headers or headers.get(b"sec-fetch-site", b"none") != b"none"
