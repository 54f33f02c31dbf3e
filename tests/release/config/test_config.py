"""release.yaml: what is refused and how it is said, what older files mean, and that every setting counts."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator, validators

from gates.canonical import canonical_json
from release.config import reading, schema
from release.config.messages import SETTINGS, override
from release.config.older import RENAMED, WITHOUT_EFFECT
from release.config.settings import EMBEDDED_BASE, Config, Quantization
from release.config.tree import put
from release.values.errors import ConfigError
from tests.helpers.line import ROOT

FILES = ROOT / "tests" / "data" / "config"
COMPLETE = FILES / "complete.yaml"
SHA = "f" * 40
MISSING_IN_SEED = {"model.revision": SHA, "publishing.tag": "1.0", "contract.schema": "answer.schema.json"}
EVALUATED = {"data.tuning_file": "tuning.jsonl", "training.eval_steps": 7}
BEST = {**EVALUATED, "training.eval_generate": 4, "training.load_best_model_at_end": True}
TUNED: dict[str, object] = {"data.tuning_file": "tuning.jsonl"}
SPACE = {"adapter": {"lora": {"r": [8, 16]}}}
SEARCHED = {**EVALUATED, "tries.search.n_trials": 9, "tries.search.space": SPACE}
NEEDED_BY: dict[str, dict[str, object]] = {
    "training.fsdp": {"training.processes": 2, "training.optim": "adamw_torch"},
    "tries.changes": TUNED,
    "tries.ladder": TUNED,
    **{f"tries.search.{name}": SEARCHED for name in ("sampler", "seed", "n_startup_trials", "pruner")},
    "tries.search.space": {**EVALUATED, "tries.search.n_trials": 9},
    "tries.search.n_trials": {**EVALUATED, "tries.search.space": SPACE},
    "tries.seeds": TUNED,
    "tries.side_by_side": {**TUNED, "tries.seeds": 2},
    "tries.every_seed_passes": {**TUNED, "tries.seeds": 2},
    "budget.tries": {**TUNED, "tries.ladder": "usual"},
    "data.tuning_file": {"training.eval_steps": 7},
    "data.tuning_share": {"training.eval_steps": 7},
    "training.eval_steps": EVALUATED,
    "training.eval_generate": EVALUATED,
    "training.load_best_model_at_end": EVALUATED,
    "training.metric_for_best_model": BEST,
    "training.early_stopping_patience": BEST,
}
LEAVES = [key for key, rule in SETTINGS.items() if "examples" in rule]


def expected(path: Path) -> list[str]:
    """The file's own last lines say what is wrong with it."""
    marker = "# says "
    lines = path.read_text("utf-8").splitlines()
    return [line.removeprefix(marker).replace("FILE", str(path)) for line in lines if line.startswith(marker)]


def problems(path: Path, **overrides: str) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        reading.load(path, overrides)
    return caught.value.problems


def with_setting(key: str, value: object) -> Config:
    """The complete file with one more setting; a full tree, as it stands in YAML."""
    tree: dict[str, Any] = yaml.safe_load(COMPLETE.read_text("utf-8"))
    if (key, value) == ("model.source", "embedded"):
        tree["model"] = {"base_model_id": EMBEDDED_BASE}
    if key in {"adapter.method", "adapter.quantization.load_in_4bit"}:
        tree["adapter"] = {"method": "qlora" if value in {"qlora", True} else "lora"}
    if key in {"adapter.source", "adapter.named_base"}:
        tree["adapter"] = {"method": "imported", "source": "there"}
    if key.startswith("adapter.reproduce_with."):
        said = {"command": ["train", "{output}"], "lock": "lock.txt"}
        tree["adapter"] = {"method": "imported", "source": "there", "reproduce_with": said}
    if key.startswith("serving.*."):
        name = key.rpartition(".")[2]
        engine = value if name == "engine" else reading.ONLY.get(name, "transformers")
        tree["serving"] = {"a": {"engine": engine}}
        if engine == "openai":
            tree["serving"]["a"] |= {"url": "http://127.0.0.1:1/v1", "model": "any"}
        key = key.replace("*", "a")
    for name, needed in NEEDED_BY.get(key, {}).items():
        put(tree, name, needed)
    put(tree, key, value)
    return reading.parse(tree, COMPLETE)


