"""The embedded Hub's store, without HTTP: what becomes visible, what is refused, what git thinks of it."""

import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from hub_folder.faults import Refusal, Unusable
from hub_folder.repository import Change, Pointer, Put, PutLarge, Remove, Repository
from hub_folder.store import Store, open_store

LARGE = b"weights " * 1000
POINTER = Pointer(sha256=hashlib.sha256(LARGE).hexdigest(), size=len(LARGE))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(tmp_path / "hub") as opened:
        yield opened


@pytest.fixture
def repository(store: Store) -> Iterator[Repository]:
    store.create("models", "user/model", private=False)
    with store.open("models", "user/model", private_too=True) as opened:
        yield opened


def git(repository: Repository, *command: str) -> str:
    ran = subprocess.run(["git", "-C", repository.path, *command], check=True, capture_output=True, text=True)
    assert not ran.stderr
    return ran.stdout.strip()


def attribute(repository: Repository, path: str) -> str:
    """What git itself makes of a path's ``filter`` attribute, in a clone."""
    clone = repository.path.with_name("clone")
    git(repository, "clone", "--quiet", ".", os.fspath(clone))
    said = subprocess.run(["git", "-C", clone, "check-attr", "-z", "filter", path], check=True, capture_output=True)
    shutil.rmtree(clone)
    return said.stdout.decode().split("\0")[2]


def keep(store: Store, repository: Repository, content: bytes = LARGE) -> None:
    with store.upload(POINTER) as upload:
        upload.write(content)
        store.keep(upload, repository)


def commit(repository: Repository, *changes: Change, parent: str = "") -> str:
    return repository.commit("main", changes, "a commit", parent)


def paths(repository: Repository, revision: str = "main") -> list[str]:
    return [entry.path for entry in repository.entries(repository.commit_at(revision)) or []]


def test_a_new_repository_is_a_git_repository_with_the_hubs_gitattributes(repository: Repository) -> None:
    assert git(repository, "log", "--format=%s %an", "main") == "initial commit local"
    assert attribute(repository, "sub/a.safetensors") == "lfs"
    assert git(repository, "fsck", "--full", "--strict") == ""


def test_git_reads_what_was_committed_and_finds_no_fault(store: Store, repository: Repository) -> None:
    keep(store, repository)
    large = PutLarge(path="a.safetensors", sha256=POINTER.sha256, size=POINTER.size)
    sha = commit(repository, Put(path="sub/ü.txt", content=b"text\n"), large)
    repository.tag("v1", sha, "passed every gate")
    assert git(repository, "show", "v1:sub/ü.txt") == "text"
    assert git(repository, "show", "v1:a.safetensors").encode() + b"\n" == bytes(POINTER)
    assert git(repository, "cat-file", "-t", "v1") == "tag"
    assert git(repository, "fsck", "--full", "--strict") == ""


def test_a_repository_that_git_has_packed_is_still_read_and_written(store: Store, repository: Repository) -> None:
    old = commit(repository, Put(path="a.txt", content=b"1"))
    repository.tag("v1", old, "")
    git(repository, "gc", "--quiet", "--aggressive")
    with store.open("models", "user/model", private_too=True) as packed:
        new = commit(packed, Put(path="b.txt", content=b"2"), parent=old)
        assert paths(packed, new[:7]) == [".gitattributes", "a.txt", "b.txt"]
        assert packed.refs("refs/tags") == {"v1": old}
        with pytest.raises(Refusal, match="exists already"):
            packed.tag("v1", new, "")
    assert git(repository, "fsck", "--full", "--strict") == ""


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "/etc/passwd",
        "../up",
        "a/../b",
        "./a",
        "a//b",
        ".git/config",
        "a/.GIT/x",
        "GIT~1",
        ".gitmodules",
        "a\0b",
        "con\\..\\x",
        "a/nul.txt",
        "C:x",
        "a.",
        "a\x1b[2J",
    ],
)
def test_a_path_that_leaves_the_folder_or_is_gits_own_is_refused(repository: Repository, path: str) -> None:
    with pytest.raises(Refusal, match="cannot be a file") as refused:
        commit(repository, Put(path=path, content=b"x"))
    assert refused.value.status == 400
    assert paths(repository) == [".gitattributes"]


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ([Put(path="a", content=b""), Put(path="a/b", content=b"")], "a is a file, not a folder"),
        ([Remove(path="nothing")], "no such file"),
        ([PutLarge(path="w.bin", sha256=POINTER.sha256, size=POINTER.size)], "Upload first"),
        ([PutLarge(path="w.bin", sha256="../../hub.json", size=1)], "not a sha256"),
        ([Put(path="big.txt", content=b"a" * (10 * 1024 * 1024 + 1))], "use LFS"),
    ],
)
def test_one_change_that_cannot_be_made_refuses_the_whole_commit(
    repository: Repository, changes: list[Change], why: str
) -> None:
    before = repository.refs("refs/heads")
    with pytest.raises(Refusal, match=why):
        commit(repository, Put(path="fine.txt", content=b"x"), *changes)
    assert repository.refs("refs/heads") == before


