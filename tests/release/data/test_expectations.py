"""No check passes because it looked at nothing: empty, null or mistyped columns fail by themselves."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from release.data import expectations
from release.data.checks import CHECKS
from tests.helpers.line import ROOT, small_config

TRUE_CHECKS = sorted(name for name, check in CHECKS.items() if check.kind == "true")


def failures(columns: dict[str, list[expectations.Column]]) -> dict[str, list[int | str]]:
    count = len(next(iter(columns.values())))
    return expectations.failures(columns, count, list(columns), (1, 2048))


@pytest.mark.parametrize("values", [[], [None, None], ["yes", "yes"], [1, 1], [True, None], [True, False]], ids=repr)
def test_no_check_of_rows_passes_vacuously(values: list[expectations.Column]) -> None:
    """Empty, null, of another type or partly so: each check fails by itself."""
    assert failures({name: list(values) for name in TRUE_CHECKS}).keys() >= (set(TRUE_CHECKS) if values else {"rows"})


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("length", [None, None]),
        ("length", [True, True]),
        ("length", ["9", "9"]),
        ("length", [9.5, 10.0]),
        ("length", [float("nan"), 9]),
        ("length", [0, 9]),
        ("length", [9, 2049]),
        ("ids", [None, None]),
        ("ids", ["a", "a"]),
        ("ids", ["a", None]),
        ("balance", [None, None]),
        ("balance", ["a", "b"]),
        ("balance", [0.0, 0.0]),
        ("balance", [1.0, 1.0]),
    ],
)
def test_no_check_of_values_passes_vacuously(name: str, values: list[expectations.Column]) -> None:
    assert name in failures({name: values})


@given(st.lists(st.one_of(st.booleans(), st.none(), st.integers(), st.text(), st.floats()), max_size=4))
@settings(max_examples=25, deadline=None)
def test_only_columns_of_nothing_but_true_pass(values: list[expectations.Column]) -> None:
    failed = failures({"roles": values})

    assert (not failed) == (bool(values) and all(value is True for value in values))


def test_a_limit_of_address_space_that_its_libraries_spin_at_is_refused_before_they_are_loaded(tmp_path: Path) -> None:
    small_config(tmp_path)
    check = f"ulimit -v 700000; exec {sys.executable} -m release.cli check"

    done = subprocess.run(
        ["bash", "-c", check],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 4, done.stderr
    assert "ulimit -v 1048576" in done.stderr


COLUMNS: dict[str, list[expectations.Column]] = {
    "json": [True] * 6,
    "schema": [True, False, True, True, False, True],
    "rules": [True, None, True, True, True, True],
    "ids": ["a", "b", "a", "c", "d", "é"],
    "prompts": ["a", "b", "c", "d", "e", "f"],
    "length": [1, 2, 3000, 4, 5, 6],
    "balance": [1.0, None, 1.0, 0.0, 1.0, 1.0],
}


def test_a_column_at_a_time_and_in_bytes_is_judged_as_all_together(monkeypatch: pytest.MonkeyPatch) -> None:
    together = failures(COLUMNS)
    as_bytes = {"json": bytearray([1] * 6), "schema": bytearray([1, 0, 1, 1, 0, 1])}
    monkeypatch.setattr(expectations, "MANY", 6)

    assert {"schema", "rules", "ids", "length", "balance"} == together.keys()
    assert failures(COLUMNS) == together
    assert expectations.failures({**COLUMNS, **as_bytes}, 6, list(COLUMNS), (1, 2048)) == together
