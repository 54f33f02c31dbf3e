"""A stage for the tests of several processes: it agrees, waits, dies or stops in one of them."""

import os
import signal
import sys
import time
from types import SimpleNamespace

from release.models import together
from release.running import child, launched
from release.values.errors import DataError
from release.values.events import Line, Say


def stage(arguments: list[str], say: Say) -> None:
    import torch

    (what,) = arguments
    torch.distributed.init_process_group("gloo")
    mine = launched.rank()
    say(Line(text=f"largest {together.largest([mine, 1 - mine])}, mean {together.mean(float(mine))}"))
    match what:
        case "agree":
            together.agree().on_train_begin(None, None, None)
            control = SimpleNamespace(should_save=mine == 1, should_training_stop=False)
            together.agree().on_step_end(None, None, control)
            say(Line(text=f"save {control.should_save}, stop {control.should_training_stop}"))
            _leave(mine, say)
        case "stop" if mine:
            raise DataError("There is no such row.")
        case "die" if mine:
            os.kill(os.getpid(), signal.SIGKILL)
        case "end":
            signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
            say(Line(text="ready"))
            time.sleep(60)
        case _:
            pass
    if what in {"stop", "die"}:
        together.wait()  # for one that does not come


def _leave(mine: int, say: Say) -> None:
    """After a step, and before the first."""
    if mine == 0:
        together.leave()
        together.leave()
        say(Line(text="left"))
        return
    goes_on, agree = SimpleNamespace(should_save=False, should_training_stop=False), together.agree()
    for where in (agree.on_step_end, agree.on_train_begin):
        try:
            where(None, None, goes_on)
        except together.Left:
            continue
        raise RuntimeError("nobody left")


if __name__ == "__main__":
    child.main(stage)
