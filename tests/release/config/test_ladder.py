"""Which trainings a configuration tries: each a whole configuration; what is wrong is named with its entry."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from release.config import ladder, reading
from release.config import space as spaces
from release.config import tree as trees
from release.config.settings import Config
from release.judging import recording
from release.values.errors import ConfigError
from tests.helpers.line import small_config

LOWER, WIDER = {"training": {"learning_rate": 1e-4}}, {"adapter": {"lora": {"r": 64, "alpha": 128}}}
TUNING = {"tuning_share": 0.2}


def loaded(folder: Path, tries: Mapping[str, Any] | None, **sections: Mapping[str, Any]) -> Config:
    sections = {"data": TUNING, **sections} | ({} if tries is None else {"tries": tries})
    return reading.load(small_config(folder, **sections))


def test_each_change_is_a_change_of_the_configuration_as_written(tmp_path: Path) -> None:
    config = loaded(tmp_path, {"changes": [LOWER, WIDER]})

    written, lower, wider = ladder.steps(config)

    assert [one.name for one in (written, lower, wider)] == ["1", "2", "3"]
    assert (lower.config.training.learning_rate, wider.config.training.learning_rate) == (1e-4, 8e-4)
    assert (wider.config.adapter.lora.r, lower.config.adapter.lora.r) == (64, written.config.adapter.lora.r)
    assert dict(wider.changes) == {"adapter.lora.r": 64, "adapter.lora.alpha": 128}
    assert all(one.config.tries is None for one in (written, lower, wider))


def test_a_try_is_trained_as_it_would_be_without_tries(tmp_path: Path) -> None:
    """So who writes the settings that won finds the same run, and so does a reproduction."""
    (tmp_path / "alone").mkdir()
    evaluated = {"eval_steps": 5}
    config = loaded(tmp_path, {"changes": [LOWER]}, training=evaluated)
    alone = loaded(tmp_path / "alone", None, training={**evaluated, "learning_rate": 1e-4})

    tried, asked = (reading.effective(one) for one in (ladder.steps(config)[1].config, alone))

    assert {name: tried[name] for name in ("training", "adapter", "model", "generation")} == {
        name: asked[name] for name in ("training", "adapter", "model", "generation")
    }
    assert tried["data"]["tuning_share"] == asked["data"]["tuning_share"]


def test_the_usual_ladder_ends_over_the_unquantized_base_and_leaves_out_what_is_there_already(tmp_path: Path) -> None:
    quantized = loaded(tmp_path, {"ladder": "usual"})
    (tmp_path / "plain").mkdir()
    plain = loaded(
        tmp_path / "plain", {"ladder": "usual"}, adapter={"method": "lora", "quantization": {"load_in_4bit": False}}
    )

    last = ladder.steps(quantized)[-1]

    assert (last.config.adapter.method, last.config.adapter.quantization.load_in_4bit) == ("lora", False)
    assert len(ladder.steps(quantized)) == 1 + len(ladder.USUAL)
    assert len(ladder.steps(plain)) == len(ladder.USUAL)


@pytest.mark.parametrize("change", [
    {"training": {"learning_rate": 1e-4, "save_minutes": 10, "report_to": ["tensorboard"]}},
    {"adapter": {"method": "lora", "quantization": {"enabled": False}}},
    {"training": {"on_divergence": {}}},
    {"training": {"on_divergence": {"action": "stop"}}},
])  # fmt: skip
def test_what_a_try_changes_is_what_its_record_holds(tmp_path: Path, change: Mapping[str, Any]) -> None:
    config = loaded(tmp_path, {"changes": [change]})

    written, tried = ladder.steps(config)
    before, recorded = (recording.as_published(one.config) for one in (written, tried))

    assert tried.changes
    for key, value in tried.changes.items():
        assert trees.get(recorded, key) == value
        assert trees.get(before, key) != value


def test_lora_of_the_usual_ladder_is_not_trained_over_four_bits(tmp_path: Path) -> None:
    config = loaded(tmp_path, {"ladder": "usual"}, training={"over": ["nf4", "unquantized"]})

    assert ladder.steps(config)[-1].config.training.over == ("unquantized",)


def test_other_seeds_are_those_after_the_one_to_publish(tmp_path: Path) -> None:
    config = loaded(tmp_path, {"changes": [LOWER], "seeds": 3})
    won = ladder.steps(config)[1]

    others = ladder.seeds(config, won)

    assert [one.name for one in others] == ["seed-43", "seed-44"]
    assert [one.config.run.seed for one in others] == [43, 44]
    assert all(one.config.training == won.config.training for one in others)
    assert dict(others[0].changes) == {"training.learning_rate": 1e-4, "run.seed": 43}


def test_without_tries_there_is_nothing_to_try(tmp_path: Path) -> None:
    config = reading.load(small_config(tmp_path))

    assert ladder.steps(config) == ()
    assert "tries" not in reading.effective(config)
    assert not {"tries", "hours"} & reading.effective(config)["budget"].keys()


def test_a_budget_of_tries_counts_the_first_too(tmp_path: Path) -> None:
    assert ladder.most(loaded(tmp_path, {"changes": [LOWER, WIDER]}, budget={"tries": 2})) == 2


@pytest.mark.parametrize(
    ("tries", "sections", "says"),
    [
        ({"changes": [LOWER]}, {"data": {}}, "Set data.tuning_share, such as 0.2, or data.tuning_file"),
        ({}, {}, "names no tries. Write changes, ladder: usual, search, or seeds"),
        ({"ladder": "usual", "changes": [LOWER]}, {}, "given beside tries.changes"),
        ({"ladder": "steep"}, {}, "tries.ladder is \"steep\"; expected 'usual' ("),
        ({"ladder": "usual", "every_seed_passes": True}, {}, "there is one seed. Set tries.seeds"),
        ({"ladder": "usual", "side_by_side": 1}, {}, "tries.side_by_side is 1; expected a whole number from 2"),
        (
            {"search": {"space": {"training": {"learning_rate": [1e-4, 2e-4]}}, "n_trials": 3}, "side_by_side": 2},
            {"training": {"eval_steps": 5}},
            "tries.side_by_side is given beside tries.search, of which each try follows from the results of those",
        ),
        ({"changes": []}, {}, "expected a list of changes"),
        ({"changes": [{}]}, {}, "expected a list of changes"),
        ({"changes": [{"data": {"max_length": 64}}]}, {}, "expected a list of changes"),
        ({"seeds": 1}, {}, "tries.seeds is 1; expected a whole number of seeds from 2"),
        (None, {"budget": {"tries": 3}, "data": {}}, "there is no section tries"),
        (None, {"budget": {"hours": 0}, "data": {}}, "expected a number of hours above 0"),
        (None, {}, "without training.eval_steps nothing reads those rows"),
    ],
)
def test_a_section_that_cannot_be_tried_is_refused(
    tmp_path: Path, tries: Mapping[str, Any] | None, sections: Mapping[str, Any], says: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        loaded(tmp_path, tries, **sections)

    assert says in str(refused.value)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"training": {"learning_rate": 7}}, "training.learning_rate is 7; expected a number above 0 and up to 1"),
        ({"training": {"lerning_rate": 0.1}}, "Did you mean training.learning_rate?"),
        ({"training": {"eval_generate": 4}}, "by which all tries are measured alike"),
        ({"training": {"learning_rate": 8e-4}}, "is the same training as try 1"),
        ({"training": {"learning_rate": 0.0001}}, "is the same training as try 2"),
        ({"training": {"report_to": ["tensorboard"]}}, "is the same training as try 1"),
        ({"training": {"learning_rate": 1e-4, "save_minutes": 5}}, "is the same training as try 2"),
        ({"training": {"chat_template_path": "a.jinja"}}, "changes model.chat_template, and a try changes settings of"),
        ({"adapter": {"method": "imported"}}, "adapter.source"),
        ({"adapter": {"method": "lora", "quantization": {"load_in_4bit": True}}}, "qlora means a 4-bit base"),
    ],
)
def test_a_change_that_is_wrong_is_named_with_its_entry(tmp_path: Path, change: Mapping[str, Any], says: str) -> None:
    config = loaded(tmp_path, {"changes": [LOWER, change]})

    with pytest.raises(ConfigError) as refused:
        ladder.steps(config)

    assert "tries.changes, entry 2" in str(refused.value)
    assert says in str(refused.value)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"num_train_epochs": 2}, "the same training as try 1: training.max_steps says how long it is, epochs do not."),
        ({"logging_steps": 7}, "the same training as try 1."),
        ({"num_train_epochs": 2, "max_steps": -1}, None),
        ({"num_train_epochs": 2, "learning_rate": 3e-4}, None),
        ({"max_steps": 30}, None),
    ],
)
def test_what_comes_to_the_same_adapter_is_not_trained_twice(
    tmp_path: Path, change: Mapping[str, Any], says: str | None
) -> None:
    config = loaded(tmp_path, {"changes": [{"training": change}]}, training={"max_steps": 24})
    if says is None:
        assert len(ladder.steps(config)) == 2
        return
    with pytest.raises(ConfigError) as refused:
        ladder.steps(config)

    assert says in str(refused.value)


def test_without_max_steps_epochs_are_another_training(tmp_path: Path) -> None:
    assert len(ladder.steps(loaded(tmp_path, {"changes": [{"training": {"num_train_epochs": 2}}]}))) == 2


def test_nobody_searches_over_epochs_that_steps_decide(tmp_path: Path) -> None:
    space = {"training": {"num_train_epochs": [1, 2]}}
    config = loaded(tmp_path, {"search": {"space": space, "n_trials": 2}}, training={**SEARCHED, "max_steps": 24})

    with pytest.raises(ConfigError, match=r"num_train_epochs changes nothing while training\.max_steps is set"):
        ladder.steps(config)


SEARCHED = {"eval_steps": 5}
RANKS = {"lora": {"r": [8, 32]}}


def searching(folder: Path, space: Mapping[str, Any], **settings: Any) -> Config:
    return loaded(folder, {"search": {"space": space, "n_trials": 9, **settings}}, training=SEARCHED)


def test_of_a_search_the_first_try_is_known_and_each_further_one_changes_what_is_searched(tmp_path: Path) -> None:
    config = searching(tmp_path, {"training": {"learning_rate": {"low": 1e-5, "high": 1e-3}}, "adapter": RANKS})
    assert config.tries is not None
    assert config.tries.search is not None

    (written,) = ladder.steps(config)
    step = ladder.suggested(
        config, 4, {"training.learning_rate": 1e-4, "adapter.lora.r": written.config.adapter.lora.r}
    )

    assert (step.name, dict(step.changes)) == ("4", {"training.learning_rate": 1e-4})
    assert ladder.values(config, config.tries.search, step.changes) == {
        "training.learning_rate": 1e-4,
        "adapter.lora.r": written.config.adapter.lora.r,
    }
    assert ladder.most(config) == len(ladder.foreseen(config)) == 9
    assert dict(ladder.foreseen(config)[-1].changes)["training.learning_rate"] == 1e-3


@pytest.mark.parametrize(
    ("space", "says"),
    [
        ({"training": {"learning_rate": {"low": 1e-3, "high": 1e-5}}}, ["learning_rate is", "low is the lower"]),
        ({"training": {"learning_rate": {"low": 0, "high": 1e-3, "log": True}}}, ["low is above 0"]),
        ({"training": {"learning_rate": {"low": 1e-5}}}, ["expected low and high"]),
        ({"training": {"learning_rate": {"low": True, "high": 2}}}, ["expected numbers"]),
        ({"training": {"learning_rate": {"low": 1e-5, "high": 1e-3, "step": 2}}}, ["expected low and high"]),
        ({"training": {"learning_rate": 1e-4}}, ["expected low and high"]),
        ({"adapter": {"lora": {"r": [8]}}}, ["2 to 100 different values"]),
        ({"adapter": {"lora": {"r": [8, 8]}}}, ["2 to 100 different values"]),
        ({"adapter": {"lora": {"r": [[8], [16]]}}}, ["2 to 100 different values"]),
        ({"adapter": {"lora": {"r": [0, 8]}}}, ["adapter.lora.r"]),
        ({"adapter": {"lora": {"r": {"low": 1.5, "high": 8}}}}, ["adapter.lora.r"]),
        ({"training": {"warmup_steps": {"low": 0.5, "high": 3}}}, ["training.warmup_steps is 2.0"]),
        ({"adapter": {"lora.r": [8, 16]}}, ["adapter.lora.r is written with a dot"]),
        ({"adapter": {"lora": {"rank": [8, 16]}}}, ["rank"]),
        ({"training": {"eval_steps": [5, 10]}}, ["by which all tries are measured alike"]),
        ({"training": {"save_minutes": [5, 10]}}, ["save_minutes changes no step"]),
        ({"adapter": {"method": ["lora", "qlora"]}}, ["entry of tries.changes"]),
        (
            {"training": {"learning_rate": [2], "warmup_steps": {"low": 1}}, "adapter": {"method": ["lora", "qlora"]}},
            ["learning_rate is", "warmup_steps is", "adapter.method needs"],
        ),
        (
            {"training": {"learning_rate": {"low": -1, "high": 1}}, "adapter": {"lora": {"r": [8, "many"]}}},
            ["training.learning_rate", "adapter.lora.r"],
        ),
    ],
)
def test_a_space_that_is_wrong_is_refused_with_all_that_is(
    tmp_path: Path, space: Mapping[str, Any], says: list[str]
) -> None:
    with pytest.raises(ConfigError) as raised:
        ladder.steps(searching(tmp_path, space))

    assert all(one in str(raised.value) for one in says), str(raised.value)
    assert all("tries.search.space" in one for one in raised.value.problems)


@pytest.mark.parametrize(
    ("tries", "training", "says"),
    [
        ({"ladder": "usual"}, SEARCHED, "is given beside tries.ladder"),
        ({"changes": [LOWER]}, SEARCHED, "is given beside tries.changes"),
        ({}, {}, "without training.eval_steps no loss of the tuning rows is measured"),
    ],
)
def test_a_search_is_alone_and_needs_the_loss_of_the_tuning_rows(
    tmp_path: Path, tries: Mapping[str, Any], training: Mapping[str, Any], says: str
) -> None:
    with pytest.raises(ConfigError, match=says):
        loaded(tmp_path, {"search": {"space": {"adapter": RANKS}, "n_trials": 3}, **tries}, training=training)


def test_values_that_are_wrong_together_are_no_configuration_and_no_reason_to_refuse_a_space(tmp_path: Path) -> None:
    space = {"training": {"warmup_steps": {"low": 0, "high": 100}, "max_steps": {"low": 50, "high": 200}}}
    search = {"search": {"space": space, "n_trials": 9}}
    config = loaded(tmp_path, search, training={**SEARCHED, "max_steps": 200, "warmup_steps": 0})

    assert len(ladder.steps(config)) == 1
    for warmup, steps, fits in ((90, 60, False), (60, 60, False), (40, 60, True), (100, 200, True)):
        values = {"training.warmup_steps": warmup, "training.max_steps": steps}
        assert ladder.fits(config, values) == fits


@pytest.mark.parametrize(
    ("space", "largest"),
    [
        ({"adapter": {"lora": {"r": [8, 32, 16]}}}, [{"adapter.lora.r": 32}]),
        (
            {
                "training": {"activation_checkpointing": [False, True]},
                "adapter": {"lora": {"r": {"low": 8, "high": 64}}},
            },
            [
                {"adapter.lora.r": 64, "training.activation_checkpointing": False},
                {"adapter.lora.r": 64, "training.activation_checkpointing": True},
            ],
        ),
        (
            {"adapter": {"quantization": {"bnb_4bit_use_double_quant": [True, False]}}},
            [{"adapter.quantization.bnb_4bit_use_double_quant": one} for one in (True, False)],
        ),
        (
            {"training": {"lr_scheduler_type": ["cosine", "linear"], "learning_rate": {"low": 1e-5, "high": 1e-3}}},
            [{"training.learning_rate": 1e-3, "training.lr_scheduler_type": one} for one in ("cosine", "linear")],
        ),
    ],
)
def test_memory_is_asked_for_with_the_largest_numbers_and_each_value_that_is_none(
    tmp_path: Path, space: Mapping[str, Any], largest: list[dict[str, object]]
) -> None:
    config = searching(tmp_path, space)
    (written,) = ladder.steps(config)

    found = ladder.largest(config)

    assert config.tries is not None
    assert config.tries.search is not None
    assert [ladder.values(config, config.tries.search, one.changes) for one in found] == largest
    assert ladder.foreseen(config) == (written, *(replace(found[0], name=str(n)) for n in range(2, 10)))


def test_of_many_values_without_an_order_each_is_looked_at_and_not_all_their_combinations() -> None:
    words = {name: [f"{name}{number}" for number in range(9)] for name in ("b", "c", "d")}

    found = spaces.largest(spaces.read({"a": words, "e": [1, None, 7]}))

    assert len(found) == 1 + 3 * 8 + 1
    assert all({one[f"a.{name}"] for one in found} == set(each) for name, each in words.items())
    assert [one["e"] for one in found] == [7] * 25 + [None]