@pytest.mark.parametrize("path", [p for p in sorted(FILES.glob("*.yaml")) if p != COMPLETE], ids=lambda path: path.stem)
def test_every_fault_is_named_with_its_place_its_value_and_what_to_do(path: Path) -> None:
    assert sorted(problems(path)) == sorted(expected(path))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("tries", "usual"),
        ("tries", ["usual"]),
        ("tries", None),
        ("trys", {"ladder": "usual"}),
        ("training.tries", "usual"),
        ("tries", {"ladders": "usual"}),
        ("tries", {"every_seed_passes": True, "seed": 3}),
        ("training.eval_step", 5),
    ],
)
def test_what_is_written_wrongly_is_not_said_to_be_left_out_too(key: str, value: object, tmp_path: Path) -> None:
    """There are tuning rows, which this was to read."""
    written = {**yaml.safe_load(COMPLETE.read_text("utf-8")), "training": {}}
    written["data"] |= {"tuning_share": 0.2}
    put(written, key, value)
    path = tmp_path / "release.yaml"
    path.write_text(yaml.safe_dump(written), "utf-8")

    (problem,) = problems(path)
    assert f" {key}" in problem or "not a setting" in problem


def test_a_tuning_file_that_is_null_names_no_rows(tmp_path: Path) -> None:
    written = yaml.safe_load(COMPLETE.read_text("utf-8"))
    written["data"] |= {"tuning_file": None, "tuning_share": 0.2}
    written |= {"training": {"eval_steps": 5}}
    path = tmp_path / "release.yaml"
    path.write_text(yaml.safe_dump(written), "utf-8")

    assert "names the tuning rows" not in "\n".join(problems(path))


@pytest.mark.parametrize("data", ["tuning_shares", "tuning_fil"])
@pytest.mark.parametrize("reads", ["tries", "training"])
def test_rows_that_are_named_wrongly_are_not_said_to_be_missing_too(data: str, reads: str, tmp_path: Path) -> None:
    written = yaml.safe_load(COMPLETE.read_text("utf-8"))
    written["data"][data] = 0.2
    written |= {reads: {"ladder": "usual"} if reads == "tries" else {"eval_steps": 5}}
    path = tmp_path / "release.yaml"
    path.write_text(yaml.safe_dump(written), "utf-8")

    (problem,) = problems(path)
    assert f"data.{data} is not a setting. Did you mean data.tuning_" in problem


def test_a_complete_file_loads_and_what_it_leaves_out_has_the_known_defaults() -> None:
    loaded = reading.load(COMPLETE)

    assert loaded.run.output_dir == FILES.absolute() / "runs" / "demo"
    assert loaded.adapter.quantization == Quantization(load_in_4bit=True)
    assert (loaded.training.learning_rate, loaded.training.optim) == (2e-4, "paged_adamw_8bit")
    assert loaded.gates is None
    assert loaded.notices == ()


def test_the_default_configuration_loads_without_a_notice() -> None:
    root = ROOT

    loaded = reading.load(root / "release.yaml")

    assert loaded.notices == ()
    assert loaded.publishing.endpoint == "file:hub"


