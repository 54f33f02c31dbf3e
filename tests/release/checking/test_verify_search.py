"""What a release says of a search: values in its space, losses of its files, pruned where those before say so."""

import json
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from release.checking import verify_search
from release.judging import tried
from release.values import layout, pruning, training_metrics
from release.values import record as records
from release.values.as_json import part, tree
from release.values.record import Tries
from release.values.training_metrics import Evaluation, Kept

RATE = "training.learning_rate"
CURVES: tuple[tuple[float, ...], ...] = ((3.0, 2.8, 2.6), (3.0, 2.4, 2.0), (3.2,), (), (2.5, 1.5, 1.0))
"""The third is pruned after its first evaluation; the fourth diverged."""
RATES = (None, 1e-3, 1e-5, 9e-3, 5e-3)
SPACE = {"training": {"learning_rate": {"low": 1e-5, "high": 1e-2, "log": True}}}
Lie = Callable[[Any], object]


def losses(curve: Sequence[float]) -> list[tuple[int, float]]:
    return [(5 * number, loss) for number, loss in enumerate(curve, 1)]


def a_try(number: int) -> dict[str, Any]:
    curve, rate = CURVES[number], RATES[number]
    digest = "0" * 64 if len(curve) == 3 else None
    told: dict[str, Any] = {
        "name": str(number + 1),
        "changes": {} if rate is None else {RATE: rate},
        "passed": number == 4,
        "refused_by": [] if number == 4 else ["json_parse: 0 of 6 are right, 1 are needed"],
        "gates": {"json_parse": [0, 6]} if digest else {},
        "steps": 5 * len(curve),
        "tokens": 10,
        "seconds": 1.5,
        "adapter_sha256": digest,
        "answers_sha256": digest,
        "metrics_sha256": digest,
    }
    if digest:
        told["loss"] = curve[-1]
    if number == 2:
        found = pruning.pruned(losses(curve), pruning.limits([losses(one) for one in CURVES[:2]], 2), 15)
        assert found is not None
        told["pruned"] = tree(found)
    return told


def table() -> dict[str, Any]:
    search = {"optuna": "5.0.0", "space": SPACE, "n_trials": 5, "sampler": "tpe", "seed": 0}
    return {
        "planned": 5,
        "every_seed_passes": False,
        "tries": [a_try(number) for number in range(5)],
        "seeds": [],
        "left_out": [],
        "search": {**search, "n_startup_trials": 2, "pruner": "median"},
    }


def written() -> dict[str, bytes]:
    """The files of the tries that came to their end."""
    found = dict[str, bytes]()
    for number, curve in enumerate(CURVES, 1):
        evaluations = [Evaluation(step=step, loss=loss) for step, loss in losses(curve)]
        name = layout.of_a_try(str(number))[layout.TRAINING_METRICS]
        found |= {name: training_metrics.written([], {}, evaluations, Kept())} if len(curve) == 3 else {}
    return found


def problems(value: dict[str, Any]) -> list[str]:
    assert records.is_tries(value)
    release: Any = SimpleNamespace(read=lambda name: written()[name])
    return list(verify_search.problems(release, part(Tries, value)))


def test_a_search_that_was_made_so_has_no_problem() -> None:
    assert problems(table()) == []
    assert table()["tries"][2]["pruned"] == {"step": 5, "limit": 3.0, "losses": [[5, 3.2]]}


