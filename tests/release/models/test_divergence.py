"""A training that goes wrong: by which step it is told, where it goes back to, and that the same comes out again."""

import json
import random
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from release.config import reading
from release.config.settings import Config, OnDivergence
from release.models import base as bases
from release.models import callbacks, divergence, train
from release.models.divergence import Diverged, Watched
from release.running.place import Here
from release.values.errors import ConfigError, GatesFailed
from release.values.events import Event, Line
from tests.helpers.line import ROOT, small_config
from tests.release.models.test_evaluation import evaluations, start_run
from tests.release.models.test_train import kill_after

RULE = OnDivergence()
NAN, INF = float("nan"), float("inf")


def found(steps: list[tuple[float, float]], rule: OnDivergence = RULE) -> list[Diverged]:
    """What these steps' losses and norms show, with gradients clipped from 1 on; who is told of goes on."""
    seen, all_found = Watched(), []
    for number, (loss, norm) in enumerate(steps, 1):
        if one := divergence.look(seen, rule, number, loss, norm, 1.0):
            all_found.append(one)
            seen = Watched()
    return all_found


CALM = [(1.0 + 0.02 * (number % 5), 0.5) for number in range(40)]


@pytest.mark.parametrize(
    ("steps", "told"),
    [
        ([*CALM, (3.0, 0.5), (3.0, 0.5), (3.0, 0.5)], ("loss", 43, 39)),
        ([*CALM, (3.0, 0.5), (3.0, 90.0), (1.0, 90.0)], ("grad_norm", 43, 39)),  # of one kind or the other
        ([*CALM, (NAN, 0.5)], ("loss", 41, 39)),
        ([*CALM, (3.0, 0.5), (1.0, INF)], ("grad_norm", 42, 39)),  # before the row that was over too
        ([(1.0, NAN)], ("grad_norm", 1, 0)),
        ([*CALM, (3.0, 0.5), (3.0, 0.5), (1.0, 0.5)], None),  # two in a row are not three
        ([*CALM, (3.0, 0.5), (1.0, 0.5), (3.0, 0.5), (3.0, 0.5)], None),
        ([*CALM, *[(1.3, 0.5)] * 9], None),  # within the least spread
        ([*CALM, *[(1.0, 0.99)] * 9], None),  # steeper than before, and not clipped
        ([*CALM[:3], *[(90.0, 90.0)] * 20], None),  # half a window was not seen
        ([(12.0 / number, 30.0 / number) for number in range(1, 60)], None),
    ],
)
def test_several_steps_in_a_row_far_above_the_last_ones_are_a_divergence(
    steps: list[tuple[float, float]], told: tuple[str, int, int] | None
) -> None:
    assert [(one.measure, one.step, one.good) for one in found(steps)] == ([told] if told else [])


def test_a_step_over_the_limit_does_not_raise_it() -> None:
    """Else what goes up slowly would never be over it."""
    seen = Watched()
    for number, (loss, norm) in enumerate([*CALM, (3.0, 0.5), (4.0, 0.5)], 1):
        divergence.look(seen, RULE, number, loss, norm, 1.0)

    assert max(seen.losses) < 2
    assert seen.first == 41


@pytest.mark.parametrize(("spread", "patience", "most"), [(0.5, 3, 0), (1, 3, 1), (0.5, 1, 41), (1, 1, 330)])
def test_noise_of_wide_tails_is_rarely_a_divergence(spread: float, patience: int, most: int) -> None:
    """Of 20,000 steps with losses and norms whose logarithms are normal: docs/training.md says these counts."""
    told = 0
    for seed in range(10):
        drawn = random.Random(seed)
        steps = [(0.5 * drawn.lognormvariate(0, spread), drawn.lognormvariate(0, spread)) for _ in range(2000)]
        told += len(found(steps, OnDivergence(patience=patience)))

    assert told == most


def test_no_kept_curve_of_a_release_is_a_divergence() -> None:
    """The losses that releases logged, each the mean of ten steps: a window of eight, one step alone."""
    kept = [json.loads(path.read_bytes()) for path in (ROOT / "tests/data/releases").glob("v*/release.json")]
    losses = [[(loss, 0.1) for _, loss in one["training"]["losses"]] for one in kept]

    assert len(losses) == 3
    assert [found(steps, OnDivergence(window=8, patience=1)) for steps in losses] == [[], [], []]


@pytest.mark.parametrize(
    ("shares", "good"),
    [
        ([(10, (8, 8)), (20, (3, 8))], 10),
        ([(10, (8, 8)), (20, (6, 8)), (30, (0, 8))], 20),
        ([(10, (8, 8)), (20, (4, 8))], None),  # half of it is no collapse
        ([(10, (3, 8)), (20, (0, 8))], None),  # three were few
        ([(10, (0, 8))], None),
        ([], None),  # no answers are generated
        ([(10, (8, 8)), (20, (0, 0))], None),
    ],
)
def test_answers_that_cease_to_be_json_are_a_collapse(shares: list[tuple[int, tuple[int, int]]], good: int) -> None:
    fell = divergence.collapsed(shares)

    assert (fell.good if fell else None) == good


def test_after_a_way_back_the_learning_rate_is_lower_from_that_step_on() -> None:
    rule = OnDivergence(learning_rate_factor=0.5, warmup_steps=1)

    rates = [divergence.scale(rule, [4, 2], step) for step in range(6)]

    assert rates == [1, 1, 0.125, 0.25, 0.25, 0.25]
    assert [divergence.scale(rule, [4], step) for step in range(6)] == [1, 1, 1, 1, 0.25, 0.5]


