"""A base model on disk: a Hub revision, or the embedded default unpacked once; sealed, and checked whenever used."""

import json
import os
import shutil
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from gates.canonical import canonical_json
from release.config.settings import EMBEDDED_BASE, Model
from release.hub import address, requests
from release.hub.base_files import wanted
from release.models import embedded
from release.running import child, kept
from release.values.artifacts import Manifest, write_atomically
from release.values.cache import cache_folder
from release.values.errors import ConfigError, VerificationError
from release.values.events import Line, Progress, Say
from release.values.record import Base as BaseInRecord

WRITTEN = {"HF_HUB_OFFLINE": "0", "TRANSFORMERS_OFFLINE": "0"}
"""While the embedded base is unpacked, which asks none: transformers writes into a file if a Hub could be asked."""
RECORD = "base.json"  # every file's sha256, written last
OUTLINE = "outline.json"  # of a base on the Hub: what its card, tensor names and sizes say, written last
OUTLINE_FORM = 2  # part of the folder's name: one that holds less is asked for anew


@dataclass(frozen=True, kw_only=True)
class Base:
    """A base model's files, and how to name it to others."""

    folder: Path
    base_model_id: str
    revision: str | None
    origin: str
    files: Manifest

    def in_record(self) -> BaseInRecord:
        """What a record says of it: no local path."""
        # a folder that an earlier version fetched holds more, which nobody who fetches it now has
        files = {file.path: file.sha256 for file in self.files.files if wanted([file.path], code=True)}
        return BaseInRecord(base_model_id=self.base_model_id, revision=self.revision, origin=self.origin, files=files)


@dataclass(frozen=True, kw_only=True)
class Outline:
    """What is known of a base model whether or not its weights are here."""

    folder: Path
    """Its config.json, tokenizer and chat template."""
    modules: frozenset[str]
    """The modules that own a weight."""
    license: str | None
    """As its card on the Hub names it."""
    base_model: str | None
    """What its card names as the model that it was made of."""
    architecture: Path
    """Where `release.models.architecture` keeps what transformers builds of it."""
    to_fetch: int
    """Bytes that are not here yet."""


def folder_of(model: Model) -> Path:
    """Where this base model's files are or will be: by digest the embedded one, by id and revision any other."""
    named = f"{model.base_model_id.replace('/', '--')}@{model.revision}"
    name = embedded.GGUF_SHA256 if model.source == "embedded" else named
    return cache_folder() / "bases" / name


def resolve(model: Model, say: Say) -> Base:
    """The base model's files on this disk, fetched or unpacked if they are not here yet, and checked."""
    folder = folder_of(model)
    if model.source == "embedded":
        if not (folder / RECORD).exists():
            folder.parent.mkdir(parents=True, exist_ok=True)
            log = folder.parent / "unpack.log"
            child.call(__name__, str(folder), say=say, log=log, env={**kept.to_install(), **WRITTEN})
        return _checked(folder, model, embedded.ORIGIN)
    if not (folder / RECORD).exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        _download(model, folder, say)
    return _checked(folder, model, f"{model.base_model_id} at commit {model.revision} of the Hub")


def _download(model: Model, folder: Path, say: Say) -> None:
    """Fetch a revision from the Hub of the environment: safetensors, never pickles; code only if it is asked for."""
    say(Line(text=f"  downloading {model.base_model_id} at {model.revision}"))
    temporary = _temporary(folder)
    request = requests.FetchBase(
        repo_id=model.base_model_id, revision=_commit(model), code=model.trust_remote_code, destination=temporary
    )
    requests.ask(request, address.of_environment(), say, folder.parent / "download.log")
    seal(temporary, folder)


