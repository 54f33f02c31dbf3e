"""Where rows come from: a file here, or one of a dataset repository at a commit, fetched once and kept in the cache."""

from dataclasses import replace
from pathlib import Path

from gates.shown import counted
from release.config.rules import HubFile, located
from release.config.settings import Config
from release.data import convert, dataset
from release.data.dataset import Dataset
from release.hub import address, requests
from release.values.artifacts import sha256_file, write_atomically
from release.values.cache import cache_folder
from release.values.errors import ConfigError, VerificationError
from release.values.events import Line, Say


def load(config: Config, say: Say) -> tuple[Dataset, Dataset]:
    """The rows to train on and the rows to judge by; ``DataError`` names each line that is not one."""
    data = config.data
    train, golden = (local(file, say) for file in (data.train_file, data.golden_file))
    rows = dataset.load(train, data.format, data.fields), dataset.load(golden, data.format, data.fields)
    unused = rows[0].unused & rows[1].unused
    if several := sum(bool(dataset.earlier_answers(row)) for row in rows[0].rows):
        what = (
            "all of them are learned (data.learn is all)"
            if data.learn == "all"
            else ("the last alone is learned (data.learn: all learns all of them)")
        )
        told = f"{counted(several, 'row')} of several answers in one conversation: {what}"
        rows = replace(rows[0], told=(*rows[0].told, told)), rows[1]
    dataset.refuse([f"data.fields: {convert.unused_field(name, data.fields[name])}" for name in sorted(unused)])
    return rows


def named(text: str, say: Say) -> Path:
    """The file that a command names: a path, or the address of one on the Hub."""
    file = located(text, Path.cwd())
    if not isinstance(file, HubFile) and text.startswith("hf:"):
        wanted = "hf://datasets/NAMESPACE/NAME@COMMIT/PATH, with a commit of 40 digits: a branch or tag can move"
        raise ConfigError([f"{text} is not {wanted}. Write the commit."])
    return local(file, say)


def local(file: Path | HubFile, say: Say) -> Path:
    """The file on this disk, with the bytes that the Hub lists for it.

    What was fetched is kept under its commit, with its sha256 beside it, which is written last.
    """
    if isinstance(file, Path):
        return file
    path = cache_folder() / "datasets" / f"{file.repo_id.replace('/', '--')}@{file.commit}" / file.path
    digest = path.with_name(f"{path.name}.sha256")
    if not digest.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        say(Line(text=f"  downloading {file}"))
        request = requests.FetchDatasetFile(repo_id=file.repo_id, commit=file.commit, path=file.path, destination=path)
        sha256 = requests.ask(request, address.of_environment(), say, path.parent / "download.log")
        write_atomically(digest, sha256.encode())
    if not path.exists() or sha256_file(path) != digest.read_text("utf-8"):
        raise VerificationError(f"{path} is not what was fetched from {file}. Delete {path.parent} and run again.")
    return path
