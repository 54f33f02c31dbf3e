"""A release's files on their way from a Hub: never held in memory, never more than was listed."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from release.hub import client, requests
from release.hub.download import Listed, listed, need_room
from release.values import bounds
from release.values.errors import HubError, PreflightError
from tests.helpers.hub_fixture import EmbeddedHub
from tests.helpers.line import ROOT

BLOB, LARGE = "a" * 40, "b" * 64
MIB = 1 << 20
FETCH = """
import sys
from pathlib import Path
from release.publishing import publish
publish.fetch(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
# not ru_maxrss: it starts at what the process that forked this one held
print(int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) // 1024)
"""


def test_a_large_release_is_fetched_in_little_memory(embedded_hub: EmbeddedHub, tmp_path: Path) -> None:
    large = tmp_path / "large"
    with large.open("wb") as file:
        file.truncate(int(os.environ.get("LARGE_MIB", "300")) * MIB)
    embedded_hub.api.create_repo("user/x", private=True)
    for number in range(1, 3):
        embedded_hub.api.upload_file(path_or_fileobj=large, path_in_repo=f"w{number}.safetensors", repo_id="user/x")
    done = subprocess.run(
        [sys.executable, "-c", FETCH, "user/x", "main", str(tmp_path / "fetched")],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
        | {"HF_ENDPOINT": embedded_hub.endpoint, "HF_TOKEN": embedded_hub.token, "HF_HUB_DISABLE_XET": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(done.stdout) < 200
    assert [path.stat().st_size for path in sorted((tmp_path / "fetched").iterdir())] == [large.stat().st_size] * 2


def test_a_listing_is_read_as_it_is_written() -> None:
    found = listed([("a/b", 0, BLOB), ("c", 7, LARGE)], "it", bounds.FILES)
    assert found["c"] == Listed(path="c", size=7, id=LARGE)
    assert list(found) == ["a/b", "c"]


@pytest.mark.parametrize(
    ("entries", "says"),
    [
        ([("../x", 1, BLOB)], "leaves the folder"),
        ([(b"x", 1, BLOB)], "is not a name"),
        ([("x", 1, BLOB), ("x", 1, BLOB)], "twice"),
        ([("x", -1, BLOB)], "the size -1"),
        ([("x", "1", BLOB)], "the size '1'"),
        ([("x", 1, None)], "the digest None"),
        ([("x", 1, "A" * 40)], "the digest 'AAA"),
        ([("x", 1, BLOB), ("x/y", 1, BLOB)], "'x' as a file and as a folder"),
        ([(f"f{number}", 1, BLOB) for number in range(bounds.FILES + 1)], "more than 20,000 files"),
    ],
)
def test_a_listing_that_cannot_be_files_is_refused(entries: list[tuple[object, object, object]], says: str) -> None:
    with pytest.raises(HubError, match=r"^it ") as refused:
        listed(entries, "it", bounds.FILES)
    assert says in str(refused.value)
    assert "Nothing was fetched" in str(refused.value)


def test_a_file_of_somebody_elses_repository_with_another_name_is_passed_over() -> None:
    found = listed([("a:b", 1, BLOB), ("c", 1, BLOB)], "it", bounds.FILES + 1)
    assert list(found) == ["c"]


def test_a_base_that_a_record_names_needs_its_room_first(embedded_hub: EmbeddedHub, tmp_path: Path) -> None:
    """Its size is somebody else's to choose."""
    embedded_hub.api.create_repo("user/base")
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'a' * 64}\nsize {10**15}\n"
    lines = [
        {"key": "header", "value": {"summary": "a petabyte"}},
        {"key": "file", "value": {"path": "model.safetensors", "content": pointer}},
    ]
    embedded_hub.send("POST", "/api/models/user/base/commit/main", "\n".join(map(json.dumps, lines)).encode())
    commit = str(embedded_hub.api.model_info("user/base").sha)
    request = requests.FetchBase(repo_id="user/base", revision=commit, code=False, destination=tmp_path / "base")

    with pytest.raises(HubError, match="bytes; at most"):
        requests.ask(request, {"HF_ENDPOINT": embedded_hub.endpoint}, lambda _: None, tmp_path / "log")


def test_a_download_needs_its_room_first(tmp_path: Path) -> None:
    assert need_room([Listed(path="x", size=3, id=BLOB), Listed(path="y", size=4, id=BLOB)], tmp_path, "it") == 7
    with pytest.raises(HubError, match="at most"):
        need_room([Listed(path="x", size=bounds.TOTAL + 1, id=BLOB)], tmp_path, "it")
    with pytest.raises(PreflightError, match=r"it has [0-9.]+ GiB, and the disk of .* has [0-9.]+ GiB free"):
        need_room([Listed(path="x", size=bounds.TOTAL, id=BLOB)], tmp_path, "it")


@pytest.mark.parametrize("size", [0, 7, client.SMALL, client.SMALL + 1])
def test_a_file_to_send_is_held_where_it_is_small_with_the_hubs_digests(tmp_path: Path, size: int) -> None:
    (tmp_path / "x").write_bytes(b"x" * size)
    held = client.hold(tmp_path / "x")
    assert (held.data is None) == (size > client.SMALL)
    assert held.size == size
    for like in (BLOB, LARGE):
        assert held.id_like(like) == client.content_id(b"x" * size, like=like)
