"""The verdict on tuning rows: what was seen against the threshold, and no bound; and what several seeds come to."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

import gates
from release.data import dataset
from release.judging import tried, tuning
from release.judging.tuning import Counts
from release.values.record import Tries, Try

SCHEMA = {"type": "object", "properties": {"answer": {"type": "string"}}, "required": ["answer"]}


def rows(folder: Path, count: int = 10) -> dataset.Dataset:
    asked = [
        {"id": f"r{number}", "messages": [{"role": "user", "content": f"q{number}"}, _says('{"answer": "7"}')]}
        for number in range(count)
    ]
    (folder / "rows.jsonl").write_text("".join(json.dumps(one) + "\n" for one in asked), "utf-8")
    return dataset.load(folder / "rows.jsonl")


def _says(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


def contract(folder: Path) -> gates.Contract:
    (folder / "s.json").write_text(json.dumps(SCHEMA), "utf-8")
    return gates.load_contract({"schema": "s.json", "answer": "/answer"}, folder)


def policy(**bars: object) -> gates.Policy:
    return gates.load_policy({"version": 3, **bars})


def answers(data: dataset.Dataset, wrong: int) -> list[gates.Output]:
    right = gates.gold_outputs(data.rows)
    return [gates.Output(id=one.id, output="no JSON") for one in right[:wrong]] + list(right[wrong:])


@pytest.mark.parametrize(
    ("wrong", "target", "passes"),
    [(0, 1.0, True), (1, 0.9, True), (2, 0.9, False), (1, 1.0, False), (10, 0.5, False)],
)
def test_a_gate_passes_where_its_share_was_seen_whatever_so_few_rows_prove(
    tmp_path: Path, wrong: int, target: float, *, passes: bool
) -> None:
    """Ten of ten would not prove 90 % at any confidence that a golden set asks for."""
    data = rows(tmp_path)
    mode = {"mode": "zero_failures"} if target == 1.0 else {"target": target, "floor": target - 0.05}

    found = tuning.judged(data.rows, answers(data, wrong), contract(tmp_path), policy(json_parse=mode))

    assert found.passed is passes
    assert found.gates == {"json_parse": (10 - wrong, 10)}


def test_only_required_gates_count(tmp_path: Path) -> None:
    data = rows(tmp_path)
    asked = policy(json_parse={"target": 0.5}, schema_compliance={"mode": "zero_failures", "required": False})

    assert tuning.judged(data.rows, answers(data, 2), contract(tmp_path), asked).passed


def test_answers_to_other_rows_pass_nothing(tmp_path: Path) -> None:
    data = rows(tmp_path)

    found = tuning.judged(data.rows, answers(data, 0)[1:], contract(tmp_path), policy(json_parse={"target": 0.5}))

    assert not found.passed


def test_rows_that_cannot_pass_are_told_before_anything_is_trained(tmp_path: Path) -> None:
    """These rows say nothing of documents, so a gate that counts citations counts none of them."""
    data, asked = rows(tmp_path), policy(json_parse={"target": 0.5})

    assert tuning.problem(data, contract(tmp_path), asked) == ""
    says = tuning.problem(data, contract(tmp_path), policy(refusal_recall={"target": 0.5}))
    assert "The reference answers of the 10 tuning rows do not pass the gates themselves" in says
    assert "Give more tuning rows" in says


@pytest.mark.parametrize(
    ("counts", "short"), [({"json_parse": (9, 10)}, 0.0), ({"json_parse": (5, 10)}, 0.4), ({}, 1.0)]
)
def test_how_far_a_try_was_from_passing(counts: Counts, short: float) -> None:
    assert tuning.shortfall(counts, policy(json_parse={"target": 0.9, "floor": 0.8})) == pytest.approx(short)


def test_the_spread_of_a_gate_has_its_worst_its_middle_and_its_best() -> None:
    several: list[Counts] = [{"a": (5, 10)}, {"a": (9, 10)}, {"a": (7, 10)}]

    (found,) = tuning.spread(several)

    assert (found.least, found.median, found.most) == ((5, 10), (7, 10), (9, 10))
    assert tuning.spread([{"a": (0, 0)}, {"a": (1, 1)}]) == ()
    assert tuning.spread([]) == ()
    (found,) = tuning.spread([{"a": (5, 10)}, {}, {"a": (9, 10)}])  # one diverged
    assert (found.least, found.most) == ((5, 10), (9, 10))


def a_try(name: str, right: int, *refused_by: str) -> Try:
    return Try(
        name=name,
        changes={} if name == "1" else {"training.learning_rate": 1e-4},
        passed=not refused_by,
        refused_by=list(refused_by),
        gates={"json_parse": (right, 10)},
        steps=20,
        tokens=900,
        seconds=1.5,
    )


def tries(*made: Try, seeds: tuple[Try, ...] = ()) -> Tries:
    told = ["adapter.method lora: 20.1 GiB are needed"]
    return Tries(planned=3, every_seed_passes=bool(seeds), tries=[*made], seeds=[*seeds], left_out=told)


def test_where_none_passes_each_is_named_with_its_gate_and_the_nearest_of_them() -> None:
    both = tries(a_try("1", 2, "json_parse: 2 of 10 are right, 9 are needed"), a_try("2", 8, "json_parse: 8 of 10"))

    runs = {name: Path("my runs") / name for name in ("1", "2")}

    says = tried.refusal(both, policy(json_parse={"target": 0.9, "floor": 0.8}), 10, runs)

    assert "None of 2 tries passes on the 10 tuning rows, so the golden set was not asked" in says
    assert "1 (as written): json_parse: 2 of 10 are right" in says
    assert "2 (training.learning_rate 0.0001): json_parse: 8 of 10" in says
    assert "not made: adapter.method lora: 20.1 GiB are needed" in says
    assert "The nearest is try 2: its worst gate, json_parse, lacks 10% of its rows" in says
    assert "`adapter-release explain json_parse 'my runs/2' --rows-to-add`" in says


def test_what_several_seeds_mean_for_the_next_release() -> None:
    refused = a_try("seed-43", 8, "json_parse: 8 of 10")

    unsteady, steady, alike = (
        "\n".join(tried.lines(tries(a_try("1", 10), seeds=(other,))))
        for other in (refused, a_try("seed-43", 9), a_try("seed-43", 10))
    )

    assert "1 of 2 seeds pass" in unsteady
    assert "json_parse: 8/10 to 10/10" in unsteady
    assert "may be refused by its seed alone" in unsteady
    assert "may move within these" in steady
    assert "the seed decides nothing" in alike
    assert "seed-43: json_parse: 8 of 10" in tried.unsteady(tries(a_try("1", 10), seeds=(refused,)), [refused])


def test_a_seed_without_an_adapter_is_named_and_hides_no_spread() -> None:
    diverged = replace(a_try("seed-44", 0, "Training diverged"), gates={})

    said = "\n".join(tried.lines(tries(a_try("1", 10), seeds=(a_try("seed-43", 9), diverged))))

    assert "json_parse: 9/10 to 10/10" in said
    assert "Without an adapter, and so in none of these: seed-44." in said


def test_a_reason_of_somebody_elses_begins_no_cell_and_no_line() -> None:
    hostile = a_try("1", 2, "a | b\n# c \x1b[2J")

    assert "\x1b" not in "\n".join(tried.lines(tries(hostile)))
    (row,) = [line for line in tried.markdown(tries(hostile)).splitlines() if line.startswith("| 1 |")]
    assert row.count("|") == 6
