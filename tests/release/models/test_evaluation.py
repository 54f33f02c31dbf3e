"""Tuning rows evaluated while an adapter is trained, on a base of two small layers; and which state is kept."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from gates.canonical import canonical_json
from release import inputs
from release.config import reading
from release.judging import terms
from release.models import base as bases
from release.models import train
from release.running.place import Here
from release.values import layout
from release.values.artifacts import sha256_file
from release.values.errors import VerificationError
from release.values.events import Event, Line
from tests.helpers.line import ROOT, small_config
from tests.helpers.tiny_base import REPO

STEPS = 6
BEST = {"load_best_model_at_end": True, "early_stopping_patience": 2}


def quiet(_: Event) -> None:
    """Say nothing."""


def start_run(folder: Path, commit: str, training: dict[str, Any]) -> tuple[Path, bases.Base]:
    """A run folder as the pipeline leaves it before training: sixteen rows, four tuning rows, and the terms."""
    run = folder / "run"
    (run / "data").mkdir(parents=True)
    model = {"base_model_id": REPO, "source": "hub", "revision": commit}
    data = {"tuning_file": str(run / "data" / "tuning.jsonl")} if "eval_steps" in training else {}
    steps = {"max_steps": STEPS, "save_steps": 2, "logging_steps": 1, "learning_rate": 0.02, "warmup_steps": 0}
    lora = {"dropout": 0.1}  # a generator's state that evaluation could disturb
    steps |= {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 1}
    brief, dropped = {"max_new_tokens": 8}, {"lora": lora}
    path = small_config(folder, model=model, training=steps | training, data=data, generation=brief, adapter=dropped)
    loaded = reading.load(path)
    lines = (ROOT / "data" / "elements" / "train.jsonl").read_text("utf-8").splitlines()
    (run / "data" / "train.jsonl").write_text("\n".join(lines[:16]) + "\n", "utf-8")
    (run / "data" / "tuning.jsonl").write_text("\n".join(lines[16:20]) + "\n", "utf-8")
    (run / "config.yaml").write_bytes(canonical_json(reading.effective(loaded)))
    contract, policy = inputs.there(inputs.read_contract(loaded)), inputs.read_policy(loaded, None)
    for name, content in terms.contract_files(contract, loaded).items():
        (run / layout.in_run(name)).write_bytes(content)
    (run / layout.in_run(layout.POLICY)).write_bytes(canonical_json(inputs.there(policy).as_dict()))
    base = bases.resolve(loaded.model, quiet)
    shutil.copyfile(base.folder / layout.CHAT_TEMPLATE, run / layout.CHAT_TEMPLATE)
    return run, base


def weights(run: Path) -> str:
    return sha256_file(run / "adapter" / layout.WEIGHTS)


def rows(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text("utf-8").splitlines()]


def evaluations(run: Path) -> list[dict[str, Any]]:
    """What was measured, less what another run would not give again."""
    timed = ("seconds", "peak_memory_bytes", "gpu_peak_memory_bytes")
    return [{key: value for key, value in row.items() if key not in timed} for row in rows(run) if "eval_loss" in row]


def kill_after(step: int, run: Path, base: bases.Base) -> None:
    """Train until the checkpoint of this step is whole, then kill -9."""
    process = subprocess.Popen(
        [sys.executable, "-m", "release.models.train", str(run), str(base.folder)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    mark, deadline = run / "checkpoints" / f"checkpoint-{step}.json", time.monotonic() + 240
    while not mark.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert mark.exists()
    assert not (run / "training.json").exists()


@pytest.mark.slow
def test_an_evaluation_disturbs_no_step_and_the_best_state_comes_out_again_after_a_kill(
    tmp_path: Path, tiny_base: str
) -> None:
    """The same six steps: not evaluated; evaluated, the last kept; the best kept; and that one killed after step 4."""
    evaluated = {"eval_steps": 1, "eval_generate": 2}
    asked = {"plain": {}, "last": evaluated, "best": evaluated | BEST, "killed": evaluated | BEST}
    made = {name: start_run(tmp_path / name, tiny_base, training) for name, training in asked.items()}
    said: list[Event] = []

    plain, last, best = (train.train(*made[name], Here(), said.append) for name in ("plain", "last", "best"))
    kill_after(2, *made["killed"])
    killed = train.train(*made["killed"], Here(), quiet)

    assert weights(made["plain"][0]) == weights(made["last"][0])
    assert plain.trained.losses == last.trained.losses
    assert plain.trained.evaluation is None
    assert not (made["plain"][0] / layout.TRAINING_METRICS).exists()
    found = evaluations(made["last"][0])
    assert [one["step"] for one in found] == [1, 2, 3, 4, 5, 6]
    assert all(one["eval_json_parse"][1] == 2 for one in found)
    assert len([one for one in said if isinstance(one, Line) and "eval_loss" in one.text]) >= len(found)

    stated = best.trained.evaluation
    assert stated is not None
    lowest = min(evaluations(made["best"][0]), key=lambda one: one["eval_loss"])
    assert stated.best_step == lowest["step"] < STEPS
    assert weights(made["best"][0]) != weights(made["last"][0])
    assert killed.trained.resumed_from_step is not None
    assert killed.trained.evaluation == stated
    assert weights(made["killed"][0]) == weights(made["best"][0])
    assert evaluations(made["killed"][0]) == evaluations(made["best"][0])

    (made["best"][0] / layout.TRAINING_METRICS).write_text("{}", "utf-8")
    with pytest.raises(VerificationError, match="is not what training wrote"):
        train.train(*made["best"], Here(), quiet)
