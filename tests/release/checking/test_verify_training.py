"""A release that says what was evaluated while it trained: it is checked, shown, and laid out to be made again."""

import json
import math
import random
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from gates.canonical import canonical_json
from release.checking import laid_out, reproduce, verify_training
from release.config import reading
from release.config.settings import OnDivergence
from release.models import divergence
from release.planning import estimates
from release.values import layout
from release.values.artifacts import sha256_file
from tests.helpers.line import ROOT, small_config
from tests.helpers.small_release import read_record, reseal, small_release
from tests.helpers.verified import agreement, failed, opened

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


def in_training(**said: Any) -> Lie:
    """The record's training says this."""
    return lambda folder: reseal(folder, lambda record: record["training"].update(said))


def configured(**said: Any) -> Lie:
    return lambda folder: reseal(folder, lambda record: record["config"]["training"].update(said))


def both(*lies: Lie) -> Lie:
    return lambda folder: [lie(folder) for lie in lies]


@pytest.mark.parametrize(
    ("lie", "says"),
    [
        (in_training(steps=21), "trained for 21 steps, its configuration and its rows make 20"),
        (in_training(steps=19), "trained for 19 steps"),
        (configured(max_steps=-1), "its configuration and its rows make"),
        (in_training(processes=2), "2 processes trained it, its configuration asks for 1"),
        (configured(processes=2), "1 processes trained it, its configuration asks for 2"),
        (in_training(resumed_from_step=21), "it went on from step 21, and has 20"),
        (in_training(over=["unquantized"]), "trained over unquantized, its configuration asks for nf4"),
        (lambda folder: reseal(folder, lambda record: record["training"].pop("over")), "trained over nothing"),
        (in_training(losses=[[10, 1.5]]), "its loss was logged after other steps"),
        (in_training(losses=[[10, 1.5], [20, 0.5], [30, 0.5]]), "its loss was logged after other steps"),
        (in_training(losses=[[20, 1.5], [10, 0.5]]), "its loss was logged after other steps"),
        (in_training(losses=[[2, 1.5], [10, 1.5], [20, 0.5]]), "its loss was logged after other steps"),
        (in_training(losses=[[10, -0.5], [20, 0.5]]), "its loss is -0.5 at a step"),
        (in_training(curves={"grad_norm": [[10, 1.0]]}), "its grad_norm was logged after other steps"),
        (lambda folder: reseal(folder, lambda record: record["data"].update(train=None)), "names no rows"),
        (configured(eval_steps=[]), "the recorded configuration is not one"),
        (configured(on_divergence={"action": "rollback", "learning_rate_factor": "x"}), "configuration is not one"),
        (configured(learning_rate=10**300), "the recorded configuration is not one"),
        (lambda folder: reseal(folder, lambda record: record["config"].update(training=7)), "is not one"),
    ],
)
def test_a_training_that_its_configuration_does_not_give_is_named(release: Path, lie: Lie, says: str) -> None:
    lie(release)

    assert says in agreement(release)


@pytest.mark.parametrize(
    "truth",
    [
        in_training(losses=[[1, 2.5], [10, 1.5], [20, 0.5]]),
        in_training(resumed_from_step=20),
        in_training(resumed_from_step=7),
        configured(logging_steps=10),
    ],
)
def test_a_training_that_its_configuration_gives_is_not(release: Path, truth: Lie) -> None:
    truth(release)

    said = agreement(release)
    assert not [one for one in ("other steps", "went on from", "trained for") if one in said], said


GENERATED = {"eval_json_parse": [3, 4], "eval_schema_compliance": [2, 4]}


def evaluations(*rows: Mapping[str, Any]) -> Lie:
    """The file with these evaluations, and no others."""

    def change(value: dict[str, Any]) -> None:
        logged = [one for one in value["log_history"] if "loss" in one]
        given = [{"eval_loss": 0.5, "eval_perplexity": 1.64872, **GENERATED, **one} for one in rows]
        value["log_history"] = sorted([*logged, *given], key=lambda one: one["step"])

    return rewritten(change)


