"""The digest of a distribution: over its files alone, and a wheel that is not one of this tool is not opened."""

import shutil
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from release.running import distribution
from release.values.errors import VerificationError

INFO = "adapter_release-1.2.3.dist-info"
FILES = {
    "release/__init__.py": "one",
    f"{INFO}/METADATA": "Name: adapter-release\nVersion: 1.2.3\n\nVersion: 9\n",
    f"{INFO}/WHEEL": "Wheel-Version: 1.0\n",
    f"{INFO}/RECORD": "",
}


def a_wheel(path: Path, files: Mapping[str, str]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in files.items():
            archive.writestr(zipfile.ZipInfo(name), text)
    return path


def sha256(folder: Path, files: Mapping[str, str]) -> str:
    return distribution.read(a_wheel(folder / "a.whl", files)).sha256


def test_order_and_what_installers_write_do_not_count_and_every_other_byte_does(tmp_path: Path) -> None:
    first = sha256(tmp_path, FILES)

    assert sha256(tmp_path, dict(reversed(FILES.items()))) == first
    assert sha256(tmp_path, {**FILES, f"{INFO}/RECORD": "other", f"{INFO}/INSTALLER": "uv"}) == first
    assert distribution.read(tmp_path / "a.whl").version == "1.2.3"
    for name in ("release/__init__.py", f"{INFO}/METADATA", "release/more.py", "sitecustomize.py", "more.pth"):
        assert sha256(tmp_path, {**FILES, name: FILES.get(name, "") + "\n"}) != first


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"../outside.py": ""}, "it holds '../outside.py'"),
        ({"/etc/outside.py": ""}, "it holds '/etc/outside.py'"),
        ({"release/../../outside.py": ""}, "it holds"),
        ({"release\\..\\outside.py": ""}, "it holds"),
        ({"release/\u0440.py": ""}, "it holds"),
        ({"other-1.dist-info/METADATA": "Name: other"}, "two distributions"),
    ],
)
def test_a_file_that_belongs_elsewhere_is_refused(more: Mapping[str, str], says: str, tmp_path: Path) -> None:
    with pytest.raises(VerificationError, match="is not a wheel of adapter-release") as stopped:
        distribution.read(a_wheel(tmp_path / "a.whl", {**FILES, **more}))

    assert says in str(stopped.value)


@pytest.mark.parametrize("lost", ["release/__init__.py", f"{INFO}/METADATA"])
def test_another_package_is_refused(lost: str, tmp_path: Path) -> None:
    files = {name: text for name, text in FILES.items() if name != lost}

    with pytest.raises(VerificationError, match="is not a wheel of adapter-release"):
        distribution.read(a_wheel(tmp_path / "a.whl", files))


def test_a_file_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    path = a_wheel(tmp_path / "a.whl", FILES)
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("release/__init__.py", "two")

    with pytest.raises(VerificationError, match="holds a file twice"):
        distribution.read(path)


@pytest.mark.parametrize("content", [None, b"", b"no archive"])
def test_what_is_not_an_archive_is_refused(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "a.whl"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(VerificationError, match="cannot be read as a wheel"):
        distribution.read(path)


def test_what_is_unpacked_is_what_was_looked_at(tmp_path: Path) -> None:
    wheel = distribution.read(a_wheel(tmp_path / "a.whl", {**FILES, f"{INFO}/evil.py": ""}))
    distribution.unpack(wheel, tmp_path / "tool")

    files = (path for path in (tmp_path / "tool").rglob("*") if path.is_file())
    unpacked = {path.relative_to(tmp_path / "tool").as_posix() for path in files}
    assert unpacked == set(FILES)
    shutil.rmtree(tmp_path / "tool")
    a_wheel(tmp_path / "a.whl", {**FILES, "release/__init__.py": "other"})
    with pytest.raises(VerificationError, match="changed while"):
        distribution.unpack(wheel, tmp_path / "tool")
