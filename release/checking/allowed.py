"""What of a release may run here: by the caller's word, never by the record's wish, and named before it does."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from release.config import reading
from release.config.settings import Container
from release.running import container
from release.values.errors import ConfigError, shown
from release.values.events import Line, Say
from release.values.record import Record

REMOTE_CODE = "--trust-remote-code"
IMAGE = "--allow-image"
INSTALL = "--install-libraries"
REF = "--trust-ref"
PLACE = "--container"
OWN = Path("release.yaml")
"""Whose ``container`` is the caller's own: where there is one in the folder that a command runs in."""
BY_DIGEST = "([a-z0-9][a-z0-9._:/-]*@)?sha256:[0-9a-f]{64}"
MOST = 8
"""Files that are named; the others are counted."""


@dataclass(frozen=True, kw_only=True)
class Allowed:
    """What the caller allows."""

    remote_code: bool = False
    """Python of the base model's repository, where the record asks for it."""
    image: str | None = None
    """The recorded image, ``[NAME@]sha256:...``; without a name it is fetched from where the record says."""
    install: bool = False
    """Other versions of libraries, from the locks of the recorded commit."""
    ref: str = "HEAD"
    """A branch or tag of this checkout: its history is trusted, and a recorded commit is taken from nowhere else."""
    container: Literal["auto", "require", "never"] | None = None
    """None: as the caller's own configuration says, or where an engine answers."""


def own_container(allowed: Allowed) -> Container:
    """Where stages run by the caller's word alone."""
    if allowed.container is not None:
        return Container(use=allowed.container)
    try:
        return reading.load(OWN).container if OWN.exists() else Container()
    except ConfigError as error:
        says = f"{OWN} is here and may require a container, but cannot be read. Mend it, or give {PLACE} auto. It says:"
        raise ConfigError([says, *error.problems]) from None


def place(record: Record, allowed: Allowed) -> Container:
    """The same with the image that it runs in: one the caller knows, or the one of this checkout (None)."""
    if allowed.image is not None and not re.fullmatch(BY_DIGEST, allowed.image):
        says = f"{IMAGE} {shown(allowed.image)} is not an image by its digest: write sha256:... or NAME@sha256:..."
        raise ConfigError([says])
    own, wanted = own_container(allowed), _digest(allowed.image)
    recorded = {one.rpartition("@")[2]: one for one in (record.image_digest, _named(record)) if one}
    if wanted is not None and wanted not in recorded and wanted == _digest(_trainers(record)):
        wanted, allowed = None, replace(allowed, image=None)  # for its trainer, and not for stages
    if wanted is not None:
        if wanted not in recorded:
            was = f"in {', '.join(sorted(recorded))}" if recorded else "in no image that it names"
            raise ConfigError([f"{IMAGE} {allowed.image}: the release was made {was}. Name that one, or leave it out."])
        assert allowed.image is not None
        return replace(own, image=allowed.image if "@" in allowed.image else recorded[wanted])
    return own if _digest(own.image) in recorded else replace(own, image=None)


def check(record: Record, allowed: Allowed, say: Say) -> Container:
    """Name what the record would run, and where stages run; ``ConfigError`` where that needs a word of the caller."""
    wanted = place(record, allowed)
    for text in (*_remote_code(record, wanted), *_image(record, wanted)):
        say(Line(text=text))
    if record.setting("model", "trust_remote_code") and not allowed.remote_code:
        says = "The release asks to run Python code of its base's repository, and its record alone is no reason to."
        todo = f"Nothing was fetched and nothing run. Read the files named above; if you trust them, give {REMOTE_CODE}"
        raise ConfigError([f"{says} {todo}."])
    return wanted


def asks_for(record: Record) -> Iterator[str]:
    """A line for each thing of others that making or asking this release again would run."""
    if record.setting("model", "trust_remote_code"):
        yield f"it asks for remote code: {_files(record)}. Nothing here runs it; see {REMOTE_CODE} of rejudge"
    if foreign := _named(record):
        yield f"it was made in the image {foreign}. Nothing here starts it; see {IMAGE} of rejudge"
    if record.origin and record.origin.reproduce_with:
        yield "it names the trainer to train it again with. Nothing here starts it; `reproduce` shows it first"


def _trainers(record: Record) -> str | None:
    """The image that the trainer of an imported adapter is declared to run in."""
    declared = record.origin.reproduce_with if record.origin else None
    return declared.image if declared else None


def _remote_code(record: Record, wanted: Container) -> Iterator[str]:
    if record.setting("model", "trust_remote_code"):
        inside = container.used(wanted)
        rights = "in a container without network" if inside else "on this machine, with your rights"
        yield f"remote code: {_files(record)}; it runs in training and answering, {rights}"


def _image(record: Record, wanted: Container) -> Iterator[str]:
    foreign = _named(record) or record.image_digest
    if wanted.image:
        yield f"image: {wanted.image}, in containers without network that see the run's folder and the base"
    elif foreign:
        yield f"image: it was made in {foreign}, which is not used; {IMAGE} {_digest(foreign)} would use it"


def _files(record: Record) -> str:
    """The Python files that the record lists, and whose they are."""
    names = sorted(name for name in record.base.files if name.endswith(".py"))
    listed = ", ".join(names[:MOST]) + (f" and {len(names) - MOST} more" if len(names) > MOST else "")
    of = f"{record.setting('model', 'base_model_id')} at {record.setting('model', 'revision')}"
    return f"Python files of {of} ({listed or 'the record lists none'})"


def _named(record: Record) -> str | None:
    image = record.setting("container", "image")
    return image if isinstance(image, str) else None


def _digest(image: str | None) -> str | None:
    return image.rpartition("@")[2] if image else None
