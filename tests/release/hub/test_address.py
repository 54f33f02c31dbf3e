"""Where a Hub is: read once, and then a value that knows what differs."""

from pathlib import Path

import pytest

from release.config import reading
from release.hub import address
from release.hub.address import Folder, Web
from release.running import child, kept
from release.values.errors import ConfigError
from tests.helpers.line import small_config


@pytest.mark.parametrize(
    ("text", "root"),
    [
        ("file:hub", "/srv/hub"),
        ("file:/mnt/hub", "/mnt/hub"),
        ("file:///srv/hub", "/srv/hub"),
        ("file://x", "/srv/x"),
    ],
)
def test_a_folder_starts_from_who_names_it(text: str, root: str) -> None:
    assert address.parse(text, Path("/srv")) == Folder(root=Path(root), written=text)


@pytest.mark.parametrize(
    ("url", "public"),
    [
        ("https://huggingface.co", True),
        ("http://hub.example:8080", True),
        ("http://127.0.0.1:80", False),
        ("http://localhost", False),
        ("http://[::1]:80", False),
    ],
)
def test_a_hub_on_loopback_is_not_public(url: str, public: bool) -> None:
    assert address.parse(url, Path("/srv")) == Web(url=url)
    assert Web(url=url).is_public is public
    assert Folder(root=Path("/hub"), written="file:/hub").is_public is False


@pytest.mark.parametrize(
    "text", ["", "file:", "file:/", "huggingface.co", "ftp://hub", "https://me:secret@hub.example"]
)
def test_what_names_no_hub_is_refused_with_what_to_write(text: str) -> None:
    with pytest.raises(ConfigError, match="write https://HOST without a password, or file:FOLDER"):
        address.parse(text, Path("/srv"))


def test_a_record_names_no_folder_of_this_machine(tmp_path: Path) -> None:
    loaded = reading.load(small_config(tmp_path, publishing={"endpoint": f"file:{tmp_path}/mine"}))

    assert address.of(loaded).recorded == "file:hub"
    assert Web(url="https://hub.example").recorded == "https://hub.example"


def test_it_says_how_to_look_at_a_release() -> None:
    folder = address.parse("file:hub", Path("/srv"))

    assert folder.look("local/x", "v1") == "git clone hub/models/local/x.git"
    assert Web(url="https://hub.example").look("me/x", "v1") == "https://hub.example/me/x/tree/v1"


def test_the_embedded_hub_gets_its_own_token_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in kept.SECRETS:
        monkeypatch.setenv(name, "of another Hub")

    with address.parse("file:hub", tmp_path).opened() as hub:
        assert hub["HF_ENDPOINT"].startswith("http://127.0.0.1:")
        assert hub["HF_TOKEN"] == (tmp_path / "hub" / "token").read_text().strip()
        assert "of another Hub" not in hub.values()


@pytest.mark.parametrize(
    ("url", "home", "sent"),
    [
        ("https://huggingface.co", "", True),
        ("https://huggingface.co/", "", True),
        ("https://huggingface.co:443", "", True),
        ("https://huggingface.co", "https://hub.example", True),
        ("https://hub.example", "https://hub.example/", True),
        ("https://hub.example", "", False),
        ("https://hub.example:8443", "https://hub.example", False),
        ("https://huggingface.co.example", "", False),
        ("http://huggingface.co", "", False),
        ("http://hub.example", "http://hub.example", False),
        ("http://127.0.0.1:80", "http://127.0.0.1:80", True),
        ("http://127.0.0.1:80", "", False),
        ("http://127.0.0.1.example", "http://127.0.0.1.example", False),
    ],
)
def test_who_only_reads_gives_a_token_to_the_hub_that_it_belongs_to(
    monkeypatch: pytest.MonkeyPatch, url: str, home: str, sent: bool
) -> None:
    for name in kept.SECRETS:
        monkeypatch.setenv(name, f"the {name}")
    monkeypatch.setenv("HF_ENDPOINT", home)
    with Web(url=url).read() as hub:
        assert hub.get("HF_TOKEN") == ("the HF_TOKEN" if sent else None)
        assert not (set(kept.SECRETS) - {"HF_TOKEN"}) & hub.keys()
    assert bool(Web(url=url).withheld) is not sent
    monkeypatch.delenv("HF_TOKEN")
    assert Web(url=url).withheld == ""


@pytest.mark.parametrize("name", kept.SECRETS)
def test_nothing_is_published_where_everybody_hears_the_token(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    for other in kept.SECRETS:
        monkeypatch.delenv(other, raising=False)
    with Web(url="http://hub.example").opened() as hub:
        assert not set(kept.SECRETS) & hub.keys()
    monkeypatch.setenv(name, "secret")
    with (
        pytest.raises(ConfigError, match=r"is not encrypted, and a token .*ssh -L"),
        Web(url="http://hub.example").opened(),
    ):
        pass
    monkeypatch.setenv("HF_ENDPOINT", "http://hub.example")
    monkeypatch.setenv("HF_TOKEN", "secret")
    assert "HF_TOKEN" not in address.of_environment()


def test_a_hub_at_an_address_gets_every_secret_that_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in kept.SECRETS:
        monkeypatch.setenv(name, f"the {name}")
    monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_URL", "")
    monkeypatch.setenv(child.SERVER_KEY, "of a served model")

    with Web(url="https://hub.example").opened() as hub:
        assert hub["HF_ENDPOINT"] == "https://hub.example"
        assert hub["HF_TOKEN"] == "the HF_TOKEN"
        assert "ACTIONS_ID_TOKEN_REQUEST_URL" not in hub
        assert child.SERVER_KEY not in hub
