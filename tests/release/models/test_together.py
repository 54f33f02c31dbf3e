"""Several processes train one adapter: they agree, one that dies takes the others along, and the bytes are the same."""

import json
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from release.models import base as bases
from release.models import train
from release.running.place import Here
from release.values.errors import DataError, PreflightError
from release.values.events import Event, Line, Say
from tests.helpers import launched_stage
from tests.release.models.test_train import quiet, start_run, weights

pytestmark = pytest.mark.slow
TWO = Here().of(2, 2)


def told_of(what: str, folder: Path) -> list[str]:
    """What two processes say in all."""
    told: list[Event] = []
    TWO.call(launched_stage.__name__, [what], say=told.append, log=folder / "log")
    return [one.text for one in told if isinstance(one, Line)]


def test_what_one_process_decides_all_do_and_only_the_first_speaks(tmp_path: Path) -> None:
    assert told_of("agree", tmp_path) == ["largest [1, 1], mean 0.5", "save True, stop False", "left"]


def test_a_process_that_stops_or_dies_ends_the_others_with_its_own_message(tmp_path: Path) -> None:
    started = time.monotonic()

    with pytest.raises(DataError, match="There is no such row"):
        told_of("stop", tmp_path)
    with pytest.raises(PreflightError, match=r"was killed \(SIGKILL\)"):
        told_of("die", tmp_path)

    assert time.monotonic() - started < 120


def test_a_signal_reaches_every_process(tmp_path: Path) -> None:
    def end(event: Event) -> None:
        if event == Line(text="ready"):
            threading.Timer(0.5, os.kill, (launcher(), signal.SIGTERM)).start()

    with pytest.raises(PreflightError, match=r"ended from outside \(SIGTERM\)"):
        TWO.call(launched_stage.__name__, ["end"], say=end, log=tmp_path / "log")

    assert not [one for one in Path("/proc").glob("[0-9]*/cmdline") if b"launched_stage" in read(one)]


def launcher() -> int:
    """The process that started the others here."""
    found = [one for one in Path("/proc").glob("[0-9]*/cmdline") if b"release.models.launcher" in read(one)]
    return min(int(one.parent.name) for one in found if os.getpid() == parent_of(one.parent))


def parent_of(process: Path) -> int:
    return int(read(process / "stat").rpartition(b")")[2].split()[1])


def read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:  # it has ended
        return b""


def test_two_processes_learn_as_one_with_twice_the_batch_and_give_the_same_bytes_after_a_kill(
    tmp_path: Path, short_base: bases.Base
) -> None:
    """To rounding; nothing is dropped, for each process has dice of its own."""
    (tmp_path / "one").mkdir()
    small: dict[str, Any] = {
        "rows": 16,
        "gradient_accumulation_steps": 2,
        "logging_steps": 1,
        "adapter": {"lora": {"dropout": 0}},
    }
    alone = start_run(tmp_path / "one", per_device_train_batch_size=2, **small)
    both = start_run(tmp_path, per_device_train_batch_size=1, processes=2, **small)
    train.train(alone, short_base, Here(), quiet)
    with pytest.raises(PreflightError, match="killed"):
        train.train(both, short_base, Here(), kill_one(both))

    adapter = train.train(both, short_base, Here(), quiet)

    told = json.loads((both / "training.json").read_bytes())
    assert (told["processes"], told["resumed_from_step"]) == (2, 2)
    one = json.loads((alone / "training.json").read_bytes())
    assert told["tokens"] == one["tokens"]
    for (_, loss), (_, other) in zip(told["losses"], one["losses"], strict=True):
        assert loss == pytest.approx(other, rel=1e-4)
    again = start_run(tmp_path / "one" / "again", per_device_train_batch_size=1, processes=2, **small)
    assert train.train(again, short_base, Here(), quiet).files == adapter.files
    assert weights(again) != weights(alone)


def kill_one(run: Path) -> Say:
    """Kills one of two processes with the checkpoint of the second step."""
    killed: list[int] = []

    def say(_: Event) -> None:
        if not killed and (run / "checkpoints" / "checkpoint-2.json").exists():
            found = [one for one in Path("/proc").glob("[0-9]*/cmdline") if f"{run}\0".encode() in read(one)]
            workers = [one for one in found if b"release.models.launcher" not in read(one)]
            killed.append(max(int(one.parent.name) for one in workers))
            os.kill(killed[0], signal.SIGKILL)

    return say
