"""The data gate: each broken file stops the line with the file, the row and the reason."""

from pathlib import Path

import pytest

from release import config, dataset, pipeline
from release.errors import DataError
from release.events import Event
from tests.line import ROOT, small_config

FILES = ROOT / "tests" / "data" / "dataset"


def quiet(_: Event) -> None:
    """Say nothing."""


def checked(folder: Path, **files: str) -> pipeline.Judged:
    """The default configuration over these files of tests/data/dataset."""
    paths = {name: str(FILES / file) for name, file in files.items()}
    return pipeline.check_data(config.load(small_config(folder, data=paths)), quiet)


def test_the_default_dataset_is_fit_to_use(tmp_path: Path) -> None:
    """Its reference answers pass every gate, and each gate fails on answers broken on purpose."""
    judged = checked(tmp_path)

    answerable = [row.answerable for row in judged.golden.rows]
    assert len(answerable) == 100
    assert answerable.count(False) == 40
    assert len(judged.train.rows) == 640


def test_the_default_dataset_is_what_its_generator_makes(tmp_path: Path) -> None:
    import subprocess
    import sys

    generator = ROOT / "data" / "elements" / "generate.py"
    subprocess.run([sys.executable, str(generator), "--out", str(tmp_path)], check=True)

    for name in ("train.jsonl", "golden.jsonl"):
        assert (tmp_path / name).read_bytes() == (generator.parent / name).read_bytes()


def test_no_golden_element_is_seen_in_training(tmp_path: Path) -> None:
    """Split by entity: not asked about, and in no source either."""
    judged = checked(tmp_path)
    asked = {row.prompt[-1]["content"].rpartition(" of ")[2].rstrip("?") for row in judged.golden.rows}
    seen = " ".join(message["content"] for row in judged.train.rows for message in row.prompt)

    assert asked
    assert not [element for element in asked if f" {element} " in seen or f" {element}?" in seen]


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("not_json_on_line_3.jsonl", r"not_json_on_line_3\.jsonl line 3"),
        ("empty.jsonl", "is empty"),
        ("too_few_rows.jsonl", "3 rows; at least 8"),
        ("repeated_id.jsonl", "its id stands twice"),
        ("repeated_prompt.jsonl", "its prompt stands twice"),
        ("no_reference_answer.jsonl", "has no reference answer"),
        ("answer_is_prose.jsonl", "row train-0005: the reference answer is not JSON"),
        ("answer_breaks_schema.jsonl", "row train-0005: the reference answer is not JSON, or breaks the schema"),
        ("answer_breaks_rule.jsonl", "row train-0005: .* a contract rule"),
        ("assistant_speaks_first.jsonl", "row train-0005: its messages"),
        ("golden_question_in_training.jsonl", "row leak: its question is in the golden set"),
        ("unknown_key.jsonl", "unknown key 'suport'; did you mean 'support'|unknown key 'suport'"),
        ("there_is_no_such_file.jsonl", "cannot be read|No such file"),
    ],
)
def test_a_broken_training_file_is_refused(tmp_path: Path, file: str, said: str) -> None:
    with pytest.raises(DataError, match=said):
        checked(tmp_path, train_file=file)


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("golden_all_answerable.jsonl", "no row is unanswerable"),
        ("golden_all_unanswerable.jsonl", "no row is answerable"),
        ("golden_without_labels.jsonl", "has no `answerable` and `support`"),
        ("golden_too_small.jsonl", "do not pass the gates themselves"),
        ("golden_cites_no_document.jsonl", "do not pass the gates themselves|breaks the schema or a contract rule"),
        ("empty.jsonl", "is empty"),
    ],
)
def test_a_golden_file_that_cannot_measure_is_refused(tmp_path: Path, file: str, said: str) -> None:
    with pytest.raises(DataError, match=said):
        checked(tmp_path, golden_file=file)


def test_every_violation_is_listed_at_once(tmp_path: Path) -> None:
    """Two faults in two rows: both are named."""
    lines = (FILES / "answer_is_prose.jsonl").read_text("utf-8").splitlines()
    repeated = (FILES / "repeated_id.jsonl").read_text("utf-8").splitlines()
    both = tmp_path / "both.jsonl"
    both.write_text("\n".join([*lines, repeated[0]]) + "\n", "utf-8")

    with pytest.raises(DataError) as raised:
        checked(tmp_path, train_file=str(both))

    assert "row train-0005" in str(raised.value)
    assert "row train-0001: its id stands twice" in str(raised.value)


@pytest.mark.parametrize("column", sorted(dataset.RULES))
@pytest.mark.parametrize("rows", [[], [None], ["yes"]], ids=["empty", "all null", "wrong type"])
def test_no_expectation_passes_vacuously(column: str, rows: list[object]) -> None:
    """An empty table, a column of nulls and a column of text fail in the suite itself."""
    if rows == ["yes"] and column in ("id", "prompt"):
        pytest.skip("text is the right type for an id and a prompt")
    good: dict[str, object] = {"split": "train", "row": "1", "id": "a", "prompt": "b"}
    good |= dict.fromkeys(("turns_in_order", "target_keeps_contract", "not_in_golden"), True)

    results = dataset._validate([good | {column: value} for value in rows])

    assert not all(result["success"] for result in results)
