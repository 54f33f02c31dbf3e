"""A folder that somebody else made is served as a Hub: it leads nowhere else, and costs no more than a Hub's own."""

import hashlib
import json
import struct
import subprocess
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hub_folder import first_look, repository
from hub_folder.faults import Refusal, Unusable
from hub_folder.repository import Put, Repository
from hub_folder.store import open_store

Trick = Callable[[Path], object]
NAME = "user/model"
IDENTITY = ["-c", "user.name=x", "-c", "user.email=x"]


@pytest.fixture
def hub(tmp_path: Path) -> Path:
    """A folder with one repository, of one commit with a file."""
    with open_store(tmp_path / "hub") as store:
        store.create("models", NAME, private=False)
        with store.open("models", NAME, private_too=True) as made:
            made.commit("main", [Put(path="README.md", content=b"# text\n" * 100)], "a commit", "")
    return tmp_path / "hub"


def bare(hub: Path) -> Path:
    return hub / "models" / f"{NAME}.git"


def git(folder: Path, *command: str, given: bytes = b"") -> str:
    done = subprocess.run(["git", *IDENTITY, "-C", folder, *command], input=given, check=True, capture_output=True)
    return done.stdout.decode().strip()


def loose(folder: Path, kind: str, content: bytes, *, says: int | None = None) -> str:
    """An object of git in a file of its own, which may lie about its size; its id."""
    whole = b"%s %d\0" % (kind.encode(), len(content) if says is None else says) + content
    name = hashlib.sha1(whole).hexdigest()
    path = folder / "objects" / name[:2] / name[2:]
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(zlib.compress(whole))
    return name


def commit(folder: Path, tree: str, parent: str = "") -> None:
    parents = ["-p", parent] if parent else []
    git(folder, "update-ref", "refs/heads/main", git(folder, "commit-tree", tree, *parents, "-m", "x"))


def written(name: str, content: bytes) -> Trick:
    def make(folder: Path) -> None:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(content)

    return make


def added(name: str, content: bytes) -> Trick:
    return lambda folder: written(name, (folder / name).read_bytes() + content)(folder)


def hole(name: str) -> Trick:
    """A file of so many bytes that takes no room on the disk."""

    def make(folder: Path) -> None:
        with (folder / name).open("ab") as file:
            file.truncate(8 << 30)

    return make


def packed(folder: Path) -> Path:
    """All of it in one pack, whose file this is."""
    git(folder, "gc", "--quiet")
    (pack,) = (folder / "objects" / "pack").glob("*.pack")
    pack.chmod(0o600)
    return pack


def a_large_packed_file(folder: Path) -> None:
    blob = git(folder, "hash-object", "-w", "--stdin", given=bytes(first_look.LARGEST_OBJECT + 1))
    commit(folder, git(folder, "mktree", given=f"100644 blob {blob}\tbig\n".encode()))
    packed(folder)


def changes_of_another(result: int, back: bytes) -> Trick:
    """The first object of a pack is changes that make so many bytes of the object that lies so far before it."""

    def make(folder: Path) -> None:
        pack = packed(folder)
        with pack.open("r+b") as file:
            file.seek(12)  # after the head of the file
            said = number(7) + number(result) + b"\x90\x07"
            file.write(bytes([6 << 4 | len(said)]) + back + zlib.compress(said))

    return make


def an_index_of(count: int, size: int | None = None) -> Trick:
    """The index of a pack says that it has so many objects."""

    def make(folder: Path) -> None:
        index = packed(folder).with_suffix(".idx")
        index.chmod(0o600)
        with index.open("r+b") as file:
            file.seek(8)
            file.write(struct.pack(">256I", *[count] * 256))
            file.truncate(size)

    return make


def number(value: int) -> bytes:
    """Seven bits a byte, the lowest first."""
    low, rest = value & 0x7F, value >> 7
    return bytes([low | 0x80]) + number(rest) if rest else bytes([low])