FIRST, LAST = {"step": 10}, {"step": 20, "eval_loss": 0.75, "eval_perplexity": 2.117}


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ((FIRST,), "evaluations after other steps than each 10 of 20, and the last"),
        ((FIRST, LAST, {**LAST, "step": 30}), "evaluations after other steps"),
        ((FIRST, {"step": 15}, LAST), "evaluations after other steps"),
        ((FIRST, FIRST, LAST), "evaluations after other steps"),
        ((), "evaluations after other steps"),
        ((FIRST, {**LAST, "eval_loss": -0.75}), "an evaluation is not"),
        ((FIRST, {**LAST, "eval_loss": 10**400}), "training_metrics.json"),
        ((FIRST, {**LAST, "eval_loss": None}), "an evaluation is not"),
        ((FIRST, {**LAST, "step": 10**400}), "training_metrics.json"),
        ((FIRST, {**LAST, "eval_json_parse": [4, 5]}), "counts other rows than the 4"),
        ((FIRST, {**LAST, "eval_json_parse": [3, 3]}), "counts other rows than the 4"),
        ((FIRST, {**LAST, "eval_schema_compliance": [5, 5]}), "counts other rows than the 4"),
        ((FIRST, {**LAST, "eval_answer_rate": [4, 4]}), "holds other gates in one evaluation than in another"),
        (
            ({**FIRST, "eval_wisdom": [4, 4]}, {**LAST, "eval_wisdom": [4, 4]}),
            "or one that there is not",
        ),
        ((FIRST, LAST), ""),
        (({**FIRST, "eval_answer_rate": [1, 2]}, {**LAST, "eval_answer_rate": [0, 0]}), ""),
    ],
)
def test_evaluations_that_cannot_have_been_are_named(
    release: Path, rows: tuple[Mapping[str, Any], ...], says: str
) -> None:
    evaluations(*rows)(release)

    found = agreement(release)
    assert (says in found) if says else ("evaluation" not in found and "counts other rows" not in found), found


def test_where_a_metric_was_asked_for_some_evaluation_measured_it(release: Path) -> None:
    configured(metric_for_best_model="eval_answer_rate")(release)
    nothing = {"eval_answer_rate": [0, 0]}
    evaluations({**FIRST, **nothing}, {**LAST, **nothing})(release)
    rewritten(lambda value: value.update(metric_for_best_model="eval_answer_rate", best_step=None))(release)
    reseal(release, lambda record: record["training"]["evaluation"].update(best_step=None))

    assert "no evaluation counted anything for eval_answer_rate" in agreement(release)


def test_training_ended_where_patience_did(release: Path) -> None:
    """An evaluation before the last had ended it; where the last one does, the record says that it stopped early."""
    evaluations(FIRST, LAST)(release)
    configured(early_stopping_patience=1)(release)
    said = agreement(release)
    assert "step 10 is the best, the record says otherwise" in said  # of stopped_early
    assert "had ended it" not in said

    configured(eval_steps=5)(release)
    evaluations({"step": 5, "eval_loss": 0.25, "eval_perplexity": 1.28403}, FIRST, {"step": 15}, LAST)(release)
    assert "holds evaluations after training.early_stopping_patience had ended it" in agreement(release)


@pytest.mark.parametrize(
    ("said", "says"),
    [
        ({"step": 21}, "was seen by loss, which its configuration does not measure then"),
        ({"measure": "eval_loss", "value": None, "limit": None}, "was seen by eval_loss"),
        ({"measure": "eval_json_parse", "step": 15, "value": 0.1, "limit": 0.4}, "was seen by eval_json_parse"),
        ({"value": 2.5}, "which is no divergence"),
        ({"value": 1.5}, "which is no divergence"),
        ({"value": None}, "which is no divergence"),
        ({"limit": None}, "which is no divergence"),
        ({"limit": -1.0}, "which is no divergence"),
        ({"measure": "grad_norm", "limit": 0.5}, "which is no divergence"),
        ({"measure": "eval_loss", "step": 20}, "which is no divergence"),
        ({"measure": "eval_json_parse", "step": 20, "value": 0.5, "limit": 0.4}, "which is no divergence"),
        ({"measure": "eval_json_parse", "step": 20, "value": 0.5, "limit": 0.9}, "which is no divergence"),
        ({"back_to": 15}, "from step 15: it went to step 15 otherwise than configured"),
        ({"back_to": 11}, "went to step 11 otherwise than configured"),
        ({"back_to": 5}, "went to step 5 otherwise than configured"),
        ({"back_to": 10**300}, "otherwise than configured"),
        ({"learning_rate": 2e-4}, "from step 15: it went on with a learning rate of 0.0002 otherwise than configured"),
        ({"learning_rate": 10**300}, "otherwise than configured: that is 0.0001"),
        ({"step": 10**300}, "does not measure then"),
        ({}, ""),
        ({"value": None, "limit": None}, ""),
        ({"value": None, "limit": None, "step": 20, "back_to": 15}, ""),
        ({"measure": "grad_norm", "limit": 1.0}, ""),
        ({"measure": "eval_loss", "value": None, "limit": None, "step": 20, "back_to": 15}, ""),
        ({"measure": "eval_json_parse", "step": 20, "value": 0.25, "limit": 0.5}, ""),
        ({"step": 8, "back_to": 0}, ""),
    ],
)
def test_a_way_back_is_one_that_the_configuration_gives(release: Path, said: dict[str, Any], says: str) -> None:
    went_back(configured=True, **said)(release)

    found = agreement(release)
    assert says in found
    assert says or "went back" not in found, found


