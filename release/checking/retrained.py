"""An adapter that was trained elsewhere, trained again by its own trainer as its publisher declared it.

Nothing of it runs by the record's wish: its files come from the caller, the image or the lock needs the caller's
option, and the command is shown before it is agreed to.
"""

import json
import shlex
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from gates.canonical import canonical_json
from gates.shown import plain, shorten
from release.checking import allowed, laid_out, opening
from release.checking.allowed import Allowed
from release.importing import declared as trainer_files
from release.importing import telling
from release.importing.bring import Brought, bring
from release.models import base as bases
from release.running import trainer
from release.values import contents, layout
from release.values.artifacts import sha256_file, write_atomically
from release.values.errors import ConfigError, NotReproduced, VerificationError, shown
from release.values.events import Say, Stage, tell
from release.values.record import Origin, ReproduceWith

TRAINER = "--trainer"
WORK, OUTPUT, ROWS = "work", "output", "train.jsonl"
"""The folder that the command runs in, the one that it fills, and the rows of ``{train}``."""
Agree = Callable[[Sequence[str]], bool]
"""Whether the caller, who is shown these lines, lets it run."""


@dataclass(frozen=True, kw_only=True)
class By:
    """What the caller gives and allows."""

    files: Path
    """A folder with the files of the trainer, such as a checkout of the publisher's repository."""
    allowed: Allowed
    agree: Agree


def declared(found: opening.Opened) -> ReproduceWith:
    """How the release says that it was trained; ``ConfigError`` where it does not say it."""
    origin = found.release.record.origin
    assert origin is not None  # it was trained elsewhere
    if origin.reproduce_with is None:
        raise ConfigError([_not_said(found, origin)])
    return origin.reproduce_with


def _not_said(found: opening.Opened, origin: Origin) -> str:
    tool = shown(origin.tool) if origin.tool else "a program that nothing names"
    return (
        f"{found.name} was trained elsewhere, by {tool}, so its bytes cannot be made again here: how it was trained is "
        "not in the release (its publisher can say it as adapter.reproduce_with). Its answers can: give --level "
        "answers, or --level verdict."
    )


@dataclass(frozen=True, kw_only=True)
class Agreed:
    """A trainer that the caller lets run, with its files laid out."""

    declared: ReproduceWith
    image: str | None
    """None: it runs in an environment from its lock."""
    at: trainer.At
    allowed: Allowed


def agreed(found: opening.Opened, output: Path, by: By, say: Say) -> Agreed:
    """The declared trainer, once it was shown and agreed to; ``ConfigError`` where it was not."""
    asked, own = declared(found), output / "trainer"
    image = _image(asked, by.allowed)
    shutil.rmtree(own, ignore_errors=True)
    for name in (WORK, OUTPUT):
        (own / name).mkdir(parents=True)
    _lay_files(asked, by.files, own / WORK)
    if any("{train}" in word for word in asked.command):
        write_atomically(own / ROWS, laid_out.rows_of(found, "train").canonical)
    lines = list(_about(asked, image))
    tell(say, lines)
    if not by.agree(lines):
        raise ConfigError(["It was not agreed to. Nothing of it was run."])
    at = trainer.At(own=own, folder=own / WORK)
    return Agreed(declared=asked, image=image, at=at, allowed=by.allowed)


def into(adapter: Path, found: opening.Opened, base: bases.Base, by: Agreed, say: Say) -> None:
    """Train again, and put the weights and settings that come out into ``adapter``, over those that are there."""
    say(Stage(name="train", note="by its own trainer, as its publisher declared it"))
    at, lock = by.at, by.declared.lock
    stands = {"output": str(at.own / OUTPUT), "base": str(base.folder), "train": str(at.own / ROWS)}
    command = [_filled(word, stands) for word in by.declared.command]
    if by.image:
        wanted = replace(allowed.own_container(by.allowed), image=by.image)
        trainer.in_image(command, wanted, at, [base.folder], say)
    else:
        assert lock is not None  # `_image` has stopped else
        trainer.by_lock(command, at.folder / lock, at, say)
    _take(_brought(at.own / OUTPUT, found, say), adapter, found)


