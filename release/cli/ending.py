"""How a command ends: every `Stop` and every signal becomes a message and an exit code. The only module that exits."""

import contextlib
import os
import signal
import sys
import textwrap
import time
from collections.abc import Iterator
from types import FrameType

from release.cli.terminal import one_line
from release.values.reasons import stop_of

ENDING = {
    signal.SIGINT: "Interrupted.",
    signal.SIGTERM: "Ended by SIGTERM: a user, a time limit, or a machine that shuts down.",
    signal.SIGHUP: "Ended by SIGHUP: the terminal or the connection is gone (nohup, tmux or a job keep it at work).",
}
"""The signals that end a command, and what each one means; a CI job that is cancelled sends the first two."""
AT_ONCE = 1.0
"""Seconds within which Ctrl-C twice is one: a process may hear it from the terminal and from what started it."""
GOES_ON = "What was finished is kept, and nothing is half done: run again to continue"


class Ended(KeyboardInterrupt):
    """A signal that ends the process, through every block's own end."""

    def __init__(self, number: int) -> None:
        self.number = number
        super().__init__(signal.Signals(number).name)


@contextlib.contextmanager
def exits(command: str = "") -> Iterator[None]:
    """A block of which every way to stop ends the process. What is our bug passes through, with its traceback.

    ``command`` is what was typed, for somebody who goes on in another shell.
    """
    with _signals():
        try:
            yield
        except Ended as ended:
            _end(ENDING[signal.Signals(ended.number)], ended.number, command)
        except KeyboardInterrupt:
            _end(ENDING[signal.SIGINT], signal.SIGINT, command)
        except SystemExit:
            raise
        except BaseException as error:
            if (stop := stop_of(error)) is None:
                raise
            sys.stderr.write(f"\nerror: {indented(str(stop))}\n")
            sys.exit(stop.exit_code)


def indented(message: str) -> str:
    """A message whose further lines stand under its first: no line of it looks like one that was said before it."""
    first, newline, more = message.partition("\n")
    return first + newline + textwrap.indent(more, "  ", lambda line: not line.startswith("  "))


def _end(why: str, number: int, command: str) -> None:
    sys.stderr.write(f"\n{why} {GOES_ON}{f': {one_line(command)}' if command else '.'}\n")
    sys.exit(128 + number)  # what a shell reports


@contextlib.contextmanager
def _signals() -> Iterator[None]:
    """The first signal ends the block as Ctrl-C does; Ctrl-C again the process, for what it started dies with it.

    Others after the first change nothing, nor does Ctrl-C at once: a terminal that is closed, `timeout` and a CI job
    that is cancelled send several, and a stage has `child.NOTICE` to keep what it has.

    Once the block has ended so, others change nothing: only the interpreter's own end is left, and a signal that met it
    there would take the exit code away.
    """
    before = {one: signal.getsignal(one) for one in ENDING}
    heard: list[float] = []

    def end(number: int, _: FrameType | None) -> None:
        now = time.monotonic()
        if not heard:
            heard.append(now)
            raise Ended(number)
        if number == signal.SIGINT and now - heard[0] > AT_ONCE:
            os._exit(128 + number)

    for one, old in before.items():
        if old is not signal.SIG_IGN:  # nohup's wish, or a shell's for what runs in the background
            signal.signal(one, end)
    try:
        yield
    finally:
        for one, old in before.items():
            signal.signal(one, signal.SIG_IGN if heard else old)
