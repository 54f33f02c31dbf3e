"""A folder that somebody else made is served as a Hub: it leads nowhere else, and costs no more than a Hub's own."""

import hashlib
import json
import struct
import subprocess
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Lock

import pytest
from dulwich.objects import ObjectID, RawObjectID
from dulwich.pack import write_pack_index_v2

from hub_folder import first_look, repository, sizes
from hub_folder.faults import Refusal, Unusable
from hub_folder.repository import Put, Repository, open_repository
from hub_folder.store import open_store
from tests.helpers.hub_fixture import hub_in

Trick = Callable[[Path], object]
Packed = tuple[int, int, bytes]
"""Its kind, which of the pack's objects it changes, and what it unpacks to."""
BLOB, BY_PLACE, BY_NAME = 3, 6, 7
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
    blob = git(folder, "hash-object", "-w", "--stdin", given=bytes(sizes.LARGEST_OBJECT + 1))
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


def a_pack(folder: Path, objects: list[Packed]) -> list[str]:
    """A pack of objects that say they are changes to others, or not; the ids it says they have."""
    data, places = bytearray(b"PACK" + struct.pack(">II", 2, len(objects))), list[int]()
    packed = {said: zlib.compress(said) for said in {said for _, _, said in objects}}
    for kind, base, said in objects:
        place = len(data)
        places.append(place)
        head, rest = bytearray([kind << 4 | len(said) & 15]), len(said) >> 4
        while rest:
            head[-1] |= 0x80
            head.append(rest & 0x7F)
            rest >>= 7
        if kind == BY_PLACE:
            head += back(place - places[base])
        elif kind == BY_NAME:
            head += named(base)
        data += head + packed[said]
    data += hashlib.sha1(data).digest()
    (folder / "objects" / "pack" / "pack-x.pack").write_bytes(data)
    with (folder / "objects" / "pack" / "pack-x.idx").open("wb") as file:
        entries = [(RawObjectID(named(one)), place, 0) for one, place in enumerate(places)]
        write_pack_index_v2(file, sorted(entries), bytes(data[-20:]))
    return [named(one).hex() for one in range(len(objects))]


def named(one: int) -> bytes:
    return hashlib.sha1(b"%d" % one).digest()


def back(value: int) -> bytes:
    """A distance within a pack: seven bits a byte, the highest first."""
    said = [value & 0x7F]
    while value := value >> 7:
        value -= 1
        said.insert(0, 0x80 | value & 0x7F)
    return bytes(said)


def copies(size: int, *, more: int = 0) -> bytes:
    """Changes that copy another object of so many bytes, and have so many bytes more."""
    return number(size) * 2 + b"\xf0" + struct.pack("<I", size)[:3] + bytes(more)


def a_chain(links: int, size: int, *, more: int = 0) -> Trick:
    """An object of a pack that is the copy of a copy, and so on."""
    copy = copies(size, more=more)
    return lambda folder: a_pack(folder, [(BLOB, 0, bytes(size)), *((BY_PLACE, n, copy) for n in range(links))])


def a_circle(count: int) -> Trick:
    """Objects of a pack that are changes of each other."""
    return lambda folder: a_pack(folder, [(BY_NAME, (n + 1) % count, copies(5)) for n in range(count)])


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
    "another repository": (written(".git", b"gitdir: /elsewhere\n"), "git leads out"),
    "a repository within, of another's refs": (written(".git/commondir", b"/elsewhere\n"), "git/commondir leads out"),
    "a repository within": (written(".GIT/config", b"[include]\n\tpath = /pipe\n"), "GIT/config leads out"),
    "a repository deep within": (written("refs/.git", b"gitdir: /elsewhere\n"), "git leads out"),
    "a link beside a repository": (lambda it: (it.parent / "notes").symlink_to("/"), "neither a file nor a folder"),
    "settings by a longer name": (added("config", b"[include.x]\n\tpath = /pipe\n"), "includes another file"),
    "settings in capitals": (added("config", b"  [INCLUDE]path=/pipe\n"), "includes another file"),
    "settings before what is none": (added("config", b"[include]\n\tpath = /pipe\n[core\n"), "includes another file"),
    "settings beside others": (added("config", b"[core] [include] path = /pipe\n"), "includes another file"),
    "settings after a mark": (written("config", b"\xef\xbb\xbf[include]\n\tpath = /pipe\n"), "includes another file"),
    "another format in quotes": (added("config", b'[extensions]\n\tobjectFormat = "sha256"\n'), "format than sha1"),
    "two formats": (added("config", b"[Extensions]\n\tobjectformat=sha1\n\tOBJECTFORMAT=x\n"), "format than sha1"),
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
    "more changes than git makes": (a_chain(4096, 9), "by 4,096 changes, one after another"),
    "changes that make gigabytes together": (a_chain(256, (16 << 20) - 1), "unpacks 4,294,970,"),
    "changes of many bytes": (a_chain(17, 9, more=31 << 20), "of 552,599,"),
    "changes of more bytes than a file": (a_chain(1, 9, more=32 << 20), "unpacks to 33,554,4"),
    "an object made of itself": (a_circle(1), "made of itself"),
    "two objects made of each other": (a_circle(2), "made of itself"),
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
    loose(folder, "blob", bytes(sizes.LARGEST_OBJECT))
    a_largest = git(folder, "hash-object", "-w", "--stdin", given=b"1" * sizes.LARGEST_OBJECT)
    commit(
        folder,
        git(folder, "mktree", given=f"100644 blob {a_largest}\tbig\n".encode()),
        git(folder, "rev-parse", "main"),
    )
    packed(folder)


