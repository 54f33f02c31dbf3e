"""Whatever rows are packed in, they are the same rows; what is no file of rows is refused with what to do."""

import bz2
import csv
import gzip
import io
import json
import lzma
import os
import struct
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pytest
from pyarrow import feather, parquet

from release.data import containers, dataset, tables
from release.values.errors import ConfigError, DataError
from tests.helpers.line import ROOT

ROWS = [
    {"prompt": f"What is {n}\u2028 or “ü”,\nor\r\nboth?", "completion": f'{{"answer":"{n};\t"}}', "topic": f"t{n % 2}"}
    for n in range(5)
]
LINES = "".join(json.dumps(row) + "\n" for row in ROWS)


def table(separator: str) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(ROWS[0]), delimiter=separator)
    writer.writeheader()
    writer.writerows(ROWS)
    return text.getvalue().encode()


def arrow(kind: str) -> bytes:
    sink, columns = io.BytesIO(), pa.Table.from_pylist(ROWS)
    if kind == "parquet":
        parquet.write_table(columns, sink)
    else:
        with (pa.ipc.new_file if kind == "file" else pa.ipc.new_stream)(sink, columns.schema) as writer:
            writer.write_table(columns)
    return sink.getvalue()


PACKED: dict[str, bytes] = {
    "rows.jsonl": LINES.encode(),
    "rows.ndjson": LINES.replace("\n", "\r\n").encode(),
    "no_last_line_end/rows.jsonl": LINES.rstrip().encode(),
    "blank_lines/rows.jsonl": LINES.replace("\n", "\n\n \n").encode(),
    "bom/rows.jsonl": LINES.encode("utf-8-sig"),
    "utf_16/rows.jsonl": LINES.encode("utf-16"),
    "utf_32/rows.jsonl": LINES.encode("utf-32"),
    "rows.json": json.dumps(ROWS).encode(),
    "pretty/rows.json": json.dumps(ROWS, indent=2).encode(),
    "wrapped/rows.json": json.dumps({"data": ROWS}, indent=2).encode(),
    "wrapped_on_a_line/rows.json": json.dumps({"rows": ROWS}).encode(),
    "over_lines/rows.jsonl": "\n".join(json.dumps(row, indent=1) for row in ROWS).encode(),
    "rows.csv": table(","),
    "semicolons/rows.csv": table(";"),
    "bom/rows.csv": table(",").decode().encode("utf-8-sig"),
    "utf_16/rows.csv": table(",").decode().encode("utf-16"),
    "rows.tsv": table("\t"),
    "rows.parquet": arrow("parquet"),
    "rows.arrow": arrow("file"),
    "stream/rows.arrow": arrow("stream"),
    "rows.jsonl.gz": gzip.compress(LINES.encode()),
    "rows.json.gz": gzip.compress(json.dumps(ROWS).encode()),
    "rows.csv.gz": gzip.compress(table(",")),
    "rows.jsonl.bz2": bz2.compress(LINES.encode()),
    "rows.jsonl.xz": lzma.compress(LINES.encode()),
}


