"""An MLX adapter and a PEFT adapter, each as the other: the same numbers, turned.

MLX (mlx-lm) computes ``x W + scale (x lora_a) lora_b`` with lora_a in the shape (inputs, rank); PEFT has both matrices
the other way round and ``scale = alpha / rank``. Nothing is rounded, so there and back gives the same bytes.
"""

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from release.importing import weights as read_weights
from release.importing.peft_settings import LARGEST_ALPHA
from release.importing.weights import NOTHING, PREFIX
from release.values import contents, layout, tensors
from release.values.errors import PreflightError, shown
from release.values.tensors import Whole

PARTS = {"lora_a": "lora_A.weight", "lora_b": "lora_B.weight", "m": "lora_magnitude_vector"}
"""MLX's name for each part of a module's LoRA, and PEFT's."""
SIZES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}
_DEFAULT_SCALE = 20.0  # of mlx-lm, where its configuration says none


def settings(said: Mapping[str, object], weights: Path) -> dict[str, object]:
    """What ``adapter_config.json`` of MLX says, in PEFT's names; ``PreflightError`` where it is no LoRA."""
    kind = said.get("fine_tune_type", "lora")
    if kind not in ("lora", "dora"):
        raise PreflightError(
            f"fine_tune_type is {shown(kind)}: MLX saved whole weights, and only adapters are released here. Train "
            f"with --fine-tune-type lora. {NOTHING}"
        )
    lora = said.get("lora_parameters")
    given = lora if isinstance(lora, dict) else {}
    ranks = {one.shape[1] for name, one in tensors.header(weights).items() if name.endswith(".lora_a") and len(one.shape) == 2}  # fmt: skip  # noqa: E501
    rank, scale = max(ranks, default=0), given.get("scale", _DEFAULT_SCALE)
    given_rank = rank if given.get("rank") is None else given["rank"]
    if not isinstance(scale, int | float) or isinstance(scale, bool) or not 0 < scale <= LARGEST_ALPHA:
        raise PreflightError(
            f"lora_parameters.scale is {shown(scale)}, expected a number above 0 and at most {LARGEST_ALPHA:,.0f}: "
            f"write the one that it was trained with into {layout.SETTINGS}. {NOTHING}"
        )
    if ranks and [*ranks] != [given_rank]:
        raise PreflightError(
            f"lora_parameters.rank is {shown(given_rank)}, and the matrices have the ranks {sorted(ranks)}: weights "
            f"and {layout.SETTINGS} are of two trainings. Name the folder of one. {NOTHING}"
        )
    model = said.get("model")
    return {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "r": rank,
        "lora_alpha": scale * rank,
        "lora_dropout": given.get("dropout", 0),
        "use_dora": kind == "dora",
        "base_model_name_or_path": model if isinstance(model, str) else None,
    }


def to_peft(weights: Path, target: Path) -> None:
    """The weights of MLX as PEFT's; ``PreflightError`` names what cannot be carried."""
    places = tensors.header(weights)
    embeddings = {name for name, one in places.items() if _is_embedding(name)}
    if embeddings:
        raise PreflightError(
            f"{contents.shown(min(embeddings))} is a LoRA of an embedding, which MLX computes otherwise than PEFT. "
            f"Train with lora_parameters.keys that name linear layers. {NOTHING}"
        )
    tensors.write(dict(_turned(weights)), target)


def _is_embedding(name: str) -> bool:
    module = name.rpartition(".")[0]
    return module.rpartition(".")[2] in ("embed_tokens", "wte", "tok_embeddings")


def _turned(weights: Path) -> Iterator[tuple[str, Whole]]:
    for name, dtype, shape, data in tensors.tensors(weights):
        module, _, part = name.rpartition(".")
        if part not in PARTS or dtype not in SIZES:
            raise PreflightError(
                f"{contents.shown(name)} ({dtype}) is not a part of a LoRA as MLX saves one (lora_a, lora_b; m of "
                f"DoRA). Train with --fine-tune-type lora or dora. {NOTHING}"
            )
        if part != "m" and len(shape) != 2:
            raise PreflightError(
                f"{contents.shown(name)} has the shape {shape}: it is of the experts of a mixture, which PEFT keeps in "
                f"another way. Train with lora_parameters.keys that name other layers. {NOTHING}"
            )
        turned, size = _transposed(data, shape, SIZES[dtype]) if part != "m" else (data, shape)
        yield f"{PREFIX}{module}.{PARTS[part]}", Whole(dtype=dtype, shape=size, data=turned)


def to_mlx(adapter: Path, target: Path) -> None:
    """A PEFT adapter's folder as MLX's, in a folder that is there; ``PreflightError`` where MLX has no such LoRA."""
    said = json.loads((adapter / layout.SETTINGS).read_bytes())
    found = read_weights.read(adapter / layout.WEIGHTS)
    ranks = {one.rank for one in found.modules.values()}
    rslora = said.get("use_rslora") is True
    if found.whole or found.tokens or any(one.embedding or one.biased for one in found.modules.values()):
        raise PreflightError(
            "MLX has no LoRA with whole modules, tokens, embeddings or biases. Leave --as mlx out: it is written as "
            f"PEFT's. {NOTHING}"
        )
    pattern = said.get("alpha_pattern") or {}
    alphas = {float(pattern.get(name, said["lora_alpha"])) for name in found.modules}  # as an import writes it
    if len(ranks) > 1 or len(alphas) > 1:
        raise PreflightError(
            "MLX has one rank and one scale for every module, and this adapter has several. Leave --as mlx out: it is "
            f"written as PEFT's. {NOTHING}"
        )
    rank, alpha = ranks.pop(), alphas.pop()
    names = {theirs: ours for ours, theirs in PARTS.items()}
    there: dict[str, Whole] = {}
    for name, dtype, shape, data in tensors.tensors(adapter / layout.WEIGHTS):
        part = next(one for one in names if name.endswith(f".{one}"))
        turned, size = (data, shape) if names[part] == "m" else _transposed(data, shape, SIZES[dtype])
        key = f"{name.removeprefix(PREFIX).removesuffix(part)}{names[part]}"
        there[key] = Whole(dtype=dtype, shape=size, data=turned)
    tensors.write(there, target / "adapters.safetensors")
    settings = {
        "fine_tune_type": "dora" if said.get("use_dora") else "lora",
        "model": said.get("base_model_name_or_path"),
        "num_layers": -1,  # every layer: one without numbers in the file stays as it is
        "lora_parameters": {
            "rank": rank,
            "scale": alpha / (math.sqrt(rank) if rslora else rank),
            "dropout": said.get("lora_dropout", 0),
            "keys": sorted({name.partition("layers.")[2].partition(".")[2] for name in found.modules}),
        },
    }
    (target / layout.SETTINGS).write_text(json.dumps(settings, indent=4, sort_keys=True), "utf-8")


def _transposed(data: bytes, shape: list[int], size: int) -> tuple[bytes, list[int]]:
    """A matrix turned, by the bytes of its numbers: bfloat16 is no type of numpy."""
    numbers = np.frombuffer(data, f"<u{size}").reshape(shape)
    return np.ascontiguousarray(numbers.T).tobytes(), [shape[1], shape[0]]
