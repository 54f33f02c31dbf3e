"""The rows that people have, each named for who writes so: understood, or refused with the reason and the way out."""

import json
from pathlib import Path
from typing import Any

import pytest

from release.data import convert, dataset, shapes
from release.data.turns import How
from release.values.errors import ConfigError, DataError, Stop
from tests.helpers.line import ROOT

Q, A = "What is the symbol of gold?", '{"answer":"Au [1].","citations":[1]}'
S = "Be brief."
ASK, ANSWER = {"role": "user", "content": Q}, {"role": "assistant", "content": A}
SYSTEM = {"role": "system", "content": S}
TURNS = [ASK, ANSWER]
HUMAN, GPT = {"from": "human", "value": Q}, {"from": "gpt", "value": A}


def part(text: str) -> list[dict[str, Any]]:
    return [{"type": "text", "text": text}]


UNDERSTOOD: dict[str, tuple[dict[str, Any], list[dict[str, Any]]]] = {
    "OpenAI": ({"messages": [SYSTEM, *TURNS]}, [SYSTEM, *TURNS]),
    "OpenAI, developer": ({"messages": [{"role": "developer", "content": S}, *TURNS]}, [SYSTEM, *TURNS]),
    "OpenAI, parts": ({"messages": [{"role": "user", "content": part(Q)}, ANSWER]}, TURNS),
    "OpenAI, nulls": (
        {"id": None, "tools": None, "messages": [ASK, {**ANSWER, "refusal": None, "tool_calls": [], "name": None}]},
        TURNS,
    ),
    "OpenAI, weights": ({"messages": [{**ASK}, {**ANSWER, "weight": 1}]}, [ASK, {**ANSWER, "weight": 1}]),
    "OpenAI, an earlier answer of weight 0": (
        {"messages": [ASK, {"role": "assistant", "content": "No.", "weight": 0}, *TURNS]},
        [ASK, {"role": "assistant", "content": "No.", "weight": 0}, *TURNS],
    ),
    "OpenAI batch": ({"custom_id": "1", "method": "POST", "body": {"model": "m", "messages": TURNS}}, TURNS),
    "OpenAI preference": (
        {"input": {"messages": [SYSTEM, ASK]}, "preferred_output": [ANSWER], "non_preferred_output": [GPT]},
        [SYSTEM, *TURNS],
    ),
    "Anthropic": ({"system": S, "messages": TURNS}, [SYSTEM, *TURNS]),
    "Anthropic, blocks": (
        {"system": [{"type": "text", "text": S, "cache_control": {"type": "ephemeral"}}], "messages": TURNS},
        [SYSTEM, *TURNS],
    ),
    "Bedrock": (
        {"schemaVersion": "bedrock-conversation-2024", "system": [{"text": S}],
         "messages": [{"role": "user", "content": [{"text": Q}]}, {"role": "assistant", "content": [{"text": A}]}]},
        [SYSTEM, *TURNS],
    ),
    "Gemini": (
        {"systemInstruction": {"role": "system", "parts": [{"text": S}]},
         "contents": [{"role": "user", "parts": [{"text": Q}]}, {"role": "model", "parts": [{"text": A}]}]},
        [SYSTEM, *TURNS],
    ),
    "Gemini, old": ({"system_instruction": S, "contents": TURNS}, [SYSTEM, *TURNS]),
    "ShareGPT": ({"system": S, "conversations": [HUMAN, GPT]}, [SYSTEM, *TURNS]),
    "Unsloth": ({"conversations": TURNS}, TURNS),
    "LMSYS": ({"conversation_id": "1", "model": "m", "conversation": TURNS, "turn": 1}, TURNS),
    "TRL": ({"prompt": [SYSTEM, ASK], "completion": [ANSWER]}, [SYSTEM, *TURNS]),
    "MLX completions": ({"prompt": Q, "completion": A}, TURNS),
    "TRL KTO, the good half": ({"prompt": Q, "completion": A, "label": True}, TURNS),
    "DPO": ({"prompt": Q, "chosen": A, "rejected": "No."}, TURNS),
    "UltraFeedback": ({"prompt": Q, "chosen": TURNS, "rejected": [ASK, {**ANSWER, "content": "No."}]}, TURNS),
    "Orca pairs": ({"system": S, "question": Q, "chosen": A, "rejected": "No."}, [SYSTEM, *TURNS]),
    "LLaMA-Factory ranking": ({"conversations": [HUMAN], "chosen": GPT, "rejected": {**GPT, "value": "No."}}, TURNS),
    "Alpaca": ({"system": S, "instruction": Q, "input": "", "output": A, "history": []}, [SYSTEM, *TURNS]),
    "Alpaca, an object as its output": ({"instruction": Q, "output": json.loads(A)}, TURNS),
    "Alpaca, earlier turns": (
        {"instruction": Q, "output": A, "history": [["One?", "1"]]},
        [{"role": "user", "content": "One?"}, {"role": "assistant", "content": "1"}, *TURNS],
    ),
    "dolly": ({"instruction": Q, "context": "", "response": A, "category": "qa"}, TURNS),
    "dolly, with its context": (
        {"instruction": Q, "context": "Gold: Au.", "response": A},
        [{"role": "user", "content": f"{Q}\n\nGold: Au."}, ANSWER],
    ),
    "OpenOrca": ({"id": "niv.1", "system_prompt": S, "question": Q, "response": A}, [SYSTEM, *TURNS]),
    "OpenOrca, no system text": ({"system_prompt": "", "question": Q, "response": A}, TURNS),
    "swift": ({"query": Q, "response": A}, TURNS),
    "RAGAS": (
        {"user_input": Q, "retrieved_contexts": ["Gold: Au."], "response": "Ag", "reference": A, "faithfulness": 0.5},
        [{"role": "user", "content": f"[1] Gold: Au.\n\n{Q}"}, ANSWER],
    ),
    "RAGAS 0.1": (
        {"question": Q, "contexts": ["Gold: Au."], "answer": "Ag", "ground_truth": A},
        [{"role": "user", "content": f"[1] Gold: Au.\n\n{Q}"}, ANSWER],
    ),
    "archive": ({"query": Q, "answer": A}, TURNS),
    "question and answer": ({"question": Q, "answer": A}, TURNS),
    "prompt and response": ({"prompt": Q, "response": A}, TURNS),
    "input and output": ({"input": Q, "output": A}, TURNS),
    "messages as JSON text": ({"messages": json.dumps(TURNS)}, TURNS),
    "nulls of a table": ({"messages": None, "conversations": None, "prompt": Q, "completion": A}, TURNS),
}  # fmt: skip


