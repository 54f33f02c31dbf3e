"""Which kinds of rows a gate calls wrong, how sure that is, and what the training rows have of each."""

import json
from collections.abc import Sequence
from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st

import gates
from gates.score import Miss, Score
from release.checking import rows_to_add
from tests.helpers.line import ROOT, adapter_release

V3 = ROOT / "tests" / "data" / "releases" / "v3"


def row(
    number: int, *tags: str, answerable: bool | None = True, text: str = "what?", documents: int = 3
) -> gates.Golden:
    return gates.Golden(
        id=str(number),
        prompt=({"role": "user", "content": text},),
        documents=tuple({"id": str(one)} for one in range(documents)),
        answerable=answerable,
        tags=tags,
    )


def score(rows: Sequence[gates.Golden], wrong: Sequence[int], reason: str = "no_citation: none") -> Score:
    return Score(
        counted=tuple(one.id for one in rows), misses=tuple(Miss(id=str(n), reason=reason) for n in wrong), empty="none"
    )


def told(rows: Sequence[gates.Golden], wrong: Sequence[int], train: Sequence[gates.Golden] | None) -> str:
    return "\n".join(rows_to_add.lines(score(rows, wrong), rows, train))


ROWS = [row(n, "rare" if n < 10 else "common") for n in range(100)]
TRAIN = [row(n, "rare" if n < 4 else "common") for n in range(200)]


def test_a_kind_that_is_wrong_more_often_than_chance_is_named_with_what_training_has_of_it() -> None:
    found = told(ROWS, range(8), TRAIN)

    assert "from 8 wrong rows of 100 that are counted (no_citation 8)" in found
    assert (
        "tag rare: 8 of 8 wrong, 10 of 100 counted; 4 of 200 training rows, 18 more for the golden rows' share" in found
    )
    assert (4 + 18) / (200 + 18) >= 0.1 > (4 + 17) / (200 + 17)
    assert "tag common" not in found


def test_what_chance_makes_is_said_to_be_chance() -> None:
    found = told(ROWS, (3, 30, 60, 90), TRAIN)

    assert "of rows is wrong more often than chance makes it:" in found
    assert "tag rare: 1 of 4 wrong" in found


def test_without_training_rows_nothing_is_said_of_them() -> None:
    found = told(ROWS, range(8), None)

    assert "give the folder that has them as --data" in found
    assert "tag rare: 8 of 8 wrong, 10 of 100 counted\n" in found + "\n"


def test_without_a_wrong_row_there_is_nothing_to_add() -> None:
    assert told(ROWS, (), TRAIN) == "rows to add: no row is counted as wrong"


@pytest.mark.parametrize(
    ("rows", "wrong", "says"),
    [
        ([row(n, answerable=n >= 12) for n in range(100)], range(10), "to be refused: 10 of 10 wrong, 12 of 100"),
        ([row(n, documents=9 if n < 12 else 2) for n in range(100)], range(10), "shows 5 documents or more: 10 of 10"),
        ([row(n, text="x" * (900 if n < 20 else 9)) for n in range(100)], range(12), "characters are asked: 12 of 12"),
    ],
)
def test_each_kind_is_found(rows: list[gates.Golden], wrong: range, says: str) -> None:
    assert says in told(rows, wrong, ROWS)


@given(st.integers(1, 40), st.integers(0, 60), st.integers(0, 60), st.integers(1, 60))
def test_what_is_to_be_added_is_the_least_that_reaches_the_share(rows: int, kind: int, there: int, train: int) -> None:
    kind, there = min(kind, rows), min(there, train)
    found = rows_to_add._missing(kind, rows, there, train)

    if kind < rows:
        assert (there + found) * rows >= kind * (train + found)
        assert found == 0 or (there + found - 1) * rows < kind * (train + found - 1)


@given(st.integers(1, 12), st.integers(0, 12), st.integers(0, 12))
def test_the_chances_of_every_number_make_one(rows: int, kind: int, draws: int) -> None:
    kind, draws = min(kind, rows), min(draws, rows)
    exactly = [
        rows_to_add._by_chance(k, draws, kind, rows) - rows_to_add._by_chance(k + 1, draws, kind, rows)
        for k in range(draws + 1)
    ]

    assert sum(exactly) == pytest.approx(1)
    assert all(
        p == pytest.approx(comb(kind, k) * comb(rows - kind, draws - k) / comb(rows, draws))
        for k, p in enumerate(exactly)
    )


def test_a_kind_of_its_own_for_each_row_is_what_chance_makes() -> None:
    rows = [row(n, f"only {n}") for n in range(1000)]

    assert "of rows is wrong more often than chance makes it:" in told(rows, (3, 400, 900), rows)


@pytest.mark.parametrize(("k", "p"), [(5000, 0.504), (5100, 0.018), (4800, 1.0), (6000, 0.0), (10_000, 0.0)])
def test_many_rows_take_no_longer_than_few(k: int, p: float) -> None:
    """Beside the normal distribution, which is near there; a deviation is 47.4 rows."""
    assert rows_to_add._by_chance(k, 10_000, 50_000, 100_000) == pytest.approx(p, abs=1e-3)


def test_the_command_tells_no_golden_row() -> None:
    done = adapter_release("explain", "refusal_recall", str(V3), "--rows-to-add", cwd=ROOT)

    assert done.returncode == 0, done.stderr
    assert "rows to add" in done.stderr
    for line in (V3 / "data" / "golden.jsonl").read_text("utf-8").splitlines():
        for message in json.loads(line)["messages"]:
            assert message["content"] not in done.stderr
