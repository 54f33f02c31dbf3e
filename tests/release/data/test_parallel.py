"""What is done in several processes is what one process does, in order, and told as it goes."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from release.data import parallel
from release.values.errors import ConfigError, DataError, PreflightError
from release.values.events import Event, Progress
from tests.helpers.line import ROOT

MANY = parallel.FEW + 1


@pytest.mark.parametrize("count", [0, 1, parallel.FEW - 1, MANY])
def test_it_gives_what_one_process_gives_in_order(count: int) -> None:
    said: list[Event] = []
    found = parallel.each(lambda number: number * 2, count, said.append, "rows")

    assert found == [number * 2 for number in range(count)]
    told = [(one.done, one.total) for one in said if isinstance(one, Progress)]
    assert told[-1:] == ([(count, count)] if count >= parallel.FEW else [])


@pytest.mark.parametrize("count", [1, parallel.PIECE + 1, MANY])
def test_each_piece_of_rows_is_worked_on_in_a_block_of_its_own(count: int) -> None:
    begun: list[int] = []

    @contextmanager
    def around() -> Iterator[None]:
        begun.append(0)
        yield
        begun.append(-1)

    def work(_: int) -> tuple[int, int]:
        begun[-1] += 1
        return begun[-1], -1 if len(begun) == 1 else begun[-2]

    found = list(parallel.one_by_one(work, count, lambda _: None, "rows", around))

    assert [place for place, _ in found] == [1 + number % parallel.PIECE for number in range(count)]
    assert {before for _, before in found} == {-1}  # the block before was left


def test_what_stops_the_work_on_one_row_stops_all_of_it() -> None:
    def work(number: int) -> int:
        if number == MANY // 2:
            raise DataError("this row is not one")
        return number

    with pytest.raises(DataError, match="this row is not one"):
        parallel.each(work, MANY, lambda _: None, "rows")


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one core works alone")
def test_a_process_that_is_killed_is_the_machines_fault() -> None:
    def work(number: int) -> int:
        if number == MANY // 2:
            os.kill(os.getpid(), signal.SIGKILL)
        return number

    with pytest.raises(PreflightError, match="ended from outside, or for want of memory"):
        parallel.each(work, MANY, lambda _: None, "rows")


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one core works alone")
def test_what_is_wrong_with_settings_comes_from_another_process_as_it_was_raised_there() -> None:
    def work(number: int) -> int:
        raise ConfigError(["one", f"two {number < 0}"])

    with pytest.raises(ConfigError) as raised:
        parallel.each(work, MANY, lambda _: None, "rows")

    assert raised.value.problems == ("one", "two False")


PARENT = """
import sys, time
from pathlib import Path
from release.data import parallel
def work(number):
    time.sleep(0.01)
    with open(sys.argv[1], "a") as file:
        file.write(".")
print("started", flush=True)
parallel.each(work, parallel.FEW, lambda _: None, "rows")
"""


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one core works alone")
def test_its_processes_end_with_whoever_is_killed(tmp_path: Path) -> None:
    mark = tmp_path / "marks"
    command = [sys.executable, "-c", PARENT, str(mark)]
    with subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE) as parent:
        while not mark.exists():
            time.sleep(0.05)
        parent.kill()
    time.sleep(0.3)
    size = mark.stat().st_size
    time.sleep(0.3)

    assert mark.stat().st_size == size