def read(folder: Path, *rows: object, how: How | None = None) -> tuple[list[dict[str, Any]], dataset.Account]:
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    account = dataset.Account(path, how or How())
    found = [json.loads(one.text) for one in dataset.converted(account)]
    return found, account


@pytest.mark.parametrize("name", UNDERSTOOD)
def test_a_shape_is_understood_and_what_is_written_is_canonical(tmp_path: Path, name: str) -> None:
    row, messages = UNDERSTOOD[name]
    (found,), account = read(tmp_path, row)
    (again,), second = read(tmp_path, found)

    assert found["messages"] == messages
    assert account.problems == []
    assert (again, second.shown_form) == (found, "canonical")


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "tools": ({"messages": TURNS, "tools": [{"type": "function"}]}, "it has tools.*--without tools.*--ignore tools"),
    "pictures": ({"messages": TURNS, "images": ["a.png"]}, "it has images.*--without images"),
    "a picture in a message": (
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}, ANSWER]},
        'message 1: part 1 is "image_url", which is not text',
    ),
    "a call of a tool": ({"messages": [ASK, {**ANSWER, "tool_calls": [{"id": "1"}]}]}, "message 2 has tool_calls"),
    "a call and no text": ({"messages": [ASK, {**ANSWER, "content": None, "tool_calls": [{}]}]}, "has no text"),
    "a role of tools": ({"messages": [ASK, {"role": "tool", "content": "x"}, ANSWER]}, 'by "tool".*take the row out'),
    "a role that nobody knows": (
        {"messages": [{"role": "narrator", "content": "x"}, ANSWER]}, 'by "narrator".*--role narrator=user',
    ),
    "reasoning": ({"messages": [ASK, {**ANSWER, "reasoning_content": "Hm."}]}, "a thought.*--ignore reasoning_content"),
    "citations in a block": (
        {"messages": [ASK, {"role": "assistant", "content": [{"type": "text", "text": A, "citations": [{}]}]}]},
        "part 1 has citations",
    ),
    "a weight of a half": ({"messages": TURNS, "weight": 0.5}, "weight is 0.5: each row is learned once"),
    "a message's weight of a half": ({"messages": [ASK, {**ANSWER, "weight": 0.5}]}, "message 2 has weight"),
    "a label that is a number": ({"prompt": Q, "completion": A, "label": 0}, "label is the number 0.*--ignore label"),
    "halves of a preference": ({"messages": TURNS, "rejected_response": "No."}, "--format preference"),
    "chosen without its question": ({"chosen": "H: Hi A: Hi", "rejected": "H: Hi A: No"}, "there is no prompt"),
    "text alone": ({"text": f"### Q: {Q}"}, "does not say where the question ends"),
    "an unknown pair": ({"my_answer": A, "my_question": Q}, "prompt=my_question --field completion=my_answer"),
    "a missing key": ({"instruction": Q, "out": A}, "no format has these keys: instruction, out"),
    "a key that is nearly one of ours": ({"messages": TURNS, "suport": [1]}, "unknown key 'suport'.*'support'"),
    "the list of LLaMA-Factory's datasets": (
        {"mine": {"file_name": "x.json", "formatting": "sharegpt", "columns": {"messages": "dialog"},
                  "tags": {"role_tag": "who", "content_tag": "says", "user_tag": "me", "assistant_tag": "it"}}},
        "data convert x.json .* --format sharegpt --field conversations=dialog .*content=says --role me=user",
    ),
    "a question that is an object": ({"prompt": {"a": 1}, "completion": A}, "prompt is not text"),
    "columns of pandas": ({"instruction": {"0": Q}, "output": {"0": A}}, "one object of columns.*orient='records'"),
    "columns of a batch": ({"question_": [Q, Q], "reply": [A, A]}, "one object of columns"),
    "documents as an object": ({"query": Q, "answer": A, "documents": {"1": "x"}}, "documents is not a list"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_learned_stops_with_the_reason_and_the_way_out(tmp_path: Path, name: str) -> None:
    row, says = REFUSED[name]
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(row) + "\n", "utf-8")

    with pytest.raises(DataError, match=f"rows.jsonl line 1: .*{says}"):
        dataset.read(path)


