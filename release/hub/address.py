"""Where a Hub is, a web address or ``file:FOLDER`` for the embedded one, and what a process needs to speak to it."""

import contextlib
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar
from urllib.parse import urlsplit

from release.config.settings import Config
from release.hub import requests
from release.running import kept
from release.values.errors import ConfigError, HubError, shown
from release.values.events import Say

NAMES = ("HF_TOKEN", "HF_ENDPOINT", "HF_HUB_DISABLE_XET")  # keyless tokens are for publishing alone
LOOPBACK = ("127.0.0.1", "::1", "localhost")
HUGGING_FACE = "https://huggingface.co"
_TUNNEL = "Use its https:// address, or a tunnel: ssh -L 8080:localhost:PORT HOST, then http://127.0.0.1:8080."
EMBEDDED = "file:hub"
"""What a record says of every embedded Hub: no folder of a machine is named."""


@dataclass(frozen=True, kw_only=True)
class Folder:
    """The embedded Hub over a folder of this disk, served on loopback while somebody speaks to it."""

    root: Path
    written: str
    """As a configuration or a command names it."""
    is_public: ClassVar[bool] = False
    """Whether others read there."""
    recorded: ClassVar[str] = EMBEDDED
    """What a record says of it."""

    @contextlib.contextmanager
    def opened(self) -> Iterator[dict[str, str]]:
        """What a process needs to speak to it: its own token, and none of the environment's."""
        with serving(self.root) as (url, token):
            yield {"HF_ENDPOINT": url, "HF_TOKEN": token, "HF_HUB_DISABLE_XET": "1"}

    read = opened
    withheld: ClassVar[str] = ""

    def look(self, repo_id: str, tag: str) -> str:  # noqa: ARG002  a clone has every tag
        """How to look at a release there."""
        name = repo_id if repo_id.startswith(requests.DATASETS) else f"models/{repo_id}"
        return f"git clone {self.written.removeprefix('file:')}/{name}.git"


@dataclass(frozen=True, kw_only=True)
class Web:
    """A Hub that answers at an address."""

    url: str

    @property
    def is_public(self) -> bool:
        """Whether others read there; a Hub on loopback has one user."""
        return urlsplit(self.url).hostname not in LOOPBACK

    @property
    def recorded(self) -> str:
        """What a record says of it."""
        return self.url

    @contextlib.contextmanager
    def opened(self) -> Iterator[dict[str, str]]:
        """What a process needs to publish there: the tokens of the environment. ``ConfigError`` where others hear."""
        found = {name: os.environ[name] for name in kept.SECRETS if os.environ.get(name)}
        if found and not keeps_secrets(self.url):
            raise ConfigError(
                [f"{self.url} is not encrypted, and a token sent there can be read on the way. {_TUNNEL}"]
            )
        yield {"HF_ENDPOINT": self.url, **_settings(), **found}

    @contextlib.contextmanager
    def read(self) -> Iterator[dict[str, str]]:
        """What a process needs to read there: a token only where it belongs to this Hub, for what is not public."""
        token = os.environ.get("HF_TOKEN")
        mine = {"HF_TOKEN": token} if token and not self.withheld else {}
        yield {"HF_ENDPOINT": self.url, **_settings(), **mine}

    @property
    def withheld(self) -> str:
        """Why the token of the environment is not for this Hub; empty where it is, or where there is none."""
        if not os.environ.get("HF_TOKEN"):
            return ""
        if not keeps_secrets(self.url):
            return f"HF_TOKEN was not sent: {self.url} is not encrypted. {_TUNNEL}"
        homes = (HUGGING_FACE, os.environ.get("HF_ENDPOINT") or HUGGING_FACE)
        if origin(self.url) in map(origin, homes):
            return ""
        return f"HF_TOKEN was not sent: it belongs to {homes[1]}. If it is one of this Hub, set HF_ENDPOINT={self.url}."

    def look(self, repo_id: str, tag: str) -> str:
        """How to look at a release there."""
        return f"{self.url}/{repo_id}/tree/{tag}"


HubAddress = Folder | Web


def origin(url: str) -> tuple[str, str | None, int | None]:
    """Scheme, host and port: who hears what is sent to an address."""
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)


def keeps_secrets(url: str) -> bool:
    """Whether nobody on the way can read what is sent to an address: it is encrypted, or stays on this machine."""
    parts = urlsplit(url)
    return parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK)


def _settings() -> dict[str, str]:
    xet = os.environ.get("HF_HUB_DISABLE_XET")
    return {"HF_HUB_DISABLE_XET": xet} if xet else {}


def parse(text: str, folder: Path) -> HubAddress:
    """The Hub that a text names; a ``file:`` path starts from ``folder``. ``ConfigError`` where it names none."""
    if not re.fullmatch(r"https?://[^/@\s]+[^@\s]*|file:.*[^/].*", text):
        says = f"{shown(text)} is not a Hub: write https://HOST without a password, or file:FOLDER."
        raise ConfigError([says])
    if not text.startswith("file:"):
        return Web(url=text)
    return Folder(root=folder / text.removeprefix("file:").removeprefix("//"), written=text)


def of(config: Config) -> HubAddress:
    """The Hub that a configuration publishes to."""
    return parse(config.publishing.endpoint, config.path.parent)


@contextlib.contextmanager
def serving(root: Path, port: int = 0) -> Iterator[tuple[str, str]]:
    """Address and token of the embedded Hub in ``root``, served on this machine while the block lasts."""
    from hub_folder.faults import Unusable
    from hub_folder.server import read_or_create_token, serve

    with contextlib.ExitStack() as stack:
        try:
            token = read_or_create_token(root)
            url = stack.enter_context(serve(root, token=token, port=port))
        except Unusable as fault:
            raise HubError(str(fault)) from None
        yield url, token


def of_environment() -> dict[str, str]:
    """What a process needs to speak to the Hub that HF_ENDPOINT names; without it, to the Hugging Face Hub."""
    found = {name: os.environ[name] for name in NAMES if os.environ.get(name)}
    if not keeps_secrets(found.get("HF_ENDPOINT", HUGGING_FACE)):
        found.pop("HF_TOKEN", None)
    return found


def impatient(hub: Mapping[str, str]) -> dict[str, str]:
    """The same for what must be answered in seconds: a Hub that says nothing is away."""
    return {**hub, "ADAPTER_RELEASE_HUB_TIMEOUT": os.environ.get("ADAPTER_RELEASE_HUB_TIMEOUT", "15")}


def fetch(release: str, there: HubAddress, destination: Path, say: Say) -> str:
    """Download ``REPO@REVISION`` into a new folder; the commit it is."""
    repo_id, at, revision = release.partition("@")
    if not at or "/" not in repo_id:
        raise ConfigError([f"{release!r} is neither a folder here nor REPO@TAG, such as local/elements@v0.1.0."])
    request = requests.Fetch(repo_id=repo_id, revision=revision, destination=destination)
    with there.read() as hub:
        try:
            return requests.ask(request, hub, say, destination.with_name("fetch.log"))
        except HubError as refused:
            raise (HubError(f"{refused}\n{there.withheld}") if there.withheld else refused) from None
