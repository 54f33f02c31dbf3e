"""The commands on a published release, on one that this repository keeps and on slips in what is typed."""

from pathlib import Path

import pytest

from release.values import layout
from release.values.errors import ConfigError, VerificationError
from tests.helpers.line import ROOT, adapter_release

KEPT = sorted((ROOT / "tests" / "data" / "releases").glob("v*"))


@pytest.mark.parametrize("release", KEPT, ids=lambda path: path.name)
def test_verify_reads_a_kept_release(release: Path, tmp_path: Path) -> None:
    done = adapter_release("verify", str(release), cwd=tmp_path)

    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("typed", "code", "says"),
    [
        (("local/x@v1", "--hub", "file:a_file"), 4, "a_file cannot be used: File exists"),
        (("local/x@v1", "--hub", "host.example"), 2, '"host.example" is no'),
        (("local/x@v1", "--hub", "file:"), 2, '"file:" is no'),
        (("local/x@v1", "--hub", "http://me:sekret@127.0.0.1:1"), 2, "without a password"),
    ],
)
def test_a_hub_that_cannot_be_one_is_named_without_a_traceback(
    typed: tuple[str, ...], code: int, says: str, tmp_path: Path
) -> None:
    (tmp_path / "a_file").touch()

    done = adapter_release("verify", *typed, cwd=tmp_path)

    assert done.returncode == code, done.stderr
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert "sekret" not in done.stderr


def test_explain_says_that_it_checks_no_signature(tmp_path: Path) -> None:
    with_key = adapter_release("explain", "json_parse", str(KEPT[0]), "--public-key", "key.pub", cwd=tmp_path)
    without = adapter_release("explain", "json_parse", str(KEPT[0]), cwd=tmp_path)

    assert with_key.returncode == without.returncode
    assert (
        with_key.stderr
        == f"note: explain checks no signature and no receipt: `adapter-release verify` does.\n{without.stderr}"
    )


def test_explain_without_a_run_says_what_to_name(tmp_path: Path) -> None:
    done = adapter_release("explain", "json_parse", "--config", "nowhere.yaml", cwd=tmp_path)

    assert done.returncode == ConfigError.exit_code
    assert "nowhere.yaml" in done.stderr


@pytest.mark.parametrize("command", ["rejudge", "reproduce"])
def test_what_is_no_release_is_not_made_again(command: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()

    done = adapter_release(command, "empty", cwd=tmp_path)

    assert done.returncode == ConfigError.exit_code, done.stderr
    assert "empty has no release.json" in done.stderr


@pytest.mark.parametrize("command", ["rejudge", "reproduce"])
def test_what_does_not_verify_is_not_made_again(command: str, tmp_path: Path) -> None:
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / layout.RECORD).write_text("{}")

    done = adapter_release(command, "half", cwd=tmp_path)

    assert done.returncode == VerificationError.exit_code, done.stderr
    assert "Traceback" not in done.stderr
