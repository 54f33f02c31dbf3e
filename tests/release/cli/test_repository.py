"""`init` and `changes` as somebody types them: questions only at a terminal, and every missing option at once."""

import os
import pty
import subprocess
import sys
from pathlib import Path

from release.values.errors import ConfigError, DataError
from tests.helpers.line import ROOT, adapter_release
from tests.release.repository.shapes import chat, write
from tests.release.repository.test_written import BASE

KNOWN = ("--base", "embedded", "--repo", "me/mine")


def test_without_a_terminal_every_missing_option_is_named_and_nothing_is_asked(tmp_path: Path) -> None:
    done = adapter_release("init", "mine", "--repo", "me/mine", cwd=tmp_path)

    assert done.returncode == ConfigError.exit_code
    assert "--base is missing" in done.stderr
    assert "--data is missing" in done.stderr
    assert "--repo is missing" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_every_answer_that_cannot_be_is_named_at_once(tmp_path: Path) -> None:
    (tmp_path / "rows").mkdir()
    options = ("--base", "a", "--repo", "b", "--data", "rows", "--golden", "none.jsonl")

    done = adapter_release("init", "mine", *options, cwd=tmp_path)

    assert done.returncode == ConfigError.exit_code
    for says in ('--base "a"', '--repo "b"', "--data rows is a folder", "--golden none.jsonl is not a file here"):
        assert says in done.stderr
    assert not (tmp_path / "mine").exists()


def test_rows_by_other_names_are_taken_by_the_options_that_the_message_names(tmp_path: Path) -> None:
    rows = [
        {"ask": row["messages"][0]["content"], "told": row["messages"][1]["content"], "documents": row["documents"]}
        for row in chat()
    ]
    write(tmp_path / "rows.jsonl", rows)

    refused = adapter_release("init", "mine", *KNOWN, "--data", "rows.jsonl", cwd=tmp_path)
    asked = "--format prompt_completion --field prompt=ask --field completion=KEY"
    typed = asked.replace("KEY", "told").split()
    done = adapter_release("init", "mine", *KNOWN, "--data", "rows.jsonl", *typed, cwd=tmp_path)
    wrong = adapter_release("init", "other", *KNOWN, "--data", "rows.jsonl", "--field", "promt=ask", cwd=tmp_path)

    assert (refused.returncode, asked in refused.stderr) == (DataError.exit_code, True), refused.stderr
    assert done.returncode == 0, done.stderr
    assert "contract.citations:" in done.stderr
    assert (wrong.returncode, "did you mean 'prompt'" in wrong.stderr) == (ConfigError.exit_code, True)


def typed(folder: Path, text: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """What `init` says at a terminal at which this is typed."""
    terminal, end = pty.openpty()
    os.write(terminal, text.encode())
    command = [sys.executable, "-m", "release.cli", "init", "mine", *arguments]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "CI": "true"}
    try:
        return subprocess.run(command, cwd=folder, env=env, stdin=end, capture_output=True, text=True, check=False)
    finally:
        os.close(terminal)
        os.close(end)


def test_at_a_terminal_three_questions_are_asked_and_again_where_an_answer_cannot_be(tmp_path: Path) -> None:
    write(tmp_path / "rows.jsonl", chat())

    done = typed(tmp_path, f"{BASE}\nnowhere.jsonl\nrows.jsonl\nme/mine\n")

    assert done.returncode == 0, done.stderr
    asked = [line for line in done.stderr.splitlines() if line.startswith("Which ")]
    assert [line.split()[1] for line in asked] == ["base", "file", "file", "repository"]
    assert "nowhere.jsonl is not a file here" in done.stderr
    for part in (
        "guessed, so look at each:",
        "contract.refusal:",
        "left to you:",
        "what comes next: cd mine && make test",
    ):
        assert part in done.stderr
    assert (tmp_path / "mine" / "release.yaml").exists()


def test_with_yes_a_terminal_is_not_asked_either_and_wrong_answers_end(tmp_path: Path) -> None:
    assert typed(tmp_path, "", "--yes").returncode == ConfigError.exit_code
    refused = typed(tmp_path, "a\nb\nc\n")
    assert refused.returncode == ConfigError.exit_code
    assert "no answer that could be taken" in refused.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_example_takes_no_rows_of_others(tmp_path: Path) -> None:
    done = adapter_release("init", "--example", "--base", BASE, "--data", "a", cwd=tmp_path)

    assert done.returncode == ConfigError.exit_code
    assert "--example has its own of all that --base and --data say" in done.stderr


def test_rows_that_are_not_json_end_with_3_and_no_name_of_a_file_acts_on_the_terminal(tmp_path: Path) -> None:
    rows = write(tmp_path / "a\n::error::\x1b[31m.jsonl", [{"prompt": "?", "completion": "It is 5."}])

    done = adapter_release("init", "mine", "--base", BASE, "--data", str(rows), "--repo", "me/mine", cwd=tmp_path)

    assert done.returncode == DataError.exit_code
    assert "No answer in these rows is a JSON object" in done.stderr
    assert "\n::error::" not in done.stderr
    assert "\x1b" not in done.stderr
    assert not (tmp_path / "mine").exists()


def test_changes_are_told_and_written_as_a_comment(tmp_path: Path) -> None:
    for folder in ("then", "now"):
        assert adapter_release("init", folder, "--example", cwd=tmp_path).returncode == 0
    golden = tmp_path / "now" / "data" / "elements" / "golden.jsonl"
    golden.write_text("".join(golden.read_text("utf-8").splitlines(keepends=True)[5:]), "utf-8")

    done = adapter_release("changes", "../then", "--markdown", "dist/changes.md", cwd=tmp_path / "now")
    nowhere = adapter_release("changes", "../them", "--markdown", "dist/changes.md", cwd=tmp_path / "now")
    absolute = adapter_release("changes", "../then", str(tmp_path / "now" / "release.yaml"), cwd=tmp_path / "now")

    assert done.returncode == 0, done.stderr
    assert "less is asked: golden set: 5 of its rows are gone" in done.stderr
    assert (nowhere.returncode, "../them is not a folder here" in nowhere.stderr) == (ConfigError.exit_code, True)
    assert "5 of its rows are gone" in (tmp_path / "now" / "dist" / "changes.md").read_text("utf-8")
    assert absolute.returncode == ConfigError.exit_code
