"""What is a citation, what names something else, and what is ordinary text: each rule's neighbours are data."""

import json
import time
from typing import Any

import pytest

import gates
from gates import citations
from gates.answer import Answer
from gates.patterns import read_pattern
from tests.gates.examples import DATA, contract

CASES = json.loads((DATA / "citations.json").read_text("utf-8"))
SQUARE = r"\[(\d+)\]"


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["rule"])
def test_each_rule_reads_its_neighbours_so(case: dict[str, Any]) -> None:
    documents = [{"id": name, "text": said} for name, said in case["documents"].items()]
    (row,) = gates.parse_golden([{"id": "q", "prompt": "Question?", "documents": documents}])
    given = {"schema": "free.schema.json", "markers": case.get("markers", SQUARE), "rules": ["markers_equal_citations"]}
    first, agreed = contract(**given), contract(**given, version=2)

    def answered(text: str, *cited: str, by: gates.Contract = agreed) -> Answer:
        output = json.dumps({"answer": text, "citations": cited, "refusal": False})
        return gates.read_answer(row, gates.Output(id=row.id, output=output), by)

    for text, cited in case["right"].items():
        read = answered(text, *cited)
        assert (read.rule_faults, read.stray) == ((), ()), text
        assert answered(text, *cited, "another").rule_faults, text
    for text in case["wrong"]:
        assert answered(text).stray, text
        assert answered(text, *case["documents"]).rule_faults, text
        assert answered(text, by=first).stray, text
    for text in case["none"]:
        read = answered(text)
        assert (read.rule_faults, read.stray, read.prose) == ((), (), text), text


@pytest.mark.parametrize(
    ("text", "prose"),
    [
        ("It is so [^1].", "It is so ."),
        ("It is so 【1†source】 (Source 2).", "It is so  ."),
        ("It is so.¹ And so [1, 2].", "It is so. And so ."),
        ("It is <cite>1</cite> [2].", "It is  ."),
        ("It is <cite>[1]</cite> so.", "It is <cite></cite> so."),
        ('<cite id="1">It is 5</cite>.', "It is 5."),
        ('<cite id="1">It is 5 [2]</cite>.', "It is 5 ."),
        ('It is <ref id="1"/> 2 metres.', "It is  2 metres."),
        ("It is so [^9].", "It is so [^9]."),
    ],
)
def test_the_prose_is_the_text_without_what_names_documents(text: str, prose: str) -> None:
    pattern, _ = read_pattern(SQUARE)
    documents = {name: {"id": name} for name in "12"}
    assert citations.read(pattern, text, documents).prose == prose
    assert citations.read(None, text, documents).prose == text


PARTS = [
    "[1,",
    "[1, ",
    "a, ",
    "[a, ",
    "(a, ",
    "[1-",
    " ",
    "1 ",
    ", ",
    "[1 and ",
    "<a ",
    "<cite ",
    "<sup>",
    "http://a.b ",
    "10.1000/",
    "et al ",
    "[see ",
    "【",
    "[Source 1: ",
    "¹",
    "10.1000/1 ",
]


@pytest.mark.parametrize("source", [SQUARE, r"\[([^\]]+)\]", r"\[(doc_\d+)\]"])
@pytest.mark.parametrize("part", PARTS)
def test_a_text_made_to_take_long_is_read_in_short_time(part: str, source: str) -> None:
    pattern, _ = read_pattern(source)
    documents: dict[str, Any] = {
        str(number): {"id": number, "text": "one http://a.bc of 10.1000/12 " * 99} for number in range(1, 9)
    }
    started = time.process_time()
    for text in (part * (19_000 // len(part)), "[" + part * (19_000 // len(part)) + "]", "(" + part * 6000 + ")"):
        citations.read(pattern, text, documents)
    assert time.process_time() - started < 3  # a tenth of it here