WRONG: dict[str, tuple[Trick, str]] = {
    "another folder's refs": (written("commondir", b"/elsewhere\n"), "commondir leads out"),
    "another folder's objects": (written("objects/info/alternates", b"/elsewhere\n"), "alternates leads out"),
    "another server's objects": (written("objects/info/http-alternates", b"/x\n"), "http-alternates leads out"),
    "a pipe's settings": (added("config", b"[include]\n\tpath = /pipe\n"), "includes another file"),
    "settings under a condition": (added("config", b'[ IncludeIf "gitdir:/"] path=/pipe\n'), "includes another file"),
    "settings of a worktree": (written("config.worktree", b"[include] path = /pipe\n"), "includes another file"),
    "another object format": (added("config", b"[extensions]\n\tobjectFormat = sha256\n"), "object format than sha1"),
    "an index of packs": (written("objects/pack/multi-pack-index", b"MIDX"), "multi-pack-index is an index"),
    "settings of gigabytes": (hole("config"), "config has 8,589"),
    "a list of refs of gigabytes": (hole("packed-refs"), "packed-refs has 8,589"),
    "a branch of gigabytes": (hole("refs/heads/main"), "main has 8,589"),
    "a head of gigabytes": (hole("HEAD"), "HEAD has 8,589"),
    "a Hub's own word of gigabytes": (hole("hub.json"), "hub.json has 8,589"),
    "a file that unpacks to gigabytes": (lambda it: loose(it, "blob", b"", says=8 << 30), "unpacks to 8,589"),
    "a size that no file has": (lambda it: loose(it, "blob", b"", says=10**19), "unpacks to 10,000,000"),
    "what is no object": (written(f"objects/aa/{'0' * 38}", b"x"), "no object of git"),
    "an object of an older kind": (written(f"objects/aa/{'0' * 38}", b"\xb1" + zlib.compress(b"x")), "no object"),
    "a packed file of many bytes": (a_large_packed_file, "unpacks to 33,554,433"),
    "changes that make gigabytes": (changes_of_another(8 << 30, b"\x01"), "unpacks to 8,589"),
    "changes of what lies before the file": (changes_of_another(7, b"\xff\xff\x7f"), "cannot be read"),
    "an index of gigabytes": (an_index_of(1 << 31, 100 << 30), "idx has 107,374"),
    "an index of more objects than it has": (an_index_of(1 << 31), "cannot be read"),
    "a number that does not end": (changes_of_another(7, b"\xff" * 40), "a number in it does not end"),
}  # fmt: skip


@pytest.mark.parametrize("trick", WRONG)
def test_what_leads_out_or_costs_more_than_a_hub_does_is_refused_unread(trick: str, hub: Path) -> None:
    make, says = WRONG[trick]
    make(bare(hub))

    with pytest.raises(Unusable, match=says), open_store(hub):
        pass


def pushed(folder: Path) -> None:
    """A clone pushes a branch and a tag."""
    clone = folder.parent / "clone"
    git(folder, "clone", "--quiet", ".", str(clone))
    (clone / "more.txt").write_text("more", "utf-8")
    git(clone, "add", ".")
    git(clone, "commit", "--quiet", "-m", "more")
    git(clone, "tag", "v1")
    git(clone, "push", "--quiet", "origin", "HEAD:include", "v1")


def changed_often(folder: Path) -> None:
    """Several commits to one long file, so that a pack holds it as changes."""
    rows = [b"%d %s\n" % (one, hashlib.sha256(b"%d" % one).hexdigest().encode()) for one in range(2000)]
    for count in range(1500, 2000, 100):
        blob = git(folder, "hash-object", "-w", "--stdin", given=b"".join(rows[:count]))
        tree = git(folder, "mktree", given=f"100644 blob {blob}\trows.txt\n".encode())
        commit(folder, tree, git(folder, "rev-parse", "main"))
    pack = packed(folder)
    assert "chain length" in git(folder, "verify-pack", "-v", str(pack))


def the_largest(folder: Path) -> None:
    loose(folder, "blob", bytes(first_look.LARGEST_OBJECT))
    a_largest = git(folder, "hash-object", "-w", "--stdin", given=b"1" * first_look.LARGEST_OBJECT)
    commit(
        folder,
        git(folder, "mktree", given=f"100644 blob {a_largest}\tbig\n".encode()),
        git(folder, "rev-parse", "main"),
    )
    packed(folder)


RIGHT: dict[str, Trick] = {
    "nothing": lambda _: None,
    "all in a pack": packed,
    "changes in a pack": changed_often,
    "a push": pushed,
    "files of the largest size": the_largest,
    "a branch called include": added("config", b'[branch "include"]\n\tremote = origin\n'),
    "sha1 by its name": written(
        "config", b"[core]\n\trepositoryformatversion = 1\n\tbare = true\n[extensions]\n\tobjectFormat = sha1\n"
    ),
    "a long log of refs": written("logs/x", bytes(first_look.SMALL + 1)),
    "a long hook": written("hooks/x", bytes(first_look.SMALL + 1)),
    "a pack without an index": written("objects/pack/pack-x.pack", b"x"),
    "an index without a pack": written("objects/pack/pack-x.idx", b"\xfftOc\0\0\0\2" + bytes(1024 + 40)),
    "a half of an object": written("objects/pack/tmp_obj_x", b"x"),
}


@pytest.mark.parametrize("change", RIGHT)
def test_whatever_git_leaves_in_a_repository_is_served(change: str, hub: Path) -> None:
    RIGHT[change](bare(hub))

    with open_store(hub) as store, store.open("models", NAME, private_too=True) as found:
        assert found.entries(found.commit_at("main"))


