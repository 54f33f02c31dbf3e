"""A record says that the base was loaded as its configuration asks for, or is refused."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from release.checking import recorded_config, verify_stages
from release.config.settings import Attention, DeviceMap
from release.models import loading
from release.values.record import Gpu
from tests.helpers.small_release import small_release, small_settings


@pytest.mark.parametrize("asked", [None, "eager", "sdpa", "flash_attention_2"])
@pytest.mark.parametrize("told", [None, "eager", "sdpa", "flash_attention_2"])
def test_the_attention_that_is_recorded_is_the_one_that_was_asked_for(
    asked: Attention | None, told: Attention | None, tmp_path: Path
) -> None:
    config = small_settings(tmp_path, model={"attn_implementation": asked} if asked else {})
    assert config.model.attn_implementation == asked
    recorded = loading.loaded_on(config.adapter, "nf4", told, cuda=True).told

    found = list(verify_stages._other("answering", recorded, config, None, cuda=True))

    assert bool(found) == (asked != told)
    assert all("attn_implementation" in one for one in found)


@pytest.mark.parametrize("asked", [None, "auto"])
@pytest.mark.parametrize("told", [None, "auto", "sequential"])
@pytest.mark.parametrize("cuda", [True, False])
def test_where_the_layers_lay_is_as_was_asked_for_and_on_a_processor_nowhere_else(
    asked: DeviceMap | None, told: DeviceMap | None, cuda: bool, tmp_path: Path
) -> None:
    config = small_settings(tmp_path, generation={"device_map": asked} if asked else {})
    recorded = {**loading.loaded_on(config.adapter, "nf4", cuda=cuda).told, **({"device_map": told} if told else {})}

    found = list(verify_stages._other("answering", recorded, config, None, cuda=cuda))

    assert bool(found) == (told != (asked if cuda else None))
    assert all("device_map" in one for one in found)


def test_a_release_of_a_processor_that_asked_for_several_cards_agrees_with_itself(tmp_path: Path) -> None:
    made = small_release(tmp_path, generation={"device_map": "auto"}).candidate.record

    assert made.config["generation"]["device_map"] == "auto"  # type: ignore[index]
    assert list(verify_stages.problems(made)) == []


def test_several_cards_without_a_device_map_are_told(tmp_path: Path) -> None:
    made = small_release(tmp_path).candidate.record
    several = replace(made, generation=replace(made.generation, cards=4))
    config = recorded_config.read(made)

    assert not list(verify_stages._loaded(made, config))
    (told,) = verify_stages._loaded(several, config)
    assert told.startswith("answering: the base lay on 4 cards, and nothing says")


L4 = Gpu(name="NVIDIA L4", compute_capability="8.9", cuda="13.0", driver="580.65.06")
KERNELS: dict[str, dict[str, Any]] = {
    "model": {"attn_implementation": "flash_attention_2"},
    "training": {"use_liger_kernel": True},
}


def test_kernels_of_a_card_that_no_stage_had_are_told(tmp_path: Path) -> None:
    """By a record of a processor, and by one of a card on which nobody had installed them."""
    made = small_release(tmp_path, model=KERNELS["model"], training=KERNELS["training"]).candidate.record
    config = recorded_config.read(made)

    assert sorted(verify_stages._kernels(made, config)) == [
        "answering ran without a GPU, and its configuration asks for the kernels of flash-attn",
        "training ran without a GPU, and its configuration asks for the kernels of flash-attn",
        "training ran without a GPU, and its configuration asks for the kernels of liger-kernel",
    ]
    assert made.training is not None
    card = replace(made.training.hardware, gpu=L4)
    there = {"flash-attn": "2.8.3", "liger-kernel": "0.8.5"}
    for packages, told in (({}, 3), (there, 0), ({"flash-attn": "2.8.3"}, 1)):
        trained = replace(made.training, hardware=card, packages=packages)
        answered = replace(made.generation, hardware=card, packages=packages)
        assert len(list(verify_stages._kernels(replace(made, training=trained, generation=answered), config))) == told


def test_where_no_kernel_of_a_card_is_asked_for_none_is_needed(tmp_path: Path) -> None:
    made = small_release(tmp_path, model={"attn_implementation": "sdpa"}).candidate.record

    assert list(verify_stages._kernels(made, recorded_config.read(made))) == []
