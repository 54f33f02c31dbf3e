"""The commands before a release, on the default configuration and on a broken one."""

from pathlib import Path

from release.values.errors import DataError, PreflightError
from tests.helpers.line import adapter_release, small_config


def test_check_says_how_many_rows_can_be_used(tmp_path: Path) -> None:
    small_config(tmp_path)

    done = adapter_release("check", cwd=tmp_path)

    assert done.returncode == 0, done.stderr
    assert "golden rows can be used." in done.stderr
    assert list(tmp_path.glob("runs/*/data_report.html"))


def test_check_ends_with_3_for_a_row_that_must_be_corrected(tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"id": "a"}\n', "utf-8")
    small_config(tmp_path, data={"golden_file": str(rows)})

    done = adapter_release("check", cwd=tmp_path)

    assert done.returncode == DataError.exit_code
    assert "rows.jsonl line 1" in done.stderr


def test_plan_says_what_can_be_proven_and_what_it_costs(tmp_path: Path) -> None:
    small_config(tmp_path)

    done = adapter_release("plan", cwd=tmp_path)

    assert done.returncode == 0, done.stderr
    for part in ("golden.jsonl, ", "on a GPU:", "on a CPU:", "spent so far: 0.00 USD"):
        assert part in done.stderr


def test_doctor_ends_with_4_and_names_what_would_stop_a_release(tmp_path: Path) -> None:
    small_config(tmp_path, publishing={"signing_key": "nowhere.pem"})

    done = adapter_release("doctor", cwd=tmp_path)

    assert done.returncode == PreflightError.exit_code
    assert "nowhere.pem" in done.stderr
    assert "Nothing was found" not in done.stderr
