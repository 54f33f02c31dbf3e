"""Room is asked for all that a run loads, on cards and on the host, and what is short of it says what to change."""

from dataclasses import replace
from pathlib import Path

import pytest

from release import inputs
from release.config import reading
from release.config.settings import Config
from release.models import base as bases
from release.planning import forecast, memory
from release.running import container, machine
from release.values.events import Event
from tests.helpers.cards import machine_with
from tests.helpers.line import small_config


def quiet(_: Event) -> None:
    """Say nothing."""


def given(config: Config) -> inputs.Inputs:
    return inputs.load(config, quiet)


def test_a_run_larger_than_the_free_memory_of_a_card_is_refused_with_what_to_change(
    base: bases.Base, tmp_path: Path
) -> None:
    (card,) = machine.read_gpus("Small card, 512, 580.1, GPU-1, 8.9, [N/A]")
    found = given(reading.load(small_config(tmp_path)))
    (item,) = memory.look(found, forecast.built_of(found), card)

    assert inputs.there(found.base).folder == base.folder
    assert item.state == "problem"
    assert item.says.startswith("Small card has 0.5 GiB free, 1.2 GiB are needed")
    assert "per_device_train_batch_size" in item.says


@pytest.mark.parametrize(("processes", "state"), [(None, None), (2, "ok"), (64, "problem")])
def test_room_is_asked_for_every_process_that_answers_on_a_processor(
    processes: int | None, state: str | None, base: bases.Base, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "available_memory", lambda: 16 * machine.GIB)
    found = given(reading.load(small_config(tmp_path, generation={"processes": processes} if processes else {})))

    items = memory.look(found, forecast.built_of(found), None)

    assert inputs.there(found.base).folder == base.folder
    assert [one.state for one in items if one.name == "memory to answer"] == ([state] if state else [])
    assert items[0].state == "ok"
    assert state != "problem" or items[1].says.endswith("Lower generation.processes.")


@pytest.mark.parametrize(
    ("mebibytes", "fsdp", "state"), [(512, True, "problem"), (81920, True, "ok"), (512, False, None)]
)
def test_a_card_that_answers_must_hold_all_of_a_base_that_was_shared_for_training(
    mebibytes: int, fsdp: bool, state: str | None, base: bases.Base, tmp_path: Path
) -> None:
    (card,) = machine.read_gpus(f"Some card, {mebibytes}, 580.1, GPU-1, 8.9, [N/A]")
    training = {"processes": 2, "optim": "adamw_torch", **({"fsdp": True} if fsdp else {})}
    found = given(reading.load(small_config(tmp_path, training=training)))

    items = memory.look(found, forecast.built_of(found), card)

    assert inputs.there(found.base).folder == base.folder
    assert [one.state for one in items if one.name == "memory to answer"] == ([state] if state else [])
    assert state != "problem" or "set generation.device_map: auto, and name more cards in" in items[-1].says


FOUR = [f"Small card, 900, 580.1, GPU-{number}, 8.9, [N/A]" for number in range(4)]


