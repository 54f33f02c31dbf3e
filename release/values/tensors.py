"""What a safetensors file holds, tensor by tensor."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from gates import strict_json
from release.values import bounds
from release.values.record import Tensor

BLOCK = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a tensor's bytes are, and what they are."""

    dtype: str
    shape: list[int]
    begin: int
    """From the beginning of the file."""
    end: int


def header(weights: Path) -> Mapping[str, Place]:
    """Every tensor in a safetensors file by name; ``ValueError`` if it is not one, whole and without a gap."""
    import safetensors

    with weights.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        if size > bounds.HEADER:
            raise ValueError(f"{weights.name} is not a safetensors file: its header would have {size:,} bytes")
        reading = strict_json.read(file.read(size), max_characters=size)
    try:
        with safetensors.safe_open(weights, framework="numpy"):  # the library's own checks of types, sizes and gaps
            pass
    except (safetensors.SafetensorError, OSError) as error:
        raise ValueError(f"{weights.name} is not a safetensors file: {error}") from None
    if not reading.ok or not isinstance(reading.value, dict):
        raise ValueError(f"{weights.name} is not a safetensors file: header {reading.code}: {reading.detail}")
    return {name: _place(said, 8 + size) for name, said in sorted(reading.value.items()) if name != "__metadata__"}


def _place(said: object, first: int) -> Place:
    assert isinstance(said, dict)
    begin, end = said["data_offsets"]
    return Place(dtype=str(said["dtype"]), shape=list(said["shape"]), begin=first + begin, end=first + end)


def tensors(weights: Path) -> Iterator[tuple[str, str, list[int], bytes]]:
    """Name, type, shape and bytes of every tensor in a safetensors file, by name; ``ValueError`` if it is not one."""
    with weights.open("rb") as file:
        for name, one in header(weights).items():
            file.seek(one.begin)
            yield name, one.dtype, one.shape, file.read(one.end - one.begin)


def digests(weights: Path) -> dict[str, Tensor]:
    """Type, shape and sha256 of every tensor by name: a difference is found in a layer, not only in a file."""
    with weights.open("rb") as file:
        return {
            name: Tensor(dtype=one.dtype, shape=one.shape, sha256=_sha256(file, one))
            for name, one in header(weights).items()
        }


def _sha256(file: BinaryIO, place: Place) -> str:
    digest = hashlib.sha256()
    file.seek(place.begin)
    for at in range(place.begin, place.end, BLOCK):
        digest.update(file.read(min(BLOCK, place.end - at)))
    return digest.hexdigest()


@dataclass(frozen=True, kw_only=True)
class Whole:
    """A tensor with its bytes."""

    dtype: str
    shape: Sequence[int]
    data: bytes


def write(found: Mapping[str, Whole], target: Path) -> None:
    """A safetensors file with these tensors, in the order of their names; as PEFT writes it for torch."""
    head: dict[str, object] = {"__metadata__": {"format": "pt"}}
    at = 0
    for name, one in sorted(found.items()):
        head[name] = {"dtype": one.dtype, "shape": list(one.shape), "data_offsets": [at, at + len(one.data)]}
        at += len(one.data)
    text = json.dumps(head, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # so that the numbers are aligned, as the library has it
    with target.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for _, one in sorted(found.items()):
            file.write(one.data)
