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
from contextlib import closing, suppress
from io import BytesIO
from pathlib import Path

from dulwich.config import ConfigFile
from dulwich.object_format import DEFAULT_OBJECT_FORMAT
from dulwich.pack import load_pack_index

from hub_folder.faults import Unusable
from hub_folder.sizes import CHANGES, LARGEST_OBJECT, LINKS, UNPACKED, Unpacked, loose, packed

SETTINGS, REFS, INDEX, SMALL = 64 << 10, 16 << 20, 32 << 20, 1 << 20
"""Bytes of what is read of git's own: settings; a list of refs; the index of a pack of a million objects; any other
file."""
_MOST = {"config": SETTINGS, "config.worktree": SETTINGS, "hub.json": SETTINGS, "packed-refs": REFS, "info/refs": REFS}
_LEADS_OUT = ("commondir", "gitdir", "objects/info/alternates", "objects/info/http-alternates")
_INCLUDES = (b"include", b"includeif")
_UNREAD = ("lfs/", "objects/", "hooks/", "logs/")
"""Below these no file is read whole: objects have bounds of their own, and large ones are sent block by block."""
_LOOSE = re.compile(r"objects/[0-9a-f]{2}/[0-9a-f]{38}")
_PACKED = re.compile(r"objects/pack/[^/]+\.idx")


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
        if name and repository.endswith(".git"):
            with suppress(FileNotFoundError):  # git may be packing it
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
    if name in _LEADS_OUT or ".git" in name.lower().split("/"):
        raise Unusable(f"{path} leads out of the Hub's folder. In a clone of {repository} nothing does: put one there.")
    if not name.startswith(_UNREAD):
        file_alone(path, _MOST.get(name, SMALL))
    if name in ("config", "config.worktree"):
        _settings(path, path.read_bytes())
    if _LOOSE.fullmatch(name):
        _in_a_file(path, repository)
    if _PACKED.fullmatch(name):
        file_alone(path, INDEX)
        _in_a_pack(path, repository)


def _settings(path: Path, said: bytes) -> None:
    """Refuse what dulwich would follow: it does so line by line, before it finds that a later one is no setting."""
    try:
        settings = ConfigFile.from_file(BytesIO(said), expand_includes=False)
    except ValueError:
        settings, includes = ConfigFile(), any(word in said.lower() for word in _INCLUDES)
    else:
        includes = any(section[0].lower() in _INCLUDES for section in settings.sections())
    if includes:
        raise Unusable(f"{path} includes another file, which leads out of the Hub's folder. Take its [include] out.")
    with suppress(KeyError):
        if any(one.lower() != b"sha1" for one in settings.get_multivar(b"extensions", b"objectFormat")):
            what = "names another object format than sha1, and no Hub has one. Make the repository anew."
            raise Unusable(f"{path} {what}")


def _in_a_file(path: Path, repository: Path) -> None:
    try:
        _small_enough(loose(path), path, repository)
    except ValueError as error:
        raise Unusable(f"{error}. `git fsck` in its repository says what is lost.") from None


def _small_enough(size: int, path: Path, repository: Path) -> None:
    if size > LARGEST_OBJECT:
        raise Unusable(
            f"{path} unpacks to {size:,} bytes; at most {LARGEST_OBJECT:,} of a file are kept in git itself. In a "
            f"clone of {repository}, `git lfs migrate` moves larger ones."
        )


def _in_a_pack(path: Path, repository: Path) -> None:
    for one in _packed(path):
        _small_enough(one.largest, path.with_suffix(".pack"), repository)
        if one.links > LINKS or one.changes > CHANGES or one.total > UNPACKED:
            raise Unusable(
                f"{path.with_suffix('.pack')} makes an object by {one.links:,} changes, one after another, of "
                f"{one.changes:,} bytes, and unpacks {one.total:,} bytes for it; at most {LINKS:,}, {CHANGES:,} and "
                f"{UNPACKED:,} are followed. `git repack -adf` in {repository} makes a pack with shorter ones."
            )


def _packed(index: Path) -> Iterator[Unpacked]:
    """What each object of a pack unpacks to."""
    known: dict[int, Unpacked] = {}
    try:
        with (
            closing(load_pack_index(index, DEFAULT_OBJECT_FORMAT)) as names,
            index.with_suffix(".pack").open("rb") as pack,
        ):
            for _, place, _ in names.iterentries():
                yield packed(names, pack, place, known)
    except FileNotFoundError:
        return  # an index without its pack is not read
    except (ValueError, LookupError, AssertionError, OverflowError, struct.error, zlib.error) as error:
        says = f"{index} and its pack cannot be read: {error}"
        raise Unusable(f"{says:.300}. `git fsck` in its repository says what is lost.") from None
