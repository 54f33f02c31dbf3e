"""Files of any format become one canonical file, and what was set aside on the way is told."""

import json
from pathlib import Path

import pytest

from release.data import convert
from release.data.dataset import Account
from release.data.turns import How
from release.values.errors import ConfigError
from tests.helpers.line import adapter_release
from tests.release.data.test_dataset import FILES, MESSAGES, rows
from tests.release.data.test_formats import by


def test_files_joined_have_each_id_once() -> None:
    files = [FILES / "chat_as_one_array.json"] * 2
    joined = convert.joined([Account(file, How()) for file in files])

    assert [one.row["id"] for one in joined] == ["one", "chat_as_one_array-00002"]


def test_a_folder_that_is_not_there_is_made_and_one_that_cannot_be_is_named(tmp_path: Path) -> None:
    source = tmp_path / "all.jsonl"
    source.write_bytes((FILES / "sharegpt.jsonl").read_bytes())
    convert.to_file([source], tmp_path / "new" / "rows.jsonl", convert.Wanted())

    assert (tmp_path / "new" / "rows.jsonl").exists()
    with pytest.raises(ConfigError, match=r"rows\.jsonl cannot be written: "):
        convert.to_file([source], source / "rows.jsonl", convert.Wanted())


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
    assert "system text put at the start of the next user message: 1 row" in done.stderr
    assert "left as they are: 1 row (no-user), because no user message follows their system message" in done.stderr
    assert convert.without_system(target.read_bytes()) == (target.read_bytes(), 0, ["no-user"])


def test_without_being_asked_no_system_text_is_moved(tmp_path: Path) -> None:
    target = tmp_path / "rows.jsonl"
    lines = convert.to_file([FILES / "chat.jsonl"], target, convert.Wanted(form="chat"))

    assert [row["messages"] for row in rows(target.read_bytes())] == [MESSAGES]
    assert "system" not in "\n".join(lines)


def test_half_of_a_surrogate_pair_is_refused_by_the_command(tmp_path: Path) -> None:
    (tmp_path / "all.jsonl").write_text('{"prompt": "Is it?", "completion": "\\udc00"}\n', "utf-8")
    done = adapter_release("data", "convert", "all.jsonl", "--to", "rows.jsonl", cwd=tmp_path)

    assert done.returncode == 3
    assert "all.jsonl line 1: lone_surrogate" in done.stderr
    assert not (tmp_path / "rows.jsonl").exists()
