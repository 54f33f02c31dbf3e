"""A release laid out as a run: what answering with it again and making it again start from."""

import contextlib
import copy
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import asdict, fields, is_dataclass
from pathlib import Path
from typing import Any

from gates.canonical import canonical_json
from release.checking import opening, verify
from release.config import reading
from release.config import tree as trees
from release.config.rules import HubFile
from release.config.settings import Config, Container
from release.data.dataset import Dataset
from release.hub import address
from release.hub.base_files import wanted
from release.models import base as bases
from release.running import place as places
from release.running.place import Place
from release.values import layout
from release.values.artifacts import write_atomically
from release.values.errors import ConfigError, DataError, VerificationError
from release.values.events import Say, Stage
from release.values.record import Record

FOLDER = Path("runs") / "reproduced"
DEFAULT = Container()


@contextlib.contextmanager
def verified(release: str, endpoint: str, known: opening.Known, say: Say) -> Iterator[opening.Opened]:
    """The release, after every check that needs no model: what is not as its record says is not made again."""
    with opening.opened(release, endpoint, say, known) as found:
        say(Stage(name="verify", note=found.name))
        opening.must_be_released(found)
        verify.report(found, say)
        yield found


def output_folder(given: Path | None, found: opening.Opened) -> Path:
    """Where the report goes: the folder that was given, or one named for the release."""
    folder = (given or FOLDER / found.name.replace("/", "--")).absolute()
    if folder.is_dir() and any(folder.iterdir()) and not (folder / "lock").exists():
        says = f"{folder} is not empty and has no previous report. Name another folder with --output."
        raise ConfigError([f"{says} Its release.yaml and data would be overwritten."])
    return folder


OF_THE_RELEASE: Mapping[str, str | None] = {
    "run.output_dir": "runs",
    "model.chat_template": layout.CHAT_TEMPLATE,
    "data.train_file": layout.DATA["train"],
    "adapter.source": "adapter",
    "data.tuning_file": layout.DATA["tuning"],
    "adapter.reproduce_with.image": None,
    "adapter.reproduce_with.lock": None,
    "data.golden_file": layout.DATA["golden"],
    "contract.schema": layout.ANSWER_SCHEMA,
    "container.image": None,
    "publishing.endpoint": address.EMBEDDED,
    "publishing.signing_key": None,
    "serving.*.url": None,
}
"""Every setting that names a file, a folder, an image or an address: what a record says there is data, never read,
written or asked. In its place comes the release's own file, or nothing: a form at an address is left out whole."""


def settings_of(release: Record, wanted: Container = DEFAULT) -> dict[str, Any]:
    """The recorded configuration over the release's own files; where the run asked for every core, the number it got.

    ``wanted`` is where stages run: the caller's word (`allowed`), not the record's.
    """
    settings: dict[str, Any] = copy.deepcopy(dict(release.config))
    settings["run"] = {**settings["run"], "threads": release.threads}
    settings["container"] = {name: value for name, value in asdict(wanted).items() if value != getattr(DEFAULT, name)}
    settings["container"]["use"] = wanted.use
    if isinstance(served := settings.get("serving"), dict):
        settings["serving"] = {name: one for name, one in served.items() if not _is_an_address(one)}
    if isinstance(adapter := settings.get("adapter"), dict):
        adapter.pop("reproduce_with", None)  # the record's origin says it, with the digests of its files
    for key, own in OF_THE_RELEASE.items():
        section, _, name = key.partition(".")
        within = settings.get(section)
        if section == "container" or not isinstance(within, dict):
            continue
        if own is None:
            within.pop(name, None)
        elif name in within or key == "run.output_dir":
            within[name] = own
    settings.get("publishing", {}).pop("keyless", None)
    settings.pop("budget", None)  # what its maker might spend says nothing of what may be spent here
    if isinstance(adapter, dict) and adapter.get("method") != "imported":
        adapter.pop("source", None)  # what is trained here comes from nowhere
    return settings


def parsed(settings: Mapping[str, Any], path: Path) -> Config:
    """The configuration that these settings are beside ``path``; ``VerificationError`` where one leads elsewhere."""
    return _here(reading.parse(settings, path.absolute()))