@pytest.mark.usefixtures("base")
@pytest.mark.parametrize(
    ("cards", "generation", "said"),
    [
        (1, {"device_map": "auto"}, ("problem", "name more cards in CUDA_VISIBLE_DEVICES; take cards with more")),
        (4, {"device_map": "auto"}, ("ok", "on each of 4 cards")),
        (4, {}, ("problem", "of all of the base on one card")),
        (4, {"device_map": "auto", "processes": 4}, ("problem", "lower generation.processes")),
    ],
)
def test_a_base_beyond_one_card_is_counted_over_the_cards_of_each_process(
    cards: int, generation: dict[str, object], said: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A small base counted as one of 70 billion weights; what training holds is another thing."""
    machine_with(tmp_path, monkeypatch, *FOUR[:cards])
    (card,) = machine.read_gpus(FOUR[0].replace("900", "47000"))
    found = given(reading.load(small_config(tmp_path, generation=generation)))
    built = forecast.built_of(found)
    assert built is not None
    larger = replace(built, parameters=built.parameters * 500, in_linear=built.in_linear * 500, layers=80)
    training = replace(forecast.estimate(found, built, cuda=True), parts={"all": 1.0})

    items = memory._loading_items(found, larger, card, card.free or 0, training)

    assert [one.state for one in items] == [said[0]]
    assert said[1] in items[0].says


@pytest.mark.usefixtures("base")
def test_what_files_are_made_of_in_float32_is_asked_of_the_host_before_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four bits of it fit the card; the same weights in float32 need not."""
    (card,) = machine.read_gpus(FOUR[0].replace("900", "1400"))
    found = given(reading.load(small_config(tmp_path, serving=MERGED)))
    built = forecast.built_of(found)
    assert built is not None
    training = replace(forecast.estimate(found, built, cuda=True), parts={"all": 1e9})

    for state, size in {"ok": 2 * machine.GIB, "problem": machine.GIB // 2}.items():
        monkeypatch.setattr(machine, "available_memory", lambda size=size: size)
        (to_merge,) = memory._loading_items(found, built, card, card.free or 0, training)
        assert (to_merge.name, to_merge.state) == ("memory to merge", state)
        assert "GiB of the host's memory to merge (gguf)" in to_merge.says
        assert ("take gguf out of serving" in to_merge.says) is (state == "problem")


MERGED = {"gguf": {"engine": "llama.cpp", "merged": True}}


@pytest.mark.usefixtures("base")
@pytest.mark.parametrize(
    ("in_image", "state", "said"),
    [(True, "problem", "container.memory_gib leaves 0.2 GiB of memory"), (False, "ok", "")],
)
def test_what_a_container_may_take_of_the_hosts_memory_counts_where_there_is_one(
    in_image: bool, state: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "available_memory", lambda: 64 * machine.GIB)
    monkeypatch.setattr(container, "absent", lambda: "" if in_image else "there is none")
    (card,) = machine.read_gpus(FOUR[0].replace("900", "81920"))
    shared = {"processes": 2, "fsdp": True, "optim": "adamw_torch"}
    asked = small_config(tmp_path, serving=MERGED, training=shared, container={"memory_gib": 0.2})
    found = given(reading.load(asked))

    items = memory.look(found, forecast.built_of(found), card)

    of_the_host = {one.name: one for one in items if one.name in ("memory to share out", "memory to merge")}
    assert [one.state for one in of_the_host.values()] == [state, state]
    for one in of_the_host.values():
        assert one.says.startswith(said)
        assert ("raise container.memory_gib" in one.says) == in_image


@pytest.mark.usefixtures("base")
def test_a_processor_is_asked_for_what_its_container_may_take(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of several tries at a time has a container of its own."""
    monkeypatch.setattr(machine, "available_memory", lambda: 64 * machine.GIB)
    monkeypatch.setattr(container, "absent", lambda: "")

    for gib, state in {0.5: "problem", 4: "ok"}.items():
        found = given(reading.load(small_config(tmp_path, container={"memory_gib": gib})))
        item, *_ = memory.look(found, forecast.built_of(found), None, 4)
        assert item.state == state
        assert item.says.startswith(f"container.memory_gib leaves {gib * 4:.1f} GiB of memory")


@pytest.mark.usefixtures("base")
@pytest.mark.parametrize(("generation", "name"), [({}, "memory to merge"), ({"device_map": "auto"}, "memory to write")])
def test_the_host_is_asked_where_nobody_knows_what_a_card_has_free(
    generation: dict[str, object], name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (part,) = machine.read_gpus("A part of a card, [N/A], 580.1, MIG-1, 8.9, [N/A]")
    monkeypatch.setattr(machine, "available_memory", lambda: machine.GIB // 4)
    found = given(reading.load(small_config(tmp_path, serving=MERGED, generation=generation)))

    items = memory.look(found, forecast.built_of(found), part)

    assert [(one.name, one.state) for one in items] == [("memory", "not checked"), (name, "problem")]


@pytest.mark.usefixtures("base")
def test_with_a_device_map_what_files_are_made_of_is_asked_of_the_cards_before_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (card,) = machine.read_gpus(FOUR[0].replace("900", "1400"))
    found = given(reading.load(small_config(tmp_path, serving=MERGED, generation={"device_map": "auto"})))
    built = forecast.built_of(found)
    assert built is not None
    training = replace(forecast.estimate(found, built, cuda=True), parts={"all": 1e9})

    free = {"ok": machine.GIB, "problem": machine.GIB // 4}
    for state, size in free.items():
        monkeypatch.setattr(machine, "available_memory", lambda size=size: size)
        *_, to_merge, to_write = memory._loading_items(found, built, card, card.free or 0, training)
        assert (to_merge.name, to_merge.state) == ("memory to merge", "problem")
        assert "to merge (gguf)" in to_merge.says
        assert "take gguf out of serving" in to_merge.says
        assert (to_write.name, to_write.state) == ("memory to write", state)


@pytest.mark.parametrize(
    ("free", "several", "short"),
    [("81920", (2, 1), False), ("[N/A]", (8, 1), True), ("81920", (8, 1), True), ("81920", (2, 4), True)],
)
def test_the_host_has_room_for_each_process_that_loads_a_base_to_share_it_out(
    free: str, several: tuple[int, int], short: bool, base: bases.Base, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    processes, at_once = several
    monkeypatch.setattr(machine, "available_memory", lambda: machine.GIB // 2)
    (gpu,) = machine.read_gpus(f"Some card, {free}, 580.1, GPU-1, 8.9, [N/A]")
    training = {"processes": processes, "fsdp": True, "optim": "adamw_torch"}
    found = given(reading.load(small_config(tmp_path, training=training)))

    items = memory.look(found, forecast.built_of(found), gpu, at_once)

    assert inputs.there(found.base).folder == base.folder
    assert items[0].state == ("ok" if free.isdecimal() else "not checked")
    (host,) = [one for one in items if one.name == "memory to share out"]
    assert host.state == ("problem" if short else "ok")
    assert f"for {processes * at_once} processes that each load all of the base" in host.says
    assert ("lower tries.side_by_side" in host.says) == (short and at_once > 1)
    assert ("0.5 GiB of memory are available" in host.says) == short


@pytest.mark.parametrize(("fsdp", "card"), [(False, True), (True, False)])
def test_a_base_that_no_cards_share_is_not_asked_room_for(
    fsdp: bool, card: bool, base: bases.Base, tmp_path: Path
) -> None:
    (gpu,) = machine.read_gpus("Some card, 81920, 580.1, GPU-1, 8.9, [N/A]")
    training = {"processes": 2, "optim": "adamw_torch", **({"fsdp": True} if fsdp else {})}
    found = given(reading.load(small_config(tmp_path, training=training)))

    items = memory.look(found, forecast.built_of(found), gpu if card else None)

    assert inputs.there(found.base).folder == base.folder
    assert "memory to share out" not in [one.name for one in items]
