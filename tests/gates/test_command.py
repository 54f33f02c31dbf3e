"""`python -m gates`: files in, a table out, and an exit code that a pipeline can trust."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from gates.__main__ import main
from gates.invalid import InvalidData
from gates.rows import gold_outputs, parse_golden, parse_outputs, read_golden, read_outputs
from tests.gates.examples import DATA, REFUSAL, answer, golden_rows, write_lines

CONTRACT = str(DATA / "contract" / "contract.yaml")
BAD_LINES = json.loads((DATA / "bad_lines.json").read_text("utf-8"))


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str]:
    """A golden set and its reference answers."""
    rows = golden_rows()
    outputs = [{"id": one.id, "output": one.output} for one in gold_outputs(parse_golden(rows))]
    return str(write_lines(tmp_path / "a.jsonl", outputs)), str(write_lines(tmp_path / "g.jsonl", rows))


def test_answers_that_pass_exit_with_0_and_leave_verdict_and_report(
    files: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    verdict, summary = tmp_path / "v.json", tmp_path / "r.md"
    written = ["--json", str(verdict), "--markdown", str(summary)]
    assert main([files[0], "--golden", files[1], "--contract", CONTRACT, *written]) == 0
    assert json.loads(verdict.read_text())["passed"] is True
    assert summary.read_text("utf-8").startswith("**PASS**")
    assert "40/40 = 100.0 %" in capsys.readouterr().out


def test_a_policy_that_asks_people_is_not_passed_where_nobody_is_asked(
    files: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text("human_review: {target: 0.9}\n", "utf-8")

    assert main([files[0], "--golden", files[1], "--contract", CONTRACT, "--policy", str(policy)]) == 5

    shown = capsys.readouterr().out
    assert "PASS" in shown  # the default's gates, which are asked for beside people
    assert "human_review: not measured here" in shown


def test_answers_that_fail_exit_with_5_and_can_be_explained(
    files: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"id": row["id"], "output": REFUSAL} for row in golden_rows()]
    answers = str(write_lines(tmp_path / "refuses.jsonl", rows))
    assert main([answers, "--golden", files[1], "--contract", CONTRACT, "--explain", "answer_rate"]) == 5
    shown = capsys.readouterr().out.splitlines()
    assert {"  q00: refused", "      question  Question 0?", f"      answer    {REFUSAL}"} <= set(shown)


def test_a_golden_set_whose_own_answers_fail_judges_nobody(
    files: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = golden_rows()
    rows[0]["messages"][1]["content"] = "not JSON"
    broken = str(write_lines(tmp_path / "broken.jsonl", rows))
    assert main([files[0], "--golden", broken, "--contract", CONTRACT]) == 5
    assert "INVALID: gate zero: the reference answers do not pass json_parse: 39/40" in capsys.readouterr().out


def test_an_advisory_gate_that_the_reference_answers_fail_stops_nobody(files: tuple[str, str], tmp_path: Path) -> None:
    rows = golden_rows()
    rows[0]["support"] = [1]
    golden, bars = str(write_lines(tmp_path / "other.jsonl", rows)), tmp_path / "p.yaml"
    for required, code in (("true", 5), ("false", 0)):
        bars.write_text(f"answer_rate: {{target: 0.9}}\ncitation_recall: {{mode: zero_failures, required: {required}}}")
        assert main([files[0], "--golden", golden, "--contract", CONTRACT, "--policy", str(bars)]) == code


def test_without_arguments_the_usage_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main([])
    assert stopped.value.code == 2
    assert capsys.readouterr().err.startswith("usage: python -m gates ")


def test_a_gate_that_is_not_measured_cannot_be_explained(
    files: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main([files[0], "--golden", files[1], "--contract", CONTRACT, "--explain", "anwser_rate"])
    assert stopped.value.code == 2
    assert (
        "error: --explain anwser_rate: not measured here. Choose one of json_parse, schema_compliance, "
        in capsys.readouterr().err
    )


@pytest.mark.parametrize("path", sorted((DATA / "golden").iterdir()), ids=lambda path: path.stem)
def test_a_bad_golden_file_is_refused_by_name_and_line(path: Path) -> None:
    with pytest.raises(InvalidData) as refused:
        read_golden(path)
    assert _said(refused.value) == BAD_LINES[f"golden/{path.name}"]


@pytest.mark.parametrize("path", sorted((DATA / "answers").iterdir()), ids=lambda path: path.stem)
def test_a_bad_answers_file_exits_with_3_and_names_the_line(
    path: Path, files: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(InvalidData) as refused:
        read_outputs(path)
    assert main([str(path), "--golden", files[1], "--contract", CONTRACT]) == 3
    assert tuple(capsys.readouterr().err.splitlines()) == refused.value.problems
    assert _said(refused.value) == BAD_LINES[f"answers/{path.name}"]


def test_rows_from_elsewhere_are_refused_by_their_number() -> None:
    row = {"id": "a", "prompt": "?", "output": ""}
    with pytest.raises(InvalidData, match=r"^golden row 1: unknown key 'output'.*\ngolden row 2: "):
        parse_golden([row, row])
    with pytest.raises(InvalidData, match=r"^answers row 1: unknown key 'prompt'.*\nanswers row 2: "):
        parse_outputs([row, row])


def test_a_row_may_be_a_prompt_alone_and_is_called_by_its_line() -> None:
    bare, answered = parse_golden([{"prompt": "?"}, {"prompt": "!", "gold": "{}"}])
    assert (bare.id, bare.gold, answered.id, answered.gold) == ("line-1", None, "line-2", "{}")
    assert bare.prompt == ({"role": "user", "content": "?"},)


def test_rows_behind_a_blank_line_and_long_ones_are_read(tmp_path: Path) -> None:
    rows = [*golden_rows()[:2], {**golden_rows()[2], "meta": "x" * 200_000}]
    path = write_lines(tmp_path / "g.jsonl", rows)
    path.write_text(path.read_text("utf-8").replace("\n", "\n \n\n"), "utf-8")
    assert read_golden(path) == parse_golden(rows)


def test_a_missing_file_of_answers_exits_with_3(files: tuple[str, str], tmp_path: Path) -> None:
    assert main([str(tmp_path / "none"), "--golden", files[1], "--contract", CONTRACT]) == 3


def test_an_empty_file_of_answers_exits_with_5(files: tuple[str, str], tmp_path: Path) -> None:
    empty = write_lines(tmp_path / "empty.jsonl", [])
    assert main([str(empty), "--golden", files[1], "--contract", CONTRACT]) == 5
    assert main([str(empty), "--golden", str(empty), "--contract", CONTRACT]) == 5


def test_half_a_surrogate_in_an_output_is_the_models_fault_and_not_the_files(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"id":"a","output":"\\ud800"}\n')
    assert read_outputs(path)[0].output == "\ud800"


def test_half_a_surrogate_in_a_golden_row_is_a_fault_of_the_file(files: tuple[str, str], tmp_path: Path) -> None:
    """No tokenizer takes it, and no other program reads the row."""
    path = tmp_path / "g.jsonl"
    path.write_text(Path(files[1]).read_text("utf-8").replace("Question 0?", "\\ud800"), "utf-8")
    assert main([files[0], "--golden", str(path), "--contract", CONTRACT]) == 3


@pytest.mark.parametrize("without", [1, 40])
def test_rows_without_a_reference_answer_are_invalid_unless_one_says_so(
    without: int, files: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One reference answer left out must not switch off the proof that the gates can fail."""
    rows = golden_rows()
    for row in rows[:without]:
        del row["messages"][1]
    command = [files[0], "--golden", str(write_lines(tmp_path / "bare.jsonl", rows)), "--contract", CONTRACT]
    assert main(command) == 5
    assert f"INVALID: gate zero: {without} of 40 golden rows have no reference answer" in capsys.readouterr().out
    assert main([*command, "--without-gate-zero"]) == 0
    assert capsys.readouterr().err == "gate zero was not run: nothing proves that a gate can fail\n"


