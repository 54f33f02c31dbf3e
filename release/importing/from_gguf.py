"""A LoRA in GGUF, as llama.cpp loads one, read back into PEFT's names.

llama.cpp's own names and, in some architectures, its order of the rows of q and k are turned back. Both are known for
the architectures in ``ORDERS``; of any other the read-back is refused, for a wrong order would answer wrongly and
without a word.
"""

import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from release.importing.weights import NOTHING, PREFIX
from release.models.architecture import Architecture
from release.values import contents, tensors
from release.values.errors import PreflightError
from release.values.tensors import Whole

if TYPE_CHECKING:
    import numpy.typing as npt

    Matrix = npt.NDArray[np.floating[Any]]

ORDERS = {"llama": True, "qwen2": False, "qwen3": False, "gemma2": False, "gemma3": False}
"""Whether llama.cpp's converter turns the rows of q and k of this architecture for its rotary embedding."""
MODEL_TYPES = {"llama": "llama", "mistral": "llama", "qwen2": "qwen2", "qwen3": "qwen3", "gemma2": "gemma2", "gemma3_text": "gemma3"}  # fmt: skip  # noqa: E501
"""The GGUF architecture of each model type of transformers that is read back."""
MOST = 4_000_000
"""Values of a head that are walked over: the vocabularies and merges of any model."""
OF_A_LORA = 10_000
"""Values in lists of a LoRA's head, such as its tags; gguf's reader makes an object of each."""
_SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
_FLOAT, _TEXT, _LIST = 6, 8, 9
_SUFFIXES = {".lora_a": "lora_A.weight", ".lora_b": "lora_B.weight"}
_CURE = f"Import the PEFT or MLX folder that the file was converted from. {NOTHING}"


def to_peft(file: Path, target: Path, built: Architecture) -> dict[str, object]:
    """Write the LoRA as PEFT's weights; its settings in PEFT's names. ``PreflightError`` where it cannot be read."""
    try:
        return _to_peft(file, target, built)
    except PreflightError:
        raise
    except Exception as error:  # noqa: BLE001  the reader of a file of somebody else's raises whatever it meets
        why = f"{type(error).__name__}: {str(error)[:200]}"
        raise PreflightError(f"{file.name} is not a GGUF file that can be read: {why}. {_CURE}") from None


def _to_peft(file: Path, target: Path, built: Architecture) -> dict[str, object]:
    told, listed = _head(file)
    architecture, kind, of = (told.get(name) for name in ("general.architecture", "adapter.type", "general.type"))
    if of != "adapter" or kind != "lora":
        raise PreflightError(
            f"{file.name} is a whole model, not a LoRA (general.type is {contents.shown(str(of))}). {_CURE}"
        )
    if architecture not in ORDERS:
        raise PreflightError(
            f"{file.name} is for llama.cpp's architecture {contents.shown(str(architecture))}, and its order of rows "
            f"is known here for {', '.join(ORDERS)} alone. {_CURE}"
        )
    if MODEL_TYPES.get(built.model_type) != architecture:
        raise PreflightError(
            f"{file.name} is a LoRA for {architecture}, and the base is {built.name} ({built.model_type}): it is "
            f"another model's. Name the base that it was trained on. {NOTHING}"
        )
    alpha = told.get("adapter.lora.alpha")
    if not isinstance(alpha, float):
        raise PreflightError(f"{file.name} says no adapter.lora.alpha, so its scale is not known. {_CURE}")
    if listed > OF_A_LORA:
        raise ValueError(f"{listed:,} values in its lists, where a LoRA has at most {OF_A_LORA:,}")
    found = dict(_tensors(file, _names(architecture, built), built, turned=ORDERS[architecture]))
    tensors.write(found, target)
    ending = ".lora_A.weight"
    ranks = {name: one.shape[0] for name, one in found.items() if name.endswith(ending)}
    return {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "r": max(ranks.values(), default=0),
        "rank_pattern": {name.removeprefix(PREFIX).removesuffix(ending): rank for name, rank in ranks.items()},
        "lora_alpha": alpha,
        "base_model_name_or_path": _base(told),
    }


