"""One spelling for every JSON value, so that equal values have equal bytes and equal digests."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from json.encoder import encode_basestring
from typing import TypeAlias

Json: TypeAlias = dict[str, "Json"] | list["Json"] | str | int | float | bool | None
"""What a JSON text says, once it is read."""
UNESCAPED = bytes((ord("\n"), *range(ord(" "), 128)))
"""In ASCII, what JSON escapes none of, but for line ends, quotation marks and backslashes."""


def canonical_json(value: object) -> bytes:
    """Sorted keys, two-space indent, a newline at the end; NaN is an error, a lone surrogate stays a JSON escape."""
    text = json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
    return (text + "\n").encode("utf-8", "backslashreplace")


def digest_of_texts(rows: Iterable[Sequence[str]]) -> str:
    """What ``digest`` gives for a list of lists of texts, of which there may be many: none of them empty."""
    found, before = hashlib.sha256(b"["), b"\n  [\n    "
    for row in rows:
        found.update(b"%b%b\n  ]" % (before, b",\n    ".join(map(_quoted, row))))
        before = b",\n  [\n    "
    found.update(b"\n]\n" if before.startswith(b",") else b"]\n")
    return found.hexdigest()


def _quoted(text: str) -> bytes:
    if text.isascii() and not (written := text.encode()).translate(None, UNESCAPED):  # these three alone are escaped
        return b'"' + written.replace(b"\\", b"\\\\").replace(b'"', b'\\"').replace(b"\n", b"\\n") + b'"'
    return encode_basestring(text).encode("utf-8", "backslashreplace")


def digest(value: object) -> str:
    """Hex sha256 of the canonical JSON."""
    return hashlib.sha256(canonical_json(value)).hexdigest()
