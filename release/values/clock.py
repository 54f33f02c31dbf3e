"""A clock for work on somebody else's files: it ends what bounds on their size do not.

It rings between two steps of Python. What stays in one call of a library, such as a search of a long text in another,
does not hear it: ``GRACE`` seconds later the kernel ends the process, by SIGVTALRM and without a word.
"""

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

SOON = 0.001
"""Seconds: a clock that has run out rings at once; nought would be none."""
AGAIN = 0.2
"""Seconds between two rings."""
GRACE = 10.0
"""Seconds of a processor between the ring and the end of the process; the longest call of an honest check takes one."""


class TimeUp(BaseException):
    """The time is over. No ``Exception``: whatever was at work must not take it for a fault of a file."""


@contextlib.contextmanager
def within(seconds: float) -> Iterator[None]:
    """Raise ``TimeUp`` in the block when it has used so many seconds of a processor; waiting is not counted.

    Others follow every ``AGAIN`` seconds: what rings in a finaliser or in a callback of the garbage collector is lost
    there. The kernel ends the process ``GRACE`` seconds after the first: not by ``RLIMIT_CPU``, for what that counts
    from the start of the process no function of Python tells. Outside the main thread, and where the system has no such
    clock, the block runs without one.
    """
    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        yield
        return
    rang, ended = signal.signal(signal.SIGPROF, _ring), signal.signal(signal.SIGVTALRM, signal.SIG_DFL)
    end, _ = signal.setitimer(signal.ITIMER_VIRTUAL, seconds + GRACE)
    started = time.process_time()
    left, again = signal.setitimer(signal.ITIMER_PROF, seconds, AGAIN)
    try:
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)  # it may have rung as the block ended, before it was stopped
        used = seconds + GRACE - signal.setitimer(signal.ITIMER_VIRTUAL, 0)[0]
        signal.signal(signal.SIGVTALRM, ended)
        signal.signal(signal.SIGPROF, rang)
        if end:  # the clock of the block around this one rings before it ends the process
            signal.setitimer(signal.ITIMER_VIRTUAL, max(end - used, GRACE))
        if left:  # last, for that clock may ring at once, and all must be as it was before this block
            signal.setitimer(signal.ITIMER_PROF, max(left - (time.process_time() - started), SOON), again)


@dataclass(kw_only=True)
class Allowance:
    """Seconds of a processor for work that is done piece by piece: so many, and some more with each piece."""

    seconds: float
    each: float
    done: int = 0
    used: float = 0.0
    again: Callable[[], None] | None = None
    """What to call before each piece, where many are done under one clock."""

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
