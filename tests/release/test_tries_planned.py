"""Which tries there are is decided once: not by the memory that is free at each start."""

import contextlib
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gates.canonical import canonical_json
from release import inputs, pipeline, preflight, tries, tries_planned
from release.checking import tries_table
from release.cli import preparing
from release.cli.options import Configured
from release.config import ladder, reading
from release.config.ladder import Step
from release.config.settings import Config
from release.inputs import Inputs
from release.judging import tried
from release.planning import cards, forecast, memory
from release.planning import tries as planning
from release.running import machine
from release.values import extras
from release.values.as_json import tree
from release.values.errors import ConfigError, PreflightError
from release.values.events import Event, Line, Say
from release.values.record import Pruned, Tries, Try
from tests.helpers.line import small_config

FIRST = Try(name="1", changes={}, passed=False, refused_by=["it diverged"], gates={}, steps=0, tokens=0, seconds=1.5)
SO_FAR = Tries(planned=4, every_seed_passes=False, tries=[FIRST], seeds=[], left_out=[])


def quiet(_: Event) -> None:
    """Says nothing."""


def configured(folder: Path, **sections: Any) -> Inputs:
    path = small_config(
        folder, data={"tuning_share": 0.2}, run={"output_dir": "run"}, container={"use": "never"}, **sections
    )
    return inputs.load(reading.load(path), lambda _: None)


def with_memory(folder: Path, patch: pytest.MonkeyPatch, size: int) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "memory.max").write_text(str(size))
    (folder / "memory.current").write_text("0")
    patch.setattr(machine, "CGROUP", folder)


def named(found: Inputs, rows: str = "a") -> tuple[list[str], int]:
    """The tries, and how many were left out."""
    steps, left_out = tries_planned.planned(found, {"train": rows})
    return [one.name for one in steps], len(left_out)


@pytest.mark.usefixtures("base")
def test_what_was_planned_stays_whatever_is_free_at_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = configured(tmp_path, tries={"ladder": "learning_rates"})
    with_memory(tmp_path / "cgroup", monkeypatch, 64 << 30)
    first = named(found)
    with_memory(tmp_path / "cgroup", monkeypatch, 100 << 20)

    assert named(found) == first == (["1", "2", "3", "4"], 0)
    assert named(configured(tmp_path, tries={"ladder": "learning_rates"}, budget={"tries": 2})) == (["1", "2"], 2)
    assert named(found) == first
    table = tries_planned.folder_of(found.config) / tries_planned.TABLE
    table.write_text("over these rows")
    assert named(configured(tmp_path, tries={"ladder": "learning_rates"}, training={"weight_decay": 0.2})) == (["1"], 3)
    assert named(found) == first
    assert named(found, rows="other") == (["1"], 3)
    assert not table.exists()


@pytest.mark.parametrize(
    ("sections", "same"),
    [
        ({"budget": {"hours": 3}}, True),
        ({"publishing": {"tag": "v0.2.0"}}, True),
        ({"gates": {"weaker_because": "half of the old questions were ambiguous"}}, True),
        ({"training": {"learning_rate": 3e-4}}, False),
        ({"generation": {"max_new_tokens": 7}}, False),
        ({"tries": {"ladder": "usual"}}, False),
    ],
)
def test_the_table_of_another_configuration_in_one_folder_is_not_taken_for_its_own(
    tmp_path: Path, sections: dict[str, Any], same: bool
) -> None:
    asked = {"tries": {"ladder": "learning_rates"}, "data": {"tuning_share": 0.2}}
    one, other = (reading.load(small_config(tmp_path, **more)) for more in (asked, {**asked, **sections}))
    table = tries_planned.folder_of(one) / tries_planned.TABLE
    table.parent.mkdir(parents=True)
    table.write_bytes(canonical_json(tree(SO_FAR)))

    assert tries_table.under_way(one) == SO_FAR
    if same:
        assert tries_table.under_way(other) == SO_FAR
    else:
        with pytest.raises(ConfigError, match="nothing was tried yet with these settings"):
            tries_table.under_way(other)


@pytest.mark.usefixtures("base")
def test_in_a_list_a_try_without_memory_is_wrong_and_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = configured(tmp_path, tries={"changes": [{"training": {"learning_rate": 1e-4}}]})
    with_memory(tmp_path / "cgroup", monkeypatch, 100 << 20)

    with pytest.raises(PreflightError, match=r"tries.changes, try 2 \(training.learning_rate 0.0001\): .* memory"):
        tries_planned.planned(found, {})
    (item,) = tries_planned.foreseen(found)
    assert item.state == "problem"
    assert item.says.startswith("tries.changes, try 2 ")


