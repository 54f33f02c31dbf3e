"""What a run writes to its disk: the sum of what its configuration asks for."""

from pathlib import Path

from release.config import reading
from release.config.settings import Config
from release.models import architecture
from release.models.architecture import Architecture
from release.models.base import folder_of, resolve
from release.planning import disk
from release.planning.estimates import trainable
from tests.helpers.line import small_config


def of_embedded(config: Config, kept: Path) -> Architecture:
    resolve(config.model, lambda _: None)
    shape = architecture.read(folder_of(config.model), kept / "architecture.json", config.model)
    assert shape is not None
    return shape


def test_each_form_adds_its_files_and_forms_over_one_base_share_it(tmp_path: Path) -> None:
    def asked(**serving: object) -> Config:
        return reading.load(small_config(tmp_path, **({"serving": serving} if serving else {})))

    alone = asked()
    shape = of_embedded(alone, tmp_path)
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


def test_nothing_is_counted_of_a_model_that_nobody_knows(tmp_path: Path) -> None:
    assert sum(disk.needs(reading.load(small_config(tmp_path)), None).values()) == disk.UNKNOWN
