"""Which contract asks for less than another: what is gone, looser or read otherwise, and not what is only added."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

import gates
from gates.answer import pair
from gates.controls import negative_controls
from gates.table import ABOUT
from tests.gates.examples import DATA, REFUSAL, rich

RULE = {"name": "sure", "if": {"at": "/confidence", "present": True}, "then": {"at": "/answer", "empty": False}}
FULL: Mapping[str, Any] = {
    "version": 2,
    "schema": "rich.schema.json",
    "answer": "/answer",
    "citations": {"at": "/citations", "key": "id", "provenance": {"title": "title"}},
    "refusal": "/refusal",
    "confidence": "/confidence",
    "unknowns": "/unknowns",
    "rules": ["refusal_has_unknowns", "answer_has_citations", RULE],
    "correctness": [{"at": "/answer", "by": "normalized"}, {"at": "/confidence", "by": "number", "tolerance": 0.1}],
    "refusal_text": {"languages": ["en", "de"], "phrases": ["no idea"]},
    "max_characters": 5000,
}


def changed(**changes: Any) -> dict[str, Any]:
    """The full contract; a key changed to None is left out."""
    return {key: value for key, value in {**FULL, **changes}.items() if value is not None}


Change = dict[str, Any]
ADDED: Mapping[str, tuple[Change, Change]] = {
    "a version": ({"version": None}, {}),
    "a rule": ({"rules": ["answer_has_citations"]}, {}),
    "the first rules": ({"rules": None}, {}),
    "a place that is compared": ({"correctness": [{"at": "/answer", "by": "normalized"}]}, {}),
    "the first places that are compared": ({"correctness": None}, {}),
    "words of refusals, the first": ({"refusal_text": None}, {}),
    "a confidence": ({"confidence": None, "rules": None, "correctness": None}, {"rules": None, "correctness": None}),
    "unknowns": ({"unknowns": None, "rules": None}, {"rules": None}),
    "citations": ({"citations": None, "rules": None}, {"rules": None}),
    "provenance": ({"citations": {"at": "/citations", "key": "id"}}, {}),
    "shorter answers": ({}, {"max_characters": 400}),
    "shorter answers than by default": ({"max_characters": None}, {}),
    "a smaller tolerance": ({}, {"correctness": [FULL["correctness"][0], {"at": "/confidence", "by": "number"}]}),
    "exact, was normalized": ({}, {"correctness": [{"at": "/answer", "by": "exact"}, FULL["correctness"][1]]}),
}
SAME: Mapping[str, tuple[Change, Change]] = {
    "everything": ({}, {}),
    "a default spelled out": ({}, {"confident_from": 0.8, "document_fields": {"text": "text"}}),
    "a list of one": ({}, {"refusal": ["/refusal"], "unknowns": ["/unknowns"]}),
    "a mapping for a pointer": ({}, {"refusal": {"at": "/refusal"}}),
    "another order": (
        {},
        {"rules": FULL["rules"][::-1], "refusal_text": {"phrases": ["no idea"], "languages": ["de", "en"]}},
    ),
    "another name of a rule": ({}, {"rules": [*FULL["rules"][:2], {**RULE, "name": "certain"}]}),
    "another path to the schema": ({}, {"schema": "elsewhere/rich.schema.json"}),
    "languages alone": ({"refusal_text": {"languages": ["en"]}}, {"refusal_text": {"languages": ["en"]}}),
    "phrases alone": ({"refusal_text": {"phrases": ["no idea"]}}, {"refusal_text": {"phrases": ["no idea"]}}),
    "refusals in another order": (
        {"refusal": ["/refusal", {"at": "/answer", "equals": "no"}]},
        {"refusal": [{"at": "/answer", "equals": "no"}, "/refusal"]},
    ),
    "a confidence of nobody": ({"confidence": None}, {"confidence": None, "confident_from": 0.1}),
}
LONG = "n" * 90
WEAKER: Mapping[str, tuple[Change, Change, str]] = {
    "version": ({}, {"version": 1}, "version: 1, was 2"),
    "a rule gone": ({}, {"rules": FULL["rules"][1:]}, "rules: refusal_has_unknowns gone or another, was required"),
    "a rule changed under its name": (
        {},
        {"rules": [*FULL["rules"][:2], {**RULE, "then": {"at": "/answer", "present": True}}]},
        "rules: sure gone or another, was required",
    ),
    "true for one": (
        {"rules": [{"name": "a", "then": {"at": "/refusal", "equals": True}}]},
        {"rules": [{"name": "a", "then": {"at": "/refusal", "equals": 1}}]},
        "rules: a gone or another, was required",
    ),
    "a place gone": (
        {},
        {"correctness": FULL["correctness"][1:]},
        "correctness: /answer is not compared, was compared by normalized",
    ),
    "a place compared otherwise": (
        {},
        {"correctness": [{"at": "/answer", "by": "contains_all"}, FULL["correctness"][1]]},
        "correctness: /answer is compared by contains_all, was compared by normalized",
    ),
    "another reference": (
        {},
        {"correctness": [{"at": "/answer", "by": "normalized", "reference": "/said"}, FULL["correctness"][1]]},
        "correctness: /answer is not compared, was compared by normalized",
    ),
    "a larger tolerance": (
        {},
        {"correctness": [FULL["correctness"][0], {"at": "/confidence", "by": "number", "tolerance": 0.5}]},
        "correctness: /confidence is compared by number tolerance 0.5, was compared by number tolerance 0.1",
    ),
    "a tolerance of another kind": (
        {},
        {"correctness": [FULL["correctness"][0], {"at": "/confidence", "by": "number", "relative": 0.1}]},
        "correctness: /confidence is compared by number relative 0.1, was compared by number tolerance 0.1",
    ),
    "words of refusals gone": (
        {},
        {"refusal_text": None},
        'refusal_text: none, was {"languages": ["de", "en"], "phrases": ["no idea"]}',
    ),
    "one more word, by which more refusals are one": (
        {},
        {"refusal_text": {"languages": ["de", "en"], "phrases": ["no idea", "who knows"]}},
        "refusal_text: {one}, was {two}".format(
            one='{"languages": ["de", "en"], "phrases": ["no idea", "who knows"]}',
            two='{"languages": ["de", "en"], "phrases": ["no idea"]}',
        ),
    ),
    "longer answers": ({}, {"max_characters": 6000}, "max_characters: 6000, was 5000"),
    "longer answers by default": ({}, {"max_characters": None}, "max_characters: 20000, was 5000"),
    "a confidence gone": ({}, {"confidence": None}, 'confidence: none, was "/confidence"'),
    "fewer answers that count as confident": ({}, {"confident_from": 0.95}, "confident_from: 0.95, was 0.8"),
    "unknowns gone": ({}, {"unknowns": None}, 'unknowns: none, was ["/unknowns"]'),
    "citations elsewhere": (
        {},
        {"citations": {**FULL["citations"], "at": "/sources"}},
        "citations: {one}, was {two}".format(
            one='{"at": "/sources", "key": "id", "matches": "id"}',
            two='{"at": "/citations", "key": "id", "matches": "id"}',
        ),
    ),
    "provenance gone": (
        {},
        {"citations": {"at": "/citations", "key": "id"}},
        "citations.provenance: title gone or another, was required",
    ),
    "a refusal, by which refusing answers are counted less": (
        {"refusal": None, "rules": None, "refusal_text": None},
        {"rules": None, "refusal_text": None},
        'refusal: [{"at": "/refusal", "equals": true}], was none',
    ),
    "markers, which are no part of what is compared": (
        {},
        {"markers": r"\[(\d+)\]"},
        r'markers: "\\[(\\d+)\\]", was none',
    ),
    "documents that were none": (
        {},
        {"documents": r"(?P<id>\d+)"},
        r'documents: "(?P<id>\\d+)", was none',
    ),
    "another field of the text": (
        {},
        {"document_fields": {"text": "title"}},
        'document_fields: {"score": "score", "text": "title"}, was {"score": "score", "text": "text"}',
    ),
    "another field of the score": (
        {},
        {"document_fields": {"score": "rank"}},
        'document_fields: {"score": "rank", "text": "text"}, was {"score": "score", "text": "text"}',
    ),
    "another place of the answer": ({}, {"answer": "/text"}, 'answer: "/text", was "/answer"'),
    "a place of the answer more": ({}, {"answer": ["/answer", "/text"]}, 'answer: ["/answer", "/text"], was "/answer"'),
    "no version, which is the first": ({}, {"version": None}, "version: 1, was 2"),
    "a confidence gone, and what it is compared with": (
        {},
        {"confidence": None, "confident_from": 0.1},
        'confidence: none, was "/confidence"',
    ),
    "a phrase that is not in ASCII": (
        {"refusal_text": {"phrases": ["wei\u00df nicht"]}},
        {"refusal_text": None},
        'refusal_text: none, was {"languages": [], "phrases": ["wei\u00df nicht"]}',
    ),
    "a phrase that is too long to be shown": (
        {"refusal_text": {"phrases": [LONG]}},
        {"refusal_text": None},
        f'refusal_text: none, was {{"languages": [], "phrases": ["{LONG[:48]}\u2026',
    ),
    "a rule whose name is too long to be shown": (
        {"rules": [{**RULE, "name": LONG}]},
        {"rules": None},
        f"rules: {LONG[:79]}\u2026 gone or another, was required",
    ),
    "citations gone, with their provenance": (
        {"rules": None},
        {"rules": None, "citations": None},
        'citations: none, was {"at": "/citations", "key": "id", "matches": "id"}',
    ),
    "provenance of two fields gone": (
        {"citations": {**FULL["citations"], "provenance": {"title": "title", "by": "author"}}},
        {"citations": {"at": "/citations", "key": "id"}},
        "citations.provenance: by, title gone or another, was required",
    ),
    "a place compared in two other ways": (
        {"correctness": FULL["correctness"][:1]},
        {"correctness": [{"at": "/answer", "by": "contains_all"}, {"at": "/answer", "by": "one_of"}]},
        "correctness: /answer is compared by contains_all and compared by one_of, was compared by normalized",
    ),
}


@pytest.mark.parametrize("name", [*ADDED, *SAME])
def test_a_contract_that_only_adds_or_says_the_same_is_not_weaker(name: str) -> None:
    then, now = {**ADDED, **SAME}[name]

    assert gates.weaker_contract(changed(**now), changed(**then)) == ()


@pytest.mark.parametrize("name", WEAKER)
def test_what_a_contract_may_let_through_is_named(name: str) -> None:
    then, now, line = WEAKER[name]

    assert gates.weaker_contract(changed(**now), changed(**then)) == (f"contract.{line}",)


def outputs(rows: tuple[gates.Golden, ...], agreed: gates.Contract) -> list[tuple[gates.Output, ...]]:
    """Reference answers and every way of breaking them, over all rows."""
    said = gates.gold_outputs(rows)
    texts = [REFUSAL, "no JSON", json.dumps({"answer": "Who knows?", "citations": [], "refusal": True})]
    broken = [tuple(gates.Output(id=row.id, output=text) for row in rows) for text in texts]
    for some in negative_controls(rows, agreed).values():
        ids = {one.id for one in some}
        broken.append((*(one for one in said if one.id not in ids), *some))
    return [said, *broken]


def let_through(then: dict[str, Any], now: dict[str, Any]) -> set[str]:
    """The gates that count an answer as wrong by the one contract, and not by the other."""
    every, agreed = rich()
    rows, found = every[::5], set()
    before, after = (
        gates.load_contract({**changed(**one), "schema": "rich.schema.json"}, DATA / "contract") for one in (then, now)
    )
    for some in outputs(rows, agreed):
        old, new = pair(rows, some, before), pair(rows, some, after)
        for gate, about in ABOUT.items():
            if before.declares >= set(about.needs):
                was, is_ = about.score(old), about.score(new)
                missed = {miss.id for miss in was.misses} <= {miss.id for miss in is_.misses}
                found |= set() if missed and set(was.counted) <= set(is_.counted) else {gate}
    return found


@pytest.mark.parametrize("name", [*ADDED, *SAME])
def test_what_was_wrong_is_wrong_by_a_contract_that_only_adds(name: str) -> None:
    """A newer version reads the same citations in more spellings; none of these answers has one."""
    assert let_through(*{**ADDED, **SAME}[name]) == set()


@pytest.mark.parametrize(
    ("name", "gate"),
    [
        ("a rule gone", "contract_rules"),
        ("a place gone", "answer_correctness"),
        ("one more word, by which more refusals are one", "refusal_agreement"),
        ("a refusal, by which refusing answers are counted less", "citation_precision"),
        ("fewer answers that count as confident", "no_false_confidence"),
    ],
)
def test_a_contract_that_is_named_as_weaker_lets_answers_through(name: str, gate: str) -> None:
    then, now, _ = WEAKER[name]

    assert gate in let_through(then, now)


@pytest.mark.parametrize("nonsense", [{}, {"schema": 1}, {"answer": "/answer", "schema": "a", "later": True}])
def test_a_contract_that_cannot_be_read_any_more_is_said_to_be_one(nonsense: dict[str, Any]) -> None:
    (line,) = gates.weaker_contract(changed(), nonsense)

    assert line.startswith("contract: another one, and the last one cannot be read any more (contract")
