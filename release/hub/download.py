"""A release's files from a Hub to this disk: named, sized and counted before they come, hashed while they do."""

import hashlib
import re
import shutil
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import BinaryIO

import httpx2

from hub_folder.names import file_problem
from release.running.machine import GIB
from release.values import bounds
from release.values.errors import HubError, PreflightError

TRIES = 5
"""Times in a row that a connection may end without a byte of the file."""
BLOCK = 1 << 20
_DIGEST = re.compile("[0-9a-f]{40}|[0-9a-f]{64}")

Get = Callable[[str, Mapping[str, str]], AbstractContextManager[httpx2.Response]]
"""The answer to a GET, for a path in the repository and headers; an answer that refuses is raised."""


@dataclass(frozen=True, kw_only=True)
class Listed:
    """A file as a Hub lists it."""

    path: str
    size: int
    id: str
    """The sha256 of a file in LFS, in 64 digits; else the sha1 of a git blob, in 40."""


def listed(found: Iterable[tuple[object, object, object]], where: str, most: int) -> dict[str, Listed]:
    """A listing's (path, size, id), checked: every path is one file below a folder. ``HubError`` names what is not.

    Of others' repositories (``most`` above `bounds.FILES`), files with names that cannot be kept here are passed over.
    """
    files: dict[str, Listed] = {}
    for path, size, content in found:
        why = file_problem(path) if isinstance(path, str) else "is not a name"
        if why and most > bounds.FILES:
            continue
        if why or not isinstance(path, str):
            raise HubError(f"{where} lists the file {path!r:.200}, which {why}. {_NONE}")
        if path in files:
            raise HubError(f"{where} lists {path!r} twice. {_NONE}")
        if not isinstance(size, int) or size < 0 or not isinstance(content, str) or not _DIGEST.fullmatch(content):
            raise HubError(f"{where} lists {path!r} with the size {size!r:.50} and the digest {content!r:.80}. {_NONE}")
        files[path] = Listed(path=path, size=size, id=content)
        if len(files) > most:
            raise HubError(f"{where} has more than {most:,} files. {_NONE}")
    if both := _both(files):
        raise HubError(f"{where} lists {both!r} as a file and as a folder. {_NONE}")
    return files


def _both(files: Mapping[str, Listed]) -> str | None:
    """A path that is a file and holds files."""
    folders = {"/".join(parts[:end]) for parts in (path.split("/") for path in files) for end in range(1, len(parts))}
    return min(folders & files.keys(), default=None)


_NONE = "Nothing was fetched. If this is the repository that is meant, clone it and look at the folder."


def need_room(files: Iterable[Listed], folder: Path, where: str, *, elsewhere: str = "TMPDIR") -> int:
    """Bytes of the files together; ``PreflightError`` where the disk of ``folder`` has no room for them.

    ``elsewhere``: the variable that names another disk.
    """
    size = sum(file.size for file in files)
    if size > bounds.TOTAL:
        raise HubError(f"{where} has {size:,} bytes; at most {bounds.TOTAL:,} are fetched. {_NONE}")
    free = shutil.disk_usage(folder).free
    if size > free:
        raise PreflightError(
            f"{where} has {size / GIB:.2f} GiB, and the disk of {folder} has {free / GIB:.2f} GiB free. Nothing was "
            f"fetched. Free some space, or point {elsewhere} to another disk."
        )
    return size


def save(get: Get, file: Listed, target: Path) -> str:
    """Write a file as it arrives; what is wrong with it, if anything. ``HubError`` as soon as it is too long."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("xb") as to:
        arriving = _Arriving(file, to)
        tries = 0
        while tries < TRIES:
            before = arriving.size
            try:
                _receive(get, arriving)
                break
            except (httpx2.ReadError, httpx2.RemoteProtocolError):
                tries = 0 if arriving.size > before else tries + 1
                if tries == TRIES:
                    raise
    return arriving.problem()


def _receive(get: Get, arriving: "_Arriving") -> None:
    """Take what is missing of a file, or all of it where a Hub does not know how to send a part."""
    missing = {"Range": f"bytes={arriving.size}-"} if arriving.size else {}
    if arriving.size == arriving.file.size and arriving.size:
        return
    with get(arriving.file.path, missing) as response:
        if missing and response.status_code != HTTPStatus.PARTIAL_CONTENT:
            arriving.start()
        for block in response.iter_raw(BLOCK):
            arriving.add(block)


class _Arriving:
    """A file on its way to the disk."""

    def __init__(self, file: Listed, to: BinaryIO) -> None:
        self.file, self._to = file, to
        self.start()

    def start(self) -> None:
        self.size = 0
        self._to.seek(0)
        self._to.truncate()
        self._digest = digest_of(self.file.id, self.file.size)

    def add(self, block: bytes) -> None:
        self.size += len(block)
        if self.size > self.file.size:
            raise HubError(
                f"The Hub sends more for {self.file.path} than the {self.file.size:,} bytes that it lists. Nothing was "
                "kept. Run again; if that does not help, do not use this Hub."
            )
        self._digest.update(block)
        self._to.write(block)

    def problem(self) -> str:
        if self.size != self.file.size:
            return f"different: {self.file.path} has {self.size:,} bytes here, {self.file.size:,} are listed there"
        actual = self._digest.hexdigest()
        return "" if actual == self.file.id else f"different: {self.file.path} is {actual} here, {self.file.id} there"


def digest_of(like: str, size: int) -> "hashlib._Hash":
    """What a Hub's digest of a file is made by: a sha256, or where ``like`` has 40 digits the sha1 of a git blob."""
    if len(like) == hashlib.sha256().digest_size * 2:
        return hashlib.sha256()
    return hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
