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
from gates.others import KNOWN

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


def in_parts(kind: str) -> list[dict[str, Any]]:
    """The text in two parts, and what is no text of an answer beside them."""
    said = [{"type": kind, "text": part} for part in (TEXT[:5], TEXT[5:])]
    return [{"type": kind}, said[0], {"type": kind, "text": None}, said[1]]


def of_body(body: dict[str, Any]) -> dict[str, Any]:
    return {"custom_id": "r1", "response": {"status_code": 200, "body": body}}


def of_sample(**changes: Any) -> dict[str, Any]:
    choice = {"message": MESSAGE, "stop_reason": "stop", **changes}
    return {"samples": [{"id": "r1", "epoch": 1, "output": {"choices": [choice]}}]}


CONVERT = "write it as JSON: inspect log convert LOG --to json --output-dir FOLDER"
ID = "and must be the golden row's: text or a whole number"
REASON = "finish_reason is {}, and must be text"
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
    "plain_of_a_batch": ({"custom_id": "r1", "output": TEXT, "stop_reason": "COMPLETE"}, "stop"),
    "openai_batch_bare": ({**openai(), "index": 0}, "stop"),
    "openai_batch_without_a_status": ({"custom_id": "r1", "response": {"body": openai()["response"]["body"]}}, "stop"),
    "openai_batch_failed": ({"custom_id": "r1", "response": {"status_code": 500, "body": RESPONSES}}, "error"),
    "openai_batch_without_a_body": ({"custom_id": "r1", "response": {"status_code": 200}, "index": 0}, "error"),
    "openai_batch_both": ({**openai(), "error": {"code": "late"}}, "error"),
    "openai_batch_error_alone": ({"custom_id": "r1", "error": {"code": "batch_expired"}}, "error"),
    "openai_batch_text": (of_body({"choices": [{"text": TEXT, "finish_reason": "length"}]}), "length"),
    "openai_batch_text_beside_a_call": (openai("tool_calls", tool_calls=CALL["tool_calls"]), "tool_calls"),
    "openai_batch_call_cut": (openai("length", **CALL), "length"),
    "openai_batch_responses_cut": (
        of_body({**RESPONSES, "status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}),
        "length",
    ),
    "openai_batch_responses_failed": (of_body({**RESPONSES, "status": "failed"}), "failed"),
    "openai_batch_responses_in_parts": (
        of_body({"status": "completed", "output": [{"content": in_parts("output_text")}, {"type": "reasoning"}]}),
        "stop",
    ),
    "anthropic_batch_in_parts": (anthropic("end_turn", in_parts("text")), "stop"),
    "anthropic_batch_call_cut": (anthropic("max_tokens", USED), "length"),
    "anthropic_batch_text_beside_a_call": (anthropic("tool_use", [*in_parts("text"), *USED]), "tool_use"),
    "anthropic_batch_without_a_message": ({"custom_id": "r1", "result": {"type": "succeeded"}}, "succeeded"),
    "anthropic_batch_failed": ({"custom_id": "r1", "result": {"type": "errored", "message": {}}}, "errored"),
    "anthropic_batch_without_a_type": ({"custom_id": "r1", "result": {}}, "error"),
    "lm_eval_alone": ({"doc_id": "r1", "resps": [TEXT]}, "stop"),
    "lm_eval_of_a_document_without_an_id": ({"doc_id": "r1", "doc": {"q": 1}, "resps": [[TEXT]]}, "stop"),
    "promptfoo_cut": ({"vars": {"id": "r1"}, "response": {"output": TEXT, "finishReason": "length"}}, "length"),
    "promptfoo_of_a_test": (
        {"vars": {"q": 1}, "testCase": {"metadata": {"id": "r1"}}, "response": {"output": TEXT}},
        "stop",
    ),
    "promptfoo_error_in_a_line": ({"vars": {"id": "r1"}, "error": "timeout"}, "error"),
    "promptfoo_without_an_output": ({"vars": {"id": "r1"}, "response": {"error": "timeout"}}, "error"),
    "inspect_cut": (of_sample(stop_reason="max_tokens"), "length"),
    "inspect_in_parts": (of_sample(message={"content": in_parts("text")}), "stop"),
    "inspect_without_an_epoch": ({"samples": [{"id": "r1", "output": SAMPLE["output"]}]}, "stop"),
    "inspect_error": ({"samples": [{**SAMPLE, "error": {"message": "late"}}]}, "error"),
    "inspect_without_a_choice": ({"samples": [{"id": "r1", "output": {"choices": []}}]}, "error"),
    "a_long_text": ({"id": "r1", "generated_text": TEXT + " " * 200_000}, "stop"),
}
EMPTY = ("error", "expired", "errored", "succeeded")


def written(folder: Path, text: str, name: str = "answers.jsonl") -> Path:
    path = folder / name
    path.write_text(text, "utf-8")
    return path


@pytest.mark.parametrize("name", CASES)
def test_each_shape_is_an_answer_with_its_id_its_text_and_how_it_ended(name: str, tmp_path: Path) -> None:
    row, reason = CASES[name]
    (found,) = others.read(written(tmp_path, json.dumps(row) + "\n"))

    assert (found.id, found.finish_reason) == ("r1", reason)
    assert found.output.rstrip() == ("" if reason in EMPTY else TEXT)


@pytest.mark.parametrize("name", [name for name, (row, _) in CASES.items() if not {"samples", "results"} & row.keys()])
def test_each_shape_of_a_row_is_known_in_lines_too(name: str, tmp_path: Path) -> None:
    row, _ = CASES[name]
    alone, lines = (others.read(written(tmp_path, f"{json.dumps(row)}\n" * times)) for times in (1, 2))

    assert lines == alone * 2


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


def no_table(columns: str) -> str:
    return f": neither JSON nor a table of answers; as CSV the columns are {columns}: it needs id and output. {KNOWN}"


def no_row(keys: str) -> str:
    return f" row 1: the keys are {keys}: it needs id and output, and takes finish_reason and meta. {KNOWN}"


WHOLE = {
    "no array": ("[", "", f": not a JSON array: Expecting value: line 1 column 2 (char 1). {KNOWN}"),
    "no rows": ("\n [1]", "", f": an array of something else than rows, or of more than 1,000,000. {KNOWN}"),
    "no table": ("a,b\n1,2", "a.CSV", no_table("a, b")),
    "a table of another kind": ("id\tb\n1\t2", "a.tsv", no_table("id, b")),
    "a table without ids": ("output\n1", "a.csv", no_table("output")),
    "no rows in a table": ("id,output\n", "a.csv", f" line 1: a table's header without a row under it. {KNOWN}"),
    "a cut table": ('id,output\nr1,"cut', "", f": not CSV: unexpected end of data. {KNOWN}"),
    "a broken archive": ("PK\x03\x04", "", f": this log cannot be read: File is not a zip file; {CONVERT}"),
    "other keys": (json.dumps({"id": "r1", "output": 1, "response": 2}), "", no_row("id, output, response")),
    "half of a harness": ('[{"doc_id": 1}]', "", no_row("doc_id")),
    "half of a test": ('[{"vars": {"id": 1}}]', "", no_row("vars")),
    "an id that is none": ('{"id": true, "generated_text": "x"}', "", f" row 1: its id is True, {ID}"),
    "a reason that is none": (
        '{"id": 1, "generated_text": "x", "stop_reason": [1]}', "", f" row 1: {REASON.format('[1]')}"
    ),
    "a reason of another program that is none": (
        json.dumps(of_sample(stop_reason=1)), "", f" row 1: {REASON.format('1')}"
    ),
    "no id in a test": (
        '{"vars": {}, "response": {"output": "x"}}', "",
        " row 1: its vars and its test's metadata have no id: add one to each test, that of the golden row",
    ),
    "another epoch": (
        json.dumps({"samples": [SAMPLE, {**SAMPLE, "epoch": 2}]}), "",
        " row 2: is of epoch 2: one answer to each row can be judged. Run with --epochs 1",
    ),
    "several choices": (
        json.dumps(of_body({"choices": []})), "", " row 1: has 0 choices, and one can be judged: ask with n=1"
    ),
    "several answers": (
        '{"doc_id": 1, "resps": [["a"], ["b"]]}', "",
        " row 1: has 2 answers, and one can be judged: run lm-eval with repeats: 1, generate_until",
    ),
    "no answers": (
        '{"doc_id": 1, "resps": "a"}', "",
        " row 1: has 0 answers, and one can be judged: run lm-eval with repeats: 1, generate_until",
    ),
}  # fmt: skip
"""A text, the name of its file, and what is said behind the file's path."""


@pytest.mark.parametrize("name", WHOLE)
def test_what_is_said_of_a_file_begins_with_its_path_and_the_row(name: str, tmp_path: Path) -> None:
    text, called, says = WHOLE[name]
    path = written(tmp_path, text, called or "answers.jsonl")

    with pytest.raises(gates.InvalidData) as refused:
        others.read(path)

    assert refused.value.problems == (f"{path}{says}",)


OURS = {
    "an unknown key": {"id": "r1", "output": "x", "error": None},
    "a key of a batch alone": {"custom_id": "r1", "text": "x"},
    "a key of a test alone": {"id": "r1", "output": "x", "vars": {}},
    "a reason without a text": {"id": "r1", "finish_reason": "end_turn"},
    "a text without an id": {"output": "x", "stop_reason": "stop"},
    "a reason that is none": {"id": "r1", "output": "x", "finish_reason": ["stop"]},
    "half a harness": {"doc_id": "r1", "output": "x"},
    "the other half": {"id": "r1", "resps": []},
}


@pytest.mark.parametrize("name", OURS)
def test_what_has_no_shape_of_another_program_is_refused_as_a_row_of_ours(name: str, tmp_path: Path) -> None:
    with pytest.raises(gates.InvalidData, match="line 1: "):
        others.read(written(tmp_path, json.dumps(OURS[name])))


@pytest.mark.parametrize(
    "text", ["output\nx\n", "id,more\nr1,x\n", "id,output", '{"custom_id": "r1", "output": "x"}\nbroken\n{}']
)
def test_one_line_of_nothing_that_is_known_makes_a_file_one_of_ours(text: str, tmp_path: Path) -> None:
    with pytest.raises(gates.InvalidData, match=r"line [12]: "):
        others.read(written(tmp_path, text))


@pytest.mark.parametrize(
    "text",
    [
        "id,output\nr1,x\n",
        'custom_id\tmore\t"completion"\tfinish_reason\nr1\t1\tx\tstop\n',
        '"id","output","stop_reason"\n"r1","x",""',
        "id,output\nr1,x,more\n",
    ],
)
def test_a_table_is_known_by_its_header_whatever_its_file_is_called(text: str, tmp_path: Path) -> None:
    assert others.read(written(tmp_path, text, "answers.txt")) == (gates.Output(id="r1", output="x"),)


def test_a_tab_within_a_field_makes_no_table_of_tabs(tmp_path: Path) -> None:
    read = others.read(written(tmp_path, "id,output\nr1,a\tb\nr2,c\n", "a.csv"))

    assert [one.output for one in read] == ["a\tb", "c"]


def test_a_line_end_within_a_field_of_a_table_stays_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b'id,output,stop_reason\r\nr1,"a\r\nb\rc",max_tokens\r\n')

    assert others.read(tmp_path / "a.csv") == (gates.Output(id="r1", output="a\r\nb\rc", finish_reason="length"),)