@pytest.mark.parametrize("name", PACKED)
def test_the_same_rows_give_the_same_bytes_in_whatever_they_are_packed(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(PACKED[name])
    plain = tmp_path / "plain" / "rows.jsonl"
    plain.parent.mkdir()
    plain.write_text(LINES, "utf-8")

    assert dataset.read(path).canonical == dataset.read(plain).canonical


def test_what_zstd_packed_is_read(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl.zst"
    with pa.OSFile(str(path), "wb") as file, pa.CompressedOutputStream(file, "zstd") as stream:
        stream.write(LINES.encode())

    assert len(dataset.read(path).rows) == 5


def test_canonical_rows_are_the_same_in_an_array_as_in_lines(tmp_path: Path) -> None:
    rows = [{"prompt": f"{n}?", "gold": "x", "documents": [{"id": 1}], "answerable": True} for n in range(3)]
    lines, array = tmp_path / "rows.jsonl", tmp_path / "rows.json"
    lines.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    array.write_text(json.dumps(rows, indent=1), "utf-8")

    assert dataset.read(lines).rows == dataset.read(array).rows
    assert dataset.read(array).form == dataset.read(lines).form == "canonical"
    assert dataset.read(lines).canonical == lines.read_bytes()


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("a.json", json.dumps([*ROWS, {"prompt": ""}], indent=1), "line 27: prompt is empty"),
        ("a.json", json.dumps(ROWS, indent=1)[:-1] + ", nul]", "line 27: syntax: "),
        ("a.json", json.dumps(ROWS, indent=1)[:-20], "line 22: truncated: "),
        ("a.json", json.dumps(ROWS)[:-1], "line 1: truncated: the array does not end"),
        ("a.json", json.dumps(ROWS) + "x", "trailing_text: 'x' after the rows"),
        ("a.json", json.dumps({"data": ROWS, "version": 1}), "trailing_text"),
        ("a.json", "[" * 100_000, "too_deep"),
        ("a.jsonl", '{"a":' * 100_000, "too_deep"),
        ("a.jsonl", "", "is empty"),
        ("a.json", "[]", "is empty"),
        ("a.jsonl", "\n\n", "is empty"),
        ("a.csv", "", "is empty"),
        ("a.csv", 'prompt,completion\na,"b\nc",d\n', "line 2: 3 cells where the heading has 2"),
        ("a.csv", "prompt,prompt\na,b\n", "names a column twice"),
        ("a.csv", 'prompt,completion\n"a"b,c\n', "line 2: it is not CSV"),
        ("a.jsonl", "<!doctype html>", "a web page"),
        ("a.jsonl", "version https://git-lfs.github.com/spec/v1\noid", "Run `git lfs pull`"),
        ("a.xlsx", "PK\x03\x04", "save the sheet as CSV"),
        ("a.bin", "a\0b", "is not text"),
        ("a.parquet", "PAR1 and nothing", "cannot be read: "),
        ("a.jsonl", '{"frage": "1?"}\n' * 500, "line 1: no format has these keys: frage"),
    ],
)
def test_a_file_that_is_not_one_of_rows_is_refused_with_the_place_and_what_to_do(
    tmp_path: Path, name: str, text: str, says: str
) -> None:
    path = tmp_path / name
    path.write_text(text, "utf-8")

    with pytest.raises(DataError) as raised:
        dataset.load(path)
    assert says in str(raised.value)
    assert len(str(raised.value)) < 2000


@pytest.mark.parametrize("name", ["rows.jsonl.gz", "rows.jsonl.bz2", "rows.jsonl.xz"])
def test_a_packed_file_that_is_cut_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(PACKED[name][:-15])

    with pytest.raises(DataError, match=r"cannot be unpacked: .* Fetch it again"):
        dataset.read(path)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("HuggingFaceH4/ultrachat_200k", "hf://datasets/HuggingFaceH4/ultrachat_200k@COMMIT/PATH"),
        ("*.jsonl", r"data convert FILE FILE --to rows\.jsonl"),
        ("rows.jsonl", "Check the path"),
    ],
)
def test_a_file_that_is_not_there_may_be_of_the_hub(tmp_path: Path, name: str, says: str) -> None:
    with pytest.raises(DataError, match=f"cannot be read: No such file.*{says}"):
        dataset.read(tmp_path / name)


def test_where_pyarrow_is_missing_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "rows.parquet"
    path.write_bytes(PACKED["rows.parquet"])
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)

    with pytest.raises(ConfigError, match=r"adapter-release\[train\]"):
        dataset.read(path)


def test_an_item_of_an_array_is_found_over_the_edges_of_what_is_read_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(containers, "PIECE", 7)
    path = tmp_path / "rows.json"
    path.write_text(json.dumps(ROWS, indent=3, ensure_ascii=False), "utf-8")

    assert [one.value for one in containers.items(path) if isinstance(one, containers.Item)] == ROWS
    assert [one.line for one in containers.items(path)] == [2, 7, 12, 17, 22]


def test_canonical_lines_are_their_own_bytes_unpacked(tmp_path: Path) -> None:
    lines = b'{"prompt": "1?",  "gold": "x"}\n{"prompt": "2?", "gold": "y"}\n'
    (tmp_path / "rows.jsonl.gz").write_bytes(gzip.compress(lines))

    assert dataset.read(tmp_path / "rows.jsonl.gz").canonical == lines