def test_a_second_way_back_comes_after_the_first(release: Path) -> None:
    second = {**BACK, "step": 12, "back_to": 5, "learning_rate": 5e-5}
    went_back(configured=True)(release)
    configured(on_divergence={"action": "rollback", "learning_rate_factor": 0.5, "max_rollbacks": 2})(release)

    in_training(interventions=[BACK, second])(release)
    assert "went back" not in agreement(release)
    in_training(interventions=[BACK, {**second, "step": 10}])(release)
    assert "went on from step 10, and step 10 came after it" in agreement(release)
    in_training(interventions=[BACK, {**second, "learning_rate": 1e-4}])(release)
    assert "otherwise than configured: that is 5e-05" in agreement(release)
    in_training(interventions=[BACK, second, second])(release)
    assert "went back 3 times, which its configuration does not ask for" in agreement(release)


@pytest.mark.parametrize("seed", range(20))
def test_whatever_divergence_finds_and_does_is_a_way_back_that_is_given(tmp_path: Path, seed: int) -> None:
    """Losses and gradients at random: what is written down of them is what verification expects."""
    drawn = random.Random(seed)
    rule = {"action": "rollback", "window": 8, "threshold": 3, "patience": drawn.choice([1, 2, 5]), "max_rollbacks": 10}
    training = {"on_divergence": rule, "max_steps": 200, "save_steps": drawn.choice([0.25, 7, 1]), "eval_steps": 10}
    data = {"tuning_share": 0.1}
    config = reading.load(small_config(tmp_path, training=training, data=data))
    seen, steps = divergence.Watched(), 200
    for step in range(1, steps + 1):
        loss, norm = (drawn.choice([1.0, 1.01, 1.02, 1.0, 90.0]) for _ in "ab")
        loss = math.nan if drawn.random() < 0.02 else loss
        found = divergence.look(seen, config.training.on_divergence or OnDivergence(), step, loss, norm, 1.0)
        if found and len(divergence.done(tmp_path)) < 10:
            found.good = divergence.last_good(seen, found.good)
            every = estimates.save_steps_of(config, steps)
            divergence.turn_back(tmp_path, config, found, every, lambda _: None)
            seen = divergence.Watched()
    turned = divergence.done(tmp_path)

    assert turned
    for number, one in enumerate(turned, 1):
        assert [*verify_training._seen(one, config, steps), *verify_training._way(one, config, steps, number)] == []


def test_a_missing_file_is_named(release: Path) -> None:
    (release / layout.TRAINING_METRICS).unlink()
    reseal(release, lambda _: None)

    assert "training_metrics.json is not the one that the record names" in failed(release)[AGREEMENT]


def test_its_settings_are_those_of_the_record_and_a_release_without_their_file_verifies(release: Path) -> None:
    path = release / layout.TRAINING_CONFIG
    assert json.loads(path.read_bytes()) == read_record(release)["config"]
    path.write_text(path.read_text("utf-8").replace('"learning_rate":', '"learning_rate": 9, "other":'), "utf-8")
    reseal(release, lambda _: None)
    assert failed(release)[AGREEMENT] == "training_config.yaml holds other settings than the record"

    path.unlink()
    reseal(release, lambda _: None)
    assert failed(release) == {}


def test_it_is_laid_out_to_be_made_again_with_the_same_rows(original: Path, tmp_path: Path) -> None:
    found = opened(original)
    settings = laid_out.settings_of(found.release.record)

    loaded = reproduce._lay_out(found, settings, tmp_path)

    assert loaded.data.tuning_file == tmp_path / layout.DATA["tuning"]
    assert (tmp_path / layout.DATA["tuning"]).read_bytes() == (original / layout.DATA["tuning"]).read_bytes()
    assert loaded.training.load_best_model_at_end is True