def run_with(folder: Path, *steps: int, **rule: Any) -> tuple[Path, Config]:
    """A run folder with whole checkpoints after these steps."""
    for step in steps:
        (folder / "checkpoints" / f"checkpoint-{step}").mkdir(parents=True)
        (folder / "checkpoints" / f"checkpoint-{step}.json").write_text("[]", "utf-8")
    training = {"on_divergence": {"action": "rollback", **rule}, "learning_rate": 0.1}
    return folder, reading.load(small_config(folder, training=training))


def checkpoints(run: Path) -> list[int]:
    return sorted(callbacks.step_of(mark.with_suffix("")) for mark in (run / "checkpoints").glob("*.json"))


def spike(step: int, good: int) -> Diverged:
    return Diverged("loss", 9.0, limit=2.0, step=step, good=good)


def test_training_goes_back_to_a_step_of_its_grid_whatever_checkpoints_there_are(tmp_path: Path) -> None:
    """Step 10 of 4, 8, 12: that a signal left a checkpoint after step 9 changes nothing."""
    run, loaded = run_with(tmp_path, 4, 9, 12)
    said: list[Event] = []

    divergence.turn_back(run, loaded, spike(13, 10), 4, said.append)

    assert checkpoints(run) == [4]
    text = "loss at step 13 was 9 (limit 2): training went back to step 8, with a learning rate of 0.05"
    assert said == [Line(text=f"  {text}")]
    assert [one.back_to for one in divergence.done(run)] == [8]


def test_training_goes_back_so_often_and_then_stops_with_all_of_it(tmp_path: Path) -> None:
    run, loaded = run_with(tmp_path, 4, max_rollbacks=1)
    divergence.turn_back(run, loaded, spike(7, 5), 4, lambda _: None)

    with pytest.raises(GatesFailed, match=r"diverged again: loss is 9 at step 7, and .* went back to step 4"):
        divergence.turn_back(run, loaded, spike(7, 5), 4, lambda _: None)

    assert len(divergence.done(run)) == 1


def test_where_nothing_is_asked_for_a_divergence_stops(tmp_path: Path) -> None:
    with pytest.raises(Diverged, match="Training diverged: loss is 9, over the limit 2 of the steps before at step 7"):
        divergence.turn_back(*run_with(tmp_path, action="stop"), spike(7, 5), 4, lambda _: None)


def test_of_checkpoints_the_two_newest_and_the_one_to_go_back_to_are_left(tmp_path: Path) -> None:
    run, _ = run_with(tmp_path, 2, 4, 6, 8, 10)

    callbacks.thin(run / "checkpoints", 5)

    assert checkpoints(run) == [4, 8, 10]


def test_a_way_back_that_changes_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="the same steps would end in the same way"):
        run_with(tmp_path, learning_rate_factor=1)

    assert run_with(tmp_path, learning_rate_factor=1, warmup_steps=5)


def learned(base: bases.Base, run: Path, folder: Path) -> bases.Base:
    """A copy of the small base that has learned some of the rows: it has something to lose."""
    import torch
    from transformers import AutoTokenizer, LlamaForCausalLM

    shutil.copytree(base.folder, folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    rows = (run / "data" / "train.jsonl").read_text("utf-8").splitlines()[:8]
    texts = [tokenizer.apply_chat_template(json.loads(row)["messages"], return_dict=False) for row in rows]
    for ids in (torch.tensor([text]) for text in texts * 3):
        model(input_ids=ids, labels=ids).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    model.save_pretrained(folder)
    return replace(base, folder=folder)


@pytest.mark.slow
def test_a_training_that_blows_up_goes_back_and_through_a_kill_to_the_same_bytes(
    tmp_path: Path, tiny_base: str
) -> None:
    """A learning rate that rises too high: the same step is told, the same one gone back to, by each training."""
    rule = {"action": "rollback", "window": 8, "threshold": 3, "patience": 1, "learning_rate_factor": 0.01}
    steps = {"max_steps": 9, "learning_rate": 0.1, "warmup_steps": 8, "lr_scheduler_type": "constant_with_warmup"}
    asked = {**steps, "on_divergence": rule, "eval_steps": 4}
    (whole, base), (killed, _) = (start_run(tmp_path / name, tiny_base, asked, {"alpha": 64}) for name in ("a", "b"))
    base = learned(base, whole, tmp_path / "learned")
    said: list[Event] = []

    made = train.train(whole, base, Here(), said.append)
    once = [sys.executable, "-m", "release.models.train", str(killed), str(base.folder)]
    subprocess.run(once, check=True, capture_output=True)
    assert len(divergence.done(killed)) == 1
    kill_after(4, killed, base)
    again = train.train(killed, base, Here(), said.append)

    assert made.trained.interventions is not None
    (one,) = made.trained.interventions
    assert (one.measure, one.back_to, one.learning_rate) == ("loss", 2, 0.001)
    rates = dict((made.trained.curves or {})["learning_rate"])
    assert [rates[step] for step in (2, 3, 9)] == pytest.approx([0.0125, 0.00025, 0.001])
    assert any("training went back to step 2" in each.text for each in said if isinstance(each, Line))
    assert again.trained.interventions == made.trained.interventions
    assert again.trained.losses == made.trained.losses
    assert again.files == made.files
    assert evaluations(killed) == evaluations(whole)
    assert again.trained.evaluation == made.trained.evaluation
