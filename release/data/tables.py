"""Rows out of tables: CSV and TSV, and, where pyarrow is installed, Parquet, Arrow and what zstd packed."""

import contextlib
import csv
import importlib.util
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, cast

from gates import strict_json
from gates.canonical import Json
from gates.shown import shorten
from release.values import room
from release.values.errors import ConfigError, DataError

if TYPE_CHECKING:
    import pyarrow as pa

SEPARATORS = ",;\t|"
CELL = 10_000_000  # characters of a cell, and of all cells of a row together
INDEX = "index"
"""What pandas writes first and without a name: the number of each row."""
BATCH = 64  # rows that are held at once
BUFFER = 1 << 20  # bytes that are read of a column at once
ROOM = 384 << 20
"""Bytes that these rows may ask for: a Parquet file of a kilobyte can hold gigabytes of one text, over and over."""
SMALLER = "Write it again in smaller batches (pyarrow: write_table(table, max_chunksize=1000)), or as Parquet."
JSON_IN_CELLS = ("[", "{")
WORDS: Mapping[str, bool] = {"true": True, "false": False}


def of_cells(path: Path) -> bool:
    """Whether a file's name says that it is CSV or TSV, packed or not."""
    return bool({".csv", ".tsv"} & set(map(str.lower, path.suffixes[-2:])))


def cells(text: io.TextIOWrapper, path: Path) -> Iterator[tuple[int, dict[str, Json] | str]]:
    """Each row below the heading with the line it begins on; a text says what is wrong with it.

    An empty cell is none. A cell that is a JSON list or object is that, and the words true and false are.
    """
    limit = csv.field_size_limit(CELL)  # of the whole process
    lines, line = _Lines(text, tabs=".tsv" in map(str.lower, path.suffixes)), 1
    try:
        reader = csv.reader(lines, delimiter=lines.mark(), strict=True)
        heading = next(reader, [])
        if heading[:1] == [""] and INDEX not in heading:
            heading[0] = INDEX
        if len(set(heading)) < len(heading) or "" in heading:
            says = f"the heading {shorten(repr(heading), 300)} names a column twice or not at all"
            raise DataError(f"{path} line 1: {says}. {_HEADING}")
        line = lines.next_row(reader.line_num)
        for row in reader:
            if row and len(row) != len(heading):
                do = "Put quotes around its texts" if len(heading) > 1 else _HEADING
                yield line, f"{len(row)} cells where the heading has {len(heading)}. {do}"
            elif row:
                yield line, {name: _cell(one) for name, one in zip(heading, row, strict=True) if one}
            line = lines.next_row(reader.line_num)
    except csv.Error as error:
        yield line, f"it is not CSV: {error}. Save the file as CSV again, in UTF-8, or as JSON Lines"
    finally:
        csv.field_size_limit(limit)


_HEADING = "The first line must name each column, once: take out what stands before it, and name or drop the others"


class _Lines:
    """The lines of a table; ``csv.Error`` where a row, which may be over several, has more characters than `CELL`."""

    def __init__(self, text: io.TextIOWrapper, *, tabs: bool) -> None:
        self.text, self.tabs, self.row, self.first = text, tabs, 0, ""

    def mark(self) -> str:
        """What parts the cells: by the name of the file, or what the first line has the most of."""
        self.first = self._line()
        return "\t" if self.tabs else max(SEPARATORS, key=lambda one: (self.first.count(one), -SEPARATORS.index(one)))

    def next_row(self, read: int) -> int:
        """The line that the next row begins on, after so many that were read."""
        self.row = 0
        return read + 1

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        line, self.first = self.first or self._line(), ""
        if not line:
            raise StopIteration
        return line

    def _line(self) -> str:
        line = self.text.readline(CELL + 1 - self.row)
        self.row += len(line)
        if self.row > CELL:
            raise csv.Error(f"a row has more than {CELL:,} characters")
        return line


def _cell(text: str) -> Json:
    if text.lower() in WORDS:
        return WORDS[text.lower()]
    if text.startswith(JSON_IN_CELLS):
        return json_in(text)
    return text


def json_in(text: str) -> Json:
    """The list or the object of objects that a text is; any other text stays as it is."""
    reading = strict_json.read(text, max_characters=CELL)
    return reading.value if reading.code == "not_object" and isinstance(reading.value, list) else text