def zstd(data: bytes) -> bytes:
    return bytes(pa.Codec("zstd").compress(data, asbytes=True))


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress, zstd])
def test_a_file_that_unpacks_to_more_than_rows_do_is_not_read_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pack: Callable[[bytes], bytes]
) -> None:
    monkeypatch.setattr(containers, "PLENTY", 1 << 20)
    just = LINES.encode() + b"\n" * ((1 << 20) - len(LINES.encode()))
    (tmp_path / "just.jsonl").write_bytes(pack(just))
    (tmp_path / "more.jsonl").write_bytes(pack(just + b"\n"))

    assert len(list(containers.items(tmp_path / "just.jsonl"))) == len(ROWS)
    with pytest.raises(DataError, match="cannot be unpacked: it unpacks to more than 1,048,576 bytes"):
        list(containers.items(tmp_path / "more.jsonl"))


@pytest.mark.parametrize(
    ("row", "fits"),
    [
        (f"a,{'b' * 97}\n", True),
        (f"a,{'b' * 98}\n", False),
        ("a," + "b" * 1_000_000, False),
        ("," * 1_000_000, False),
        ('"\n",' * 1_000_000, False),
    ],
)
@pytest.mark.parametrize("first", [False, True])
def test_a_row_of_cells_has_an_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, row: str, fits: bool, first: bool
) -> None:
    monkeypatch.setattr(tables, "CELL", 100)
    path = tmp_path / "rows.csv"
    path.write_text(row * 2 if first else f"x,y\n{row}{row}", "utf-8")

    found = list(containers.items(path))

    assert [one for one in found if isinstance(one, containers.Item)] == (
        [] if not fits else [containers.Item(line=2, value={"a": "a", "b" * 97: "b" * 97})] if first else [
            containers.Item(line=line, value={"x": "a", "y": "b" * 97}) for line in (2, 3)
        ]
    )  # fmt: skip
    assert fits or "a row has more than 100 characters" in str(found[-1])
    assert csv.field_size_limit() > 100


def test_one_text_that_a_parquet_file_holds_over_and_over_asks_for_no_more_room_than_there_is(tmp_path: Path) -> None:
    again = pa.array(["x" * 9_000_000] * 64).dictionary_encode()
    columns = pa.table({"prompt": again, "completion": ["y"] * 64})
    parquet.write_table(columns, tmp_path / "rows.parquet", compression="zstd")
    nothing = pa.ListArray.from_arrays(pa.array([0, 20_000_000], pa.int32()), pa.nulls(20_000_000, pa.int8()))
    parquet.write_table(pa.table({"prompt": nothing}), tmp_path / "one.parquet")

    assert (tmp_path / "rows.parquet").stat().st_size < 10_000
    with pytest.raises(DataError, match=r"64 rows of it ask for more than 402,653,184 bytes\. Cut them"):
        list(containers.items(tmp_path / "rows.parquet"))
    with pytest.raises(DataError, match="row 1 has more than 10,000,000 characters"):
        list(containers.items(tmp_path / "one.parquet"))


def test_one_arrow_batch_that_is_too_large_is_named_as_one_with_what_makes_it_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "ROOM", 64 << 20)
    table = pa.table({"prompt": ["x" * 500_000] * 400, "completion": ["y"] * 400})
    packed = pa.ipc.IpcWriteOptions(compression="zstd")
    for name, most in (("one.arrow", None), ("some.arrow", 10)):
        with pa.ipc.new_stream(str(tmp_path / name), table.schema, options=packed) as writer:
            writer.write_table(table, max_chunksize=most)

    pool = pa.default_memory_pool()
    pa.set_memory_pool(pa.system_memory_pool())  # another one has room that it was given before
    try:
        with pytest.raises(
            DataError, match=r"the rows of one batch .* smaller batches .*max_chunksize=1000.* or as Parquet"
        ):
            list(containers.items(tmp_path / "one.arrow"))
        assert len(list(containers.items(tmp_path / "some.arrow"))) == 400
    finally:
        pa.set_memory_pool(pool)


READS = """
import sys
import tarfile
from pathlib import Path
from typing import Literal
from release.data import containers
print(sum(isinstance(one, containers.Item) for one in containers.items(Path(sys.argv[1]))))
"""


