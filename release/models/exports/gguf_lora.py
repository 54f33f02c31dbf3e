"""A PEFT LoRA as llama.cpp loads one: each module's place in the base's GGUF is found by its weights, not by a table.

llama.cpp keeps some matrices with their rows in another order (Llama's q and k, for its rotary embedding; GPT-NeoX's
fused attention). A LoRA in the order of transformers would load there without a word and answer wrongly. So the order
is read off the base itself: the rows of what was converted are found again among those of what it was made of.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from release.models.architecture import ending
from release.values.errors import PreflightError

if TYPE_CHECKING:
    import numpy.typing as npt
    from torch import nn

    Matrix = npt.NDArray[np.floating[Any]]

TAKE_OUT = "Take the forms that load an adapter in llama.cpp out of serving, or serve it `merged: true`."
TYPES = ("F32", "F16")
"""File types of a base in which its rows can be found again: rounded, and not quantized."""
ADAPTER = "default"  # the name under which PEFT has the adapter
Key = tuple[tuple[int, ...], str, bytes]
"""Shape and type of a matrix, and a digest of its rows in no order."""


@dataclass(frozen=True, kw_only=True)
class Placed:
    """An adapted module and where its matrix is in the GGUF."""

    module: str
    tensor: str
    rows: tuple[int, ...]
    """For each row of the tensor, which row of the module's matrix it is."""
    settled: bool
    """Whether there is one such order only: no two rows of the matrix are the same."""


def write(wrapped: "nn.Module", base_gguf: Path, target: Path) -> None:
    """The adapter on a PEFT model over its unmerged base → a GGUF LoRA for ``base_gguf``, converted from that base.

    In float32, as PEFT saves it. ``PreflightError`` names what cannot be carried.
    """
    from gguf import GGUFReader, GGUFWriter

    layers = dict(_adapted(wrapped))
    reader = GGUFReader(str(base_gguf))
    matrices = {one.name: one.data for one in reader.tensors if one.data.ndim == 2}
    placed = place({name: _matrix(layer.get_base_layer()) for name, layer in layers.items()}, matrices)
    alpha = float(next(iter(layers.values())).lora_alpha[ADAPTER])
    field = reader.get_field("general.architecture")
    assert field is not None  # every GGUF has it
    partial = target.with_name(f"{target.name}.partial")
    writer = GGUFWriter(str(partial), str(field.contents()))
    writer.add_string("general.type", "adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", alpha)
    for one in placed:
        a, b = _factors(layers[one.module], alpha)
        writer.add_tensor(f"{one.tensor}.lora_a", a)
        writer.add_tensor(f"{one.tensor}.lora_b", np.ascontiguousarray(b[list(one.rows)]))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    partial.replace(target)


def _adapted(wrapped: "nn.Module") -> Iterator[tuple[str, Any]]:
    """PEFT's layers by the module's own name; what llama.cpp cannot carry is refused."""
    from peft.tuners.lora import LoraLayer
    from peft.utils import ModulesToSaveWrapper

    for name, module in wrapped.named_modules():
        short = name.removeprefix("base_model.model.")
        if isinstance(module, ModulesToSaveWrapper):
            raise PreflightError(f"{short} was trained whole, which a LoRA of llama.cpp cannot carry. {TAKE_OUT}")
        if not isinstance(module, LoraLayer):
            continue
        if module.lora_embedding_A:
            raise PreflightError(f"{short} is an embedding, whose LoRA llama.cpp cannot carry. {TAKE_OUT}")
        if any(module.use_dora.values()) or any(module.lora_bias.values()):
            raise PreflightError(f"{short} has DoRA or a bias of its LoRA, which llama.cpp cannot carry. {TAKE_OUT}")
        yield short, module


def _factors(layer: Any, alpha: float) -> tuple["Matrix", "Matrix"]:
    """lora_a and lora_b, whose product llama.cpp multiplies by alpha / rank; lora_b makes up for another scale."""
    a, b = (one[ADAPTER].weight.detach().float().cpu().numpy() for one in (layer.lora_A, layer.lora_B))
    return a, b * np.float32(layer.scaling[ADAPTER] * a.shape[0] / alpha)


def _matrix(layer: "nn.Module") -> "Matrix":
    """A linear layer's weights with a row for each output; transformers' Conv1D holds them the other way round."""
    weight: Matrix = layer.weight.detach().float().cpu().numpy()  # type: ignore[operator]
    return weight.T if type(layer).__name__ == "Conv1D" else weight


def place(modules: Mapping[str, "Matrix"], tensors: Mapping[str, "Matrix"]) -> list[Placed]:
    """Where each module's matrix is among a GGUF's tensors, in the modules' order; ``PreflightError`` names a lost one.

    Two matrices are one where the same rows are in both, in whichever order, rounded as the GGUF has them.
    """
    shapes = {one.shape for one in modules.values()}
    there = {name: _rows(one) for name, one in tensors.items() if one.shape in shapes}
    known: dict[Key, list[str]] = defaultdict(list)
    for name, lines in there.items():
        known[_key(tensors[name], lines)].append(name)
    placed, unsettled = [], {}
    for module, matrix in modules.items():
        for dtype in sorted({tensors[name].dtype for name in there}, key=str):
            lines = _rows(matrix.astype(dtype))
            names = known.get(_key(matrix.astype(dtype), lines), [])
            if names:
                break
        else:
            raise PreflightError(_lost(module, "holds no matrix with the rows of"))
        if len(names) > 1:
            raise PreflightError(_lost(module, f"holds more than once ({', '.join(names)}) the matrix of"))
        placed.append(_placed(module, names[0], lines, there[names[0]]))
        if not placed[-1].settled:
            unsettled[module] = lines
    return _settled(placed, unsettled)


def _lost(module: str, what: str) -> str:
    return (
        f"The base's GGUF {what} {module}: llama.cpp fuses, turns or changes that module of this architecture, "
        f"and a LoRA of it cannot be carried there. {TAKE_OUT}"
    )


def _placed(module: str, tensor: str, lines: Sequence[bytes], there: Sequence[bytes]) -> Placed:
    """By content; equal rows in the order in which they stand."""
    left: dict[bytes, list[int]] = defaultdict(list)
    for number, line in enumerate(lines):
        left[line].append(number)
    settled = len(left) == len(lines)
    return Placed(module=module, tensor=tensor, rows=tuple(left[line].pop(0) for line in there), settled=settled)


def _settled(placed: Sequence[Placed], unsettled: Mapping[str, Sequence[bytes]]) -> list[Placed]:
    """The same, where rows of a matrix are equal in the order of another layer's module of this name."""
    orders = {(ending(one.module), len(one.rows)): one.rows for one in placed if one.settled}
    result = []
    for one in placed:
        lines = unsettled.get(one.module)
        order = one.rows if lines is None else orders.get((ending(one.module), len(one.rows)))
        if order is None or (lines is not None and [lines[n] for n in order] != [lines[n] for n in one.rows]):
            raise PreflightError(
                f"Rows of {one.module} are equal in the base, so nobody can tell in which order llama.cpp has them, "
                f"and no other layer tells. {TAKE_OUT}"
            )
        result.append(Placed(module=one.module, tensor=one.tensor, rows=order, settled=True))
    return result


def _rows(matrix: "Matrix") -> list[bytes]:
    return [hashlib.blake2b(row.tobytes(), digest_size=16).digest() for row in np.ascontiguousarray(matrix)]


def _key(matrix: "Matrix", lines: Sequence[bytes]) -> Key:
    return matrix.shape, matrix.dtype.str, hashlib.blake2b(b"".join(sorted(lines)), digest_size=16).digest()
