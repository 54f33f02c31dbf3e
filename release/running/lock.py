"""One release at a time in an output folder: a lock that its stages hold too, until the last of them has ended."""

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from release.running import tied
from release.values.errors import PreflightError

PATIENCE = 30.0
"""Seconds for the stages of a killed release to end: the kernel gives back a card or a large memory in some of them."""
AT_WORK = 0.5
"""Seconds for which another release must be seen: one that was just killed is still in the list of processes."""
EVERY = 0.05


@contextlib.contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold the output folder for one release; ``PreflightError`` where another one has it.

    The kernel lets go when this process and every stage that it started have ended, however they end: a stage that
    outlived its release would write beside the next one.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("a+", encoding="utf-8") as file:
        _take(file, folder)
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        with tied.kept_by_children(file.fileno()):
            yield


def _take(file: TextIO, folder: Path) -> None:
    started = time.monotonic()
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip()
            if time.monotonic() - started > (AT_WORK if _lives(holder) else PATIENCE):
                raise PreflightError(_taken(folder, holder)) from None
            time.sleep(EVERY)
        else:
            return


def _lives(holder: str) -> bool:
    """Whether the release that wrote its number here is at work; where it is not, its last stages are."""
    if not holder.isdecimal():
        return False  # it has just begun, and writes its number now
    try:
        os.kill(int(holder), 0)
        return Path(f"/proc/{holder}/stat").read_text("utf-8").rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:  # another user's, or no /proc here
        return True


def _taken(folder: Path, holder: str) -> str:
    if _lives(holder):
        return (
            f"Another release is at work in {folder} (process {holder}). Two would spoil each other's files. Wait for "
            "it, or set another run.output_dir."
        )
    return (
        f"A stage of an earlier release is still at work in {folder}, {PATIENCE:.0f} seconds after that release ended. "
        f"See which it is (`fuser -v {folder / 'lock'}`) and end it, or set another run.output_dir."
    )
