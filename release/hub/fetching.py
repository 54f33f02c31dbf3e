"""What others published, fetched from a Hub: base models, adapters and datasets; nothing that runs when it is read."""

import hashlib
import shutil
from collections.abc import Collection, Sequence
from glob import escape
from pathlib import Path

from huggingface_hub.errors import NotASafetensorsRepoError, RevisionNotFoundError, SafetensorsParsingError

from gates.shown import plain, shorten
from release.hub.base_files import wanted
from release.hub.client import content_id, download, listing, not_as_listed, scratch_beside
from release.hub.download import need_room
from release.hub.requests import DATASETS, BaseOutline
from release.hub.session import api, asking, endpoint
from release.hub.wire import TIMEOUT
from release.values.artifacts import write_atomically
from release.values.errors import HubError

OTHERS_FILES = 100_000
"""In a repository that is not of a release: datasets are kept in many."""
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


def download_base(repo_id: str, destination: Path, *, revision: str, code: bool) -> None:
    """A base model's files at a commit: weights as safetensors only, since pickles run code when they are read."""
    there = listing(repo_id, revision, most=OTHERS_FILES)
    names = wanted(there, code=code)
    _refuse_pickles(repo_id, revision, names)
    where = f"{repo_id} at {revision} of {endpoint()}"
    size = need_room((there[name] for name in names), destination.parent, where, elsewhere="ADAPTER_RELEASE_CACHE")
    with (
        asking(f"Downloading {repo_id} at {revision}", files=size, number=len(there)),
        scratch_beside(destination) as scratch,
    ):
        files = scratch / "files"
        api().snapshot_download(
            repo_id,
            revision=revision,
            allow_patterns=[escape(name) for name in names],
            local_dir=files,
            cache_dir=scratch / "cache",
        )
        api().verify_repo_checksums(repo_id, revision=revision, local_dir=files)
        shutil.rmtree(files / ".cache")
        files.rename(destination)


def outline_base(repo_id: str, destination: Path, *, revision: str) -> BaseOutline:
    """A base model at a commit without its weights: small files in a folder, and what the Hub says of the rest.

    The names of the tensors come from the first bytes of each safetensors file. ``bytes`` are those of all that
    `download_base` fetches, but for code.
    """
    with asking(f"Looking up {repo_id} at {revision}"):
        try:
            info = api().model_info(repo_id, revision=revision, files_metadata=True, timeout=TIMEOUT)
        except RevisionNotFoundError:
            raise HubError(
                f"{repo_id} at {endpoint()} has no commit {revision}. Check model.revision against its history there."
            ) from None
    files = {file.rfilename: file.size or 0 for file in info.siblings or ()}
    kept = wanted(files, code=False)
    _refuse_pickles(repo_id, revision, kept)
    with (
        asking(f"Reading the outline of {repo_id} at {revision}", files=OUTLINE, number=len(files)),
        scratch_beside(destination) as scratch,
    ):
        api().snapshot_download(
            repo_id,
            revision=revision,
            allow_patterns=list(SMALL_FILES),
            local_dir=scratch / "files",
            cache_dir=scratch / "cache",
        )
        try:
            weights = api().get_safetensors_metadata(repo_id, revision=revision, timeout=TIMEOUT)
        except (SafetensorsParsingError, NotASafetensorsRepoError) as error:
            says = (
                f"{repo_id} at {revision} has weights that are no safetensors file: {shorten(plain(str(error)), 300)}."
            )
            raise HubError(f"{says} Name another commit, or a repository with whole files.") from None
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
    with asking(what, files=there[path].size, number=1), scratch_beside(destination) as scratch:
        found = api().hf_hub_download(repo_id, path, repo_type="dataset", revision=commit, cache_dir=scratch)
        data = Path(found).read_bytes()
        if content_id(data, like=wanted_id) != wanted_id:
            raise HubError(
                f"What {endpoint()} sent for {path} of {repo_id} at {commit} is not what it lists there. Nothing was "
                "kept. Run again; if that does not help, the Hub's store is damaged."
            )
        write_atomically(destination, data)
    return hashlib.sha256(data).hexdigest()


def _refuse_pickles(repo_id: str, revision: str, files: Sequence[str]) -> None:
    if not any(path.endswith(".safetensors") for path in files):
        raise HubError(
            f"{repo_id} at {revision} holds no safetensors weights that transformers loads. Pickled weights can run "
            "code when they are read, so they are not taken. Use a revision or a conversion that has safetensors."
        )
