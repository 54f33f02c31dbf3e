"""A test in a process of its own: what it does to the whole process, or what ends it, touches no other test."""

import gc
import os
import signal
import sys
import traceback
from collections.abc import Callable

import pytest


def apart(test: Callable[[], None]) -> None:
    """Run a test in a fork of this process; it fails where that does not end well, with what was told there."""
    reading, writing = os.pipe()
    if not (child := os.fork()):
        os.close(reading)
        code = 1
        try:
            gc.callbacks.clear()  # hypothesis has one, in which a clock may ring, and what it raises there is lost
            test()
            code = 0
        except BaseException:  # noqa: BLE001  nothing of it may go on in the copy of the parent
            os.write(writing, traceback.format_exc().encode()[-60_000:])
        finally:
            sys.stdout.flush()
            os._exit(code)
    os.close(writing)
    with os.fdopen(reading, encoding="utf-8", errors="replace") as pipe:
        told = pipe.read()
    ended = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if ended < 0:
        pytest.fail(f"the test's process was ended by {signal.Signals(-ended).name}")
    if ended:
        pytest.fail(told, pytrace=False)
