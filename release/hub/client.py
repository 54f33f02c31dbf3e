"""Everything said to a Hub, through huggingface_hub alone; every failure leaves as a HubError that says what to do.

huggingface_hub reads HF_ENDPOINT while it is imported: a stage that needs another endpoint is another process.
"""

import errno
import hashlib
import logging
import os
import re
import shutil
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from glob import escape
from http import HTTPStatus
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypedDict

os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
if not sys.stderr.isatty():
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")

# Imported here, not above: these modules read the two settings while they are imported.
import httpx2
from huggingface_hub import (
    CommitOperationAdd,
    CommitOperationDelete,
    HfApi,
    constants,
    get_session,
    get_token,
    hf_hub_url,
    set_client_factory,
)
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    OfflineModeIsEnabled,
    OIDCError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.hf_api import RepoFile
from huggingface_hub.utils._headers import build_hf_headers
from huggingface_hub.utils._http import default_client_factory, hf_raise_for_status

from release.hub import advice, wire
from release.hub.base_files import wanted
from release.hub.download import Listed, digest_of, listed, need_room, save
from release.hub.requests import BaseOutline
from release.hub.wire import TIMEOUT, Question
from release.values import bounds
from release.values.artifacts import write_atomically
from release.values.errors import HubError

GITATTRIBUTES = ".gitattributes"
"""The Hub's own file: it says what is kept in LFS. Releases neither hold nor change it."""

OTHERS_FILES = 100_000
"""In a repository that is not of a release: datasets are kept in many."""
LINE = 512
"""Bytes of a file in a listing."""
OUTLINE = 256 << 20
"""Bytes of a base model's small files and of the heads of its weights: 20 MB for the largest of today."""
SMALL_FILES = (
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "chat_template.jinja",
)
"""What says of a base model all but its weights."""

ADVICE_BY_KIND: tuple[tuple[type[Exception], str], ...] = (
    (OfflineModeIsEnabled, "HF_HUB_OFFLINE forbids every request. Unset it and run again."),
    (httpx2.TimeoutException, f"No byte for {TIMEOUT:g} s. Run again, or set ADAPTER_RELEASE_HUB_TIMEOUT to more."),
    (httpx2.TransportError, advice.UNREACHABLE),
    (ConnectionError, advice.UNREACHABLE),
    (ValueError, "The Hub and this client disagree on a value. The message above names it: correct it and run again."),
)

FAILURES = (httpx2.HTTPError, httpx2.InvalidURL, OSError, RuntimeError, ValueError, OIDCError)
"""All that huggingface_hub and the libraries under it raise for a Hub that refuses, fails or cannot be reached."""
SHAPES = (LookupError, TypeError, AttributeError, RecursionError)
"""What they raise for an answer of another shape: they look into it without looking at it."""
WANTS_A_TOKEN = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND)
"""How a Hub answers who may not see something."""
SHORT = 8
"""Characters of a part of a secret that is left out of messages by itself."""
_COMMIT = re.compile("[0-9a-f]{40}")
_open_only: ContextVar[bool] = ContextVar("_open_only", default=False)


