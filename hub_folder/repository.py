"""One repository of the embedded Hub: commits, refs and files of a bare git repository, large ones as LFS objects.

Nothing here writes a git object, ref or lock by hand: dulwich does, by git's own rules.
"""

import json
import os
import re
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from heapq import heappop, heappush
from math import inf
from pathlib import Path
from threading import Lock

from dulwich.attrs import GitAttributes
from dulwich.config import ConfigDict
from dulwich.errors import NotGitRepository, NotTreeError
from dulwich.file import FileLocked
from dulwich.index import commit_tree, validate_path, validate_path_element_hfs, validate_path_element_ntfs
from dulwich.object_store import DiskObjectStore, iter_tree_contents, peel_sha, tree_lookup_path
from dulwich.objects import Blob, Commit, ObjectID, RawObjectID, ShaFile, Tag
from dulwich.refs import Ref, check_ref_format
from dulwich.repo import Repo

from hub_folder import broken, sizes
from hub_folder.faults import Refusal
from hub_folder.names import file_problem, ref_problem
from hub_folder.sizes import UNPACKED, Unpacked

AUTHOR = b"local <local@localhost>"
MAIN = "main"
LARGEST_REGULAR = 10 * 1024 * 1024
"""Bytes; the Hub, too, wants larger files as LFS objects."""
LARGEST_POINTER = 1024
"""Bytes; git-lfs reads nothing larger as a pointer."""
LISTED = 100_000
"""Files and folders of a commit: as many as the Hub advises of a repository at most. A tree may name one a billion
times."""
HISTORY = 16 * 1024 * 1024
"""Bytes of commits that are listed: tens of thousands, each with its message."""
FILE = 0o100644
_SETTINGS: dict[str, str | bool] = {
    "bigFileThreshold": str(sizes.LARGEST_OBJECT + 64),  # dulwich unpacks no more of an object's own file, and its head
    "commitGraph": False,  # this and the next have no bound, and say nothing that objects and packs do not
    "multiPackIndex": False,
    "fsyncObjectFiles": True,
}

Look = Callable[[ObjectID, float], Unpacked]
"""What an object unpacks to; it is read where it has no more bytes than these."""
Reached = Callable[[str], None]
"""Called with the name of each point at which a test may want the server to fail."""

_SHA = re.compile(r"[0-9a-f]{7,40}")
_WHOLE = 40
_OID = re.compile(r"[0-9a-f]{64}")
_POINTER = re.compile(rb"version https://git-lfs\.github\.com/spec/v1\noid sha256:([0-9a-f]{64})\nsize ([0-9]+)\n")
_LFS_ATTRIBUTES = "filter=lfs diff=lfs merge=lfs -text"
# What a new repository's .gitattributes sends to LFS on the Hub.
_LARGE_PATTERNS = """
*.7z *.arrow *.bin *.bz2 *.ckpt *.ftz *.gz *.h5 *.joblib *.lfs.* *.mlmodel *.model *.msgpack *.npy *.npz *.onnx *.ot
*.parquet *.pb *.pickle *.pkl *.pt *.pth *.rar *.safetensors saved_model/**/* *.tar.* *.tar *.tflite *.tgz *.wasm *.xz
*.zip *.zst *tfevents*
"""


@dataclass(frozen=True, kw_only=True)
class Pointer:
    """What git holds in place of a large file."""

    sha256: str
    size: int

    def __bytes__(self) -> bytes:
        return f"version https://git-lfs.github.com/spec/v1\noid sha256:{self.sha256}\nsize {self.size}\n".encode()


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A file or folder of one commit."""

    path: str
    oid: str
    """Git's id of the blob or tree."""
    is_folder: bool
    size: int
    """Bytes of the content; of the large file where there is a pointer."""
    pointer: Pointer | None

    @property
    def content_id(self) -> str:
        """What the Hub calls a file's ETag: sha256 of a large file, git's id of any other."""
        return self.pointer.sha256 if self.pointer else self.oid


