"""The first look at a release's folder, which says which files may be opened: names, kinds, sizes, then first bytes.

A file is refused where no release holds one of its name, where it is a special file or too large, or where it is a
link: all but those of the Hugging Face client's cache, which keeps a release as links to its blobs. Then each file
that is left is read once within bounds (`release.values.bounded`), and is refused where its bytes are not what its name
says.
"""

import os
import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from gates.normal import normal
from gates.shown import plain, shorten
from release.values import bounded, bounds, layout

OF_TOOLS = (".git", ".cache", ".cache/huggingface")
"""The folders that git and the Hub's client put beside a release; they are not looked into, but for ``.cache``."""
ATTRIBUTES = ".gitattributes"
"""The Hub's own file, which no record lists."""
SPECIAL = "is a device, a pipe or a socket"


class NotOpened(ValueError):
    """A file of a release that was not opened, because the first look refused it."""


@dataclass(frozen=True, kw_only=True)
class Contents:
    """What a folder holds, by name below it with forward slashes."""

    sizes: Mapping[str, int]
    """Bytes of each file that may be opened."""
    refused: Mapping[str, str]
    """Why each other file or folder may not."""
    whole: str = ""
    """Why nothing at all may be opened; empty where the folder is one that can be looked through."""

    @property
    def names(self) -> tuple[str, ...]:
        """All of it, but for what git and the Hub keep beside a release."""
        return tuple(sorted({*self.sizes, *self.refused} - {ATTRIBUTES}))

    @property
    def seconds(self) -> float:
        """Seconds of a processor that a check of it may take."""
        kinds = ((layout.kind_of(name), size) for name, size in self.sizes.items())
        return bounds.seconds((kind, size) for kind, size in kinds if kind is not None)

    def problems(self) -> Iterator[str]:
        """A line for whatever was refused."""
        if self.whole:
            yield self.whole
        for name, why in self.refused.items():
            yield f"{shown(name)} {why}"

    def need(self, name: str) -> None:
        """Raise ``NotOpened`` where a file, or a folder with all below it ("": everything), may not be opened."""
        if self.whole:
            raise NotOpened(f"nothing is opened: {self.whole}")
        for one, why in self.refused.items():
            if not name or f"{one}/".startswith(f"{name}/") or f"{name}/".startswith(f"{one}/"):
                raise NotOpened(f"{shown(one)} {why}")


def shown(name: str) -> str:
    """A name of somebody else's in a message."""
    return shorten(plain(name), bounds.SHOWN)


def look(folder: Path) -> Contents:
    """What a folder holds, by names, kinds and sizes. Nothing is opened; links are followed into the cache's blobs."""
    sizes: dict[str, int] = {}
    refused: dict[str, str] = {}
    root = folder.resolve()
    blobs = _blobs(root)
    for count, (name, path) in enumerate(_entries(root)):
        if count == bounds.FILES:
            return Contents(sizes={}, refused={}, whole=f"it holds more than {bounds.FILES:,} files and folders")
        size, why = _one(name, path, blobs)
        if why:
            refused[name] = why
        elif size is not None:
            sizes[name] = size
    for name, other in _alike(sizes).items():
        refused[name] = f"has the name of {shown(other)} on a disk that takes letters for each other"
        sizes.pop(name)
    total = sum(sizes.values())
    whole = f"its files have {total:,} bytes; at most {bounds.TOTAL:,} are read" if total > bounds.TOTAL else ""
    return Contents(sizes=sizes, refused=refused, whole=whole)


def checked(folder: Path, listed: Contents) -> Contents:
    """The same, less the files whose bytes are not what their names say."""
    faults = {}
    for name in sorted(listed.sizes):
        kind = layout.kind_of(name)
        if kind is not None and (fault := bounded.fault(folder / name, kind)):
            faults[name] = fault
    sizes = {name: size for name, size in listed.sizes.items() if name not in faults}
    return replace(listed, sizes=sizes, refused={**listed.refused, **faults})


def _entries(root: Path) -> Iterator[tuple[str, Path]]:
    """Everything below, by name; into folders that a release may have, and into no link."""
    folders = [""]
    while folders:
        above = folders.pop()
        with os.scandir(root / above) as entries:
            for entry in entries:
                name = f"{above}/{entry.name}" if above else entry.name
                yield name, Path(entry.path)
                if entry.is_dir(follow_symlinks=False) and (layout.is_folder(name) or name == ".cache"):
                    folders.append(name)


def _one(name: str, path: Path, blobs: Path | None) -> tuple[int | None, str]:
    """Size of a file that may be opened, or why not; neither for a folder that is nothing by itself."""
    state = path.lstat()
    if stat.S_ISDIR(state.st_mode):
        return None, "" if layout.is_folder(name) or name in OF_TOOLS else "is a folder that no release has"
    kind = layout.kind_of(name)
    if kind is None and name != ATTRIBUTES:
        return None, f"is not a file that a release may hold{_what(state)}"
    if stat.S_ISLNK(state.st_mode):
        blob = _blob(path, blobs)
        if blob is None:
            return None, "is a link, and not one of the Hugging Face client's cache into its blobs"
        state = blob.lstat()
    if not stat.S_ISREG(state.st_mode):
        return None, SPECIAL
    if kind is not None and state.st_size > kind.most:
        return None, f"has {state.st_size:,} bytes; at most {kind.most:,} are read, enough for {kind.why}"
    return (state.st_size if kind else None), ""


def _what(state: os.stat_result) -> str:
    if stat.S_ISLNK(state.st_mode):
        return ", and a link"
    return "" if stat.S_ISREG(state.st_mode) else f", and {SPECIAL}"


def _blobs(root: Path) -> Path | None:
    """The folder of blobs of the cache in which ``root`` is a snapshot, or lies below one; None where it is not."""
    for path in (root, *root.parents):
        if path.parent.name == "snapshots" and re.fullmatch("[0-9a-f]{40}", path.name):
            return path.parent.parent / "blobs"
    return None


def _blob(link: Path, blobs: Path | None) -> Path | None:
    """The regular file that a link of the cache leads to; None where it leads anywhere else.

    A blob may itself be a link into the store that all repositories of a cache share (``huggingface_hub`` 2).
    """
    blob = _target(link)
    if blobs is None or blob.parent != blobs or not re.fullmatch("[0-9a-f]{40}|[0-9a-f]{64}", blob.name):
        return None
    if blob.is_symlink():
        store = blobs.parent.parent / "blobs"
        blob = _target(blob)
        if blob.parent != store / blob.name[:2] or not re.fullmatch("[0-9a-f]{64}", blob.name):
            return None
    straight = blob.parent.resolve() == blob.parent and not blob.is_symlink()
    return blob if straight and blob.exists() else None


def _target(link: Path) -> Path:
    """Where a link says that it leads, in one step."""
    return Path(os.path.normpath(link.parent / link.readlink()))


def _alike(sizes: Mapping[str, int]) -> dict[str, str]:
    """Names that some disks cannot tell from another one, as they ignore case or how letters are composed: that one."""
    seen: dict[str, str] = {}
    first = {name: seen.setdefault(normal("NFC", name).casefold(), name) for name in sorted(sizes)}
    return {name: other for name, other in first.items() if name != other}