LEFT_OUT: dict[str, tuple[dict[str, Any], str]] = {
    "KTO, the bad half": ({"prompt": Q, "completion": A, "label": False}, "marked as bad (label: false)"),
    "KTO of LLaMA-Factory": ({"messages": TURNS, "kto_tag": False}, "marked as bad (kto_tag: false)"),
    "WildChat": ({"conversation": TURNS, "toxic": True}, "marked as bad (toxic: true)"),
    "LMSYS": ({"conversation": TURNS, "openai_moderation": [{"flagged": True}]}, "marked as bad (openai_moderation"),
    "a thumb down": ({"query": Q, "answer": A, "rating": "down"}, 'marked as bad (rating: "down")'),
    "a row of weight 0": ({"messages": TURNS, "weight": 0}, "of weight 0"),
    "a last answer of weight 0": ({"messages": [ASK, {**ANSWER, "weight": 0}]}, "marked as not to be learned"),
    "an answer that Axolotl does not train": ({"conversations": [HUMAN, {**GPT, "train": False}]}, "not to be learned"),
}  # fmt: skip


@pytest.mark.parametrize("name", LEFT_OUT)
def test_nothing_marked_bad_is_learned_and_it_is_counted(tmp_path: Path, name: str) -> None:
    bad, says = LEFT_OUT[name]
    good = {**{key: value for key, value in bad.items() if key in ("prompt", "completion", "query", "answer")}}
    good = good or {next(iter(bad)): TURNS}
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(good) + "\n" + json.dumps(bad) + "\n", "utf-8")
    loaded = dataset.load(path)

    assert len(loaded.rows) == 1
    assert [one for one in loaded.told if one.startswith("left out: 1 row ") and says in one and one.endswith("line 2")]


