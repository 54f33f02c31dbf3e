"""Training for real, NF4 QLoRA a few steps at a time: of the embedded 135M model, and of its first two layers.

The short model is for what does not hang on how much is learned; `test_reproduce.py` kills the whole one, over two
precisions.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
import yaml

import gates
from release.config import reading
from release.data import chat as chats
from release.models import base as bases
from release.models import built_trainer, callbacks, train
from release.running import child, environment, launched
from release.running.place import Here
from release.values import layout
from release.values.artifacts import sha256_file
from release.values.as_json import tree
from release.values.errors import DataError, GatesFailed, PreflightError, VerificationError
from release.values.events import Event, Progress
from release.values.record import CURVES
from tests.helpers.cards import ADA_LINE, machine_with
from tests.helpers.line import ROOT, small_config

pytestmark = pytest.mark.slow
STEPS = 4


def start_run(
    folder: Path, *, rows: int = STEPS, adapter: Mapping[str, Any] = MappingProxyType({}), **training: object
) -> Path:
    """A run folder as the pipeline leaves it before training: effective configuration, and by default a row a step."""
    run = folder / "run"
    (run / "data").mkdir(parents=True)
    small = {"max_steps": STEPS, "save_steps": 2, "per_device_train_batch_size": 1}
    path = small_config(folder, training={**small, **training}, adapter=adapter)
    effective = reading.effective(reading.load(path))
    (run / "config.yaml").write_text(yaml.safe_dump(effective), "utf-8")
    shutil.copyfile(bases.folder_of(reading.load(path).model) / layout.CHAT_TEMPLATE, run / layout.CHAT_TEMPLATE)
    lines = (ROOT / "data" / "elements" / "train.jsonl").read_text("utf-8").splitlines()[:rows]
    (run / "data" / "train.jsonl").write_text("\n".join(lines) + "\n", "utf-8")
    return run


def weights(run: Path) -> str:
    return sha256_file(run / "adapter" / "adapter_model.safetensors")


def quiet(_: Event) -> None:
    """Say nothing."""


def kill_after(step: int, run: Path, base: bases.Base) -> None:
    """Train until the checkpoint of this step is whole, then kill -9: before the training has a record."""
    process = subprocess.Popen(
        [sys.executable, "-m", "release.models.train", str(run), str(base.folder)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**child.inherited(), **child.ENVIRONMENT, **child.STAGE},
    )
    mark = run / "checkpoints" / f"checkpoint-{step}.json"
    deadline = time.monotonic() + 240
    while not mark.exists() and time.monotonic() < deadline:
        time.sleep(0.001)  # before a few steps of a short model are over
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert mark.exists()
    assert not (run / "training.json").exists()


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory, base: bases.Base) -> Path:
    """A finished training of the whole embedded model: four steps, never interrupted."""
    run = start_run(tmp_path_factory.mktemp("reference"))
    train.train(run, base, Here(), quiet)
    return run


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory, short_base: bases.Base) -> tuple[Path, list[Event]]:
    """The same of the short model, and what was said meanwhile."""
    run, said = start_run(tmp_path_factory.mktemp("short")), list[Event]()
    train.train(run, short_base, Here(), said.append)
    return run, said


@pytest.fixture(scope="module")
def short(told: tuple[Path, list[Event]]) -> Path:
    return told[0]


def test_trainings_of_the_same_inputs_give_the_same_bytes(reference: Path, tmp_path: Path, base: bases.Base) -> None:
    """Same machine, same threads: every file of the adapter is equal, the configuration too."""
    again = start_run(tmp_path)

    first, second = train.train(reference, base, Here(), quiet), train.train(again, base, Here(), quiet)

    assert first.files == second.files
    assert first.trained.lora_init_sha256 == second.trained.lora_init_sha256
    assert first.trained.losses == second.trained.losses
    assert first.trained.curves == second.trained.curves
    assert {name: len(points) for name, points in (first.trained.curves or {}).items()} == {
        name: len(first.trained.losses) for name in CURVES
    }


def test_a_killed_training_goes_on_at_its_checkpoint_and_gives_the_same_bytes(
    short: Path, tmp_path: Path, short_base: bases.Base
) -> None:
    """kill -9 after the second of four steps."""
    run = start_run(tmp_path)
    kill_after(2, run, short_base)

    adapter = train.train(run, short_base, Here(), quiet)

    assert adapter.trained.resumed_from_step == 2
    assert weights(run) == weights(short)


def test_over_two_precisions_a_killed_training_gives_the_same_bytes_and_other_ones_than_over_one(
    short: Path, tmp_path: Path, short_base: bases.Base
) -> None:
    """kill -9 after the third of four steps: the fourth is over the unquantized base."""
    over = ["nf4", "unquantized"]
    whole, killed = (start_run(tmp_path / name, over=over, save_steps=3) for name in ("whole", "killed"))
    train.train(whole, short_base, Here(), quiet)
    kill_after(3, killed, short_base)

    adapter = train.train(killed, short_base, Here(), quiet)

    assert adapter.trained.resumed_from_step == 3
    assert adapter.trained.over == over
    assert weights(killed) == weights(whole)
    assert weights(whole) != weights(short)


def test_a_finished_training_is_not_done_again(reference: Path, base: bases.Base) -> None:
    """The second call reads the record; no child starts, no progress is told."""
    told: list[Event] = []

    train.train(reference, base, Here(), told.append)

    assert told == []


def test_a_changed_adapter_is_refused_and_left_as_it_is(tmp_path: Path, reference: Path, base: bases.Base) -> None:
    """One byte more in the weights after training."""
    run = tmp_path / "run"
    (run / "adapter").mkdir(parents=True)
    for path in (reference / "adapter").iterdir():
        (run / "adapter" / path.name).write_bytes(path.read_bytes())
    (run / "training.json").write_bytes((reference / "training.json").read_bytes())
    changed = run / "adapter" / "adapter_model.safetensors"
    changed.write_bytes(changed.read_bytes() + b"\0")

    with pytest.raises(VerificationError, match="not the adapter that training wrote"):
        train.train(run, base, Here(), quiet)

    assert changed.exists()


def test_the_adapter_names_its_base_by_hub_id_and_holds_no_local_path(reference: Path, base: bases.Base) -> None:
    """adapter_config.json is canonical: sorted keys and modules, no path of this machine, no pickle beside it."""
    text = (reference / "adapter" / "adapter_config.json").read_text("utf-8")
    settings = json.loads(text)

    assert settings["base_model_name_or_path"] == "HuggingFaceTB/SmolLM2-135M-Instruct"
    assert settings["target_modules"] == sorted(settings["target_modules"])
    assert str(base.folder) not in text
    names = {path.name for path in (reference / "adapter").iterdir()}
    assert names == {
        "adapter_config.json",
        "adapter_model.safetensors",
        "chat_template.jinja",
        "tokenizer.json",
        "tokenizer_config.json",
    }


def test_the_tokenizer_is_the_bases_and_what_transformers_4_knows(reference: Path, base: bases.Base) -> None:
    adapter = reference / "adapter"
    settings = json.loads((adapter / "tokenizer_config.json").read_bytes())

    assert (adapter / "tokenizer.json").read_bytes() == (base.folder / "tokenizer.json").read_bytes()
    assert (adapter / "chat_template.jinja").read_bytes() == (base.folder / "chat_template.jinja").read_bytes()
    assert settings["tokenizer_class"] == "PreTrainedTokenizerFast"
    assert settings["eos_token"] == "<|im_end|>"


def test_a_start_after_the_last_step_makes_no_step_more(short: Path, tmp_path: Path, short_base: bases.Base) -> None:
    """kill -9 between the last checkpoint and the record of the training."""
    run = start_run(tmp_path)
    kill_after(STEPS, run, short_base)

    adapter = train.train(run, short_base, Here(), quiet)

    assert adapter.trained.steps == STEPS
    assert adapter.trained.resumed_from_step == STEPS
    then = json.loads((short / "training.json").read_bytes())
    assert [list(one) for one in adapter.trained.losses] == then["losses"]
    assert tree(adapter.trained)["curves"] == then["curves"]
    assert adapter.trained.tokens == then["tokens"]
    assert weights(run) == weights(short)


def test_what_is_learned_of_each_row_is_its_answer_and_one_end(reference: Path, base: bases.Base) -> None:
    """The tokens that training counted are the prompts, the answers, and an end for each: no line end after it."""
    chat = chats.read(base.folder)
    rows = gates.read_golden(reference / "data" / "train.jsonl")
    examples = [chat.example(row.prompt, row.gold or "") for row in rows]

    assert {one.learned[-1] for one in examples} == {chat.ends[0]}
    assert [chat.decoded(one.learned[:-1]) for one in examples] == [row.gold for row in rows]
    counted = json.loads((reference / "training.json").read_bytes())["tokens"]
    assert counted == sum(one.total for one in examples)  # each row once


def test_an_answer_that_holds_an_end_is_refused_before_the_model_is_loaded(
    tmp_path: Path, short_base: bases.Base
) -> None:
    run = start_run(tmp_path)
    path = run / "data" / "train.jsonl"
    path.write_text(path.read_text("utf-8").replace('\\"refusal\\"', '<|im_end|>\\"refusal\\"', 1), "utf-8")

    with pytest.raises(DataError, match=r"row train-0001: .*turn this answer into another one"):
        train.train(run, short_base, Here(), quiet)


def test_an_unquantized_adapter_trains_too(tmp_path: Path, short_base: bases.Base) -> None:
    """``method: lora`` has no NF4 step, and gives other bytes."""
    run = start_run(tmp_path, max_steps=1, adapter={"method": "lora"})

    adapter = train.train(run, short_base, Here(), quiet)

    assert adapter.trained.steps == 1


def test_rows_without_padding_teach_what_they_teach_in_a_padded_batch(tmp_path: Path, short_base: bases.Base) -> None:
    """To rounding; nothing is dropped, for the dice fall on other places of a batch of another shape."""
    batch = {"rows": 8, "max_steps": 2, "per_device_train_batch_size": 4, "gradient_accumulation_steps": 1}
    adapter = {"lora": {"dropout": 0}}
    padded = start_run(tmp_path / "padded", adapter=adapter, logging_steps=1, **batch)
    beside = start_run(tmp_path / "beside", adapter=adapter, logging_steps=1, padding_free=True, **batch)

    one, other = (train.train(run, short_base, Here(), quiet).trained for run in (padded, beside))

    assert weights(padded) != weights(beside)
    assert one.tokens == other.tokens
    assert [loss for _, loss in other.losses] == pytest.approx([loss for _, loss in one.losses], rel=1e-4)
    assert reading.load(beside / "config.yaml").training.padding_free is True


def test_a_loss_that_is_not_a_number_stops_with_the_step_and_what_to_do(tmp_path: Path, short_base: bases.Base) -> None:
    """A base with one NaN in its last norm: transformers would log a loss of 0.0 and save an adapter of NaN."""
    from safetensors.torch import load_file, save_file

    folder = tmp_path / "base"
    shutil.copytree(short_base.folder, folder)
    tensors = load_file(folder / "model.safetensors")
    tensors["model.norm.weight"][0] = float("nan")
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    run = start_run(tmp_path)

    with pytest.raises(GatesFailed, match=r"Training diverged: loss is nan at step 1\..*learning_rate"):
        train.train(run, replace(short_base, folder=folder), Here(), quiet)

    assert not (run / "training.json").exists()


def test_rows_longer_than_max_length_are_named_not_cut(tmp_path: Path, short_base: bases.Base) -> None:
    """TRL would cut them and lose the end-of-sequence token."""
    run = start_run(tmp_path)
    effective = yaml.safe_load((run / "config.yaml").read_text("utf-8"))
    effective["data"]["max_length"], effective["generation"]["max_new_tokens"] = 20, 8
    (run / "config.yaml").write_text(yaml.safe_dump(effective), "utf-8")

    with pytest.raises(DataError, match=r"row train-0001: it is too long: \d+ tokens, data.max_length is 20"):
        train.train(run, short_base, Here(), quiet)


def test_a_target_module_that_matches_nothing_is_named(tmp_path: Path, short_base: bases.Base) -> None:
    """PEFT accepts a list in which only some names match."""
    run = start_run(tmp_path, adapter={"lora": {"target_modules": ["q_proj", "wi_0"]}})

    with pytest.raises(PreflightError, match="wi_0"):
        train.train(run, short_base, Here(), quiet)


def test_progress_reaches_the_last_step(told: tuple[Path, list[Event]]) -> None:
    _, said = told

    assert said[-1] == Progress(name=callbacks.NAME, done=STEPS, total=STEPS)


def test_a_budget_stops_training_with_a_checkpoint_and_goes_on_when_it_is_raised(
    short: Path, tmp_path: Path, short_base: bases.Base
) -> None:
    """A limit that the first steps use up; then one that is far away: the same bytes as without a stop."""
    run = start_run(tmp_path)
    effective = yaml.safe_load((run / "config.yaml").read_text("utf-8"))
    effective["budget"] |= {"limit": 0.1, "price_per_hour": 3600.0}
    (run / "config.yaml").write_text(yaml.safe_dump(effective), "utf-8")

    with pytest.raises(PreflightError, match="The budget is spent"):
        train.train(run, short_base, Here(), quiet)

    assert list((run / "checkpoints").glob("checkpoint-*.json"))
    effective["budget"]["limit"] = 1e9
    (run / "config.yaml").write_text(yaml.safe_dump(effective), "utf-8")
    adapter = train.train(run, short_base, Here(), quiet)
    assert (adapter.trained.resumed_from_step or 0) >= 1
    assert weights(run) == weights(short)


def test_the_meter_of_a_training_counts_with_the_price_of_its_card_and_of_a_sum_without_a_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine_with(tmp_path, monkeypatch, ADA_LINE)
    asked = {"run.output_dir": str(tmp_path), "budget.alerts": "[0.5 USD]"}

    meter = built_trainer._meter(reading.load(small_config(tmp_path), asked), tmp_path / "run")

    assert meter is not None
    assert meter.alerts(3600, 2 * 3600) == ["budget: 0.68 USD spent, past 0.5 USD"]


def test_threads_are_the_configured_number() -> None:
    assert environment.threads(3) == 3
    assert environment.threads(None) >= 1


@pytest.mark.parametrize(("wanted", "count", "each"), [(4, 2, 2), (3, 2, 1), (1, 2, 1), (2, 8, 1), (None, 512, 1)])
def test_processes_share_the_threads(
    wanted: int | None, count: int, each: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(launched.LAUNCHED_BY, "1")
    monkeypatch.setenv(launched.RANK, "0")
    monkeypatch.setenv(launched.WORLD, str(count))

    assert environment.threads(wanted) == each
