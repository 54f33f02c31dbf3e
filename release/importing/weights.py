"""What the tensors of a LoRA in PEFT's names say by themselves: its modules with their ranks, and what is wrong."""

import math
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from release.values import contents, tensors
from release.values.errors import PreflightError
from release.values.tensors import Place

PREFIX = "base_model.model."
LORA = re.compile(
    rf"{re.escape(PREFIX)}(?P<module>.+)\."
    r"(?P<part>lora_A\.weight|lora_B\.weight|lora_B\.bias|lora_embedding_A|lora_embedding_B|lora_magnitude_vector)"
)
TOKENS = re.compile(rf"{re.escape(PREFIX)}(?P<module>.+)\.token_adapter\.trainable_tokens_delta")
NAME = re.compile(r"[A-Za-z0-9_.]{1,1000}")
DTYPES = {"F64": ("<u8", 52, 11), "F32": ("<u4", 23, 8), "F16": ("<u2", 10, 5), "BF16": ("<u2", 7, 8)}
"""The types that adapters are kept in: how to look at their bits, and how many are the fraction and the exponent."""
NOTHING = "Nothing was imported."
WRAPPED = {
    "_orig_mod.": "torch.compile",
    "_fsdp_wrapped_module.": "FSDP",
    ".default.": "PEFT's own wrapper, as a state_dict has it",
    "_checkpoint_wrapped_module.": "activation checkpointing",
}
"""What stands in a tensor's name where somebody saved a model that was still wrapped, and who wraps so."""


@dataclass(frozen=True, kw_only=True)
class Module:
    """A module with a LoRA on it."""

    rank: int
    inputs: int
    outputs: int
    embedding: bool
    dora: bool
    biased: bool


@dataclass(frozen=True, kw_only=True)
class Tensors:
    """A LoRA's tensors, read for what they are."""

    modules: Mapping[str, Module]
    """By the module's name in the base."""
    tokens: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """Shape of what was learned of single tokens, by the embedding's name."""
    whole: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """Shape of each parameter of the base that was saved whole."""
    dtypes: tuple[str, ...] = ()
    count: int = 0
    parameters: int = 0


def read(path: Path) -> Tensors:
    """The LoRA in a safetensors file; ``PreflightError`` for one that is empty, does nothing or is broken."""
    places = tensors.header(path)
    if not places or all(0 in one.shape for one in places.values()):
        raise PreflightError(_empty(path, len(places)))
    if odd := sorted({one.dtype for one in places.values()} - DTYPES.keys()):
        raise PreflightError(
            f"The adapter has tensors of type {', '.join(odd)}, which PEFT does not load as a LoRA. Save it in "
            f"float32, float16 or bfloat16. {NOTHING}"
        )
    found = _sorted(places)
    _finite_and_not_zero(path, places, alone=not found.tokens and not found.whole)
    return found


def _sorted(places: Mapping[str, Place]) -> Tensors:
    """Each tensor by what it is of; ``PreflightError`` for one that PEFT has no place for."""
    parts: dict[str, dict[str, Place]] = {}
    tokens, whole = dict[str, tuple[int, ...]](), dict[str, tuple[int, ...]]()
    for name, place in places.items():
        if found := LORA.fullmatch(name):
            parts.setdefault(found["module"], {})[found["part"]] = place
        elif found := TOKENS.fullmatch(name):
            tokens[found["module"]] = tuple(place.shape)
        elif name.startswith(PREFIX) and ".lora_" not in name and not _wrapping(name):
            whole[name.removeprefix(PREFIX)] = tuple(place.shape)
        else:
            raise PreflightError(_strange(name))
    if not parts:
        what = f"The adapter has {len(places)} tensors and no LoRA among them."
        raise PreflightError(f"{what} Only LoRAs are released here. {NOTHING}")
    if wrong := [name for name in (*parts, *tokens, *whole) if _wrapping(f".{name}.") or not NAME.fullmatch(name)]:
        raise PreflightError(_strange(wrong[0]))
    return Tensors(
        modules={name: _module(name, found) for name, found in parts.items()},
        tokens=tokens,
        whole=whole,
        dtypes=tuple(sorted({one.dtype for one in places.values()})),
        count=len(places),
        parameters=sum(math.prod(one.shape) for one in places.values()),
    )


