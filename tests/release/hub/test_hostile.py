"""Hubs that play tricks on who reads a release: none hangs, fills disk or memory, escapes, or ends in a traceback."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from release.cli.__main__ import main
from tests.helpers import hostile_hub
from tests.helpers.hostile_hub import TRICKS, Hub
from tests.helpers.line import ROOT

SLOW = ("trickle", "trickling-file", "trickling-head", "come-back-tomorrow")
SAYS = {
    "twice": "twice",
    "file-and-folder": "as a file and as a folder",
    "many-files": "has more than 20,000 files",
    "size-of-everything": "are fetched",
    "huge-json": "which is no answer to it",
    "pages-for-ever": "the Hub still has more to say",
    "trickle": "was stopped",
    "trickling-file": "was stopped",
    "trickling-head": "was stopped: it took longer than",
    "come-back-tomorrow": "was stopped: it took longer than",
    "more-than-listed": "sends more for",
    "less-than-listed": "are listed there",
    "other-bytes": "is not what it lists there",
    "gzip-bomb": "sends 'gzip' where nothing packed was asked for",
    "gzip-bomb-for-a-file": "sends 'gzip' where nothing packed was asked for",
    "to-a-file-of-this-disk": "sends this client on to 'file://127.0.0.1/etc/passwd'",
    "commit-that-is-a-path": "which is not one",
    "deep-json": "does not answer as a Hub does",
    "list-of-numbers": "does not answer as a Hub does",
}


@pytest.fixture(scope="module")
def hub() -> Iterator[Hub]:
    with hostile_hub.hostile_hub(ROOT / "tests" / "data" / "releases" / "v2") as found:
        yield found


@pytest.fixture(autouse=True)
def _place(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "scratch").mkdir()
    monkeypatch.chdir(tmp_path)
    for name in ("TMPDIR", "HF_HOME"):
        monkeypatch.setenv(name, str(tmp_path / "scratch"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "scratch"))
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setenv("HF_HUB_DISABLE_XET", "1")
    hub.heard.clear()


def verify(hub: Hub, name: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    code: object = 0
    try:
        main(["verify", f"local/{name}@v1", "--hub", hub.endpoint])
    except SystemExit as ended:
        code = ended.code
    said = capsys.readouterr()
    return (code if isinstance(code, int) else 1), said.out + said.err


def test_without_a_trick_the_release_verifies(hub: Hub, capsys: pytest.CaptureFixture[str]) -> None:
    code, said = verify(hub, "honest", capsys)
    assert code == 0, said


@pytest.mark.parametrize("name", sorted(TRICKS))
def test_a_trick_is_stopped_with_a_message(
    hub: Hub, name: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ADAPTER_RELEASE_HUB_TIMEOUT", "0.5" if name in SLOW else "5")
    started = time.monotonic()
    code, said = verify(hub, name, capsys)
    assert code in ((4, 6) if name == "size-of-a-disk" else (6, 7)), said
    assert "Traceback" not in said
    assert SAYS.get(name, "") in said
    assert time.monotonic() - started < 60
    assert "\x1b[2J" not in said
    left = [path for path in (tmp_path / "scratch").rglob("*") if path.is_file() and "fetch.log" not in path.name]
    assert left == []
    assert not any(tmp_path.rglob("escaped"))


def test_a_token_goes_only_to_a_hub_that_it_belongs_to_and_only_when_it_is_needed(
    hub: Hub, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def heard(name: str) -> tuple[str, set[str | None]]:
        hub.heard.clear()
        code, said = verify(hub, name, capsys)
        assert code == (6 if name == "asks-for-a-token" else 0)
        return said, {token for _, token in hub.heard}

    monkeypatch.setenv("HF_TOKEN", "hf_" + "m" * 34)
    monkeypatch.delenv("HF_ENDPOINT", raising=False)
    assert heard("honest")[1] == {None}
    said, tokens = heard("asks-for-a-token")
    assert tokens == {None}
    where = "it belongs to https://huggingface.co. If it is one of this Hub, set HF_ENDPOINT="
    assert f"HF_TOKEN was not sent: {where}{hub.endpoint}" in " ".join(said.split())

    monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
    assert heard("honest")[1] == {None}
    assert heard("asks-for-a-token")[1] == {None, "Bearer hf_" + "m" * 34}
