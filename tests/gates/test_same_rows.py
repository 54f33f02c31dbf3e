"""Which golden rows are those that were answered before: as they were, or with labels beside."""

import json
import time
from collections.abc import Callable
from typing import Any

import pytest

import gates
from gates.same_rows import MOST_KEYS, MOST_TRIES, same_rows
from tests.gates.examples import DATA, contract, golden_rows, with_outputs

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
TURNS: dict[str, Any] = {
    "id": "a",
    "messages": [*FULL["messages"], {"role": "user", "content": "And now?"}],
    "documents": FULL["documents"],
}
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
    "a reference of a second question": (
        {**TURNS, "messages": [*TURNS["messages"], FULL["messages"][1]]},
        with_(messages=TURNS["messages"]),
    ),
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
    "two keys of meta, which are not tried": (FULL, with_(meta={})),
    "another id": (FULL, with_(id="b")),
    "a question more": (TURNS, with_(messages=TURNS["messages"][:-1])),
    "a question more, and its reference": (
        {**TURNS, "gold": "It is."},
        lambda row: {"id": "a", "messages": row["messages"][:-1], "documents": row["documents"]},
    ),
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


def found_of(*rows: tuple[dict[str, Any], Change | None]) -> list[bool]:
    """Which of these rows are found again, each by its change; None: nothing was asked then under its id."""
    now = gates.parse_golden([{**row, "id": number} for number, (row, _) in enumerate(rows)])
    digests = {}
    for one, (_, change) in zip(now, rows, strict=True):
        if change is not None:
            (then,) = gates.parse_golden([change(dict(one.row))])
            digests[one.id] = then.digest
    same = same_rows(now, digests, version=2)
    assert [one.id for one in same] == sorted((one.id for one in same), key=int)
    return [one in same for one in now]


OTHERWISE = (FULL, with_(support=[], answerable=False))


def test_each_row_is_found_by_its_own_change_whatever_stands_before_it() -> None:
    rows = [
        (FULL, without()),
        (FULL, None),
        (FULL, without("tags")),
        OTHERWISE,
        (FULL, without("support", "meta")),
        (FULL, without()),
        (FULL, None),
        (BARE, with_(prompt="Was it?")),
        (FULL, without("tags")),
    ]

    assert found_of(*rows) == [True, False, True, False, True, True, False, False, True]


@pytest.mark.parametrize(("others", "found"), [(MOST_TRIES - 1, True), (MOST_TRIES, False)])
def test_after_so_many_other_rows_only_ways_that_were_found_are_tried(others: int, found: bool) -> None:
    before = [(FULL, without("tags")), (FULL, without("support"))]

    assert found_of(*before, *[OTHERWISE] * others, *before, (FULL, without("meta")))[-3:] == [True, True, found]


def test_a_key_of_meta_that_was_added_once_is_looked_for_in_every_row() -> None:
    many = {**{f"k{number}": number for number in range(MOST_KEYS)}, "family": "f"}
    added = with_(meta={key: value for key, value in many.items() if key != "family"})

    assert found_of(({**FULL, "meta": many}, added)) == [False]
    assert found_of((FULL, with_(meta={"note": "n"})), ({**FULL, "meta": many}, added)) == [True, True]


NEIGHBOURS = json.loads((DATA / "rows_of_then.json").read_text("utf-8"))
ROW: dict[str, Any] = {
    "id": "a",
    "prompt": "Is it?",
    "gold": "It is [1].",
    "documents": [{"id": 1, "text": "It is."}, {"id": 2, "text": "Or not."}],
    "answerable": True,
    "support": [1],
    "citation_required": True,
    "tags": ["short"],
    "meta": {"note": "n", "family": "f", "value": 7},
}
POINTERS = ("/value", "/family")


