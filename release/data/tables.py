"""Rows out of tables: CSV and TSV, and, where pyarrow is installed, Parquet, Arrow and what zstd packed."""

import csv
import importlib.util
import io
import itertools
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, cast

from gates import strict_json
from gates.canonical import Json
from release.values.errors import ConfigError, DataError

if TYPE_CHECKING:
    import pyarrow as pa

SEPARATORS = ",;\t|"
CELL = 10_000_000  # characters, as of a row
INDEX = "index"
"""What pandas writes first and without a name: the number of each row."""
BATCH = 256  # rows that are held at once
JSON_IN_CELLS = ("[", "{")
WORDS: Mapping[str, bool] = {"true": True, "false": False}


def of_cells(path: Path) -> bool:
    """Whether a file's name says that it is CSV or TSV, packed or not."""
    return bool({".csv", ".tsv"} & set(map(str.lower, path.suffixes[-2:])))


def cells(text: io.TextIOWrapper, path: Path) -> Iterator[tuple[int, dict[str, Json] | str]]:
    """Each row below the heading with the line it begins on; a text says what is wrong with it.

    An empty cell is none. A cell that is a JSON list or object is that, and the words true and false are.
    """
    csv.field_size_limit(CELL)
    first = text.readline()
    tabs = ".tsv" in map(str.lower, path.suffixes)
    mark = "\t" if tabs else max(SEPARATORS, key=lambda one: (first.count(one), -SEPARATORS.index(one)))
    reader = csv.reader(itertools.chain([first] if first else [], text), delimiter=mark, strict=True)
    line = 1
    try:
        heading = next(reader, [])
        if heading[:1] == [""] and INDEX not in heading:
            heading[0] = INDEX
        if len(set(heading)) < len(heading) or "" in heading:
            raise DataError(f"{path} line 1: the heading {heading!r} names a column twice or not at all.")
        line = reader.line_num + 1
        for row in reader:
            if row and len(row) != len(heading):
                yield line, f"{len(row)} cells where the heading has {len(heading)}. Put quotes around its texts"
            elif row:
                yield line, {name: _cell(one) for name, one in zip(heading, row, strict=True) if one}
            line = reader.line_num + 1
    except csv.Error as error:
        yield line, f"it is not CSV: {error}. Save the file as CSV again, in UTF-8, or as JSON Lines"


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
        for batch in _batches(stream, head):
            for start in range(0, batch.num_rows, BATCH):
                yield from map(_json, batch.slice(start, BATCH).to_pylist())
    except (pa.ArrowException, OSError) as error:
        why = str(error).partition("\n")[0][:200]
        raise DataError(f"{path} cannot be read: {why}. Write it again, or export its rows as JSON Lines.") from None


def _batches(stream: IO[bytes], head: bytes) -> "Iterator[pa.RecordBatch]":
    import pyarrow as pa
    from pyarrow import parquet

    if head.startswith(b"PAR1"):
        yield from parquet.ParquetFile(stream).iter_batches(batch_size=BATCH)
    elif head.startswith(b"ARROW1"):
        with pa.ipc.open_file(stream) as opened:
            for number in range(opened.num_record_batches):
                yield opened.get_batch(number)
    else:
        with pa.ipc.open_stream(stream) as opened:
            yield from opened


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
