"""What a reader is shown stands in files, to the byte: a changed word or number is seen in review."""

from tests.gates.reports import FOLDER, reports


def test_every_report_is_as_its_file_says() -> None:
    """``python -m tests.gates.reports`` writes the files anew."""
    shown = reports()
    files = {path.name: path.read_text("utf-8") for path in FOLDER.iterdir()}
    for name, text in shown.items():
        assert text == files[name], name
    assert set(shown) == set(files)
