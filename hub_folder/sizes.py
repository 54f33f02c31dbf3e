"""What an object of git unpacks to, and what it costs to make it: read from first bytes, and nothing is unpacked."""

import re
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from dulwich.object_format import DEFAULT_OBJECT_FORMAT
from dulwich.object_store import DiskObjectStore
from dulwich.objects import ObjectID, RawObjectID
from dulwich.pack import Pack, PackFileDisappeared, PackIndex

LARGEST_OBJECT = 32 << 20
"""Bytes of a commit, tree or file within git, unpacked: a Hub keeps larger files than 10 MiB beside it, by git-lfs."""
LINKS = 4095
"""Changes one after another that make an object: git's own packs have no more (``pack.depth``), and mostly 50."""
CHANGES = 512 << 20
"""Bytes of these changes, which are held at once: git keeps none that is longer than half of what it makes."""
UNPACKED = 4 << 30
"""Bytes that are unpacked for one object, or for one answer: a few seconds' work."""

_HEADER = re.compile(rb"(?:blob|tree|commit|tag) ([0-9]{1,20})\0")
_BY_PLACE, _BY_NAME = 6, 7
"""Kinds of packed objects that are what another one is, but for some changes (gitformat-pack(5))."""
_PIECE, _BEGINNING = 4096, 64
"""Bytes of something packed that hold its first bytes, with the codes in front of them."""
_LONGEST = 10  # bytes of a number, seven bits each: 2^70


@dataclass(frozen=True, slots=True)
class Unpacked:
    """Bytes that an object says it has, and all it is made of. Its reader holds what is packed to what it says."""

    size: int
    """Of the object itself."""
    largest: int
    """Of the largest object, or changes to one, that it is made of."""
    total: int
    """Of all that is unpacked to make it."""
    changes: int
    """Of those that are changes: they are held at once."""
    links: int
    """How many changes one after another make it."""


_NOTHING = Unpacked(0, 0, 0, 0, -1)


def lookup(objects: DiskObjectStore) -> Callable[[ObjectID], Unpacked]:
    """What each object of a store unpacks to; the changes that make one are looked at once for all that they make."""
    packs, places, known = objects.packs, defaultdict[str, dict[int, Unpacked]](dict), dict[ObjectID, Unpacked]()

    def about(oid: ObjectID) -> Unpacked:
        nonlocal packs
        if oid in known:
            return known[oid]
        for _ in range(2):
            found = [*_in_packs(packs, places, oid)] or [*_in_a_file(objects, oid)]  # as dulwich looks for it
            if found:
                known[oid] = max(found, key=lambda one: one.total)
                return known[oid]
            packs = objects.packs  # git may have packed it meanwhile
        raise KeyError(oid)

    return about


def _in_packs(packs: list[Pack], places: dict[str, dict[int, Unpacked]], oid: ObjectID) -> Iterator[Unpacked]:
    for pack in packs:
        with suppress(KeyError, FileNotFoundError, PackFileDisappeared):
            place = pack.index.object_offset(oid)
            path = str(pack.data.path)
            with Path(path).open("rb") as file:
                yield packed(pack.index, file, place, places[path])


def _in_a_file(objects: DiskObjectStore, oid: ObjectID) -> Iterator[Unpacked]:
    name = oid.decode()
    with suppress(FileNotFoundError):
        size = loose(Path(objects.path) / name[:2] / name[2:])
        yield Unpacked(size, size, size, 0, 0)


def loose(path: Path) -> int:
    """Bytes that an object in a file of its own says it has; a file that is none is a ValueError."""
    with path.open("rb") as file:
        found = _HEADER.match(_first(file))
    if found is None:
        raise ValueError(f"{path} is no object of git")
    return int(found[1])


def packed(index: PackIndex, pack: BinaryIO, place: int, known: dict[int, Unpacked]) -> Unpacked:
    """What the object at a place unpacks to; ``known`` is what lies at other places, and grows.

    A pack that is none is a ValueError, a LookupError or a zlib.error.
    """
    links: dict[int, tuple[int, int]] = {}
    at: int | None = place
    while at is not None and at not in known:
        if at in links:
            raise ValueError("an object in it is made of itself")
        size, changes, base = _head(pack, at)
        links[at] = size, changes
        at = index.object_offset(base) if isinstance(base, bytes) else base
    below = _NOTHING if at is None else known[at]
    for link, (size, changes) in reversed(links.items()):
        below = known[link] = Unpacked(
            size,
            max(below.largest, size, changes),
            below.total + size + changes,
            below.changes + changes,
            below.links + 1,
        )
    return below


def _head(pack: BinaryIO, place: int) -> tuple[int, int, int | RawObjectID | None]:
    """Bytes that an object has, those of the changes that make it, and the place or name of the one that is changed."""
    pack.seek(place)
    head = pack.read(3 * _LONGEST)
    kind, size, at = (head[0] >> 4) & 7, head[0] & 15, 1
    if head[0] & 0x80:
        more, at = _number(head, 1)
        size |= more << 4
    base: int | RawObjectID
    if kind == _BY_PLACE:
        back, at = _back(head, at)
        base = place - back
        if not 0 < base < place:
            raise ValueError("an object in it is made of none that lies before it")
    elif kind == _BY_NAME:
        base = RawObjectID(head[at : at + DEFAULT_OBJECT_FORMAT.oid_length])
        at += DEFAULT_OBJECT_FORMAT.oid_length
    else:
        return size, 0, None
    pack.seek(place + at)
    changes = _first(pack)
    _, then = _number(changes, 0)
    return _number(changes, then)[0], size, base


def _first(file: BinaryIO) -> bytes:
    """The first bytes of what is packed from here on."""
    with suppress(zlib.error):
        return zlib.decompressobj().decompress(file.read(_PIECE), _BEGINNING)
    return b""


def _number(said: bytes, at: int) -> tuple[int, int]:
    """A number of seven bits a byte, the lowest first, and where it ends."""
    value = 0
    for place, byte in enumerate(said[at : at + _LONGEST]):
        value |= (byte & 0x7F) << 7 * place
        if not byte & 0x80:
            return value, at + place + 1
    raise ValueError("a number in it does not end")


def _back(said: bytes, at: int) -> tuple[int, int]:
    """How far before an object the one lies that is changed, and where that number ends."""
    value = -1
    for place, byte in enumerate(said[at : at + _LONGEST]):
        value = ((value + 1) << 7) | (byte & 0x7F)
        if not byte & 0x80:
            return value, at + place + 1
    raise ValueError("a number in it does not end")
