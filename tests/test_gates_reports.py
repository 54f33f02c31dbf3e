"""What a reader is shown stands in files, to the byte: a changed word or number is seen in review."""

import pytest

from tests.gates.reports import FOLDER, reports

SHOWN = reports()


@pytest.mark.parametrize("name", SHOWN)
def test_a_report_is_as_its_file_says(name: str) -> None:
    assert SHOWN[name] == (FOLDER / name).read_text("utf-8")


def test_no_file_is_left_over() -> None:
    assert {path.name for path in FOLDER.iterdir()} == set(SHOWN)
