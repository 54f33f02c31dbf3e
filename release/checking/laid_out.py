"""A release laid out as a run: what answering with it again and making it again start from."""

import contextlib
import copy
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from gates.canonical import canonical_json
from release.checking import verify
from release.config import reading
from release.config import tree as trees
from release.data.dataset import Dataset
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


@contextlib.contextmanager
def verified(release: str, endpoint: str, known: verify.Known, say: Say) -> Iterator[verify.Opened]:
    """The release, after every check that needs no model: what is not as its record says is not made again."""
    with verify.opened(release, endpoint, say, known) as found:
        say(Stage(name="verify", note=found.name))
        verify.report(found, say)
        yield found


def output_folder(given: Path | None, found: verify.Opened) -> Path:
    """Where the report goes: the folder that was given, or one named for the release."""
    folder = (given or FOLDER / found.name.replace("/", "--")).absolute()
    if folder.is_dir() and any(folder.iterdir()) and not (folder / "lock").exists():
        says = f"{folder} is not empty and has no previous report. Name another folder with --output."
        raise ConfigError([f"{says} Its release.yaml and data would be overwritten."])
    return folder


def settings_of(release: Record) -> dict[str, Any]:
    """The recorded configuration; where the run asked for every core, the number it got; in a container if it was."""
    settings: dict[str, Any] = dict(release.config)
    settings["run"] = {**settings["run"], "threads": release.determinism.threads, "output_dir": "runs"}
    named = settings.get("container", {}).get("image")
    made_in = {"use": "auto", **({"image": named} if named else {})}
    settings["container"] = made_in if release.image_digest else {"use": "never"}
    if isinstance(served := settings.get("serving"), dict):  # an address may be another's by now, or gone
        settings["serving"] = {name: one for name, one in served.items() if not _is_an_address(one)}
    if "chat_template" in settings["model"]:  # the release's own, whatever path it names
        settings["model"] = {**settings["model"], "chat_template": layout.CHAT_TEMPLATE}
    return settings


def not_said(release: Record) -> dict[str, str]:
    """What the program that made it did where its record says nothing, by the keys of settings that came later.

    The program of the recorded commit knows none of them.
    """
    return {} if release.has("generation", "batches") else {"generation.batches": "in_order"}


def _is_an_address(form: object) -> bool:
    return isinstance(form, dict) and form.get("engine") == "openai"


def base_of(found: verify.Opened, say: Say) -> bases.Base:
    """The base model, with the recorded digest of each of its files."""
    release = found.release.record
    settings = settings_of(release)
    say(Stage(name="base", note=release.base.base_model_id))
    base = bases.resolve(reading.parse(settings, Path("release.yaml").absolute()).model, say)
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
    """Where the adapter was made, as far as it can be had here: its image, one built from the same code, or none."""
    say(Stage(name="container"))
    return places.find(reading.parse(settings, Path("release.yaml").absolute()).container, say)


def rows_of(found: verify.Opened, kind: str) -> Dataset:
    """The rows of ``train`` or ``golden``; ``DataError`` where neither the release nor ``--data`` has them."""
    data = found.release.record.data
    rows, facts = {"train": (found.release.train, data.train), "golden": (found.release.golden, data.golden)}[kind]
    if rows is None:
        where = f"They come from: {data.source}" if data.source else "Ask its publisher for them."
        raise DataError(
            f"The {kind} rows of {found.name} are not in the release. {where}\nGive a folder that holds the file with "
            f"sha256 {facts.sha256} as --data FOLDER."
        )
    return rows


def answering_run(found: verify.Opened, settings: Mapping[str, Any], run: Path) -> Path:
    """A run folder as it is when training has ended, with the published adapter in it."""
    (run / "adapter").mkdir(parents=True)
    (run / "data").mkdir()
    for name in found.release.record.adapter.files:
        shutil.copyfile(found.folder / name, run / "adapter" / name)
    write_atomically(run / layout.DATA["golden"], rows_of(found, "golden").canonical)
    then = copy.deepcopy(dict(settings))
    for key, value in not_said(found.release.record).items():
        trees.put(then, key, value)
    write_atomically(run / "config.yaml", canonical_json(then))
    write_atomically(run / layout.in_run(layout.ANSWER_SCHEMA), (found.folder / layout.ANSWER_SCHEMA).read_bytes())
    return run
