"""Work on somebody else's files ends when its time is over, however it is made, and the clock leaves nothing behind."""

import signal
import threading
import time
from pathlib import Path

import pytest

from release.checking import verify
from release.judging.released import Released
from release.values import bounds, clock, layout
from tests.helpers.small_release import small_release


def busy(seconds: float) -> None:
    started = time.process_time()
    while time.process_time() - started < seconds:
        pass


def test_work_ends_when_the_time_is_over() -> None:
    started = time.process_time()

    with pytest.raises(clock.TimeUp), clock.within(0.1):
        busy(10)

    assert time.process_time() - started < 5


def test_work_that_takes_every_fault_for_that_of_a_file_ends_too() -> None:
    def careless() -> None:
        while True:
            try:
                busy(10)
            except Exception:  # noqa: BLE001  as libraries do
                continue

    with pytest.raises(clock.TimeUp), clock.within(0.1):
        careless()


def test_what_is_done_in_time_is_not_ended_later() -> None:
    with clock.within(0.2):
        busy(0.01)

    busy(0.4)
    assert signal.getitimer(signal.ITIMER_PROF) == (0, 0)


def test_waiting_is_not_counted() -> None:
    with clock.within(0.2):
        time.sleep(0.4)


def nested(inner: float) -> None:
    with clock.within(10):
        busy(inner)
    busy(10)


@pytest.mark.parametrize("inner", [0.1, 0.5])
def test_a_clock_within_another_gives_it_back_with_what_is_left(inner: float) -> None:
    started = time.process_time()

    with pytest.raises(clock.TimeUp), clock.within(0.3):
        nested(inner)

    assert time.process_time() - started < 5
    assert signal.getitimer(signal.ITIMER_PROF) == (0, 0)


def pieces(allowance: clock.Allowance, number: int, each: float) -> None:
    for _ in range(number):
        with allowance.one():
            busy(each)
        busy(0.02)  # between them nothing is counted


def test_an_allowance_is_used_up_by_all_that_is_done_within_it() -> None:
    allowance, started = clock.Allowance(seconds=0.3, each=0.01), time.process_time()

    with pytest.raises(clock.TimeUp):
        pieces(allowance, 1000, 0.05)
    with pytest.raises(clock.TimeUp):
        pieces(allowance, 1, 10)

    assert time.process_time() - started < 5


def test_an_allowance_grows_with_what_there_is_to_do() -> None:
    allowance = clock.Allowance(seconds=0.1, each=0.1)

    pieces(allowance, 10, 0.04)

    assert allowance.done == 10


def test_another_thread_works_without_a_clock() -> None:
    done = []

    def work() -> None:
        with clock.within(0.01):
            busy(0.1)
        done.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done


def test_a_step_that_is_not_done_in_time_has_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = small_release(tmp_path / "made").folder
    monkeypatch.setattr(bounds, "SECONDS", 0)
    monkeypatch.setattr(bounds, "PER_MEGABYTE", dict.fromkeys(bounds.PER_MEGABYTE, 0.001))

    steps = verify.check(verify.Opened(release=Released(name="release", folder=folder)))

    assert len(steps) == len(verify.CHECKS)
    assert steps[-1].outcome == "FAILED"
    assert "the time for a release of this size" in steps[-1].problems[0]


def test_an_honest_release_of_a_hundred_thousand_rows_has_half_an_hour() -> None:
    """The kept releases take 3 seconds for 0.1 MB of golden rows and answers; ten times that is given."""
    rows = (bounds.ROWS, 60_000_000), (bounds.ANSWERS, 15_000_000)

    assert bounds.seconds(rows) > 1500
    assert layout.kind_of(layout.ANSWERS) is bounds.ANSWERS
