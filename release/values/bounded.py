"""Files of somebody else's, read within bounds: whether one is of its kind, and the JSON in it."""

import codecs
import re
import sys
from pathlib import Path

from gates import rows, strict_json
from gates.canonical import Json
from release.values import tensors
from release.values.bounds import Kind

BLOCK = 1 << 20
LONG = re.compile(rb"[0-9]{309}")
"""Digits of the smallest integer that no float holds; in a text they may stand."""


def json_object(data: bytes, name: str) -> dict[str, Json]:
    """The JSON object that bytes are; ``ValueError`` where they are not one, hold a name twice, or are too much."""
    reading = strict_json.read(data, max_characters=len(data))
    if not isinstance(reading.value, dict):
        raise ValueError(f"{name} does not hold an object: {reading.code}: {reading.detail}")  # noqa: TRY004
    return reading.value


def content(path: Path, most: int) -> bytes:
    """The bytes of a file or a pipe that somebody names; ``ValueError`` where they are more."""
    with path.open("rb") as file:
        found = file.read(most + 1)
    if len(found) > most:
        raise ValueError(f"it has more than {most:,} bytes")
    return found


def fault(path: Path, kind: Kind) -> str:
    """What a file has that no file of its kind has; empty where it is of its kind."""
    match kind.form:
        case "json":
            return _json(path)
        case "safetensors":
            return _safetensors(path)
        case "gguf":
            return _gguf(path)
        case "jsonl":
            return _lines(path, kind.longest) or _text(path)
        case "text":
            return _text(path)


def _json(path: Path) -> str:
    data = path.read_bytes()
    reading = strict_json.read(data, max_characters=len(data))
    if not isinstance(reading.value, dict):
        return f"is not a JSON object: {reading.code}: {reading.detail}"
    return "holds a number that no float holds" if LONG.search(data) and _too_large(reading.value) else ""


def _too_large(value: Json) -> bool:
    if isinstance(value, dict):
        return any(map(_too_large, value.values()))
    if isinstance(value, list):
        return any(map(_too_large, value))
    return isinstance(value, int) and abs(value) > sys.float_info.max


def _safetensors(path: Path) -> str:
    try:
        tensors.header(path)
    except ValueError as error:
        return str(error).removeprefix(f"{path.name} ")
    return ""


def _gguf(path: Path) -> str:
    with path.open("rb") as file:
        start = file.read(4)
    return "" if start == b"GGUF" else f"is not a GGUF file: it begins with {start!r}"


def _text(path: Path) -> str:
    decoder = codecs.getincrementaldecoder("utf-8")()
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            if b"\0" in block:
                return "is not text: it holds a NUL"
            try:
                decoder.decode(block)
            except UnicodeDecodeError as error:
                return f"is not text in UTF-8: {error.reason}"
        try:
            decoder.decode(b"", final=True)
        except UnicodeDecodeError as error:
            return f"is not text in UTF-8: {error.reason}"
    return ""


def _lines(path: Path, longest: int) -> str:
    count = 0
    with path.open("rb") as file:
        while line := file.readline(longest):
            count += 1
            if len(line) == longest:
                return f"has a line of {longest:,} bytes or more, line {count}"
            if count > rows.MAX_ROWS:
                return f"has more than {rows.MAX_ROWS:,} lines"
    return ""
