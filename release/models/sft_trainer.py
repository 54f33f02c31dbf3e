"""TRL's trainer with what it lacks here: less work for the loss, and a resume after which nothing is otherwise."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from release.config.settings import Config, OnDivergence
from release.models import callbacks, divergence, loss, together
from release.running import launched
from release.values.events import Line, Say

if TYPE_CHECKING:
    import torch
    from transformers import Trainer, TrainerCallback, TrainerState, TrainingArguments
    from trl import SFTTrainer


def trainer_class() -> "type[SFTTrainer]":
    """SFTTrainer with logits only where something is learned, and with a resume that keeps the adapter's precision."""
    import torch
    from trl import SFTTrainer

    class Trainer(SFTTrainer):  # type: ignore[misc]  # trl ships no types
        fused = False
        """Whether the model's own forward makes the loss, as Liger's does."""

        def compute_loss(
            self,
            model: torch.nn.Module,
            inputs: dict[str, torch.Tensor],
            return_outputs: bool = False,  # noqa: ARG002  transformers' signature
            num_items_in_batch: torch.Tensor | None = None,
        ) -> torch.Tensor:
            """Mean cross entropy over the learned tokens of the whole optimizer step."""
            total, learned = loss.summed(model, inputs, inputs.pop("labels"), fused=self.fused)
            mean: torch.Tensor = total / (learned if num_items_in_batch is None else num_items_in_batch)
            if num_items_in_batch is not None:  # of all processes, whose gradients are averaged
                mean = mean * launched.count()
            return mean

        def _load_from_checkpoint(self, *arguments: object, **options: object) -> None:
            """PEFT loads a checkpoint's adapter in float32; over a 4-bit base TRL trains it in bfloat16."""
            super()._load_from_checkpoint(*arguments, **options)
            if getattr(self.model, "is_loaded_in_4bit", False):
                for name, parameter in self.model.named_parameters():
                    other = parameter.requires_grad and parameter.dtype != torch.bfloat16
                    if other and "lora_magnitude_vector" not in name:
                        parameter.data = parameter.data.to(torch.bfloat16)

    return Trainer


def watched_class(scale: Callable[[int], float] | None) -> "type[SFTTrainer]":
    """The same, and it knows each step's loss and gradient.

    ``scale`` is what the schedule's learning rate after so many steps is multiplied by.
    """
    import torch

    class Watched(trainer_class()):  # type: ignore[misc]
        step_loss: torch.Tensor | float = 0.0
        step_norm: torch.Tensor | float = 0.0

        def training_step(self, *arguments: object, **options: object) -> torch.Tensor:
            lost: torch.Tensor = super().training_step(*arguments, **options)
            self.step_loss = self.step_loss + lost
            return lost

        def _get_grad_norm(self, *arguments: object, **options: object) -> torch.Tensor | float:
            self.step_norm = super()._get_grad_norm(*arguments, **options)
            return self.step_norm

        def create_scheduler(self, *arguments: object, **options: object) -> torch.optim.lr_scheduler.LambdaLR:
            schedule: torch.optim.lr_scheduler.LambdaLR = super().create_scheduler(*arguments, **options)
            if scale is not None:
                schedule.lr_lambdas = [_scaled(one, scale) for one in schedule.lr_lambdas]
                _to_schedule(schedule)
            return schedule

        def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
            """A checkpoint holds the learning rate that its next step would have had without ``scale``."""
            super()._load_optimizer_and_scheduler(checkpoint)
            if scale is not None:
                _to_schedule(self.lr_scheduler)

    return Watched


def _scaled(schedule: Callable[[int], float], scale: Callable[[int], float]) -> Callable[[int], float]:
    return lambda step: schedule(step) * scale(step)