@pytest.mark.parametrize("cores", [1, 16, 64])
def test_honest_columns_are_read_on_a_machine_of_any_size(cores: int, tmp_path: Path) -> None:
    """pyarrow takes as many threads as there are cores, or as OMP_NUM_THREADS says."""
    columns = pa.table({f"c{number}": [f"{number} {row}" for row in range(3000)] for number in range(20)})
    feather.write_feather(columns, tmp_path / "rows.arrow")  # packed, as its default is
    env = {**os.environ, "OMP_NUM_THREADS": str(cores), "PYTHONPATH": str(ROOT)}

    command = [sys.executable, "-c", READS, str(tmp_path / "rows.arrow")]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout) == (0, "3000\n"), done.stderr


def test_a_parquet_file_with_all_its_rows_in_one_group_is_read(tmp_path: Path) -> None:
    texts = [f"{number} {'abcdefgh' * 1250}" for number in range(40)]
    rows = [f"{number} {texts[number % 40]}" for number in range(45_000)]
    columns = pa.table({"prompt": rows, "completion": ["y"] * len(rows)})
    parquet.write_table(columns, tmp_path / "rows.parquet", row_group_size=len(rows), use_dictionary=False)
    del columns, rows

    assert sum(1 for _ in containers.items(tmp_path / "rows.parquet")) == 45_000


@pytest.mark.parametrize("kind", ["file", "stream"])
@pytest.mark.parametrize("ends", [[0, 8, 16, 24, 3_000_000], [-900_000, 8, 16, 24, 32], [0, 8, 24, 16, 32]])
def test_a_text_of_an_arrow_file_that_lies_outside_of_it_is_not_read(
    tmp_path: Path, kind: str, ends: list[int]
) -> None:
    """It would be whatever this process holds there: another file, or a token."""
    sink = io.BytesIO()
    columns = pa.table({"prompt": pa.array([b"AAAAAAAA"] * 4, pa.binary()), "completion": ["BBBBBBBB"] * 4})
    with (pa.ipc.new_file if kind == "file" else pa.ipc.new_stream)(sink, columns.schema) as writer:
        writer.write_table(columns)
    honest, lying = struct.pack("<5i", 0, 8, 16, 24, 32), struct.pack("<5i", *ends)
    (tmp_path / "rows.arrow").write_bytes(sink.getvalue())
    (tmp_path / "lying.arrow").write_bytes(sink.getvalue().replace(honest, lying, 1))

    assert len(list(containers.items(tmp_path / "rows.arrow"))) == 4
    with pytest.raises(DataError, match="Offset invariant failure"):
        list(containers.items(tmp_path / "lying.arrow"))


def tar(mode: Literal["w", "w:gz", "w:xz"]) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode=mode) as archive:
        about = tarfile.TarInfo("rows/train.jsonl")
        about.size = len(LINES.encode())
        archive.addfile(about, io.BytesIO(LINES.encode()))
    return made.getvalue()


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:xz"])
def test_an_archive_is_named_as_one_however_it_is_packed(tmp_path: Path, mode: Literal["w", "w:gz", "w:xz"]) -> None:
    (tmp_path / "rows.tar").write_bytes(tar(mode))

    with pytest.raises(DataError, match=r"is a tar archive. Unpack it, and name the file of rows in it"):
        dataset.read(tmp_path / "rows.tar")


@pytest.mark.parametrize("column", ["PK", "PDF", "Rar!", "ORC", "7z"])
def test_a_table_whose_first_column_is_called_as_another_file_begins_is_one(tmp_path: Path, column: str) -> None:
    (tmp_path / "rows.csv").write_text(f"{column},prompt,completion\n1,What is it?,It is one.\n", "utf-8")

    assert [row.gold for row in dataset.read(tmp_path / "rows.csv").rows] == ["It is one."]


@pytest.mark.parametrize("word", ["mustard", "ustar", "ustar  ", "ustar00"])
def test_rows_that_say_ustar_where_an_archive_does_are_rows(tmp_path: Path, word: str) -> None:
    row = {"prompt": "x" * (257 - len('{"prompt": "') - word.index("u")) + word, "completion": "y"}
    (tmp_path / "rows.jsonl").write_text(json.dumps(row) + "\n", "utf-8")
    assert (tmp_path / "rows.jsonl").read_bytes()[257:262] == b"ustar"

    assert [one.gold for one in dataset.read(tmp_path / "rows.jsonl").rows] == ["y"]
