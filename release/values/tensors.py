"""What a safetensors file holds, tensor by tensor."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

from release.values.record import Tensor


def tensors(weights: Path) -> Iterator[tuple[str, str, list[int], bytes]]:
    """Name, type, shape and bytes of every tensor in a safetensors file, by name; ``ValueError`` if it is not one."""
    import safetensors

    try:
        found = dict(safetensors.deserialize(weights.read_bytes()))  # type: ignore[no-untyped-call]
    except safetensors.SafetensorError as error:
        raise ValueError(f"{weights.name} is not a safetensors file: {error}") from None
    for name, tensor in sorted(found.items()):
        yield name, str(tensor["dtype"]), list(tensor["shape"]), bytes(tensor["data"])


def digests(weights: Path) -> dict[str, Tensor]:
    """Type, shape and sha256 of every tensor by name: a difference is found in a layer, not only in a file."""
    return {
        name: Tensor(dtype=dtype, shape=shape, sha256=hashlib.sha256(data).hexdigest())
        for name, dtype, shape, data in tensors(weights)
    }
