"""One release at a time in an output folder, its stages counted."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from release.running import lock
from release.values.errors import PreflightError
from tests.helpers.line import ROOT

HOLDER = """
import subprocess, sys, time
from pathlib import Path
from release.running import lock, tied
with lock.held(Path(sys.argv[1])):
    stage = [sys.executable, "-c", f"import time; time.sleep({sys.argv[2]})"]  # one that outlives its parent
    subprocess.Popen(stage, stdout=subprocess.DEVNULL, **tied.inherited())
    print("held", flush=True)
    time.sleep(60)
"""


@contextmanager
def holder(folder: Path, seconds: float) -> Iterator["subprocess.Popen[str]"]:
    """A release at work, with a stage of so many seconds that does not end with it."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(folder), str(seconds)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()


def test_a_second_release_is_refused_at_once_and_the_first_is_named(tmp_path: Path) -> None:
    with holder(tmp_path, 0) as process:
        started = time.monotonic()
        with pytest.raises(PreflightError, match=rf"Another release is at work .* \(process {process.pid}\)"):
            lock.held(tmp_path).__enter__()

    assert time.monotonic() - started < lock.PATIENCE / 2


@pytest.mark.parametrize("reaped", [True, False])
def test_after_a_kill_the_next_waits_until_the_last_stage_has_ended(tmp_path: Path, *, reaped: bool) -> None:
    """A killed parent that nobody has asked for is still in the list of processes; it is not at work."""
    with holder(tmp_path, 0.8) as process:
        started = time.monotonic()
        process.kill()
        if reaped:
            process.wait()
        with lock.held(tmp_path):
            waited = time.monotonic() - started
            assert (tmp_path / "lock").read_text("utf-8") == str(os.getpid())

    assert 0.4 < waited < lock.PATIENCE / 2


def test_a_stage_that_does_not_end_is_told_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "PATIENCE", 0.2)
    with holder(tmp_path, 3) as process:
        process.kill()
        process.wait()
        with pytest.raises(PreflightError, match=r"A stage of an earlier release is still at work .*fuser -v"):
            lock.held(tmp_path).__enter__()


def test_a_folder_is_free_again_after_the_block_and_for_its_stages_no_longer(tmp_path: Path) -> None:
    from release.running import tied

    with lock.held(tmp_path):
        assert len(tied.inherited()["pass_fds"]) == 1
    with lock.held(tmp_path):
        pass

    assert tied.inherited()["pass_fds"] == ()