def _need(path: Path) -> None:
    if importlib.util.find_spec("pyarrow") is None:
        raise ConfigError(
            [
                f"{path} is read by pyarrow, which is not installed. It comes with the extra `train`.",
                "Run pip install 'adapter-release[train]', or export the rows as JSON Lines, gzip or not.",
            ]
        )


def unpacked(file: IO[bytes], path: Path) -> io.RawIOBase:
    """What zstd packed."""
    _need(path)
    import pyarrow as pa

    return cast("io.RawIOBase", pa.CompressedInputStream(file, "zstd"))


def rows(stream: IO[bytes], head: bytes, path: Path) -> Iterator[Json]:
    """The rows of a Parquet or Arrow file as JSON values."""
    _need(path)
    import pyarrow as pa

    try:
        for number, value in enumerate(_values(stream, head), 1):
            if _size(value) > CELL:
                raise DataError(f"{path} row {number} has more than {CELL:,} characters. Leave it out, or cut it.")
            yield _json(value)
    except _Refused as error:
        raise DataError(f"{path} cannot be read: {error}") from None
    except (pa.ArrowException, OSError, RecursionError, ValueError, OverflowError) as error:  # a date of no calendar
        why = str(error).partition("\n")[0][:200]
        raise DataError(f"{path} cannot be read: {why}. Write it again, or export its rows as JSON Lines.") from None


class _Refused(Exception):
    """What of a file cannot be read, and what to do."""


@contextlib.contextmanager
def _room(what: str, way_out: str) -> Iterator[None]:
    import pyarrow as pa

    try:
        with room.within(ROOM):
            yield
    except (MemoryError, pa.ArrowMemoryError):
        raise _Refused(f"{what} of it ask for more than {ROOM:,} bytes. {way_out}") from None


def _values(stream: IO[bytes], head: bytes) -> "Iterator[object]":
    """Each row, within the room that there is.

    What a file says of the places in it is looked at first: a text that began outside of it would be read all the same,
    from whatever this process holds there.
    """
    rows, batches = (f"{BATCH} rows", "Cut them, or write them as JSON Lines."), _batches(stream, head)
    at_once = rows if head.startswith(b"PAR1") else ("the rows of one batch", SMALLER)
    while True:
        with _room(*at_once):
            batch = next(batches, None)
            if batch is None:
                return
            batch.validate(full=True)
        if twice := _twice(list(batch.schema)):
            raise _Refused(
                f"the column {shorten(repr(twice), 100)} stands in it twice. Name one otherwise, or drop it."
            )
        for start in range(0, batch.num_rows, BATCH):
            with _room(*rows):
                found = batch.slice(start, BATCH).to_pylist()
            yield from found


def _twice(fields: "Sequence[pa.Field]") -> str:
    """The name of a column, or of a part of one, that another beside it has too; empty where each has its own."""
    names = [one.name for one in fields]
    seen = set[str]()
    for name in names:
        if name in seen:
            return name or "without a name"
        seen.add(name)
    inner = ([one.type.field(number) for number in range(one.type.num_fields)] for one in fields)
    return next((found for parts in inner if (found := _twice(parts))), "")


def _batches(stream: IO[bytes], head: bytes) -> "Iterator[pa.RecordBatch]":
    import pyarrow as pa
    from pyarrow import parquet

    alone = pa.ipc.IpcReadOptions(use_threads=False)  # its threads would have to start within the room
    if head.startswith(b"PAR1"):
        file = parquet.ParquetFile(stream, pre_buffer=False, buffer_size=BUFFER)  # else a group of rows is read whole
        yield from file.iter_batches(batch_size=BATCH, use_threads=False)
    elif head.startswith(b"ARROW1"):
        with pa.ipc.open_file(stream, options=alone) as opened:
            for number in range(opened.num_record_batches):
                yield opened.get_batch(number)
    else:
        with pa.ipc.open_stream(stream, options=alone) as opened:
            yield from opened


def _size(value: object) -> int:
    """Characters of a row, and one for each of its values."""
    if isinstance(value, str | bytes):
        return len(value)
    if isinstance(value, Mapping):
        return sum(len(str(name)) + _size(one) for name, one in value.items())
    if isinstance(value, list | tuple):
        return len(value) + sum(map(_size, value))
    return 1


def _json(value: object) -> Json:
    """A cell of a column as JSON says it; what JSON has no value for is text."""
    if isinstance(value, Mapping):
        return {str(name): _json(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_json(one) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return str(value)  # dates, decimals
