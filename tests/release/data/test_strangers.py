"""Files as strangers have them: each is understood, or refused with what would make it work."""

import json
from pathlib import Path
from typing import Any

import pytest

from release.data import convert
from release.values.errors import DataError

PAIR = {"prompt": "q", "completion": "a"}
ASKED = {"role": "user", "content": "q"}


def to_rows(folder: Path, name: str, text: str, wanted: convert.Wanted | None = None) -> tuple[list[Any], list[str]]:
    (folder / name).write_text(text, "utf-8")
    lines = convert.to_file([folder / name], folder / "out.jsonl", wanted or convert.Wanted())
    return [json.loads(line) for line in (folder / "out.jsonl").read_text("utf-8").splitlines()], lines


@pytest.mark.parametrize(
    ("mark", "bad"),
    [
        ({"is_correct": False}, True),
        ({"is_correct": True}, False),
        ({"rejected": True}, True),
        ({"quality": "Bad"}, True),
        ({"quality": "good"}, False),
        ({"label": "False"}, True),
        ({"label": "true"}, False),
        ({"label": "undesirable"}, True),
        ({"label": "negative"}, False),
        ({"toxic": "true"}, True),
        ({"feedback": "thumbs_down"}, True),
        ({"thumbs": "down"}, True),
        ({"thumbs": "up"}, False),
        ({"status": "rejected"}, True),
        ({"status": "discarded"}, True),
        ({"status": "ARCHIVED"}, True),
        ({"status": "approved"}, False),
        ({"status": "completed"}, False),
        ({"was_cancelled": True}, True),
        ({"was_cancelled": False}, False),
        ({"_input_hash": 1, "answer": "reject"}, True),
        ({"_input_hash": 1, "answer": "ignore"}, True),
        ({"_input_hash": 1, "answer": "accept"}, False),
        ({"answer": "ignore"}, False),
    ],
)
def test_what_is_marked_as_bad_in_words_or_by_another_key_is_left_out(
    tmp_path: Path, mark: dict[str, Any], bad: bool
) -> None:
    marked = "".join(json.dumps(one) + "\n" for one in ({**PAIR, **mark}, PAIR))
    made, lines = to_rows(tmp_path, "rows.jsonl", marked)

    assert len(made) == 1 + (not bad)
    assert any("marked as bad" in line for line in lines) is bad


@pytest.mark.parametrize(
    ("mark", "cut"),
    [
        ({"finish_reason": "length"}, True),
        ({"finish_reason": "content_filter"}, True),
        ({"stop_reason": "max_tokens"}, True),
        ({"finishReason": "MAX_TOKENS"}, True),
        ({"finish_reason": "stop"}, False),
        ({"stop_reason": "end_turn"}, False),
        ({"finish_reason": None}, False),
    ],
)
def test_an_answer_that_was_cut_is_left_out(tmp_path: Path, mark: dict[str, Any], cut: bool) -> None:
    made, lines = to_rows(tmp_path, "rows.jsonl", "".join(json.dumps(one) + "\n" for one in ({**PAIR, **mark}, PAIR)))

    assert len(made) == 1 + (not cut)
    assert any("1 row whose answer was cut (" in line and line.endswith("line 1") for line in lines) is cut


@pytest.mark.parametrize(
    ("keys", "completion"),
    [
        (("input", "actual_output", "expected_output"), "expected_output"),
        (("instruction", "answer.suggestion", "output_corrected"), "output_corrected"),
        (("input", "expected"), "expected"),
        (("Question", "Complex_CoT", "Response"), "Response"),
        (("instruction", "answer.suggestion"), None),
        (("input", "actual_output"), None),
    ],
)
def test_what_a_model_said_or_proposed_is_never_named_as_the_answer(
    tmp_path: Path, keys: tuple[str, ...], completion: str | None
) -> None:
    with pytest.raises(DataError) as raised:
        to_rows(tmp_path, "rows.jsonl", json.dumps(dict.fromkeys(keys, "x")))
    assert f"--field completion={completion or 'KEY'}" in str(raised.value)


def test_a_chatbot_is_the_assistant(tmp_path: Path) -> None:
    rows = {"messages": [{"role": "User", "content": "q"}, {"role": "Chatbot", "content": "a"}]}
    made, _ = to_rows(tmp_path, "rows.jsonl", json.dumps(rows))

    assert [one["role"] for one in made[0]["messages"]] == ["user", "assistant"]


