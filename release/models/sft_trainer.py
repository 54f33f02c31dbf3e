"""TRL's trainer with what it lacks here: less work for the loss, and a resume after which nothing is otherwise."""

from typing import TYPE_CHECKING, Any

from release.models import callbacks, loss
from release.values.errors import GatesFailed

if TYPE_CHECKING:
    from transformers import Trainer, TrainerCallback, TrainerState
    from trl import SFTTrainer


def trainer_class() -> "type[SFTTrainer]":
    """SFTTrainer with logits only where something is learned, and with a resume that keeps the adapter's precision."""
    import torch
    from trl import SFTTrainer

    class Trainer(SFTTrainer):  # type: ignore[misc]  # trl ships no types
        def compute_loss(
            self,
            model: torch.nn.Module,
            inputs: dict[str, torch.Tensor],
            return_outputs: bool = False,  # noqa: ARG002  transformers' signature
            num_items_in_batch: torch.Tensor | None = None,
        ) -> torch.Tensor:
            """Mean cross entropy over the learned tokens of the whole optimizer step."""
            total, learned = loss.summed(model, inputs, inputs.pop("labels"))
            mean: torch.Tensor = total / (learned if num_items_in_batch is None else num_items_in_batch)
            if not torch.isfinite(mean):
                raise GatesFailed(callbacks.diverged(f"the loss is {mean.item()}", self.state.global_step))
            return mean

        def _load_from_checkpoint(self, *arguments: object, **options: object) -> None:
            """PEFT loads a checkpoint's adapter in float32; over a 4-bit base TRL trains it in bfloat16."""
            super()._load_from_checkpoint(*arguments, **options)
            if getattr(self.model, "is_loaded_in_4bit", False):
                for name, parameter in self.model.named_parameters():
                    if parameter.requires_grad and "lora_magnitude_vector" not in name:
                        parameter.data = parameter.data.to(torch.bfloat16)

    return Trainer


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

        def on_train_begin(self, _args: object, state: "TrainerState", _control: object, **_: object) -> None:
            kept = state.stateful_callbacks.get(type(self).__name__, {}).get("attributes")
            if state.global_step and kept:
                trainer._tr_loss = torch.tensor(kept["summed"], device=trainer.args.device)  # noqa: SLF001
                trainer._globalstep_last_logged = kept["logged"]  # noqa: SLF001

    return RunningLoss()