def test_a_token_is_a_short_file(hub: Path) -> None:
    from hub_folder.server import read_or_create_token

    hole("token")(hub)

    with pytest.raises(Unusable, match="token has 8,589"):
        read_or_create_token(hub)


@pytest.fixture
def opened(hub: Path) -> Iterator[Repository]:
    with open_store(hub) as store, store.open("models", NAME, private_too=True) as found:
        yield found


def test_a_tree_that_names_one_file_a_billion_times_is_not_walked(opened: Repository) -> None:
    blob = git(opened.path, "hash-object", "-w", "--stdin", given=b"x")
    tree = git(opened.path, "mktree", given="".join(f"100644 blob {blob}\t{n}\n" for n in range(10)).encode())
    for _ in range(8):
        tree = git(opened.path, "mktree", given="".join(f"040000 tree {tree}\t{n}\n" for n in range(10)).encode())
    commit(opened.path, tree)

    with pytest.raises(Refusal, match="more than 100,000 files and folders"):
        opened.entries(opened.commit_at("main"))
    with pytest.raises(Refusal, match="more than 100,000 files and folders"):
        opened.commit("main", [Put(path="a", content=b"a")], "a commit", "")


@pytest.mark.parametrize(("bound", "says"), [("LISTED", "files and folders"), ("UNPACKED", "bytes within git")])
def test_as_much_as_the_bound_is_listed_and_no_more(
    bound: str, says: str, opened: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    head = opened.commit_at("main")
    there = opened.entries(head) or []
    most = {"LISTED": len(there), "UNPACKED": sum(one.size for one in there)}[bound]

    monkeypatch.setattr(repository, bound, most)
    assert opened.entries(head) == there
    monkeypatch.setattr(repository, bound, most - 1)
    with pytest.raises(Refusal, match=says):
        opened.entries(head)


def test_one_file_in_many_places_is_unpacked_once(opened: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    opened.commit("main", [Put(path=f"{n}.txt", content=bytes(1000)) for n in range(50)], "a commit", "")
    monkeypatch.setattr(repository, "UNPACKED", 4000)

    assert len(opened.entries(opened.commit_at("main")) or []) > 50


def test_a_history_of_long_messages_is_not_listed(opened: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    head = opened.commit_at("main")
    monkeypatch.setattr(repository, "HISTORY", sum(one.raw_length() for one in opened.history(head)))
    assert len(list(opened.history(head))) == 2

    opened.commit("main", [Put(path="a", content=b"a")], "x" * 10_000, "")
    with pytest.raises(Refusal, match="history of user/model has more than"):
        list(opened.history(opened.commit_at("main")))


def a_name_that_is_no_text(folder: Path) -> None:
    blob = git(folder, "hash-object", "-w", "--stdin", given=b"x")
    commit(folder, loose(folder, "tree", b"100644 \xff\xfe\0" + bytes.fromhex(blob)))


def a_folder_that_is_not_there(folder: Path) -> None:
    commit(folder, loose(folder, "tree", b"40000 a\0" + bytes(20)))


def a_file_that_says_less_than_it_has(folder: Path) -> None:
    blob = loose(folder, "blob", b"more than ten bytes", says=10)
    commit(folder, loose(folder, "tree", b"100644 a\0" + bytes.fromhex(blob)))


BROKEN: dict[str, Trick] = {
    "no JSON": written("hub.json", b"["),
    "deep JSON": written("hub.json", b"[" * 60_000),
    "another JSON": written("hub.json", b"[]"),
    "a word for a date": written("hub.json", json.dumps({"private": False, "created": "today"}).encode()),
    "a date of the year 10000": written("hub.json", json.dumps({"private": False, "created": 10**12}).encode()),
    "a number for private": written("hub.json", json.dumps({"private": 0, "created": 1}).encode()),
    "refs that are none": written("packed-refs", b"\xff\xfe garbage\n"),
    "settings that are none": written("config", b"[core\n"),
    "a version to come": written("config", b"[core]\n\trepositoryformatversion = 9\n"),
    "a name that is no text": a_name_that_is_no_text,
    "a folder that is not there": a_folder_that_is_not_there,
    "a file that says less than it has": a_file_that_says_less_than_it_has,
}


@pytest.mark.parametrize("trick", BROKEN)
def test_a_broken_repository_is_said_to_be_one(trick: str, hub: Path) -> None:
    BROKEN[trick](bare(hub))
    says = r"hub\.json is not|no repository that can be read"

    with (
        open_store(hub) as store,
        pytest.raises(Refusal, match=says) as no,
        store.open("models", NAME, private_too=True) as found,
    ):
        found.entries(found.commit_at("main"))
    assert no.value.status == 422