@pytest.mark.parametrize("key", ["system", "system_prompt", "system_message"])
def test_a_system_text_beside_the_messages_goes_in_front_whatever_it_is_called(tmp_path: Path, key: str) -> None:
    row = {key: "be brief", "messages": [ASKED, {"role": "assistant", "content": "a"}]}
    made, _ = to_rows(tmp_path, "rows.jsonl", json.dumps(row))

    assert made[0]["messages"][0] == {"role": "system", "content": "be brief"}


def test_spaces_around_who_speaks_and_the_unnamed_first_column_of_pandas_are_understood(tmp_path: Path) -> None:
    row = {"messages": [{"role": " user ", "content": "q"}, {"role": "Assistant\n", "content": "a"}]}
    made, _ = to_rows(tmp_path, "rows.jsonl", json.dumps(row))
    (tmp_path / "out.jsonl").unlink()
    table, lines = to_rows(tmp_path, "rows.csv", ",prompt,completion\n0,q,a\n")

    assert made[0]["messages"] == table[0]["messages"]
    assert "  kept under meta: index (1 row)" in lines


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("a.json", '[{"prompt": "q", "completion": "a"},]', "(line 1). Take the comma before it out"),
        ("a.json", '// made by us\n[{"prompt": "q"}]', "JSON has no comments: take them out"),
        ("a.jsonl", "{'prompt': 'q', 'completion': 'a'}", "It is how Python shows an object: write `json.dumps(row)`"),
        ("a.jsonl", '{"prompt": "q", "completion": None}', "It is how Python shows an object: write `json.dumps(row)`"),
        ("a.yaml", "- prompt: q\n  completion: a\n", "It is YAML: write its rows as JSON, one object a line"),
        ("a.json", json.dumps({"0": PAIR, "1": PAIR}), "one object of 2 rows by name. Write its values as one list"),
        ("a.json", json.dumps({"train": [PAIR], "test": [PAIR]}), "more than one list. Write each as a file"),
        ("a.jsonl", json.dumps({"inputs": {"question": "q"}, "outputs": {"answer": "a"}, "metadata": {}}),
         "--field prompt=inputs.question --field completion=outputs.answer"),
        ("a.jsonl", json.dumps({"conversation": {"messages": [ASKED]}}),
         "conversation is an object. If messages in it are the messages: --field conversations=conversation.messages"),
        ("a.jsonl", json.dumps({"messages": [ASKED, {"role": "Chat bot", "content": "a"}]}),
         "with --role 'Chat bot=assistant'"),
        ("a.jsonl", json.dumps({"prompt": "2 + 2", "completion": 4}), "expected text: 4. Write it in quotes"),
        ("a.jsonl", json.dumps({"question": "q", "answer": ["a", "b"]}), "Write one text, or a row for each"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_refused_with_what_to_do(tmp_path: Path, name: str, text: str, says: str) -> None:
    with pytest.raises(DataError) as raised:
        to_rows(tmp_path, name, text)
    assert says in str(raised.value)


def test_what_was_advised_for_objects_in_objects_works(tmp_path: Path) -> None:
    nested = json.dumps({"inputs": {"question": "q"}, "outputs": {"answer": "a"}})
    fields = ("prompt=inputs.question", "completion=outputs.answer")
    made, _ = to_rows(tmp_path, "a.jsonl", nested, convert.Wanted(form="prompt_completion", pairs=fields))

    assert [one["content"] for one in made[0]["messages"]] == ["q", "a"]


@pytest.mark.parametrize(
    ("mark", "bad"),
    [
        ({"was_cancelled": True}, True),  # Label Studio
        ({"was_cancelled": False}, False),
        ({"status": "discarded"}, True),  # Argilla
        ({"status": "submitted"}, False),
        ({"status": "ARCHIVED"}, True),  # Langfuse
        ({"status": "ACTIVE"}, False),
        ({"answer": "reject", "_input_hash": 7}, True),  # Prodigy
        ({"answer": "ignore", "_input_hash": 7}, True),
        ({"answer": "accept", "_input_hash": 7}, False),
        ({"label": "ignore"}, False),
        ({"finish_reason": "length"}, True),
        ({"finish_reason": "stop"}, False),
        ({"stop_reason": "max_tokens"}, True),
        ({"stop_reason": "end_turn"}, False),
        ({"finishReason": "SAFETY"}, True),
        ({"label": "length"}, False),
    ],
)
def test_what_people_put_aside_or_was_cut_is_left_out(tmp_path: Path, mark: dict[str, Any], bad: bool) -> None:
    made, lines = to_rows(tmp_path, "rows.jsonl", "".join(json.dumps(one) + "\n" for one in ({**PAIR, **mark}, PAIR)))
    key = next(iter(mark))

    assert len(made) == 1 + (not bad)
    assert any(f" ({key}: " in line and "1 row" in line for line in lines) is bad
    assert any(line.strip().startswith(f"kept under meta: {key}") for line in lines) is not bad


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"loss_mask": [0, 1]}, "it has loss_mask, which says what of it is learned"),
        ({"corrected": "b"}, "it has corrected, a better answer .* --field completion=corrected"),
    ],
)
def test_a_mask_and_a_better_answer_are_not_passed_over(tmp_path: Path, more: dict[str, Any], says: str) -> None:
    with pytest.raises(DataError, match=says):
        to_rows(tmp_path, "rows.jsonl", json.dumps({**PAIR, **more}))
    nothing: dict[str, Any] = {key: [] for key in more}
    ignored = convert.Wanted(ignored=list(more))

    assert to_rows(tmp_path, "rows.jsonl", json.dumps({**PAIR, **nothing}))[0][0]["messages"][-1]["content"] == "a"
    (tmp_path / "out.jsonl").unlink()
    assert to_rows(tmp_path, "rows.jsonl", json.dumps({**PAIR, **more}), ignored)[0][0]["meta"] == more