class Refused(HubError):
    """A Hub's answer that is a refusal."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


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


def endpoint() -> str:
    """The Hub that this process speaks to."""
    return str(constants.ENDPOINT)


def keyless() -> bool:
    """Whether this process asks the Hub for its own token (HF_OIDC_RESOURCE): it writes to one existing repository."""
    return bool(os.environ.get("HF_OIDC_RESOURCE"))


def redact(text: str) -> str:
    """``text`` without tokens and without the signatures of upload addresses."""
    for name in ("HF_TOKEN", "ACTIONS_ID_TOKEN_REQUEST_TOKEN", "HF_OIDC_ID_TOKEN"):
        secret = os.environ.get(name, "")
        parts = [part for part in secret.split() if len(part) >= SHORT]  # libraries quote a line end in it as \\n
        for one in filter(None, [secret, *parts]):
            text = text.replace(one, "hf_REDACTED")
    # a token of the Hub, those of a keyless exchange (hf_jwt_...) among them; a bare JWT, as CI providers sign them
    text = re.sub(r"hf_\w{20,}(\.[\w-]+)*|\beyJ[\w-]{8,}(\.[\w-]+)+", "hf_REDACTED", text)
    return re.sub(r"([?&](?:sig|X-Amz-[\w-]+)=)[^&\s\"']+", r"\1REDACTED", text)


def redact_record(record: logging.LogRecord) -> bool:
    """A logging filter that lets every record through, redacted."""
    record.msg, record.args = redact(record.getMessage()), ()
    return True


def whoami() -> Identity:
    """Whose token this is."""
    with _asking("Checking the token"):
        answer = _api(must_write=True).whoami()
        role = answer.get("auth", {}).get("accessToken", {}).get("role", "")
        namespaces = {answer["name"], *(organisation["name"] for organisation in answer.get("orgs", []))}
    return Identity(name=answer["name"], role=role, namespaces=frozenset(namespaces))


def may_write(repo_id: str) -> bool:
    """False when the Hub says that this token may not write to an existing repository; not every Hub can say."""
    with _asking(f"Checking the right to write to {repo_id}"):
        try:
            _api(must_write=True).auth_check(**_named(repo_id), write=True)
        except HfHubHTTPError as error:
            if error.response.status_code == HTTPStatus.NOT_FOUND:
                return True
            if error.response.status_code != HTTPStatus.FORBIDDEN:
                raise
            return False
    return True


DATASETS = "datasets/"
"""How a dataset repository's name begins here, as in the Hub's addresses; any other is a model's."""


class _Named(TypedDict):
    repo_id: str
    repo_type: str


def _named(repo_id: str) -> _Named:
    """A repository by name and kind, as huggingface_hub asks for both."""
    if repo_id.startswith(DATASETS) and repo_id.count("/") > 1:
        return {"repo_id": repo_id.removeprefix(DATASETS), "repo_type": "dataset"}
    return {"repo_id": repo_id, "repo_type": "model"}


def repo(repo_id: str) -> Repo | None:
    """The repository as it is now; None when there is none that this token may see."""
    with _asking(f"Looking up {repo_id}"):
        try:
            info = _api().repo_info(**_named(repo_id), timeout=TIMEOUT)
        except RepositoryNotFoundError:
            return None
    if info.private is None or info.sha is None:
        raise HubError(f"{endpoint()} does not say whether {repo_id} is private or where main is: it is not a Hub.")
    return Repo(private=info.private, head=info.sha)


def create_repo(repo_id: str, *, private: bool) -> None:
    """Make a repository. One that exists stays as it is, its visibility too."""
    with _asking(f"Creating the repository {repo_id}"):
        _api(must_write=True).create_repo(**_named(repo_id), private=private, exist_ok=True)


def tags(repo_id: str) -> dict[str, str]:
    """Every tag with the commit it names."""
    with _asking(f"Reading the tags of {repo_id}"):
        return {str(tag.name): _commit(tag.target_commit) for tag in _api().list_repo_refs(**_named(repo_id)).tags}


def commits(repo_id: str) -> list[tuple[str, str]]:
    """(commit, message body) of everything on main, newest first."""
    with _asking(f"Reading the history of {repo_id}"):
        history = _api().list_repo_commits(**_named(repo_id))
        return [(_commit(commit.commit_id), str(commit.message)) for commit in history]


def resolve(repo_id: str, revision: str) -> str:
    """The commit that a tag, branch or commit names now."""
    with _asking(f"Looking up {revision} of {repo_id}"):
        try:
            sha = _api().repo_info(**_named(repo_id), revision=revision, timeout=TIMEOUT).sha
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
    with _asking(f"Reading commit {commit} of {repo_id}"):
        return _api().list_repo_commits(**_named(repo_id), revision=commit)[0].message


