"""What a run writes to its disk: the sum of what its configuration asks for."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from release.config import reading
from release.config.settings import Config
from release.models import architecture
from release.models.architecture import Architecture
from release.models.base import folder_of, resolve
from release.planning import disk
from release.planning.estimates import trainable
from tests.helpers.line import small_config


@pytest.fixture(scope="module")
def shape(tmp_path_factory: pytest.TempPathFactory) -> Architecture:
    """Of the embedded base."""
    kept = tmp_path_factory.mktemp("kept")
    config = reading.load(small_config(kept))
    resolve(config.model, lambda _: None)
    shape = architecture.read(folder_of(config.model), kept / "architecture.json", config.model)
    assert shape is not None
    return shape


def test_each_form_adds_its_files_and_forms_over_one_base_share_it(tmp_path: Path, shape: Architecture) -> None:
    def asked(**serving: object) -> Config:
        return reading.load(small_config(tmp_path, **({"serving": serving} if serving else {})))

    alone = asked()
    adapter, weights = trainable(shape, alone) * 4, shape.parameters
    plain = disk.needs(alone, shape)
    assert plain["exports"] == plain["what exports are made from"] == 0
    assert (
        sum(plain.values())
        == disk.LOGS + (3 if alone.publishing.endpoint.startswith("file:") else 2) * adapter + 10 * adapter
    )

    gguf = {"engine": "llama.cpp", "file_type": "F16"}
    one = disk.needs(asked(a=gguf), shape)
    assert (one["exports"], one["what exports are made from"]) == (2 * weights + adapter, 4 * weights)
    both = disk.needs(asked(a=gguf, b={**gguf, "constraint": "json_schema"}), shape)
    assert both == one
    small = disk.needs(asked(a={**gguf, "file_type": "Q8_0"}), shape)
    assert small["exports"] == int(weights * 34 / 32) + adapter
    assert small["what exports are made from"] == 8 * weights
    alone_small = disk.needs(asked(a={**gguf, "file_type": "Q8_0", "merged": True}), shape)
    assert alone_small["what exports are made from"] == 4 * weights
    merged = disk.needs(asked(a={"merged": True}), shape)
    assert (merged["exports"], merged["what exports are made from"]) == (4 * weights, 0)


TRIES: Mapping[str, object] = {
    "changes": [{"adapter": {"lora": {"r": 64, "alpha": 128}}}, {"training": {"learning_rate": 1e-4}}],
    "seeds": 3,
}


@pytest.mark.parametrize(
    ("tries", "budget", "ranks"),
    [
        (TRIES, {}, [16, 64, 16, 64, 64]),
        (TRIES, {"tries": 2}, [16, 64, 64, 64]),
        ({"changes": TRIES["changes"]}, {}, [16, 64, 16]),
        ({"ladder": "usual"}, {}, [16, 32, 8, 16, 16]),
        ({"seeds": 2}, {}, [16, 16]),
    ],
)
def test_each_try_and_each_seed_keeps_an_adapter_and_one_at_a_time_its_checkpoints(
    tmp_path: Path, shape: Architecture, tries: Mapping[str, object], budget: Mapping[str, object], ranks: list[int]
) -> None:
    alone = reading.load(small_config(tmp_path))
    config = reading.load(small_config(tmp_path, data={"tuning_share": 0.2}, tries=tries, budget=budget))
    rank, copies = (
        trainable(shape, alone) * 4 // alone.adapter.lora.r,
        2 if alone.publishing.endpoint[:5] == "file:" else 1,
    )

    found = disk.needs(config, shape)

    assert alone.adapter.lora.r == 16
    assert found["adapter"] == rank * (sum(ranks) + copies * max(ranks))
    assert found["checkpoints"] == rank * 9 * max(ranks)


@pytest.mark.parametrize(
    ("training", "adapters"),
    [
        ({}, 9),
        ({"on_divergence": {"action": "rollback"}}, 12),
        ({"eval_steps": 5}, 9),
        ({"eval_steps": 5, "load_best_model_at_end": True}, 13),
        ({"eval_steps": 5, "load_best_model_at_end": True, "on_divergence": {"action": "rollback"}}, 17),
    ],
)
def test_what_a_training_keeps_to_go_back_to_is_counted(
    tmp_path: Path, shape: Architecture, training: Mapping[str, object], adapters: int
) -> None:
    data = {"data": {"tuning_share": 0.2}} if "eval_steps" in training else {}
    config = reading.load(small_config(tmp_path, training=training, **data))

    assert disk.needs(config, shape)["checkpoints"] == adapters * trainable(shape, config) * 4


def test_nothing_is_counted_of_a_model_that_nobody_knows(tmp_path: Path) -> None:
    assert sum(disk.needs(reading.load(small_config(tmp_path)), None).values()) == disk.UNKNOWN