def test_a_number_in_a_policy_is_what_it_reads_as(files: tuple[str, str], tmp_path: Path) -> None:
    """YAML 1.1 takes 040 for 32 and 1e-1 for text."""
    path = tmp_path / "p.yaml"
    command = [files[0], "--golden", files[1], "--contract", CONTRACT, "--policy", str(path)]
    for text, code in (("{target: 0.9, min_n: 020}", 2), ("{target: 9e-1}", 0), ("{target: 0.9, min_n: 15.0}", 0)):
        path.write_text(f"answer_rate: {text}")
        assert main(command) == code, text


@pytest.mark.parametrize(
    "text",
    ["[" * 5000, "{" * 5000, "answer_rate: {target: 90}", "answer_rate: {target: .nan}", "", "a: [", "- x", "1: 2"],
)
def test_a_bad_policy_exits_with_2_and_is_named(
    text: str, files: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "p.yaml"
    path.write_text(text)
    assert main([files[0], "--golden", files[1], "--contract", CONTRACT, "--policy", str(path)]) == 2
    assert capsys.readouterr().err.startswith(str(path))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: 1\nb: 2\na: 3", "key 'a' appears twice: keep one of them"),
        (
            "b: 1\nb: 2\nc: [{d: 1, d: 2}, {e: {f: 1, f: 2}}]",
            "\n".join(f"key {key!r} appears twice: keep one of them" for key in "bdf"),
        ),
        ("- a", "not a mapping of keys and values, but list"),
        ("", "not a mapping of keys and values, but NoneType"),
        ("answer: /answer", "'schema' is a required property"),
    ],
)
def test_a_yaml_file_that_is_no_mapping_or_repeats_a_key_exits_with_2(
    text: str, says: str, files: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "contract.yaml"
    path.write_text(text)
    assert main([files[0], "--golden", files[1], "--contract", str(path)]) == 2
    assert capsys.readouterr().err.replace(f"{path}: ", "") == f"{says}\n"


def test_a_plan_exits_with_5_if_the_set_is_too_small(
    files: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plan", "--golden", files[1]]) == 0
    small = str(write_lines(tmp_path / "small.jsonl", golden_rows(10, 5)))
    assert main(["plan", "--golden", small]) == 5
    assert "10 rows are counted, 17 are needed: add 7" in capsys.readouterr().out
    (tmp_path / "p.yaml").write_text("answer_rate: {target: 0.9}\nrefusal_recall: {target: 0.8, min_n: 15}")
    assert main(["plan", "--golden", files[1], "--policy", str(tmp_path / "p.yaml")]) == 5
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == [
        "refusal_recall",
        "answer_rate",
        *["chance"] * 3,
    ]


def test_it_runs_as_a_module_without_torch_or_the_hub(files: tuple[str, str]) -> None:
    code = (
        "import sys, gates.__main__\n"
        f"assert gates.__main__.main({[*files[:1], '--golden', files[1], '--contract', CONTRACT]!r}) == 0\n"
        "assert not {'torch', 'transformers', 'huggingface_hub', 'release', 'scipy'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, capture_output=True, timeout=60)


def test_importing_the_gates_is_cheap() -> None:
    code = (
        "import time; before = time.process_time(); import gates, sys; assert time.process_time() - before < 0.3\n"
        "assert not {'jsonschema', 'yaml', 'scipy', 'torch'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_an_answer_cannot_be_marked_right_by_its_own_row(files: tuple[str, str], tmp_path: Path) -> None:
    rows = [{"id": row["id"], "output": answer(1), "passed": True} for row in golden_rows()]
    marked = str(write_lines(tmp_path / "marked.jsonl", rows))
    assert main([marked, "--golden", files[1], "--contract", CONTRACT]) == 3


def _said(error: InvalidData) -> list[str]:
    return [problem.replace(f"{DATA}/", "") for problem in error.problems]