def test_a_folder_is_removed_with_all_below_it_and_nothing_beside_it(repository: Repository) -> None:
    commit(repository, *(Put(path=path, content=b"x") for path in ("a/b/c", "a/d", "ab")))
    commit(repository, Remove(path="a/"))
    assert paths(repository) == [".gitattributes", "ab"]


def test_a_large_file_that_no_pattern_covers_gets_its_own_line_for_git(store: Store, repository: Repository) -> None:
    keep(store, repository)
    odd = "sub/two words [1].txt"
    commit(repository, PutLarge(path=odd, sha256=POINTER.sha256, size=None))
    assert attribute(repository, odd) == "lfs"
    assert attribute(repository, "sub/two words 1.txt") == "unspecified"
    lines = repository.read(git(repository, "rev-parse", "main:.gitattributes"))
    commit(repository, PutLarge(path=odd, sha256=POINTER.sha256, size=None))
    assert repository.read(git(repository, "rev-parse", "main:.gitattributes")) == lines


def test_an_upload_with_other_bytes_than_its_name_promises_is_never_visible(
    store: Store, repository: Repository
) -> None:
    for content in (LARGE[:-1], LARGE + b"x", b"W" + LARGE[1:]):
        with pytest.raises(Refusal, match="announced"):
            keep(store, repository, content)
    assert not repository.large_file(POINTER.sha256).exists()
    assert list((store.root / ".tmp").iterdir()) == []


def test_a_stale_parent_is_refused_and_a_short_one_understood(repository: Repository) -> None:
    old = commit(repository, Put(path="a", content=b"1"))
    new = commit(repository, Put(path="a", content=b"2"), parent=old[:7])
    with pytest.raises(Refusal) as refused:
        commit(repository, Put(path="a", content=b"3"), parent=old)
    assert refused.value.status == 412
    assert repository.refs("refs/heads") == {"main": new}


@pytest.mark.parametrize("name", ["", "-x", "a..b", "a b", "a~1", "x.lock", "@{0}", "a" * 40, "end/", "a//b", ".a"])
def test_a_name_that_git_would_not_take_is_no_tag(repository: Repository, name: str) -> None:
    with pytest.raises(Refusal) as refused:
        repository.tag(name, "main", "")
    assert refused.value.status == 400
    assert repository.refs("refs/tags") == {}


def test_tags_of_one_name_or_one_inside_the_other_conflict(repository: Repository) -> None:
    repository.tag("v1/a", "main", "")
    for name in ("v1/a", "v1", "v1/a/b"):
        with pytest.raises(Refusal, match="exists already") as refused:
            repository.tag(name, "main", "")
        assert refused.value.status == 409
    repository.delete_ref("refs/tags/", "v1/a")
    repository.tag("v1", "main", "")


@pytest.mark.parametrize("name", ["refs/heads/x", "heads/main", "HEAD", "0" * 40, "f" * 64])
def test_a_name_that_is_read_as_another_is_refused_in_the_hubs_words(repository: Repository, name: str) -> None:
    with pytest.raises(Refusal, match=f"Invalid reference for a tag: {name}") as refused:
        repository.tag(name, "main", "")
    assert refused.value.status == 400
    with pytest.raises(Refusal, match=f"Invalid reference for a branch: {name}"):
        repository.branch(name, "main")
    assert (repository.refs("refs/tags"), list(repository.refs("refs/heads"))) == ({}, ["main"])


def test_a_tag_and_a_branch_share_no_name(repository: Repository) -> None:
    repository.tag("v1", "main", "")
    repository.branch("dev", "main")
    for name in ("main", "dev"):
        with pytest.raises(Refusal, match="Branch reference exists already") as refused:
            repository.tag(name, "main", "")
        assert refused.value.status == 409
    with pytest.raises(Refusal, match="Tag reference exists already"):
        repository.branch("v1", "main")


def test_no_tag_that_git_put_there_stands_for_main_or_a_commit(repository: Repository) -> None:
    old = commit(repository, Put(path="a", content=b"1"))
    new = commit(repository, Put(path="a", content=b"2"))
    for name in ("main", new):
        git(repository, "update-ref", f"refs/tags/{name}", old)
        assert repository.commit_at(name).id.decode() == new