def _to_schedule(schedule: "torch.optim.lr_scheduler.LambdaLR") -> None:
    """Give the optimizer the learning rate of the schedule's own step."""
    rates = [
        base * factor(schedule.last_epoch) for base, factor in zip(schedule.base_lrs, schedule.lr_lambdas, strict=True)
    ]
    for group, rate in zip(schedule.optimizer.param_groups, rates, strict=True):
        group["lr"] = rate
    schedule._last_lr = rates  # noqa: SLF001  what the Trainer logs


def guard(config: Config, say: Say) -> "TrainerCallback":
    """Looks at each step's loss and gradient, and ends the training with ``Diverged`` where it went wrong.

    Where that leads back, it also keeps the checkpoints that may be gone back to.
    """
    from transformers import TrainerCallback
    from transformers.trainer_callback import ExportableState

    rule = config.training.on_divergence or OnDivergence()

    class Guard(TrainerCallback, ExportableState):  # type: ignore[misc]  # transformers' callbacks are untyped
        seen = divergence.Watched()
        trainer: Any
        """Whose steps they are."""

        def state(self) -> dict[str, Any]:
            """What a checkpoint's trainer_state.json holds of it."""
            return {"args": {}, "attributes": asdict(self.seen)}

        def on_train_begin(self, _args: object, state: "TrainerState", _control: object, **_: object) -> None:
            kept = state.stateful_callbacks.get(type(self).__name__, {}).get("attributes")
            self.seen = divergence.Watched(**kept) if state.global_step and kept else divergence.Watched()

        def on_step_end(self, _args: object, state: "TrainerState", _control: object, **_: object) -> None:
            loss, self.trainer.step_loss = together.mean(float(self.trainer.step_loss)), 0.0
            norm, clipped = float(self.trainer.step_norm), config.training.max_grad_norm
            found = divergence.look(self.seen, rule, state.global_step, loss, norm, clipped)
            if found and (found.limit is None or rule.action != "warn"):
                raise found
            if found:
                say(Line(text=f"  {divergence.warning(found)}"))
                self.seen = divergence.Watched()

        def on_save(self, args: "TrainingArguments", state: "TrainerState", _control: object, **_: object) -> None:
            if config.training.on_divergence is not None and not launched.rank():
                ended = bool(self.trainer.heard)  # so the evaluation of this step may be owed, which could lead back
                sure = divergence.sure(self.seen, state.global_step - ended, config)
                callbacks.thin(Path(args.output_dir), sure // state.save_steps * state.save_steps)

    return Guard()


def running_loss(trainer: "Trainer") -> "TrainerCallback":
    """Keeps the sum of the steps' losses since the last log in each checkpoint.

    The Trainer begins a new sum where it goes on: the loss that it logs next would be the mean of fewer steps.
    """
    import torch
    from transformers import TrainerCallback
    from transformers.trainer_callback import ExportableState

    class RunningLoss(TrainerCallback, ExportableState):  # type: ignore[misc]  # transformers' callbacks are untyped
        def state(self) -> dict[str, Any]:
            """What a checkpoint's trainer_state.json holds of it."""
            summed = getattr(trainer, "_tr_loss", None)  # there is none before training begins
            if summed is None:
                return {"args": {}, "attributes": {}}
            return {
                "args": {},
                "attributes": {"summed": summed.item(), "logged": trainer._globalstep_last_logged},  # noqa: SLF001
            }

        def on_step_end(self, _args: object, _state: object, _control: object, **_: object) -> None:
            if launched.count() > 1:  # of which only the first one's sum is kept
                trainer._tr_loss.fill_(together.mean(trainer._tr_loss.item()))  # noqa: SLF001

        def on_train_begin(self, _args: object, state: "TrainerState", _control: object, **_: object) -> None:
            kept = state.stateful_callbacks.get(type(self).__name__, {}).get("attributes")
            if state.global_step and kept:
                trainer._tr_loss = torch.tensor(kept["summed"], device=trainer.args.device)  # noqa: SLF001
                trainer._globalstep_last_logged = kept["logged"]  # noqa: SLF001

    return RunningLoss()