@pytest.mark.usefixtures("base")
def test_side_by_side_each_has_its_share_of_memory_and_threads_and_the_same_at_every_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = {"ladder": "learning_rates", "side_by_side": 2}
    found = configured(tmp_path, tries=asked, publishing={"endpoint": "file:hub"}, budget={"price_per_hour": 2.0})
    found = replace(found, config=replace(found.config, run=replace(found.config.run, threads=5)))
    needs = forecast.estimate(found, forecast.built_of(found), cuda=False).memory
    steps, _ = tries_planned.planned(found, {"train": "a"})
    assert [one.config.run.threads for one in steps] == [2] * 4
    assert tries_planned.planned(found, {"train": "a"})[0] == steps

    with_memory(tmp_path / "cgroup", monkeypatch, int(1.5 * needs * memory.SPARE))
    items = {one.name: one for one in preflight.look(found, quiet)}
    assert items["side by side"].says == "2 tries at a time, each with 2 threads, and all that follows with as many"
    assert items["memory"].state == "problem"
    assert "GiB are needed for 2 tries at a time" in items["memory"].says
    assert "Do one of: take out tries.side_by_side; " in items["memory"].says


@pytest.mark.parametrize(
    ("hours", "seeds", "many", "passed"),
    [([3, 1, 1, 1], 0, 1, 6), ([3, 1, 1, 1], 0, 2, 3), ([3, 1], 3, 2, 9), ([], 0, 2, 0), ([2, 2, 2], 0, 8, 2)],
)
def test_the_clock_is_told_for_so_many_at_a_time(hours: list[float], seeds: int, many: int, passed: float) -> None:
    assert planning._passing(hours, seeds, many) == passed


def said_by(command: Callable[[Configured, Say], None], path: Path) -> str:
    said: list[str] = []

    def say(event: Event) -> None:
        if isinstance(event, Line):
            said.append(event.text)

    with contextlib.suppress(PreflightError):  # doctor says more than of tries
        command(Configured(config=path, overrides=(), weaker_because=None), say)
    return "\n".join(said)


@pytest.mark.usefixtures("base")
@pytest.mark.parametrize("command", [preparing.plan, preparing.doctor])
def test_what_memory_leaves_out_of_a_ladder_is_said_before_anything_is_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Callable[[Configured, Say], None]
) -> None:
    found = configured(tmp_path, tries={"ladder": "usual"}, publishing={"endpoint": "file:hub"}, budget={"tries": 3})
    needs = {
        tried.said(one.changes): forecast.estimate(
            replace(found, config=one.config), forecast.built_of(found), cuda=False
        ).memory
        for one in ladder.steps(found.config)
    }
    *_, before, most = sorted(set(needs.values()))
    (too_large,) = (one for one, size in needs.items() if size == most)
    with_memory(tmp_path / "cgroup", monkeypatch, int((before + most) / 2 * memory.SPARE))

    said = said_by(command, found.config.path)

    assert "3 trainings at most" in said
    assert f"not to be made: {too_large}: " in said
    assert "GiB are needed" in said
    assert "budget.tries is 3" in said
    assert not tries_planned.folder_of(found.config).exists()


RATES: Any = {
    "training": {"learning_rate": {"low": 1e-5, "high": 1e-3, "log": True}},
    "adapter": {"lora": {"r": [8, 64]}},
}
SEARCHED: Any = {"tries": {"search": {"space": RATES, "n_trials": 7}}, "training": {"eval_steps": 5}}


@pytest.mark.usefixtures("base")
@pytest.mark.parametrize("command", [preparing.plan, preparing.doctor])
def test_a_search_is_planned_with_its_largest_values(
    tmp_path: Path, command: Callable[[Configured, Say], None]
) -> None:
    found = configured(tmp_path, publishing={"endpoint": "file:hub"}, **SEARCHED)

    said = said_by(command, found.config.path)

    assert "7 trainings at most" in said
    if command is preparing.plan:
        assert "tries, at most 7:" in said
        assert "each further one of the search, at most: adapter.lora.r 64, training.learning_rate 0.001" in said
        assert len(re.findall(r"^ +[0-9]+ .* h  ", said, re.MULTILINE)) == 2


@pytest.mark.usefixtures("base")
def test_of_a_search_the_plan_names_what_costs_the_most_and_what_takes_the_longest(tmp_path: Path) -> None:
    space: Any = {"training": {"activation_checkpointing": [False, True], "num_train_epochs": [1, 3]}}
    search = {"search": {"space": space, "n_trials": 7}}
    found = configured(tmp_path, tries=search, training={"eval_steps": 5, "activation_checkpointing": False})

    line = next(one for one in planning.planned(found, forecast.built_of(found)) if "each further one" in one)

    assert line.endswith("at most: training.num_train_epochs 3, training.activation_checkpointing True")


