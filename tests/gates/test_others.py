"""Answers in the files of other programs: each shape, and its neighbours that must be refused with a way out."""

import contextlib
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import gates
from gates import others, report

TEXT = '{"answer": "so"}'
MESSAGE = {"role": "assistant", "content": TEXT}


def openai(reason: str = "stop", **changes: Any) -> dict[str, Any]:
    choice = {"index": 0, "message": {**MESSAGE, **changes}, "finish_reason": reason}
    body = {"id": "chatcmpl-1", "object": "chat.completion", "choices": [choice]}
    return {"id": "batch_req_1", "custom_id": "r1", "response": {"status_code": 200, "body": body}, "error": None}


def anthropic(reason: str = "end_turn", content: Any = None) -> dict[str, Any]:
    message = {"type": "message", "content": content or [{"type": "text", "text": TEXT}], "stop_reason": reason}
    return {"custom_id": "r1", "result": {"type": "succeeded", "message": message}}


RESPONSES = {"status": "completed", "output": [{"type": "message", "content": [{"type": "output_text", "text": TEXT}]}]}
CALL = {"content": None, "tool_calls": [{"type": "function", "function": {"name": "answer", "arguments": TEXT}}]}
USED = [{"type": "tool_use", "name": "answer", "input": {"answer": "so"}}]
SAMPLE = {"id": "r1", "epoch": 1, "output": {"model": "m", "choices": [{"message": MESSAGE, "stop_reason": "stop"}]}}
CASES: dict[str, tuple[Any, str]] = {
    "ours": ({"id": "r1", "output": TEXT, "finish_reason": "stop"}, "stop"),
    "anthropic_reason": ({"id": "r1", "output": TEXT, "finish_reason": "end_turn"}, "stop"),
    "tgi_reason": ({"id": "r1", "output": TEXT, "finish_reason": "eos_token"}, "stop"),
    "anthropic_cut": ({"id": "r1", "output": TEXT, "stop_reason": "max_tokens"}, "length"),
    "tgi": ({"id": "r1", "generated_text": TEXT, "details": {"finish_reason": "eos_token"}}, "stop"),
    "tgi_cut": ({"id": "r1", "generated_text": TEXT, "details": {"finish_reason": "length"}}, "length"),
    "openai_batch": (openai(), "stop"),
    "openai_batch_cut": (openai("length"), "length"),
    "openai_batch_filtered": (openai("content_filter"), "content_filter"),
    "openai_batch_refusal": (openai(refusal="I cannot."), "refusal"),
    "openai_batch_call": (openai("tool_calls", **CALL), "stop"),
    "openai_batch_responses": ({"custom_id": "r1", "response": {"status_code": 200, "body": RESPONSES}}, "stop"),
    "openai_batch_error": ({"custom_id": "r1", "response": None, "error": {"code": "batch_expired"}}, "error"),
    "anthropic_batch": (anthropic(), "stop"),
    "anthropic_batch_tool": (anthropic("tool_use", USED), "stop"),
    "anthropic_batch_refusal": (anthropic("refusal"), "refusal"),
    "anthropic_batch_expired": ({"custom_id": "r1", "result": {"type": "expired"}}, "expired"),
    "lm_eval": ({"doc_id": 0, "doc": {"id": "r1"}, "target": "", "resps": [[TEXT]], "filtered_resps": ["x"]}, "stop"),
    "promptfoo_line": ({"vars": {"id": "r1"}, "response": {"output": TEXT, "finishReason": "stop"}}, "stop"),
    "promptfoo": ({"results": {"results": [{"vars": {"id": "r1"}, "response": {"output": {"answer": "so"}}}]}}, "stop"),
    "promptfoo_error": ({"results": {"results": [{"vars": {"id": "r1"}, "error": "timeout"}]}}, "error"),
    "inspect": ({"version": 2, "status": "success", "samples": [SAMPLE]}, "stop"),
}


def written(folder: Path, text: str, name: str = "answers.jsonl") -> Path:
    path = folder / name
    path.write_text(text, "utf-8")
    return path


@pytest.mark.parametrize("name", CASES)
def test_each_shape_is_an_answer_with_its_id_its_text_and_how_it_ended(name: str, tmp_path: Path) -> None:
    row, reason = CASES[name]
    (found,) = others.read(written(tmp_path, json.dumps(row) + "\n"))

    assert (found.id, found.finish_reason) == ("r1", reason)
    assert found.output == ("" if reason in ("error", "expired") else TEXT)


@pytest.mark.parametrize("row", [openai(), anthropic(), CASES["lm_eval"][0], CASES["tgi"][0], CASES["ours"][0]])
def test_lines_and_an_array_of_the_same_rows_are_the_same(row: Any, tmp_path: Path) -> None:
    second = json.loads(json.dumps(row).replace('"r1"', '"r2"'))
    lines = written(tmp_path, f"{json.dumps(row)}\n\n{json.dumps(second)}\n")
    array = written(tmp_path, json.dumps([row, second], indent=1), "answers.json")

    assert others.read(lines) == others.read(array)
    assert [one.id for one in others.read(lines)] == ["r1", "r2"]


