"""A try in a process of its own: trained, and asked the tuning rows, in a run folder that was begun.

Several stand side by side, each with the card that its environment names. All that is left lies in the run folder,
where who started them finds it as if it had been made there.
"""

import json
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import NoReturn

from release.config.reading import load as load_config
from release.models import base as bases
from release.models import tuning_answers
from release.models.train import train
from release.running import child
from release.running import place as places
from release.running.place import Place
from release.values import layout
from release.values.errors import PreflightError
from release.values.events import Say

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def _stage(arguments: Sequence[str], say: Say) -> None:
    """``RUN``."""
    for one in SIGNALS:
        if signal.getsignal(one) is not signal.SIG_IGN:  # nohup's wish
            signal.signal(one, _end)
    run = Path(*arguments)
    config = load_config(run / "config.yaml")
    place = _place(run, places.find(config.container, say))
    base = bases.resolve(config.model, say)
    tuning_answers.answered(run, base, train(run, base, place, say), place, say)


def _place(run: Path, found: Place) -> Place:
    """What was found, if it is the place that this run folder is named by; ``PreflightError`` if not.

    An engine that was there when the run began and is silent for a moment lets no try go on outside of its image.
    """
    begun = json.loads((run / layout.INPUTS).read_bytes()).get("image")
    if found.source == begun:
        return found
    before, here = (f"the image {one}" if one else "this machine itself, without one" for one in (begun, found.source))
    raise PreflightError(
        f"{run} was begun for {before}; its own process finds {here}. Nothing was trained: its name would not say what "
        "made it. Look whether the Docker engine answers (`docker info`) and nobody changed the image, and run again."
    )


def _end(number: int, _: FrameType | None) -> NoReturn:
    """End by the first signal, through the block that gives a stage time to keep what it has; others change nothing."""
    for one in SIGNALS:
        signal.signal(one, signal.SIG_IGN)
    sys.exit(128 + number)


if __name__ == "__main__":
    child.main(_stage)
