"""The embedded Hub's store: a folder of repositories, held by one process at a time.

    ROOT/.lock                                   held by the process that serves ROOT
    ROOT/.tmp/                                   everything unfinished; emptied when the store is opened
    ROOT/models/NAMESPACE/NAME.git               what `git clone` takes
    ROOT/models/NAMESPACE/NAME.git/hub.json      private, created
    ROOT/models/NAMESPACE/NAME.git/lfs/objects   large files by sha256, where git-lfs keeps them
    ROOT/datasets/...                            the same

A repository, an object and a ref each become visible by one rename of something complete.
"""

import fcntl
import hashlib
import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Self

from hub_folder import first_look
from hub_folder.faults import Refusal, Unusable
from hub_folder.repository import Pointer, Reached, Repository, initialise, open_repository, remove_locks

KINDS = ("models", "datasets")
RESERVED = ("api", "datasets", "models", "spaces")
"""No namespaces: the Hub's paths begin with them."""

_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,94}[A-Za-z0-9_])?")


class Upload:
    """A large file on its way in: it becomes visible only whole, with the bytes its name promises."""

    def __init__(self, path: Path, pointer: Pointer) -> None:
        self._path, self.pointer = path, pointer
        self._file = path.open("xb")
        self._digest, self._size = hashlib.sha256(), 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        # Closing may flush, and fail for the same reason as the write before it; the file goes away regardless.
        try:
            self._file.close()
        finally:
            self._path.unlink(missing_ok=True)

    def write(self, block: bytes) -> None:
        self._size += len(block)
        if self._size > self.pointer.size:
            raise Refusal(400, f"The upload is longer than the {self.pointer.size} bytes announced. Upload it again.")
        self._digest.update(block)
        self._file.write(block)

    def keep_as(self, target: Path) -> None:
        found = Pointer(sha256=self._digest.hexdigest(), size=self._size)
        if found != self.pointer:
            raise Refusal(
                400,
                f"The upload has sha256 {found.sha256} and {found.size} bytes, but {self.pointer.sha256} and "
                f"{self.pointer.size} bytes were announced. Nothing was stored; upload it again.",
            )
        self._file.flush()
        os.fsync(self._file.fileno())
        target.parent.mkdir(parents=True, exist_ok=True)
        self._path.replace(target)


@dataclass(frozen=True, kw_only=True)
class Store:
    """A folder of repositories, held by this process alone."""

    root: Path
    reached: Reached
    writing: Lock

    @contextmanager
    def open(self, kind: str, name: str, *, private_too: bool) -> Iterator[Repository]:
        path = self._path(kind, name)
        missing = Refusal(404, f"There is no repository {name} among the {kind}.", "RepoNotFound")
        if not path.is_dir():
            raise missing
        with open_repository(kind, name, path, self.writing, self.reached) as repository:
            if repository.private and not private_too:
                raise missing
            yield repository

    def create(self, kind: str, name: str, *, private: bool) -> None:
        """A new repository; 409 if there is one of this name."""
        target = self._path(kind, name)
        with self.writing, tempfile.TemporaryDirectory(dir=self.root / ".tmp") as unfinished:
            if target.exists():
                raise Refusal(409, f"You already created this {kind.removesuffix('s')} repo: {name}")
            path = Path(unfinished) / "repository.git"
            initialise(path, private=private)
            self.reached("create_repo.before_meta")
            target.parent.mkdir(parents=True, exist_ok=True)
            path.rename(target)

    def delete(self, kind: str, name: str) -> None:
        with self.writing, tempfile.TemporaryDirectory(dir=self.root / ".tmp") as rubbish:
            try:
                self._path(kind, name).rename(Path(rubbish) / "repository.git")
            except FileNotFoundError:
                raise Refusal(404, f"There is no repository {name} among the {kind}.", "RepoNotFound") from None

    def upload(self, pointer: Pointer) -> Upload:
        return Upload(self.root / ".tmp" / secrets.token_hex(16), pointer)

    def keep(self, upload: Upload, repository: Repository) -> None:
        target = repository.large_file(upload.pointer.sha256)
        with repository.one_writer():
            upload.keep_as(target)

    def _path(self, kind: str, name: str) -> Path:
        parts = name.split("/")
        valid = all(_NAME.fullmatch(part) and ".." not in part and "--" not in part for part in parts)
        if kind not in KINDS or len(parts) != 2 or not valid or parts[0] in RESERVED or name.endswith(".git"):
            raise Refusal(
                400,
                f"{kind}/{name} is not a repository name: it takes models or datasets, then NAMESPACE/NAME of "
                "A-Z a-z 0-9 . _ - without '..', '--' or a final '.', '-' or '.git'.",
            )
        return self.root / kind / parts[0] / f"{parts[1]}.git"


def _refuse_other(root: Path) -> None:
    """Refuse a folder of something else, whose ``.tmp`` would be emptied; a Hub's ``.lock`` names who had it last."""
    lock = root / ".lock"
    others = {path.name for path in root.iterdir()} - {lock.name, ".tmp", "token", *KINDS}
    if others and lock.stat().st_size == 0:
        lock.unlink()
        raise Unusable(f"{root} is not empty and is not a Hub. Name another folder.")


@contextmanager
def open_store(root: Path, reached: Reached = lambda _: None) -> Iterator[Store]:
    """The store in ``root``, made if need be, for this process alone; what a killed server left is cleared away."""
    try:
        root.mkdir(parents=True, exist_ok=True)
        for name in (".lock", ".tmp", *KINDS):
            first_look.file_alone(root / name)
        lock = (root / ".lock").open("a+", encoding="ascii")
    except OSError as error:
        raise Unusable(f"{root} cannot hold a Hub: {error}. Name a folder that can be written.") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise Unusable(
                f"{root} is served by another process (pid {lock.read(20).strip() or 'unknown'}), and a Hub folder has "
                "one server at a time. Wait for it to end or stop it, or name another folder."
            ) from None
        _refuse_other(root)
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        shutil.rmtree(root / ".tmp", ignore_errors=True)
        (root / ".tmp").mkdir()
        for kind in KINDS:
            first_look.repositories(root / kind)
            remove_locks(root / kind)
        yield Store(root=root, reached=reached, writing=Lock())