def of_then(changes: dict[str, Any]) -> gates.Matched:
    """A row of now, changed so, beside the one of then, of which only digests are kept."""
    (then,), (now,) = (
        gates.parse_golden([{key: value for key, value in row.items() if value is not None}])
        for row in (ROW, {**ROW, **changes})
    )
    return gates.matched([now], {"a": gates.known(then, POINTERS)}, version=3)


@pytest.mark.parametrize("name", NEIGHBOURS["same"])
def test_what_is_asked_and_labelled_alike_is_the_same_row_whatever_stands_beside(name: str) -> None:
    found = of_then(NEIGHBOURS["same"][name])
    assert (list(found.same.values()), dict(found.relabelled), found.gone) == (["a"], {}, ())


@pytest.mark.parametrize("name", NEIGHBOURS["relabelled"])
def test_a_row_that_is_labelled_otherwise_is_named_with_the_labels(name: str) -> None:
    changes, labels = NEIGHBOURS["relabelled"][name]
    found = of_then(changes)
    assert (dict(found.same), found.gone) == ({}, ())
    assert sorted(found.relabelled["a"]) == sorted(labels)


@pytest.mark.parametrize("name", NEIGHBOURS["gone"])
def test_a_row_that_asks_something_else_is_gone(name: str) -> None:
    found = of_then(NEIGHBOURS["gone"][name])
    assert (dict(found.same), dict(found.relabelled), found.gone) == ({}, {}, ("a",))


def test_a_row_that_is_gone_hides_none_behind_it_and_digests_of_whole_rows_are_enough() -> None:
    rows = gates.parse_golden([{**ROW, "id": name, "prompt": f"{name}?"} for name in "abc"])
    then = {row.id: gates.known(row) for row in rows}
    bare = {name: gates.Known(row=one.row) for name, one in then.items()}

    for before, version in ((then, 3), (then, 2), (bare, 3)):
        found = gates.matched(rows[1:], before, version=version)
        assert (dict(found.same), dict(found.relabelled), found.gone) == ({"b": "b", "c": "c"}, {}, ("a",))


def test_what_is_known_of_a_row_is_published_by_name() -> None:
    (row,) = gates.parse_golden([ROW])
    known = gates.known(row, POINTERS)

    assert known.as_dict() == {"row": row.digest, "asked": known.asked, "labels": dict(known.labels)}
    assert set(known.labels) == {"answerable", "support", "gold", "citation_required", "meta/value", "meta/family"}


def test_labels_that_were_added_leave_a_row_the_same() -> None:
    bare = {"prompt": ROW["prompt"], "documents": ROW["documents"]}
    (then,), (now,) = gates.parse_golden([bare]), gates.parse_golden([ROW])
    assert gates.matched([now], {"1": gates.known(then)}, version=3).same == {"a": "1"}


def test_nobody_can_guess_a_label_from_its_digest_without_the_question() -> None:
    one, other = gates.parse_golden([ROW, {**ROW, "id": "b", "prompt": "Another?"}])
    mine, theirs = gates.known(one).labels, gates.known(other).labels
    assert set(mine.values()).isdisjoint(theirs.values())


def test_rows_under_other_ids_are_compared_and_a_policy_of_before_takes_them_for_others() -> None:
    then = gates.parse_golden(golden_rows())
    now = gates.parse_golden(
        [{**row, "id": f"new {number}", "tags": ["x"]} for number, row in enumerate(golden_rows())]
    )
    earlier = gates.Earlier(name="v1", golden=then, outputs=with_outputs(then, {"q01": "no JSON"}))
    bars = {"json_parse": {"mode": "point", "target": 0.5}}

    def compared(version: int) -> gates.Comparison:
        policy = gates.load_policy({**bars, "version": version})
        return gates.compare(
            now, with_outputs(now, {"new 0": "no JSON"}), [earlier], contract(), policy, against="last"
        )

    found = compared(3)
    assert (found.rows, found.identical) == (40, 38)
    assert (found.pairings[0].lost, found.pairings[0].won) == (("new 0",), ("new 1",))
    assert compared(2).problems