def _lay_files(asked: ReproduceWith, given: Path, work: Path) -> None:
    """The caller's files where the command runs, if they are those that were declared, to the byte."""
    for name, sha256 in asked.files.items():
        source, told = given / name, contents.shown(name)
        if not source.is_file() or source.stat().st_size > trainer_files.MOST:
            says = f"There is no file {told} in {given}, which the trainer needs. Nothing was run."
            raise ConfigError(
                [f"{says} Get it from the publisher's repository, and give its folder: {TRAINER} FOLDER."]
            )
        if (there := sha256_file(source)) != sha256:
            says = f"{given / name} has the sha256 {there}; the release was trained with {sha256}. Nothing was run."
            raise VerificationError(f"{says} Check out the commit that it was trained from, and give {TRAINER} FOLDER.")
        (work / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, work / name)
    if asked.lock and (wrong := list(trainer_files.lock_problems(work / asked.lock))):
        raise ConfigError([f"Its trainer's lock is none: {wrong[0]} Nothing was run."])


def _image(asked: ReproduceWith, by: Allowed) -> str | None:
    """The declared image where the caller allows it; None where its lock is installed instead."""
    digest = asked.image.rpartition("@")[2] if asked.image else None
    if asked.image and by.image in (asked.image, digest):
        if by.container == "never":
            raise ConfigError([f"{allowed.PLACE} never lets no image run, and {allowed.IMAGE} names one. Drop one."])
        return asked.image
    if asked.lock and by.install:
        if allowed.own_container(by).use == "require":
            says = "A container is required here, and its trainer's lock is installed without one. Nothing was run."
            way = f"{allowed.IMAGE} {asked.image}, or " if asked.image else ""
            raise ConfigError([says, f"Give {way}{allowed.PLACE} auto, which runs it on this machine itself."])
        return None
    ways = [f"{allowed.IMAGE} {asked.image}"] if asked.image else []
    ways += [f"{allowed.INSTALL} (an environment from {contents.shown(asked.lock)})"] if asked.lock else []
    says = f"Its trainer is {shorten(_words(asked), 2000)}. The release alone is no reason to run it; nothing was run."
    raise ConfigError([f"{says} If you trust it, give {' or '.join(ways)}."])


def _words(asked: ReproduceWith) -> str:
    """The whole command on one line, of plain characters: what is agreed to is what runs."""
    return plain(shlex.join(asked.command))


def _about(asked: ReproduceWith, image: str | None) -> list[str]:
    files = [f"{contents.shown(name)} (sha256 {sha256})" for name, sha256 in sorted(asked.files.items())]
    listed = [f"its files, of your own folder: {one}" for one in files]
    rights = "without network and tokens; it sees its own folder and the base model"
    where = f"the image {image}"
    if not image:
        rights = "on this machine with your rights and its network, without tokens, and cut off from other processes"
        where = f"an environment from {contents.shown(asked.lock or '')}"
    return [f"trainer: {_words(asked)}", *listed, f"it runs in {where}, {rights}"]


def _filled(word: str, stands: Mapping[str, str]) -> str:
    for name, path in stands.items():
        word = word.replace(f"{{{name}}}", path)
    return word


def _brought(left: Path, found: opening.Opened, say: Say) -> Brought:
    """What the trainer left, read as an import reads it."""
    if not any(left.iterdir()):
        raise NotReproduced(f"The trainer ended well and left nothing in {left}: there is no adapter to compare.")
    settings = laid_out.settings_of(found.release.record)
    model = laid_out.parsed(settings, Path("release.yaml")).model
    return bring(str(left), telling.known(model, say), say)


def _take(made: Brought, adapter: Path, found: opening.Opened) -> None:
    """Its weights and settings, under the base's name in the record, as an import writes them."""
    then = json.loads((found.folder / layout.SETTINGS).read_bytes())
    named = {name: then[name] for name in ("base_model_name_or_path", "revision") if name in then}
    shutil.copyfile(made.folder / layout.WEIGHTS, adapter / layout.WEIGHTS)
    write_atomically(adapter / layout.SETTINGS, canonical_json({**made.settings, **named}))
