"""The proposed answer format: of each shape that people have, what is found, and by what."""

import json
from collections.abc import Callable
from typing import Any

import pytest

import gates
from release.repository import proposal
from release.repository.proposal import Proposal
from release.values.errors import DataError
from tests.release.repository.shapes import Answer, chat, plain


def propose(rows: list[Any]) -> Proposal:
    return proposal.propose(gates.parse_golden([{"id": str(number), **row} for number, row in enumerate(rows)]))


def test_a_chat_with_json_answers_that_cite_and_refuse() -> None:
    found = propose(chat())

    assert found.contract == {
        "version": 2,
        "schema": "data/answer.schema.json",
        "answer": "/answer",
        "citations": "/citations",
        "refusal": "/refusal",
        "markers": r"\[(\d+)\]",
        "rules": ["markers_equal_citations", "refusal_has_no_citations", "answer_has_citations"],
        "correctness": [{"at": "/answer", "by": "normalized"}],
    }
    assert found.why.keys() == found.contract.keys() - {"version", "schema"}
    assert found.why["refusal"] == "a truth value of that name"


def nested(text: str, cited: str, refuses: bool) -> dict[str, Any]:
    quotes = [] if refuses else [{"source": cited, "quote": "..."}]
    return {"result": {"reply": text, "evidence": quotes}, "status": "refused" if refuses else "answered"}


def inverted(text: str, cited: str, refuses: bool) -> dict[str, Any]:
    return {"text": text, "sources": [] if refuses else [cited], "answerable": not refuses}


def unnamed(text: str, cited: str, refuses: bool) -> dict[str, Any]:
    return {"say": text, "from": [] if refuses else [cited], "ok": not refuses}


@pytest.mark.parametrize(
    ("answer", "parts"),
    [
        (
            nested,
            {
                "answer": "/result/reply",
                "citations": {"at": "/result/evidence", "key": "source", "matches": "id"},
                "refusal": {"at": "/status", "equals": "refused"},
            },
        ),
        (inverted, {"answer": "/text", "citations": "/sources", "refusal": {"at": "/answerable", "equals": False}}),
        (unnamed, {"answer": "/say", "citations": "/from", "refusal": {"at": "/ok", "equals": False}}),
    ],
)
def test_names_and_places_are_those_of_the_rows(answer: Answer, parts: dict[str, Any]) -> None:
    found = propose(chat(answer))

    assert {name: found.contract.get(name) for name in parts} == parts
    assert "markers" not in found.contract


def test_labels_decide_before_names() -> None:
    """A field that is called a refusal and says something else is not taken for one."""

    def answer(text: str, cited: str, refuses: bool) -> dict[str, Any]:
        return {**plain(text, cited, refuses), "refusal": len(text) % 2 == 0, "kind": "no" if refuses else "yes"}

    rows = [{**row, "answerable": json.loads(row["messages"][-1]["content"])["kind"] == "yes"} for row in chat(answer)]

    assert propose(rows).contract["refusal"] == {"at": "/kind", "equals": "no"}


def test_without_a_refusal_the_gates_that_need_one_are_left_out() -> None:
    rows = chat(lambda text, cited, _: {"answer": text, "citations": [cited]}, refusing=False)

    found = propose(rows)

    assert "refusal" not in found.contract
    policy = gates.default_policy(found.loaded().declares)
    assert {"refusal_recall", "refusal_precision"} & policy.keys() == set()
    assert {"json_parse", "citation_coverage"} <= policy.keys()


def test_answers_that_cite_nothing_have_no_citations() -> None:
    found = propose(chat(lambda text, _, refuses: {"answer": text, "tags": ["a", "b"], "refusal": refuses}))

    assert "citations" not in found.contract
    assert not [name for name in gates.default_policy(found.loaded().declares) if name.startswith("citation")]


def test_documents_that_are_in_the_prompt_alone_are_found_there() -> None:
    found = propose(chat(documents=False))

    assert str(found.contract["documents"]).startswith(r"^\[(?P<id>")
    assert found.why["documents"] == "finds what is cited in 130 of the 130 prompts whose answers cite"
    answers = [
        gates.read_answer(row, gates.Output(id=row.id, output=row.gold or ""), found.loaded())
        for row in gates.parse_golden([{"id": "a", **chat(documents=False)[1]}])
    ]
    assert answers[0].documents == {"1", "2"}