@dataclass(frozen=True, kw_only=True)
class Put:
    path: str
    content: bytes


@dataclass(frozen=True, kw_only=True)
class PutLarge:
    path: str
    sha256: str
    size: int | None
    """None: the size of the object that is there."""


@dataclass(frozen=True, kw_only=True)
class Remove:
    path: str
    """A file, or a folder with everything below it."""


Change = Put | PutLarge | Remove


@dataclass(frozen=True, kw_only=True)
class Repository:
    """One repository while a request looks at it."""

    kind: str
    name: str
    path: Path
    git: Repo
    objects: DiskObjectStore
    private: bool
    created: int
    """Seconds since 1970."""
    writing: Lock
    """Held while refs and objects change: one writer at a time in a store."""
    reached: Reached

    # Reading

    def commit_at(self, revision: str) -> Commit:
        """The commit of a branch, tag, full ref name, or commit id of at least 7 digits."""
        name = revision.encode()
        names = [name] if name.startswith(b"refs/") else [b"refs/tags/" + name, b"refs/heads/" + name]
        if revision == MAIN:
            names = [b"refs/heads/" + name]  # whatever git put there: no tag stands for it
        known = self.git.refs.as_dict()
        whole = len(revision) == _WHOLE and _SHA.fullmatch(revision)
        ids = [] if whole else [known[Ref(ref)] for ref in names if ref in known]
        if not ids and _SHA.fullmatch(revision):
            ids = list(self.objects.iter_prefix(name))
        commits = [found for found in (peel_sha(self.objects, sha)[1] for sha in ids) if isinstance(found, Commit)]
        # Several can only be a tag beside a branch (git prefers the tag) or a commit id cut too short.
        if not commits or (len(commits) > 1 and names[0] not in known):
            raise Refusal(404, f"{self.name} has no revision {revision!r}.", "RevisionNotFound")
        return commits[0]

    def refs(self, base: str) -> dict[str, str]:
        """Name to commit id, of branches (``refs/heads``), tags (``refs/tags``) or pull requests (``refs/pr``)."""
        found = self.git.refs.as_dict(Ref(base.encode()))
        return {name.decode(): peel_sha(self.objects, sha)[1].id.decode() for name, sha in sorted(found.items())}

    def entries(self, commit: Commit, folder: str = "") -> list[Entry] | None:
        """Everything below a folder, parents before children; None where there is no such folder."""
        found = self.entry(commit, folder) if folder else None
        if folder and (found is None or not found.is_folder):
            return None
        tree = ObjectID(found.oid.encode()) if found else commit.tree
        prefix = f"{folder}/" if folder else ""
        known: dict[ObjectID, tuple[int, Pointer | None]] = {}
        look, listed = self._reading(), []
        for path, mode, sha in self._below(tree, look):
            is_folder = stat.S_ISDIR(mode)
            if sha not in known and not is_folder:
                known[sha] = self._about(sha, look)
            size, pointer = known.get(sha, (0, None))
            listed.append(
                Entry(path=prefix + path.decode(), oid=sha.decode(), is_folder=is_folder, size=size, pointer=pointer)
            )
        return listed

    def _below(self, tree: ObjectID | None, look: Look) -> Iterator[tuple[bytes, int, ObjectID]]:
        """Path, mode and id of what is below a tree, parents before children; no more than a Hub has of it."""
        count = 0
        for item in iter_tree_contents(self.objects, tree, include_trees=True):
            if item.path and item.mode and item.sha:
                count += 1
                if count > LISTED:
                    raise Refusal(422, f"{self.name} has more than {LISTED:,} files and folders, and is not read.")
                if stat.S_ISDIR(item.mode):
                    look(item.sha, inf)
                yield item.path, item.mode, item.sha

    def _reading(self) -> Look:
        """What objects unpack to; 422 once those that are read for one answer are too much together."""
        about, unpacked = sizes.lookup(self.objects), 0

        def look(oid: ObjectID, most: float) -> Unpacked:
            nonlocal unpacked
            found = about(oid)
            unpacked += found.total if found.size <= most else 0
            if unpacked > UNPACKED:
                raise Refusal(422, f"{self.name} unpacks to more than {UNPACKED:,} bytes for this, and is not read.")
            return found

        return look

    def _about(self, oid: ObjectID, look: Look) -> tuple[int, Pointer | None]:
        """Size of a file's content, and its pointer if it is one; what is too large for one is not unpacked."""
        size = look(oid, LARGEST_POINTER).size
        if size > LARGEST_POINTER:
            return size, None
        content = self.read(oid.decode())
        pointer = _read_pointer(content)
        return pointer.size if pointer else len(content), pointer

    def entry(self, commit: Commit, path: str) -> Entry | None:
        look = self._reading()
        found = self._find(commit.tree, path, look)
        if found is None:
            return None
        (mode, sha), size, pointer = found, 0, None
        if not stat.S_ISDIR(mode):
            size, pointer = self._about(sha, look)
        return Entry(path=path, oid=sha.decode(), is_folder=stat.S_ISDIR(mode), size=size, pointer=pointer)

    def _find(self, tree: ObjectID, path: str, look: Look) -> tuple[int, ObjectID] | None:
        """Mode and id of a file or folder."""

        def read(oid: ObjectID | RawObjectID) -> ShaFile:
            look(ObjectID(oid), inf)
            return self.objects[oid]

        try:
            return tree_lookup_path(read, tree, path.encode())
        except (KeyError, NotTreeError):
            return None

    def read(self, oid: str) -> bytes:
        """The bytes of a blob."""
        blob = self.objects[ObjectID(oid.encode())]
        return blob.data if isinstance(blob, Blob) else b""

    def history(self, commit: Commit, path: str = "") -> Iterator[Commit]:
        """Newest first; only commits that changed ``path``, where one is given."""
        look = self._reading()
        found: dict[ObjectID, tuple[int, ObjectID] | None] = {}
        for one, before in self._newest_first(commit, look):
            if path:
                for tree in (one.tree, *before):
                    if tree not in found:
                        found[tree] = self._find(tree, path, look)
            if not path or found[one.tree] not in ([found[tree] for tree in before] or [None]):
                yield one

    def _newest_first(self, commit: Commit, look: Look) -> Iterator[tuple[Commit, list[ObjectID]]]:
        """A commit and all before it, each with the trees of its parents."""
        known = self.git.parents_provider()
        waiting, trees, unpacked = [(-commit.commit_time, commit)], {commit.id: commit.tree}, commit.raw_length()
        while waiting:
            _, newest = heappop(waiting)
            parents = known.get_parents(newest.id, newest)
            for oid in parents:
                if oid in trees:
                    continue
                look(oid, inf)
                parent = self.objects[oid]
                if not isinstance(parent, Commit):
                    raise TypeError(f"{oid.decode()} is a parent, and no commit")
                unpacked += parent.raw_length()
                if unpacked > HISTORY:
                    raise Refusal(422, f"The history of {self.name} has more than {HISTORY:,} bytes, and is not read.")
                trees[oid] = parent.tree
                heappush(waiting, (-parent.commit_time, parent))
            yield newest, [trees[oid] for oid in parents]

    def large_file(self, sha256: str) -> Path:
        """Where the LFS object of this sha256 is, or would be."""
        if not _OID.fullmatch(sha256):
            raise Refusal(400, f"{sha256!r} is not a sha256 in 64 lower-case hex digits.")
        return self.path / "lfs" / "objects" / sha256[:2] / sha256[2:4] / sha256

    # Writing

    def commit(self, branch: str, changes: Sequence[Change], message: str, parent: str) -> str:
        """All changes or none, as one commit on top of ``parent`` (any, if empty); returns its id."""
        with self.one_writer():
            ref = _branch(branch)
            head = self.git.refs.as_dict().get(ref)
            if head is None:
                raise Refusal(404, f"{self.name} has no branch {branch!r}.", "RevisionNotFound")
            if parent and not (_SHA.fullmatch(parent) and head.startswith(parent.encode())):
                raise Refusal(412, "A commit has happened since. Please refresh and try again.")
            commit = self.write_commit(self._changed_tree(head, changes), [head], message)
            self.reached("commit.before_ref")
            if not self.git.refs.set_if_equals(ref, head, commit):
                raise Refusal(412, "A commit has happened since. Please refresh and try again.")
        self.reached("commit.after_ref")
        return commit.decode()

    def propose(self, branch: str, changes: Sequence[Change], message: str) -> tuple[int, str]:
        """The changes as a pull request over a branch: its number, and the commit that ``refs/pr/NUMBER`` is at."""
        with self.one_writer():
            head = self.commit_at(branch).id
            number = 1 + max(map(int, self.refs("refs/pr")), default=0)
            commit = self.write_commit(self._changed_tree(head, changes), [head], message)
            self._add_ref(Ref(b"refs/pr/%d" % number), commit)
        return number, commit.decode()

    def tag(self, name: str, revision: str, message: str) -> None:
        """An annotated tag; 409 if there is one of this name."""
        with self.one_writer():
            commit = self.commit_at(revision)
            ref = self._free_ref("refs/tags/", name)
            tag = Tag()
            tag.name, tag.object, tag.message = name.encode(), (Commit, commit.id), _text(message or name)
            tag.tagger, tag.tag_time, tag.tag_timezone = AUTHOR, int(time.time()), 0
            self.objects.add_object(tag)
            self.reached("tag.before_ref")
            self._add_ref(ref, tag.id)
        self.reached("tag.after_ref")

    def branch(self, name: str, revision: str) -> None:
        with self.one_writer():
            self._add_ref(self._free_ref("refs/heads/", name), self.commit_at(revision).id)

    def delete_ref(self, base: str, name: str) -> None:
        ref = Ref((base + name).encode())
        with self.one_writer():
            if ref not in self.git.refs.as_dict():
                raise Refusal(404, f"{self.name} has no {ref.decode()}.", "RevisionNotFound")
            if ref == _branch(MAIN):
                raise Refusal(400, f"{MAIN} cannot be deleted: it is what a clone checks out.")
            self.git.refs.remove_if_equals(ref, None)

    def set_private(self, *, private: bool) -> None:
        with self.one_writer():
            write_settings(self.path, private=private, created=self.created)

    @contextmanager
    def one_writer(self) -> Iterator[None]:
        with self.writing:
            if not self.path.exists():
                raise Refusal(404, f"{self.name} was deleted meanwhile.", "RepoNotFound")
            try:
                yield
            except FileLocked as locked:
                raise Refusal(
                    409, f"Another program is writing to {self.name}: {locked.lockfilename!r} exists. Try again."
                ) from None
            except OSError:
                # dulwich leaves its lock file behind when a write fails, as on a full disk; nobody else holds one.
                remove_locks(self.path)
                raise

    def _free_ref(self, base: str, name: str) -> Ref:
        """A name that is free, and hides no other: a revision may be asked for without saying which kind it is."""
        ref, kind = Ref((base + name).encode()), "tag" if base == "refs/tags/" else "branch"
        why = ref_problem(name) or ("" if check_ref_format(ref) else "git does not take it")
        if why:
            raise Refusal(400, f"Invalid reference for a {kind}: {name} ({why})")
        twins = {Ref(place + name.encode()) for place in (b"refs/heads/", b"refs/tags/")}
        for other in self.git.refs.as_dict():
            if other in twins or other.startswith(ref + b"/") or ref.startswith(other + b"/"):
                found = "Tag" if other.startswith(b"refs/tags/") else "Branch"
                raise Refusal(409, f"{found} reference exists already: {other.decode()}")
        return ref

    def _add_ref(self, ref: Ref, sha: ObjectID) -> None:
        if not self.git.refs.add_if_new(ref, sha):
            raise Refusal(409, f"Reference exists already: {ref.decode()}")

    def _changed_tree(self, head: ObjectID, changes: Sequence[Change]) -> ObjectID:
        tree = peel_sha(self.objects, head)[1]
        below = self._below(tree.tree if isinstance(tree, Commit) else None, self._reading())
        files = {path: (mode, sha) for path, mode, sha in below if not stat.S_ISDIR(mode)}
        for change in changes:
            self._apply(files, change)
        _refuse_file_as_folder(files)
        self._mark_large(files, [change.path for change in changes if isinstance(change, PutLarge)])
        return self.write_tree(files)

    def _apply(self, files: dict[bytes, tuple[int, ObjectID]], change: Change) -> None:
        removed = isinstance(change, Remove)  # a file that another program put there may go, whatever its name
        path = change.path.rstrip("/").encode() if removed else _checked_path(change.path)
        match change:
            case Put(content=content):
                if len(content) > LARGEST_REGULAR:
                    raise Refusal(400, f"{change.path} has {len(content)} bytes: above {LARGEST_REGULAR} use LFS.")
                files[path] = (FILE, self.write_blob(content))
            case PutLarge(sha256=sha256, size=size):
                stored = self.large_file(sha256)
                there = stored.stat().st_size if stored.is_file() else None
                if there is None or size not in (None, there):
                    raise Refusal(400, f"{change.path}: there is no LFS object {sha256} of {size} bytes. Upload first.")
                files[path] = (FILE, self.write_blob(bytes(Pointer(sha256=sha256, size=there))))
            case Remove():
                gone = [name for name in files if name == path or name.startswith(path + b"/")]
                if not gone:
                    raise Refusal(400, f"{change.path} cannot be deleted: there is no such file or folder.")
                for name in gone:
                    del files[name]

    def _mark_large(self, files: dict[bytes, tuple[int, ObjectID]], large: Sequence[str]) -> None:
        """Name in ``.gitattributes`` each large file that no pattern covers, or a clone would hold its pointer."""
        attributes = self.git.get_gitattributes(self.write_tree(files))
        unmarked = [path for path in large if not marked_large(attributes, path)]
        if unmarked:
            old = self.read(files[b".gitattributes"][1].decode()) if b".gitattributes" in files else b""
            lines = [f"{_as_pattern(path)} {_LFS_ATTRIBUTES}\n" for path in unmarked]
            files[b".gitattributes"] = (FILE, self.write_blob(old + "".join(lines).encode()))

    def write_blob(self, content: bytes) -> ObjectID:
        blob = Blob.from_string(content)
        self.objects.add_object(blob)
        return blob.id

    def write_tree(self, files: dict[bytes, tuple[int, ObjectID]]) -> ObjectID:
        return commit_tree(self.objects, [(path, sha, mode) for path, (mode, sha) in sorted(files.items())])

    def write_commit(self, tree: ObjectID, parents: list[ObjectID], message: str) -> ObjectID:
        commit = Commit()
        commit.tree, commit.parents, commit.message = tree, parents, _text(message)
        commit.author = commit.committer = AUTHOR
        commit.author_time = commit.commit_time = int(time.time())
        commit.author_timezone = commit.commit_timezone = 0
        commit.encoding = b"UTF-8"
        self.objects.add_object(commit)
        return commit.id