def listing(repo_id: str, revision: str, *, most: int = bounds.FILES) -> dict[str, Listed]:
    """Every file as the Hub lists it, less its own `.gitattributes`; ``HubError`` for what is not a listing."""
    with _asking(f"Listing the files of {repo_id} at {revision}", listing=most * LINE):
        entries = _api().list_repo_tree(**_named(repo_id), revision=revision, recursive=True)
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
    with _asking(f"Committing to {repo_id}", files=sum(file.size for file in change.add.values())):
        adding = {path: CommitOperationAdd(path, file.data or str(file.source)) for path, file in change.add.items()}
        for path, one in adding.items():
            if one.upload_info.sha256.hex() != change.add[path].sha256:
                raise HubError(f"{change.add[path].source} changed while it was to be sent. Nothing was. Run again.")
        return (
            _api(must_write=True)
            .create_commit(
                **_named(repo_id),
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
    with _asking(f"Opening a pull request in {repo_id}"):
        made = _api(must_write=True).create_commit(
            repo_id,
            [CommitOperationAdd(path, text.encode()) for path, text in files.items()],
            commit_message=title,
            commit_description=description,
            create_pr=True,
        )
    return str(made.pr_url)


def tag(repo_id: str, name: str, *, commit: str, message: str) -> None:
    """Make an annotated tag, never move one. After a HubError it may be there all the same."""
    with _asking(f"Tagging commit {commit} of {repo_id} as {name}"):
        _api(must_write=True).create_tag(**_named(repo_id), tag=name, tag_message=message, revision=commit)


def download(repo_id: str, commit: str, files: Sequence[Listed], destination: Path) -> list[str]:
    """These files of a commit in a folder that does not exist yet, each as it arrives, past every cache.

    A line for each that is not what is listed; the folder is there only where all are.
    """
    wrong = []
    size = need_room(files, destination.parent, f"{repo_id} at {commit} of {endpoint()}")
    headers = build_hf_headers(token=_token() or False)

    @contextmanager
    def get(path: str, more: Mapping[str, str]) -> Iterator[httpx2.Response]:
        url = hf_hub_url(**_named(repo_id), filename=path, revision=commit, endpoint=endpoint())
        with get_session().stream("GET", url, headers={**headers, **more}) as response:
            hf_raise_for_status(response)
            yield response

    with _asking(f"Downloading {repo_id} at {commit}", files=size, number=len(files)), _scratch(destination) as scratch:
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


def download_base(repo_id: str, destination: Path, *, revision: str, code: bool) -> None:
    """A base model's files at a commit: weights as safetensors only, since pickles run code when they are read."""
    there = listing(repo_id, revision, most=OTHERS_FILES)
    names = wanted(there, code=code)
    _refuse_pickles(repo_id, revision, names)
    where = f"{repo_id} at {revision} of {endpoint()}"
    size = need_room((there[name] for name in names), destination.parent, where, elsewhere="ADAPTER_RELEASE_CACHE")
    with (
        _asking(f"Downloading {repo_id} at {revision}", files=size, number=len(there)),
        _scratch(destination) as scratch,
    ):
        files = scratch / "files"
        _api().snapshot_download(
            repo_id,
            revision=revision,
            allow_patterns=[escape(name) for name in names],
            local_dir=files,
            cache_dir=scratch / "cache",
        )
        _api().verify_repo_checksums(repo_id, revision=revision, local_dir=files)
        shutil.rmtree(files / ".cache")
        files.rename(destination)


def outline_base(repo_id: str, destination: Path, *, revision: str) -> BaseOutline:
    """A base model at a commit without its weights: small files in a folder, and what the Hub says of the rest.

    The names of the tensors come from the first bytes of each safetensors file. ``bytes`` are those of all that
    `download_base` fetches, but for code.
    """
    with _asking(f"Looking up {repo_id} at {revision}"):
        try:
            info = _api().model_info(repo_id, revision=revision, files_metadata=True, timeout=TIMEOUT)
        except RevisionNotFoundError:
            raise HubError(
                f"{repo_id} at {endpoint()} has no commit {revision}. Check model.revision against its history there."
            ) from None
    files = {file.rfilename: file.size or 0 for file in info.siblings or ()}
    kept = wanted(files, code=False)
    _refuse_pickles(repo_id, revision, kept)
    with (
        _asking(f"Reading the outline of {repo_id} at {revision}", files=OUTLINE, number=len(files)),
        _scratch(destination) as scratch,
    ):
        _api().snapshot_download(
            repo_id,
            revision=revision,
            allow_patterns=list(SMALL_FILES),
            local_dir=scratch / "files",
            cache_dir=scratch / "cache",
        )
        weights = _api().get_safetensors_metadata(repo_id, revision=revision, timeout=TIMEOUT)
        shutil.rmtree(scratch / "files" / ".cache")
        (scratch / "files").rename(destination)
    card = info.card_data
    licences, origins = (_names(card.get(name) if card else None) for name in ("license", "base_model"))
    return BaseOutline(
        license=", ".join(licences) or None,  # several are one that nobody knows: it has its own terms
        base_model=origins[0] if len(origins) == 1 else None,
        tensors=tuple(sorted(weights.weight_map)),
        bytes=sum(files[name] for name in kept),
    )


def _names(said: object) -> list[str]:
    """What a card names, once or in a list."""
    return [str(one) for one in (said if isinstance(said, list) else [said]) if one]


def download_adapter(repo_id: str, destination: Path, *, commit: str, names: Collection[str]) -> None:
    """The files of these names of a repository's top folder at a commit; those in GGUF where it has no others' weights.

    A pickle, or a whole model, is an empty file here: that it is there is to be told, and nothing reads it.
    """
    there = listing(repo_id, commit, most=OTHERS_FILES)
    top = [one for name, one in there.items() if "/" not in name]
    has_weights = any(one.path in names and one.path.endswith(".safetensors") for one in top)
    wanted_ = [one for one in top if one.path in names or (one.path.endswith(".gguf") and not has_weights)]
    if wrong := download(repo_id, commit, wanted_, destination):
        raise HubError(not_as_listed(repo_id, commit, wrong))
    for one in top:
        if one not in wanted_ and one.path.endswith((".bin", ".pt", ".safetensors")):
            (destination / one.path).touch()


def download_dataset_file(repo_id: str, destination: Path, *, commit: str, path: str) -> str:
    """One file of a dataset repository at a commit, as a new file with the content that the Hub lists; its sha256."""
    there = listing(f"{DATASETS}{repo_id}", commit, most=OTHERS_FILES)
    if path not in there:
        near = ", ".join(sorted(one for one in there if one.endswith((".jsonl", ".json")))[:10]) or "no JSON file"
        raise HubError(f"The dataset {repo_id} at {commit} has no file {path!r}. There are: {near}.")
    what, wanted_id = f"Downloading {path} of the dataset {repo_id} at {commit}", there[path].id
    with _asking(what, files=there[path].size, number=1), _scratch(destination) as scratch:
        found = _api().hf_hub_download(repo_id, path, repo_type="dataset", revision=commit, cache_dir=scratch)
        data = Path(found).read_bytes()
        if content_id(data, like=wanted_id) != wanted_id:
            raise HubError(
                f"What {endpoint()} sent for {path} of {repo_id} at {commit} is not what it lists there. Nothing was "
                "kept. Run again; if that does not help, the Hub's store is damaged."
            )
        write_atomically(destination, data)
    return hashlib.sha256(data).hexdigest()


def content_id(data: bytes, *, like: str) -> str:
    """What `tree` says of a file that holds this: a sha256, or where ``like`` is one the sha1 of a git blob."""
    digest = digest_of(like, len(data))
    digest.update(data)
    return digest.hexdigest()


def _refuse_pickles(repo_id: str, revision: str, files: Sequence[str]) -> None:
    if not any(path.endswith(".safetensors") for path in files):
        raise HubError(
            f"{repo_id} at {revision} holds no safetensors weights that transformers loads. Pickled weights can run "
            "code when they are read, so they are not taken. Use a revision or a conversion that has safetensors."
        )


@contextmanager
def _scratch(destination: Path) -> Iterator[Path]:
    """A folder beside ``destination``, on the same disk, that goes away."""
    with TemporaryDirectory(dir=destination.parent, prefix=".download-") as folder:
        yield Path(folder)


def _api(*, must_write: bool = False) -> HfApi:
    """A client with the token of the environment, never that of a file; keyless CI makes its own (HF_OIDC_RESOURCE)."""
    token = _token()
    if must_write and not token:
        raise HubError(advice.ANONYMOUS.format(endpoint=endpoint()))
    return HfApi(token=token or False)


def has_token() -> bool:
    """Whether there is a token to read with."""
    return keyless() or bool(os.environ.get("HF_TOKEN"))


def _token() -> str | None:
    if _open_only.get():
        return None
    return _keyless_token() if keyless() else os.environ.get("HF_TOKEN")


@contextmanager
def without_token() -> Iterator[None]:
    """Ask as anybody: the token stays here while the block lasts."""
    before = _open_only.set(True)
    try:
        yield
    finally:
        _open_only.reset(before)


def _keyless_token() -> str:
    """A token that the Hub gives this CI job for one repository; requested again when it is about to end."""
    try:
        return get_token() or ""
    except (*FAILURES, KeyError, TypeError) as error:
        resource = redact(os.environ["HF_OIDC_RESOURCE"])
        raise HubError(
            f"No keyless token for {resource} could be had from {endpoint()}: {redact(_said(error))}\n"
            f"{advice.KEYLESS_ADVICE}"
        ) from None


@contextmanager
def _asking(what: str, *, files: int = 0, number: int = 0, listing: int = 0) -> Iterator[None]:
    """Turn whatever goes wrong meanwhile into a ``HubError``.

    ``files``: bytes of the files that may come or go, and their ``number``; ``listing``: bytes of a long answer.
    """
    most = wire.LARGEST + listing + 2 * files  # a file comes again where a connection ends and a Hub sends no parts
    requests = wire.REQUESTS + 10 * number
    question = Question(what=what, endpoint=endpoint(), bytes=most, files=files, requests=requests)
    try:
        with wire.asking(question):
            yield
    except SHAPES as error:
        raise HubError(redact(f"{what} failed at {endpoint()}: {_said(error)}\n{advice.NOT_A_HUB}")) from None
    except FAILURES as error:
        says = redact(f"{what} failed at {endpoint()}: {_said(error)}\n{_advice(error)}")
        status = next((one.response.status_code for one in _chain(error) if isinstance(one, HfHubHTTPError)), None)
        raise (HubError(says) if status is None else Refused(says, status)) from None


def _said(error: BaseException) -> str:
    """The error's own words on one line, with its kind, and without the advice that huggingface_hub adds."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip() and "For more" not in line]
    return f"{type(error).__name__}: {' '.join(lines[:4])}"


def _advice(error: BaseException) -> str:
    causes = list(_chain(error))
    for cause in causes:
        if isinstance(cause, GatedRepoError):
            return advice.GATED.format(endpoint=endpoint())
        if isinstance(cause, HfHubHTTPError):
            status = cause.response.status_code
            other = advice.SERVER_FAULT if status >= HTTPStatus.INTERNAL_SERVER_ERROR else advice.REFUSED
            return advice.ADVICE.get(status, other).format(endpoint=endpoint())
        if isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT):
            return "This machine's disk is full. Free space (or point TMPDIR elsewhere) and run again."
    known = (says for kind, says in ADVICE_BY_KIND for cause in causes if isinstance(cause, kind))
    return next(known, advice.SERVER_FAULT)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _client() -> httpx2.Client:
    return wire.bounded(default_client_factory(), endpoint())


set_client_factory(_client)
logging.getLogger("httpx2").addFilter(redact_record)
for _handler in logging.getLogger("huggingface_hub").handlers:
    _handler.addFilter(redact_record)
