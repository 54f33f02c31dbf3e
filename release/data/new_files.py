"""Files of rows that a command writes: never over another file, and whole or not at all."""

import hashlib
import os
from pathlib import Path
from types import TracebackType
from typing import Self

from gates.shown import counted
from release.values.errors import ConfigError, disk_full


def refuse(*targets: Path) -> None:
    """Raise ``ConfigError`` where a file is there already, or is named twice."""
    problems = [f"{one} exists already. Name another file, or remove it first." for one in targets if one.exists()]
    if len({one.absolute() for one in targets}) < len(targets):
        problems.append(f"{targets[0]} is named twice. Name a file for the rows to train on and one to judge by.")
    if problems:
        raise ConfigError(problems)


class Writer:
    """A file of canonical rows in the making: a block that ends well leaves it whole, any other leaves nothing."""

    def __init__(self, target: Path) -> None:
        self.target, self.rows, self.digest = target, 0, hashlib.sha256()
        self.temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")

    def __enter__(self) -> Self:
        try:
            self.target.parent.mkdir(parents=True, exist_ok=True)
            self.file = self.temporary.open("wb")
        except OSError as error:
            raise self._stopped(error) from None
        return self

    def add(self, row: bytes) -> None:
        """Write one row, which ends its line."""
        try:
            self.file.write(row)
        except OSError as error:
            raise self._stopped(error) from None
        self.digest.update(row)
        self.rows += 1

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None) -> None:
        try:
            if kind is None:
                self.file.flush()
                os.fsync(self.file.fileno())
            self.file.close()
            if kind is None:
                self.temporary.replace(self.target)
        except OSError as error:
            if kind is None:
                raise self._stopped(error) from None
        finally:
            self.temporary.unlink(missing_ok=True)

    def told(self) -> str:
        """The line that says what was written."""
        return f"{self.target}: {counted(self.rows, 'row')}, sha256 {self.digest.hexdigest()}"

    def _stopped(self, error: OSError) -> Exception:
        return disk_full(error) or ConfigError([f"{self.target} cannot be written: {error.strerror}."])


def write(target: Path, rows: list[bytes]) -> str:
    """Write canonical rows, with the folders above; the line that says so."""
    with Writer(target) as writer:
        for row in rows:
            writer.add(row)
    return writer.told()
