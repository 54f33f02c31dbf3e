"""Stages side by side: their order decides, whoever ends first, and what is not needed any more is ended."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from release.config import reading
from release.running import beside, environment, machine
from release.running.beside import Job
from release.values.errors import GatesFailed, PreflightError
from release.values.events import Event, Line
from tests.helpers import waiting_stage
from tests.helpers.cards import ADA_LINE, machine_with
from tests.helpers.line import ROOT, small_config
from tests.helpers.waiting_stage import ENDS, UNTIL

TWO: tuple[dict[str, str], ...] = ({}, {})
NEVER = "never"


def quiet(_: Event) -> None:
    """Says nothing."""


def jobs(folder: Path, several: Sequence[dict[str, str]]) -> Iterator[Job]:
    """A folder for each, from 1, with what its stage is told; made when its turn to begin has come."""
    for number, told in enumerate(several, 1):
        own = folder / str(number)
        own.mkdir(exist_ok=True)
        for name, text in told.items():
            (own / name).write_text(str(folder / text) if name == UNTIL else text)
        yield Job(name=f"try {number}", arguments=(own,), log=own / "log", done="done" in told)


def lives(folder: Path, number: int) -> bool:
    """Whether its process is there, and no zombie."""
    try:
        said = Path(f"/proc/{(folder / str(number) / 'begun').read_text()}/stat").read_text("utf-8")
    except FileNotFoundError:
        return False
    return said.rpartition(")")[2].split()[0] != "Z"


def waits(for_it: Path) -> None:
    deadline = time.monotonic() + 60
    while not for_it.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert for_it.exists()


def test_they_are_heard_in_their_order_and_no_more_are_at_work_than_may_be(tmp_path: Path) -> None:
    several = [{UNTIL: "2/ended"}, {UNTIL: "1/begun"}, {}, {}, {}]

    ended = list(beside.in_order(waiting_stage.__name__, jobs(tmp_path, several), TWO, quiet))

    assert [one.why for one in ended] == [None] * len(several)
    assert max(int((tmp_path / str(number) / "others").read_text()) for number in range(1, 6)) == 1


def test_each_is_told_where_the_engine_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It looks for its place itself: without this it would miss the engine that its run was begun with."""
    monkeypatch.setenv("DOCKER_HOST", "unix:///run/user/1000/docker.sock")

    list(beside.in_order(waiting_stage.__name__, jobs(tmp_path, [{}]), TWO, quiet))

    assert (tmp_path / "1" / "engine").read_text() == "unix:///run/user/1000/docker.sock"


def test_once_it_is_closed_no_other_one_begins_and_those_at_work_keep_what_they_have_and_end(tmp_path: Path) -> None:
    said = list[str]()
    several = [{UNTIL: "2/begun"}, {UNTIL: NEVER}, {UNTIL: NEVER}, {}]
    coming = beside.in_order(
        waiting_stage.__name__,
        jobs(tmp_path, several),
        TWO,
        lambda event: said.append(event.text) if isinstance(event, Line) else None,
    )

    with contextlib.closing(coming):
        assert next(coming).why is None

    assert not any(lives(tmp_path, number) for number in (1, 2, 3))
    assert (tmp_path / "2" / "kept").exists()
    assert said[0].startswith("  try ")
    assert "  try 2: kept" in said
    assert not (tmp_path / "4").exists()


@pytest.mark.parametrize(("ends", "raised", "heard"), [("verdict", GatesFailed, 2), ("budget", PreflightError, 1)])
def test_after_a_verdict_the_next_begins_and_after_any_other_end_none(
    tmp_path: Path, ends: str, raised: type[Exception], heard: int
) -> None:
    first, *others = beside.in_order(waiting_stage.__name__, jobs(tmp_path, [{ENDS: ends}, {}]), TWO[:1], quiet)

    assert isinstance(first.why, raised)
    assert str(first.why) == "1 ends so"
    assert 1 + len(others) == heard
    assert (tmp_path / "2").exists() is bool(others)