def _head(file: Path) -> tuple[dict[str, object], int]:
    """The texts and floats that a GGUF says of itself, and how many values its lists hold (ggml, docs/gguf.md).

    ``ValueError`` where it says more than is there: gguf's reader looks for no end.
    """
    told: dict[str, object] = {}
    listed = 0
    with file.open("rb") as opened:
        version, tensors_, count = struct.unpack("<4xIQQ", opened.read(24))
        if version not in (2, 3) or max(tensors_, count) > OF_A_LORA:
            raise ValueError(f"version {version}, {tensors_:,} tensors and {count:,} settings")
        for _ in range(count):
            name, kind = _text(opened), _number(opened, "<I")
            if kind == _LIST:
                listed += _passed(opened, MOST - listed)
            elif kind == _TEXT:
                told[name] = _text(opened)
            elif kind == _FLOAT:
                told[name] = _number(opened, "<f")
            else:
                opened.seek(_SIZES[kind], 1)
    return told, listed


def _number(opened: BinaryIO, form: str) -> Any:
    return struct.unpack(form, opened.read(struct.calcsize(form)))[0]


def _text(opened: BinaryIO) -> str:
    size = _number(opened, "<Q")
    if size > tensors.BLOCK:
        raise ValueError(f"a text of {size:,} bytes")
    return opened.read(size).decode("utf-8", "replace")


def _passed(opened: BinaryIO, most: int) -> int:
    """Pass over a list; how many values it holds."""
    kind, count = _number(opened, "<I"), _number(opened, "<Q")
    if count > most:
        raise ValueError(f"a list of {count:,} values")
    if kind != _TEXT:
        opened.seek(_SIZES[kind] * count, 1)
        return int(count)
    for _ in range(count):
        opened.seek(_number(opened, "<Q"), 1)
    return int(count)


def _base(told: Mapping[str, object]) -> str | None:
    """The base's repository, where the file names one."""
    url = told.get("general.base_model.0.repo_url")
    prefix = "https://huggingface.co/"
    return url.removeprefix(prefix) if isinstance(url, str) and url.startswith(prefix) else None


def _names(architecture: str, built: Architecture) -> dict[str, str]:
    """Each linear layer of the base by llama.cpp's name of its weights."""
    from gguf import MODEL_ARCH, MODEL_ARCH_NAMES, TensorNameMap

    arch = next(one for one, name in MODEL_ARCH_NAMES.items() if name == architecture)
    assert isinstance(arch, MODEL_ARCH)
    names = TensorNameMap(arch, built.layers)
    modules = (*built.linear, *([built.output] if built.output else []))
    known = ((module, names.get_name(f"{module}.weight", try_suffixes=(".weight",))) for module in modules)
    return {name: module for module, name in known if name}


def _tensors(
    file: Path, modules: Mapping[str, str], built: Architecture, *, turned: bool
) -> Iterator[tuple[str, Whole]]:
    from gguf import GGUFReader

    found = GGUFReader(str(file)).tensors
    if sum(int(one.n_bytes) for one in found) > file.stat().st_size:
        raise ValueError("its tensors lie over each other")
    for one in found:
        name, suffix = next(((one.name.removesuffix(end), part) for end, part in _SUFFIXES.items() if one.name.endswith(end)), (one.name, ""))  # fmt: skip  # noqa: E501
        if not suffix or name not in modules:
            raise PreflightError(
                f"The LoRA has {contents.shown(one.name)}, which is no linear layer of the base {built.name}: it is "
                f"another model's, or adapts an embedding. {_CURE}"
            )
        if one.data.dtype not in (np.float32, np.float16) or one.data.ndim != 2:
            raise PreflightError(f"{contents.shown(one.name)} is quantized ({one.tensor_type.name}), so its numbers are lost. {_CURE}")  # fmt: skip  # noqa: E501
        module = modules[name]
        data: Matrix = one.data
        if turned and suffix == "lora_B.weight":
            data = _turned_back(data, module, built)
        data = np.ascontiguousarray(data)
        dtype = "F32" if data.dtype == np.float32 else "F16"
        yield f"{PREFIX}{module}.{suffix}", Whole(dtype=dtype, shape=data.shape, data=data.tobytes())


def _turned_back(matrix: "Matrix", module: str, built: Architecture) -> "Matrix":
    """Rows of q and k in transformers' order: what LlamaModel.permute of llama.cpp's converter does, undone."""
    if module.rpartition(".")[2] not in ("q_proj", "k_proj"):
        return matrix
    rows, columns = matrix.shape
    heads = rows // built.head_dim
    return matrix.reshape(heads, built.head_dim // 2, 2, columns).swapaxes(1, 2).reshape(rows, columns)
