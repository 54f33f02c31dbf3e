"""What this code was installed from: one digest over a distribution's files, the same for its wheel and installed."""

import hashlib
import re
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path, PurePosixPath

from release.values import assets
from release.values.artifacts import sha256_file
from release.values.errors import VerificationError

NAME = "adapter-release"
OF_THE_WHEEL = ("METADATA", "WHEEL", "entry_points.txt")
"""Files of a ``.dist-info`` folder that are counted: the others say who installed it, and from where."""
LARGEST = 256 << 20
"""Bytes that a wheel of this tool may unpack to: fifty times what it does."""


@dataclass(frozen=True, kw_only=True)
class Wheel:
    """A wheel of this tool, looked at and not run."""

    path: Path
    version: str
    sha256: str
    """Of the distribution, as a record names it; not of the archive, whose order and times do not count."""
    names: tuple[str, ...]
    """The files that the digest is over."""


def installed() -> str | None:
    """The digest of the distribution that runs; None in a checkout, where no distribution has these files."""
    there = files()
    return digest({name: sha256_file(path) for name, path in there.items()}) if there else None


def files() -> dict[str, Path]:
    """The files of the distribution that runs, by their names in its wheel; none in a checkout."""
    try:
        found = metadata.distribution(NAME)
    except metadata.PackageNotFoundError:
        return {}
    if Path(str(found.locate_file("release"))).resolve() != (assets.ROOT / "release").resolve():
        return {}
    there = {str(file): Path(str(found.locate_file(file))) for file in found.files or () if counted(str(file))}
    if "release/__init__.py" not in there:  # an editable installation lists none of the code
        return {}
    return {name: path for name, path in there.items() if path.is_file()}


def listed(names: Iterable[str]) -> bytes:
    """The list by which the files of a distribution are found again, RECORD."""
    return "".join(f"{_quoted(name)},,\n" for name in names).encode()


def read(path: Path) -> Wheel:
    """What a wheel is; ``VerificationError`` where it is not one of this tool, each file once and in its place."""
    try:
        with zipfile.ZipFile(path) as archive:
            entries = [one for one in archive.infolist() if not one.is_dir()]
            if problem := _problem(entries):
                raise VerificationError(f"{path} is not a wheel of {NAME}: {problem}. Nothing of it was run.")
            names = [one.filename for one in entries if counted(one.filename)]
            digests = {name: hashlib.sha256(archive.read(name)).hexdigest() for name in names}
            (info,) = (name for name in names if name.endswith(".dist-info/METADATA"))
            version = _version(archive.read(info).decode("utf-8", "replace"))
    except (OSError, zipfile.BadZipFile, RuntimeError, NotImplementedError) as error:
        raise VerificationError(f"{path} cannot be read as a wheel: {error}. Nothing of it was run.") from None
    return Wheel(path=path, version=version, sha256=digest(digests), names=tuple(sorted(names)))


def unpack(wheel: Wheel, to: Path) -> None:
    """Exactly the files that the digest is over, in a new folder, with the list by which they are found again."""
    with zipfile.ZipFile(wheel.path) as archive:
        for name in wheel.names:
            target = to / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(archive.read(name))
    (info,) = (name for name in wheel.names if name.endswith(".dist-info/METADATA"))
    (to / info).with_name("RECORD").write_bytes(listed(wheel.names))
    if digest({name: sha256_file(to / name) for name in wheel.names}) != wheel.sha256:
        raise VerificationError(f"{wheel.path} changed while it was unpacked. Nothing of it was run.")


def counted(name: str) -> bool:
    """Whether a file belongs to the distribution, and is not what an installer, or Python, wrote beside it."""
    parts = PurePosixPath(name).parts
    if parts[0] == ".." or "__pycache__" in parts:
        return False
    return not parts[0].endswith(".dist-info") or (len(parts) == 2 and parts[1] in OF_THE_WHEEL)


def digest(files: Mapping[str, str]) -> str:
    """One digest over names and sha256: that of what ``sha256sum`` writes of them, in the order of the names."""
    lines = "".join(f"{sha256}  {name}\n" for name, sha256 in sorted(files.items()))
    return hashlib.sha256(lines.encode()).hexdigest()


def _problem(entries: Iterable[zipfile.ZipInfo]) -> str:
    names = [one.filename for one in entries]
    if len(set(names)) < len(names):
        return "it holds a file twice"
    if strange := [name for name in names if not re.fullmatch(r"(?!.*\.\.)[A-Za-z0-9_][\w.+/-]*", name, re.ASCII)]:
        return f"it holds {strange[0]!r:.80}"
    if sum(one.file_size for one in entries) > LARGEST:
        return f"it unpacks to more than {LARGEST >> 20} MiB"
    if not re.search(rf"^{NAME.replace('-', '_')}-[^/]+\.dist-info/METADATA$", "\n".join(names), re.MULTILINE):
        return "it has no METADATA of that name"
    if len([name for name in names if name.endswith(".dist-info/METADATA")]) > 1:
        return "it is two distributions"
    return "" if "release/__init__.py" in names else "it holds no release/__init__.py"


def _version(text: str) -> str:
    found = re.search(r"^Version: *(\S+)$", text.partition("\n\n")[0], re.MULTILINE)
    return found[1] if found else ""


def _quoted(name: str) -> str:
    return f'"{name}"' if "," in name else name
