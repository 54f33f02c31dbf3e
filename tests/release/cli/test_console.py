"""What a terminal, a pipe and a CI log show of the same events."""

import os
import pty
import re
import subprocess
import sys
import time

import pytest

from release.cli import console
from release.values.events import Progress
from tests.helpers.line import ROOT

COMMAND = "adapter-release verify " + "a-long-name-" * 12 + "@v1 --hub file:hub"
EVENTS = f"""
import time
from release.cli import console
from release.values.events import Line, Progress, Stage

with console.watch() as say:
    say(Stage(name="train", note="runs/[bold]/:x:"))
    for done in range(1001):
        say(Progress(name="steps", done=done, total=1000))
    say(Progress(name="unknown", done=3, total=0))
    say(Line(text="rows:x:3 holds [red] and :b:"))
    say(Line(text={COMMAND!r}))
"""


def piped(**environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", EVENTS],
        env={"PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == ""
    return done.stderr


def on_a_terminal(**environment: str) -> str:
    """What a terminal of 80 columns gets, without its codes for colours and cursor."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-c", EVENTS],
        env={"PYTHONPATH": str(ROOT), "TERM": "xterm-256color", "COLUMNS": "80", **environment},
        stderr=theirs,
    ) as process:
        os.close(theirs)
        shown = b""
        while True:
            try:
                shown += os.read(ours, 1 << 16)
            except OSError:  # the other side is closed
                break
        assert process.wait() == 0
    os.close(ours)
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode()).replace("\r\n", "\n")


def test_a_pipe_gets_plain_lines_with_about_ten_of_a_long_step() -> None:
    lines = piped().splitlines()

    assert lines[0] == "train  runs/[bold]/:x:"
    assert lines[-2:] == ["rows:x:3 holds [red] and :b:", COMMAND]
    steps = [line for line in lines if line.startswith("  steps ")]
    assert steps[-1] == "  steps 1000/1000"
    assert 10 <= len(steps) <= 12
    assert len(lines) == len(steps) + 3


def test_a_terminal_gets_the_same_text_as_it_is() -> None:
    """No markup is taken out, no :b: becomes a picture, no command is cut into two lines."""
    shown = on_a_terminal()

    assert "train  runs/[bold]/:x:\n" in shown
    assert "rows:x:3 holds [red] and :b:\n" in shown
    assert f"{COMMAND}\n" in shown
    assert "━" in shown


def test_ci_gets_plain_lines_on_a_terminal_too() -> None:
    assert "━" not in on_a_terminal(CI="true")


def test_the_time_left_is_told_after_a_second_however_little_is_done(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI", "1")
    monkeypatch.setattr(console, "SOON", 0.02)
    with console.watch() as say:
        for done in (1, 2, 3, 4):
            say(Progress(name="rows", done=done, total=1000))
            time.sleep(0.03)

    lines = capsys.readouterr().err.splitlines()
    assert [line.split(",")[0].strip() for line in lines] == ["rows 1/1000", "rows 2/1000"]
    assert lines[1].endswith(" left")
