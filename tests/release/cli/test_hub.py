"""The embedded Hub and base model from the command line."""

import argparse
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from release.cli import hub
from release.values.errors import ConfigError, PreflightError
from tests.helpers.line import ROOT, adapter_release


def test_a_folder_is_served_until_it_is_ended(tmp_path: Path) -> None:
    serving = subprocess.Popen(
        [sys.executable, "-m", "release.cli", "hub", "serve", "--root", "a folder"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "CI": "true"},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert serving.stdout is not None
        lines = [serving.stdout.readline().rstrip("\n") for _ in range(3)]
        name, _, url = lines[0].partition("=")
        token = (tmp_path / "a folder" / "token").read_text("utf-8").strip()
        asked = urllib.request.Request(f"{url}/api/whoami-v2", headers={"Authorization": f"Bearer {token}"})
        with urllib.request.urlopen(asked, timeout=30) as answer:
            assert answer.status == 200
        serving.send_signal(signal.SIGINT)
        assert serving.wait(timeout=30) == 0
    finally:
        serving.kill()
        serving.communicate()

    assert name == "export HF_ENDPOINT"
    assert lines[1:] == ["export HF_TOKEN=$(cat 'a folder/token')", "export HF_HUB_DISABLE_XET=1"]


@pytest.mark.parametrize("text", ["65536", "-1", "80.5", "http", ""])
def test_an_invalid_port_is_named_with_what_is_expected(text: str) -> None:
    with pytest.raises(
        argparse.ArgumentTypeError, match=f"invalid port {text}: expected a whole number from 0 to 65535"
    ):
        hub.port(text)


def test_the_first_and_the_last_port_are_valid() -> None:
    assert (hub.port("0"), hub.port("65535")) == (0, 65535)


@pytest.mark.parametrize(
    ("typed", "code", "says"),
    [
        (("--root", "a_file"), PreflightError.exit_code, "a_file cannot be used: File exists"),
        (("--port", "99999"), ConfigError.exit_code, "invalid port 99999: expected a whole number from 0 to 65535"),
    ],
)
def test_a_slip_is_shown_without_a_traceback(typed: tuple[str, ...], code: int, says: str, tmp_path: Path) -> None:
    (tmp_path / "a_file").touch()

    done = adapter_release("hub", "serve", *typed, cwd=tmp_path)

    assert done.returncode == code, done.stderr
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_the_base_is_not_unpacked_over_a_folder(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()

    done = adapter_release("base", "there", cwd=tmp_path)

    assert done.returncode == ConfigError.exit_code
    assert "there is there already" in done.stderr