def changed_by_name(folder: Path) -> None:
    """As git packs what a client of long ago can read."""
    git(folder, "config", "repack.useDeltaBaseOffset", "false")
    changed_often(folder)


RIGHT: dict[str, Trick] = {
    "nothing": lambda _: None,
    "all in a pack": packed,
    "changes in a pack": changed_often,
    "changes by name": changed_by_name,
    "as many changes as git makes": a_chain(4095, 9),
    "many changes of a long file": a_chain(250, 10 << 20),
    "an index of packs": lambda it: git(it, "repack", "-adq", "--write-midx"),
    "a broken index of packs": written("objects/pack/multi-pack-index", b"MIDX"),
    "a list of commits": lambda it: git(it, "commit-graph", "write", "--reachable"),
    "a broken list of commits": written("objects/info/commit-graph", b"CGPH"),
    "a branch called git": lambda it: git(it, "branch", "x.git", "main"),
    "a worktree": lambda it: git(it, "worktree", "add", "-q", str(it.parent.parent.parent.parent / "tree"), "main"),
    "other files beside a repository": written("../notes/commondir", bytes(first_look.SMALL + 1)),
    "a word in a comment": added("config", b"# [include] is not used\n[core] ; [include]\n"),
    "a word in a value": added("config", b"[core]\n\tcomment = see [include]\n\tx = [include] \\\n[include]\n"),
    "a longer word": added("config", b"[included]\n\tpath = /pipe\n[x.include]\n\tpath = /pipe\n"),
    "sha1 in quotes": written(
        "config", b'[core]\n\trepositoryformatversion = 1\n\tbare = true\n[extensions]\n\tobjectFormat = "sha1"\n'
    ),
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
        assert list(found.history(found.commit_at("main")))


def test_a_repository_within_is_not_opened_for_the_one_it_lies_in(opened: Repository, hub: Path) -> None:
    """Not even where it comes after the first look."""
    head = opened.commit_at("main").id
    git(hub, "init", "--quiet", str(opened.path / "other"))
    (opened.path / "other" / ".git").rename(opened.path / ".git")

    with open_repository("models", NAME, opened.path, Lock(), lambda _: None) as found:
        assert found.commit_at("main").id == head


@pytest.mark.parametrize("name", ["config", "objects/aa/" + "0" * 38, "objects/pack/pack-x.idx", "packed-refs"])
def test_what_git_removes_meanwhile_is_passed_over(name: str, hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (hub / "models" / "user" / "gone.git").mkdir()
    gone = hub / "models" / "user" / "gone.git" / name
    monkeypatch.setattr(first_look, "_files", lambda _: iter([gone]))

    first_look.repositories(hub / "models")


def test_an_object_unpacks_to_what_is_said_of_it(opened: Repository) -> None:
    def sizes_said() -> dict[str, int]:
        about = sizes.lookup(opened.objects)
        listed = git(opened.path, "cat-file", "--batch-all-objects", "--batch-check=%(objectname) %(objectsize)")
        known = dict(line.split() for line in listed.splitlines())
        said = {oid: about(ObjectID(oid.encode())) for oid in known}
        assert {oid: one.size for oid, one in said.items()} == {oid: int(size) for oid, size in known.items()}
        return {oid: one.links for oid, one in said.items()}

    assert set(sizes_said().values()) == {0}
    changed_often(opened.path)
    assert max(sizes_said().values()) > 0


def test_what_git_packs_while_it_is_asked_for_is_found(opened: Repository) -> None:
    head = opened.commit_at("main").id
    about = sizes.lookup(opened.objects)
    before = about(head)
    packed(opened.path)

    assert about(head).size == before.size
    with pytest.raises(KeyError):
        about(ObjectID(b"0" * 40))


@pytest.mark.parametrize("size", [first_look.SMALL, sizes.LARGEST_OBJECT])
def test_a_file_of_its_own_is_read_to_its_end_and_no_further(size: int, opened: Repository) -> None:
    right = loose(opened.path, "blob", b"1" * size)
    assert len(opened.read(right)) == size

    lies = loose(opened.path, "blob", bytes(sizes.LARGEST_OBJECT + 1000), says=size)
    with pytest.raises(zlib.error, match="exceeds maximum size"):
        opened.read(lies)


def test_a_token_is_a_short_file(hub: Path) -> None:
    from hub_folder.server import read_or_create_token

    hole("token")(hub)

    with pytest.raises(Unusable, match="token has 8,589"):
        read_or_create_token(hub)


@pytest.fixture
def opened(hub: Path) -> Iterator[Repository]:
    with open_store(hub) as store, store.open("models", NAME, private_too=True) as found:
        yield found


@pytest.mark.parametrize("files", [10, 0])
def test_a_tree_that_names_one_file_or_folder_a_billion_times_is_not_walked(
    files: int, opened: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repository, "LISTED", 5_000)
    parent = git(opened.path, "rev-parse", "main")
    blob = git(opened.path, "hash-object", "-w", "--stdin", given=b"x")
    tree = git(opened.path, "mktree", given="".join(f"100644 blob {blob}\t{n}\n" for n in range(files)).encode())
    for _ in range(8):
        tree = git(opened.path, "mktree", given="".join(f"040000 tree {tree}\t{n}\n" for n in range(10)).encode())
    commit(opened.path, tree, parent)

    assert [one.id.decode() for one in opened.history(opened.commit_at("main"), "README.md")][1:] == [parent]

    with pytest.raises(Refusal, match="more than 5,000 files and folders"):
        opened.entries(opened.commit_at("main"))
    with pytest.raises(Refusal, match="more than 5,000 files and folders"):
        opened.commit("main", [Put(path="a", content=b"a")], "a commit", "")


@pytest.mark.parametrize(("bound", "says"), [("LISTED", "files and folders"), ("UNPACKED", "bytes for this")])
def test_as_much_as_the_bound_is_listed_and_no_more(
    bound: str, says: str, opened: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    head = opened.commit_at("main")
    there = opened.entries(head) or []
    about = sizes.lookup(opened.objects)
    small = [ObjectID(one.oid.encode()) for one in there if one.size <= repository.LARGEST_POINTER]
    most = {"LISTED": len(there), "UNPACKED": sum(about(oid).total for oid in small)}[bound]
    assert 0 < len(small) < len(there)

    monkeypatch.setattr(repository, bound, most)
    assert opened.entries(head) == there
    monkeypatch.setattr(repository, bound, most - 1)
    with pytest.raises(Refusal, match=says):
        opened.entries(head)


def test_one_file_in_many_places_is_unpacked_once(opened: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    opened.commit("main", [Put(path=f"{n}.txt", content=bytes(1000)) for n in range(50)], "a commit", "")
    monkeypatch.setattr(repository, "UNPACKED", 4000)

    assert len(opened.entries(opened.commit_at("main")) or []) > 50


def test_files_that_are_no_pointers_are_listed_unread(opened: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    content = [b"%d" % one * 2_000 for one in range(1, 9)]
    opened.commit("main", [Put(path=f"{one[:1].decode()}.txt", content=one) for one in content], "a commit", "")
    monkeypatch.setattr(repository, "UNPACKED", 2_000)
    head = opened.commit_at("main")

    listed = {one.path: one.size for one in opened.entries(head) or []}
    assert [listed[f"{n}.txt"] for n in range(1, 9)] == [2_000] * 8
    found = opened.entry(head, "8.txt")
    assert found
    assert found.size == 2_000


def test_what_a_short_file_is_made_of_counts(opened: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    shorter = number(100_000) + number(5) + b"\x90\x05"
    _, blob = a_pack(opened.path, [(BLOB, 0, bytes(100_000)), (BY_PLACE, 0, shorter)])
    tree = git(opened.path, "mktree", "--missing", given=f"100644 blob {blob}\ta\n".encode())
    monkeypatch.setattr(repository, "UNPACKED", 50_000)
    commit(opened.path, tree)

    with pytest.raises(Refusal, match="more than 50,000 bytes for this"):
        opened.entries(opened.commit_at("main"))


def test_the_commits_of_a_path_are_those_that_changed_it(opened: Repository) -> None:
    """A merge is one only where it is like none of what it merges."""

    def tree(**files: str) -> str:
        blobs = {name: git(opened.path, "hash-object", "-w", "--stdin", given=b.encode()) for name, b in files.items()}
        below = git(opened.path, "mktree", given=f"100644 blob {blobs.pop('c')}\tc\n".encode())
        lines = [*(f"100644 blob {oid}\t{name}\n" for name, oid in blobs.items()), f"040000 tree {below}\tf\n"]
        return git(opened.path, "mktree", given="".join(lines).encode())

    def at(second: int, made: str, *parents: str) -> str:
        said = "".join(f"parent {one}\n" for one in parents)
        who = f"x <x@x> {second} +0000"
        text = f"tree {made}\n{said}author {who}\ncommitter {who}\n\nx\n"
        return git(opened.path, "hash-object", "-w", "-t", "commit", "--stdin", given=text.encode())

    one = at(1, tree(a="1", b="1", c="1"))
    two = at(2, tree(a="2", b="1", c="1"), one)
    side = at(3, tree(a="1", b="2", c="2"), one)
    merged = at(4, tree(a="2", b="3", c="2"), two, side)
    last = at(5, tree(b="3", c="3"), merged)

    head = opened.commit_at(last)
    expected = {
        "": [last, merged, side, two, one],
        "a": [last, two, one],
        "b": [merged, side, one],
        "f": [last, side, one],
        "f/c": [last, side, one],
        "x": [],
    }
    found = {path: [each.id.decode() for each in opened.history(head, path)] for path in expected}
    assert found == expected


def test_a_history_of_long_messages_is_not_listed(opened: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    head = opened.commit_at("main")
    monkeypatch.setattr(repository, "HISTORY", sum(one.raw_length() for one in opened.history(head)))
    assert len(list(opened.history(head))) == 2

    opened.commit("main", [Put(path="a", content=b"a")], "x" * 10_000, "")
    with pytest.raises(Refusal, match="history of user/model has more than"):
        list(opened.history(opened.commit_at("main")))


def test_a_file_that_has_other_bytes_than_git_says_is_not_sent(hub: Path) -> None:
    content = b"the bytes of a file\n" * 100
    blob = git(bare(hub), "hash-object", "-w", "--stdin", given=content)
    path = bare(hub) / "objects" / blob[:2] / blob[2:]
    right = path.read_bytes()
    commit(bare(hub), git(bare(hub), "mktree", given=f"100644 blob {blob}\ta\n".encode()))

    with hub_in(hub) as served:
        assert served.send("GET", f"/{NAME}/resolve/main/a").body == content
        path.chmod(0o600)
        path.write_bytes(zlib.compress(zlib.decompress(right).replace(b"2000", b"1999")))
        answer = served.send("GET", f"/{NAME}/resolve/main/a")
    assert answer.status == 422
    assert b"a has 2,000 bytes, and git says of it that it has 1,999" in answer.body


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
    "a way to keep objects that is to come": added("config", b"[extensions]\n\tpartialClone = x\n"),
    "a way to keep refs that is to come": added("config", b"[extensions]\n\trefStorage = x\n"),
    "no objects": lambda it: (it / "objects").rename(it / "x"),
    "no refs": lambda it: (it / "refs").rename(it / "x"),
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


@pytest.mark.parametrize("count", [1, 2])
def test_a_pack_that_comes_later_and_never_ends_is_a_broken_repository(count: int, hub: Path) -> None:
    with open_store(hub) as store:
        a_circle(count)(bare(hub))
        (bare(hub) / "refs" / "heads" / "main").write_text(named(0).hex() + "\n", "ascii")

        with (
            pytest.raises(Refusal, match="no repository that can be read"),
            store.open("models", NAME, private_too=True) as found,
        ):
            found.commit_at("main")


def test_a_branch_that_names_itself_is_not_written_over(hub: Path) -> None:
    for one, other in (("a", "b"), ("b", "a")):
        written(f"refs/heads/{one}", f"ref: refs/heads/{other}\n".encode())(bare(hub))

    with (
        open_store(hub) as store,
        pytest.raises(Refusal, match="no repository that can be read: SymrefLoop"),
        store.open("models", NAME, private_too=True) as found,
    ):
        found.branch("a", "main")
