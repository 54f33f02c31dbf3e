"""A signal at any step of a training: the step is kept whole, and who goes on ends at the same bytes."""

import random
import signal
from pathlib import Path
from typing import Any

import pytest

from release.models import callbacks, interrupted, sft_trainer, train
from release.values.events import Event, Line

pytestmark = pytest.mark.slow
STEPS = 7


def trained(
    folder: Path, *, ended: tuple[int, int] | None = None, told: list[Event] | None = None, minutes: float = 60
) -> tuple[bytes, list[tuple[int, float]]]:
    """The weights of a small model with dropout, trained by transformers' loop from the last whole checkpoint on.

    And each loss that was logged, the mean of three steps.
    """
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM, Trainer, TrainerCallback, TrainingArguments, set_seed

    class Ended(TrainerCallback):  # type: ignore[misc]  # transformers' callbacks are untyped
        def on_step_begin(self, _args: object, state: Any, _control: object, **_: object) -> None:
            if ended and state.global_step + 1 == ended[0]:
                signal.raise_signal(ended[1])

    set_seed(3)
    shape = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    model = LlamaForCausalLM(LlamaConfig(vocab_size=32, attention_dropout=0.2, **shape))
    rows = [{"input_ids": torch.arange(n, n + 8) % 32, "labels": torch.arange(n, n + 8) % 32} for n in range(20)]
    arguments = TrainingArguments(
        output_dir=str(folder),
        max_steps=STEPS,
        save_steps=100,
        logging_steps=3,
        save_total_limit=2,
        per_device_train_batch_size=2,
        report_to="none",
        use_cpu=True,
        disable_tqdm=True,
    )
    say = (told if told is not None else []).append
    watching = [callbacks.watch(lambda _: None), callbacks.timed(minutes), Ended()]
    trainer = Trainer(
        model,
        arguments,
        train_dataset=rows,
        callbacks=watching,
    )
    trainer.add_callback(sft_trainer.running_loss(trainer))
    before = callbacks.last_whole_checkpoint(folder)
    with interrupted.kept(trainer, say, []):
        trainer.train(resume_from_checkpoint=str(before) if before else None)
    weights = b"".join(p.detach().numpy().tobytes() for _, p in sorted(model.named_parameters()))
    return weights, train.losses(trainer.state.log_history)


@pytest.mark.parametrize("number", interrupted.SIGNALS)
def test_a_training_ended_at_random_steps_goes_on_to_the_same_bytes_and_losses(
    number: signal.Signals, tmp_path: Path
) -> None:
    whole = trained(tmp_path / "whole")
    assert [step for step, _ in whole[1]] == [3, 6]
    before = signal.signal(number, signal.SIG_DFL)  # a shell's background ignores SIGINT
    try:
        for step in sorted(random.sample(range(1, STEPS), 5)):
            told: list[Event] = []
            with pytest.raises(SystemExit) as end:
                trained(tmp_path / "ended", ended=(step, number), told=told)
            assert end.value.code == 128 + number
            assert told == [Line(text=f"  stopped after step {step} of {STEPS}, with a whole checkpoint")]
            checkpoint = callbacks.last_whole_checkpoint(tmp_path / "ended")
            assert checkpoint is not None
            assert checkpoint.name == f"checkpoint-{step}"
            assert signal.getsignal(number) is signal.SIG_DFL

        assert trained(tmp_path / "ended") == whole
    finally:
        signal.signal(number, before)


def test_a_training_ended_at_its_last_step_is_finished(tmp_path: Path) -> None:
    assert trained(tmp_path / "ended", ended=(STEPS, signal.SIGTERM)) == trained(tmp_path / "whole")


def test_a_signal_that_nobody_wanted_to_hear_stays_unheard(tmp_path: Path) -> None:
    """As under nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert trained(tmp_path / "ended", ended=(2, signal.SIGHUP)) == trained(tmp_path / "whole")
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_clock_that_asks_for_checkpoints_changes_no_step(tmp_path: Path) -> None:
    """So short that each step makes one."""
    assert trained(tmp_path / "timed", minutes=1e-9) == trained(tmp_path / "whole")
    assert (tmp_path / "timed" / f"checkpoint-{STEPS - 1}.json").exists()
