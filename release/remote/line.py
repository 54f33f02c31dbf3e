"""A line to the program over there: it is told some words, given something, and says lines of JSON or a tar."""

import contextlib
import json
import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from release.remote import there
from release.remote.system import System
from release.running import child
from release.running.tied import inherited as locks
from release.running.tied import tied
from release.values.errors import PreflightError

LOGIN = 1000  # lines that a login may print before the program speaks
SAID = 1 << 16  # bytes that are kept of what a client says of itself
SOON = 20.0  # seconds in which a client ends that nobody listens to
AT_ONCE = 1.0  # and one whose line was cut
OF_SSH = 255  # ssh's own exit status, of which ssh(1) tells; any other one is of the program over there
Give = Callable[[IO[bytes]], None]


class Cut(PreflightError):
    """The line was cut, and what is over there goes on."""


def cut(system: System, said: str) -> Cut:
    return Cut(
        f"The line to {system.name} was cut: {said}. The job there goes on by itself. Type the same command again to "
        "go on with it."
    )


def ended(system: System, code: int, said: str) -> PreflightError:
    """Why a client ended with this status: it was cut off, or the program over there could not go on."""
    if code < 0 or code >= OF_SSH:
        return cut(system, said or f"exit status {code}")
    return PreflightError(
        f"What was asked of {system.name} could not be done there: {said or f'exit status {code}'}. What was there is "
        "kept. Mend that, and type the same command again."
    )


def strange(system: System, said: object) -> PreflightError:
    return PreflightError(
        f"{system.name} said what is no answer of this program: {str(said)[:200]!r}. Look at what a login there "
        "prints, and at the machine itself."
    )


def read(line: bytes) -> object:
    try:
        return json.loads(line) if len(line) <= child.LONGEST else None
    except (ValueError, RecursionError):
        return line[:200]


def ask(system: System, *words: str, give: Give | None = None) -> object:
    """The one line that the program over there says to these words."""
    with opened(system, *words, give=give) as said:
        return read(said.readline(child.LONGEST + 1))


@contextlib.contextmanager
def opened(system: System, *words: str, give: Give | None = None) -> Iterator[IO[bytes]]:
    """What the program over there says to these words, while the block lasts; ``give`` writes what it is given."""
    errors, theirs = os.pipe()
    with os.fdopen(theirs, "wb") as pipe:
        process = subprocess.Popen(
            tied(system.speak(words)), env=dict(system.client), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=pipe, start_new_session=True, **locks(),
        )  # fmt: skip
    last = _last_line(errors)
    with process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            _speak(process.stdin, give)
            _heard(system, process, process.stdout, last)
            try:
                yield process.stdout
            except Exception:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(AT_ONCE)
                if process.returncode:  # what was not understood is what a cut left of it
                    raise ended(system, process.returncode, last()) from None
                raise
        except BaseException:
            process.kill()
            with contextlib.suppress(BrokenPipeError):  # what it was to be given still stands before the pipe
                process.stdin.close()
            raise
    if process.returncode:
        raise ended(system, process.returncode, last())


def _speak(line: IO[bytes], give: Give | None) -> None:
    program = Path(there.__file__).read_bytes()
    try:
        line.write(b"%d\n%b" % (len(program), program))
        if give:
            give(line)
    except BrokenPipeError as broken:  # why is known when it has ended
        if isinstance(broken.__context__, KeyboardInterrupt):  # after which a half tar was to be closed
            raise broken.__context__ from None
    with contextlib.suppress(BrokenPipeError):
        line.close()


def _heard(system: System, process: "subprocess.Popen[bytes]", said: IO[bytes], last: Callable[[], str]) -> None:
    """Go on where the program begins to speak, below what a login prints; ``PreflightError`` where it does not."""
    if not any(said.readline(child.LONGEST) == there.READY for _ in range(LOGIN)):
        said.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(SOON)
        process.kill()
        raise PreflightError(f"{system.silent(process.wait(), last())} Nothing was sent.")


def _last_line(errors: int) -> Callable[[], str]:
    """What says the last line of a pipe that is read to its end, of which no more than that is kept."""
    said = bytearray()

    def listen() -> None:
        with os.fdopen(errors, "rb", buffering=0) as pipe:
            while piece := pipe.read(SAID):
                said.extend(piece)
                del said[:-SAID]

    thread = threading.Thread(target=listen, daemon=True)
    thread.start()

    def last() -> str:
        thread.join(AT_ONCE)  # what a client left in the background may hold the pipe
        lines = said.decode("utf-8", "replace").strip().splitlines()
        return lines[-1][:300].rstrip(".") if lines else ""

    return last
