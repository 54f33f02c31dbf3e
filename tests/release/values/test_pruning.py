"""Which tries are pruned: as optuna's MedianPruner does it, but after the last step."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from release.values import pruning

LOSS = st.floats(0, 20, allow_nan=False)
CURVES = st.lists(st.lists(LOSS, min_size=1, max_size=5), max_size=7)


def by_step(losses: list[float]) -> list[tuple[int, float]]:
    return [(10 * number, loss) for number, loss in enumerate(losses, 1)]


@given(CURVES, st.lists(LOSS, min_size=1, max_size=5), st.integers(1, 5))
def test_a_try_is_pruned_where_optuna_prunes_it(before: list[list[float]], own: list[float], startup: int) -> None:
    optuna: Any = pytest.importorskip("optuna")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(pruner=optuna.pruners.MedianPruner(n_startup_trials=startup))
    for losses in before:
        done = optuna.trial.create_trial(value=losses[-1], intermediate_values=dict(by_step(losses)))
        study.add_trial(done)
    trial, step = study.ask(), None
    for at, loss in by_step(own):
        trial.report(loss, at)
        if trial.should_prune():
            step = at
            break

    found = pruning.pruned(by_step(own), pruning.limits([by_step(one) for one in before], startup), 1000)

    assert (found.step if found else None) == step


def test_nothing_is_saved_by_pruning_after_the_last_step() -> None:
    limits = pruning.limits([by_step([1.0, 0.5])], 1)

    assert limits == {10: 1.0, 20: 0.5}
    assert pruning.pruned(by_step([0.9, 0.8]), limits, 20) is None
    found = pruning.pruned(by_step([0.9, 0.8]), limits, 30)
    assert found is not None
    assert (found.step, found.limit, found.losses) == (20, 0.5, [(10, 0.9), (20, 0.8)])
    assert pruning.said(found) == "pruned after step 20: its best tuning loss is 0.8, over 0.5, the tries' median"


def test_none_is_pruned_before_so_many_came_to_their_end() -> None:
    assert pruning.limits([by_step([1.0])], 2) == {}
    assert pruning.pruned(by_step([9.0]), {}, 100) is None