def test_where_what_costs_the_most_is_not_what_takes_the_longest_both_are_named() -> None:
    def priced(name: str, hours: float, cost: float | None) -> tuple[Step, planning.Cost]:
        card = cards.Option(card="A", memory_gb=8, fits=True, hours=1, cost=cost) if cost else None
        step = Step(name=name, changes={"a": name}, config=Config.__new__(Config))
        return step, planning.Cost(hours=hours, card=card)

    both = [priced("1", 2, 3), priced("2", 4, 5), priced("3", 9, 1)]

    assert planning._dearest(both[:2]) == "a 2"
    assert planning._dearest(both) == "a 2, which costs the most; the hours are of a 3"
    assert planning._dearest([*both[:2], priced("4", 3, None)]) == "a 4, which costs the most; the hours are of a 2"
    assert planning._dearest([priced("1", 4, 3), priced("2", 4, 5)]) == "a 2"
    assert planning._enough([*both, priced("4", 3, None)]) == planning.Cost(hours=9, card=None)


@pytest.mark.usefixtures("base")
def test_a_space_whose_largest_values_have_no_memory_is_refused_at_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = configured(tmp_path, **SEARCHED)
    with_memory(tmp_path / "cgroup", monkeypatch, 100 << 20)

    with pytest.raises(PreflightError, match=r"tries.search.space, the largest values \(adapter.lora.r 64, .*memory"):
        tries_planned.planned(found, {})


@pytest.mark.usefixtures("base")
def test_memory_for_a_space_is_asked_for_with_each_value_that_has_no_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    space: Any = {"training": {"activation_checkpointing": [True, False]}}
    search = {"search": {"space": space, "n_trials": 7}}
    found = configured(tmp_path, tries=search, training={"eval_steps": 5, "activation_checkpointing": True})
    least, most = (
        forecast.estimate(replace(found, config=one.config), forecast.built_of(found), cuda=False).memory
        for one in ladder.largest(found.config)
    )
    assert least < most
    with_memory(tmp_path / "cgroup", monkeypatch, int((least + most) / 2 * memory.SPARE))

    with pytest.raises(PreflightError, match=r"values \(training.activation_checkpointing False\): .*memory"):
        tries_planned.planned(found, {})


@pytest.mark.usefixtures("base")
def test_a_search_without_optuna_is_refused_with_the_line_that_installs_it_where_one_would_begin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = configured(tmp_path, publishing={"endpoint": "file:hub"}, **SEARCHED)
    nowhere = ("optuna_that_is_nowhere",)
    monkeypatch.setitem(extras.EXTRAS, "search", nowhere)
    monkeypatch.setattr(extras, "SEARCH", nowhere)
    judged = pipeline.check_data(found, quiet)  # all that `check` does
    assert {one.state for one in tries_planned.foreseen(found)} == {"ok"}  # what `plan` says of this machine

    for searches in (
        lambda: preflight.check(found, {}, quiet, rights=False),
        lambda: tries.chosen(found, judged, quiet),
    ):
        with pytest.raises((ConfigError, PreflightError), match=r"pip install 'adapter-release\[search\]'"):
            searches()
    assert not tries_planned.folder_of(found.config).exists()
    assert [one.name for one in preflight.look(found, quiet) if "optuna_that_is_nowhere" in one.says] == ["search"]


def test_a_search_goes_past_what_is_no_configuration_and_one_that_goes_on_does_the_same(tmp_path: Path) -> None:
    pytest.importorskip("optuna")
    space = {"training": {"warmup_steps": {"low": 0, "high": 100}, "max_steps": {"low": 50, "high": 200}}}
    path = small_config(
        tmp_path,
        data={"tuning_share": 0.2},
        training={"eval_steps": 5, "max_steps": 200, "warmup_steps": 0},
        tries={"search": {"space": space, "n_trials": 9}},
    )
    config, made = reading.load(path), list[tries.Made]()

    for step in tries._coming(config, ladder.steps(config), made):
        loss = 2.0 - step.config.training.warmup_steps / 100  # best where warming up is longest
        told = replace(FIRST, name=step.name, changes=dict(step.changes), loss=loss)
        assert step == next(tries._coming(config, [step] if step.name == "1" else [], list(made)))
        made.append(tries.Made(step=step, run=tmp_path, told=told))

    assert [one.step.name for one in made] == [str(number) for number in range(1, 10)]


def test_a_try_that_was_pruned_by_other_limits_is_trained_again(tmp_path: Path) -> None:
    path = tmp_path / tries.ENDED
    pruned = replace(FIRST, steps=5, pruned=Pruned(step=5, limit=2.0, losses=[(5, 3.0)]))

    for told, limits, kept in (
        (FIRST, {}, True),
        (pruned, {5: 2.0, 10: 1.0}, True),
        (pruned, {5: 2.5}, False),
        (pruned, {10: 2.0}, False),
        (pruned, {}, False),
    ):
        path.write_bytes(canonical_json(tree(told)))
        assert tries._ended(path, limits) == (told if kept else None)
        assert path.exists() is kept
