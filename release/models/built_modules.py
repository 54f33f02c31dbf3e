"""What each module of a built model is: its text model, linear layers, fused experts, what is kept in four bits."""

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel


def excluded(model: "PreTrainedModel") -> str | None:
    """For ``LoraConfig.exclude_modules``: what of a built model is not its text model; None where all of it is.

    LoRA on a vision tower would never be trained by text, and inference engines refuse it.
    """
    prefix = _text_prefix(model)
    output = name_of(model, model.get_output_embeddings())
    outside = (name for name, module in model.named_modules() if linear_size(module) and name != output)
    if not prefix or all(name.startswith(f"{prefix}.") for name in outside):
        return None
    return rf"(?!{re.escape(prefix)}\.).*"


def quantizable(model: "PreTrainedModel") -> int:
    """Weights of the layers that transformers hands to bitsandbytes, by transformers' own rule."""
    from torch import nn
    from transformers.pytorch_utils import Conv1D
    from transformers.quantizers.base import HfQuantizer
    from transformers.quantizers.quantizers_utils import should_convert_module

    skipped = HfQuantizer.get_modules_to_not_convert(model, None, model._keep_in_fp32_modules)  # noqa: SLF001
    return sum(
        module.weight.numel()
        for name, module in model.named_modules()
        # integrations/bitsandbytes.py, replace_with_bnb_linear: a subclass of Linear is left as it is
        if (type(module) is nn.Linear or isinstance(module, Conv1D)) and should_convert_module(name, skipped)
    )


def linear_size(module: "torch.nn.Module") -> tuple[int, int] | None:
    """Inputs and outputs of a linear layer; None for what is none."""
    from torch import nn
    from transformers.pytorch_utils import Conv1D

    if isinstance(module, nn.Linear) and "router" not in type(module).__name__.lower():  # a router returns several
        return module.in_features, module.out_features
    if isinstance(module, Conv1D):
        return int(module.weight.shape[0]), int(module.weight.shape[1])
    return None


def fused(module: "torch.nn.Module") -> list[tuple[int, ...]]:
    """The shapes of the matrices that a module holds of all its experts: experts first."""
    if "expert" not in type(module).__name__.lower():
        return []
    own = (tuple(parameter.shape) for parameter in module.parameters(recurse=False))
    return [shape for shape in own if len(shape) == 3]


def fused_names(model_type: str) -> tuple[str, ...]:
    """What PEFT rewrites to ``target_parameters`` (peft 0.21, convert_peft_config_for_transformers)."""
    from peft.utils import transformers_weight_conversion as peft
    from transformers.conversion_mapping import _MODEL_TO_CONVERSION_PATTERN

    pattern = _MODEL_TO_CONVERSION_PATTERN.get(model_type)
    return tuple(peft._MOE_TARGET_MODULE_MAPPING.get(pattern, ()))  # noqa: SLF001  PEFT has no public word for it


def _text_prefix(model: "PreTrainedModel") -> str:
    """The name of the module that is the text model; empty where it is the whole."""
    return name_of(model, model.get_decoder()) or ""


def name_of(model: "PreTrainedModel", wanted: "torch.nn.Module | None") -> str | None:
    """The name of a module of this model; None where it has no such module."""
    return next((name for name, module in model.named_modules() if module is wanted), None)
