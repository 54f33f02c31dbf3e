"""A release that says what was evaluated while it trained: it is checked, shown, and laid out to be made again."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gates.canonical import canonical_json
from release.checking import laid_out, reproduce
from release.values import layout
from release.values.artifacts import sha256_file
from tests.helpers.line import ROOT
from tests.helpers.small_release import read_record, reseal, small_release
from tests.helpers.verified import failed, opened

AGREEMENT, DATA, JUDGED = 5, 7, 8
Lie = Callable[[Path], object]


def evaluated(folder: Path) -> Path:
    """The folder of a release whose training was evaluated on eight rows, and whose first evaluation was the best."""
    lines = (ROOT / "data" / "elements" / "train.jsonl").read_text("utf-8").splitlines()
    rows = {"train": lines[8:32], "tuning": lines[:8]}
    for name, some in rows.items():
        (folder / f"{name}.jsonl").write_text("\n".join(some) + "\n", "utf-8")
    data = {f"{name}_file": str(folder / f"{name}.jsonl") for name in rows}
    training = {"eval_steps": 10, "eval_generate": 4, "load_best_model_at_end": True}
    return small_release(folder, data=data, training=training).folder


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return evaluated(tmp_path_factory.mktemp("made"))


@pytest.fixture
def release(original: Path, tmp_path: Path) -> Path:
    """A copy of it to tamper with."""
    return Path(shutil.copytree(original, tmp_path / "release"))


def metrics(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / layout.TRAINING_METRICS).read_bytes())
    return found


def test_it_verifies_and_its_rows_and_metrics_are_in_it(original: Path) -> None:
    record = read_record(original)

    assert failed(original) == {}
    assert record["data"]["tuning"]["file"] == layout.DATA["tuning"]
    assert record["config"]["data"]["tuning_file"] == layout.DATA["tuning"]
    assert record["training"]["evaluation"]["metrics_sha256"] == sha256_file(original / layout.TRAINING_METRICS)
    assert layout.TRAINING_METRICS in record["files"]
    assert metrics(original)["best_step"] == 10
    assert [one.get("eval_json_parse") for one in metrics(original)["log_history"]] == [None, [3, 4], None, [4, 4]]


def test_its_page_draws_what_was_evaluated(original: Path) -> None:
    text = (original / layout.PAGE).read_text("utf-8")

    assert "loss of the tuning rows, over steps" in text
    assert "share of right answers, json_parse, over steps" in text
    assert "the state after step 10, the best of them, is this adapter" in text
    assert "Not recorded: evaluation loss" not in text


def rewritten(change: Callable[[dict[str, Any]], object]) -> Lie:
    """The file otherwise, and a record that names it."""

    def lie(folder: Path) -> None:
        value = metrics(folder)
        change(value)
        (folder / layout.TRAINING_METRICS).write_bytes(canonical_json(value))
        sha256 = sha256_file(folder / layout.TRAINING_METRICS)
        reseal(folder, lambda record: record["training"]["evaluation"].update(metrics_sha256=sha256))

    return lie


def _better(value: dict[str, Any]) -> None:
    value["log_history"][3]["eval_loss"] = 0.25


def _other_loss(value: dict[str, Any]) -> None:
    value["log_history"][0]["loss"] = 9.0


def _no_counts(value: dict[str, Any]) -> None:
    value["log_history"][1]["eval_json_parse"] = [5, 4]


def _unrecorded(folder: Path) -> None:
    reseal(folder, lambda record: record["training"].pop("evaluation"))


def _other_rows(folder: Path) -> None:
    path = folder / layout.DATA["tuning"]
    path.write_text("\n".join(path.read_text("utf-8").splitlines()[:7]) + "\n", "utf-8")
    reseal(folder, lambda _: None)


def _other_step(folder: Path) -> None:
    reseal(folder, lambda record: record["training"]["evaluation"].update(best_step=20))


BACK = {"step": 15, "measure": "loss", "value": 9.5, "limit": 2.5, "back_to": 10, "learning_rate": 1e-4}


def went_back(configured: bool, **said: Any) -> Lie:
    """A training that went back, as its record and its file say; where it was configured so, from 2e-4 to the half."""
    rule = {"action": "rollback", "learning_rate_factor": 0.5, "max_rollbacks": 1}

    def lie(folder: Path) -> None:
        def change(record: dict[str, Any]) -> None:
            record["training"]["interventions"] = [BACK | said]
            record["config"]["training"] |= {"learning_rate": 2e-4}
            record["config"]["training"] |= {"on_divergence": rule} if configured else {}

        rewritten(lambda value: value.update(interventions=[BACK | said]))(folder)
        reseal(folder, change)

    return lie


def test_a_training_that_went_back_as_configured_agrees(release: Path) -> None:
    went_back(configured=True)(release)

    assert "went back" not in failed(release).get(AGREEMENT, "")
    assert layout.TRAINING_METRICS not in failed(release).get(AGREEMENT, "")


@pytest.mark.parametrize(
    ("lie", "step", "says"),
    [
        (went_back(configured=False), AGREEMENT, "went back 1 times, which its configuration does not ask for"),
        (went_back(configured=True, learning_rate=2e-4), AGREEMENT, "from step 15 otherwise than configured"),
        (went_back(configured=True, back_to=15), AGREEMENT, "from step 15 otherwise than configured"),
        (rewritten(_better), AGREEMENT, "step 20 is the best, the record says otherwise"),
        (rewritten(_other_loss), AGREEMENT, "does not hold what the record says was logged"),
        (rewritten(_no_counts), AGREEMENT, "an evaluation is not"),
        (rewritten(lambda value: value.pop("log_history")), AGREEMENT, "holds no log_history"),
        (_other_step, AGREEMENT, "step 10 is the best, the record says otherwise"),
        (_unrecorded, AGREEMENT, "the record says that nothing was evaluated"),
        (_other_rows, DATA, "data/tuning.jsonl has rows with sha256"),
    ],
)
def test_a_lie_about_the_evaluation_is_named(release: Path, lie: Lie, step: int, says: str) -> None:
    lie(release)

    assert says in failed(release)[step]


def test_a_missing_file_is_named(release: Path) -> None:
    (release / layout.TRAINING_METRICS).unlink()
    reseal(release, lambda _: None)

    assert "training_metrics.json is not the one that the record names" in failed(release)[AGREEMENT]


def test_it_is_laid_out_to_be_made_again_with_the_same_rows(original: Path, tmp_path: Path) -> None:
    found = opened(original)
    settings = laid_out.settings_of(found.release.record)

    loaded = reproduce._lay_out(found, settings, tmp_path)

    assert loaded.data.tuning_file == tmp_path / layout.DATA["tuning"]
    assert (tmp_path / layout.DATA["tuning"]).read_bytes() == (original / layout.DATA["tuning"]).read_bytes()
    assert loaded.training.load_best_model_at_end is True
