"""Rows that stay on the disk: of a large file no more is held than where each row begins.

They lie in a file without a name in the cache folder, which the system takes back when the process ends, however it
ends. Each is read anew, and checked by nobody: it was when it was written there.
"""

import json
import os
import tempfile
import weakref
from array import array
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar, overload

import gates
from gates import rows as golden_rows
from release.values.cache import cache_folder
from release.values.errors import ConfigError, disk_full

T = TypeVar("T")
FEW = 16_000_000
"""Bytes of the rows of a file that are held: as objects they take ten times as much."""


class Made(Sequence[T]):
    """Values that are made when they are asked for, one for each row; the last one is held, for who asks again."""

    def __init__(self, make: Callable[[int], T], count: int) -> None:
        self.make, self.size = make, count
        self.last: tuple[int, T] | None = None

    def __len__(self) -> int:
        return self.size

    @overload
    def __getitem__(self, number: int) -> T: ...
    @overload
    def __getitem__(self, number: slice) -> tuple[T, ...]: ...
    def __getitem__(self, number: int | slice) -> T | tuple[T, ...]:
        if isinstance(number, slice):
            return tuple(self[one] for one in range(*number.indices(self.size)))
        if not -self.size <= number < self.size:
            raise IndexError(number)
        number %= self.size
        last = self.last
        if last is None or last[0] != number:
            self.last = last = number, self.make(number)
        return last[1]


class Texts:
    """The canonical texts of rows, on the disk."""

    def __init__(self) -> None:
        self.begins = array("Q", [0])
        folder = cache_folder()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self.file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115  it lives as long as its rows
            weakref.finalize(self, self.file.close)
        except OSError as error:
            raise ConfigError([f"{folder} cannot take the rows of a large file: {error.strerror}."]) from None

    def add(self, text: bytes) -> None:
        """Take down the canonical text of a row, which ends its line."""
        try:
            self.file.write(text)
        except OSError as error:
            raise disk_full(error) or error from None
        self.begins.append(self.begins[-1] + len(text))

    def rows(self) -> Made[gates.Golden]:
        """Golden rows by number, as a tuple of them would give them; nothing is added any more."""
        try:
            self.file.flush()  # other processes may read
        except OSError as error:
            raise disk_full(error) or error from None
        return Made(lambda number: golden_rows.golden_row(json.loads(self.text(number)), number + 1), self._count())

    def _count(self) -> int:
        return len(self.begins) - 1

    def text(self, number: int) -> bytes:
        """The canonical text of a row."""
        start, end = self.begins[number], self.begins[number + 1]
        return os.pread(self.file.fileno(), end - start, start)

    def texts(self) -> Iterator[bytes]:
        """The canonical text of each row."""
        return map(self.text, range(self._count()))
