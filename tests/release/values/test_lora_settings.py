"""An adapter's settings are those of a LoRA that is trained here: none of PEFT's other orders is carried out."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from release.checking import opening, verify
from release.judging.released import Released
from release.models.engines.transformers import with_adapter
from release.values import layout, lora_settings
from release.values.errors import VerificationError
from tests.helpers.line import ROOT
from tests.helpers.small_release import edit

KEPT = ROOT / "tests" / "data" / "releases"
WRITTEN: dict[str, Any] = json.loads((KEPT / "v3" / layout.SETTINGS).read_bytes())
BASE = "record, configuration, adapter and card name one base model"
ASKED = {"r": 16, "alpha": 32, "dropout": 0.05, "bias": "none", "target_modules": WRITTEN["target_modules"][::-1]}


@pytest.mark.parametrize("version", ["v1", "v2", "v3"])
def test_a_kept_release_has_them(version: str) -> None:
    settings = json.loads((KEPT / version / layout.SETTINGS).read_bytes())
    lora = json.loads((KEPT / version / layout.RECORD).read_bytes())["config"]["adapter"]["lora"]

    assert list(lora_settings.problems(settings, lora)) == []
    assert lora_settings.read(KEPT / version) == settings


def test_every_default_of_the_installed_peft_is_one_that_training_writes(tmp_path: Path) -> None:
    from peft import LoraConfig

    LoraConfig(r=8, target_modules=["q_proj"], task_type="CAUSAL_LM").save_pretrained(str(tmp_path))
    written = lora_settings.read(tmp_path)
    ordinary = {name: value for name, value in written.items() if name not in lora_settings.OWN}
    assert {
        name: value for name, value in ordinary.items() if value not in (None, False, {}, [])
    } == lora_settings.ORDINARY


@pytest.mark.parametrize(
    "change",
    [
        {"r": 1},
        {"r": 1024, "lora_alpha": 4096},
        {"lora_dropout": 0},
        {"bias": "lora_only"},
        {"target_modules": ["0.q_proj", "lm_head"]},
        {"exclude_modules": r"(?!model\.language_model\.).*"},
        {"exclude_modules": r"(?!language_model\.).*"},
        {"target_parameters": [], "rank_pattern": {}, "alpha_pattern": {}},  # of a mixture of experts
        {"revision": "a" * 40},
        {"init_lora_weights": False},  # how tests start one: of random numbers, which the file's own replace
        {"base_model_name_or_path": None},
        {"peft_version": "0.99.0", "a_setting_of_a_later_peft": None, "another": False, "third": {}, "fourth": []},
    ],
)
def test_what_training_may_write_passes(change: dict[str, Any]) -> None:
    assert list(lora_settings.problems({**WRITTEN, **change})) == []


@pytest.mark.parametrize("name", ["qalora_group_size", "megatron_core", "use_bdlora", "inference_mode", "bias"])
def test_an_older_peft_leaves_settings_out(name: str) -> None:
    assert list(lora_settings.problems({key: value for key, value in WRITTEN.items() if key != name})) == []


WRONG: dict[str, dict[str, Any]] = {
    "prompt tuning": {"peft_type": "PROMPT_TUNING", "prompt_tuning_init": "TEXT"},
    "a tokenizer of somebody's": {"tokenizer_name_or_path": "someone/x"},
    "arguments for that tokenizer": {"tokenizer_kwargs": {"cache_dir": "/tmp/x"}},
    "a pickle somewhere": {"prompt_tuning_init_state_dict_path": "/tmp/x.bin"},
    "a mixture of adapters": {"peft_type": "XLORA", "adapters": {"0": "someone/else"}},
    "adapters beside a LoRA": {"adapters": {"0": "someone/else"}},
    "a decomposition of every weight": {"init_lora_weights": "pissa_niter_1000000000"},
    "a start that reads data": {"init_lora_weights": "eva", "eva_config": {"rho": 2.0}},
    "a module to import": {"auto_mapping": {"parent_library": "antigravity", "base_model_class": "x"}},
    "another module of Megatron": {"megatron_core": "antigravity"},
    "settings of Megatron": {"megatron_config": {"a": 1}},
    "a quantization": {"loftq_config": {"loftq_bits": 4}},
    "arrows to other adapters": {"arrow_config": {"top_k": 3}},
    "a type in small letters": {"peft_type": "lora"},
    "a type that is a list": {"peft_type": ["LORA"]},
    "another task": {"task_type": "SEQ_CLS"},
    "no task": {"task_type": None},
    "a pattern for modules": {"target_modules": "(a+)+$"},
    "all modules": {"target_modules": "all-linear"},
    "no module": {"target_modules": []},
    "a pattern among the modules": {"target_modules": ["q_proj", "(a+)+$"]},
    "a pattern for what is left out": {"exclude_modules": "(a+)+$"},
    "a pattern within that of training": {"exclude_modules": r"(?!(a+)+\.).*"},
    "a list of what is left out": {"exclude_modules": ["q_proj"]},
    "a pattern for ranks": {"rank_pattern": {"(a+)+$": 8}},
    "modules that are saved whole": {"modules_to_save": ["lm_head"]},
    "layers twice": {"layer_replication": [[0, 4], [2, 5]]},
    "tokens": {"trainable_token_indices": [1]},
    "another LoRA": {"use_dora": True},
    "another scale": {"use_rslora": True},
    "one for true": {"use_dora": 1},
    "nought for false": {"use_dora": 0},
    "a rank of nought": {"r": 0},
    "a rank of a million": {"r": 1_000_000},
    "a rank that is true": {"r": True},
    "a rank that is a text": {"r": "16"},
    "a dropout of one": {"lora_dropout": 1},
    "a dropout that is not a number": {"lora_dropout": float("nan")},
    "a bias of its own": {"bias": "someone/x"},
    "a path of several": {"base_model_name_or_path": ["a"]},
    "an unknown setting": {"a_setting_of_a_later_peft": "someone/x"},
}


@pytest.mark.parametrize("case", WRONG)
def test_what_training_never_writes_is_named(case: str) -> None:
    found = "\n".join(lora_settings.problems({**WRITTEN, **WRONG[case]}, ASKED))

    assert all(f'"{name}"' in found for name in WRONG[case]), found


@pytest.mark.parametrize(
    "change",
    [
        {"use_dora": True, "use_rslora": True, "lora_bias": True},
        {"rank_pattern": {"model.layers.0.self_attn.q_proj": 8}, "alpha_pattern": {"model.layers.0.mlp.up_proj": 2.5}},
        {"modules_to_save": ["lm_head"], "trainable_token_indices": {"model.embed_tokens": [1, 2]}},
        {"modules_to_save": None, "trainable_token_indices": None, "rank_pattern": {}},
    ],
)
def test_what_an_import_may_write_passes_for_an_imported_adapter_alone(change: dict[str, Any]) -> None:
    assert list(lora_settings.problems({**WRITTEN, **change}, imported=True)) == []
    asked_for = [name for name, value in change.items() if value]
    assert len(list(lora_settings.problems({**WRITTEN, **change}))) == len(asked_for)


@pytest.mark.parametrize(
    "change",
    [
        {"use_dora": 1},
        {"rank_pattern": {"(a+)+$": 8}},
        {"rank_pattern": {"q_proj": 0}},
        {"alpha_pattern": {"q_proj": float("inf")}},
        {"alpha_pattern": {"q_proj": float("nan")}},
        {"alpha_pattern": {"q_proj": True}},
        {"modules_to_save": ["(a+)+$"]},
        {"trainable_token_indices": {"(a+)+$": [1]}},
        {"trainable_token_indices": [1]},
        {"trainable_token_indices": {"embed_tokens": [-1]}},
        {"peft_type": "XLORA"},
        {"layer_replication": [[0, 4]]},
        {"auto_mapping": {"parent_library": "antigravity"}},
        {"init_lora_weights": "pissa"},
    ],
)
def test_what_no_import_writes_is_named_for_an_imported_adapter_too(change: dict[str, Any]) -> None:
    (problem,) = lora_settings.problems({**WRITTEN, **change}, imported=True)

    assert next(iter(change)) in problem


@pytest.mark.parametrize("name", lora_settings.NEEDED)
def test_what_says_that_it_is_a_lora_must_be_there(name: str) -> None:
    without = {key: value for key, value in WRITTEN.items() if key != name}

    assert list(lora_settings.problems(without)) == [f"adapter_config.json lacks {name}"]
    assert list(lora_settings.problems([])) == ["adapter_config.json holds no object"]


@pytest.mark.parametrize(
    ("name", "value"),
    [("r", 8), ("alpha", 16), ("dropout", 0), ("bias", "all"), ("target_modules", ["q_proj"])],
)
def test_an_adapter_that_its_configuration_does_not_ask_for_is_named(name: str, value: Any) -> None:
    (problem,) = lora_settings.problems(WRITTEN, {**ASKED, name: value})

    assert "its configuration says" in problem


@pytest.mark.parametrize("targets", [["all-linear"], [f"layer{number}.q_proj" for number in range(20)]])
def test_names_that_peft_writes_otherwise_are_not_compared(targets: list[str]) -> None:
    assert list(lora_settings.problems(WRITTEN, {**ASKED, "target_modules": targets})) == []
    assert list(lora_settings.problems(WRITTEN, None)) == []


@pytest.mark.parametrize(
    "case", ["prompt tuning", "a pickle somewhere", "adapters beside a LoRA", "a module to import"]
)
def test_a_release_with_them_is_neither_verified_nor_loaded(case: str, tmp_path: Path) -> None:
    folder = tmp_path / "release"
    shutil.copytree(KEPT / "v3", folder)
    edit(folder / layout.SETTINGS, lambda settings: settings.update(WRONG[case]))
    name = next(iter(WRONG[case]))

    (step,) = verify.check(opening.Opened(release=Released(name="release", folder=folder)), [BASE])
    with pytest.raises(VerificationError, match=re.escape(name)):
        with_adapter(None, folder)  # no base is touched

    assert name in "\n".join(step.problems)


@pytest.mark.parametrize(("value", "fits"), [(True, True), (False, True), (1, False), ("true", False)])
def test_peft_writes_by_itself_that_a_conv1d_has_its_weights_turned(value: object, fits: bool) -> None:
    settings = json.loads((ROOT / "tests" / "data" / "releases" / "v3" / layout.SETTINGS).read_bytes())

    assert (not list(lora_settings.problems({**settings, "fan_in_fan_out": value}))) is fits
