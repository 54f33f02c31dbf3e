"""Candidate → a folder with the files to publish, and a digest of each."""

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from gates.canonical import canonical_json
from release.publishing import sign
from release.values import layout
from release.values.artifacts import Adapter, Candidate, FileDigest, Manifest, Package, sha256_file, write_atomically

RECORD = layout.FILE
UNLISTED = (RECORD, sign.SIGNATURE, sign.ENVELOPES)
"""What the record does not list: itself, and what is signed when it is made: statements, and all of the files."""


def build(candidate: Candidate, files: Mapping[str, Path], card: bytes, folder: Path) -> Package:
    """Lay out ``folder`` anew: the adapter, its card, ``files`` by the name each is published under, the record last.

    The same candidate gives the same bytes, so a run that is started again finds its own release on the Hub.
    """
    temporary = folder.with_name(f".{folder.name}.tmp")
    for left in (temporary, folder):
        shutil.rmtree(left, ignore_errors=True)
    shutil.copytree(candidate.adapter.folder, temporary)
    for name, source in files.items():
        (temporary / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, temporary / name)
    write_atomically(temporary / "README.md", card)
    write_atomically(temporary / RECORD, canonical_json(complete_record(candidate.record, temporary)))
    temporary.rename(folder)
    return Package(folder=folder, manifest=Manifest.of_folder(folder), candidate=candidate)


def complete_record(record: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """The record with the sha256 of every file published beside it."""
    names = [path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*")) if path.is_file()]
    return {**record, "files": {name: sha256_file(folder / name) for name in names if name not in UNLISTED}}


def read_record(folder: Path) -> dict[str, Any]:
    record: dict[str, Any] = json.loads((folder / RECORD).read_bytes())
    return record


def to_json(package: Package) -> dict[str, Any]:
    """A package as JSON; ``from_json`` gives it back after hashing all of it again."""
    candidate = package.candidate
    return {
        "folder": str(package.folder),
        "files": [asdict(file) for file in package.manifest.files],
        "adapter": {
            "folder": str(candidate.adapter.folder),
            "files": [asdict(file) for file in candidate.adapter.files.files],
            "training": dict(candidate.adapter.training),
        },
        "record": dict(candidate.record),
        "verdict": candidate.verdict.decode(),
        "passed": candidate.passed,
    }


def from_json(value: Mapping[str, Any]) -> Package:
    """The package, proved anew: its constructor hashes every file."""
    adapter = Adapter(
        folder=Path(value["adapter"]["folder"]),
        files=_manifest(value["adapter"]["files"]),
        training=value["adapter"]["training"],
    )
    candidate = Candidate(
        adapter=adapter, record=value["record"], verdict=value["verdict"].encode(), passed=value["passed"] is True
    )
    return Package(folder=Path(value["folder"]), manifest=_manifest(value["files"]), candidate=candidate)


def _manifest(files: Sequence[Mapping[str, Any]]) -> Manifest:
    return Manifest(files=tuple(FileDigest(**file) for file in files))
