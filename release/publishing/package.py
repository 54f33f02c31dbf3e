"""Candidate → a folder with the files to publish, and a digest of each."""

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from gates.canonical import canonical_json
from release.values import contents, layout
from release.values.artifacts import Candidate, sha256_file, write_atomically
from release.values.as_json import tree
from release.values.errors import VerificationError
from release.values.record import Record


def lay(candidate: Candidate, files: Mapping[str, Path], card: bytes, folder: Path) -> Path:
    """Replace ``folder`` by: the adapter, its card, ``files`` by the name each is published under, the record last.

    The same candidate gives the same bytes, so a run that is started again finds its own release on the Hub.
    """
    temporary = folder.with_name(f".{folder.name}.tmp")
    for left in (temporary, folder):
        shutil.rmtree(left, ignore_errors=True)
    shutil.copytree(candidate.adapter.folder, temporary)
    for name, source in files.items():
        (temporary / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, temporary / name)
    write_atomically(temporary / layout.CARD, card)
    write_atomically(temporary / layout.RECORD, canonical_json(tree(complete(candidate.record, temporary))))
    if unknown := list(contents.checked(temporary, contents.look(temporary)).problems()):
        raise VerificationError(
            "What was made cannot be a release, and `verify` would refuse it:\n  "
            + "\n  ".join(unknown)
            + "\nNothing was published. Take the form that needs these files out of serving, or the file out of the "
            "adapter's folder in the run, and run again."
        )
    temporary.rename(folder)
    return folder


def complete(record: Record, folder: Path) -> Record:
    """The record with the sha256 of every file published beside it."""
    return replace(record, files=listed(folder))


def listed(folder: Path) -> dict[str, str]:
    """The sha256 of each file of a folder that a record lists."""
    names = [path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*")) if path.is_file()]
    return {name: sha256_file(folder / name) for name in names if name not in layout.UNLISTED}
