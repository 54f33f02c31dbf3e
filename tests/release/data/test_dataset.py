"""Every format becomes the same canonical rows; every bad row is named by file and line; nothing is lost on the way."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

import gates
from release.data import containers, dataset
from release.values.errors import DataError
from tests.helpers.line import ROOT

FILES = ROOT / "tests" / "data" / "formats"
ANSWER = '{"answer":"Au [1].","citations":[1]}'
MESSAGES = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "What is the symbol of gold?"},
    {"role": "assistant", "content": ANSWER},
]
SAME = (
    ("chat.jsonl", "chat"),
    ("prompt_completion.jsonl", "auto"),
    ("prompt_completion_messages.jsonl", "auto"),
    ("answer_as_object.jsonl", "auto"),
    ("sharegpt.jsonl", "auto"),
    ("alpaca.jsonl", "auto"),
    ("archive.jsonl", "auto"),
)


def rows(data: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in data.splitlines()]


@pytest.mark.parametrize(("name", "form"), SAME)
def test_every_format_becomes_the_same_row(name: str, form: str) -> None:
    read = dataset.read(FILES / name, form)
    (row,) = rows(read.canonical)

    assert row["messages"] == MESSAGES
    assert row["meta"] == {"source": "quiz"}
    assert read.told == ("kept under meta: source (1 row)",)


@pytest.mark.parametrize(("name", "form"), SAME)
def test_what_was_converted_reads_as_canonical_and_stays_as_it_is(tmp_path: Path, name: str, form: str) -> None:
    first = dataset.read(FILES / name, form)
    path = tmp_path / "rows.jsonl"
    path.write_bytes(first.canonical)
    again = dataset.read(path)

    assert (again.form, again.canonical, again.rows) == ("canonical", first.canonical, first.rows)
    assert gates.read_golden(path) == first.rows


def test_a_json_array_is_read_as_its_items() -> None:
    (row,) = dataset.read(FILES / "chat_as_one_array.json").rows

    assert (row.id, row.gold) == ("one", ANSWER)


def test_a_field_map_names_the_keys_of_other_files() -> None:
    fields = {"id": "key", "prompt": "asked.text", "completion": "response", "documents": "found"}
    (row,) = dataset.read(FILES / "own_names.jsonl", "prompt_completion", fields).rows

    assert (row.id, row.prompt[-1]["content"], row.gold) == ("7", "What is the symbol of gold?", ANSWER)
    assert [dict(one) for one in row.documents] == [
        {"id": 3, "content": "The symbol of gold is Au.", "text": "The symbol of gold is Au."}
    ]


def test_an_archive_keeps_what_was_liked_and_says_what_was_not() -> None:
    by_number = dataset.read(FILES / "archive_rated.jsonl", least=1)

    assert [row.id for row in by_number.rows] == ["q1", "q2", "q3", "q5"]
    assert "left out: 2 rows rated below 1 or not at all, lines 4, 6" in by_number.told
    assert by_number.rows[0].prompt[-1]["content"] == "[1] The symbol of gold is Au.\n\nQuestion 1?"


@pytest.mark.parametrize("path", sorted((FILES / "faults").iterdir()), ids=lambda path: path.stem)
def test_a_bad_row_is_named_by_file_and_line(path: Path) -> None:
    with pytest.raises(DataError) as raised:
        dataset.read(path, least=1 if "rating" in path.stem else None)

    assert f"{path} line 2: " in str(raised.value)
    assert "line 1:" not in str(raised.value)
    assert "Nothing was written" in str(raised.value)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("array_with_nan.json", r"array_with_nan\.json line 1: non_finite: NaN is not JSON"),
        ("array_cut.json", r"array_cut\.json line 1: truncated: "),
        ("array_of_numbers.json", "line 1: not_object: .* Write one JSON object a line"),
        ("comma_separated.jsonl", r"line 1: .* It looks like CSV: name the file \.csv"),
        ("only_carriage_returns.jsonl", "line 1: trailing_text: .* End each line with a line feed"),
        (".", "cannot be read: Is a directory"),
        ("nowhere.jsonl", "cannot be read: No such file"),
    ],
)
def test_a_file_that_is_no_rows_is_refused_with_what_to_do(name: str, said: str) -> None:
    with pytest.raises(DataError, match=said):
        dataset.read(FILES / "whole" / name)


def test_a_row_longer_than_any_context_is_refused_in_a_second(tmp_path: Path) -> None:
    """A hundred megabytes on one line."""
    path = tmp_path / "long.jsonl"
    path.write_text('{"prompt": "One?", "completion": "1"}\n{"prompt": "' + "x" * 100_000_000 + '"}\n', "utf-8")

    with pytest.raises(DataError, match=r"line 2: too_long: .* Leave the row out"):
        dataset.read(path)


def test_line_ends_of_windows_are_read_and_kept_as_they_are() -> None:
    path = FILES / "whole" / "windows_line_ends.jsonl"

    assert dataset.read(path).canonical == path.read_bytes()
    assert len(dataset.read(path).rows) == 2


def test_a_dataset_of_another_format_is_loaded_as_canonical_bytes(tmp_path: Path) -> None:
    loaded = dataset.load(FILES / "sharegpt.jsonl")
    path = tmp_path / "rows.jsonl"
    path.write_bytes(loaded.canonical)

    assert dataset.load(path).sha256 == loaded.sha256
    assert dataset.load(path).rows == loaded.rows


HALF = "\\ud800"
HALVES = {
    "chat": '{"messages": [{"role": "user", "content": "Is HALF it?"}, {"role": "assistant", "content": "Yes."}]}',
    "canonical_prompt": '{"prompt": "Is HALF it?", "gold": "Yes."}',
    "canonical_id": '{"id": "HALF", "prompt": "Is it?", "gold": "Yes."}',
    "canonical_document": '{"prompt": "Is it?", "gold": "Yes.", "documents": [{"id": 1, "text": "HALF"}]}',
    "meta_key": '{"prompt": "Is it?", "gold": "Yes.", "meta": {"HALF": 1}}',
    "prompt_completion": '{"prompt": "Is HALF it?", "completion": "Yes."}',
    "completion_object": '{"prompt": "Is it?", "completion": {"answer": "HALF"}}',
    "sharegpt": '{"conversations": [{"from": "human", "value": "HALF"}, {"from": "gpt", "value": "Yes."}]}',
    "sharegpt_system": '{"conversations": [{"from": "system", "value": "HALF"}, {"from": "gpt", "value": "Yes."}]}',
    "alpaca_system": '{"system": "HALF", "instruction": "Is it?", "output": "Yes."}',
    "sharegpt_id": '{"id": "HALF", "conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]}',
    "alpaca": '{"instruction": "Is it?", "input": "HALF", "output": "Yes."}',
    "alpaca_history": '{"instruction": "Is it?", "output": "Yes.", "history": [["HALF", "b"]]}',
    "archive": '{"query": "Is it?", "answer": "Yes.", "documents": ["HALF"], "rating": 1}',
    "kept_apart": '{"prompt": "Is it?", "completion": "Yes.", "url": "HALF"}',
}  # fmt: skip


@pytest.mark.parametrize("name", HALVES)
@pytest.mark.parametrize("as_array", [False, True], ids=["lines", "array"])
def test_half_of_a_surrogate_pair_is_named_by_line_in_every_format(tmp_path: Path, name: str, as_array: bool) -> None:
    """JSON can write it, and no tokenizer, file or digest can hold it."""
    path = tmp_path / "rows.jsonl"
    sound, faulty = (HALVES[name].replace("HALF", said) for said in ("whole", HALF))
    path.write_text(f"[{sound},\n{faulty}]" if as_array else f"{sound}\n{faulty}\n", "utf-8")

    with pytest.raises(DataError) as raised:
        dataset.load(path)

    said = f"{path} line 2: lone_surrogate: half of a surrogate pair. {containers.ADVICE['lone_surrogate']}"
    assert str(raised.value).splitlines() == [said, "Nothing was written. Mend the rows and run again."]


def test_an_array_on_one_line_is_read_as_its_items_too(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    path.write_text(f"[{HALVES['sharegpt'].replace('HALF', HALF)}]", "utf-8")

    with pytest.raises(DataError, match="line 1: lone_surrogate"):
        dataset.load(path)


def test_a_whole_surrogate_pair_is_one_character(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(HALVES["sharegpt"].replace("HALF", "\\ud83d\\ude00"), "utf-8")

    assert dataset.load(path).rows[0].prompt[-1]["content"] == "\U0001f600"


def test_a_file_whose_name_is_no_utf8_gives_ids_that_are(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"caf\xe9.jsonl")
    path.write_bytes((FILES / "prompt_completion.jsonl").read_bytes())
    read = dataset.read(path)

    assert read.rows[0].id == "caf\ufffd-00001"
    assert b"\\ud" not in read.canonical
