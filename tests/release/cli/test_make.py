"""What another commit calls to make an adapter again; that it makes one is proven in test_reproduce.py."""

import subprocess
import sys
from pathlib import Path

from release.values.errors import ConfigError
from tests.helpers.line import ROOT


def test_a_stop_has_its_exit_code_and_leaves_no_answer(tmp_path: Path) -> None:
    """The caller takes the code for its own: a fault of the data is not a fault of the reproduction."""
    done = subprocess.run(
        [sys.executable, "-m", "release.cli.make", "nowhere.yaml", str(tmp_path / "answer")],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "CI": "true"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == ConfigError.exit_code
    assert "nowhere.yaml cannot be read" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "answer").exists()
