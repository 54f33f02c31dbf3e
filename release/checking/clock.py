"""A clock for work on somebody else's files: it ends what bounds on their size do not."""

import contextlib
import signal
import threading
from collections.abc import Iterator


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
    signal.setitimer(signal.ITIMER_PROF, seconds, 1)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def _ring(_number: int, _frame: object) -> None:
    raise TimeUp
