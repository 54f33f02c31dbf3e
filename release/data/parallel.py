"""The same work on each of many rows, in as many processes as there are cores; what it gives, in the rows' order."""

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeVar

from release.running import environment, tied
from release.values.errors import PreflightError
from release.values.events import Progress, Say
from release.values.reasons import LESS_MEMORY

T = TypeVar("T")
Around = Callable[[], AbstractContextManager[None]]
FEW = 4000
"""Rows whose work takes less time than processes for it."""
PIECE = 200
"""Rows that a process is given at once."""
_WORK: list[tuple[Callable[[int], Any], Around]] = []
"""What the processes that are made in this moment do: they have the rows as their parent has them, and get numbers."""


def each(work: Callable[[int], T], count: int, say: Say, name: str) -> list[T]:
    """``work(number)`` for each number below ``count``; told as it goes where they are not few."""
    return list(one_by_one(work, count, say, name))


def one_by_one(work: Callable[[int], T], count: int, say: Say, name: str, around: Around = nullcontext) -> Iterator[T]:
    """The same, each as it is had: for whoever keeps less than all of it. ``around``: a block for ``PIECE`` rows."""
    done = 0
    for some in _pieces(work, count, around, few=count < FEW):
        yield from some
        done += len(some)
        if count >= FEW:
            say(Progress(name=name, done=done, total=count))


def _pieces(work: Callable[[int], T], count: int, around: Around, *, few: bool) -> Iterator[list[T]]:
    starts, cores = range(0, count, PIECE), environment.threads(None)
    if few or cores == 1 or sys.platform != "linux":  # elsewhere a forked process may hang
        for start in starts:
            yield _worked(work, around, start, count)
        return
    _WORK.append((work, around))
    forked = multiprocessing.get_context("fork")
    pool = ProcessPoolExecutor(cores, mp_context=forked, initializer=_begin, initargs=(os.getpid(),))
    try:
        yield from pool.map(_piece, starts, [count] * len(starts))
    except BrokenProcessPool:
        what = "A process at work on the rows was ended from outside, or for want of memory."
        raise PreflightError(f"{what} {LESS_MEMORY}") from None
    finally:
        pool.shutdown(cancel_futures=True)
        _WORK.pop()


def _begin(parent: int) -> None:
    """Each process ends with its parent, which is also who hears Ctrl-C and says how it ended."""
    tied.end_with(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for one in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(one, signal.SIG_DFL)


def _piece(start: int, count: int) -> list[Any]:
    return _worked(*_WORK[-1], start, count)


def _worked(work: Callable[[int], T], around: Around, start: int, count: int) -> list[T]:
    with around():
        return [work(number) for number in range(start, min(start + PIECE, count))]