def load(path: Path, overrides: Mapping[str, str] | None = None) -> Config:
    """The same of a file, with these settings in place of its own."""
    return _here(reading.load(path, overrides))


def _here(config: Config) -> Config:
    """A configuration of which every path is in its own folder, whatever older name a setting was given by."""
    folder = config.path.parent.absolute()
    for found in places_in(config):
        if not isinstance(found, Path) or not found.absolute().is_relative_to(folder):
            raise VerificationError(f"The record names {found}, which is not a file of the release. Nothing was read.")
    return config


def places_in(value: object) -> Iterator[Path | HubFile]:
    """Every path and every file of a Hub that a configuration holds."""
    if isinstance(value, Path | HubFile):
        yield value
    elif isinstance(value, Mapping):
        for one in value.values():
            yield from places_in(one)
    elif is_dataclass(value):
        for field in fields(value):
            yield from places_in(getattr(value, field.name))


def not_said(release: Record) -> dict[str, str]:
    """What the program that made it did where its record says nothing, by the keys of settings that came later.

    The program of the recorded commit knows none of them.
    """
    return {"generation.batches": "in_order"} if release.early else {}


def _is_an_address(form: object) -> bool:
    return isinstance(form, dict) and (form.get("engine") == "openai" or "url" in form)


def base_of(found: opening.Opened, say: Say) -> bases.Base:
    """The base model, with the recorded digest of each of its files."""
    release = found.release.record
    settings = settings_of(release)
    say(Stage(name="base", note=release.base.base_model_id))
    base = bases.resolve(parsed(settings, Path("release.yaml")).model, say)
    here, there = base.in_record().files, release.base.files
    names = wanted(here.keys() | there.keys(), code=True)  # early records list files that are not fetched any more
    wrong = sorted(name for name in names if here.get(name) != there.get(name))
    if wrong:
        raise VerificationError(
            f"The base model here is not the one {found.name} was made on: {', '.join(wrong)} differ in {base.folder}. "
            "Nothing made on it would be this adapter. Check model.revision, or the versions of what unpacks it."
        )
    return base


def place_of(settings: Mapping[str, Any], say: Say) -> Place:
    """Where stages run: the image that these settings name, the one built from this code, or this machine itself."""
    say(Stage(name="container"))
    return places.find(parsed(settings, Path("release.yaml")).container, say)


def rows_of(found: opening.Opened, kind: str) -> Dataset:
    """The rows of a kind as in ``layout.DATA``; ``DataError`` where neither the release nor ``--data`` has them."""
    data = found.release.record.data
    rows, facts = found.release.rows(kind), data.of(kind)
    if rows is None or facts is None:
        if facts is None:
            raise DataError(f"{found.name} was trained elsewhere, on rows that nobody named.")
        where = f"They come from: {data.source}" if data.source else "Ask its publisher for them."
        raise DataError(
            f"The {kind} rows of {found.name} are not in the release. {where}\nGive a folder that holds the file with "
            f"sha256 {facts.sha256} as --data FOLDER."
        )
    return rows


def answering_run(found: opening.Opened, settings: Mapping[str, Any], run: Path) -> Path:
    """A run folder as it is when training has ended, with the published adapter in it."""
    (run / "adapter").mkdir(parents=True)
    (run / "data").mkdir()
    for name in found.release.record.adapter.files:
        if name not in found.release.files:
            raise VerificationError(f"The record counts {name} to the adapter, which the release does not hold.")
        shutil.copyfile(found.folder / name, run / "adapter" / name)
    write_atomically(run / layout.DATA["golden"], rows_of(found, "golden").canonical)
    then = copy.deepcopy(dict(settings))
    for key, value in not_said(found.release.record).items():
        trees.put(then, key, value)
    write_atomically(run / "config.yaml", canonical_json(then))
    write_atomically(run / layout.in_run(layout.ANSWER_SCHEMA), (found.folder / layout.ANSWER_SCHEMA).read_bytes())
    return run
