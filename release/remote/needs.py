"""What a candidate needs that the machine which makes it lacks, said before anything is sent there.

A machine of a scheduler's is seen by nobody before: of that nothing is refused, and what it must have is told.
"""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlsplit

from release.config import forms
from release.config.settings import Config
from release.hub import address, requests
from release.publishing import making_machine
from release.remote.system import System
from release.values.errors import PreflightError
from release.values.events import Line, Say


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What is known of that machine; None: nothing."""

    engine: bool | None = None
    """Whether a Docker engine listens."""
    image: bool | None = None
    """Whether its environment says that it is in a pinned image."""
    vllm: bool | None = None
    """Whether it has vLLM, or names a Python that has it."""
    servers: bool | None = None
    """Whether anything else may run on it that is asked at its loopback address."""

    @property
    def pinned(self) -> bool | None:
        return _either(self.image, self.engine)


def seen(told: Mapping[Any, object], system: System) -> Seen:
    """What the program over there told of the machine that the job runs on."""
    known = {name: one if isinstance(one := told.get(name), bool) else None for name in Seen.__dataclass_fields__}
    return Seen() if system.scheduled else Seen(**known)


@dataclass(frozen=True, kw_only=True)
class Need:
    """Something that a candidate is not made without."""

    there: bool | None
    what: str
    do: str


def check(config: Config, system: System, found: Seen, token: str, say: Say) -> None:
    """``PreflightError`` with all that is not there; what may not be there is told."""
    needs = [*_image(config, found), *_vllm(config, found), *_servers(config, found)]
    needs += _private(config, token, say)
    if lacking := [f"{one.what}, which is not so on {system.name}. {one.do}" for one in needs if one.there is False]:
        raise PreflightError("\n".join([*lacking, "Nothing was sent."]))
    for one in needs:
        if one.there is None:
            say(Line(text=f"  not known of {system.name} here: {one.what}"))


def _either(one: bool | None, other: bool | None) -> bool | None:
    return True if one or other else None if one is None or other is None else False


def _image(config: Config, found: Seen) -> Iterator[Need]:
    pinned = found.image if config.container.use == "never" else found.pinned
    if config.container.use == "require":
        yield Need(
            there=pinned,
            what="container.use is require, so training and answering need a Docker engine",
            do="Set container.use: auto, or make the candidate where an engine answers.",
        )
    if making_machine.unpinned_problems(config.publishing, pinned=False):
        to = f"{config.publishing.hf_repo} on {config.publishing.endpoint}"
        yield Need(
            there=pinned,
            what=f"{to} is for others, so training and answering must run in the pinned container image",
            do="Set publishing.allow_unpinned: true (the card will say it), or make the candidate where a Docker "
            "engine answers and container.use is not never.",
        )


def _vllm(config: Config, found: Seen) -> Iterator[Need]:
    if names := [name for name, form in forms.all_of(config).items() if form.engine == "vllm"]:
        yield Need(
            there=found.vllm,
            what=f"serving.{names[0]} is answered by vLLM, so in the environment over there ADAPTER_RELEASE_VLLM must "
            "name a Python that has it (what this shell exports is not sent)",
            do="Set it there, for a job of Hugging Face Jobs in the image that container.image names; or take the form "
            "out of serving.",
        )


def _servers(config: Config, found: Seen) -> Iterator[Need]:
    """Addresses of a loopback, which over there are that machine's own."""
    asked = {f"serving.{name}.url": form.url for name, form in config.serving.items() if form.engine == "openai"}
    for key, url in {**asked, "publishing.endpoint": config.publishing.endpoint}.items():
        if url and urlsplit(url).hostname in address.LOOPBACK:
            yield Need(
                there=False if found.servers is False else None,
                what=f"{key} is {url}, so a server must answer at that address of the machine over there itself",
                do="Name an address that it reaches, or make the candidate here.",
            )


def _private(config: Config, token: str, say: Say) -> Iterator[Need]:
    """Releases that are compared with, and that nobody without a token sees: `candidate` has none on any machine."""
    publishing = config.publishing
    hub = address.of(config)
    if isinstance(hub, address.Folder) or not publishing.private:
        return
    known, homes = False, (address.HUGGING_FACE, os.environ.get("HF_ENDPOINT") or address.HUGGING_FACE)
    if token and address.keeps_secrets(hub.url) and address.origin(hub.url) in map(address.origin, homes):
        with TemporaryDirectory() as scratch:
            asked = requests.History(repo_id=publishing.hf_repo, before=publishing.tag, folder=Path(scratch))
            opened = {"HF_ENDPOINT": hub.url, "HF_TOKEN": token}
            if not requests.ask(asked, opened, say, Path(scratch) / "log"):
                return
        known = True
    yield Need(
        there=False if known else None,
        what=f"{publishing.hf_repo} is private, so releases that it has already must be seen without a token",
        do="`publish` would refuse what was compared with none of them. Make this release where its token is: "
        "adapter-release release",
    )
