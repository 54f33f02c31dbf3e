"""A candidate that is the second of two tries, with another seed beside it, and its release."""

import hashlib
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import gates
from release import inputs, pipeline
from release.config import ladder
from release.config.settings import Config
from release.data import dataset
from release.inputs import there
from release.judging import tuning
from release.publishing import sign
from release.values import layout, training_metrics
from release.values.artifacts import Candidate
from release.values.record import Tries, Try
from release.values.training_metrics import Kept
from tests.helpers.line import ROOT
from tests.helpers.small_release import _adapter, small_candidate, small_settings, training, write_answers

ROWS = 16
CHANGE = {"training": {"learning_rate": 0.001}}


def tried_release(folder: Path) -> Path:
    """The folder of a release of such a candidate."""
    won, candidate, run = tried_candidate(folder)
    packed = sign.sign(pipeline.pack(won, candidate, run), won.publishing, run)
    return Path(shutil.move(packed.folder, folder / "package"))


def tried_candidate(
    folder: Path, *, licence: bool = True, **settings: Mapping[str, Any]
) -> tuple[Config, Candidate, Path]:
    """The configuration that won, its candidate and its run folder."""
    lines = (ROOT / "data" / "elements" / "train.jsonl").read_text("utf-8").splitlines()
    folder.mkdir(parents=True, exist_ok=True)
    for name, some in {"train": lines[ROWS:40], "tuning": lines[:ROWS]}.items():
        (folder / f"{name}.jsonl").write_text("\n".join(some) + "\n", "utf-8")
    files = {f"{name}_file": str(folder / f"{name}.jsonl") for name in ("train", "tuning")}
    asked: dict[str, Mapping[str, Any]] = {"data": files, "tries": {"changes": [CHANGE], "seeds": 2}}
    written = small_settings(folder, licence=licence, **asked, **settings)
    rows = dataset.load(folder / "tuning.jsonl")
    tries, won = _made(folder, written, rows)
    candidate, run = small_candidate(won, tried=(tries, rows))
    for one in (*tries.tries, *tries.seeds):
        shutil.copytree(folder / one.name, run / "tries" / one.name)
    return won, candidate, run


def _made(folder: Path, written: Config, rows: dataset.Dataset) -> tuple[Tries, Config]:
    """What is told of the tries, whose files are in folders by their names, and the configuration that won."""
    steps = ladder.steps(written)
    won = steps[-1].config
    right = gates.gold_outputs(rows.rows)
    said = {"1": [replace(one, output="no JSON") for one in right[:3]] + list(right[3:]), "2": right, "seed-43": right}
    changed = {one.name: one.changes for one in (*steps, *ladder.seeds(written, steps[-1]))}
    (folder / "made").mkdir()
    digest = _adapter(folder / "made", won).files.digest
    named = {
        name: _try(folder / name, rows, said[name], written, changes=changed[name], adapter=digest) for name in said
    }
    first, second, seed = named.values()
    return Tries(planned=2, every_seed_passes=False, tries=[first, second], seeds=[seed], left_out=[]), won


def _try(
    folder: Path,
    rows: dataset.Dataset,
    said: Sequence[gates.Output],
    config: Config,
    *,
    changes: Mapping[str, object],
    adapter: str,
) -> Try:
    """What a try with these answers leaves in a folder named as it is, and what is told of it."""
    metrics = training_metrics.written(training().losses, training().curves or {}, (), Kept())
    folder.mkdir()
    write_answers(folder / "answers.jsonl", [asdict(one) for one in said])
    (folder / layout.TRAINING_METRICS).write_bytes(metrics)
    contract = there(inputs.read_contract(config))
    policy = there(inputs.read_policy(config, contract.declares))
    seen = tuning.judged(rows.rows, said, contract, policy)
    return Try(
        name=folder.name,
        changes=dict(changes),
        passed=seen.passed,
        refused_by=list(seen.refused_by),
        gates=dict(seen.gates),
        steps=20,
        tokens=4900,
        seconds=10.5,
        adapter_sha256=adapter,
        answers_sha256=hashlib.sha256((folder / "answers.jsonl").read_bytes()).hexdigest(),
        metrics_sha256=hashlib.sha256(metrics).hexdigest(),
    )
