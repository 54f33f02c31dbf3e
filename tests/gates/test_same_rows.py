"""Which golden rows are those that were answered before: as they were, or with labels beside."""

import time
from collections.abc import Callable
from typing import Any

import pytest

import gates
from gates.same_rows import same_rows
from tests.gates.examples import contract, golden_rows, with_outputs

FULL: dict[str, Any] = {
    "id": "a",
    "messages": [{"role": "user", "content": "Is it?"}, {"role": "assistant", "content": "It is [1]."}],
    "documents": [{"id": 1, "text": "It is."}],
    "answerable": True,
    "support": [1],
    "citation_required": True,
    "tags": ["short"],
    "meta": {"family": "f", "note": "n"},
}
TWO = [{"id": 1, "text": "It is."}, {"id": 2, "text": "It is so."}]
BARE: dict[str, Any] = {"id": "a", "prompt": "Is it?", "documents": FULL["documents"]}
Change = Callable[[dict[str, Any]], dict[str, Any]]


def without(*keys: str) -> Change:
    return lambda row: {key: value for key, value in row.items() if key not in keys}


def with_(**labels: Any) -> Change:
    return lambda row: {**row, **labels}


ADDED: dict[str, tuple[dict[str, Any], Change]] = {
    "nothing": (FULL, without()),
    "whether it can be answered": (FULL, without("answerable")),
    "what supports it": (FULL, without("support")),
    "tags": (FULL, without("tags")),
    "a citation that is asked for by default": (FULL, without("citation_required")),
    "meta": (FULL, without("meta")),
    "a key of meta": (FULL, with_(meta={"note": "n"})),
    "all labels": (FULL, without("answerable", "support", "citation_required", "tags", "meta")),
    "a reference answer": (FULL, with_(messages=FULL["messages"][:1])),
    "a reference answer and a key of meta": (FULL, with_(messages=FULL["messages"][:1], meta={"family": "f"})),
    "a reference beside a prompt": ({**BARE, "gold": "It is."}, without("gold")),
}
OTHER: dict[str, tuple[dict[str, Any], Change]] = {
    "another question": (FULL, with_(messages=[{"role": "user", "content": "Was it?"}, FULL["messages"][1]])),
    "another reference": (FULL, with_(messages=[FULL["messages"][0], {"role": "assistant", "content": "No [1]."}])),
    "another document": (FULL, with_(documents=[{"id": 1, "text": "It was."}])),
    "a document gone": (FULL, with_(documents=[*FULL["documents"], {"id": 2, "text": "Or not."}])),
    "documents that were none": (FULL, without("documents")),
    "another label": (FULL, with_(answerable=False, support=[])),
    "other support": ({**FULL, "documents": TWO}, with_(support=[2])),
    "a label gone": (without("answerable")(FULL), with_(answerable=True)),
    "a reference gone": (BARE, with_(gold="It is.")),
    "another note": (FULL, with_(meta={"family": "f", "note": "another"})),
    "a key of meta gone": (FULL, with_(meta={**FULL["meta"], "more": 1})),
    "a citation that is not asked for any more": ({**FULL, "citation_required": False}, without("citation_required")),
    "another id": (FULL, with_(id="b")),
}


def is_same(now: dict[str, Any], change: Change, version: int) -> bool:
    then = {key: value for key, value in change(now).items() if value != []}
    digests = {row.id: row.digest for row in gates.parse_golden([then])}
    return bool(same_rows(gates.parse_golden([now]), digests, version=version))


@pytest.mark.parametrize("name", ADDED)
def test_a_row_with_labels_beside_is_the_same_row(name: str) -> None:
    assert is_same(*ADDED[name], version=2)
    assert is_same(*ADDED[name], version=1) is (name == "nothing")


@pytest.mark.parametrize("name", OTHER)
def test_a_row_that_asks_or_is_labelled_otherwise_is_another(name: str) -> None:
    assert not is_same(*OTHER[name], version=2)


def test_a_set_whose_rows_all_got_labels_is_compared_on_all_of_them() -> None:
    then = [{key: value for key, value in row.items() if key not in ("support", "answerable")} for row in golden_rows()]
    now, before = gates.parse_golden(golden_rows()), gates.parse_golden(then)
    earlier = gates.Earlier(name="v1", golden=before, outputs=with_outputs(now, {"q00": "no JSON"}))
    loose = {"json_parse": {"mode": "point", "target": 0.5}}

    def compared(version: int) -> gates.Comparison:
        judged_by = gates.load_policy({**loose, "version": version})
        return gates.compare(now, gates.gold_outputs(now), [earlier], contract(), judged_by, against="last")

    assert gates.not_comparable(now, earlier, version=2) == ""
    assert "only 0 of 40" in gates.not_comparable(now, earlier)
    found = compared(2)
    assert (found.rows, found.passed, found.pairings[0].won) == (40, True, ("q00",))
    assert compared(1).problems


def test_a_large_set_of_other_rows_is_told_from_the_old_one_in_short_time() -> None:
    meta = {f"key {number}": number for number in range(40)}
    rows = gates.parse_golden([{**FULL, "id": number, "meta": meta} for number in range(3000)])
    started = time.process_time()

    assert same_rows(rows, {row.id: "0" * 64 for row in rows}, version=2) == ()
    assert time.process_time() - started < 10
