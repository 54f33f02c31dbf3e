"""A release on this disk, fetched or named as a folder, and what its caller knows of it; judged again when asked."""

import contextlib
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from release.checking import verify_card
from release.hub import address
from release.judging import derive, previous, reviewed, served
from release.judging.released import Released
from release.publishing import page, sign
from release.publishing.page import shown
from release.values import bounded, bounds, layout
from release.values.errors import ConfigError
from release.values.events import Line, Say


@dataclass(frozen=True, kw_only=True)
class Opened:
    """A release on this disk, and what is known of where it comes from."""

    release: Released
    commit: str | None = None
    """None: a folder that somebody downloaded before."""
    expected: Mapping[str, str] | None = None
    """What a receipt, or the commit in ``REPO@TAG@COMMIT``, says it must be: ``commit``, ``manifest_digest``."""
    trust: sign.Trust | None = None
    """Whose signature it must have; None: none is required."""

    @cached_property
    def alone(self) -> derive.Alone:
        """The verdict that comes out again from its answers."""
        return derive.alone(self.release.terms, self.release.answers, self.release.base_answers)

    @cached_property
    def beside(self) -> derive.Beside:
        """The comparisons with the previous releases of its record, from their files in it."""
        self.release.contents.need(f"gates/{layout.PREVIOUS}")
        said = self.release.record.earlier
        before = previous.kept(said.releases if said else (), self.folder / "gates" / layout.PREVIOUS)
        return derive.beside(self.release.terms, self.release.answers, before)

    @cached_property
    def forms(self) -> tuple[served.Served, ...]:
        """Each form of its record, judged again."""
        return served.of_release(self.release)

    @cached_property
    def people(self) -> reviewed.Heard | None:
        """What people said of its answers, counted again; None where its policy asks nobody."""
        return reviewed.of_release(self.release, self.alone.verdict)

    @property
    def shown(self) -> shown.Shown:
        """What its page is made of."""
        derived = shown.Derived(alone=self.alone, beside=self.beside, forms=self.forms, people=self.people)
        return shown.of_release(self.release, derived)

    @property
    def page(self) -> bytes:
        """The page that record and answers make."""
        return page.page(self.shown, verify_card.publishing(self.release.record))

    @property
    def name(self) -> str:
        return self.release.name

    @property
    def folder(self) -> Path:
        return self.release.folder


@dataclass(frozen=True, kw_only=True)
class Known:
    """What the caller of a check gives: nothing of it comes from the release."""

    receipt: Path | None = None
    """``publication.json`` of the run that made it."""
    data: Path | None = None
    trust: sign.Trust | None = None


@contextlib.contextmanager
def opened(release: str, endpoint: str, say: Say, known: Known) -> Iterator[Opened]:
    """``REPO@TAG``, ``REPO@TAG@COMMIT`` or a folder, on this disk while the block lasts. A tag is resolved once."""
    expected = _receipt(known.receipt) if known.receipt else {}
    if known.trust and (problem := sign.trust_problem(known.trust)):
        raise ConfigError([f"The signature cannot be checked: {problem}"])
    folder = Path(release)
    if folder.is_dir():
        here = Released(name=folder.resolve().name, folder=folder, data=known.data)
        yield Opened(release=here, expected=expected, trust=known.trust)
        return
    name, at, commit = release.rpartition("@")
    if "@" in name and at:
        if not re.fullmatch("[0-9a-f]{40}", commit):
            raise ConfigError([f"{release!r}: {commit!r} is not a commit. Write REPO@TAG@ and its 40 hex digits."])
        release, expected = name, {**expected, "commit": commit}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "release"
        found = address.fetch(release, address.parse(endpoint, Path.cwd()), folder, say)
        say(Line(text=f"{release} is commit {found}"))
        there = Released(name=release, folder=folder, data=known.data)
        yield Opened(release=there, commit=found, expected=expected, trust=known.trust)


def is_attestation(found: Opened) -> bool:
    """Whether a folder holds an attestation, and no release."""
    return (found.folder / layout.ATTESTATION).exists() and not (found.folder / layout.RECORD).exists()


def must_be_released(found: Opened) -> None:
    """``ConfigError`` for a folder that was never meant to be a release: nobody lied, and nobody is to be told so."""
    if is_attestation(found):
        what = f"{found.name} is an attestation, which holds no adapter and has no page"
        raise ConfigError([f"{what}: `adapter-release verify` checks it, `explain GATE` lists its wrong rows."])
    if found.commit is None and not os.path.lexists(found.folder / layout.RECORD):
        raise ConfigError([f"{found.name} has no {layout.RECORD}: it is neither a release nor a run that was judged."])


def _receipt(path: Path) -> dict[str, str]:
    try:
        receipt = bounded.json_object(bounded.content(path, bounds.RECEIPT), path.name)
        return {name: str(receipt[name]) for name in ("commit", "manifest_digest")}
    except (OSError, ValueError, KeyError, TypeError) as error:
        what = f"{path} is not a receipt: {type(error).__name__}: {error}."
        raise ConfigError([f"{what} A release leaves one as publication.json in its run folder."]) from None
