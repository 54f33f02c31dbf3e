"""Where rows come from: a file here, or one of a dataset repository at a commit, fetched once and kept in the cache."""

from collections.abc import Iterator
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


def load(config: Config, say: Say) -> tuple[Dataset | None, Dataset]:
    """The rows to train on and the rows to judge by; ``DataError`` names each line that is not one.

    None for rows that an imported adapter was trained on, and that are not given.
    """
    data = config.data
    train = dataset.load(local(data.train_file, say), data.format, data.fields, say) if data.train_file else None
    rows = golden(config, say)
    unused = rows.unused if train is None else rows.unused & train.unused
    dataset.refuse([f"data.fields: {convert.unused_field(name, data.fields[name])}" for name in sorted(unused)])
    return train and replace(train, told=(*train.told, *_several(train, data.learn))), rows


def golden(config: Config, say: Say) -> Dataset:
    """The rows to judge by."""
    data = config.data
    return dataset.load(local(data.golden_file, say), data.format, data.fields, say)


def tuning(config: Config, say: Say) -> Dataset | None:
    """The rows to evaluate by while it trains, where they are a file of their own."""
    data = config.data
    return dataset.load(local(data.tuning_file, say), data.format, data.fields) if data.tuning_file else None


def _several(train: Dataset, learn: str | None) -> Iterator[str]:
    """Which answers are learned of a conversation that has several."""
    if train.several:
        how = "all of them are learned (data.learn is all)"
        if learn != "all":
            how = "the last alone is learned (data.learn: all learns all of them)"
        yield f"{counted(train.several, 'row')} of several answers in one conversation: {how}"


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
