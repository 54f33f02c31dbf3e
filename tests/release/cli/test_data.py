"""The commands on datasets, from a file in another format to rows on two sides and a report on them."""

import json
from pathlib import Path

from release.values.errors import ConfigError, DataError
from tests.helpers.line import adapter_release, small_config


def alpaca(folder: Path, rows: int = 10) -> Path:
    path = folder / "alpaca.jsonl"
    lines = [json.dumps({"instruction": f"Question {row}?", "output": f"Answer {row}."}) for row in range(rows)]
    path.write_text("\n".join(lines), "utf-8")
    return path


def test_rows_are_converted_and_split(tmp_path: Path) -> None:
    alpaca(tmp_path)

    converted = adapter_release("data", "convert", "alpaca.jsonl", "--to", "rows.jsonl", cwd=tmp_path)
    split = adapter_release(
        "data", "split", "rows.jsonl", "--train", "t.jsonl", "--golden", "g.jsonl", "--share", "0.3", cwd=tmp_path
    )

    assert converted.returncode == 0, converted.stderr
    assert "alpaca.jsonl: alpaca, 10 rows" in converted.stderr
    assert split.returncode == 0, split.stderr
    sides = [(tmp_path / name).read_text("utf-8").splitlines() for name in ("t.jsonl", "g.jsonl")]
    assert [len(side) for side in sides] == [7, 3]
    assert sorted(sides[0] + sides[1]) == sorted((tmp_path / "rows.jsonl").read_text("utf-8").splitlines())


def test_an_existing_file_is_not_overwritten(tmp_path: Path) -> None:
    source = alpaca(tmp_path)
    before = source.read_bytes()

    done = adapter_release("data", "convert", "alpaca.jsonl", "--to", "alpaca.jsonl", cwd=tmp_path)

    assert done.returncode == ConfigError.exit_code
    assert source.read_bytes() == before


def test_a_row_that_cannot_be_read_ends_with_3(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text("{\n", "utf-8")

    done = adapter_release("data", "convert", "rows.jsonl", "--to", "out.jsonl", cwd=tmp_path)

    assert done.returncode == DataError.exit_code
    assert "rows.jsonl" in done.stderr
    assert not (tmp_path / "out.jsonl").exists()


def test_the_report_goes_where_it_should_and_quotes_no_row_if_not_wanted(tmp_path: Path) -> None:
    path = small_config(tmp_path)

    done = adapter_release("data", "check", str(path), "--report", "page", "--without-text", cwd=tmp_path)

    assert done.returncode == 0, done.stderr
    assert sorted(one.name for one in (tmp_path / "page").iterdir()) == ["data_report.html", "data_report.json"]
