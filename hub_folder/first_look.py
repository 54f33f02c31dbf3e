"""The first look at a folder that is to be served: it may be somebody else's, and git follows what it says.

Nothing of it is read before. What leads out of the folder is refused, what is no file, and what is larger, or unpacks
to more, than a Hub's own repositories hold.
"""

import os
import re
import stat
import struct
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from dulwich.object_format import DEFAULT_OBJECT_FORMAT
from dulwich.pack import load_pack_index

from hub_folder.faults import Unusable

LARGEST_OBJECT = 32 << 20
"""Bytes of a commit, tree or file within git, unpacked: a Hub keeps larger files than 10 MiB beside it, by git-lfs."""
SETTINGS, REFS, INDEX, SMALL = 64 << 10, 16 << 20, 32 << 20, 1 << 20
"""Bytes of what is read of git's own: settings; a list of refs; the index of a pack of a million objects; any other
file."""
_MOST = {"config": SETTINGS, "config.worktree": SETTINGS, "hub.json": SETTINGS, "packed-refs": REFS, "info/refs": REFS}
_LEADS_OUT = ("commondir", "gitdir", "objects/info/alternates", "objects/info/http-alternates")
_INCLUDES = re.compile(rb"\[\s*include", re.IGNORECASE)
_UNREAD = ("lfs/", "objects/", "hooks/", "logs/")
"""Below these no file is read whole: objects have bounds of their own, and large ones are sent block by block."""
_OTHER_DIGESTS = re.compile(rb"objectformat\s*=\s*+(?!sha1\b)", re.IGNORECASE)
_LOOSE = re.compile(r"objects/[0-9a-f]{2}/[0-9a-f]{38}")
_PACKED = re.compile(r"objects/pack/[^/]+\.idx")
_HEADER = re.compile(rb"(?:blob|tree|commit|tag) ([0-9]{1,20})\0")
_BY_PLACE, _BY_NAME = 6, 7
"""Kinds of packed objects that are what another one is, but for some changes (gitformat-pack(5))."""
_PIECE, _BEGINNING = 4096, 64
"""Bytes of something packed that hold its first bytes, with the codes in front of them."""
_LONGEST = 10  # bytes of a number, seven bits each: 2^70


def file_alone(path: Path, most: int | None = None) -> None:
    """Refuse a link, a pipe or a device, and a file of more bytes: whoever made it would say what is done with it."""
    try:
        state = path.lstat()
    except FileNotFoundError:
        return
    if not (stat.S_ISREG(state.st_mode) or stat.S_ISDIR(state.st_mode)):
        raise Unusable(
            f"{path} is neither a file nor a folder, and a Hub holds nothing else. Look at it, and remove it."
        )
    if most is not None and state.st_size > most:
        raise Unusable(f"{path} has {state.st_size:,} bytes; at most {most:,} are read. Look at it, and remove it.")


def repositories(folder: Path) -> None:
    """Refuse what no repository holds that is served from ``folder``, which is that of all models or all datasets."""
    for path in _files(folder):
        namespace, _, rest = path.relative_to(folder).as_posix().partition("/")
        repository, _, name = rest.partition("/")
        if name:
            _look(path, folder / namespace / repository, name)


def _files(folder: Path) -> Iterator[Path]:
    folders = [folder]
    while folders:
        with suppress(FileNotFoundError), os.scandir(folders.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    folders.append(Path(entry.path))
                    continue
                file_alone(Path(entry.path))
                yield Path(entry.path)


def _look(path: Path, repository: Path, name: str) -> None:
    if name in _LEADS_OUT:
        raise Unusable(f"{path} leads out of the Hub's folder. In a clone of {repository} nothing does: put one there.")
    if name == "objects/pack/multi-pack-index":
        raise Unusable(f"{path} is an index of several packs, which is not read. Remove it: git makes do without.")
    if not name.startswith(_UNREAD):
        file_alone(path, _MOST.get(name, SMALL))
    if name in ("config", "config.worktree"):
        _settings(path, path.read_bytes())
    if _LOOSE.fullmatch(name):
        _small_enough(_loose_size(path), path, repository)
    if _PACKED.fullmatch(name):
        file_alone(path, INDEX)
        _small_enough(max(_packed_sizes(path), default=0), path.with_suffix(".pack"), repository)


def _settings(path: Path, said: bytes) -> None:
    if _INCLUDES.search(said):
        raise Unusable(f"{path} includes another file, which leads out of the Hub's folder. Take its [include] out.")
    if _OTHER_DIGESTS.search(said):
        raise Unusable(f"{path} names another object format than sha1, and no Hub has one. Make the repository anew.")


def _small_enough(size: int, path: Path, repository: Path) -> None:
    if size > LARGEST_OBJECT:
        raise Unusable(
            f"{path} unpacks to {size:,} bytes; at most {LARGEST_OBJECT:,} of a file are kept in git itself. In a "
            f"clone of {repository}, `git lfs migrate` moves larger ones."
        )


def _loose_size(path: Path) -> int:
    """Bytes that a loose object says it has, which its reader holds it to."""
    with path.open("rb") as file:
        found = _HEADER.match(_first(file))
    if found is None:
        raise Unusable(f"{path} is no object of git. `git fsck` in its repository says what is lost.")
    return int(found[1])


def _first(file: BinaryIO) -> bytes:
    """The first bytes of what is packed from here on."""
    with suppress(zlib.error):
        return zlib.decompressobj().decompress(file.read(_PIECE), _BEGINNING)
    return b""


def _packed_sizes(index: Path) -> Iterator[int]:
    """Bytes that each object of a pack says it has, and what it is made of: its reader holds both to it."""
    try:
        known = load_pack_index(index, DEFAULT_OBJECT_FORMAT)
        places = {place for _, place, _ in known.iterentries()}
        known.close()
        seen = set[int]()
        with index.with_suffix(".pack").open("rb") as pack:
            while places:
                place = places.pop()
                seen.add(place)
                size, base = _packed(pack, place)
                yield size
                if base is not None and base not in seen:
                    places.add(base)
    except FileNotFoundError:
        return  # an index without its pack is not read
    except (ValueError, LookupError, AssertionError, OverflowError, struct.error, zlib.error) as error:
        says = f"{index} and its pack cannot be read: {error}"
        raise Unusable(f"{says:.300}. `git fsck` in its repository says what is lost.") from None


def _packed(pack: BinaryIO, place: int) -> tuple[int, int | None]:
    """Bytes that an object, or the changes that make it, unpack to, and the place of the one that is changed."""
    pack.seek(place)
    head = pack.read(3 * _LONGEST)
    kind, size, at = (head[0] >> 4) & 7, head[0] & 15, 1
    if head[0] & 0x80:
        more, at = _number(head, 1)
        size |= more << 4
    if kind not in (_BY_PLACE, _BY_NAME):
        return size, None
    base = None
    if kind == _BY_PLACE:
        back, at = _back(head, at)
        base = place - back
        if not 0 < base < place:
            raise ValueError("an object in it is made of none that lies before it")
    else:
        at += DEFAULT_OBJECT_FORMAT.oid_length
    pack.seek(place + at)
    changes = _first(pack)
    _, then = _number(changes, 0)
    return max(size, _number(changes, then)[0]), base


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