def test_what_others_wrote_as_json_stays_readable(tmp_path: Path) -> None:
    row = {"vars": {"id": 1}, "response": {"output": {"answer": "\u00fc"}}}

    assert others.read(written(tmp_path, json.dumps(row))) == (gates.Output(id="1", output='{"answer": "\u00fc"}'),)


@pytest.mark.parametrize("called", [None, "answer", {}, {"name": "answer"}])
def test_a_call_of_nothing_is_an_answer_without_text(called: Any, tmp_path: Path) -> None:
    row = openai("tool_calls", content=None, tool_calls=[{"type": "function", "function": called}])

    assert others.read(written(tmp_path, json.dumps(row))) == (gates.Output(id="r1", output=""),)


def test_a_choice_without_a_message_is_an_answer_without_text(tmp_path: Path) -> None:
    row = of_sample(message=None)

    assert others.read(written(tmp_path, json.dumps(row))) == (gates.Output(id="r1", output=""),)


def test_bytes_that_are_no_text_and_files_that_are_not_there_are_named(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b'{"id": "r1", "output": "\xff"}')

    with pytest.raises(gates.InvalidData, match="line 1: not_utf8: byte 0xff"):
        others.read(tmp_path / "a")
    with pytest.raises(gates.InvalidData) as refused:
        others.read(tmp_path / "none")
    assert refused.value.problems == (f"{tmp_path / 'none'}: No such file or directory",)
    with pytest.raises(gates.InvalidData) as refused:
        others.read(written(tmp_path, json.dumps([{"id": "x" * 1001, "output": ""}])))
    assert str(refused.value.problems[0]).startswith(str(tmp_path))


