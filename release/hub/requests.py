"""What can be asked of a Hub: a frozen value for each request, which knows the type of its answer.

A request is answered in a process of its own (`release.publishing.hub_request`), since huggingface_hub reads its Hub
and its token from the environment while it is imported. Between the two processes each value is a file of JSON.
"""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol, TypeVar

from release.running import child, kept
from release.values.artifacts import Attested, Package, Publication
from release.values.errors import HubError
from release.values.events import Say

DATASETS = "datasets/"
"""How a dataset repository's name begins here, as in the Hub's addresses; any other is a model's."""
ANSWERING = "release.publishing.hub_request"
"""The module that answers: named and not imported, for it stands higher, since one of its answers is a publication."""
_DO = "Nothing was taken from it. Check HF_ENDPOINT or publishing.endpoint, then run again."
LARGEST = 64 << 20  # bytes of an answer; the longest names the tensors of a base model, 5 MB for the largest of today

Value = TypeVar("Value")
Answer_co = TypeVar("Answer_co", covariant=True)


class Request(Protocol[Answer_co]):
    """Something to ask, and the type of what comes back."""

    @property
    def answer(self) -> type[Answer_co]: ...


@dataclass(frozen=True, kw_only=True)
class Publish:
    """A package as a tagged commit; its receipt."""

    answer: ClassVar[type[Publication]] = Publication
    package: Package | Attested
    repo_id: str
    tag: str
    private: bool


@dataclass(frozen=True, kw_only=True)
class CheckRights:
    """What would stop a publication of this tag; empty when nothing would."""

    answer: ClassVar[type[tuple[str, ...]]] = tuple[str, ...]
    repo_id: str
    tag: str
    private: bool
    manifest_digests: tuple[str, ...] = ()
    """Of the packages that were made here: a tag that holds one of them is this project's own."""


@dataclass(frozen=True, kw_only=True)
class Fetch:
    """A revision's files in a new folder; its commit."""

    answer: ClassVar[type[str]] = str
    repo_id: str
    revision: str
    destination: Path


@dataclass(frozen=True, kw_only=True)
class Resolve:
    """The commit that a branch or tag names now."""

    answer: ClassVar[type[str]] = str
    repo_id: str
    revision: str


@dataclass(frozen=True, kw_only=True)
class BaseOutline:
    """What a Hub says of a base model beside its small files."""

    license: str | None
    base_model: str | None
    tensors: tuple[str, ...]
    bytes: int


@dataclass(frozen=True, kw_only=True)
class OutlineBase:
    """A base model's small files in a new folder, and what the Hub says of the rest."""

    answer: ClassVar[type[BaseOutline]] = BaseOutline
    repo_id: str
    revision: str
    destination: Path


@dataclass(frozen=True, kw_only=True)
class FetchBase:
    """A base model's files in a new folder."""

    answer: ClassVar[type[None]] = type(None)
    repo_id: str
    revision: str
    code: bool
    destination: Path


@dataclass(frozen=True, kw_only=True)
class FetchAdapter:
    """The files of these names, and those in GGUF, of a repository's top folder, in a new folder."""

    answer: ClassVar[type[None]] = type(None)
    repo_id: str
    commit: str
    names: tuple[str, ...]
    destination: Path


@dataclass(frozen=True, kw_only=True)
class FetchDatasetFile:
    """One file of a dataset repository; its sha256."""

    answer: ClassVar[type[str]] = str
    repo_id: str
    commit: str
    path: str
    destination: Path


@dataclass(frozen=True, kw_only=True)
class Tag:
    """A tag of a repository."""

    tag: str
    commit: str
    release: bool
    """Whether it holds a release."""


@dataclass(frozen=True, kw_only=True)
class History:
    """Every tag older than the tag ``before``; the files that judged each release, in ``folder``."""

    answer: ClassVar[type[tuple[Tag, ...]]] = tuple[Tag, ...]
    repo_id: str
    before: str
    folder: Path


@dataclass(frozen=True, kw_only=True)
class Propose:
    """New text files as a pull request; its address."""

    answer: ClassVar[type[str]] = str
    repo_id: str
    files: Mapping[str, str]
    title: str
    description: str


AnyRequest = (
    Publish
    | CheckRights
    | Fetch
    | Resolve
    | OutlineBase
    | FetchBase
    | FetchAdapter
    | FetchDatasetFile
    | History
    | Propose
)


def ask(request: Request[Answer_co], hub: Mapping[str, str], say: Say, log: Path) -> Answer_co:
    """The answer of the Hub that ``hub`` opens (`address`), from a process that has no other token.

    Raises the ``Stop`` of that process; ``HubError`` for an answer that is not of the request's type.
    """
    with tempfile.TemporaryDirectory() as scratch:
        asked, answered = Path(scratch) / "request.json", Path(scratch) / "answer.json"
        asked.write_bytes(to_json(type(request), request))
        env = {**kept.to_reach_a_hub(), **hub}
        child.call(ANSWERING, type(request).__name__, str(asked), str(answered), say=say, log=log, env=env)
        with answered.open("rb") as file:
            content = file.read(LARGEST + 1)
    return read_answer(request, content)


def read_answer(request: Request[Answer_co], content: bytes) -> Answer_co:
    """The answer that is written there; ``HubError`` for anything else, however long."""
    name = type(request).__name__
    if len(content) > LARGEST:
        raise HubError(f"The answer to {name} has more than {LARGEST:,} bytes: it is not of a Hub. {_DO}")
    try:
        return from_json(request.answer, content)
    except ValueError as error:
        raise HubError(f"The answer to {name} is not what a Hub says: {error}. {_DO}") from None


def to_json(kind: type[Value], value: Value) -> bytes:
    """A value as JSON; ``from_json`` gives it back."""
    from pydantic import TypeAdapter

    return TypeAdapter(kind).dump_json(value)


def from_json(kind: type[Value], content: bytes) -> Value:
    """The value of this type that is written there, nothing converted; ``ValueError`` says what is wrong."""
    from pydantic import TypeAdapter, ValidationError

    try:
        return TypeAdapter(kind).validate_json(content, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = "".join(f"{one}: " for one in first["loc"])
        raise ValueError(f"{where}{first['msg']}, not {str(first['input'])[:100]!r}") from None
