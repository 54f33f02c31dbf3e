"""Work on somebody else's files ends when its time is over, however it is made, and the clock leaves nothing behind."""

import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from release.checking import opening, verify
from release.judging.released import Released
from release.values import bounds, clock, layout
from tests.helpers.line import ROOT
from tests.helpers.small_release import small_release

pytestmark = pytest.mark.apart


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

    steps = verify.check(opening.Opened(release=Released(name="release", folder=folder)))

    assert len(steps) == len(verify.CHECKS)
    assert steps[-1].outcome == "FAILED"
    assert "the time for a release of this size" in steps[-1].problems[0]


def test_an_honest_release_of_a_hundred_thousand_rows_has_half_an_hour() -> None:
    """The kept releases take 3 seconds for 0.1 MB of golden rows and answers; ten times that is given."""
    rows = (bounds.ROWS, 60_000_000), (bounds.ANSWERS, 15_000_000)

    assert bounds.seconds(rows) > 1500
    assert layout.kind_of(layout.ANSWERS) is bounds.ANSWERS


HOLDS = '"a" * 4_000_000).rfind("ab" + "a" * 2_000_000'  # one call that takes hours
ENDED = {
    "alone": f"with clock.within(0.3):\n    ({HOLDS})",
    "within another": f"with clock.within(1000), clock.within(0.3):\n    ({HOLDS})",
    "around another": f"with clock.within(0.3):\n    with clock.within(1000):\n        pass\n    ({HOLDS})",
    "of an allowance": f"with clock.Allowance(seconds=0.3, each=0).one():\n    ({HOLDS})",
    "where somebody ignores the signal": (
        f"import signal\nsignal.signal(signal.SIGVTALRM, signal.SIG_IGN)\nwith clock.within(0.3):\n    ({HOLDS})"
    ),
}


@pytest.mark.parametrize("case", ENDED)
def test_a_call_that_no_signal_reaches_ends_the_process(case: str) -> None:
    program = f"from release.values import clock\nclock.GRACE = 0.5\n{ENDED[case]}\n"

    ended = subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False, timeout=60, capture_output=True)

    assert ended.returncode == -signal.SIGVTALRM
    assert ended.stderr == b""


def left() -> float:
    return signal.getitimer(signal.ITIMER_VIRTUAL)[0]


def test_what_ends_the_process_is_stopped_with_its_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "GRACE", 0.5)
    handler = signal.getsignal(signal.SIGVTALRM)

    with clock.within(100):
        with clock.within(1):
            assert 0 < left() < 2
            busy(0.1)
        assert 99 < left() < 100.5
    with pytest.raises(clock.TimeUp), clock.within(0.05):
        busy(10)

    busy(1)
    assert left() == 0
    assert signal.getsignal(signal.SIGVTALRM) == handler


def test_a_program_that_is_started_in_a_block_has_no_clock() -> None:
    program = "import signal; print(signal.getitimer(signal.ITIMER_VIRTUAL), signal.getitimer(signal.ITIMER_PROF))"

    with clock.within(100):
        said = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout

    assert said == "(0.0, 0.0) (0.0, 0.0)\n"


def test_a_block_in_one_whose_time_is_over_has_its_own_time_and_then_that_one_rings(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As a conversation that is rendered at the end of a check."""
    monkeypatch.setattr(clock, "GRACE", 0.5)

    with pytest.raises(clock.TimeUp), clock.within(0.1):
        nested(1.5)
