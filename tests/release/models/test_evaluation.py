"""Tuning rows evaluated while an adapter is trained, on a base of two small layers; and which state is kept."""

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from gates.canonical import canonical_json
from release import inputs
from release.config import reading
from release.config.settings import Config
from release.judging import terms
from release.models import base as bases
from release.models import built_trainer, evaluation, interrupted, train
from release.running import spending
from release.running.place import Here
from release.values import layout
from release.values.errors import GatesFailed, PreflightError, VerificationError
from release.values.events import Event, Line
from release.values.training_metrics import Evaluation
from tests.helpers.line import ROOT, small_config
from tests.helpers.tiny_base import REPO
from tests.release.models.test_train import kill_after

STEPS = 6
EVALUATED = {"eval_steps": 1, "eval_generate": 2}
BEST = {
    "load_best_model_at_end": True,
    "metric_for_best_model": "eval_json_parse",
    "early_stopping_patience": 3,
}


def quiet(_: Event) -> None:
    """Say nothing."""


def start_run(
    folder: Path, commit: str, training: dict[str, Any], lora: Mapping[str, Any] = MappingProxyType({})
) -> tuple[Path, bases.Base]:
    """A run folder as the pipeline leaves it before training: sixteen rows, four tuning rows, and the terms."""
    run = folder / "run"
    (run / "data").mkdir(parents=True)
    model = {"base_model_id": REPO, "source": "hub", "revision": commit}
    data = {"tuning_file": str(run / "data" / "tuning.jsonl")} if "eval_steps" in training else {}
    steps = {"max_steps": STEPS, "save_steps": 2, "logging_steps": 1, "learning_rate": 0.02, "warmup_steps": 0}
    lora = {"dropout": 0.1, **lora}  # a generator's state that evaluation could disturb
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


def rows(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text("utf-8").splitlines()]


def evaluations(run: Path) -> list[dict[str, Any]]:
    """What was measured, less what another run would not give again."""
    timed = ("seconds", "peak_memory_bytes", "gpu_peak_memory_bytes")
    return [{key: value for key, value in row.items() if key not in timed} for row in rows(run) if "eval_loss" in row]


@pytest.mark.slow
def test_an_evaluation_disturbs_no_step(tmp_path: Path, tiny_base: str) -> None:
    """The same steps with and without it, dropout and all: the adapter's bytes are equal, and the losses."""
    plain = train.train(*start_run(tmp_path / "plain", tiny_base, {}), Here(), quiet)
    said: list[Event] = []

    run, base = start_run(tmp_path / "evaluated", tiny_base, EVALUATED)
    evaluated = train.train(run, base, Here(), said.append)

    assert evaluated.files == plain.files
    assert evaluated.trained.losses == plain.trained.losses
    assert plain.trained.evaluation is None
    assert not (plain.folder.parent / layout.TRAINING_METRICS).exists()
    logged = rows(plain.folder.parent)
    assert [(one["step"], one["loss"]) for one in logged] == plain.trained.losses
    assert all(min(one["tokens_per_second"], one["grad_norm"], one["peak_memory_bytes"]) > 0 for one in logged)
    assert all("learning_rate" in one for one in logged)
    assert [one["step"] for one in evaluations(run)] == [1, 2, 3, 4, 5, 6]
    assert all(one["eval_json_parse"][1] == 2 for one in evaluations(run))
    assert len([one for one in said if isinstance(one, Line) and "eval_loss" in one.text]) == STEPS
    (run / layout.TRAINING_METRICS).write_text("{}", "utf-8")
    with pytest.raises(VerificationError, match="is not what training wrote"):
        train.train(run, base, Here(), quiet)


@pytest.mark.slow
def test_the_best_state_and_an_early_end_come_out_again_after_a_kill(tmp_path: Path, tiny_base: str) -> None:
    """No answer of so small a base is JSON, so the first evaluation stays the best, and the fourth is the last."""
    best, killed = (start_run(tmp_path / name, tiny_base, EVALUATED | BEST) for name in ("best", "killed"))
    made = train.train(*best, Here(), quiet)
    kill_after(2, *killed)

    again = train.train(*killed, Here(), quiet)

    assert again.trained.resumed_from_step == 2
    assert made.trained.evaluation is not None
    assert (made.trained.evaluation.best_step, made.trained.evaluation.stopped_early) == (1, True)
    assert (made.trained.steps, again.trained.steps) == (4, 4)
    assert again.trained.evaluation == made.trained.evaluation
    assert again.files == made.files
    assert evaluations(killed[0]) == evaluations(best[0])
    assert not (best[0] / "checkpoints").exists()