def two_of_which_the_second_cannot_be_begun(folder: Path) -> Iterator[Job]:
    """The first ends after that."""
    yield from jobs(folder, [{UNTIL: "asked"}])
    (folder / "asked").touch()
    raise PreflightError("no room for try 2")


def test_one_that_cannot_be_begun_says_so_at_its_turn(tmp_path: Path) -> None:
    coming = beside.in_order(waiting_stage.__name__, two_of_which_the_second_cannot_be_begun(tmp_path), TWO, quiet)

    assert next(coming).why is None
    with pytest.raises(PreflightError, match="no room for try 2"):
        next(coming)


def test_one_that_cannot_be_begun_says_nothing_where_one_before_it_is_taken(tmp_path: Path) -> None:
    coming = beside.in_order(waiting_stage.__name__, two_of_which_the_second_cannot_be_begun(tmp_path), TWO, quiet)

    with contextlib.closing(coming):
        assert next(coming).why is None

    assert (tmp_path / "1" / "ended").exists()


def test_what_is_done_has_no_process_and_has_its_turn_before_another_one_begins(tmp_path: Path) -> None:
    coming = beside.in_order(waiting_stage.__name__, jobs(tmp_path, [{"done": ""}, {}]), TWO, quiet)

    with contextlib.closing(coming):
        assert next(coming) == beside.Ended(seconds=0.0)

    assert not (tmp_path / "1" / "begun").exists()
    assert not (tmp_path / "2").exists()


PARENT = """
import sys
from pathlib import Path
from release.running import beside
from tests.helpers import waiting_stage
from tests.release.running.test_beside import NEVER, TWO, UNTIL, jobs, quiet
list(beside.in_order(waiting_stage.__name__, jobs(Path(sys.argv[1]), [{UNTIL: NEVER}] * 2), TWO, quiet))
"""


def test_none_outlives_a_parent_that_is_killed(tmp_path: Path) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path)], env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    for number in (1, 2):
        waits(tmp_path / str(number) / "begun")
    parent.send_signal(signal.SIGKILL)
    parent.wait()

    deadline = time.monotonic() + 10
    while any(lives(tmp_path, number) for number in (1, 2)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not any(lives(tmp_path, number) for number in (1, 2))


def test_each_has_cards_of_its_own_and_cards_of_two_kinds_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [ADA_LINE.replace("1111", text) for text in ("1111", "3333", "5555", "7777")]
    machine_with(tmp_path, monkeypatch, *lines, ADA_LINE.replace("4090", "3090"))

    shares = [one[machine.VISIBLE] for one in machine.shares(2, 2)]

    assert [len(one.split(",")) for one in shares] == [2, 2]
    assert len({card for one in shares for card in one.split(",")}) == 4
    with pytest.raises(PreflightError, match=r"cards of one kind.*RTX 4090, NVIDIA GeForce RTX 3090"):
        machine.shares(5, 1)
    with pytest.raises(PreflightError, match=r"tries\.side_by_side asks.* more than the 5 cards"):
        machine.shares(3, 2)


def test_where_there_is_no_card_each_has_its_share_of_the_threads(tmp_path: Path) -> None:
    tries = {"ladder": "learning_rates", "side_by_side": 3}
    config = reading.load(
        small_config(tmp_path, data={"tuning_share": 0.2}, tries=tries, run={"threads": 2}, container={"use": "never"})
    )
    none = machine.Found(gpu=None, says="no card")

    assert beside.shares(3, 1, config.container) == ({}, {}, {})
    assert [environment.share(7, 3), environment.share(2, 3)] == [2, 1]
    (said,) = beside.problems(config, [none])
    assert "tries.side_by_side is 3, and there are 2 threads to share and no card. Lower it to 2 at most" in said
    (said,) = beside.problems(replace(config, run=replace(config.run, threads=1)), [none])
    assert said.endswith("1 thread to share and no card. Take it out, or raise run.threads.")  # 1 is no setting of it
    assert [beside.fewer(many) for many in (2, 3)] == ["take out tries.side_by_side", "lower tries.side_by_side"]
