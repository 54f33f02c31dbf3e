"""A clock for work on somebody else's files: it ends what bounds on their size do not."""

import contextlib
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

SOON = 0.001
"""Seconds: a clock that has run out rings at once; nought would be none."""


class TimeUp(BaseException):
    """The time is over. No ``Exception``: whatever was at work must not take it for a fault of a file."""


@contextlib.contextmanager
def within(seconds: float) -> Iterator[None]:
    """Raise ``TimeUp`` in the block when it has used so many seconds of a processor; waiting is not counted.

    A second signal follows each second, in case some library swallows one. Outside the main thread, and where the
    system has no such clock, the block runs without one.
    """
    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGPROF, _ring)
    started = time.process_time()
    left, again = signal.setitimer(signal.ITIMER_PROF, seconds, 1)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
        if left:  # this block stands in another one that has a clock
            signal.setitimer(signal.ITIMER_PROF, max(left - (time.process_time() - started), SOON), again)


@dataclass(kw_only=True)
class Allowance:
    """Seconds of a processor for work that is done piece by piece: so many, and some more with each piece."""

    seconds: float
    each: float
    done: int = 0
    used: float = 0.0

    @contextlib.contextmanager
    def one(self) -> Iterator[None]:
        """Do a piece of it; ``TimeUp`` when all of them together have used what there is."""
        self.done += 1
        started = time.process_time()
        try:
            with within(max(self.seconds + self.each * self.done - self.used, SOON)):
                yield
        finally:
            self.used += time.process_time() - started


def _ring(_number: int, _frame: object) -> None:
    raise TimeUp
