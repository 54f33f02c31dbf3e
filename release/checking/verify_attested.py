"""Check an attestation against its own record, as a release is checked; it says each time that no bytes were judged."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import gates
from gates.canonical import canonical_json
from gates.shown import plain, shorten
from release.checking import steps, verify
from release.checking.opening import Opened
from release.checking.steps import FIRST_LOOK, Step, Unchecked
from release.data import dataset
from release.data.dataset import Dataset
from release.judging import attempts, derive, hosted, terms
from release.judging.derive import Alone
from release.judging.released import Released
from release.judging.terms import Terms
from release.publishing import attested
from release.values import attestation, contents, layout
from release.values.as_json import part
from release.values.attestation import NO_BYTES, Attestation
from release.values.errors import DataError
from release.values.events import Line, Say

HELD = (layout.ATTESTATION, *layout.OF_AN_ATTESTATION, layout.DATA["golden"])


@dataclass(frozen=True, kw_only=True)
class Found:
    """An attestation on this disk. Nothing of it is believed."""

    opened: Opened

    @property
    def release(self) -> Released:
        """Its files, hashed once, of which those that the first look refused are not opened."""
        return self.opened.release

    @cached_property
    def raw(self) -> dict[str, object]:
        return self.release.json(layout.ATTESTATION)

    @cached_property
    def record(self) -> Attestation:
        if wrong := attestation.problems(self.raw):
            raise ValueError(f"{layout.ATTESTATION} is not one: {wrong[0]}")
        return part(Attestation, self.raw)

    @cached_property
    def golden(self) -> Dataset:
        """The rows that it was judged by: in it, or in ``--data`` with the recorded sha256."""
        inside = self.release.path(layout.DATA["golden"])
        if inside.exists():
            return dataset.load(inside)
        if found := self.release.rows_of(self.record.golden):
            return found
        raise DataError("the golden rows are not in it: give their folder with --data")

    @cached_property
    def terms(self) -> Terms:
        for name in (layout.CONTRACT, layout.ANSWER_SCHEMA, layout.POLICY, layout.LEDGER):
            self.release.contents.need(name)
        return terms.read(self.opened.folder / "gates", self.golden)

    @cached_property
    def alone(self) -> Alone:
        """The verdict that comes out again from its answers."""
        return derive.alone(self.terms, self.release.answers, None)


def report(found: Opened, say: Say) -> list[Step]:
    """Every step, told with its outcome; ``VerificationError`` if any failed."""
    made = steps.told(check(found), found.name, say)
    say(Line(text=f"    --     {NO_BYTES}"))
    return made


def check(found: Opened) -> list[Step]:
    """Every check over the files of an attestation, in order."""
    return steps.taken(CHECKS, Found(opened=found), CHECKS, found.release)


def _place(found: Found) -> Iterator[str]:
    yield from verify.place(found.opened)


def _files(found: Found) -> Iterator[str]:
    release = found.release
    yield from release.contents.problems()
    yield from (f"{name} is missing" for name in layout.OF_AN_ATTESTATION if name not in release.names)
    yield from (f"{contents.shown(name)} is not of an attestation" for name in release.names if name not in HELD)


def _digests(found: Found) -> Iterator[str]:
    release, expected = found.release, found.record.files or {}
    for name in sorted({*expected, *release.names} - {layout.ATTESTATION}):
        if name not in release.names:
            yield f"{contents.shown(name)} is missing"
        elif name not in expected:
            yield f"{contents.shown(name)} is not in the record"
        elif release.sha256(name) != expected[name]:
            yield f"{name} has another sha256 than the record says"


def _record(found: Found) -> Iterator[str]:
    if found.release.read(layout.ATTESTATION) != canonical_json(found.raw):
        yield f"{layout.ATTESTATION} is not in its one canonical spelling: it was edited"
    yield from attestation.problems(found.raw)


def _golden(found: Found) -> Iterator[str]:
    said, rows = found.record.golden, found.golden
    if (rows.sha256, len(rows.rows)) != (said.sha256, said.rows):
        told = f"the record says {said.rows} with {said.sha256}"
        yield f"the golden rows are {len(rows.rows)} with sha256 {rows.sha256}, {told}"
    if found.release.read(layout.GOLDEN_ROWS) != found.terms.files[layout.GOLDEN_ROWS]:
        yield f"{layout.GOLDEN_ROWS} does not hold the digests of the golden rows"
    if said.file != (layout.DATA["golden"] if layout.DATA["golden"] in found.release.names else None):
        yield "the record says otherwise whether the golden rows are in it"
    asked = attestation.prompts_sha256(row.prompt for row in rows.rows)
    if asked != found.record.asked.prompts_sha256:
        yield "the record says that other questions were asked"


def _judged(found: Found) -> Iterator[str]:
    release, record = found.release, found.record
    for name, sha256 in ((layout.ANSWERS, record.answers_sha256), (layout.VERDICT, record.verdict_sha256)):
        if release.sha256(name) != sha256:
            yield f"{name} is not the one that the record names"
    if release.policy.digest != record.policy_sha256:
        yield f"{layout.POLICY} is not the policy that the record names"
    if release.policy.review is not None:
        yield "its policy asks people, and an attestation does not hold their word"
    if not (record.passed and release.verdict["passed"] is True):
        yield "the verdict is not a pass"


def _verdict(found: Found) -> Iterator[str]:
    if (version := found.release.verdict.get("verdict")) != gates.VERDICT_VERSION:
        yield f"{layout.VERDICT} is of version {version!r}, this program derives version {gates.VERDICT_VERSION}"
    elif found.alone.files[layout.VERDICT] != found.release.read(layout.VERDICT):
        yield f"computed again, {layout.VERDICT} differs ({found.alone.verdict.state}): something was changed"


def _ledger(found: Found) -> Iterator[str]:
    record, asked = found.record, found.terms
    own = hosted.entries(asked, record.model, record.answers_sha256, found.alone)
    if attempts.written([*asked.tried, *own]) != found.release.read(layout.LEDGER):
        yield f"computed again, {layout.LEDGER} differs: its last attempt is not this one, or a line was changed"
    if record.attempt != (number := attempts.number(asked.tried)):
        yield f"it is attempt {number} by {layout.LEDGER}, the record says {record.attempt}"


def _card(found: Found) -> Iterator[str]:
    if found.release.read(layout.CARD) != attested.render(found.record, hosted.table(found.alone)):
        made_by = shorten(plain(found.record.program.version), 40)
        yield f"the card is not the one that record and answers make, if adapter-release {made_by} made it as this one"


def _signature(found: Found) -> Iterator[str | Unchecked]:
    missing = "unsigned: trust rests on the Hub, or on the receipt or commit you gave"
    yield f"{missing}, and you require a signature" if found.opened.trust else Unchecked(why=missing)


CHECKS: Mapping[str, Callable[[Found], Iterable[str | Unchecked]]] = {
    "tag, commit and files match your receipt or commit": _place,
    FIRST_LOOK: _files,
    "every file has the recorded sha256, and there is no extra file": _digests,
    "the record is complete, canonical JSON, and valid under its schema": _record,
    "the rows and questions are those of the evaluation": _golden,
    "answers, verdict and policy are those that the record names, and it passed": _judged,
    "the stored verdict follows from the stored answers, byte for byte": _verdict,
    "the ledger ends with this attempt": _ledger,
    "the card is the one that record, verdict and answers make, to the byte": _card,
    "the signature covers these files and is by the expected signer": _signature,
}