def test_a_revision_is_a_tag_branch_full_ref_or_commit_and_nothing_else(repository: Repository) -> None:
    old = commit(repository, Put(path="a", content=b"1"))
    repository.tag("20261121", old, "")
    repository.branch("release/1.0", "20261121")
    new = commit(repository, Put(path="a", content=b"2"))
    found = {
        name: repository.commit_at(name).id.decode()
        for name in ("20261121", "refs/tags/20261121", "release/1.0", "main", "refs/heads/main", old, new[:8])
    }
    assert list(found.values()) == [old, old, old, new, new, old, new]
    blob = git(repository, "rev-parse", "main:a")
    for name in ("nope", "refs/heads/nope", "0" * 40, old[:6], blob, "HEAD", "refs/../config", "hub.json"):
        with pytest.raises(Refusal) as refused:
            repository.commit_at(name)
        assert (refused.value.status, refused.value.code) == (404, "RevisionNotFound")


@pytest.mark.parametrize(
    "name",
    [
        "a",
        "a/b/c",
        "../b",
        "a/..",
        "a/.b",
        "a/b.git",
        "a/b-",
        "a/b--c",
        "a/b c",
        "a/",
        "/a",
        "datasets/a",
        "a/" + "b" * 97,
    ],
)
def test_a_repository_name_cannot_leave_its_place(store: Store, name: str) -> None:
    for act in (store.delete, lambda kind, name: store.create(kind, name, private=False)):
        with pytest.raises(Refusal, match="is not a repository name"):
            act("models", name)
    assert sorted(path.name for path in store.root.iterdir()) == [".lock", ".tmp"]


def test_a_lock_that_another_program_holds_is_named_and_left_alone(repository: Repository) -> None:
    lock = repository.path / "refs" / "heads" / "main.lock"
    lock.touch()
    with pytest.raises(Refusal, match="Another program is writing") as refused:
        commit(repository, Put(path="a", content=b"1"))
    assert refused.value.status == 409
    assert lock.exists()


def test_opening_a_store_clears_away_what_a_killed_server_left(tmp_path: Path) -> None:
    with open_store(tmp_path) as store:
        store.create("models", "user/model", private=False)
    bare = tmp_path / "models/user/model.git"
    left = [tmp_path / ".tmp/half", bare / "refs/heads/main.lock", bare / "objects/x.lock"]
    for path in left:
        path.write_text("half")
    with open_store(tmp_path) as store, store.open("models", "user/model", private_too=True) as repository:
        assert [path for path in left if path.exists()] == []
        assert paths(repository) == [".gitattributes"]


def test_a_second_server_on_a_store_is_told_who_holds_it(store: Store) -> None:
    with pytest.raises(Unusable, match=f"pid {os.getpid()}"), open_store(store.root):
        pass


def test_a_folder_that_cannot_hold_a_store_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Unusable, match="Name a folder"), open_store(tmp_path / "file" / "hub"):
        pass


def test_a_folder_of_something_else_is_not_made_a_hub(tmp_path: Path) -> None:
    (tmp_path / ".tmp").mkdir()
    for mine in (tmp_path / "thesis.tex", tmp_path / ".tmp" / "draft.tex"):
        mine.write_text("mine", "utf-8")

    with pytest.raises(Unusable, match="is not a Hub"), open_store(tmp_path):
        pass

    assert (tmp_path / ".tmp" / "draft.tex").read_text("utf-8") == "mine"
    assert not (tmp_path / ".lock").exists()


PLACES = (
    ".lock",
    ".tmp",
    "models",
    "datasets",
    "models/user",
    "models/user/model.git/hub.json",
    "models/x/refs/main.lock",
)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("kind", ["link to a file", "link to a folder", "link to nothing", "pipe"])
def test_a_folder_that_leads_elsewhere_or_has_no_end_is_not_served(tmp_path: Path, place: str, kind: str) -> None:
    """Whoever made the folder would have others' files emptied, their locks deleted, or its reader wait for ever."""
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "poetry.lock").write_text("mine", "utf-8")
    path = tmp_path / "hub" / place
    path.parent.mkdir(parents=True)
    if kind == "pipe":
        os.mkfifo(path)
    else:
        ends = {"link to a file": "theirs/poetry.lock", "link to a folder": "theirs", "link to nothing": "nothing"}
        path.symlink_to(tmp_path / ends[kind])

    with pytest.raises(Unusable, match=f"{place} is neither a file nor a folder"), open_store(tmp_path / "hub"):
        pass

    assert (tmp_path / "theirs" / "poetry.lock").read_text("utf-8") == "mine"
    assert [one.name for one in (tmp_path / "theirs").iterdir()] == ["poetry.lock"]
    assert not (tmp_path / "nothing").exists()


def test_a_folder_that_is_reached_by_a_link_is_served(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "hub").symlink_to(tmp_path / "disk")

    with open_store(tmp_path / "hub") as store:
        store.create("models", "user/model", private=False)

    with open_store(tmp_path / "hub") as store, store.open("models", "user/model", private_too=False) as found:
        assert found.name == "user/model"
