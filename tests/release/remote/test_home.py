"""What comes home is somebody else's: plain files of a candidate within bounds, or nothing."""

import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from release.config import reading
from release.remote import home
from release.running import spending
from release.values import bounds
from release.values.errors import VerificationError
from tests.helpers.prepared import prepared_config

Add = Callable[[tarfile.TarFile], None]


def file(name: str, content: bytes = b"x", kind: bytes = tarfile.REGTYPE, link: str = "") -> Add:
    def add(tar: tarfile.TarFile) -> None:
        entry = tarfile.TarInfo(name)
        entry.size, entry.type, entry.linkname = (0 if link else len(content)), kind, link
        tar.addfile(entry, io.BytesIO(content))

    return add


def tar_of(*adds: Add, form: int = tarfile.GNU_FORMAT) -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w", format=form) as tar:
        for add in adds:
            add(tar)
    return data.getvalue()


def huge(name: str, size: int) -> bytes:
    """The header of a file of so many bytes, and none of them."""
    entry = tarfile.TarInfo(name)
    entry.size = size
    return entry.tobuf(tarfile.GNU_FORMAT)


WRONG = {
    "a link": tar_of(file("dist/report.md", kind=tarfile.SYMTYPE, link="/etc/passwd")),
    "a hard link": tar_of(file("dist/report.md", kind=tarfile.LNKTYPE, link="dist/SHA256SUMS")),
    "a device": tar_of(file("dist/report.md", b"", tarfile.CHRTYPE)),
    "a pipe": tar_of(file("dist/report.md", b"", tarfile.FIFOTYPE)),
    "a folder": tar_of(file("dist/package", b"", tarfile.DIRTYPE)),
    "a long name": tar_of(file(f"dist/package/{'a' * 200}.json")),
    "a pax header": tar_of(file(f"dist/package/{'a' * 200}.json"), form=tarfile.PAX_FORMAT),
    "above": tar_of(file("../evil")),
    "above, within": tar_of(file("dist/package/../../evil")),
    "above, refused": tar_of(file("dist/refused/../../evil")),
    "absolute": tar_of(file("/tmp/evil")),
    "beside": tar_of(file("evil")),
    "no release has it": tar_of(file("dist/package/run.py")),
    "a folder no release has": tar_of(file("dist/package/x/adapter_model.safetensors")),
    "no golden rows": tar_of(file("dist/rows/other.jsonl")),
    "a word of people": tar_of(file("dist/review.json")),
    "twice": tar_of(file("dist/report.md"), file("dist/report.md")),
    "a file for a folder": tar_of(file("dist/refused/a"), file("dist/refused/a/b")),
    "too large": huge("dist/SHA256SUMS", bounds.STATEMENT.most + 1),
    "too large a ledger": huge(home.LEDGER, bounds.LEDGER.most + 1),
    "cut": tar_of(file("dist/report.md", b"x" * 5000))[:2000],
    "no tar": b"x" * 10240,
}


@pytest.mark.parametrize("name", WRONG)
def test_what_no_candidate_holds_is_refused_and_written_nowhere_else(tmp_path: Path, name: str) -> None:
    came = tmp_path / "came"
    came.mkdir()

    with pytest.raises(VerificationError, match="Nothing of it was kept"):
        home.unpack(io.BytesIO(WRONG[name]), came)

    assert list(tmp_path.iterdir()) == [came]
    assert not any(path.is_symlink() for path in came.rglob("*"))


def test_a_candidate_is_taken_as_it_is(tmp_path: Path) -> None:
    names = ["dist/SHA256SUMS", "dist/report.md", "dist/rows/golden.jsonl", "dist/package/release.json"]
    names += ["dist/package/gates/verdict.json", "dist/package/adapter_model.safetensors", "dist/refused/verdict.json"]
    names += [home.LEDGER, home.SPENT]

    home.unpack(io.BytesIO(tar_of(*(file(name, name.encode()) for name in names))), tmp_path)

    found = {path.relative_to(tmp_path).as_posix(): path.read_text("utf-8") for path in tmp_path.rglob("*.*")}
    assert {**found, "dist/SHA256SUMS": "dist/SHA256SUMS"} == {name: name for name in names}


def test_nothing_is_laid_in_place_of_a_candidate_where_nothing_came(tmp_path: Path) -> None:
    (tmp_path / "dist").mkdir()
    (tmp_path / "dist" / "SHA256SUMS").write_text("before", "utf-8")
    (tmp_path / "came" / "dist").mkdir(parents=True)

    with pytest.raises(VerificationError, match=r"has no report\.md"):
        home.lay(tmp_path / "came", tmp_path / "dist", refused=False)

    assert (tmp_path / "dist" / "SHA256SUMS").read_text("utf-8") == "before"


def test_no_page_of_a_refused_candidate_is_laid_down(tmp_path: Path) -> None:
    there = tmp_path / "came" / "dist"
    names = [
        "refused/answers.jsonl",
        "refused/tries.json",
        "refused/message.txt",
        "refused/report.html",
        "refused/a.svg",
    ]
    for name in ["report.md", *names]:
        (there / name).parent.mkdir(parents=True, exist_ok=True)
        (there / name).write_text("<script>", "utf-8")

    home.lay(tmp_path / "came", tmp_path / "dist", refused=True)

    found = {path.relative_to(tmp_path / "dist").as_posix() for path in (tmp_path / "dist").rglob("*.*")}
    assert found == {"report.md", *names[:3]}


HOSTILE = {
    "no JSON": "no JSON",
    "an object as a name": '{"run":{},"attempt":"1","seconds":1,"price_per_hour":1,"currency":"USD"}',
    "a number as a name": '{"run":"a","attempt":1,"seconds":1,"price_per_hour":1,"currency":"USD"}',
    "no end": '{"run":"a","attempt":"1","seconds":Infinity,"price_per_hour":1,"currency":"USD"}',
    "more than a float": f'{{"run":"a","attempt":"1","seconds":1{"0" * 400},"price_per_hour":1,"currency":"USD"}}',
    "deep": "[" * 100_000,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_nobody_can_have_spent_is_refused(tmp_path: Path, name: str) -> None:
    prepared_config(tmp_path)
    (tmp_path / "came" / "runs").mkdir(parents=True)
    (tmp_path / "came" / home.SPENT).write_text(f"{HOSTILE[name]}\n", "utf-8")

    with pytest.raises(VerificationError, match="What was counted over there cannot be read"):
        home.count(tmp_path / "came", reading.load(tmp_path / "release.yaml"))


def test_what_was_spent_over_there_is_counted_once_and_changes_nothing_that_was_counted_here(tmp_path: Path) -> None:
    prepared_config(tmp_path)
    config = reading.load(tmp_path / "release.yaml")

    def entry(attempt: str, seconds: float) -> spending.Entry:
        return spending.Entry(run="a", attempt=attempt, seconds=seconds, price_per_hour=1.0, currency="USD")

    config.run.output_dir.mkdir(parents=True)
    (tmp_path / "came" / "runs").mkdir(parents=True)
    (config.run.output_dir / spending.NAME).write_bytes(spending.written([entry("here", 10)]))
    theirs = spending.written([entry("here", 0), entry("there", 20)])
    (tmp_path / "came" / home.SPENT).write_bytes(theirs)

    for _ in range(2):
        home.count(tmp_path / "came", config)
        assert spending.read(config.run.output_dir) == [entry("here", 10), entry("there", 20)]