@contextmanager
def open_repository(kind: str, name: str, path: Path, writing: Lock, reached: Reached) -> Iterator[Repository]:
    private, created = broken.settings(path)
    with broken.readable(name), _opened(path) as git:
        objects = git.object_store
        if not isinstance(objects, DiskObjectStore):
            raise TypeError(f"{path} keeps its objects elsewhere than on disk")
        yield Repository(
            kind=kind,
            name=name,
            path=path,
            git=git,
            objects=objects,
            private=private,
            created=created,
            writing=writing,
            reached=reached,
        )


def _opened(path: Path) -> Repo:
    """The repository that a folder is, not one that a ``.git`` in it leads to; what git derives of it is not read."""
    if not ((path / "objects").is_dir() and (path / "refs").is_dir()):
        raise NotGitRepository("it has no objects, or no refs")
    settings = ConfigDict()
    for name, value in _SETTINGS.items():
        settings.set(b"core", name, value)
    objects = DiskObjectStore.from_config(path / "objects", settings)
    try:
        return Repo(os.fspath(path), bare=True, object_store=objects)
    except BaseException:
        objects.close()
        raise


def initialise(path: Path, *, private: bool) -> None:
    """A new repository in ``path``, with one commit: the Hub's ``.gitattributes``."""
    attributes = "".join(f"{pattern} {_LFS_ATTRIBUTES}\n" for pattern in _LARGE_PATTERNS.split())
    Repo.init_bare(os.fspath(path), mkdir=True, default_branch=MAIN.encode()).close()
    write_settings(path, private=private, created=int(time.time()))
    with open_repository("", "", path, Lock(), lambda _: None) as repository:
        tree = repository.write_tree({b".gitattributes": (FILE, repository.write_blob(attributes.encode()))})
        repository.git.refs.add_if_new(_branch(MAIN), repository.write_commit(tree, [], "initial commit"))


