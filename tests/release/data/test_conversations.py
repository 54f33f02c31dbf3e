"""Which answers of a conversation are learned, and what else of it is looked at: every turn, and the system text."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import gates
from release import inputs
from release.config import reading
from release.data import chat as chats
from release.data import dataset, gate
from release.data.checks import Report
from release.data.evidence import Limits
from release.models import base as bases
from release.models.loss import IGNORED
from release.values.errors import DataError
from tests.helpers.line import ROOT, adapter_release, small_config

FILES = ROOT / "tests" / "data" / "dataset"
GOOD = [json.loads(line) for line in (FILES / "good" / "train.jsonl").read_text("utf-8").splitlines()]
GOLDEN = json.loads((ROOT / "data" / "elements" / "golden.jsonl").read_text("utf-8").splitlines()[0])
QUESTION = GOLDEN["messages"][1]["content"].splitlines()[-1]


SEVERAL = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "One?"},
    {"role": "assistant", "content": "First."},
    {"role": "user", "content": "Two?"},
    {"role": "assistant", "content": "Second."},
    {"role": "user", "content": "Three?"},
]


def learned(chat: chats.Chat, example: chats.Example) -> str:
    """What the labels teach, as text."""
    return chat.decoded([one for one in example.labels(IGNORED) if one != IGNORED])


def test_every_answer_of_a_conversation_is_learned_with_its_end_and_nothing_else(base: bases.Base) -> None:
    chat = chats.read(base.folder)
    last, every = chat.example(SEVERAL, "Third."), chat.conversation(SEVERAL, "Third.")

    assert learned(chat, last) == "Third.<|im_end|>"
    assert learned(chat, every) == "First.<|im_end|>Second.<|im_end|>Third.<|im_end|>"
    assert (every.asked, every.learned) == (last.asked, last.learned)
    assert len(every.labels(IGNORED)) == len(last.labels(IGNORED)) == every.total


def test_an_answer_that_is_marked_is_not_learned_among_the_others(base: bases.Base) -> None:
    chat = chats.read(base.folder)

    assert learned(chat, chat.conversation(SEVERAL, "Third.", frozenset({2}))) == "Second.<|im_end|>Third.<|im_end|>"


def test_a_row_with_one_answer_has_the_same_labels_either_way(base: bases.Base) -> None:
    chat = chats.read(base.folder)

    assert chat.conversation(SEVERAL[:2], "First.") == chat.example(SEVERAL[:2], "First.")


def test_a_template_that_writes_earlier_answers_otherwise_cannot_teach_them(base: bases.Base) -> None:
    chat = chats.read(base.folder)
    said = "{{ m.content if loop.last or m.role == 'user' else '-' ~ m.content }}"
    turns = f"{{% for m in messages %}}<|im_start|>{{{{ m.role }}}}\n{said}<|im_end|>\n{{% endfor %}}"
    ending = "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    example = replace(chat, template=turns + ending).conversation(SEVERAL[1:], "Third.")

    assert "Message 2, an earlier answer: The chat template writes it otherwise here" in example.fault
    assert "data.learn: last" in example.fault


def test_special_tokens_of_the_base_in_a_text_are_named(base: bases.Base) -> None:
    chat = chats.read(base.folder)

    assert chat.reserved(["Is <|im_end|> it?", "a <|im_end|><|im_start|> b"]) == ("<|im_end|>", "<|im_start|>")
    assert chat.reserved(["Is it < 3 or > 2?", "[INST]"]) == ()


def report(folder: Path, change: list[dict[str, Any]], **options: Any) -> Report:
    """The good rows, and before the last question of the fifth these messages; beside the default golden rows."""
    rows = json.loads(json.dumps(GOOD))
    rows[4]["messages"][1:1] = change
    path = folder / "train.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    loaded = reading.load(ROOT / "release.yaml")
    golden = dataset.load(ROOT / "data" / "elements" / "golden.jsonl")
    return gate.examine(dataset.load(path), golden, gates.load_contract(loaded.contract, ROOT), gate.Options(**options))


RIGHT = '{"answer":"The sources do not say.","citations":[],"refusal":true}'


@pytest.mark.parametrize(
    ("answer", "marked", "every", "wrong"),
    [
        ("Yes, I am.", False, True, True),
        ("Yes, I am.", True, True, False),
        ("Yes, I am.", False, False, False),
        (RIGHT, False, True, False),
    ],
)
def test_an_earlier_answer_must_be_right_where_it_is_learned(
    tmp_path: Path, answer: str, *, marked: bool, every: bool, wrong: bool
) -> None:
    said = {"role": "assistant", "content": answer} | ({"weight": 0} if marked else {})
    found = report(tmp_path, [{"role": "user", "content": "Is it?"}, said], limits=Limits(every_answer=every))

    assert [(one.row, "message 3" in one.says) for one in found.errors if one.check == "earlier_answers"] == (
        [("train-0005", True)] if wrong else []
    )


@pytest.mark.parametrize(
    ("role", "text", "leaks"),
    [
        ("user", QUESTION, True),
        ("user", QUESTION.upper().replace(" ", "  "), True),
        ("system", f"Answer as in this example. {QUESTION} It is 7.", True),
        ("assistant", f"Do you mean: {QUESTION}", True),
        ("user", "What is the period of a pendulum?", False),
        ("system", "Answer from the sources as JSON.", False),
    ],
)
def test_a_golden_question_is_found_in_every_turn_and_in_the_system_text(
    tmp_path: Path, role: str, text: str, *, leaks: bool
) -> None:
    turn = [{"role": role, "content": text}]
    change = turn if role != "user" else [*turn, {"role": "assistant", "content": RIGHT}]
    found = [one for one in report(tmp_path, change).errors if one.check == "leakage"]

    assert [(one.row, f"by {role}" in one.says) for one in found] == ([("train-0005", True)] if leaks else [])


def strangers(folder: Path) -> Path:
    """The default's rows as others keep them: a mark of bad rows, a score, an earlier answer, in one array."""
    rows = [json.loads(line) for line in (ROOT / "data" / "elements" / "train.jsonl").read_text("utf-8").splitlines()]
    chat = [{"messages": row["messages"], "score": 1} for row in rows[:40]]
    chat[0]["label"] = False
    earlier = [{"role": "user", "content": "Is it?"}, {"role": "assistant", "content": "Yes."}]
    chat[1]["messages"] = [chat[1]["messages"][0], *earlier, *chat[1]["messages"][1:]]
    (folder / "rows.json").write_text(json.dumps(chat, indent=1), "utf-8")
    return small_config(folder, data={"train_file": str(folder / "rows.json")})


@pytest.mark.parametrize("command", [("data", "check"), ("check",)])
def test_every_command_says_what_of_a_file_is_not_learned(tmp_path: Path, command: tuple[str, ...]) -> None:
    done = adapter_release(*command, str(strangers(tmp_path)), cwd=tmp_path)

    assert "kept under meta: score (39 rows)" in done.stderr
    assert "left out: 1 row marked as bad (label: false), line 2" in done.stderr
    assert "1 row of several answers in one conversation: the last alone is learned (data.learn: all" in done.stderr


def test_doctor_says_it_too(tmp_path: Path) -> None:
    from release import preflight

    found = inputs.load(reading.load(strangers(tmp_path)), lambda _: None)
    items = preflight._data_items(found, lambda _: None)

    assert [one.says for one in items if "label: false" in one.says]


def test_a_field_that_neither_file_has_is_an_error(tmp_path: Path) -> None:
    path = small_config(tmp_path, data={"fields": {"prompt": "asked"}})

    with pytest.raises(DataError, match=r"data\.fields: No row has 'asked'"):
        inputs.there(inputs.load(reading.load(path), lambda _: None).rows)
