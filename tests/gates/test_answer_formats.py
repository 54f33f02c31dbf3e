"""Every example of docs/answer-formats.md loads, and its answers are read as it says."""

import json
import re
from pathlib import Path

import pytest
import yaml

import gates
from tests.helpers.line import ROOT

PAGE = (ROOT / "docs" / "answer-formats.md").read_text("utf-8")
SHOWN = r"```json\n(?P<schema>.*?)```\n\n```yaml\n(?P<contract>.*?)```\n\n(?P<table>(?:\|[^\n]*\n?)+)"
EXAMPLE = re.compile(SHOWN, re.DOTALL)
LINE = re.compile(r"^\| `(?P<answer>.*)` \| (?P<cites>.*) \| (?P<refuses>yes|no) \|$", re.MULTILINE)
EXAMPLES = list(EXAMPLE.finditer(PAGE))


def test_no_example_is_passed_over() -> None:
    assert len(EXAMPLES) == PAGE.count("```json") == PAGE.count("```yaml") == PAGE.count("| answer | cites | refuses |")


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_loads_and_its_answers_are_read_as_it_says(example: "re.Match[str]", tmp_path: Path) -> None:
    (tmp_path / "answer.schema.json").write_text(example["schema"], "utf-8")
    contract = gates.load_contract(yaml.safe_load(example["contract"]), tmp_path)
    documents = [{"id": number} for number in range(1, 4)]
    (row,) = gates.parse_golden([{"id": "r", "prompt": "How high?", "documents": documents}])
    lines = list(LINE.finditer(example["table"]))

    assert lines
    for line in lines:
        json.loads(line["answer"])
        answer = gates.read_answer(row, gates.Output(id="r", output=line["answer"]), contract)
        said = line["cites"].replace("nothing", "").replace(",", " ").split()
        assert not [*answer.schema_faults, *answer.rule_faults]
        assert (sorted(answer.cited), answer.fields.refused) == (said, line["refuses"] == "yes")
