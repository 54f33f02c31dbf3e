"""Golden rows that lie: each kind beside honest rows that look like it."""

import json
from pathlib import Path
from typing import Any

import pytest

import gates
from release.config import reading
from release.data import dataset, gate, golden_checks
from release.data.checks import Finding
from tests.gates.examples import contract
from tests.helpers.line import ROOT

FILES = ROOT / "tests" / "data" / "dataset"
CASES = json.loads((ROOT / "tests" / "data" / "golden_rows.json").read_text("utf-8"))
LOADED = reading.load(ROOT / "release.yaml")
GOLDEN = ROOT / "data" / "elements" / "golden.jsonl"
AGREED = gates.load_contract(LOADED.contract, ROOT)


def rows(*given: dict[str, Any]) -> tuple[gates.Golden, ...]:
    return gates.parse_golden([{"id": number, **row} for number, row in enumerate(given)])


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["case"])
def test_documents_are_those_that_the_prompt_shows(case: dict[str, Any]) -> None:
    (row,) = rows(case["row"])

    assert golden_checks.documents_problem(row, contract(documents=case.get("documents"))) == case["says"]


@pytest.mark.parametrize(
    ("folder", "check", "lines"),
    [
        ("golden_support_names_everything", "support", [1, 2, 3, 4]),
        ("golden_documents_not_as_shown", "documents", [2, 3]),
        ("golden_answer_in_question", "given_away", [2]),
        ("golden_near_copy", "copies", [8]),
    ],
)
def test_each_lie_is_found_in_its_rows_and_no_other(folder: str, check: str, lines: list[int]) -> None:
    found = _found(FILES / folder / "golden.jsonl")

    kinds = ("support", "documents", "given_away", "copies")
    assert [(one.check, one.line, one.level) for one in found if one.check in kinds] == [
        (check, line, "error") for line in lines
    ]


def _found(golden: Path) -> list[Finding]:
    train = dataset.load(FILES / "good" / "train.jsonl")
    return [one for one in gate.examine(train, dataset.load(golden), AGREED).findings if one.split == "golden"]


@pytest.mark.parametrize(
    ("supports", "found"),
    [
        ([[1, 2], [1, 2], [1]], {0, 1}),
        ([[1, 2], [1], [2]], set()),  # one question that takes both is honest
        ([[1, 2], [1]], set()),
        ([[1, 2, 3, 4, 5, 6, 7, 8, 9], [2, 3, 4, 5, 6, 7, 8, 9, 10]], {0, 1}),
        ([[1, 2, 3, 4, 5, 6, 7, 8], [3, 4, 5, 6, 7, 8, 9, 10]], set()),
    ],
)
def test_support_that_names_everything_is_a_lie_where_most_rows_do(supports: list[list[int]], found: set[int]) -> None:
    documents = [{"id": 1 + number} for number in range(max(2, *map(max, supports)))]
    given = [
        {"prompt": f"Question {support}?", "documents": documents, "answerable": True, "support": support}
        for support in supports
    ]

    assert golden_checks.naming_everything(rows(*given), AGREED) == found


def test_the_support_of_rows_with_one_document_is_that_document() -> None:
    one = {"prompt": "Question?", "documents": [{"id": 1}], "answerable": True, "support": [1]}

    assert not golden_checks.naming_everything(rows(one), AGREED)