def test_old_names_mean_what_they_meant() -> None:
    loaded = reading.load(FILES / "seed_keys.yaml", MISSING_IN_SEED)

    assert loaded.data.golden_file == FILES / "data" / "eval.jsonl"
    assert loaded.data.max_length == 1536
    assert loaded.training.warmup_steps == 0.05
    assert loaded.training.activation_checkpointing is True
    assert (loaded.training.save_steps, loaded.training.logging_steps) == (9, 9)
    assert loaded.generation.max_new_tokens == 700
    assert (loaded.publishing.license, loaded.publishing.language) == ("apache-2.0", ("sw",))
    assert loaded.publishing.tags == ("qlora", "citation")
    assert loaded.run.output_dir == FILES / "outputs" / "answers-v0"


def test_old_settings_that_change_nothing_are_each_told_with_the_reason() -> None:
    notices = reading.load(FILES / "seed_keys.yaml", MISSING_IN_SEED).notices
    told = "\n".join(notices)

    standing = [key for key in WITHOUT_EFFECT if key not in {"generation.do_sample", "publishing.metadata"}]
    assert [key for key in standing if f": {key} " not in told] == []
    assert all(reason in told for key, reason in WITHOUT_EFFECT.items() if key in standing)
    assert "evaluation.generation (temperature, top_p, top_k, do_sample, repetition_penalty) has no effect" in told


def test_an_override_wins_over_the_file_and_knows_old_names_too() -> None:
    new = reading.load(FILES / "seed_keys.yaml", {**MISSING_IN_SEED, "training.learning_rate": "2e-4"})
    old = reading.load(FILES / "seed_keys.yaml", {**MISSING_IN_SEED, "data.max_seq_length": "1024"})

    assert new.training.learning_rate == 2e-4
    assert old.data.max_length == 1024
    assert new.publishing.tag == "1.0"


def test_an_empty_section_as_an_override_takes_the_place_of_the_files() -> None:
    forms = {"serving": "{gguf: {engine: llama.cpp}, unquantized: {base: unquantized}}"}

    assert set(reading.load(COMPLETE, forms).serving) == {"gguf", "unquantized"}
    assert set(reading.load(ROOT / "release.yaml", {"serving": "{}"}).serving) == set()
    assert len(reading.load(ROOT / "release.yaml", {"serving.gguf": "{engine: llama.cpp}"}).serving) == 3


@pytest.mark.parametrize("key", ["monitoring", "evaluation", "data.chat_template_kwargs", "container", "budget"])
def test_an_empty_section_of_any_name_is_taken(key: str) -> None:
    assert reading.load(COMPLETE, {key: "{}"}).run.name == reading.load(COMPLETE).run.name


@pytest.mark.parametrize(
    ("key", "text", "problem"),
    [
        ("training.max_step", "5", "--set training.max_step is not a setting. Did you mean training.max_steps?"),
        ("trainin.max_steps", "5", "--set trainin is not a setting. Did you mean training?"),
        ("training.max_steps", "many", '--set training.max_steps is "many"; expected -1 for no limit'),
        ("training.max_steps", "[1,", '--set training.max_steps is "[1,"; expected -1 for no limit'),
        ("run.seed.deep", "1", '--set run.seed is {"deep": 1}; expected a whole number'),
        ("data.max_seq_length", "0", "--set data.max_seq_length is 0; expected a whole number"),
        ("", "1", "--set  is not a setting."),
    ],
)
def test_a_wrong_override_is_named_as_an_override(key: str, text: str, problem: str) -> None:
    found = problems(COMPLETE, **{key: text})

    assert len(found) == 1
    assert found[0].startswith(problem)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path / "relase.yaml")

    assert problem.startswith(f"{tmp_path}/relase.yaml cannot be read: ")


def test_a_file_that_is_not_utf_8_is_named(tmp_path: Path) -> None:
    path = tmp_path / "latin.yaml"
    path.write_bytes("run: {name: café}".encode("latin-1"))

    assert problems(path)[0].startswith(f"{path} cannot be read: 'utf-8' codec")


