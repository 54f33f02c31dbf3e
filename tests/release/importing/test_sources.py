"""Of somebody else's files only those on the list are looked at; no link is followed, no path leads out of a zip."""

import io
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from huggingface_hub import CommitOperationAdd

from release.importing import sources
from release.values import layout
from release.values.bounds import Kind
from release.values.errors import ConfigError, PreflightError, Stop
from tests.helpers import trainers
from tests.helpers.hub_fixture import EmbeddedHub


def quiet(_: object) -> None:
    """Say nothing."""


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    return trainers.plain(tmp_path / "out")


def zipped(adapter: Path, below: str = "", more: Callable[[zipfile.ZipFile], object] = lambda _: None) -> Path:
    file = adapter.with_suffix(".zip")
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(adapter.iterdir()):
            archive.write(path, f"{below}{path.name}")
        more(archive)
    return file


@pytest.mark.parametrize("below", ["", "adapter/", "outputs/lora-out/"])
def test_a_zip_is_its_folder_wherever_in_it_that_is(below: str, adapter: Path) -> None:
    with sources.opened(str(zipped(adapter, below)), quiet) as found:
        assert found.names == (layout.SETTINGS, layout.WEIGHTS)
        assert (found.folder / layout.WEIGHTS).read_bytes() == (adapter / layout.WEIGHTS).read_bytes()


def test_of_checkpoints_below_it_the_outermost_adapter_of_a_zip_counts(adapter: Path) -> None:
    checkpoint = (adapter / layout.WEIGHTS).read_bytes()[:-4] + b"last"

    file = zipped(adapter, "out/", lambda zip_: zip_.writestr(f"out/checkpoint-5/{layout.WEIGHTS}", checkpoint))

    with sources.opened(str(file), quiet) as found:
        assert (found.folder / layout.WEIGHTS).read_bytes() == (adapter / layout.WEIGHTS).read_bytes()


def _link(archive: zipfile.ZipFile) -> None:
    entry = zipfile.ZipInfo("README.md")
    entry.external_attr = (stat.S_IFLNK | 0o777) << 16
    archive.writestr(entry, "/etc/passwd")


def _twice(archive: zipfile.ZipFile) -> None:
    archive.writestr("sub/../README.md", "x")


def _written(*names: str, data: bytes = b"x") -> Callable[[zipfile.ZipFile], None]:
    def write(archive: zipfile.ZipFile) -> None:
        for name in names:
            archive.writestr(name, data)

    return write


ZIPS: dict[str, tuple[Callable[[zipfile.ZipFile], None], str]] = {
    "outside": (_written("../README.md"), "leads outside"),
    "absolute": (_written("/etc/README.md"), "leads outside"),
    "windows": (_written("C:\\README.md"), "leads outside"),
    "around": (_twice, "leads outside"),
    "link": (_link, "is a link"),
    "bomb": (_written("sub/adapter_model.safetensors", data=bytes(1 << 25)), "more than 50 times its size"),
    "several": (_written(f"a/{layout.WEIGHTS}", f"b/{layout.WEIGHTS}"), "several adapters"),
}


@pytest.mark.parametrize("name", ZIPS)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_zip_that_is_not_one_plain_folder_is_not_unpacked(name: str, adapter: Path, tmp_path: Path) -> None:
    more, said = ZIPS[name]
    file = zipped(adapter, "sub/", more)

    with pytest.raises(PreflightError, match=said), sources.opened(str(file), quiet):
        pass
    assert not (tmp_path.parent / "README.md").exists()


def test_an_entry_that_says_it_is_too_large_is_not_unpacked(adapter: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = {**sources.FILES, "README.md": Kind(form="text", most=10, why="a test")}
    monkeypatch.setattr(sources, "FILES", small)
    file = zipped(adapter, more=lambda zip_: zip_.writestr("README.md", "x" * 1000))

    with pytest.raises(PreflightError, match="has 1,000 bytes; at most 10 are read"), sources.opened(str(file), quiet):
        pass


def test_an_entry_that_unpacks_to_more_than_it_says_stops() -> None:
    entry = zipfile.ZipInfo("README.md")
    entry.file_size = 3

    with pytest.raises(zipfile.BadZipFile, match="more bytes than it says"):
        sources._copy(io.BytesIO(b"more"), io.BytesIO(), entry)


def test_what_is_no_zip_is_said_to_be_none(tmp_path: Path) -> None:
    (tmp_path / "out.zip").write_bytes(b"PK nothing")

    with pytest.raises(PreflightError, match="cannot be unpacked"), sources.opened(str(tmp_path / "out.zip"), quiet):
        pass


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("nowhere", "is not there"),
        ("adapter_model.bin", "reading one can run code"),
        ("hf://me/adapter", "Write the commit"),
        ("hf://me/adapter@main", "Write the commit"),
        ("hf://me/adapter@" + "0" * 39, "Write the commit"),
        ("hf:\x1b[2J@main", "Write the commit"),
    ],
)
def test_what_names_no_adapter_is_told_with_what_would(source: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as refused, sources.opened(source, quiet, tmp_path):
        pass

    assert said in str(refused.value)
    assert "\x1b" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("README.md", b"\xff\xfe", "is not text in UTF-8"),
        ("args.json", b"[1]", "is not a JSON object"),
        ("args.json", b"{" * 3000, "is not a JSON object"),
        ("tokenizer.json", b'{"a": 1, "a": 2}', "is not a JSON object"),
    ],
)
def test_a_file_beside_it_that_is_not_of_its_kind_is_left_out_and_told(
    name: str, content: bytes, why: str, adapter: Path
) -> None:
    (adapter / name).write_bytes(content)

    with sources.opened(str(adapter), quiet) as found:
        assert name not in found.names
        assert why in found.left_out[name]


@pytest.mark.parametrize("name", [layout.SETTINGS, layout.WEIGHTS])
def test_a_file_that_it_cannot_do_without_stops_it(name: str, adapter: Path) -> None:
    (adapter / name).write_bytes(b"nothing of the kind")

    with pytest.raises(Stop, match=f"{name} is not"), sources.opened(str(adapter), quiet):
        pass


def test_of_a_repository_on_the_hub_only_the_adapters_files_are_fetched(adapter: Path, away: EmbeddedHub) -> None:
    (adapter / "optimizer.pt").write_bytes(b"a pickle")
    (adapter / "training_args.bin").write_bytes(b"a pickle")
    (adapter / "whole.gguf").write_bytes(b"GGUF of gigabytes")
    away.api.create_repo("me/adapter")
    files = [CommitOperationAdd(path.name, str(path)) for path in sorted(adapter.iterdir())]
    commit = away.api.create_commit("me/adapter", files, commit_message="An adapter").oid

    with sources.opened(f"hf://me/adapter@{commit}", quiet) as found:
        assert (found.names, found.hub) == ((layout.SETTINGS, layout.WEIGHTS), f"hf://me/adapter@{commit}")
        assert (found.folder / "optimizer.pt").read_bytes() == b""
        assert not (found.folder / "whole.gguf").exists()