def test_a_list_of_numbers_that_are_not_documents_is_not_a_citation() -> None:
    def answer(text: str, cited: str, refuses: bool) -> dict[str, Any]:
        return {**plain(text, cited, refuses), "numbers": [77, 78], "years": [1900]}

    assert propose(chat(answer)).contract["citations"] == "/citations"


def test_a_rule_that_one_row_breaks_is_not_proposed() -> None:
    rows = chat()
    rows[1]["messages"][-1]["content"] = json.dumps({"answer": "It is so.", "citations": [], "refusal": False})

    assert propose(rows).contract["rules"] == ["markers_equal_citations", "refusal_has_no_citations"]


COMPARED: dict[str, tuple[dict[str, Any], list[dict[str, str]]]] = {
    "a label": ({"label": "ham"}, [{"at": "/label", "by": "normalized"}]),
    "an extraction": (
        {"vendor": "a", "total": 1.5, "paid": True, "to": {"city": "b"}, "items": [{"n": 1}], "note": None},
        [
            {"at": "/vendor", "by": "normalized"},
            {"at": "/total", "by": "number"},
            {"at": "/paid", "by": "exact"},
            {"at": "/to/city", "by": "normalized"},
        ],
    ),
    "a confidence": ({"answer": "a", "confidence": "high", "score": 0.5}, [{"at": "/answer", "by": "normalized"}]),
    "a refusal": ({"answer": "a", "refusal": True}, [{"at": "/answer", "by": "normalized"}]),
    "a long text": ({"answer": "long " * 20, "total": 5}, []),
}


@pytest.mark.parametrize("name", COMPARED)
def test_what_can_be_asked_to_be_the_same_is_compared(name: str) -> None:
    """Truth values and numbers go with the rows, so that no place is always the same."""
    answer, places = COMPARED[name]

    def turned(value: Any, number: int) -> Any:
        return number % 2 == 0 if isinstance(value, bool) else value

    said = [json.dumps({key: turned(one, number) for key, one in answer.items()}) for number in range(12)]
    found = propose([{"prompt": f"{number}?", "gold": one} for number, one in enumerate(said)])

    assert found.contract.get("correctness", []) == places


@pytest.mark.parametrize(
    ("asked", "value", "compared"),
    [
        ("{}?", lambda number: 7000 + number, False),
        ("{}?", lambda number: f"row-{number + 100}", False),
        ("bill 70{:02}?", lambda number: 7000 + number, True),
        ("bill row-{}?", lambda number: f"row-{number}", True),
        ("{}?", lambda number: 7000 + number // 2, True),
    ],
)
def test_a_rows_own_number_is_compared_where_who_is_asked_can_know_it(
    asked: str, value: Callable[[int], Any], *, compared: bool
) -> None:
    rows = [
        {"prompt": asked.format(number), "gold": json.dumps({"answer": "yes", "number": value(number)})}
        for number in range(12)
    ]

    places = propose(rows).contract["correctness"]

    assert ("/number" in json.dumps(places)) is compared


def test_long_texts_are_not_asked_for_word_by_word() -> None:
    assert "correctness" not in propose(chat(lambda text, cited, no: {**plain(text * 9, cited, no)})).contract


@pytest.mark.parametrize(
    ("answers", "says"),
    [
        (["It is 5."], "No answer in these rows is a JSON object"),
        (["[1]", '"text"', "5"], "No answer in these rows is a JSON object"),
        (['{"answer": "a"}', "It is 5.", "[1]"], "rows line 2: its answer is not a JSON object"),
        (['{"answer": "a"}', "[1]"], "rows line 2: its answer is not a JSON object (not_object"),
        (['{"answer": "a"}', "```json\n{}\n```"], "rows line 2: its answer is not a JSON object"),
    ],
)
def test_rows_that_are_not_json_are_named_with_the_way_out(answers: list[str], says: str) -> None:
    rows = gates.parse_golden([{"id": str(n), "prompt": "?", "gold": one} for n, one in enumerate(answers)])

    with pytest.raises(DataError) as stopped:
        proposal.parsed(rows, [f"rows line {number}" for number in range(1, len(rows) + 1)])

    assert says in str(stopped.value)
    assert "Nothing was written" in str(stopped.value)


@pytest.mark.parametrize("values", [[{"n": 1}], [{"a": "x"}, {"b": "y"}], [{"a": "x"}, {"a": 1}], [{"a": None}]])
def test_answers_without_a_text_in_one_place_are_refused(values: list[Any]) -> None:
    with pytest.raises(DataError, match="No field is text in every reference answer"):
        propose([{"prompt": "?", "gold": json.dumps(value)} for value in values])
