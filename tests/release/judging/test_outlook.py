"""What is said after training: how the loss went, and what the tuning rows let one expect of the golden ones."""

from pathlib import Path

import pytest

import gates
from release.judging import outlook
from release.values import layout, training_metrics
from release.values.training_metrics import Evaluation, Kept
from tests.helpers.small_release import training

POLICY = gates.load_policy({"json_parse": {"target": 0.9}, "refusal_recall": {"target": 0.5}})
FOUND = (
    Evaluation(step=10, loss=0.5, gates={"json_parse": (8, 8), "refusal_recall": (1, 4), "not_asked_for": (1, 1)}),
    Evaluation(step=20, loss=0.7, gates={"json_parse": (2, 8), "refusal_recall": (0, 4)}),
)


@pytest.mark.parametrize(
    ("golden", "said"),
    [
        (40, ("needs 37 of 40 golden rows", "would pass")),
        (20, ("needs 20 of 20 golden rows", "would pass")),
        (8, ("needs more golden rows", "would not pass")),
    ],
)
def test_the_kept_state_is_held_against_the_policy(golden: int, said: tuple[str, str]) -> None:
    first, second = outlook.expected(FOUND[:1], POLICY, golden)

    assert first == ("json_parse", "8/8", *said)
    assert second[:2] == ("refusal_recall", "1/4")
    assert second[3] == "would not pass"


def test_a_later_attempt_needs_more_and_a_required_gate_that_counted_none_is_named() -> None:
    """14 of 16 is enough at the first attempt; and what no tuning row tells of is not passed over."""
    policy = gates.load_policy(
        {"version": 3, "json_parse": {"target": 0.97, "floor": 0.9}, "refusal_recall": {"target": 0.8, "floor": 0.7},
         "citation_coverage": {"target": 0.9, "floor": 0.8}}
    )  # fmt: skip
    found = [Evaluation(step=10, loss=0.1, gates={"json_parse": (39, 40), "refusal_recall": (14, 16)})]

    first, second = (list(outlook.expected(found, policy.at(attempt), 100)) for attempt in (1, 2))

    assert ("refusal_recall", "14/16", "needs 34 of 40 golden rows", "would pass") in first
    assert ("refusal_recall", "14/16", "needs 36 of 40 golden rows", "would not pass") in second
    assert ("citation_coverage", "0/0", "no tuning row is of those that it counts", "nothing is known") in first
    assert list(outlook.expected([Evaluation(step=10, loss=0.1, gates={})], policy, 100)) == []


def test_after_training_there_is_the_curve_and_the_kept_state_alone(tmp_path: Path) -> None:
    logged = training()
    content = training_metrics.written(
        logged.losses, logged.curves or {}, FOUND, Kept(metric="eval_loss", best_step=10)
    )
    (tmp_path / layout.TRAINING_METRICS).write_bytes(content)
    told = {"metrics_sha256": "0" * 64, "best_step": 10, "stopped_early": False}

    said = list(outlook.lines(training(evaluation=told), tmp_path, POLICY, 20))

    assert said[0].startswith("  loss ")
    assert said[0].endswith(training_metrics.bars([loss for _, loss in logged.losses]))
    assert said[1:3] == [
        "  if the golden rows go as the tuning rows did:",
        "    json_parse      8/8  needs 20 of 20 golden rows  would pass",
    ]
    assert len(said) == 4
    assert list(outlook.lines(logged, tmp_path, POLICY, 20)) == said[:1]


def test_bars_are_of_the_last_values_and_level_where_all_are_equal() -> None:
    assert training_metrics.bars([9.0, *[1.0] * 23, 3.0]) == "▁" * 23 + "█"
    assert training_metrics.bars([2.0, 2.0]) == "▁▁"