@pytest.mark.parametrize("ending", ["csv", "tsv"])
def test_a_table_of_answers(ending: str, tmp_path: Path) -> None:
    between = "," if ending == "csv" else "\t"
    quoted = '"' + TEXT.replace('"', '""') + '"'
    lines = [["\ufeffid", "response", "stop_reason", "cost"], ["r1", quoted, "end_turn", "1"], ["r2", '"a\nb"', "", ""]]
    path = written(tmp_path, "\r\n".join(map(between.join, lines)), f"answers.{ending}")

    assert [(one.id, one.output, one.finish_reason) for one in others.read(path)] == [
        ("r1", TEXT, "stop"),
        ("r2", "a\nb", "stop"),
    ]


def test_an_inspect_log_in_its_own_format(tmp_path: Path) -> None:
    path = tmp_path / "log.eval"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("header.json", "{}")
        file.writestr("samples/r1_epoch_1.json", json.dumps(SAMPLE))

    assert others.read(path) == (gates.Output(id="r1", output=TEXT),)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (json.dumps({"id": "r1", "text": "x"}), "unknown key 'text'"),
        (json.dumps({"output": "x"}), "'id' is a required property"),
        (json.dumps({"id": "r1", "output": "x", "passed": True}), "unknown key 'passed'"),
        (json.dumps([{"id": "r1", "output": "x", "passed": True}]), "the keys are id, output, passed"),
        (json.dumps({"id": "r1", "output": "x", "finish_reason": "end_turn"}) + '\n{"id": "r2"}', "the keys are id"),
        (json.dumps({"id": "r1", "output": "x", "response": "y"}), "it needs id and output"),
        (json.dumps({"id": "r1", "output": "x", "stop_reason": None}), "finish_reason is None, and must be text"),
        (json.dumps({"id": {"$oid": 1}, "generated_text": "x"}), "must be the golden row's"),
        (json.dumps({"doc_id": 1, "doc": {}, "resps": [["a", "b"]]}), "has 2 answers, and one can be judged"),
        (json.dumps({"vars": {"q": 1}, "response": {"output": "x"}}), "add one to each test"),
        (json.dumps({"samples": [{**SAMPLE, "epoch": 2}]}), "Run with --epochs 1"),
        ("[1, 2]", "something else than rows"),
        ("[", "not a JSON array"),
        ("[" * 100_000, "not a JSON array"),
        ("question,answer\nwhy,so\n", "line 1"),
        ("plain words", "line 1"),
        ('id,output\nr1,"cut', "not CSV"),
        ("PK\x03\x04 broken", "inspect log convert"),
    ],
)
def test_what_is_not_understood_is_refused_with_what_is_known(text: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(gates.InvalidData) as refused:
        others.read(written(tmp_path, text))

    assert says in "\n".join(refused.value.problems)


def test_a_table_without_ids_is_refused_with_its_columns(tmp_path: Path) -> None:
    with pytest.raises(gates.InvalidData, match="the columns are question, answer: it needs id and output"):
        others.read(written(tmp_path, "question,answer\nwhy,so\n", "a.csv"))
    with pytest.raises(gates.InvalidData, match="header without a row"):
        others.read(written(tmp_path, "id,output\n", "a.csv"))


def test_several_choices_are_not_one_answer(tmp_path: Path) -> None:
    row = openai()
    row["response"]["body"]["choices"] *= 2

    with pytest.raises(gates.InvalidData, match="ask with n=1"):
        others.read(written(tmp_path, json.dumps(row)))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
KEYS = (
    "id",
    "custom_id",
    "response",
    "result",
    "error",
    "doc_id",
    "doc",
    "resps",
    "vars",
    "output",
    "samples",
    "results",
)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(st.sampled_from(KEYS), JSON, max_size=4))
def test_no_row_of_any_shape_ends_in_a_traceback(tmp_path_factory: pytest.TempPathFactory, row: dict[str, Any]) -> None:
    path = written(tmp_path_factory.mktemp("row"), json.dumps(row))
    with contextlib.suppress(gates.InvalidData):
        assert len(others.read(path)) <= 1 or "samples" in row or "results" in row


def test_that_answers_were_not_finished_is_one_line_with_its_reasons() -> None:
    def outputs(*reasons: str) -> list[gates.Output]:
        return [gates.Output(id=str(number), output="", finish_reason=one) for number, one in enumerate(reasons)]

    assert report.unfinished(outputs("stop", "stop")) == []
    assert report.unfinished(outputs(*["pause_turn"] * 3)) == ["3 of 3 were not finished: pause_turn"]
    assert report.unfinished(outputs("stop", "length", "error", "length")) == [
        "3 of 4 were not finished: length: 2, error: 1"
    ]