def _empty(path: Path, count: int) -> str:
    what = "holds no tensor" if not count else f"holds {count} tensors, all of them empty"
    return (
        f"The adapter is empty: {path.name} has {path.stat().st_size:,} bytes and {what}. So DeepSpeed ZeRO-3 and FSDP "
        "leave it where the shards were not gathered before saving. Save it anew: with ZeRO-3 set "
        "stage3_gather_16bit_weights_on_model_save: true, with FSDP the state dict type FULL_STATE_DICT; or make the "
        f"weights of the last checkpoint by `python zero_to_fp32.py` in its folder, where you trust it. {NOTHING}"
    )


def _strange(name: str) -> str:
    shown, who = contents.shown(name), _wrapping(name)
    if who:
        return (
            f"A tensor is called {shown}: it was saved while the model was wrapped by {who}, and PEFT would skip it "
            f"silently. Unwrap the model and save it with model.save_pretrained(FOLDER). {NOTHING}"
        )
    return (
        f"A tensor is called {shown}, which PEFT has no place for in a LoRA: it would be skipped silently. Save the "
        f"adapter with PEFT's model.save_pretrained(FOLDER). {NOTHING}"
    )


def _wrapping(name: str) -> str:
    return next((who for part, who in WRAPPED.items() if part in name), "")


def _module(name: str, parts: Mapping[str, Place]) -> Module:
    """One module's LoRA; ``PreflightError`` where a part is missing or the sizes are not those of one."""
    embedding = "lora_embedding_A" in parts or "lora_embedding_B" in parts
    names = ("lora_embedding_A", "lora_embedding_B") if embedding else ("lora_A.weight", "lora_B.weight")
    missing = [one for one in names if one not in parts]
    shapes = [parts[one].shape for one in names if one in parts]
    if missing or any(len(shape) != 2 for shape in shapes):
        what = f"lacks {missing[0]}" if missing else f"has the shapes {shapes}"
        raise PreflightError(
            f"{contents.shown(name)} {what}: the adapter was not saved whole. Save it again with "
            f"model.save_pretrained(FOLDER), after gathering what is sharded. {NOTHING}"
        )
    (rank, inputs), (outputs, other) = shapes
    if rank != other or not rank:
        raise PreflightError(
            f"{contents.shown(name)} has the ranks {rank} and {other} in its two matrices: they are not of one LoRA. "
            f"Save the adapter again. {NOTHING}"
        )
    return Module(
        rank=rank,
        inputs=inputs,
        outputs=outputs,
        embedding=embedding,
        dora="lora_magnitude_vector" in parts,
        biased="lora_B.bias" in parts,
    )


def _finite_and_not_zero(path: Path, places: Mapping[str, Place], *, alone: bool) -> None:
    """Every number is one, and not every lora_B is zero; by the bits, for numpy has no bfloat16."""
    effect = False
    with path.open("rb") as file:
        for name, place in places.items():
            bits, fraction, exponent = DTYPES[place.dtype]
            effective = ".lora_B." in name or name.endswith(("lora_embedding_B", "trainable_tokens_delta"))
            for values in _blocks(file.fileno(), place, bits):
                kept = values & ((1 << (fraction + exponent)) - 1)  # without the sign: -0.0 is a zero too
                if bool((kept >> fraction == (1 << exponent) - 1).any()):
                    raise PreflightError(
                        f"{contents.shown(name)} holds NaN or infinity: the training diverged. Import an earlier "
                        f"checkpoint, or train again with a smaller learning rate. {NOTHING}"
                    )
                effect = effect or (effective and bool(kept.any()))
    if alone and not effect:
        raise PreflightError(
            "Every lora_B of the adapter is zero, as before the first step: it changes nothing, and the base would "
            f"answer in its name. Save it after training, from the model that was trained. {NOTHING}"
        )


def _blocks(file: int, place: Place, bits: str) -> Iterator["np.ndarray[tuple[int], np.dtype[np.unsignedinteger]]"]:
    for at in range(place.begin, place.end, tensors.BLOCK):
        yield np.frombuffer(os.pread(file, min(tensors.BLOCK, place.end - at), at), bits)


def endings(names: Iterable[str]) -> tuple[str, ...]:
    """The last parts of module names, each once, in their order."""
    return tuple(dict.fromkeys(name.rpartition(".")[2] for name in names))
