"""The two streams of a command: all that is written to them, by whomever, is neutralised on its way."""

import contextlib
import io
import re
import sys
import threading
import traceback
from collections.abc import Iterator
from typing import TextIO

_HARMLESS = re.compile(r"(?:[ -\"$-9;-~\xb7\n]|:(?!:))*")
"""Lines without a control, a # or two colons: what is nearly always said needs nothing of `gates` to be imported."""


class _Neutral(io.TextIOBase):
    """A stream of whole lines that none can use to write to the terminal or to command a runner."""

    def __init__(self, stream: TextIO) -> None:
        self.stream, self.rest, self.lock = stream, "", threading.RLock()

    def write(self, text: str) -> int:
        with self.lock:
            *lines, self.rest = (self.rest + text).split("\n")
            if lines:
                self.stream.write(printable("\n".join(lines) + "\n"))
        return len(text)

    def flush(self) -> None:
        with self.lock:  # what has no end yet waits for it: half of a command is not seen to be one
            self.stream.flush()

    def end(self) -> None:
        """Write what has no line's end."""
        if self.rest:
            self.write("\n")
        self.flush()

    def isatty(self) -> bool:
        return self.stream.isatty()

    def fileno(self) -> int:
        return self.stream.fileno()

    @property
    def encoding(self) -> str:  # type: ignore[override]  # a plain attribute there
        return self.stream.encoding


def printable(text: str) -> str:
    """What may be written to a terminal or a log of a text of several lines, as ``gates.shown`` says."""
    if _HARMLESS.fullmatch(text):
        return text
    from gates import shown

    return shown.printable(text)


def one_line(text: str) -> str:
    """The same of a text that is one line, whatever it holds."""
    if _HARMLESS.fullmatch(text) and "\n" not in text:
        return text
    from gates import shown

    return shown.printable(shown.plain(text))


def raw() -> TextIO:
    """Standard error for what draws bars, and neutralises what it is told itself."""
    return sys.stderr.stream if isinstance(sys.stderr, _Neutral) else sys.stderr


@contextlib.contextmanager
def neutral() -> Iterator[None]:
    """Whatever is written in this block goes through ``printable``: messages, usage, warnings, a bug's traceback.

    A bug ends the process with its traceback and 1, as Python does.
    """
    out, err = _Neutral(sys.stdout or io.StringIO()), _Neutral(sys.stderr or io.StringIO())  # closed: >&-
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            yield
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException:  # noqa: BLE001  the last one to see it: what is left is a bug
            traceback.print_exc()
            sys.exit(1)
        finally:
            out.end()
            err.end()