@pytest.mark.parametrize(
    ("more", "learned"),
    [
        ({"loss": False}, False),
        ({"loss": True}, True),
        ({"masked": True}, False),
        ({"masked": False}, True),
        ({"prefix": False}, True),
    ],
)
def test_what_a_message_says_of_being_learned_is_heard_by_each_name(
    tmp_path: Path, more: dict[str, Any], learned: bool
) -> None:
    said = {"role": "assistant", "content": "a"}
    talk = [ASKED, {**said, **more}, ASKED, said]
    made, _ = to_rows(tmp_path, "rows.jsonl", json.dumps({"messages": talk}))

    assert made[0]["messages"] == [ASKED, said if learned else {**said, "weight": 0}, ASKED, said]


def test_a_start_that_the_answer_must_go_on_from_is_refused(tmp_path: Path) -> None:
    talk = [ASKED, {"role": "assistant", "content": "a", "prefix": True}]
    with pytest.raises(DataError, match="message 2 has prefix"):
        to_rows(tmp_path, "rows.jsonl", json.dumps({"messages": talk}))


def test_coheres_chatbot_is_the_assistant(tmp_path: Path) -> None:
    talk = [{"role": "User", "content": "q"}, {"role": "Chatbot", "content": "a"}]

    assert to_rows(tmp_path, "rows.jsonl", json.dumps({"messages": talk}))[0][0]["messages"][-1]["role"] == "assistant"


@pytest.mark.parametrize(
    ("row", "way"),
    [
        ({"id": "1", "inputs": {"question": "q"}, "outputs": {"answer": "a"}}, ("inputs.question", "outputs.answer")),
        ({"id": "1", "input": {"question": "q"}, "expectedOutput": "a"}, ("input.question", "expectedOutput")),
        ({"input": "q", "expected": "a", "metadata": {"user": "u"}}, ("input", "expected")),
        ({"input": [ASKED], "ideal": "a"}, ("input", "ideal")),
    ],
)
def test_the_way_out_that_is_named_works(tmp_path: Path, row: dict[str, Any], way: tuple[str, str]) -> None:
    with pytest.raises(DataError, match=f"--field prompt={way[0]} --field completion={way[1]}\n"):
        to_rows(tmp_path, "rows.jsonl", json.dumps(row))
    named = convert.Wanted(form="prompt_completion", pairs=(f"prompt={way[0]}", f"completion={way[1]}"))

    assert to_rows(tmp_path, "rows.jsonl", json.dumps(row), named)[0][0]["messages"] == [
        ASKED,
        {"role": "assistant", "content": "a"},
    ]


def test_an_assertion_of_promptfoo_is_not_offered_as_an_answer(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="It has a question and no answer"):
        to_rows(tmp_path, "rows.csv", "question,__expected\nq,equals:a\n")