@pytest.mark.parametrize(
    ("text", "value"),
    [("2e-4", 2e-4), ("2E-4", 2e-4), ("1.5e-3", 1.5e-3), ("1e-3", 1e-3), (".001", 1e-3), ("0.5", 0.5), ("1.", 1.0)],
)
def test_a_number_is_a_number_however_it_is_written(text: str, value: float) -> None:
    assert reading.load(COMPLETE, {"training.learning_rate": text}).training.learning_rate == value


def test_a_version_a_date_and_a_time_stay_text() -> None:
    for text in ("1.2.3", "2026-11-20", "12:30"):
        assert with_setting("contract", {"note": override("contract.note", text)}).contract == {"note": text}


def test_a_folder_for_the_hub_has_one_spelling_relative_to_the_file(tmp_path: Path) -> None:
    path = tmp_path / "release.yaml"
    path.write_bytes(COMPLETE.read_bytes())

    for endpoint in ("file:hub", "file:./hub", f"file:{tmp_path}/hub", f"file://{tmp_path}/hub"):
        loaded = reading.load(path, {"publishing.endpoint": endpoint})
        assert loaded.publishing.endpoint == "file:hub"


@pytest.mark.parametrize(("key", "value"), [(key, example) for key in LEAVES for example in SETTINGS[key]["examples"]])
def test_what_is_effective_is_plain_and_loads_again_as_the_same(key: str, value: object) -> None:
    loaded = with_setting(key, value)
    plain = json.loads(json.dumps(reading.effective(loaded), allow_nan=False))

    assert reading.parse(plain, COMPLETE) == loaded
    assert str(FILES) not in json.dumps(plain)
    assert reading.effective(reading.parse(plain, COMPLETE)) == plain


@pytest.mark.parametrize("key", LEAVES)
def test_every_setting_changes_the_configuration(key: str) -> None:
    first, second = (with_setting(key, example) for example in SETTINGS[key]["examples"])

    assert first != second


def test_every_setting_has_a_rule_in_words_and_a_default_or_a_need() -> None:
    assert [key for key, rule in SETTINGS.items() if "description" not in rule] == []
    assert [key for key, rule in SETTINGS.items() if not {"examples", "properties"} & rule.keys()] == []
    named = set(reading.effective(with_setting("run.threads", 2))["run"])
    assert named == {key.partition(".")[2] for key in SETTINGS if key.startswith("run.")}


def test_old_names_lead_to_settings_and_no_name_has_two_meanings() -> None:
    assert set(RENAMED.values()) <= set(LEAVES)
    assert not (RENAMED.keys() | WITHOUT_EFFECT.keys()) & set(LEAVES)


@given(st.text() | st.from_regex(r"(run|model|data|training): ?[\[{&*!|>'\"a-z0-9:. ,\n-]*", fullmatch=True))
@settings(max_examples=150, deadline=None)
def test_no_text_does_anything_but_load_or_be_refused(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))

    assert problems(path)


def test_the_schema_is_the_one_that_the_declared_settings_make() -> None:
    """`python -m release.config.schema` writes it."""
    assert (ROOT / "schemas" / "config.schema.json").read_text("utf-8") == schema.text()


ODD: list[object] = [
    *(None, True, False, 0, 1, -1, 2, 20, 0.5, 1.0, 16.0, 1.5, -0.1, 10**30, 1e308, [], {}, [1], ["a"], ["a", "a"]),
    *("", " ", "x", "1", "auto", "5%", "é", "a..b", "../x", "a/b", "hf://x", "file:", "file:hub", "http://a@b"),
    *("f" * 40, [[]], [1, 1.0], [20, 50, 50], [0.5, 101], ["en", 5], ["bad name"]),
    *({"a": 1}, {"a": {"b": None}}, {"tools": 1}, {"a-b": 1}),
    *("hf://datasets/a/b@main/c", f"hf://datasets/a/b@{SHA}/c", f"hf://datasets/a/b@{SHA}/../c", {"a": [1.5, None]}),
]


