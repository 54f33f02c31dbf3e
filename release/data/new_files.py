"""Files of rows that a command writes: never over another file."""

import hashlib
from pathlib import Path

from release.values.artifacts import write_atomically
from release.values.errors import ConfigError, disk_full


def refuse(*targets: Path) -> None:
    """Raise ``ConfigError`` where a file is there already, or is named twice."""
    problems = [f"{one} exists already. Name another file, or remove it first." for one in targets if one.exists()]
    if len({one.absolute() for one in targets}) < len(targets):
        problems.append(f"{targets[0]} is named twice. Name a file for the rows to train on and one to judge by.")
    if problems:
        raise ConfigError(problems)


def write(target: Path, data: bytes) -> str:
    """Write canonical rows, with the folders above; the line that says so."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(target, data)
    except OSError as error:
        raise disk_full(error) or ConfigError([f"{target} cannot be written: {error.strerror}."]) from None
    return f"{target}: {len(data.splitlines())} rows, sha256 {hashlib.sha256(data).hexdigest()}"