@pytest.mark.slow
def test_a_signal_in_an_evaluation_ends_it_within_a_token_and_who_goes_on_makes_it_again(
    tmp_path: Path, tiny_base: str
) -> None:
    """In the loss, in an answer, in one that was owed, in one with which patience ends, and in the last step's."""
    last = EVALUATED | {"max_steps": 2, "eval_steps": 4}
    for name, training, points in (
        ("best", EVALUATED | BEST, ["1:1", "3:5", "3:6", "4:2"]),
        ("last", last, ["2:3"]),
    ):
        whole, cut = (start_run(tmp_path / name / which, tiny_base, training) for which in ("whole", "cut"))
        made = train.train(*whole, Here(), quiet)

        ended = cut_at(points, *cut)

        steps = [(point.partition(":")[0], training.get("max_steps", STEPS)) for point in points]
        said = [f"  stopped after step {step} of {most}, with a whole checkpoint" for step, most in steps]
        assert ended == [[128 + signal.SIGTERM, one] for one in said]
        assert len(evaluations(cut[0])) == int(steps[-1][0]) - 1 if name == "best" else not evaluations(cut[0])
        again = train.train(*cut, Here(), quiet)
        assert again.trained.resumed_from_step == int(steps[-1][0])
        assert again.trained.evaluation == made.trained.evaluation
        assert again.trained.losses == made.trained.losses
        assert again.files == made.files
        assert evaluations(cut[0]) == evaluations(whole[0])


def cut_at(points: list[str], run: Path, base: bases.Base) -> list[list[object]]:
    """How trainings end that are sent SIGTERM in the evaluation after a step, before a forward pass: STEP:PASS."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.helpers.cut_evaluations", str(run), str(base.folder), *points],
        capture_output=True,
        text=True,
        check=True,
    )
    found: list[list[object]] = json.loads(done.stdout.splitlines()[-1])
    return found


def run_with(folder: Path, *steps: int, states: tuple[int, ...] = (), torn: str = "") -> tuple[Path, Config]:
    """A run folder in which these steps were evaluated, each better than the one before, and these states saved."""
    training = {"eval_steps": 2, "load_best_model_at_end": True, "early_stopping_patience": 2}
    loaded = reading.load(small_config(folder, data={"tuning_share": 0.1}, training=training))
    lines = [json.dumps({"step": step, "eval_loss": 1 / step}) + "\n" for step in steps]
    (folder / evaluation.METRICS).write_text("".join(lines) + torn, "utf-8")
    (folder / "checkpoints").mkdir()
    for step in states:
        (folder / "checkpoints" / f"best-{step}.safetensors").touch()
    return folder, loaded


@pytest.mark.parametrize(
    ("steps", "states", "knows"),
    [
        ((2, 4), (4,), True),
        ((2, 4, 6), (4, 6), True),
        ((2,), (2,), False),  # an evaluation before the checkpoint is lost
        ((2, 4), (2,), False),  # its best state is
        ((), (), False),
    ],
)
def test_a_checkpoint_without_its_evaluations_is_not_gone_on_from(
    tmp_path: Path, steps: tuple[int, ...], states: tuple[int, ...], *, knows: bool
) -> None:
    run, loaded = run_with(tmp_path, *steps, states=states)

    assert evaluation.knows(run, loaded, run / "checkpoints" / "checkpoint-5") is knows


@pytest.mark.parametrize(
    ("step", "last", "owed"),
    [
        (0, 9, False),  # nothing was trained yet
        (2, 9, False),  # it is there
        (3, 9, False),  # none follows this step
        (4, 9, True),
        (5, 5, True),  # the last step has one in any case
    ],
)
def test_a_checkpoint_owes_the_evaluation_that_a_signal_ended(
    tmp_path: Path, step: int, last: int, *, owed: bool
) -> None:
    run, loaded = run_with(tmp_path, 2, states=(2,))

    assert evaluation.owed(run, loaded, step, last) is owed
    assert evaluation.knows(run, loaded, run / "checkpoints" / f"checkpoint-{step}") is (step < 5)


def test_where_training_goes_on_later_evaluations_and_half_a_line_are_gone(tmp_path: Path) -> None:
    run, _ = run_with(tmp_path, 2, 4, 6, torn='{"step": 8, "eval_lo')

    assert [one.step for one in evaluation.goes_on(run, 4)] == [2, 4]
    assert [row["step"] for row in rows(run)] == [2, 4]


def test_a_training_that_ended_early_at_a_checkpoint_makes_no_step_more(tmp_path: Path) -> None:
    run, loaded = run_with(tmp_path, 2)
    for step in (4, 6):
        with (run / evaluation.METRICS).open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, "eval_loss": 9.0}) + "\n")

    ended = {step: evaluation.ended(run, loaded, run / "checkpoints" / f"checkpoint-{step}") for step in (2, 4, 6)}

    assert ended == {2: False, 4: False, 6: True}


def test_a_measure_that_was_never_counted_stops_with_what_to_do(tmp_path: Path) -> None:
    run, loaded = run_with(tmp_path)

    with pytest.raises(GatesFailed, match="No evaluation counted anything for eval_loss"):
        evaluation.kept(run, loaded, 6)


def test_the_line_of_an_evaluation_has_its_counts_and_all_losses_as_bars() -> None:
    found = [Evaluation(step=2, loss=3.0), Evaluation(step=4, loss=1.0, gates={"json_parse": (1, 2)})]

    assert evaluation.told(found) == "  step 4: eval_loss 1, perplexity 2.718, json_parse 1/2  █▁"


@pytest.mark.parametrize(
    ("gates", "says"),
    [
        ({"json_parse": (4, 4)}, "json_parse 4/4"),
        ({"json_parse": (4, 4), "answer_rate": (2, 2)}, "json_parse 4/4, 1 other gate all right"),
        (
            {"answer_rate": (1, 2), "json_parse": (3, 4), "contract_rules": (4, 4), "schema_compliance": (4, 4)},
            "json_parse 3/4, answer_rate 1/2, 2 other gates all right",
        ),
        ({"json_parse": (4, 4), "refusal_recall": (0, 0)}, "json_parse 4/4, refusal_recall 0/0"),
    ],
)
def test_the_line_of_an_evaluation_names_what_is_not_all_right(gates: dict[str, tuple[int, int]], says: str) -> None:
    line = evaluation.told([Evaluation(step=4, loss=1.0, gates=gates)])

    assert line == f"  step 4: eval_loss 1, perplexity 2.718, {says}  ▁"


ENDS = {
    "patience": (Evaluation(step=1, loss=0.5, gates={}), Evaluation(step=2, loss=0.7, gates={})),
    "collapse": (
        Evaluation(step=1, loss=0.5, gates={"json_parse": (4, 4)}),
        Evaluation(step=2, loss=0.4, gates={"json_parse": (0, 4)}),
    ),
    "nothing": (Evaluation(step=1, loss=0.5, gates={}), Evaluation(step=2, loss=0.4, gates={})),
}


@pytest.mark.parametrize("why", ENDS)
def test_a_training_that_its_evaluation_ends_is_not_said_to_be_ended_by_its_budget_too(
    why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same step would be the last that the budget allows."""
    from transformers import TrainerControl, TrainerState
    from transformers.trainer_callback import CallbackHandler

    before, last = ENDS[why]
    run = tmp_path / "runs" / "run"
    run.mkdir(parents=True)
    (run / evaluation.METRICS).write_text(json.dumps(before.as_dict()) + "\n", "utf-8")
    config = reading.load(small_config(tmp_path, budget={"hours": 1e-9}))
    plan = plan_of(run)
    monkeypatch.setattr(evaluation, "measured", lambda *_: last)
    monkeypatch.setattr(evaluation, "_keep", lambda *_: None)
    handler = CallbackHandler(list(built_trainer._deciding(config, run, plan, quiet, [])), None, None, None, None)
    state, control = TrainerState(global_step=1, max_steps=9), TrainerControl()

    handler.on_train_begin(None, state, control)
    state.global_step = 2
    if why == "collapse":
        with pytest.raises(GatesFailed, match="eval_json_parse is 0"):
            handler.on_step_end(None, state, control)
    else:
        handler.on_step_end(None, state, control)
        assert control.should_training_stop
    if why == "nothing":
        with pytest.raises(PreflightError, match="The budget is spent"):
            handler.on_train_end(None, state, control)
    else:
        handler.on_train_end(None, state, control)
    assert spending.read(run.parent)[0].run == "run"


