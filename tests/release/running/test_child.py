"""Stages in processes of their own, and what the folder they are started in holds."""

from pathlib import Path

import pytest

from release.running import child
from release.values.errors import DataError
from tests.helpers.line import ROOT


def test_a_users_file_named_like_a_module_stands_in_no_stages_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit('the wrong json')\n", "utf-8")
    monkeypatch.chdir(tmp_path)

    with pytest.raises(DataError, match="There is no such row"):
        child.call(
            "tests.helpers.contained",
            *("stop", str(tmp_path)),
            say=lambda _: None,
            log=tmp_path / "log",
            env={"PYTHONPATH": str(ROOT)},
        )