@pytest.mark.parametrize(
    ("prompt", "answer", "given_away"),
    [
        ("Ice is cold [1].\nFire is hot. What is hot?", "Fire is hot [1].", True),
        ("Ice is cold [1].\nIce is cold! What is cold?", "Ice is cold [1].", True),
        ("Ice is cold [1].\nWhat is cold?", "Ice is cold [1].", False),  # it stands in the document alone
        ("Ice is cold [1].\nWhich is cold, ice or fire?", "Ice [1].", False),  # one of the choices
        ("Ice is cold.\nIs ice cold, or not?", "Yes, it is cold [1].", False),
    ],
)
def test_an_answer_within_its_question_is_found_outside_of_the_documents(
    prompt: str, answer: str, given_away: bool
) -> None:
    gold = json.dumps({"answer": answer, "citations": [1], "refusal": False})
    documents = [{"id": 1, "text": "Ice is cold."}]
    (row,) = rows({"prompt": prompt, "gold": gold, "documents": documents, "answerable": True, "support": [1]})

    assert golden_checks.given_away(row, AGREED) is given_away


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("What is hot?", "what is HOT", True),
        ("What is hot?", "What\u200b is hot?!", True),
        ("What is \u201chot\u201d?", "What is 'hot'?", True),
        ("What is \uff48\uff4f\uff54?", "What is hot?", True),
        ("What is C++?", "What is C?", False),
        ("What is 5 + 3?", "What is -5 + 3?", False),
        ("What is 3.5 m?", "What is 35 m?", False),
        ("What is hot?", "What is not hot?", False),
    ],
)
def test_near_copies_are_one_row_here_and_for_policies_of_version_2(one: str, other: str, same: bool) -> None:
    both = rows({"prompt": one, "gold": "{}"}, {"prompt": other, "gold": "{}"})

    assert bool(golden_checks.copies(both)) is same
    bars = {"json_parse": {"mode": "zero_failures", "min_n": 1}}
    verdict = gates.judge(both, gates.gold_outputs(both), AGREED, gates.load_policy({"version": 2, **bars}))
    assert any("repeat a prompt" in problem for problem in verdict.problems) is same
    kept = gates.judge(both, gates.gold_outputs(both), AGREED, gates.load_policy(bars))
    assert kept.problems == ()


def test_rows_that_share_what_they_ask_about_are_told_what_they_prove() -> None:
    """The elements of the default golden set: two rows each, counted apart."""
    found = [one for one in _found(GOLDEN) if one.check == "clusters"]

    assert [one.level for one in found] == ["warning"]
    assert "60 answerable rows ask about 30 things" in found[0].says
    assert "proves ≥ 90.5 % and not ≥ 95.1 %" in found[0].says


def test_rows_that_ask_about_things_of_their_own_and_declared_clusters_are_not_warned_of() -> None:
    asked = [{"prompt": f"What is the height of thing{number}?", "answerable": True} for number in range(20)]
    apart = rows(*asked)
    same = rows(*({**row, "prompt": f"What is it? {number}"} for number, row in enumerate(asked)))

    assert golden_checks.shared_things(apart, [row.prompt[0]["content"] for row in apart]) == ""
    assert golden_checks.shared_things(same, ["what is it?"] * 20) == ""
    clustered = gates.load_policy({"cluster_key": "element", "json_parse": {"mode": "zero_failures"}})
    golden = dataset.load(GOLDEN)
    found = gate.examine(golden, golden, AGREED, gate.Options(policy=clustered)).findings
    assert "clusters" not in {one.check for one in found}


@pytest.mark.parametrize(
    ("sizes", "refused"),
    [
        ([1] * 60, []),
        ([35, *[1] * 25], ["c0"]),
        ([6, *[1] * 54], ["c0"]),
        ([5, *[1] * 55], []),  # five times the median
        ([2] * 30, []),
        ([10, *[2] * 25], []),
        ([11, *[2] * 25], ["c0"]),
        ([20, 20, 20], []),  # all are large: then few are counted, which the bound says
        ([30, 12, *[1] * 60], ["c0", "c1"]),
        ([10, *[1] * 190], []),  # a twentieth of all rows
        ([60], []),
    ],
)
def test_a_cluster_that_swallows_many_times_the_others_rows_is_refused(sizes: list[int], refused: list[str]) -> None:
    rows = gates.parse_golden(
        [
            {"prompt": f"Question {cluster} {number}?", "meta": {"family": f"c{cluster}"}}
            for cluster, size in enumerate(sizes)
            for number in range(size)
        ]
    )
    bars: dict[str, Any] = {"cluster_key": "family", "json_parse": {"mode": "zero_failures"}}

    found = golden_checks.swallowing(rows, gates.load_policy({"version": 3, **bars}))

    assert [line.split("'")[1] for line in found] == refused
    assert all("Give them finer names, at most" in line for line in found)
    assert golden_checks.swallowing(rows, gates.load_policy({"version": 2, **bars})) == []