def test_a_signal_after_the_last_forward_pass_of_an_evaluation_leaves_it_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The checkpoint of the step has its evaluation."""
    from transformers import TrainerControl, TrainerState
    from transformers.trainer_callback import CallbackHandler

    def interrupted_one(*_: object) -> Evaluation:
        signal.raise_signal(signal.SIGTERM)
        return Evaluation(step=2, loss=0.4, gates={})

    monkeypatch.setattr(evaluation, "measured", interrupted_one)
    monkeypatch.setattr(evaluation, "_keep", lambda *_: None)
    handler: Any = CallbackHandler([evaluation.watch(plan_of(tmp_path), quiet, [])], None, None, None, None)
    state, control = TrainerState(global_step=0, max_steps=9), TrainerControl()
    with interrupted.kept(handler, quiet, []):
        handler.on_train_begin(None, state, control)
        state.global_step = 2
        handler.on_step_end(None, state, control)
        assert control.should_save
        assert control.should_training_stop
        assert [one["step"] for one in evaluations(tmp_path)] == [2]
        handler.on_save(None, state, control)
        with pytest.raises(SystemExit) as end:
            handler.on_train_end(None, state, control)
    assert end.value.code == 128 + signal.SIGTERM


def plan_of(run: Path) -> evaluation.Plan:
    """A plan whose evaluations are made up: what it would ask a model is not there."""
    nothing: Any = None
    return evaluation.Plan(
        run=run,
        every=1,
        turns=True,
        metric="eval_loss",
        patience=1,
        examples=(),
        batch=1,
        asked=nothing,
        judged=(),
        prompts=(),
        contract=nothing,
        gates=(),
        as_trained=lambda: None,
    )