def test_a_large_object_over_many_lines_is_read_as_one(tmp_path: Path) -> None:
    rows = [{**SAMPLE, "id": number, "note": "x" * 1000} for number in range(200)]

    assert len(others.read(written(tmp_path, json.dumps({"samples": rows}, indent=1)))) == 200


def test_no_more_than_twenty_rows_are_named(tmp_path: Path) -> None:
    with pytest.raises(gates.InvalidData) as refused:
        others.read(written(tmp_path, json.dumps([{"id": "r1"}] * 30)))

    assert len(refused.value.problems) == 20


PACKED = json.dumps(SAMPLE)


def packed(folder: Path, *texts: str, kind: int = zipfile.ZIP_DEFLATED) -> Path:
    path = folder / "log.eval"
    with zipfile.ZipFile(path, "w", kind) as file:
        file.writestr("header.json", "{}")
        for number, text in enumerate(texts):
            file.writestr(f"samples/{number}.json", text)
    return path


@pytest.mark.parametrize(
    ("texts", "kind", "says"),
    [
        ((), zipfile.ZIP_DEFLATED, f": an archive without samples. {KNOWN}"),
        (("[1]",), zipfile.ZIP_DEFLATED, f": this log cannot be read: samples/0.json is no object; {CONVERT}"),
        (
            (PACKED, PACKED),
            zipfile.ZIP_BZIP2,
            f": this log cannot be read: samples/0.json is packed in another way than deflate; {CONVERT}",
        ),
    ],
)
def test_an_archive_that_is_no_log_is_named(texts: tuple[str, ...], kind: int, says: str, tmp_path: Path) -> None:
    path = packed(tmp_path, *texts, kind=kind)

    with pytest.raises(gates.InvalidData) as refused:
        others.read(path)

    assert refused.value.problems == (f"{path}{says}",)


def test_an_archive_with_a_broken_sample_is_named(tmp_path: Path) -> None:
    path = packed(tmp_path, PACKED)
    data = bytearray(path.read_bytes())
    start = data.index(b"samples/0.json") + len(b"samples/0.json")
    data[start : start + 4] = b"\xff" * 4
    path.write_bytes(data)

    with pytest.raises(gates.InvalidData, match="this log cannot be read: Error -3 while decompressing data"):
        others.read(path)


def test_an_archive_of_more_than_can_be_held_is_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = PACKED + " " * 5000  # the archive itself is smaller
    path = packed(tmp_path, text, text)
    monkeypatch.setattr(others, "MAX_BYTES", 2 * len(text))
    assert len(others.read(path)) == 2

    monkeypatch.setattr(others, "MAX_BYTES", 2 * len(text) - 1)
    with pytest.raises(gates.InvalidData) as refused:
        others.read(path)
    assert refused.value.problems == (f"{path}: more than {2 * len(text) - 1:,} bytes of samples. Split the log",)


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
