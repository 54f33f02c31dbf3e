"""What injects faults notices what it looks for, with a program in the place of a release that does it wrong."""

import os
import sys
from pathlib import Path

import pytest

from tests.helpers import faults

RELEASE = """
import os, pathlib, subprocess, sys, time
how, again = sys.argv[1], os.path.exists("began")
pathlib.Path("began").touch()
if how == "orphans" and not again:
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3)"], start_new_session=True)
if how == "refuses" and again:
    sys.exit("no")
time.sleep(0.4)
store = pathlib.Path("hub/models/you/name.git")
git = ["git", "-C", str(store), "-c", "user.name=a", "-c", "user.email=a@b.c"]
subprocess.run(["git", "init", "-q", "-b", "main", str(store)], check=True)
subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "first"], check=True)
for name in sys.argv[2:]:
    (store / name).parent.mkdir(exist_ok=True)
    (store / name).write_text("other" if how == "loses" and again else "right")
for command in (["add", "."], ["commit", "-q", "-m", "release"], ["tag", "v1"]):
    subprocess.run([*git, *command], check=True)
"""


def line(folder: Path, how: str) -> faults.Line:
    folder.mkdir()
    command = [sys.executable, "-c", RELEASE, how, *faults.SAME]
    return faults.Line(folder=folder, command=command, env=os.environ, repo="you/name", tag="v1")


@pytest.mark.parametrize(
    ("how", "counts"),
    [
        ("right", "1 | 0 | 0 | 0"),
        ("loses", "0 | 1 | 0 | 0"),
        ("orphans", "1 | 0 | 1 | 0"),
        ("refuses", "0 | 0 | 0 | 1"),
    ],
)
def test_what_is_lost_left_or_refused_is_counted(
    how: str, counts: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(faults, "GONE", 0.2)
    whole = line(tmp_path / "whole", "right")
    assert whole.start().wait(30) == 0

    found = faults.disturbed(line(tmp_path / "killed", how), "SIGKILL to the parent", 0.2, whole.published())

    assert found is not None
    assert found.sound == (how == "right")
    assert faults.table([found])[-1] == f"| all | 1 | 0 | {counts} |"
