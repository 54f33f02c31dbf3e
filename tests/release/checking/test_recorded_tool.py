"""The tool of a release, from its wheel: what is not the recorded one does not run, nor what nobody agreed to."""

import zipfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from release.checking import recorded_tool
from release.checking.recorded_commit import RecordedCommit
from release.config import reading
from release.judging.released import Released
from release.running import distribution, environment
from release.values.errors import ConfigError, VerificationError
from release.values.events import Event, Line
from release.values.record import Record
from tests.helpers.line import ROOT
from tests.release.running.test_distribution import FILES, a_wheel

KEPT = Released(folder=ROOT / "tests" / "data" / "releases" / "v3").record
MAKE = """
import pathlib, sys, release, os
assert "HF_TOKEN" not in os.environ
pathlib.Path(sys.argv[2]).write_text(str(pathlib.Path(release.__file__).parent / pathlib.Path(sys.argv[1]).name))
"""
TOOL = {
    **FILES,
    "release/__init__.py": "",
    "release/cli/make.py": MAKE,
    "release/assets/locks/gpu.txt": "",
    "release/assets/locks/cpu.txt": "",
}


def recorded(wheel: Path, folder: Path, *, named: bool = True) -> Record:
    """A record that names this wheel, or only the code in it."""
    found = distribution.read(wheel)
    distribution.unpack(found, folder / "looked at")
    source = replace(KEPT.source, code_sha256=environment.code_sha256(folder / "looked at"))
    return replace(
        KEPT, source=source, program=replace(KEPT.program, distribution_sha256=found.sha256 if named else None)
    )


def unpacked(record: Record, asked: Path, folder: Path, *, agree: bool = True) -> tuple[Path, str]:
    said: list[Event] = []
    root = recorded_tool.unpacked(record, str(asked), folder / "tool", lambda _: agree, said.append)
    return root, "\n".join(one.text for one in said if isinstance(one, Line))


@pytest.mark.parametrize("named", [True, False])
def test_the_tool_of_the_record_makes_it_again_and_is_named_before(
    named: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_" + "s" * 34)
    wheel = a_wheel(tmp_path / "adapter_release-1.2.3-py3-none-any.whl", TOOL)

    root, said = unpacked(recorded(wheel, tmp_path, named=named), wheel, tmp_path)

    assert "tool: adapter_release-1.2.3-py3-none-any.whl, adapter-release 1.2.3, 6 files, sha256" in said
    assert "with your rights" in said
    python = str(ROOT / ".venv" / "bin" / "python")
    made = RecordedCommit(root=root, python=python).make(reading.load(ROOT / "release.yaml"), tmp_path / "answer")
    assert made == root / "release" / "release.yaml"


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("more", [{"release/config/more.py": ""}, {"release/assets/locks/cpu.txt": "torch==1"}])
def test_another_tool_is_refused_before_anybody_is_asked(named: bool, more: Mapping[str, str], tmp_path: Path) -> None:
    record = recorded(a_wheel(tmp_path / "then.whl", TOOL), tmp_path, named=named)
    other = a_wheel(tmp_path / "now.whl", {**TOOL, **more})

    with pytest.raises(VerificationError, match="Nothing of it was run"):
        recorded_tool.unpacked(record, str(other), tmp_path / "tool", asked_in_vain, lambda _: None)


def asked_in_vain(_: object) -> bool:
    raise AssertionError("it was asked for")


def test_what_is_not_agreed_to_does_not_run(tmp_path: Path) -> None:
    wheel = a_wheel(tmp_path / "a.whl", TOOL)

    with pytest.raises(ConfigError, match="not agreed to"):
        unpacked(recorded(wheel, tmp_path), wheel, tmp_path, agree=False)


def test_what_an_earlier_start_left_is_not_used(tmp_path: Path) -> None:
    wheel = a_wheel(tmp_path / "a.whl", TOOL)
    (tmp_path / "tool" / "release").mkdir(parents=True)
    (tmp_path / "tool" / "sitecustomize.py").write_text("raise SystemExit(9)")

    root, _ = unpacked(recorded(wheel, tmp_path), wheel, tmp_path)

    assert not (root / "sitecustomize.py").exists()


@pytest.mark.parametrize("there", [True, False])
def test_the_recorded_version_is_fetched_as_pip_is_told(
    there: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = tmp_path / "wheels"
    index.mkdir()
    wheel = a_wheel(index / "adapter_release-1.2.3-py3-none-any.whl", TOOL)
    with zipfile.ZipFile(wheel, "a") as archive:
        archive.writestr("adapter_release-1.2.3.dist-info/licenses/LICENSE", "")
    record = recorded(wheel, tmp_path)
    record = replace(record, program=replace(record.program, version="1.2.3" if there else "1.2.4"))
    for name, value in {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(index)}.items():
        monkeypatch.setenv(name, value)

    if there:
        _, said = unpacked(record, Path("index"), tmp_path)
        assert "adapter-release 1.2.3" in said
        return
    with pytest.raises(ConfigError, match=r"(?s)no wheel of adapter-release 1\.2\.4.*--tool-wheel FILE") as stopped:
        unpacked(record, Path("index"), tmp_path)
    assert str(index) not in str(stopped.value)


def test_a_version_that_is_none_is_never_given_to_pip(tmp_path: Path) -> None:
    record = replace(KEPT, program=replace(KEPT.program, version="1 @ https://models.example/a.whl"))

    with pytest.raises(ConfigError, match="is not a version"):
        unpacked(record, Path("index"), tmp_path)
