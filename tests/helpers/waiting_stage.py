"""A stage that does nothing, when and for as long as a test says: by files in the folder that it is given."""

import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from release.running import child
from release.values.errors import GatesFailed, PreflightError
from release.values.events import Line, Say

UNTIL, ENDS = "until", "ends"
"""The first names a file that it waits for; the second is how it ends: by a verdict, or by a budget."""


def _stage(arguments: Sequence[str], say: Say) -> None:
    (folder,) = map(Path, arguments)
    signal.signal(signal.SIGTERM, lambda *_: _keep(folder, say))
    (folder / "arrived").touch()  # of two that arrive at once the later one sees the other, which waits for `begun`
    arrived = [one for one in folder.parent.glob("*/arrived") if not (one.parent / "ended").exists()]
    (folder / "others").write_text(str(len(arrived) - 1))
    (folder / "engine").write_text(os.environ.get("DOCKER_HOST", ""))
    (folder / "begun").write_text(str(os.getpid()))
    say(Line(text="at work"))
    until = folder / UNTIL
    while until.exists() and not Path(until.read_text()).exists():
        time.sleep(0.02)
    (folder / "ended").touch()
    how = (folder / ENDS).read_text() if (folder / ENDS).exists() else ""
    if how:
        raise {"verdict": GatesFailed, "budget": PreflightError}[how](f"{folder.name} ends so")


def _keep(folder: Path, say: Say) -> None:
    say(Line(text="kept"))
    (folder / "kept").touch()
    sys.exit(128 + signal.SIGTERM)


if __name__ == "__main__":
    child.main(_stage)
