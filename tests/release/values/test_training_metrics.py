"""Which evaluation is the best, and when patience ends."""

import pytest

from release.values import training_metrics
from release.values.training_metrics import Evaluation, Kept


def losses(*values: float) -> list[Evaluation]:
    return [Evaluation(step=step, loss=value) for step, value in enumerate(values, 1)]


def parsed(*counts: tuple[int, int]) -> list[Evaluation]:
    return [Evaluation(step=step, loss=1.0, gates={"json_parse": one}) for step, one in enumerate(counts, 1)]


@pytest.mark.parametrize(
    ("found", "metric", "step"),
    [
        (losses(3.0, 1.0, 2.0), "eval_loss", 2),
        (losses(1.0, 1.0), "eval_loss", 1),  # of equals the first
        (parsed((1, 4), (4, 4), (3, 4)), "eval_json_parse", 2),
        (parsed((0, 0), (1, 4)), "eval_json_parse", 2),  # what counted nothing is never the best
        (parsed((0, 0)), "eval_json_parse", None),
        (losses(1.0), "eval_answer_rate", None),
        ([], "eval_loss", None),
    ],
)
def test_the_best_is_the_first_than_which_none_is_better(
    found: list[Evaluation], metric: str, step: int | None
) -> None:
    best = training_metrics.best(found, metric)

    assert (best.step if best else None) == step


@pytest.mark.parametrize(
    ("values", "patience", "stops"),
    [
        ((3.0, 2.0, 1.0), 1, False),
        ((3.0, 2.0, 2.0), 1, True),
        ((3.0, 2.0, 2.5), 2, False),
        ((3.0, 2.0, 2.5, 2.0), 2, True),
        ((3.0, 2.0, 2.5, 1.0), 2, False),
        ((3.0,), 1, False),
        ((1.0, 2.0), None, False),
    ],
)
def test_training_ends_after_so_many_evaluations_that_are_not_better(
    values: tuple[float, ...], patience: int | None, stops: bool
) -> None:
    assert training_metrics.stops(losses(*values), "eval_loss", patience) is stops
    assert not training_metrics.stops(losses(*values), None, patience)


def test_what_is_written_is_read_again_with_its_counts() -> None:
    found = [Evaluation(step=5, loss=0.5, gates={"json_parse": (3, 4)}), Evaluation(step=10, loss=0.25)]
    content = training_metrics.written([(5, 1.0)], {"grad_norm": [(5, 2.0)]}, found, Kept(metric="eval_loss"))

    assert training_metrics.read(content, "metrics") == tuple(found)
    assert b'"eval_perplexity": 1.64872' in content


@pytest.mark.parametrize(
    "row",
    [
        {"step": 0, "eval_loss": 1.0},
        {"step": True, "eval_loss": 1.0},
        {"step": 5, "eval_loss": "1"},
        {"step": 5, "eval_loss": 10**400},
        {"step": 5, "eval_loss": float("nan")},
        {"step": 10**400, "eval_loss": 1.0},
        {"step": 5, "eval_loss": 1.0, "eval_json_parse": [5, 4]},
        {"step": 5, "eval_loss": 1.0, "eval_json_parse": [1, 2, 3]},
        {"step": 5, "eval_loss": 1.0, "eval_json_parse": [0.5, 2]},
    ],
)
def test_what_is_no_evaluation_is_refused(row: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="an evaluation is not"):
        training_metrics.evaluation(row)