def test_what_is_not_learned_is_counted(tmp_path: Path) -> None:
    row: dict[str, Any] = {
        "system": part(S),
        "messages": TURNS,
        "score": 3,
        "tags": "lights,harbours",
        "id": {"$oid": "a"},
    }
    row["system"][0]["cache_control"] = {"type": "ephemeral"}
    (found,), account = read(tmp_path, row)

    assert list(account.sentences()) == [
        "kept under meta: id (1 row)", "kept under meta: score (1 row)", "kept under meta: tags (1 row)",
        "left out of messages: cache_control (1 row)",
    ]  # fmt: skip
    assert found["meta"] == {"score": 3, "tags": "lights,harbours", "id": {"$oid": "a"}}


def test_a_key_of_meta_and_one_beside_it_are_both_kept(tmp_path: Path) -> None:
    (found,), _ = read(tmp_path, {"prompt": Q, "completion": A, "meta": {"source": "a"}, "source": "b"})

    assert found["meta"] == {"source": "a", "source_": "b"}


@pytest.mark.parametrize(
    ("options", "row"),
    [
        ({"ignored": frozenset({"tools"})}, {"messages": TURNS, "tools": [1]}),
        ({"ignored": frozenset({"label"})}, {"prompt": Q, "completion": A, "label": 0}),
        ({"ignored": frozenset({"reasoning_content"})}, {"messages": [ASK, {**ANSWER, "reasoning_content": "x"}]}),
        ({"ignored": frozenset({"documents"})}, {"query": Q, "answer": A, "documents": {"1": "x"}}),
        ({"roles": {"narrator": "user"}}, {"messages": [{"role": "narrator", "content": Q}, ANSWER]}),
        ({"fields": {"prompt": "frage", "completion": "antwort"}}, {"frage": Q, "antwort": A}),
        ({"fields": {"messages": "dialog"}}, {"dialog": TURNS}),
        ({"fields": {"role": "who", "content": "says"}},
         {"messages": [{"who": "user", "says": Q}, {"who": "assistant", "says": A}]}),
        ({"form": "preference", "fields": {"chosen": "response"}},
         {"prompt": Q, "response": A, "rejected_response": "No."}),
        ({"form": "chat"}, {"messages": TURNS, "suport": [1]}),
    ],
)  # fmt: skip
def test_the_way_out_that_a_message_names_works(tmp_path: Path, options: dict[str, Any], row: dict[str, Any]) -> None:
    (found,), account = read(tmp_path, row, how=How(**options))

    assert account.problems == []
    assert found["messages"] == TURNS


def test_rows_with_a_key_are_left_out_where_that_is_asked(tmp_path: Path) -> None:
    found, account = read(
        tmp_path, {"messages": TURNS}, {"messages": TURNS, "tools": [1]}, how=How(without=frozenset({"tools"}))
    )

    assert len(found) == 1
    assert list(account.sentences()) == ["left out: 1 row with tools, line 2"]


@pytest.mark.parametrize(
    ("wanted", "says"),
    [
        (convert.Wanted(pairs=["promt=question"]), r"--field promt: no such field \(did you mean 'prompt'\?\)"),
        (convert.Wanted(pairs=["foo=bar"]), "--field foo: no such field"),
        (convert.Wanted(pairs=["prompt"]), "--field is NAME=KEY"),
        (convert.Wanted(pairs=["system=systemprompt"]), "No row has 'systemprompt'"),
        (convert.Wanted(roles=["bot=robot"]), "'robot' is not one of"),
        (convert.Wanted(form="sharegtp"), "did you mean 'sharegpt'"),
    ],
)
def test_an_option_that_means_nothing_is_an_error(tmp_path: Path, wanted: convert.Wanted, says: str) -> None:
    (tmp_path / "rows.jsonl").write_text(json.dumps({"prompt": Q, "completion": A}) + "\n", "utf-8")

    with pytest.raises(Stop, match=says) as raised:
        convert.to_file([tmp_path / "rows.jsonl"], tmp_path / "new.jsonl", wanted)
    assert isinstance(raised.value, ConfigError | DataError)
    assert not (tmp_path / "new.jsonl").exists()


def test_every_shape_stands_in_the_documentation() -> None:
    text = (ROOT / "docs" / "data.md").read_text("utf-8")

    for shape in shapes.SHAPES:
        assert f"| {' + '.join(f'`{key}`' for key in shape.keys)} | {shape.name} | {shape.form} |" in text
