"""Everything said to a Hub about releases; every failure leaves as a HubError that says what to do."""

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypedDict

import httpx2
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, get_session, hf_hub_url
from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError, RevisionNotFoundError
from huggingface_hub.hf_api import RepoFile
from huggingface_hub.utils._headers import build_hf_headers
from huggingface_hub.utils._http import hf_raise_for_status

from release.hub import advice
from release.hub.download import Listed, digest_of, listed, need_room, save
from release.hub.requests import DATASETS
from release.hub.session import api, asking, endpoint, usable_token
from release.hub.wire import TIMEOUT
from release.values import bounds
from release.values.errors import HubError

GITATTRIBUTES = ".gitattributes"
"""The Hub's own file: it says what is kept in LFS. Releases neither hold nor change it."""
LINE = 512
"""Bytes of a file in a listing."""
_COMMIT = re.compile("[0-9a-f]{40}")


@dataclass(frozen=True, kw_only=True)
class Identity:
    name: str
    role: str
    """'read', 'write' or 'fineGrained'; empty where the Hub does not say."""
    namespaces: frozenset[str]
    """The user and its organisations: where this token's owner may have repositories."""


@dataclass(frozen=True, kw_only=True)
class Repo:
    private: bool
    head: str
    """The commit that main is at."""


def whoami() -> Identity:
    """Whose token this is."""
    with asking("Checking the token"):
        answer = api(must_write=True).whoami()
        role = answer.get("auth", {}).get("accessToken", {}).get("role", "")
        namespaces = {answer["name"], *(organisation["name"] for organisation in answer.get("orgs", []))}
    return Identity(name=answer["name"], role=role, namespaces=frozenset(namespaces))


def may_write(repo_id: str) -> bool:
    """False when the Hub says that this token may not write to an existing repository; not every Hub can say."""
    with asking(f"Checking the right to write to {repo_id}"):
        try:
            api(must_write=True).auth_check(**named(repo_id), write=True)
        except HfHubHTTPError as error:
            if error.response.status_code == HTTPStatus.NOT_FOUND:
                return True
            if error.response.status_code != HTTPStatus.FORBIDDEN:
                raise
            return False
    return True


class Named(TypedDict):
    repo_id: str
    repo_type: str


def named(repo_id: str) -> Named:
    """A repository by name and kind, as huggingface_hub asks for both."""
    if repo_id.startswith(DATASETS) and repo_id.count("/") > 1:
        return {"repo_id": repo_id.removeprefix(DATASETS), "repo_type": "dataset"}
    return {"repo_id": repo_id, "repo_type": "model"}


def repo(repo_id: str) -> Repo | None:
    """The repository as it is now; None when there is none that this token may see."""
    with asking(f"Looking up {repo_id}"):
        try:
            info = api().repo_info(**named(repo_id), timeout=TIMEOUT)
        except RepositoryNotFoundError:
            return None
    if info.private is None or info.sha is None:
        raise HubError(f"{endpoint()} does not say whether {repo_id} is private or where main is: it is not a Hub.")
    return Repo(private=info.private, head=info.sha)


def create_repo(repo_id: str, *, private: bool) -> None:
    """Make a repository. One that exists stays as it is, its visibility too."""
    with asking(f"Creating the repository {repo_id}"):
        api(must_write=True).create_repo(**named(repo_id), private=private, exist_ok=True)


def tags(repo_id: str) -> dict[str, str]:
    """Every tag with the commit it names."""
    with asking(f"Reading the tags of {repo_id}"):
        return {str(tag.name): _commit(tag.target_commit) for tag in api().list_repo_refs(**named(repo_id)).tags}


def commits(repo_id: str) -> list[tuple[str, str]]:
    """(commit, message body) of everything on main, newest first."""
    with asking(f"Reading the history of {repo_id}"):
        history = api().list_repo_commits(**named(repo_id))
        return [(_commit(commit.commit_id), str(commit.message)) for commit in history]


def resolve(repo_id: str, revision: str) -> str:
    """The commit that a tag, branch or commit names now."""
    with asking(f"Looking up {revision} of {repo_id}"):
        try:
            sha = api().repo_info(**named(repo_id), revision=revision, timeout=TIMEOUT).sha
        except RevisionNotFoundError:
            sha = None
    if sha is None:
        known = ", ".join(sorted(tags(repo_id))) or "none"
        raise HubError(f"{repo_id} at {endpoint()} has no revision {revision!r}. Tags there: {known}.")
    return _commit(sha)


def _commit(said: object) -> str:
    """A commit's name, which becomes part of paths here."""
    if not isinstance(said, str) or not _COMMIT.fullmatch(said):
        raise HubError(f"{endpoint()} calls a commit {said!r:.100}, which is not one. {advice.NOT_A_HUB}")
    return said


def message(repo_id: str, commit: str) -> str:
    """The message body of a commit, which need not be on main."""
    with asking(f"Reading commit {commit} of {repo_id}"):
        return api().list_repo_commits(**named(repo_id), revision=commit)[0].message


def listing(repo_id: str, revision: str, *, most: int = bounds.FILES) -> dict[str, Listed]:
    """Every file as the Hub lists it, less its own `.gitattributes`; ``HubError`` for what is not a listing."""
    with asking(f"Listing the files of {repo_id} at {revision}", listing=most * LINE):
        entries = api().list_repo_tree(**named(repo_id), revision=revision, recursive=True)
        files = (entry for entry in entries if isinstance(entry, RepoFile))
        said = ((file.path, file.size, file.lfs.sha256 if file.lfs else file.blob_id) for file in files)
        found = listed(said, f"{repo_id} at {revision} of {endpoint()}", most)
    return {path: file for path, file in found.items() if path != GITATTRIBUTES}


