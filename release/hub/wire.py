"""What a Hub may send and for how long, and which of its requests carry a token: hooks of the HTTP client.

They hold for every request, redirects and pages included, whoever in huggingface_hub makes it.
"""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import FrameType

import httpx2

from release.hub.address import keeps_secrets, origin
from release.values.errors import HubError

TIMEOUT = float(os.environ.get("ADAPTER_RELEASE_HUB_TIMEOUT", "120"))
"""Seconds without a byte from the Hub. The client's own default is to wait for ever."""
WAITS = 5
"""Times as long may one question take, with all its repetitions, beside the time of its files."""
SLOWEST = 16 * 1024
"""Bytes a second at which an answer must come once it has taken ``TIMEOUT``."""
REQUESTS = 200
"""Of one question: pages, and repetitions of what failed. The Hub lists a thousand files, or fifty commits, a page."""
LARGEST = 16 << 20
"""Bytes of all that answers one question, other than files: the Hub lists some fifty thousand files in as many."""
DO = "Nothing was taken from it. Check that this is the Hub that is meant, then run again."


@dataclass(kw_only=True)
class Question:
    """Something that is being asked, with what it has cost so far."""

    what: str
    endpoint: str
    requests: int = REQUESTS
    bytes: int = LARGEST
    files: int = 0
    """Bytes of the files that go over the line, for which it may take longer."""
    lasting: bool = False
    """Whether it is answered for as long as something is at work, a word now and then."""
    asked: int = 0
    came: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def one_more(self) -> None:
        """Count a request."""
        with self._lock:
            self.asked += 1
        if self.asked > self.requests:
            raise self.stopped(f"it took {self.requests:,} requests, and the Hub still has more to say")

    def arrived(self, size: int) -> None:
        """Count bytes of an answer."""
        with self._lock:
            self.came += size
        if self.came > self.bytes:
            raise self.stopped(f"the Hub sends more than {self.bytes:,} bytes, which is no answer to it")

    def stopped(self, why: str) -> HubError:
        """Why no more is heard."""
        return HubError(f"{self.what} at {self.endpoint} was stopped: {why}. {DO}")


_under_way: list[Question] = []
"""The question that this process asks; a process asks one at a time, if by several threads."""


@contextlib.contextmanager
def asking(question: Question) -> Iterator[None]:
    """Hold what is sent and received meanwhile to the bounds of the question, and the block to its time."""
    seconds = WAITS * TIMEOUT + question.files / SLOWEST
    _under_way.append(question)
    try:
        with contextlib.nullcontext() if question.lasting else _ending(question, seconds):
            yield
    finally:
        _under_way.remove(question)


@contextlib.contextmanager
def _ending(question: Question, seconds: float) -> Iterator[None]:
    """Raise in the block after that time: also while a socket, or huggingface_hub between two tries, is waited for."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def late(_: int, __: FrameType | None) -> None:
        raise question.stopped(f"it took longer than {seconds:,.0f} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds, 60)  # again, where a library took the first for its own
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def bounded(client: httpx2.Client, endpoint: str) -> httpx2.Client:
    """The same client, with the bounds of whatever question is under way."""
    client.timeout = httpx2.Timeout(TIMEOUT, pool=None)

    def requested(request: httpx2.Request) -> None:
        question = _question(endpoint)
        question.one_more()
        if request.url.scheme not in ("http", "https"):
            raise question.stopped(f"the Hub sends this client on to {str(request.url)[:100]!r}")
        request.headers["accept-encoding"] = "identity"  # what is packed may be a thousand times as much
        token = os.environ.get("HF_TOKEN")
        # outside a question it is not this program that asks, but who shares its process, of whatever Hub
        ours = bool(_under_way) and token is not None and token in request.headers.get("authorization", "")
        if not keeps_secrets(str(request.url)) or (ours and origin(str(request.url)) != origin(endpoint)):
            request.headers.pop("authorization", None)

    def answered(response: httpx2.Response) -> None:
        question = _question(endpoint)
        packed = response.headers.get("content-encoding", "identity").strip().lower()
        if packed not in ("identity", ""):
            raise question.stopped(f"the Hub sends {packed[:40]!r} where nothing packed was asked for")
        assert isinstance(response.stream, httpx2.SyncByteStream)
        response.stream = _Counted(response.stream, question)

    client.event_hooks["request"].append(requested)
    client.event_hooks["response"].append(answered)
    return client


def _question(endpoint: str) -> Question:
    return _under_way[-1] if _under_way else Question(what="A request", endpoint=endpoint)


class _Counted(httpx2.SyncByteStream):
    """The body of an answer, as long as it keeps to the bounds."""

    def __init__(self, stream: httpx2.SyncByteStream, question: Question) -> None:
        self._stream, self._question = stream, question

    def __iter__(self) -> Iterator[bytes]:
        started, came = time.monotonic(), 0
        for block in self._stream:
            came += len(block)
            self._question.arrived(len(block))
            seconds = time.monotonic() - started
            if seconds > TIMEOUT + came / SLOWEST and not self._question.lasting:
                raise self._question.stopped(f"the Hub sent {came:,} bytes in {seconds:,.0f} s")
            yield block

    def close(self) -> None:
        self._stream.close()
