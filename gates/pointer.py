"""JSON Pointers (RFC 6901): where in an answer a thing lives."""

import copy
import re
from collections.abc import Sequence
from enum import Enum
from functools import lru_cache
from typing import Final

from gates.canonical import Json

EACH = "*"
"""What means every member of a list, where it is asked for."""
INDEX = re.compile(r"0|[1-9][0-9]{0,8}")


class Missing(Enum):
    """The type of ``MISSING``: a pointer that leads nowhere, which is not the same as null."""

    MISSING = "missing"

    def __bool__(self) -> bool:
        return False


MISSING: Final = Missing.MISSING


@lru_cache(maxsize=1024)
def parse(pointer: str) -> tuple[str, ...]:
    """The reference tokens of a pointer; ``ValueError`` if it is not one."""
    if pointer and not pointer.startswith("/"):
        raise ValueError(f"{pointer!r} is not a JSON Pointer: it must be empty or start with '/'")
    if re.search(r"~(?![01])", pointer):
        raise ValueError(f"{pointer!r} is not a JSON Pointer: '~' is written '~0'")
    return tuple(token.replace("~1", "/").replace("~0", "~") for token in pointer.split("/")[1:])


def write(tokens: Sequence[str | int]) -> str:
    """The pointer of these tokens."""
    return "".join("/" + str(token).replace("~", "~0").replace("/", "~1") for token in tokens)


def get(value: Json, pointer: str) -> Json | Missing:
    """What the pointer leads to, or ``MISSING``."""
    for token in parse(pointer):
        if isinstance(value, dict) and token in value:
            value = value[token]
        elif isinstance(value, list) and INDEX.fullmatch(token) and int(token) < len(value):
            value = value[int(token)]
        else:
            return MISSING
    return value


def replaced(value: Json, pointer: str, new: Json) -> Json:
    """A copy of ``value`` in which the pointer leads to ``new``; unchanged where its parent is missing."""
    tokens = parse(pointer)
    if not tokens:
        return new
    result = copy.deepcopy(value)
    parent = get(result, write(tokens[:-1]))
    if isinstance(parent, dict):
        parent[tokens[-1]] = new
    return result


def every(value: Json, pointer: str) -> list[str]:
    """Each place that the pointer leads to, where ``*`` is every member of a list; those that are missing too."""
    places = [""]
    for name in parse(pointer):
        if name == EACH:
            inner = [(place, get(value, place)) for place in places]
            places = [f"{place}/{index}" for place, one in inner if isinstance(one, list) for index in range(len(one))]
        else:
            places = [place + write([name]) for place in places]
    return places
