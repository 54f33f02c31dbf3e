"""A base model built of its config.json on torch's meta device, and what is kept of it; a process of its own."""

import inspect
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from release.models import built_modules, config_json
from release.models.architecture import Architecture, key
from release.running import child
from release.values.artifacts import write_atomically
from release.values.errors import PreflightError

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel

EXPERTS_PER_TOKEN = ("num_experts_per_tok", "num_experts_per_token", "moe_topk", "moe_top_k", "top_k_experts", "moe_k")
SHARED = ("shared_expert_intermediate_size", "moe_shared_expert_intermediate_size", "shared_intermediate_size")


def build(path: Path) -> Architecture:
    """The architecture of a config.json, or of the folder that holds one; ``PreflightError`` why there is none."""
    import torch
    import transformers
    from transformers import AutoModelForCausalLM

    config = config_json.loaded(path)
    try:
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(config)
        seen = _seen(model, config)
    except ImportError as error:
        raise PreflightError(
            f"transformers {transformers.__version__} builds it with a library that this program does not bring: "
            f"{config_json.brief(error)}. Use another base model, such as the text model of its family."
        ) from None
    except Exception as error:  # noqa: BLE001  every architecture checks its values in its own way
        raise PreflightError(
            f"transformers {transformers.__version__} cannot build a model of its config.json: "
            f"{config_json.brief(error)}. The file is damaged, or is for another version. "
            "Use another revision, or another base model."
        ) from None
    if "logits_to_keep" not in inspect.signature(model.forward).parameters:
        raise PreflightError(
            f"{type(model).__name__} cannot give the logits of chosen positions alone (logits_to_keep), and training "
            "asks for those. Use another base model."
        )
    return seen


def _seen(model: "PreTrainedModel", config: "PretrainedConfig") -> Architecture:
    """All that is kept of a built model."""
    from torch import nn

    text = model.config.get_text_config(decoder=True)
    exclude, output = built_modules.excluded(model), built_modules.name_of(model, model.get_output_embeddings())
    outside = re.compile(exclude or r"(?!)")
    inside = {name: module for name, module in model.named_modules() if name and not outside.fullmatch(name)}
    embeddings = {
        name: (one.num_embeddings, one.embedding_dim) for name, one in inside.items() if isinstance(one, nn.Embedding)
    }
    others = {name: one for name, one in inside.items() if name != output and name not in embeddings}
    sizes = ((name, built_modules.linear_size(one)) for name, one in others.items())
    linear = {name: size for name, size in sizes if size}
    experts = {name: found for name, module in inside.items() if (found := built_modules.fused(module))}
    per_token = _number(text, *EXPERTS_PER_TOKEN)
    hidden = _number(text, "hidden_size")
    own = model.get_output_embeddings()
    return Architecture(
        name=type(model).__name__,
        model_type=text.model_type,
        linear=linear,
        embeddings=embeddings,
        output=output,
        others={name: type(one).__name__ for name, one in others.items() if name not in linear},
        fused=tuple(experts),
        fused_names=built_modules.fused_names(model.config.model_type),
        exclude=exclude,
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        in_linear=built_modules.quantizable(model),
        active=sum(a * b for a, b in linear.values()) + sum(_used(found, per_token) for found in experts.values()),
        layers=_number(text, "num_hidden_layers"),
        hidden=hidden,
        heads=(heads := _number(text, "num_attention_heads")),
        head_dim=_number(text, "head_dim") or hidden // max(1, heads),
        intermediate=_intermediate(text, list(experts.values()), per_token, linear.values()),
        experts_per_token=per_token if experts else 0,
        vocab=_number(text, "vocab_size"),
        tied=own is not None and own.weight is model.get_input_embeddings().weight,
        dtype=_dtype(config, text),
    )


def _used(shapes: Iterable[tuple[int, ...]], per_token: int) -> int:
    """Weights of fused experts that one token goes through; all of them where nobody says how many."""
    return sum((min(per_token, shape[0]) or shape[0]) * shape[1] * shape[2] for shape in shapes)


def _intermediate(
    text: "PretrainedConfig",
    experts: Sequence[Sequence[tuple[int, ...]]],
    per_token: int,
    linear: Iterable[tuple[int, int]],
) -> int:
    """The width of a layer's feed-forward part as one token meets it."""
    if experts:
        hidden = _number(text, "hidden_size")
        wide = min(shape[1] * shape[2] for shapes in experts for shape in shapes) // max(1, hidden)
        shared = _number(text, *SHARED) or wide * _number(text, "n_shared_experts", "moe_num_shared_experts")
        return wide * max(1, per_token) + shared
    named = _number(text, "intermediate_size", "ffn_dim", "ffn_hidden_size", "n_inner")
    return named or max((max(size) for size in linear), default=0)


def _number(config: "PretrainedConfig", *names: str) -> int:
    """The first of these that the configuration says; the largest where it says one for each layer; 0 for none."""
    for name in names:
        try:
            found = getattr(config, name, None)
        except RuntimeError:  # so transformers says that layers differ in this
            found = [getattr(config.per_layer_config[layer], name, None) for layer in range(config.num_hidden_layers)]
        numbers = [one for one in (found if isinstance(found, list | tuple) else [found]) if isinstance(one, int)]
        if numbers:
            return max(numbers)
    return 0


def _dtype(config: "PretrainedConfig", text: "PretrainedConfig") -> str | None:
    said = getattr(config, "dtype", None) or getattr(text, "dtype", None)
    return None if said is None else str(said).removeprefix("torch.")


def _answer(folder: Path, kept: Path) -> None:
    """Build, and keep what came out or why nothing did."""
    try:
        said: dict[str, object] = {"built": asdict(build(folder))}
    except PreflightError as refused:
        said = {"refused": str(refused)}
    # not sorted, as other records are: the order is the model's
    write_atomically(kept, json.dumps({"key": key(folder), **said}).encode())


if __name__ == "__main__":
    child.main(lambda arguments, _: _answer(Path(arguments[0]), Path(arguments[1])))