@pytest.mark.parametrize(
    ("lie", "says"),
    [
        (lambda t: t["search"].update(n_trials=4), "more tries were made or planned than its search has: 4"),
        (lambda t: t["tries"][1]["changes"].update({RATE: 0.5}), "try 2 has training.learning_rate 0.5, outside"),
        (lambda t: t["tries"][1]["changes"].update({RATE: "0.001"}), "outside of the space"),
        (lambda t: t["tries"][1]["changes"].update({"training.warmup_steps": 3}), "over which nothing was searched"),
        (lambda t: t["tries"][1].update(loss=1.9), "try 2 has another loss than"),
        (lambda t: t["tries"][1].pop("loss"), "try 2 has no loss, by which its search went on"),
        (lambda t: t["tries"][3].update(loss=1.9), "try 4 has no adapter, and a loss of one"),
        (lambda t: t["tries"][2].pop("pruned"), None),
        (lambda t: t["tries"][2]["pruned"].update(limit=2.9), "before try 3, it is pruned after step 5"),
        (lambda t: t["tries"][2]["pruned"].update(losses=[[5, 2.9]]), "before try 3, it is not pruned"),
        (lambda t: t["tries"][2]["pruned"].update(losses=[[5, 3.2], [10, 3.1]]), "before try 3, it is pruned"),
        (lambda t: t["tries"][3].update(pruned={"step": 5, "limit": 3.0, "losses": [[5, 1.0]]}), "it is not pruned"),
        (lambda t: t["search"].update(n_startup_trials=3), "before try 3, it is not pruned"),
        (lambda t: t["search"].update(pruner="none"), "before try 3, it is not pruned"),
        (lambda t: t.pop("search"), "try 3 was pruned, and nothing was searched"),
        (lambda t: t["search"].update(space={"training": {"learning_rate": {"low": 2}}}), "its search has training.l"),
        (lambda t: t["search"].update(space={"data": {"max_length": [1, 2]}}), "data.max_length, which no try changes"),
        (lambda t: t["search"].update(space={"adapter": {"method": ["lora", "qlora"]}}), "adapter.method, which no"),
        (lambda t: t["search"].update(space={"training": {"a" * 9999: 1}}), "its search has training.aaa"),
        (lambda t: t["seeds"].append({**t["tries"][2], "name": "seed-43"}), "seed-43 is another seed, and says"),
    ],
)
def test_one_that_was_not_is_named(lie: Lie, says: str | None) -> None:
    value = table()
    lie(value)

    found = problems(value)

    assert any(says in one for one in found) if says else found == []
    assert all(len(one) < 500 for one in found)


@pytest.mark.parametrize(
    "space",
    [
        {"training": {"learning_rate": {"low": "a", "high": {}}}},
        {"training": {"learning_rate": {"low": -(10**400), "high": 10**400}}},
        {"training": {"learning_rate": {"low": 0, "high": 1, "log": "yes", "more": 1}}},
        {"training": json.loads('{"a":' * 400 + "1" + "}" * 400)},
        {"training": {"learning_rate": [{}, []]}, "\u202e": [1, 2]},
        {"training": 3, "adapter": None},
        {"training": {"learning_rate": [1e-3, 1e-5]}, "training.learning_rate": {"low": 1e-5, "high": 1e-2}},
        {"training.learning_rate": {"low": 1e-5, "high": 1e-2}},
        {"": {"training.": {"learning_rate": [1e-3, 1e-5]}}},
    ],
)
def test_a_space_that_is_none_is_named_and_the_table_is_shown_without_it(space: Any) -> None:
    value = table()
    value["search"]["space"] = space

    assert any("its search has" in one for one in problems(value))
    shown = tried.lines(part(Tries, value))
    assert not any("suggested" in one for one in shown)
    assert len(shown) == len(tried.lines(part(Tries, table()))) - 1


def test_a_try_that_went_on_where_it_was_to_be_pruned_is_named() -> None:
    """The best and the worst curve change their places, and the rest of the table goes with them."""
    value = table()
    value["tries"][4], value["tries"][0] = value["tries"][0], value["tries"][4]
    for number, one in enumerate(value["tries"], 1):
        one["name"] = str(number)
    names = {one: layout.of_a_try(one)[layout.TRAINING_METRICS] for one in ("1", "5")}
    swapped = {names["1"]: written()[names["5"]], names["5"]: written()[names["1"]]}
    release: Any = SimpleNamespace(read=lambda name: {**written(), **swapped}[name])

    found = list(verify_search.problems(release, part(Tries, value)))

    assert any("before try 5, it is pruned after step 5" in one for one in found), found
