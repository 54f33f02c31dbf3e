"""A base of which each of several processes holds a share (FSDP2, as accelerate makes it), and the whole adapter on it.

What a process has of a tensor is then a part of it. Who saves that part, or nothing, hears of it when somebody loads
the adapter: so every tensor is asked of all processes, and compared with what was made before anything was shared.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from release.values import tensors
from release.values.errors import PreflightError

if TYPE_CHECKING:
    import torch
    from trl import SFTTrainer

Shapes = Mapping[str, tuple[int, ...]]
"""Of the adapter's tensors, by name."""


def trained(model: "torch.nn.Module") -> "dict[str, torch.Tensor]":
    """The adapter's tensors by name, whole, on the processor; where processes share the model all of them must ask."""
    from torch.distributed.tensor import DTensor

    found: dict[str, torch.Tensor] = {}
    for name, one in model.named_parameters():
        if one.requires_grad:
            whole = one.detach()
            found[name] = (whole.full_tensor() if isinstance(whole, DTensor) else whole).cpu().contiguous()
    return found


def shapes(model: "torch.nn.Module") -> Shapes:
    """Of the adapter's tensors before anything is shared."""
    return shapes_of({name: one for name, one in model.named_parameters() if one.requires_grad})


def shapes_of(found: "Mapping[str, torch.Tensor]") -> Shapes:
    return {name: tuple(one.shape) for name, one in found.items()}


def whole(found: "Mapping[str, torch.Tensor]", made: Shapes) -> "Mapping[str, torch.Tensor]":
    """These tensors, if they are the whole adapter that was made with such shapes; ``PreflightError`` if not.

    No verdict: how it was saved says nothing of what was learned.
    """
    _refuse(shapes_of(found), made)
    return found


def _refuse(there: Shapes, made: Shapes) -> None:
    wrong = [f"{name} is missing" for name in sorted(made.keys() - there.keys())]
    wrong += [f"{name} is none of its tensors" for name in sorted(there.keys() - made.keys())]
    other = sorted(name for name in made.keys() & there.keys() if there[name] != made[name])
    wrong += [f"{name} has shape {list(there[name])} instead of {list(made[name])}" for name in other]
    if wrong or not made:
        raise PreflightError(
            f"The trained adapter is not whole: {len(wrong)} of {len(made)} tensors are wrong, such as "
            f"{'; '.join(wrong[:3]) or 'that there are none'}. So it is where processes that share a model save a part "
            "of it. There is no adapter to judge and nothing was published. Run again: it goes on from the last "
            "checkpoint. If it ends so again, train without training.fsdp, and report it with train.log."
        )


def refuse_partial(weights: Path, learned: "Mapping[str, torch.Tensor]") -> None:
    """Stop where the file that PEFT wrote lacks a tensor of the adapter, or has it in another shape."""
    there = {name: tuple(one.shape) for name, one in tensors.header(weights).items()}
    made = {re.sub(r"\.default(?=\.|$)", "", name): one for name, one in shapes_of(learned).items() if "lora_" in name}
    _refuse({name: shape for name, shape in there.items() if name in made}, made)


def state(model: "torch.nn.Module") -> "dict[str, torch.Tensor]":
    """What of the model's state this process has whole."""
    from torch.distributed.tensor import DTensor

    return {name: one for name, one in model.state_dict().items() if not isinstance(one, DTensor)}


def trainer_class(trainer: "type[SFTTrainer]") -> "type[SFTTrainer]":
    """The same over a base that is shared out: the adapter's tensors are whole where they are saved."""

    class Sharded(trainer):  # type: ignore[misc]
        is_fsdp_enabled: bool

        def create_accelerator_and_postprocess(self) -> None:
            """On a processor accelerate passes its plugin over: each process would hold all of the base."""
            super().create_accelerator_and_postprocess()
            if not self.is_fsdp_enabled:
                from accelerate import PartialState
                from accelerate.utils import DistributedType, FullyShardedDataParallelPlugin

                for state in (PartialState(), self.accelerator.state):  # the second is made of the first each time
                    state.distributed_type = DistributedType.FSDP
                self.accelerator.state.fsdp_plugin = FullyShardedDataParallelPlugin(**self.args.fsdp_plugin_args)
                self.is_fsdp_enabled = True

        def _prepare_for_training(self, *arguments: object, **options: object) -> "tuple[torch.nn.Module, object]":
            made: tuple[torch.nn.Module, object] = super()._prepare_for_training(*arguments, **options)
            refuse_unshared(made[0])
            return made

        def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
            """The adapter alone; the Trainer would gather the whole base in the first process, to write none of it."""
            self._save(output_dir or self.args.output_dir, state_dict=trained(self.model))

        def _load_from_checkpoint(self, checkpoint: str, model: "torch.nn.Module | None" = None) -> None:
            if unshared(self.model):  # after its last step nothing is trained, so nothing was shared out
                _load(self.model, checkpoint)
            else:
                super()._load_from_checkpoint(checkpoint, model)

    return Sharded


def unshared(model: "torch.nn.Module") -> list[str]:
    """The base's weights of which this process has all, by name."""
    from torch.distributed.tensor import DTensor

    return [name for name, one in model.named_parameters() if not (one.requires_grad or isinstance(one, DTensor))]


def refuse_unshared(model: "torch.nn.Module") -> None:
    """Stop where accelerate left weights out: with no more than a warning each process would hold all of them."""
    import accelerate

    if names := unshared(model):
        raise PreflightError(
            f"training.fsdp is true, but accelerate {accelerate.__version__} shared {len(names)} of the base's weights "
            f"not out, such as {names[0]}: each process holds all of them. Take training.fsdp out, or use another base."
        )


def _load(model: "torch.nn.Module", checkpoint: str) -> None:
    """Give a whole model the adapter of a checkpoint."""
    from peft import load_peft_weights, set_peft_model_state_dict

    set_peft_model_state_dict(model, load_peft_weights(checkpoint, device="cpu"))
