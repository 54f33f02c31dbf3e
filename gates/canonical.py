"""One spelling for every JSON value, so that equal values have equal bytes and equal digests."""

import hashlib
import json
from typing import TypeAlias

Json: TypeAlias = dict[str, "Json"] | list["Json"] | str | int | float | bool | None
"""What a JSON text says, once it is read."""


def canonical_json(value: object) -> bytes:
    """Sorted keys, two-space indent, a newline at the end; NaN is an error, a lone surrogate stays a JSON escape."""
    text = json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
    return (text + "\n").encode("utf-8", "backslashreplace")


def digest(value: object) -> str:
    """Hex sha256 of the canonical JSON."""
    return hashlib.sha256(canonical_json(value)).hexdigest()
