"""The values that stages hand on, and the digests that bind them to bytes."""

import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from gates.canonical import canonical_json
from release.values.errors import VerificationError
from release.values.record import Origin, Record, Training


def sha256_file(path: Path) -> str:
    """Hex sha256 of a file, read in blocks."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file so that a kill leaves the old one or the new one, never half of one."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def is_half(name: str, of: str) -> bool:
    """Whether a file of this name is what a kill leaves of ``write_atomically``, beside the one before."""
    return re.fullmatch(rf"\.{re.escape(of)}\.\d{{1,9}}\.tmp", name) is not None


@dataclass(frozen=True, kw_only=True, order=True)
class FileDigest:
    path: str
    """Relative to the folder, with forward slashes."""
    size: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What a folder holds, byte for byte. Verification is ``manifest == other``."""

    files: tuple[FileDigest, ...]

    @classmethod
    def of_folder(cls, folder: Path) -> "Manifest":
        """The manifest of every regular file below ``folder``; a link or a special file is refused."""
        found = []
        for path in sorted(folder.rglob("*")):
            if path.is_symlink() or not (path.is_file() or path.is_dir()):
                raise VerificationError(
                    f"{path} is not a regular file: a release holds plain files only. Remove it and run again."
                )
            if path.is_file():
                name = path.relative_to(folder).as_posix()
                found.append(FileDigest(path=name, size=path.stat().st_size, sha256=sha256_file(path)))
        return cls(files=tuple(sorted(found)))

    @property
    def digest(self) -> str:
        """sha256 of the canonical JSON of the files: one value that names all the bytes."""
        return hashlib.sha256(canonical_json([asdict(file) for file in self.files])).hexdigest()

    def differences(self, actual: "Manifest") -> list[str]:
        """A line for each missing, extra or different file of ``actual``; empty when the two are equal."""
        want = {file.path: file for file in self.files}
        have = {file.path: file for file in actual.files}
        lines = [f"missing: {path}" for path in sorted(want.keys() - have.keys())]
        lines += [f"extra: {path}" for path in sorted(have.keys() - want.keys())]
        lines += [
            f"different: {path} has sha256 {have[path].sha256}, expected {want[path].sha256}"
            for path in sorted(want.keys() & have.keys())
            if want[path] != have[path]
        ]
        return lines


@dataclass(frozen=True, kw_only=True)
class Adapter:
    """An adapter on disk. ``files`` were hashed when training, or an import, wrote them."""

    folder: Path
    files: Manifest
    training: Training | None
    """What training reports: losses, tokens, seconds, peak memory, the digest of the first LoRA weights.

    None of one that was trained elsewhere, which has an ``origin`` instead.
    """
    origin: Origin | None = None

    @property
    def trained(self) -> Training:
        """What training reports of one that was trained here."""
        assert self.training is not None
        return self.training


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """An adapter that was judged: its record names the judged bytes and the verdict."""

    adapter: Adapter
    record: Record
    verdict: bytes
    """The verdict file's bytes, as the gates wrote them."""
    passed: bool
    waits: tuple[str, ...] = ()
    """What people have still to do, where all else passed; empty where nobody is waited for."""


@dataclass(frozen=True, kw_only=True)
class Package:
    """A folder ready to publish. It cannot exist unless the gates passed and every digest still matches."""

    folder: Path
    manifest: Manifest
    candidate: Candidate

    def __post_init__(self) -> None:
        if not self.candidate.passed:
            raise VerificationError("A package needs a verdict that passed; this candidate's did not.")
        changed = self.candidate.adapter.files.differences(Manifest.of_folder(self.candidate.adapter.folder))
        changed += self.manifest.differences(Manifest.of_folder(self.folder))
        packed = {file.path: file.sha256 for file in self.manifest.files}
        changed += [
            f"different: {file.path} is not the file that was judged"
            for file in self.candidate.adapter.files.files
            if packed.get(file.path) != file.sha256
        ]
        if changed:
            raise VerificationError(
                "The bytes to publish are not the bytes that were judged:\n  "
                + "\n  ".join(changed)
                + "\nNothing was published. Train and judge again, or restore the files."
            )


@dataclass(frozen=True, kw_only=True)
class Attested:
    """A verdict on a model that somebody serves, ready to publish. It cannot exist unless the gates passed."""

    folder: Path
    manifest: Manifest
    passed: bool

    def __post_init__(self) -> None:
        if not self.passed:
            raise VerificationError("An attestation needs a verdict that passed; this one's did not.")
        if changed := self.manifest.differences(Manifest.of_folder(self.folder)):
            lines = "\n  ".join(changed)
            raise VerificationError(f"The files to publish are not those that were judged:\n  {lines}\nRun again.")


@dataclass(frozen=True, kw_only=True)
class Publication:
    """A release on a Hub, seen there: commit verified byte for byte, tag read back."""

    endpoint: str
    repo_id: str
    tag: str
    commit: str
    manifest_digest: str
    done: tuple[str, ...]
    """What this run did: of 'created repo', 'committed', 'found commit', 'verified', 'tagged', 'found tag'."""


@dataclass(frozen=True, kw_only=True)
class Reproduction:
    """A published adapter made again, or answered with again, beside what was published."""

    release: str
    commit: str | None
    record_sha256: str
    how: Literal["rejudge", "reproduce"]
    reached: Literal["bits", "answers", "verdict", "different"]
    """The highest level that holds, each with all below it: the same adapter files, answers, gate states."""
    cause: str | None
    """The first recorded difference that explains another adapter or answer; None when the records are equal."""
    differences: tuple[Mapping[str, Any], ...]
    adapter: Mapping[str, Any] | None
    """How far the tensors are apart; None when nothing was trained."""
    answers: Mapping[str, Any]
    verdict: Mapping[str, Any]
    spent_seconds: float | None
    base: Mapping[str, Any] | None = None
    """The same of what the base answered alone; None where the release does not hold it."""
    forms: Mapping[str, Mapping[str, Any] | None] = field(default_factory=dict)
    """The same of each form that it is served in; None for one that was not asked again."""

    def to_json(self) -> bytes:
        """The report file; ``schemas/reproduction.schema.json`` describes it."""
        return canonical_json({"reproduction": 1, **asdict(self)})
