"""Many rows judged by every core: the first share of them in this process, the others in children.

What is returned is the same as from one process, in the same order. A share whose child does not come to its end, for
whatever reason, is judged here, so that an error is raised where and as it would be without children.
"""

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from multiprocessing.context import ForkProcess
from typing import TypeAlias, TypeVar, cast

LEAST = 1000
"""Rows that are worth a process of their own: they take a quarter of a second, starting one a hundredth."""
MOST = 8
"""Processes, however many cores there are: each has copies of what it looks at."""

T = TypeVar("T")
Child: TypeAlias = tuple[ForkProcess, Connection]


def in_shares(work: Callable[[int, int], T], rows: int) -> list[T]:
    """``work(first, end)`` for each share of so many rows, in their order. What it returns can be pickled."""
    count = max(1, min(processes(), rows // LEAST))
    shares = [(rows * number // count, rows * (number + 1) // count) for number in range(count)]
    children: list[Child | None] = []
    try:
        children += [_started(work, *share) for share in shares[1:]]
        found = [work(*shares[0])]
        found += [_taken(child, work, *share) for child, share in zip(children, shares[1:], strict=True)]
    finally:
        _ended(children)
    return found


def processes() -> int:
    """How many may work at once: the cores of this process where it can be copied safely and no clock runs, else 1.

    A clock of this process's CPU time, which bounds what answers of others may cost, does not see that of children.
    """
    if sys.platform != "linux" or any(signal.getitimer(one)[0] for one in (signal.ITIMER_PROF, signal.ITIMER_VIRTUAL)):
        return 1
    alone = threading.active_count() == 1 and not multiprocessing.current_process().daemon
    return min(MOST, len(os.sched_getaffinity(0))) if alone else 1


def _started(work: Callable[[int, int], T], first: int, end: int) -> Child | None:
    """A copy of this process, which has the rows already, at work on a share; None where none can be started."""
    context = multiprocessing.get_context("fork")
    try:
        reading, writing = context.Pipe(duplex=False)
        with writing:
            child = context.Process(target=_send, args=(work, first, end, reading, writing), daemon=True)
            child.start()
    except OSError:
        return None
    return child, reading


def _send(work: Callable[[int, int], T], first: int, end: int, reading: Connection, writing: Connection) -> None:
    reading.close()  # else one that lost its parent writes to itself, and waits for ever with the parent's lock
    with contextlib.suppress(BaseException):  # said where the share is judged again
        writing.send(work(first, end))
    os._exit(0)


def _taken(child: Child | None, work: Callable[[int, int], T], first: int, end: int) -> T:
    if child is not None:
        with contextlib.suppress(EOFError, OSError):
            return cast("T", child[1].recv())
    return work(first, end)


def _ended(children: Sequence[Child | None]) -> None:
    for process, reading in filter(None, children):
        reading.close()
        process.kill()
        process.join()
