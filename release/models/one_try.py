"""A try in a process of its own: trained, and asked the tuning rows, in a run folder that was begun.

Several stand side by side, each with the card that its environment names. All that is left lies in the run folder,
where who started them finds it as if it had been made there.
"""

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
from release.values.events import Say

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def _stage(arguments: Sequence[str], say: Say) -> None:
    """``RUN``."""
    for one in SIGNALS:
        if signal.getsignal(one) is not signal.SIG_IGN:  # nohup's wish
            signal.signal(one, _end)
    run = Path(*arguments)
    config = load_config(run / "config.yaml")
    base, place = bases.resolve(config.model, say), places.find(config.container, say)
    tuning_answers.answered(run, base, train(run, base, place, say), place, say)


def _end(number: int, _: FrameType | None) -> NoReturn:
    """End by the first signal, through the block that gives a stage time to keep what it has; others change nothing."""
    for one in SIGNALS:
        signal.signal(one, signal.SIG_IGN)
    sys.exit(128 + number)


if __name__ == "__main__":
    child.main(_stage)