def tree(repo_id: str, revision: str) -> dict[str, str]:
    """Every file with what the Hub says it holds: a sha256 (64 digits) for LFS, a git blob's sha1 (40 digits) else."""
    return {path: file.id for path, file in listing(repo_id, revision).items()}


@dataclass(frozen=True, kw_only=True)
class Held:
    """A file to send: its digests, and its bytes where it is small."""

    source: Path
    data: bytes | None
    """None: read from ``source`` while it is sent, and held to its sha256 by the Hub."""
    size: int
    sha256: str
    blob: str
    """The sha1 of a git blob."""

    def id_like(self, other: str) -> str:
        """What `tree` says of a file that holds this."""
        return self.blob if len(other) == len(self.blob) else self.sha256


SMALL = 8 << 20  # bytes; the Hub keeps larger files in LFS, where no byte of them can be another


def hold(path: Path) -> Held:
    """A file as it is now, read once."""
    size = path.stat().st_size
    kept = bytearray() if size <= SMALL else None
    sha256, blob = hashlib.sha256(), digest_of("", size)
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            sha256.update(block)
            blob.update(block)
            if kept is not None:
                kept += block
    data = None if kept is None else bytes(kept)
    return Held(source=path, data=data, size=size, sha256=sha256.hexdigest(), blob=blob.hexdigest())


@dataclass(frozen=True, kw_only=True)
class Change:
    """One commit to make on main."""

    add: Mapping[str, Held]
    delete: tuple[str, ...]
    parent: str
    title: str
    description: str


def commit(repo_id: str, change: Change) -> str:
    """Make the commit if main is still at its parent. After a HubError it may be there all the same."""
    with asking(f"Committing to {repo_id}", files=sum(file.size for file in change.add.values())):
        adding = {path: CommitOperationAdd(path, file.data or str(file.source)) for path, file in change.add.items()}
        for path, one in adding.items():
            if one.upload_info.sha256.hex() != change.add[path].sha256:
                raise HubError(f"{change.add[path].source} changed while it was to be sent. Nothing was. Run again.")
        return (
            api(must_write=True)
            .create_commit(
                **named(repo_id),
                operations=[
                    *adding.values(),
                    *(CommitOperationDelete(path, is_folder=False) for path in change.delete),
                ],
                commit_message=change.title,
                commit_description=change.description,
                parent_commit=change.parent,
            )
            .oid
        )


def propose(repo_id: str, files: Mapping[str, str], *, title: str, description: str) -> str:
    """Offer new text files as a pull request over main, and return its address; main stays as it is."""
    with asking(f"Opening a pull request in {repo_id}"):
        made = api(must_write=True).create_commit(
            repo_id,
            [CommitOperationAdd(path, text.encode()) for path, text in files.items()],
            commit_message=title,
            commit_description=description,
            create_pr=True,
        )
    return str(made.pr_url)


def tag(repo_id: str, name: str, *, commit: str, message: str) -> None:
    """Make an annotated tag, never move one. After a HubError it may be there all the same."""
    with asking(f"Tagging commit {commit} of {repo_id} as {name}"):
        api(must_write=True).create_tag(**named(repo_id), tag=name, tag_message=message, revision=commit)


def download(repo_id: str, commit: str, files: Sequence[Listed], destination: Path) -> list[str]:
    """These files of a commit in a folder that does not exist yet, each as it arrives, past every cache.

    A line for each that is not what is listed; the folder is there only where all are.
    """
    wrong = []
    size = need_room(files, destination.parent, f"{repo_id} at {commit} of {endpoint()}")
    headers = build_hf_headers(token=usable_token() or False)

    @contextmanager
    def get(path: str, more: Mapping[str, str]) -> Iterator[httpx2.Response]:
        url = hf_hub_url(**named(repo_id), filename=path, revision=commit, endpoint=endpoint())
        with get_session().stream("GET", url, headers={**headers, **more}) as response:
            hf_raise_for_status(response)
            yield response

    with (
        asking(f"Downloading {repo_id} at {commit}", files=size, number=len(files)),
        scratch_beside(destination) as scratch,
    ):
        (scratch / "files").mkdir()
        for file in files:
            wrong += [problem] if (problem := save(get, file, scratch / "files" / file.path)) else []
        if not wrong:
            (scratch / "files").rename(destination)
    return wrong


def not_as_listed(repo_id: str, commit: str, wrong: Sequence[str]) -> str:
    """What to say of files that are not what a Hub lists."""
    lines = "\n  ".join(wrong)
    return (
        f"What {endpoint()} sent for {repo_id} at {commit} is not what it lists there:\n  {lines}\n"
        "Nothing was kept. Run again; if that does not help, the Hub's store is damaged: restore it there."
    )


def content_id(data: bytes, *, like: str) -> str:
    """What `tree` says of a file that holds this: a sha256, or where ``like`` is one the sha1 of a git blob."""
    digest = digest_of(like, len(data))
    digest.update(data)
    return digest.hexdigest()


@contextmanager
def scratch_beside(destination: Path) -> Iterator[Path]:
    """A folder beside ``destination``, on the same disk, that goes away."""
    with TemporaryDirectory(dir=destination.parent, prefix=".download-") as folder:
        yield Path(folder)
