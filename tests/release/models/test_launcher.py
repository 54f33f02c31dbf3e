"""What several processes that ended come to, and how they meet."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from release.models import launcher
from release.running import launched
from tests.helpers.line import ROOT


@pytest.mark.parametrize(
    ("codes", "code"),
    [
        ([1, 3], 3),  # the second stopped, and the first missed it
        ([1, -9], 137),
        ([-6, 5], 5),
        ([137, 1], 137),
        ([1], 1),
        ([-15, -9], 143),
    ],
)
def test_of_processes_that_ended_together_the_cause_is_told(codes: Sequence[int], code: int) -> None:
    assert launcher.first(codes) == code


@pytest.mark.parametrize("given", [{}, {"TORCHELASTIC_RUN_ID": "a"}, {"RANK": "1", "WORLD_SIZE": "2"}])
def test_under_somebody_elses_torchrun_a_process_is_alone(
    given: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("RANK", "WORLD_SIZE", launched.LAUNCHED_BY):
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)

    assert (launched.rank(), launched.count(), launched.launcher()) == (0, 1, None)


LOOKS = """
import os, pathlib, sys
ports = {line.split()[1].rpartition(":")[2] for name in ("tcp", "tcp6")
         for line in pathlib.Path(f"/proc/{os.getppid()}/net/{name}").read_text().splitlines()[1:]
         if line.split()[3] == "0A"}
from torch.distributed import TCPStore
from datetime import timedelta
quick = {"is_master": False, "timeout": timedelta(seconds=2), "wait_for_workers": False}
for port in ports:
    try:
        keys = TCPStore("127.0.0.1", int(port, 16), **quick).list_keys()
    except Exception:
        continue  # no store
    print("keys", [key for key in keys if "rendezvous" in key], flush=True)
"""


@pytest.mark.slow
def test_what_the_launcher_unpickles_lies_in_no_port(tmp_path: Path) -> None:
    """torchrun's usual rendezvous listens on every interface, and unpickles what anybody writes there."""
    (tmp_path / "looks.py").write_text(LOOKS, "utf-8")
    env = {**os.environ, "PYTHONPATH": f"{ROOT}:{tmp_path}", "TMPDIR": str(tmp_path / "private")}
    (tmp_path / "private").mkdir()

    done = subprocess.run(
        [sys.executable, "-m", launched.LAUNCHER, "2", "looks"], env=env, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr
    assert "keys []" in done.stdout
    assert "rendezvous" not in done.stdout
    assert not list((tmp_path / "private").iterdir())
