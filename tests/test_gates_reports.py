"""What a reader is shown stands in files, to the byte: a changed word or number is seen in review."""

from collections.abc import Mapping

import pytest

from tests.gates.reports import FOLDER, reports

FILES = sorted(path.name for path in FOLDER.iterdir())


@pytest.fixture(scope="module")
def shown() -> Mapping[str, str]:
    return reports()


@pytest.mark.parametrize("name", FILES)
def test_a_report_is_as_its_file_says(name: str, shown: Mapping[str, str]) -> None:
    assert shown[name] == (FOLDER / name).read_text("utf-8")


def test_every_report_has_its_file(shown: Mapping[str, str]) -> None:
    assert sorted(shown) == FILES
