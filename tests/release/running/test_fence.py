"""Code of others sees no secret of the processes around it, of whichever ancestor."""

import subprocess
import sys
from pathlib import Path

import pytest

from release.running import fence
from tests.helpers.foreign_code import SECRETS, can_be_apart, leaked, looking, read, with_secrets
from tests.helpers.line import ROOT

BETWEEN = """
import os, subprocess, sys
from release.running import fence, kept
if "hide" in sys.argv: fence.hide(kept.kept().keys())
given = {name: value for name, value in os.environ.items() if name in kept.kept()}
apart = [sys.executable, fence.__file__] if "apart" in sys.argv else []
subprocess.run([*apart, sys.executable, "-c", sys.argv[1]], env=given, check=True)
"""


def seen(marker: Path, *how: str) -> list[str]:
    """The secrets that a program sees whose parent and grandparent hold them all."""
    command = [sys.executable, "-c", BETWEEN, looking(marker), *how]
    shell = ["sh", "-c", '"$@"; true', "sh", *command]
    subprocess.run(shell, env=with_secrets({"PYTHONPATH": str(ROOT)}), check=True, cwd=marker.parent)
    return leaked(read(marker))


needs_landlock = pytest.mark.skipif(not can_be_apart(), reason="this kernel has no Landlock")


def test_without_it_every_secret_is_seen(tmp_path: Path) -> None:
    """So that the tests below can fail."""
    assert seen(tmp_path / "marker") == sorted(SECRETS)


@needs_landlock
def test_a_program_apart_sees_no_ancestor(tmp_path: Path) -> None:
    assert seen(tmp_path / "marker", "apart") == []
    assert {one["memory"] for one in read(tmp_path / "marker")["ancestors"]} == {"unreadable"}


def test_a_process_that_hides_shows_no_secret_and_goes_on_having_it(tmp_path: Path) -> None:
    program = f"""
import os, subprocess
from release.running import fence, kept
fence.hide(kept.kept().keys())
assert os.environ["HF_TOKEN"] == {SECRETS["HF_TOKEN"]!r}
assert subprocess.run(["sh", "-c", "echo $HF_TOKEN"], capture_output=True, text=True).stdout.strip()
{looking(tmp_path / "marker", far=1, itself=True)}
"""
    env = with_secrets({"PYTHONPATH": str(ROOT)})
    subprocess.run([sys.executable, "-c", program], env=env, check=True, cwd=tmp_path)

    own = read(tmp_path / "marker")["ancestors"][0]["environ"]
    assert leaked(own) == []
    assert own.startswith("unreadable") or f"PYTHONPATH={ROOT}" in own


@needs_landlock
def test_a_program_apart_uses_files_as_before(tmp_path: Path) -> None:
    program = (
        "import os; os.makedirs('a/b'); open('a/f', 'w').close(); os.rename('a/f', 'a/b/f'); os.link('a/b/f', 'g')"
    )

    subprocess.run([sys.executable, fence.__file__, sys.executable, "-c", program], cwd=tmp_path, check=True)

    assert (tmp_path / "a" / "b" / "f").exists()


def test_the_exit_status_of_the_program_is_kept(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, fence.__file__, "sh", "-c", "exit 7"], cwd=tmp_path, check=False)

    assert done.returncode == 7
