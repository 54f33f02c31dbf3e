"""Every format becomes the same canonical rows; every bad row is named by file and line; nothing is lost on the way."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import gates
from release.data import data_report, dataset, formats
from release.values.errors import ConfigError, DataError
from tests.helpers.line import ROOT, adapter_release

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
    read = formats.read(FILES / name, form)
    (row,) = rows(read.canonical)

    assert row["messages"] == MESSAGES
    assert row["meta"] == {"source": "quiz"}
    assert read.apart == {"source": 1}


@pytest.mark.parametrize(("name", "form"), SAME)
def test_what_was_converted_reads_as_canonical_and_stays_as_it_is(tmp_path: Path, name: str, form: str) -> None:
    first = formats.read(FILES / name, form)
    path = tmp_path / "rows.jsonl"
    path.write_bytes(first.canonical)
    again = formats.read(path)

    assert (again.form, again.canonical, again.rows) == ("canonical", first.canonical, first.rows)
    assert gates.read_golden(path) == first.rows


def test_a_json_array_is_read_as_its_items() -> None:
    (row,) = formats.read(FILES / "chat_as_one_array.json").rows

    assert (row.id, row.gold) == ("one", ANSWER)


def test_a_field_map_names_the_keys_of_other_files() -> None:
    fields = {"id": "key", "prompt": "asked.text", "completion": "response", "documents": "found"}
    (row,) = formats.read(FILES / "own_names.jsonl", "prompt_completion", fields).rows

    assert (row.id, row.prompt[-1]["content"], row.gold) == ("7", "What is the symbol of gold?", ANSWER)
    assert [dict(one) for one in row.documents] == [
        {"id": 3, "content": "The symbol of gold is Au.", "text": "The symbol of gold is Au."}
    ]


def test_an_archive_keeps_what_was_liked_and_says_what_was_not() -> None:
    by_number = formats.read(FILES / "archive_rated.jsonl", least=1)

    assert [row.id for row in by_number.rows] == ["q1", "q2", "q3", "q5"]
    assert by_number.below == (4, 6)
    assert by_number.rows[0].prompt[-1]["content"] == "[1] The symbol of gold is Au.\n\nQuestion 1?"


@pytest.mark.parametrize("path", sorted((FILES / "faults").iterdir()), ids=lambda path: path.stem)
def test_a_bad_row_is_named_by_file_and_line(path: Path) -> None:
    with pytest.raises(DataError) as raised:
        formats.read(path, least=1 if "rating" in path.stem else None)

    assert f"{path} line 2: " in str(raised.value)
    assert "line 1:" not in str(raised.value)
    assert "Nothing was written" in str(raised.value)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("byte_order_mark.jsonl", "line 1: bom: .* without a byte order mark"),
        ("utf_16.jsonl", "line 1: not_utf8: .* Save the file as UTF-8"),
        ("array_with_nan.json", r"array_with_nan\.json: non_finite: NaN is not JSON"),
        ("array_cut.json", r"array_cut\.json: truncated: "),
        ("array_of_numbers.json", "line 1: it is 1, not a JSON object"),
        ("comma_separated.jsonl", "line 2: syntax: .* Write one JSON object a line"),
        ("only_carriage_returns.jsonl", "line 1: trailing_text"),
        (".", "cannot be read: Is a directory"),
        ("nowhere.jsonl", "cannot be read: No such file"),
    ],
)
def test_a_file_that_is_no_rows_is_refused_with_what_to_do(name: str, said: str) -> None:
    with pytest.raises(DataError, match=said):
        formats.read(FILES / "whole" / name)


def test_a_row_longer_than_any_context_is_refused_in_a_second(tmp_path: Path) -> None:
    """A hundred megabytes on one line."""
    path = tmp_path / "long.jsonl"
    path.write_text('{"prompt": "One?", "completion": "1"}\n{"prompt": "' + "x" * 100_000_000 + '"}\n', "utf-8")

    with pytest.raises(DataError, match=r"line 2: too_long: .* Leave the row out"):
        formats.read(path)


def test_line_ends_of_windows_are_read_and_kept_as_they_are() -> None:
    path = FILES / "whole" / "windows_line_ends.jsonl"

    assert formats.read(path).canonical == path.read_bytes()
    assert len(formats.read(path).rows) == 2


def test_files_joined_have_each_id_once() -> None:
    data, reads = formats.convert([FILES / "chat_as_one_array.json"] * 2, "auto", {})

    assert len(reads) == 2
    assert [row["id"] for row in rows(data)] == ["one", "chat_as_one_array-00002"]


def test_a_dataset_of_another_format_is_loaded_as_canonical_bytes(tmp_path: Path) -> None:
    loaded = dataset.load(FILES / "sharegpt.jsonl")
    path = tmp_path / "rows.jsonl"
    path.write_bytes(loaded.canonical)

    assert dataset.load(path).sha256 == loaded.sha256
    assert dataset.load(path).rows == loaded.rows


def archive(folder: Path, answerable: list[bool], *, same_question: int = 0) -> formats.Read:
    path = folder / "all.jsonl"
    lines = [
        {"id": f"r{n}", "prompt": f"Question {n % same_question if same_question else n}?", "completion": "x",
         "documents": ["d"], "answerable": label, "support": [1] if label else [], "topic": f"t{n % 7}"}
        for n, label in enumerate(answerable)
    ]  # fmt: skip
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    return formats.read(path)


@given(st.lists(st.booleans(), min_size=30, max_size=80), st.integers(0, 5))
@settings(max_examples=25, deadline=None)
def test_a_split_loses_nothing_and_keeps_the_labels_share(
    tmp_path_factory: pytest.TempPathFactory, answerable: list[bool], seed: int
) -> None:
    read = archive(tmp_path_factory.mktemp("split"), answerable)
    train, golden = formats.split(read, 0.2, seed)

    assert sorted(train.splitlines() + golden.splitlines()) == sorted(read.canonical.splitlines())
    taken = Counter(row["answerable"] for row in rows(golden))
    assert all(abs(taken[label] - 0.2 * answerable.count(label)) <= 1 for label in (True, False))
    assert formats.split(read, 0.2, seed) == (train, golden)


@pytest.mark.parametrize("group", [None, "meta.topic"])
def test_what_belongs_together_is_never_split(tmp_path: Path, group: str | None) -> None:
    read = archive(tmp_path, [n % 3 > 0 for n in range(70)], same_question=0 if group else 25)
    train, golden = (rows(data) for data in formats.split(read, 0.3, 1, group))

    def keys(some: list[dict[str, Any]]) -> set[str]:
        return {row["meta"]["topic"] if group else row["messages"][-2]["content"] for row in some}

    assert golden
    assert not keys(train) & keys(golden)


def test_a_split_that_leaves_nothing_or_writes_over_something_is_refused(tmp_path: Path) -> None:
    archive(tmp_path, [True])
    source, train, golden = (tmp_path / f"{name}.jsonl" for name in ("all", "train", "golden"))

    with pytest.raises(DataError, match=r"has 1 rows, and a share of 0\.2 of them leaves no row to judge by"):
        data_report.split(source, (train, golden), 0.2, 1, None)
    with pytest.raises(ConfigError, match="is named twice"):
        data_report.split(source, (train, train), 0.2, 1, None)
    with pytest.raises(ConfigError, match="exists already"):
        data_report.split(source, (train, source), 0.2, 1, None)
    assert not train.exists()


def test_a_folder_that_is_not_there_is_made_and_one_that_cannot_be_is_named(tmp_path: Path) -> None:
    archive(tmp_path, [True])
    source = tmp_path / "all.jsonl"
    data_report.convert([source], tmp_path / "new" / "rows.jsonl", "auto", (), None)

    assert (tmp_path / "new" / "rows.jsonl").exists()
    with pytest.raises(ConfigError, match=r"rows\.jsonl cannot be written: "):
        data_report.convert([source], source / "rows.jsonl", "auto", (), None)


def test_a_share_that_is_none_and_a_group_that_is_missing_are_refused(tmp_path: Path) -> None:
    read = archive(tmp_path, [True, False])

    with pytest.raises(ConfigError, match="--share is 20"):
        formats.split(read, 20, 1)
    with pytest.raises(DataError, match=r"Row r0 has no meta\.subject"):
        formats.split(read, 0.5, 1, "meta.subject")


def by(*messages: str) -> list[dict[str, str]]:
    """Messages written as role and text, such as ``user: Is it?``."""
    return [dict(zip(("role", "content"), one.split(": ", 1), strict=True)) for one in messages]


@pytest.mark.parametrize(
    ("given", "moved"),
    [
        (["system: S", "user: U", "assistant: A"], ["user: S\n\nU", "assistant: A"]),
        (["system: S", "system: T", "user: U", "assistant: A"], ["user: S\n\nT\n\nU", "assistant: A"]),
        (
            ["system: S", "user: U", "assistant: A", "user: V", "assistant: B"],
            ["user: S\n\nU", "assistant: A", "user: V", "assistant: B"],
        ),
        (
            ["user: U", "assistant: A", "system: S", "user: V", "assistant: B"],
            ["user: U", "assistant: A", "user: S\n\nV", "assistant: B"],
        ),
        (["system: S", "assistant: A", "user: U"], ["assistant: A", "user: S\n\nU"]),
        (["user: U", "assistant: A"], ["user: U", "assistant: A"]),
        (["system: S", "assistant: A"], None),
        (["system: S", "user: U", "system: T", "assistant: A"], None),
        ([], []),
    ],
)
def test_system_text_goes_to_the_start_of_the_next_user_message(given: list[str], moved: list[str] | None) -> None:
    assert formats.system_to_user(by(*given)) == (None if moved is None else by(*moved))


def test_a_file_is_converted_to_rows_without_system_messages_and_what_was_left_is_told(tmp_path: Path) -> None:
    source, target = tmp_path / "rows.jsonl", tmp_path / "moved.jsonl"
    conversations = {
        "both": by("system: Be brief.", "user: Is it?", "assistant: Yes."),
        "without": by("user: Is it?", "assistant: Yes."),
        "no-user": by("system: Be brief.", "assistant: Yes."),
    }
    kept = {"answerable": True, "documents": [{"id": 1, "text": "ü"}], "meta": {"a": 1}}
    lines = [{"id": name, "messages": messages, **kept} for name, messages in conversations.items()]
    lines.append({"id": "plain", "prompt": "Is it?", "gold": "Yes."})
    source.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    done = adapter_release("data", "convert", str(source), "--to", str(target), "--system-to-user", cwd=tmp_path)
    both, *others = rows(target.read_bytes())

    assert done.returncode == 0
    assert both == {"id": "both", "messages": by("user: Be brief.\n\nIs it?", "assistant: Yes."), **kept}
    assert others == lines[1:]
    assert "system text put at the start of the next user message: 1 rows" in done.stderr
    assert "left as they are: 1 rows (no-user), because no user message follows their system message" in done.stderr
    assert formats.without_system(target.read_bytes()) == (target.read_bytes(), 0, ["no-user"])


def test_without_being_asked_no_system_text_is_moved(tmp_path: Path) -> None:
    target = tmp_path / "rows.jsonl"
    lines = data_report.convert([FILES / "chat.jsonl"], target, "chat", (), None)

    assert [row["messages"] for row in rows(target.read_bytes())] == [MESSAGES]
    assert "system" not in "\n".join(lines)
