"""Rows of a large file stay on the disk: what is found in them is what is found in rows that are held."""

import json
import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import gates
from release.config import reading
from release.data import data_report, dataset, evidence, gate, stored
from release.values.errors import DataError
from tests.helpers.line import ROOT

GOLDEN = ROOT / "data" / "elements" / "golden.jsonl"
CONTRACT = gates.load_contract(reading.load(ROOT / "release.yaml").contract, ROOT)
FAULTS = ("", "", "", "TODO", "a@example.org", "\ue000", "[INST]")
WORDS = ("which", "metal", "is", "heavy", "and", "soft", "at", "room", "temperature", "as", "above", "or", "below")


def rows(seed: int, count: int) -> bytes:
    """Rows some of which repeat others or golden rows, or nearly, break the contract, or hold what they must not."""
    picked = random.Random(seed)
    theirs = [json.loads(line) for line in GOLDEN.read_text("utf-8").splitlines()]
    made = []
    for number in range(count):
        row = json.loads(json.dumps(picked.choice(theirs)))
        asked = row["messages"][-2]
        kind = picked.randrange(6)
        if kind:
            asked["content"] = " ".join(picked.choices(WORDS, k=picked.choice((3, 30)))) + picked.choice(FAULTS) + "?"
        if kind == 1:
            asked["content"] += f"\nAnswer from the sources.\n{number % 3}"
        if kind == 2:
            row["messages"][-1]["content"] = picked.choice(("no JSON", "{}", "[]"))
        row["id"] = f"row-{number - (kind == 3)}"
        made.append(json.dumps(row, ensure_ascii=picked.random() < 0.5))
    return ("\n".join(made) + "\n").encode()


def found(path: Path) -> tuple[dataset.Dataset, tuple[bytes, str, list[str]]]:
    """A file, and all that is told of it."""
    loaded = dataset.load(path)
    report = gate.examine(loaded, dataset.load(GOLDEN), CONTRACT)
    return loaded, (data_report.to_json(report), data_report.html(report), data_report.terminal(report))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("packed", [False, True])
def test_what_is_found_does_not_depend_on_whether_rows_are_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int, packed: bool
) -> None:
    monkeypatch.setenv("ADAPTER_RELEASE_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "rows.json"
    lines = rows(seed, 60)
    path.write_bytes(b"[" + b",\n".join(lines.splitlines()) + b"]" if packed else lines)
    held, of_held = found(path)
    monkeypatch.setattr(stored, "FEW", 1000)
    read, of_read = found(path)

    assert isinstance(held.rows, tuple)
    assert isinstance(read.rows, stored.Made)
    assert tuple(read.rows) == held.rows == read.rows[:]
    assert (read.sha256, read.canonical, list(read.lines)) == (held.sha256, held.canonical, list(held.lines))
    assert of_read == of_held
    assert {"leakage", "near_duplicates", "questions", "ids", "json"} <= {
        one["check"] for one in json.loads(of_held[0])["findings"]
    }


@given(st.lists(st.lists(st.sampled_from([bytes([n]) for n in range(40)]), unique=True, max_size=8)), st.integers(1, 9))
def test_what_is_frequent_is_found_however_few_are_counted_at_once(some: Sequence[Sequence[bytes]], least: int) -> None:
    counts = Counter(one for row in some for one in row)

    assert evidence.frequent(lambda: some, least, most=4) == {one for one, n in counts.items() if n >= least}


def test_a_row_that_is_not_there_is_an_error_as_of_any_sequence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ADAPTER_RELEASE_CACHE", str(tmp_path))
    texts = stored.Texts()
    texts.add(b'{"id": "a", "prompt": "q?", "gold": "a"}\n')
    kept = texts.rows()

    assert [one.id for one in kept] == [kept[-1].id] == ["a"]
    assert list(tmp_path.iterdir()) == []  # it has no name: nothing is left by whoever is killed
    with pytest.raises(IndexError):
        kept[1]


def test_who_asks_again_for_the_row_that_was_asked_for_last_has_it_without_another_reading() -> None:
    read: list[int] = []

    def make(number: int) -> int:
        read.append(number)
        return number * 2

    made = stored.Made(make, 3)

    assert [made[n] for n in (0, 0, 1, -2, 0, 2, -1)] == [0, 0, 2, 2, 0, 4, 4]
    assert read == [0, 1, 0, 2]


def test_a_file_that_changed_after_it_was_read_is_not_taken_for_what_was_read(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_bytes(rows(1, 9))
    loaded = dataset.load(tmp_path / "rows.jsonl")
    (tmp_path / "rows.jsonl").write_bytes(rows(2, 9))

    with pytest.raises(DataError, match="changed after it was read"):
        _ = loaded.canonical
