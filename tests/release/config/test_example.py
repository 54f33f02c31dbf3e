"""The default example: what is written is what this repository releases by default, and nothing is overwritten."""

from pathlib import Path

import pytest

from release.config import example, reading
from release.values.errors import ConfigError
from tests.helpers.line import ROOT, adapter_release


def test_the_example_is_the_default_with_all_that_it_names(tmp_path: Path) -> None:
    written = example.write(tmp_path / "mine")

    assert written == sorted(path for path in (tmp_path / "mine").rglob("*") if path.is_file())
    for path in written:
        assert path.read_bytes() == (ROOT / path.relative_to(tmp_path / "mine")).read_bytes()
    loaded = reading.load(tmp_path / "mine" / "release.yaml")
    assert loaded.data.train_file == tmp_path / "mine" / "data" / "elements" / "train.jsonl"


def test_one_file_that_is_there_stops_all_of_it(tmp_path: Path) -> None:
    (tmp_path / "release.yaml").write_text("mine", "utf-8")

    with pytest.raises(ConfigError, match=r"release\.yaml: there already"):
        example.write(tmp_path)

    assert [(path.name, path.read_text("utf-8")) for path in tmp_path.iterdir()] == [("release.yaml", "mine")]


def test_the_command_says_what_comes_next(tmp_path: Path) -> None:
    done = adapter_release("example", "my folder", cwd=tmp_path)

    assert done.returncode == 0, done.stderr
    assert "my folder/data/elements/golden.jsonl" in done.stderr
    assert done.stderr.endswith("what comes next: cd 'my folder' && adapter-release release\n")
