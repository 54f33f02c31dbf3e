"""The Hub a command speaks to: a URL, or ``file:FOLDER`` for the embedded one; requests go through a child process."""

import contextlib
import json
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from gates.canonical import canonical_json
from release.running import child
from release.values.errors import ConfigError, HubError, shown
from release.values.events import Say

NAMES = ("HF_TOKEN", "HF_ENDPOINT", "HF_HUB_DISABLE_XET")  # keyless tokens are for publishing alone


@contextlib.contextmanager
def environment(endpoint: str, folder: Path) -> Iterator[dict[str, str]]:
    """What a process needs to speak to ``endpoint``; a ``file:`` path starts from ``folder``."""
    if not re.fullmatch(r"https?://[^/@\s]+[^@\s]*|file:.*[^/].*", endpoint):
        says = f"{shown(endpoint)} is no Hub: write https://HOST without a password, or file:FOLDER."
        raise ConfigError([says])
    if not endpoint.startswith("file:"):
        names = (*child.SECRETS, "HF_HUB_DISABLE_XET")
        yield {"HF_ENDPOINT": endpoint, **{name: os.environ[name] for name in names if os.environ.get(name)}}
        return
    with serving(folder / endpoint.removeprefix("file:").removeprefix("//")) as (url, token):
        yield {"HF_ENDPOINT": url, "HF_TOKEN": token, "HF_HUB_DISABLE_XET": "1"}


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
    return {name: os.environ[name] for name in NAMES if os.environ.get(name)}


def impatient(hub: Mapping[str, str]) -> dict[str, str]:
    """The same for what must be answered in seconds: a Hub that says nothing is away."""
    return {**hub, "ADAPTER_RELEASE_HUB_TIMEOUT": os.environ.get("ADAPTER_RELEASE_HUB_TIMEOUT", "15")}


def ask(request: Mapping[str, Any], hub: Mapping[str, str], say: Say, log: Path) -> dict[str, Any]:
    """Send one request to ``release.publishing.hub_request`` in a process of its own, and return its answer."""
    with tempfile.TemporaryDirectory() as scratch:
        asked, answered = Path(scratch) / "request.json", Path(scratch) / "answer.json"
        asked.write_bytes(canonical_json({**request, "answer": str(answered)}))
        child.call("release.publishing.hub_request", str(asked), say=say, log=log, env=hub)
        answer: dict[str, Any] = json.loads(answered.read_bytes())
        return answer


def fetch(release: str, endpoint: str, destination: Path, say: Say) -> str:
    """Download ``REPO@REVISION`` into a new folder; the commit it is."""
    repo_id, at, revision = release.partition("@")
    if not at or "/" not in repo_id:
        raise ConfigError([f"{release!r} is neither a folder here nor REPO@TAG, such as local/elements@v0.1.0."])
    request = {"do": "fetch", "repo_id": repo_id, "revision": revision, "destination": str(destination)}
    with environment(endpoint, Path.cwd()) as hub:
        return str(ask(request, hub, say, destination.with_name("fetch.log"))["commit"])
