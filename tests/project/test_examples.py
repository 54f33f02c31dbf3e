"""The examples: each loads, fits the card that it is for, and takes its data as it is."""

import shlex
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from release.cli import __main__ as cli
from release.config import reading
from release.config.settings import Config
from release.planning import cards, estimates
from release.running import price_list
from release.values import licences
from release.values.errors import ConfigError
from tests.gates.test_kwanzaa import CONTRACT
from tests.helpers.built import built
from tests.helpers.line import ROOT, adapter_release

EXAMPLES = ROOT / "examples"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
SHAPES = {"qwen2.5-1.5b": "qwen2.5-1.5b", "olmo-2-7b": "olmo-2-7b", "kwanzaa-olmo-7b": "olmo-7b"}
TASKS = {"sky": "run", "dstack": "commands"}
"""Task files of other programs, by the key that says what runs over there."""
WHOLE = ["qwen2.5-1.5b", "olmo-2-7b"]
SHORT = 113  # tokens of the longest row of data/elements, by SmolLM2's tokenizer
KWANZAA_EXAMPLE = EXAMPLES / "kwanzaa-olmo-7b.yaml"


def load(name: str) -> Config:
    return reading.load(EXAMPLES / f"{name}.yaml", {} if name in WHOLE else {"model.revision": COMMIT})


def test_every_example_is_tested() -> None:
    assert {path.stem for path in EXAMPLES.glob("*.yaml")} == {*SHAPES, *TASKS}


@pytest.mark.parametrize(("name", "key"), TASKS.items())
def test_a_task_for_another_machine_types_a_candidate_as_it_can_be_typed(name: str, key: str) -> None:
    task = yaml.safe_load((EXAMPLES / f"{name}.yaml").read_text("utf-8"))
    lines = "\n".join(task[key]) if isinstance(task[key], list) else task[key]
    typed = [
        line.partition("adapter-release ")[2] for line in lines.splitlines() if "adapter-release candidate" in line
    ]

    assert len(typed) == 1
    given = vars(cli.parser().parse_args(shlex.split(typed[0])))
    assert given["config"] == Path("release.yaml")
    assert given["to"].name == "dist"


@pytest.mark.parametrize(
    ("name", "longest", "batch"),
    [*((name, SHORT, 8) for name in WHOLE), *((name, 2048, 1) for name in SHAPES)],
)
def test_an_example_fits_a_24_gb_card_with_its_rows_and_row_by_row_with_the_longest_it_allows(
    name: str, longest: int, batch: int
) -> None:
    loaded = load(name)
    assert longest <= loaded.data.max_length
    training = replace(loaded.training, per_device_train_batch_size=batch, gradient_accumulation_steps=16 // batch)
    assert longest != SHORT or training == loaded.training
    load_ = estimates.load_of(None, 640, longest)
    estimated = estimates.estimate(built(SHAPES[name]), replace(loaded, training=training), load_, cuda=True)

    options = cards.options(estimated, price_list.read(ROOT / "prices.json"))
    small = [one for one in options if one.memory_gb == 24]
    assert small
    assert all(one.fits for one in small), f"{estimated.memory / estimates.GB:.1f} GB"
    assert licences.problem("apache-2.0", loaded.publishing.license) == ""
    assert loaded.notices == ()


@pytest.mark.parametrize("name", SHAPES)
def test_an_example_has_the_seeds_hyper_parameters(name: str) -> None:
    loaded = load(name)
    training, lora = loaded.training, loaded.adapter.lora

    assert (lora.r, lora.alpha, lora.dropout, len(lora.target_modules)) == (16, 32, 0.05, 7)
    batch = (8, 2) if name in WHOLE else (1, 16)  # 16 rows a step; short ones together, for a card is faster so
    assert (training.per_device_train_batch_size, training.gradient_accumulation_steps) == batch
    assert (training.learning_rate, training.lr_scheduler_type, training.warmup_steps) == (2e-4, "cosine", 0.03)
    assert (training.optim, loaded.data.max_length, loaded.run.seed) == ("paged_adamw_8bit", 2048, 42)


def test_the_example_without_a_known_commit_refuses_to_load_and_says_where_to_find_it() -> None:
    with pytest.raises(ConfigError) as stopped:
        reading.load(KWANZAA_EXAMPLE)

    (problem,) = stopped.value.problems
    assert "revision" in problem
    assert "git ls-remote" in KWANZAA_EXAMPLE.read_text("utf-8")


def test_the_examples_that_are_whole_differ_in_the_model_and_the_name_alone() -> None:
    one, other = (load(name) for name in WHOLE)

    same = replace(other, run=one.run, model=one.model, publishing=one.publishing)
    assert same == one


@pytest.mark.slow
def test_an_example_passes_the_data_gate_and_gate_zero(tmp_path: Path) -> None:
    done = adapter_release("check", f"examples/{WHOLE[0]}.yaml", "--set", f"run.output_dir={tmp_path}", cwd=ROOT)

    assert done.returncode == 0, done.stderr


def test_the_contract_of_the_sample_dataset_is_the_one_that_reads_all_its_rows() -> None:
    assert {**load("kwanzaa-olmo-7b").contract, "schema": CONTRACT["schema"]} == CONTRACT
