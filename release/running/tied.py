"""Processes that end with the one that started them, kill -9 included, and keep its locks until they have ended.

The same file is the program between the two: the kernel kills it with its parent from its first moment on, and it
becomes what was asked for. It imports nothing of this project, for any Python may run it.
"""

import contextlib
import ctypes
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from typing import TypedDict

_OF_PYTHON = (signal.SIGPIPE, signal.SIGXFSZ)  # Python ignores them, and no program that it becomes should
_PR_SET_PDEATHSIG = 1  # linux/prctl.h: the kernel sends this process a signal when its parent dies
LOCKS = "ADAPTER_RELEASE_LOCKS"
"""Names the descriptors of the locks that a process was given: its own children are given them too."""
ENDED = 128 + signal.SIGKILL  # what a shell reports for a process that was killed
LIGHT = ("-I", "-S")  # no site-packages, no PYTHONPATH: started in 20 ms, and with nobody's code


_HELD: list[int] = []  # the locks that this process took itself


class Inherited(TypedDict):
    """What ``subprocess`` is told of the locks."""

    pass_fds: tuple[int, ...]


@contextlib.contextmanager
def kept_by_children(descriptor: int) -> Iterator[None]:
    """Whoever is started in this block holds this lock as well, and lets go of it when it ends."""
    _HELD.append(descriptor)
    try:
        yield
    finally:
        _HELD.remove(descriptor)


def tied(command: Sequence[str]) -> list[str]:
    """The command, as a process that the kernel kills when this one dies."""
    return [sys.executable, *LIGHT, __file__, str(os.getpid()), ",".join(map(str, _locks())), *command]


def inherited() -> Inherited:
    """The arguments of ``subprocess`` that go with ``tied``."""
    return {"pass_fds": tuple(_locks())}


def _locks() -> list[int]:
    """The locks that this process holds, and those that it was given and that are open."""
    given = [int(text) for text in os.environ.get(LOCKS, "").split(",") if text.isdecimal()]
    return sorted({*_HELD, *filter(_is_open, given)})


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def end_with(parent: int) -> None:
    """Let the kernel kill this process when its parent dies; end now where it is dead already."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before the kernel was asked
        os._exit(ENDED)


def _become(parent: str, locks: str, command: list[str]) -> None:
    end_with(int(parent))
    os.environ[LOCKS] = locks
    for number in _OF_PYTHON:
        signal.signal(number, signal.SIG_DFL)
    try:
        os.execvp(command[0], command)  # noqa: S606  no shell is wanted
    except OSError as error:
        sys.stderr.write(f"{command[0]}: {error.strerror}\n")
        os._exit(127)  # what a shell says of a command that is not there


if __name__ == "__main__":
    _become(sys.argv[1], sys.argv[2], sys.argv[3:])