def write_settings(path: Path, *, private: bool, created: int) -> None:
    text = json.dumps({"private": private, "created": created}, indent=2, sort_keys=True)
    unfinished = path / ".hub.json.tmp"
    unfinished.write_text(text + "\n", "utf-8")
    unfinished.replace(path / "hub.json")


def remove_locks(folder: Path) -> None:
    """Clear away git's lock files; only while no other process may hold one."""
    for lock in folder.rglob("*.lock"):
        if lock.is_file():
            lock.unlink(missing_ok=True)


def marked_large(attributes: GitAttributes, path: str) -> bool:
    """Whether ``.gitattributes`` sends a file to LFS."""
    return attributes.match_path(path.encode()).get(b"filter") == b"lfs"


def _as_pattern(path: str) -> str:
    """A line of ``.gitattributes`` that matches this path alone."""
    return "/" + re.sub(r"\s", "[[:space:]]", re.sub(r"([\\*?\[])", r"\\\1", path))


def _branch(name: str) -> Ref:
    return Ref(b"refs/heads/" + name.removeprefix("refs/heads/").encode())


def _text(message: str) -> bytes:
    if "\0" in message:
        raise Refusal(400, "A commit or tag message cannot hold a NUL character.")
    return message.rstrip("\n").encode() + b"\n"


def _read_pointer(content: bytes) -> Pointer | None:
    found = _POINTER.fullmatch(content) if len(content) <= LARGEST_POINTER else None
    return Pointer(sha256=found[1].decode(), size=int(found[2])) if found else None


def _checked_path(path: str) -> bytes:
    """The path as git stores it; what git or a file system would read as something else is refused."""
    shown, name = path.rstrip("/"), path.rstrip("/").encode()
    gits_own = (
        any(part.lower() == b".gitmodules" for part in name.split(b"/"))
        or not validate_path(name, validate_path_element_ntfs)
        or not validate_path(name, validate_path_element_hfs)
    )
    if why := file_problem(shown) or ("is git's own" if gits_own else ""):
        raise Refusal(400, f"{path!r} cannot be a file of a repository: it {why}.")
    return name


def _refuse_file_as_folder(files: dict[bytes, tuple[int, ObjectID]]) -> None:
    for path in files:
        parts = path.split(b"/")
        for length in range(1, len(parts)):
            if b"/".join(parts[:length]) in files:
                raise Refusal(400, f"{path.decode()}: {b'/'.join(parts[:length]).decode()} is a file, not a folder.")
