"""Stages in processes of their own: the pipe between them, and what the folder they are started in holds."""

import json
import signal
import time
from pathlib import Path

import pytest

from release.running import child
from release.values.errors import DataError, PreflightError
from release.values.events import Event, Line, Progress, Stage
from tests.helpers.line import ROOT


def heard(*lines: bytes) -> tuple[str, list[Event]]:
    told: list[Event] = []
    return child.listen(lines, told.append), told


def test_events_are_passed_on_in_their_order_and_the_reason_to_stop_comes_back() -> None:
    message, told = heard(
        b'{"kind": "Stage", "name": "train", "note": ""}',
        b'{"kind": "Progress", "name": "training", "done": 1, "total": 2}',
        b'{"kind": "Line", "text": "hello"}',
        b'{"kind": "Stop", "message": "no such row"}',
    )

    assert told == [Stage(name="train"), Progress(name="training", done=1, total=2), Line(text="hello")]
    assert message == "no such row"


@pytest.mark.parametrize(
    "line",
    [
        b"a model's code prints",
        b"5",
        b'{"kind": "Exit"}',
        b'{"kind": "Line", "text": 5}',
        b'{"kind": "Progress", "name": "training", "done": "1", "total": 2}',
        b"[" * 100_000,
        json.dumps({"kind": "Line", "text": "x" * child.LONGEST}).encode(),
    ],
    ids=["no JSON", "a number", "no kind of ours", "another type", "a text for a number", "deep", "long"],
)
def test_what_is_not_an_event_ends_the_stage(line: bytes) -> None:
    with pytest.raises(RuntimeError, match="a stage said what is not an event"):
        heard(line)


def test_a_users_file_named_like_a_module_stands_in_no_stages_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit('the wrong json')\n", "utf-8")
    monkeypatch.chdir(tmp_path)

    with pytest.raises(DataError, match="There is no such row"):
        child.call(
            "tests.helpers.contained",
            *("stop", str(tmp_path)),
            say=lambda _: None,
            log=tmp_path / "log",
            env={"PYTHONPATH": str(ROOT)},
        )


def test_a_reason_to_stop_that_is_endless_is_cut_and_keeps_its_exit_code(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"^xxx.* \.\.\. \(2,000,000 characters in all\)$"):
        child.call(
            "tests.helpers.contained",
            *("endless", str(tmp_path)),
            say=lambda _: None,
            log=tmp_path / "log",
            env={"PYTHONPATH": str(ROOT)},
        )


@pytest.mark.parametrize(("how", "kept"), [("wait", []), ("keep", [Line(text="kept")]), ("deaf", [])])
def test_a_stage_that_is_interrupted_may_keep_something_first_and_has_no_longer_than_the_notice(
    how: str, kept: list[Event], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child, "NOTICE", 2.0)
    told: list[Event] = []
    started = time.monotonic()

    def say(event: Event) -> None:
        told.append(event)
        if len(told) == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        child.call(
            "tests.helpers.contained",
            *(how, str(tmp_path)),
            say=say,
            log=tmp_path / "log",
            env={"PYTHONPATH": str(ROOT)},
        )

    assert told[1:] == kept
    assert time.monotonic() - started < 30  # it would sleep for 60


def called(tmp_path: Path, *arguments: str, log: Path | None = None) -> None:
    child.call(
        "tests.helpers.contained",
        *arguments,
        say=lambda _: None,
        log=log or tmp_path / "log",
        env={"PYTHONPATH": str(ROOT)},
    )


@pytest.mark.parametrize(
    ("number", "log", "says"),
    [
        (signal.SIGKILL, "", r"was killed \(SIGKILL\).* no memory left .*data.max_length smaller.* run again"),
        (signal.SIGTERM, "", r"was ended from outside \(SIGTERM\)\. What was finished is kept"),
        (signal.SIGHUP, "", r"was ended from outside \(SIGHUP\)"),
        (
            signal.SIGVTALRM,
            "",
            r"used up its time in one call .* \(SIGVTALRM\)\. .*chat template.* model.chat_template",
        ),
        (signal.SIGABRT, "terminate called after 'std::bad_alloc'\n  what():  x", r"too little memory \(bad_alloc\)"),
    ],
)
def test_a_stage_that_was_killed_or_had_no_memory_is_the_machines_fault(
    number: signal.Signals, log: str, says: str, tmp_path: Path
) -> None:
    with pytest.raises(PreflightError, match=says):
        called(tmp_path, "die", str(tmp_path), str(int(number)), log)


def test_a_crash_that_nobody_can_explain_keeps_the_end_of_its_log(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"ended with exit status -11.*\n.*\nan assertion of a library"):
        called(tmp_path, "die", str(tmp_path), str(int(signal.SIGSEGV)), "an assertion of a library\n")


def test_a_stage_under_a_limit_of_memory_says_what_to_make_smaller(tmp_path: Path) -> None:
    with pytest.raises(PreflightError, match=r"too little memory: MemoryError.*\(container.memory_gib, ulimit -v"):
        called(tmp_path, "limited", str(tmp_path))

    assert "Traceback" in (tmp_path / "log").read_text("utf-8")


@pytest.mark.parametrize("log", [None, Path("/dev/full")])
def test_a_full_disk_is_told_even_where_its_log_stands_on_it(log: Path | None, tmp_path: Path) -> None:
    with pytest.raises(PreflightError, match=r"No space left on the disk.* is kept"):
        called(tmp_path, "full", str(tmp_path), log=log)


def test_a_crash_under_a_limit_of_address_space_is_told_as_one_of_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    assert child.died("It", -signal.SIGSEGV, "no word of it") == ""
    monkeypatch.setattr(child, "limited", lambda: True)
    assert "too little memory (SIGSEGV)" in child.died("It", -signal.SIGSEGV, "no word of it")
    assert child.died("It", 1, "no word of it") == ""
