"""What a search tries next: the same from the same tries, within its space, and none twice."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from release import suggest
from release.config import ladder
from release.config.settings import Change, Search
from release.suggest import Seen

pytest.importorskip("optuna")
RATE, RANK = "training.learning_rate", "adapter.lora.r"
RATES: Change = {"training": {"learning_rate": {"low": 1e-5, "high": 1e-1, "log": True}}}
WIDE: Change = {**RATES, "adapter": {"lora": {"r": [8, 16, 32]}}}
Fits = Callable[[Mapping[str, object]], bool]


def anything(_: Mapping[str, object]) -> bool:
    return True


def searched(space: Change, several: int, fits: Fits = anything, **settings: Any) -> list[Seen]:
    """A search whose loss is least at a rate of 0.01, and which has no adapter from 0.05 on."""
    search = Search(space=space, n_trials=100, **settings)
    keys = ladder.space(search)
    seen = [Seen(values=dict.fromkeys(keys, 1e-4) | ({RANK: 8} if RANK in keys else {}), loss=2.0)]
    while len(seen) < several and (values := suggest.following(search, seen, fits)) is not None:
        assert suggest.following(search, seen, fits) == values
        rate = float(str(values.get(RATE, 0.01)))
        seen.append(Seen(values=values, loss=None if rate >= 0.05 else abs(math.log10(rate) + 2)))
    return seen


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_each_lies_within_the_space_and_none_is_made_twice(sampler: str) -> None:
    found = [one.values for one in searched(WIDE, 12, sampler=sampler)]

    assert len({tuple(sorted(one.items())) for one in found}) == 12
    assert all(1e-5 <= float(str(one[RATE])) <= 1e-1 and one[RANK] in (8, 16, 32) for one in found)
    assert all(float(f"{one[RATE]:.3g}") == one[RATE] for one in found)


def test_tpe_comes_nearer_than_it_began_and_keeps_away_from_what_left_no_adapter() -> None:
    found = searched(RATES, 24)

    drawn, asked = found[1:6], found[6:]
    assert min(one.loss for one in asked if one.loss is not None) < 0.1
    assert sum(one.loss is None for one in asked) <= len(asked) // 3
    assert len(drawn) == 5


def test_another_seed_is_another_search() -> None:
    first, other = (searched(RATES, 4, seed=seed) for seed in (0, 1))

    assert [one.values for one in first[1:]] != [one.values for one in other[1:]]


def test_a_space_of_few_values_ends_when_all_were_tried() -> None:
    few: Change = {"adapter": {"lora": {"r": [8, 16, 32]}}, "training": {"warmup_steps": {"low": 0, "high": 1}}}
    search = Search(space=few, n_trials=100)
    seen = [Seen(values={RANK: 64, "training.warmup_steps": 0}, loss=1.0)]  # as written: outside of the space
    while (values := suggest.following(search, seen, anything)) is not None:
        seen.append(Seen(values=values, loss=1.0, losses=()))

    assert sorted((one.values[RANK], one.values["training.warmup_steps"]) for one in seen[1:]) == [
        (rank, steps) for rank in (8, 16, 32) for steps in (0, 1)
    ]


def test_one_that_was_pruned_counts_with_its_losses() -> None:
    search = Search(space=RATES, n_trials=100, n_startup_trials=1)
    pruned = Seen(values={RATE: 1e-5}, loss=None, losses=[(10, 3.0), (20, 2.5)])
    values = suggest.following(search, [Seen(values={RATE: 1e-2}, loss=1.0), pruned], anything)

    assert values is not None
    assert values[RATE] not in (1e-2, 1e-5)


def test_what_is_no_configuration_is_no_try_and_the_next_one_is_asked_for() -> None:
    """``searched`` asks for each twice: a search that goes on has the same tries."""

    def narrow(values: Mapping[str, object]) -> bool:
        return values[RANK] != 16 and float(str(values[RATE])) < 1e-3

    some = [one.values for one in searched(WIDE, 12, narrow)[1:]]
    every = [one.values for one in searched(WIDE, 12)[1:]]

    assert len(some) == 11
    assert all(map(narrow, some))
    assert not all(map(narrow, every))
    first = next(number for number, one in enumerate(every) if not narrow(one))
    assert some[:first] == every[:first]


@pytest.mark.parametrize(
    ("space", "few"),
    [({"training": {"warmup_steps": {"low": 0, "high": 900}, "max_steps": {"low": 50, "high": 90}}}, 3), (RATES, 0)],
)
def test_a_search_ends_where_nothing_else_is_a_configuration(space: Change, few: int) -> None:
    """Whole numbers are looked through, from the lowest on; of those with a fraction nobody knows them all."""

    def rare(values: Mapping[str, object]) -> bool:
        return values.get("training.max_steps") == 50 and values["training.warmup_steps"] in (0, 7, 300)

    keys = ladder.space(Search(space=space, n_trials=9))
    search, seen = Search(space=space, n_trials=9), [Seen(values=dict.fromkeys(keys, 1), loss=1.0)]
    while (values := suggest.following(search, seen, rare)) is not None:
        seen.append(Seen(values=values, loss=1.0))

    assert len(seen) - 1 == few
