"""Whatever rows are packed in, they are the same rows; what is no file of rows is refused with what to do."""

import bz2
import csv
import gzip
import io
import json
import lzma
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from release.data import containers, convert, dataset, formats, split
from release.values.errors import ConfigError, DataError, Stop

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
        ("a.json", json.dumps(ROWS, indent=1)[:-1] + ", nul]", "line 26: syntax: "),
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

    with pytest.raises(DataError, match="cannot be unpacked: .* Fetch it again"):
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


PIECES = st.sampled_from([
    b"{", b"}", b"[", b"]", b'"', b":", b",", b"\n", b"\r", b"\r\n", b"\\ud83d", b"\\", b"\xff", b"\0", b"\xef\xbb\xbf", b"\xff\xfe",
    b"null", b"true", b"1e999", b"NaN", b"9" * 30, b" ", b"\t", b"\x1f\x8b", b"PAR1", b"BZh9", b"\x28\xb5\x2f\xfd", b"\xe2\x80\xa8",
    b'"prompt"', b'"completion"', b'"messages"', b'"role"', b'"content"', b'"user"', b'"assistant"', b'"label"', b'"weight"',
    b'"instruction"', b'"output"', b'"conversations"', b'"from"', b'"value"', b'"gpt"', b'"human"', b'"id"', b'"meta"', b'"rating"',
    b'{"prompt": "Is it?", "completion": "Yes."}', b'{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}',
    b'{"instruction": "\\ud83d", "output": "x"}', b'{"prompt": "1?", "gold": "x", "support": []}', b"prompt,completion\n", b'{"data": [{',
])  # fmt: skip
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["user", "gpt", "[{}]"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["role", "content", "from", "value", "text", "type", "parts", "a.b", ""]), inner, max_size=3
        )
    ),
    max_leaves=8,
)
KEYS = st.sampled_from([
    "messages", "prompt", "completion", "gold", "conversations", "instruction", "output", "input", "history", "query", "answer",
    "documents", "contents", "chosen", "rejected", "label", "weight", "rating", "id", "tags", "support", "answerable", "meta",
    "system", "tools", "images", "openai_moderation", "body", "question", "response", "contexts", "text", "frage",
])  # fmt: skip


def lines_of(rows: list[dict[str, object]]) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def tried(folder: Path, data: bytes, suffix: str, form: str) -> None:
    """Convert, then split and load: each ends well or with a reason, and what was written is accepted."""
    source, target = folder / f"rows{suffix}", folder / "out.jsonl"
    source.write_bytes(data)
    for old in (target, folder / "t.jsonl", folder / "g.jsonl"):
        old.unlink(missing_ok=True)
    commands: list[Callable[[], object]] = [
        lambda: convert.to_file([source], target, convert.Wanted(form=form, system_to_user=len(data) % 2 == 0)),
        lambda: split.to_files(source, (folder / "t.jsonl", folder / "g.jsonl"), split.Wanted(share=0.5, seed=1)),
        lambda: dataset.load(source, form),
    ]
    for command in commands:
        try:
            command()
        except Stop as stop:
            assert str(stop)
    if target.exists():
        again = dataset.read(target)
        assert (again.form, again.told) == ("canonical", ())
        assert again.rows


@given(st.lists(PIECES, max_size=12).map(b"".join), st.sampled_from([".jsonl", ".json", ".csv", ".tsv", ".parquet"]),
       st.sampled_from(formats.FORMS))  # fmt: skip
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
def test_no_bytes_end_in_a_traceback(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, suffix: str, form: str
) -> None:
    tried(tmp_path_factory.getbasetemp(), data, suffix, form)


@given(
    st.lists(st.dictionaries(KEYS, VALUES, min_size=1, max_size=5), min_size=1, max_size=3),
    st.sampled_from(formats.FORMS),
)
@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
def test_no_rows_end_in_a_traceback(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, object]], form: str
) -> None:
    tried(tmp_path_factory.getbasetemp(), lines_of(rows), ".jsonl", form)
