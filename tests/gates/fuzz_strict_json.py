"""Fuzzing the strict reader: mutated texts and bytes, kept when the reader says something new about them.

usage: python -m tests.gates.fuzz_strict_json [SECONDS] [SEED]     exits with 1 and prints the input that broke a rule
"""

import json
import math
import random
import re
import sys
import time
from typing import Any

from gates import strict_json
from tests.gates.test_strict_json import CODES, VECTORS, _input

TOKENS = [
    *(b'{"', b'"}', b"[", b"]", b",", b":", b'"', b"\\", b"\\u", b"\\ud83d", b"\\udc00", b"\\u0061", b"null", b"true"),
    *(b"NaN", b"Infinity", b"-", b"0", b"01", b"1e999", b"1e-999", b".5", b"9" * 4301, b"E+", b"```json\n", b"```"),
    *(
        b"\xef\xbb\xbf",
        b"\xff",
        b"\xed\xa0\x80",
        b"\xc2\xa0",
        b"\x00",
        b"\x0b",
        b"\x7f",
        b"\r\n",
        b"//x",
        b"<|im_end|>",
    ),
    *(b'"a":', b'"a":1,', b'"\\u0061":1,', b"[" * 130, b"]" * 130, b'{"a":' * 130, b"\xf0\x9f\x98\x80"),
]
SLOW = 1.0
"""Seconds of CPU that no input of this size may cost."""
LONGEST = 20_000
WAYS = 6


def main(seconds: float, seed: int) -> int:
    chance = random.Random(seed)
    corpus = [_bytes(vector) for vector in VECTORS]
    seen: set[str] = set()
    tried, end = 0, time.monotonic() + seconds
    while time.monotonic() < end:
        data = _mutated(chance, corpus)
        if fault := broken_rule(data):
            print(f"seed {seed}, input {tried}: {fault}: {data!r}")
            return 1
        tried += 1
        said = _said(data)
        if said not in seen:
            seen.add(said)
            corpus.append(data)
    print(f"{tried} inputs in {seconds:g} s, {len(seen)} different replies, no rule broken (seed {seed})")
    return 0


def _bytes(vector: dict[str, Any]) -> bytes:
    data = _input(vector)
    return data if isinstance(data, bytes) else data.encode("utf-8", "surrogatepass")


def _mutated(chance: random.Random, corpus: list[bytes]) -> bytes:
    data = chance.choice(corpus)
    for _ in range(chance.randint(1, 4)):
        data = _once(chance, data, corpus)[:LONGEST]
    return data


def _once(chance: random.Random, data: bytes, corpus: list[bytes]) -> bytes:
    start = chance.randrange(len(data) + 1)
    end = min(len(data), start + chance.choice([0, 1, 1, 2, 8, 64]))
    way = chance.randrange(WAYS)
    if way == 0:
        return data[:start] + data[end:]
    if way == 1:
        return data[:start] + bytes([chance.randrange(256)]) + data[end:]
    if way == 2:
        return data[:start] + chance.choice(TOKENS) + data[end:]
    if way == 3:
        return data[:start] + data[start:end] * chance.choice([2, 3, 200]) + data[end:]
    if way == 4:
        return data[:start] + chance.choice(corpus)[-chance.randint(1, 200) :]
    return b'{"a":' + data + b"}"


def broken_rule(data: bytes) -> str:
    """The rule of the reader that this input breaks, or an empty string."""
    started = time.process_time()
    reading = strict_json.read(data)
    if time.process_time() - started > SLOW:
        return f"took more than {SLOW} s"
    if reading.code not in CODES | {"not_utf8", "too_long"}:
        return f"unknown code {reading.code!r}"
    text = data.decode("utf-8", "surrogatepass") if _decodes(data) else None
    if text is not None and strict_json.read(text).code != reading.code and reading.code != "not_utf8":
        return "text and its bytes get different codes"
    if text is not None:
        strict_json.read_fenced(text)
    return _wrongly_taken(data, reading) if reading.ok else ""


def _wrongly_taken(data: bytes, reading: strict_json.Reading) -> str:
    if not isinstance(reading.value, dict) or json.loads(data) != reading.value:
        return "json reads something else"
    if not all(math.isfinite(number) for number in _floats(reading.value)):
        return "a number is not finite"
    if strict_json.read(json.dumps(reading.value)).value != reading.value:
        return "the value does not survive being written and read"
    return ""


def _decodes(data: bytes) -> bool:
    try:
        data.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return False
    return True


def _floats(value: Any) -> list[float]:
    if isinstance(value, float):
        return [value]
    members = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [number for member in members for number in _floats(member)]


def _said(data: bytes) -> str:
    reading = strict_json.read(data)
    detail = re.sub(r"(['\"]).*\1|[0-9]+|0x[0-9a-f]{2}", "#", reading.detail)
    return f"{reading.code} {detail}"


if __name__ == "__main__":
    given = [float(one) for one in sys.argv[1:]] or [600.0]
    sys.exit(main(given[0], int(given[1]) if len(given) > 1 else 1))