def outline(model: Model, say: Say) -> Outline:
    """What there is to know of this base before its weights are here; asked of the Hub once, and kept."""
    weights = folder_of(model)
    if model.source == "embedded":
        folder = weights if (weights / RECORD).exists() else resolve(model, say).folder
        return Outline(
            folder=folder,
            modules=frozenset(weight_modules(folder)),
            license=embedded.LICENSE,
            base_model=None,
            architecture=folder.with_name(f"{folder.name}.architecture.json"),  # not inside: its files are sealed
            to_fetch=0,
        )
    folder = weights.with_name(f"{weights.name}.outline-{OUTLINE_FORM}")
    if not (folder / OUTLINE).exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = _temporary(folder)
        request = requests.OutlineBase(repo_id=model.base_model_id, revision=_commit(model), destination=temporary)
        said = requests.ask(request, address.impatient(address.of_environment()), say, folder.parent / "outline.log")
        write_atomically(temporary / OUTLINE, canonical_json(asdict(said)))
        temporary.rename(folder)
    found = json.loads((folder / OUTLINE).read_bytes())
    return Outline(
        folder=folder,
        modules=frozenset(_owners(found["tensors"])),
        license=found["license"],
        base_model=found["base_model"],
        architecture=folder / "architecture.json",
        to_fetch=0 if (weights / RECORD).exists() else found["bytes"],
    )


def _commit(model: Model) -> str:
    if model.revision is None:  # as a record may say that was not made by this program
        raise ConfigError([f"model.revision is missing: nothing says which commit of {model.base_model_id} is meant."])
    return model.revision


def weight_modules(folder: Path) -> set[str]:
    """The modules that own a weight, by the headers of the safetensors files."""
    names: set[str] = set()
    for path in sorted(folder.glob("*.safetensors")):
        with path.open("rb") as file:
            names |= json.loads(file.read(int.from_bytes(file.read(8), "little"))).keys()
    return _owners(names)


def _owners(tensors: Iterable[str]) -> set[str]:
    return {name.removesuffix(".weight") for name in tensors if name.endswith(".weight")}


def _temporary(folder: Path) -> Path:
    """A name to work under, with what a killed run left under it removed, and not what another one works at."""
    for left in folder.parent.glob(f".{folder.name}.*"):
        if Path("/proc", left.suffix[1:]).exists():
            continue
        shutil.rmtree(left) if left.is_dir() else left.unlink()
    return folder.with_name(f".{folder.name}.{os.getpid()}")


def unpack(to: Path, say: Say) -> None:
    """The embedded base model in a folder that does not exist yet, to load a release over it."""
    if to.exists():
        raise ConfigError([f"{to} is there already. Name a folder that is not; nothing is overwritten."])
    base = resolve(Model(base_model_id=EMBEDDED_BASE, source="embedded"), say)
    temporary = to.with_name(f".{to.name}.{os.getpid()}")
    shutil.copytree(base.folder, temporary)
    temporary.rename(to)


def _checked(folder: Path, model: Model, origin: str) -> Base:
    """The base in ``folder`` if every file is as it was when it was made."""
    expected = json.loads((folder / RECORD).read_bytes())
    files = tuple(file for file in Manifest.of_folder(folder).files if file.path != RECORD)
    if {file.path: file.sha256 for file in files} != expected:
        raise VerificationError(
            f"The base model in {folder} is not as it was unpacked. Something changed it. "
            "Delete that folder and run again: it is made anew."
        )
    return Base(
        folder=folder,
        base_model_id=model.base_model_id,
        revision=model.revision,
        origin=origin,
        files=Manifest(files=files),
    )


def seal(temporary: Path, folder: Path) -> None:
    """Write the record of what was unpacked, then give the folder its name; the record says it is whole."""
    digests = {file.path: file.sha256 for file in Manifest.of_folder(temporary).files}
    write_atomically(temporary / RECORD, canonical_json(digests))
    try:
        temporary.rename(folder)
    except OSError:
        if not (folder / RECORD).exists():
            raise
        shutil.rmtree(temporary)  # another process was first, with the same bytes


def unpack_embedded(folder: Path, say: Say) -> None:
    """The embedded base in ``folder``, sealed; done once."""
    temporary = _temporary(folder)
    embedded.unpack(temporary, say)
    seal(temporary, folder)
    say(Progress(name=embedded.NAME, done=embedded.STEPS, total=embedded.STEPS))


if __name__ == "__main__":
    child.main(lambda arguments, say: unpack_embedded(Path(arguments[0]), say))
