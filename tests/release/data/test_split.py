"""A split loses nothing, keeps the labels' share, and never parts what belongs together."""

import gzip
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from release.data import dataset, split
from release.values.errors import ConfigError, DataError
from tests.helpers.line import adapter_release
from tests.release.data.test_dataset import rows

FIFTH = split.Wanted(share=0.2, seed=1)


def archive(folder: Path, answerable: list[bool], *, same_question: int = 0) -> dataset.Read:
    path = folder / "all.jsonl"
    lines = [
        {"id": f"r{n}", "prompt": f"Question {n % same_question if same_question else n}?", "completion": "x",
         "documents": ["d"], "answerable": label, "support": [1] if label else [], "topic": f"t{n % 7}"}
        for n, label in enumerate(answerable)
    ]  # fmt: skip
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    return dataset.read(path)


@given(st.lists(st.booleans(), min_size=30, max_size=80), st.integers(0, 5))
@settings(max_examples=25, deadline=None)
def test_a_split_loses_nothing_and_keeps_the_labels_share(
    tmp_path_factory: pytest.TempPathFactory, answerable: list[bool], seed: int
) -> None:
    read = archive(tmp_path_factory.mktemp("split"), answerable)
    train, golden = split.split(read, split.Wanted(share=0.2, seed=seed))

    assert sorted(train.splitlines() + golden.splitlines()) == sorted(read.canonical.splitlines())
    taken = Counter(row["answerable"] for row in rows(golden))
    assert all(abs(taken[label] - 0.2 * answerable.count(label)) <= 1 for label in (True, False))
    assert split.split(read, split.Wanted(share=0.2, seed=seed)) == (train, golden)


@pytest.mark.parametrize("group", [None, "meta.topic"])
def test_what_belongs_together_is_never_split(tmp_path: Path, group: str | None) -> None:
    read = archive(tmp_path, [n % 3 > 0 for n in range(70)], same_question=0 if group else 25)
    train, golden = (rows(data) for data in split.split(read, split.Wanted(share=0.3, seed=1, together=group)))

    def keys(some: list[dict[str, Any]]) -> set[str]:
        return {row["meta"]["topic"] if group else row["messages"][-2]["content"] for row in some}

    assert golden
    assert not keys(train) & keys(golden)


def test_a_split_that_leaves_nothing_or_writes_over_something_is_refused(tmp_path: Path) -> None:
    archive(tmp_path, [True])
    source, train, golden = (tmp_path / f"{name}.jsonl" for name in ("all", "train", "golden"))

    with pytest.raises(DataError, match=r"has 1 row, and a share of 0\.2 of them leaves no row to judge by"):
        split.to_files(source, (train, golden), FIFTH)
    with pytest.raises(ConfigError, match="is named twice"):
        split.to_files(source, (train, train), FIFTH)
    with pytest.raises(ConfigError, match="exists already"):
        split.to_files(source, (train, source), FIFTH)
    assert not train.exists()


def test_a_share_that_is_none_and_a_group_that_is_missing_are_refused(tmp_path: Path) -> None:
    read = archive(tmp_path, [True, False])

    with pytest.raises(ConfigError, match="--share is 20"):
        split.split(read, split.Wanted(share=20, seed=1))
    with pytest.raises(DataError, match=r"Row r0 has no meta\.subject"):
        split.split(read, split.Wanted(share=0.5, seed=1, together="meta.subject"))


def test_blank_lines_are_no_rows(tmp_path: Path) -> None:
    path = tmp_path / "all.jsonl"
    path.write_text("".join(f'{{"prompt": "Question {n}?", "gold": "x"}}\n\n' for n in range(10)), "utf-8")
    train, golden = split.split(dataset.read(path), FIFTH)

    assert (len(rows(train)), len(rows(golden))) == (8, 2)


def test_half_of_a_surrogate_pair_is_refused_by_the_command(tmp_path: Path) -> None:
    (tmp_path / "all.jsonl").write_text('{"prompt": "\\ud800", "gold": "x"}\n', "utf-8")
    done = adapter_release("data", "split", "all.jsonl", "--train", "t", "--golden", "g", cwd=tmp_path)

    assert done.returncode == 3
    assert "all.jsonl line 1: lone_surrogate" in done.stderr


@pytest.mark.parametrize("name", ["all.jsonl.gz", "all.json", "all.jsonl"])
def test_the_same_rows_split_the_same_whatever_they_are_packed_in(tmp_path: Path, name: str) -> None:
    made = [json.loads(text) for text in archive(tmp_path, [n % 3 > 0 for n in range(30)]).texts()]
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in made)
    whole = {
        ".gz": gzip.compress(lines.encode()),
        ".json": json.dumps(made).encode(),
        ".jsonl": f"\n{lines}\n".encode(),
    }
    source, folder = tmp_path / name, tmp_path / "made"
    source.write_bytes(whole[source.suffix])
    folder.mkdir()
    split.to_files(source, (folder / "t", folder / "g"), FIFTH)

    train, golden = split.split(dataset.read(source), FIFTH)
    assert ((folder / "t").read_bytes(), (folder / "g").read_bytes()) == (train, golden)
    assert sorted(rows(train + golden), key=str) == sorted(made, key=str)


@given(st.lists(st.sets(st.integers(0, 8), max_size=3), min_size=1, max_size=30))
@settings(deadline=None)
def test_rows_that_share_a_key_over_other_rows_are_on_one_side(
    tmp_path_factory: pytest.TempPathFactory, keys: list[set[int]]
) -> None:
    folder = tmp_path_factory.mktemp("shared")
    said = [
        {"messages": [*({"role": role, "content": f"what is the thing number {key}"} for key in some
                        for role in ("user", "assistant")),
                      {"role": "user", "content": f"row {n}"}, {"role": "assistant", "content": "x"}]}
        for n, some in enumerate(keys)
    ]  # fmt: skip
    (folder / "all.jsonl").write_text("".join(json.dumps(one) + "\n" for one in said), "utf-8")
    sides = split.split(dataset.read(folder / "all.jsonl"), split.Wanted(share=0.4, seed=1))

    both = [
        {m["content"] for row in rows(side) for m in row["messages"] if m["content"].startswith("what")}
        for side in sides
    ]
    assert not both[0] & both[1]
