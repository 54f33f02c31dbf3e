"""A command that writes rows never writes over a file."""

from pathlib import Path

import pytest

from release.data import new_files
from release.values.errors import ConfigError


def test_what_is_there_and_what_is_named_twice_are_told_together(tmp_path: Path) -> None:
    there = tmp_path / "rows.jsonl"
    there.write_bytes(b"{}\n")

    with pytest.raises(ConfigError, match=r"(?s)exists already.*is named twice"):
        new_files.refuse(there, there)
    new_files.refuse(tmp_path / "other.jsonl")


def test_what_was_written_is_told_with_its_rows_and_digest(tmp_path: Path) -> None:
    target = tmp_path / "new" / "rows.jsonl"
    said = new_files.write(target, [b"{}\n", b"{}\n"])

    assert target.read_bytes() == b"{}\n{}\n"
    assert said.startswith(f"{target}: 2 rows, sha256 ")