@pytest.mark.parametrize("key", LEAVES)
def test_the_schema_refuses_what_is_refused_here(key: str) -> None:
    """Editors show it; a whole number as JSON Schema has it may be written 16.0."""
    whole = Draft202012Validator.TYPE_CHECKER.redefine("integer", lambda _, value: type(value) is int)
    rule = validators.extend(Draft202012Validator, type_checker=whole)({**SETTINGS[key]})  # type: ignore[no-untyped-call]
    complete: dict[str, Any] = yaml.safe_load(COMPLETE.read_text("utf-8"))
    values = [*ODD, *SETTINGS[key]["examples"], *SETTINGS[key].get("enum", ())]

    def taken(value: object) -> bool:
        tree = copy.deepcopy(complete)
        put(tree, key, value)
        return not any(f"{wrong}.".startswith(f"{key}.") for wrong, _ in reading._built(tree, FILES)[1])

    here = [taken(value) for value in values]

    assert [value for value, ok in zip(values, here, strict=True) if ok != rule.is_valid(value)] == []
    assert not all(here)


@pytest.mark.parametrize("name", ["path", "notices", "weaker_because", "run.name"])
def test_what_is_not_a_setting_cannot_be_set(name: str) -> None:
    tree = yaml.safe_load(COMPLETE.read_text("utf-8"))

    with pytest.raises(ConfigError, match=f" {name} is not a setting"):
        reading.parse({**tree, name: "x"}, COMPLETE)


@pytest.mark.parametrize("value", [-(10**400), 10**400, "1e400", True, [2e-4], {"is": 2e-4}])
def test_a_number_that_no_machine_holds_is_refused(value: object) -> None:
    with pytest.raises(ConfigError, match=r"training\.max_grad_norm is .*; expected a number above 0"):
        with_setting("training.max_grad_norm", value)


@pytest.mark.parametrize("value", [3, 3.0, 1, 0.5])
def test_a_number_stays_as_it_was_written(value: float) -> None:
    """Other bytes in the record would be another run."""
    written = reading.effective(with_setting("training.num_train_epochs", value))["training"]["num_train_epochs"]

    assert (written, type(written)) == (value, type(value))


def test_what_is_too_deep_to_be_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "deep.yaml"
    path.write_text(f"run: {'[' * 250}{']' * 250}\n", "utf-8")

    assert f"{path}:1: has lists or sections that are too deep in each other. Write fewer." in problems(path)


def test_arguments_of_the_template_are_none_of_the_functions_own() -> None:
    """``apply_chat_template(..., **chat_template_kwargs)`` must be able to take them."""
    import inspect

    from transformers import PreTrainedTokenizerBase

    refused = SETTINGS["model.chat_template_kwargs"]["propertyNames"]["not"]["enum"]

    assert set(inspect.signature(PreTrainedTokenizerBase.apply_chat_template).parameters) <= set(refused)


@pytest.mark.parametrize("name", ["truncation", "return_dict", "self", "a-b", "1"])
def test_a_name_that_no_template_argument_can_have_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=r"model\.chat_template_kwargs"):
        reading.load(COMPLETE.parents[3] / "release.yaml", {f"model.chat_template_kwargs.{name}": "true"})


def test_arguments_of_the_template_keep_their_types_on_their_way_to_a_run(tmp_path: Path) -> None:
    """A text that looks like a number, and all that JSON has beside texts."""
    arguments = {"level": "1e5", "day": "2024-01-01", "on": False, "count": 3, "more": {"a": [1.5, None]}}
    loaded = reading.load(COMPLETE.parents[3] / "release.yaml", {"model.chat_template_kwargs": json.dumps(arguments)})
    written = tmp_path / "config.yaml"
    written.write_bytes(canonical_json(reading.effective(loaded)))

    assert loaded.model.chat_template_kwargs == arguments
    assert reading.load(written).model.chat_template_kwargs == arguments
