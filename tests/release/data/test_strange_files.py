"""Files of odd shapes, dialects and types: nothing is dropped in silence or crashes, each refusal has a way out."""

import datetime as dt
import decimal
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from release.data import convert, dataset
from release.values.errors import DataError

PAIR = {"prompt": "q", "completion": "a"}
CHAT = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
COLUMNS = {"role": ["user", "assistant"], "content": ["q", "a"]}


def row(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False) + "\n"


def converted(folder: Path, name: str, text: str | bytes) -> tuple[list[Any], str]:
    """The rows that a file becomes, which are read again, and what is told."""
    (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    told = convert.to_file([folder / name], folder / "out", convert.Wanted())
    assert len(dataset.load(folder / "out").rows)
    return [json.loads(line) for line in (folder / "out").read_bytes().splitlines()], "\n".join(told)


UNDERSTOOD: Mapping[str, tuple[str, str | bytes]] = {
    "messages as columns": ("a.jsonl", row({"messages": COLUMNS})),
    "messages as columns, under other names": (
        "a.jsonl", row({"conversations": {"from": ["human", "gpt"], "value": ["q", "a"]}}),
    ),
    "messages as a text": ("a.jsonl", row({"messages": json.dumps(CHAT)})),
    "messages in a cell": ("a.csv", 'messages\n"' + json.dumps(CHAT).replace('"', '""') + '"\n'),
    "cells parted by bars": ("a.csv", "prompt|completion\nq|a\n"),
    "UTF-16": ("a.csv", "prompt,completion\nq,a\n".encode("utf-16")),
    "UTF-32": ("a.jsonl", row(PAIR).encode("utf-32")),
    "messages of LangChain": (
        "a.jsonl", row({"messages": [{"type": "human", "content": "q"}, {"type": "ai", "content": "a"}]})
    ),
    "items of OpenAI's Responses": (
        "a.jsonl",
        row({"input": [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "q"}]}],
             "output": [{"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "a"}]}]}),
    ),
    "a system text of spaces": ("a.jsonl", row({"system": " ", "messages": CHAT})),
    "an input of spaces": ("a.jsonl", row({"instruction": "q", "input": "\n", "output": "a"})),
}  # fmt: skip


@pytest.mark.parametrize("name", UNDERSTOOD)
def test_it_is_understood(tmp_path: Path, name: str) -> None:
    made, _ = converted(tmp_path, *UNDERSTOOD[name])

    assert [one["messages"] for one in made] == [CHAT]


@pytest.mark.parametrize(
    ("key", "told"), [("\U0001f600", "\U0001f600"), ("", "''"), ("__proto__", "__proto__"), ("a\u2028b", "a\u2028b")]
)
def test_a_key_of_whatever_name_is_kept_and_told(tmp_path: Path, key: str, told: str) -> None:
    made, said = converted(tmp_path, "a.jsonl", row({**PAIR, key: "x"}))

    assert made[0]["meta"] == {key: "x"}
    assert f"kept under meta: {told} (1 row)" in said


REFUSED: Mapping[str, tuple[str, str | bytes, str]] = {
    "an answer of spaces": ("a.jsonl", row({**PAIR, "completion": " \n"}), "completion is empty; expected text"),
    "an answer of spaces in a chat": (
        "a.jsonl", row({"messages": [CHAT[0], {"role": "assistant", "content": " "}]}), "message 2 is empty",
    ),
    "an answer and nothing else": ("a.jsonl", row({"messages": CHAT[1:]}), "nothing is asked: put the question before"),
    "the same, of golden rows": (
        "a.jsonl", row({"id": "a", "messages": CHAT[1:], "answerable": False}), "nothing is asked: put the question",
    ),
    "messages, one a line": ("a.jsonl", "".join(map(row, CHAT)), "Write all messages of a conversation as one row"),
    "messages as a list of the file": ("a.json", row(CHAT), 'as one row: {"messages": [...]}'),
    "messages as columns of unequal length": (
        "a.jsonl", row({"messages": {**COLUMNS, "role": ["user"]}}), "messages is an object",
    ),
    "messages as Python shows them": ("a.csv", f'messages\n"{CHAT}"\n', "write `json.dumps(messages)`"),
    "a comma behind each row": ("a.jsonl", row(PAIR)[:-1] + ",\n", "Take the comma off the end of each line"),
    "more than a comma behind a row": ("a.jsonl", row(PAIR)[:-1] + ", x\n", "Write one JSON object a line"),
    "a row's two halves, of the same keys": (
        "a.jsonl", row({"inputs": {"messages": CHAT[:1]}, "outputs": {"messages": CHAT[1:]}}),
        "--field prompt=inputs.messages --field completion=outputs.messages",
    ),
    "rows by names like those of halves": (
        "a.json", row({"question 1": PAIR, "question 2": PAIR}), "it is one object of 2 rows by name",
    ),
    "what a model proposed, in a list": (
        "a.jsonl", row({"prompt": "q", "choices": [{"message": CHAT[1], "index": 0}]}), "no option names",
    ),
    "annotations in a list": (
        "a.json", row([{"data": {"q": "q"}, "annotations": [{"result": [{"value": ["a"]}]}]}]), "no option names",
    ),
    "messages of other names in a list": (
        "a.jsonl", row({"talk": [{"who": "user", "said": "q"}]}), "--format chat --field messages=talk",
    ),
    "a row as a text": ("a.jsonl", row(json.dumps(PAIR)), "JSON within a text: write it without the quotes around it"),
    "a second byte order mark": ("a.jsonl", "\ufeff" + row(PAIR) + "\ufeff" + row(PAIR), "line 2: bom: the text"),
    "record separators": ("a.json-seq", "\x1e" + row(PAIR), "take the record separators (U+001E) out"),
    "a code fence": ("a.jsonl", "```json\n" + row(PAIR) + "```\n", "Take the lines with the fence out"),
    "pandas' split": (
        "a.json", row({"columns": ["prompt"], "index": [0], "data": [["q"]]}), "orient='records', lines=True",
    ),
    "a page of the viewer": (
        "a.json", row({"features": [], "rows": [{"row_idx": 0, "row": PAIR}]}), "Write what stands under `row`",
    ),
    "a heading with spaces": ("a.csv", " prompt , completion \nq,a\n", "--field 'prompt= prompt '"),
    "keys with a quote": (
        "a.jsonl", row({"the prompt's": "q", "answer": "a"}), """--field 'prompt=the prompt'"'"'s'""",
    ),
    "Excel's line of the separator": ("a.csv", "sep=,\nprompt,completion\nq,a\n", "take out what stands before it"),
    "a title above the heading": ("a.csv", "Report,\nprompt,completion\nq,a\n", "take out what stands before it"),
    "a comment above the heading": ("a.csv", "# ours\nprompt,completion\nq,a\n", "take out what stands before it"),
    "a column twice": ("a.csv", "prompt,completion,completion\nq,a,b\n", "name or drop the others"),
    "a key twice, deep inside": (
        "a.jsonl", '{"messages":[{"role":"user","content":"a","content":"b"}]}', "'content' stands twice",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_it_is_refused_with_a_way_out(tmp_path: Path, name: str) -> None:
    file, text, says = REFUSED[name]
    with pytest.raises(DataError) as raised:
        converted(tmp_path, file, text)
    assert says in str(raised.value)
    assert not (tmp_path / "out").exists()


TYPES: Mapping[str, tuple[Any, Any]] = {
    "a moment, to a billionth": (pa.array([1], pa.timestamp("ns")), "1970-01-01 00:00:00.000000001"),
    "a moment somewhere": (
        pa.array([dt.datetime(2024, 1, 1, tzinfo=dt.UTC)], pa.timestamp("us", "Europe/Berlin")),
        "2024-01-01 01:00:00+01:00",
    ),
    "a day": (pa.array([dt.date(2024, 1, 1)]), "2024-01-01"),
    "a span": (pa.array([dt.timedelta(days=1)]), "1 day, 0:00:00"),
    "months, days and nanoseconds": (pa.array([pa.MonthDayNano([1, 2, 3])]), [1, 2, 3]),
    "a decimal": (pa.array([decimal.Decimal("1.20")]), "1.20"),
    "a number beyond the signed": (pa.array([2**64 - 1], pa.uint64()), 2**64 - 1),
    "words by number": (pa.array(["x"]).dictionary_encode(), "x"),
    "a map": (pa.array([[("a", 1)]], pa.map_(pa.string(), pa.int64())), [["a", 1]]),
    "parts that are null": (pa.array([{"a": None, "b": [1]}]), {"a": None, "b": [1]}),
}


@pytest.mark.parametrize("name", TYPES)
def test_a_column_of_whatever_type_is_kept(tmp_path: Path, name: str) -> None:
    column, value = TYPES[name]
    write(tmp_path / "rows.arrow", {"prompt": pa.array(["q"]), "completion": pa.array(["a"]), "more": column})

    made, said = converted(tmp_path, "a.arrow", (tmp_path / "rows.arrow").read_bytes())

    assert made[0]["meta"] == {"more": value}
    assert "kept under meta: more (1 row)" in said


def write(path: Path, columns: Mapping[str, Any]) -> None:
    table = pa.table(dict(columns))
    with pa.ipc.new_stream(path, table.schema) as file:
        file.write_table(table)


TWICE = pa.StructArray.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"])


@pytest.mark.parametrize(
    ("column", "name", "says"),
    [
        (pa.array(["b"]), "completion", "the column 'completion' stands in it twice. Name one otherwise, or drop it"),
        (TWICE, "more", "the column 'a' stands in it twice"),
        (pa.ListArray.from_arrays([0, 1], TWICE), "more", "the column 'a' stands in it twice"),
        (pa.array([2**62], pa.timestamp("s")), "more", "export its rows as JSON Lines"),
        (pa.array([1], pa.timestamp("ns", "Nowhere/City")), "more", "export its rows as JSON Lines"),
    ],
)
def test_a_column_that_cannot_be_kept_is_refused(tmp_path: Path, column: Any, name: str, says: str) -> None:
    table = pa.Table.from_arrays([pa.array(["q"]), pa.array(["a"]), column], names=["prompt", "completion", name])
    with pa.ipc.new_stream(tmp_path / "a.arrow", table.schema) as file:
        file.write_table(table)

    with pytest.raises(DataError) as raised:
        converted(tmp_path, "a.arrow", (tmp_path / "a.arrow").read_bytes())
    assert says in str(raised.value)


def test_the_same_of_parquet(tmp_path: Path) -> None:
    names = ["prompt", "completion", "completion"]
    parquet.write_table(pa.Table.from_arrays([pa.array([one]) for one in "qab"], names=names), tmp_path / "a.parquet")

    with pytest.raises(DataError, match="'completion' stands in it twice"):
        converted(tmp_path, "a.parquet", (tmp_path / "a.parquet").read_bytes())
