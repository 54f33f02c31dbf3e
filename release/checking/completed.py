"""A candidate that waits for people, and their review → the same candidate, accepted: as its own run would make it."""

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import gates
from gates import human_review, report
from gates.canonical import canonical_json
from release.checking import opening, verify_card
from release.judging import derive, reviewed
from release.judging.released import Released
from release.publishing import attestations, card, package, page
from release.publishing.page import shown
from release.values import bounds, layout, record
from release.values.artifacts import sha256_file, write_atomically
from release.values.as_json import tree
from release.values.errors import ConfigError, GatesFailed, ReviewNeeded, VerificationError
from release.values.record import Record

NOTHING = "Nothing was published."


def waits(found: Released) -> bool:
    """Whether it is a candidate of which people have not spoken yet."""
    return found.record.passed is False and found.record.review is None and found.policy.review is not None


def said(paths: Sequence[Path]) -> list[human_review.Review]:
    """What people said, each in a file of their own; ``ConfigError`` for what is no review."""
    found = []
    for path in paths:
        content = reviewed.content(path)
        if content is None:
            raise ConfigError([f"{path} is not there, or not a plain file of at most {bounds.RESULT.most:,} bytes."])
        try:
            found.append(reviewed.read(content, str(path)))
        except (gates.Invalid, ValueError) as error:
            raise ConfigError([f"{path} is not a review: {error}. `adapter-release review` writes one."]) from None
    return found


def joined(paths: Sequence[Path]) -> bytes | None:
    """What several people said, each in a file of their own, as one review; None where there is none."""
    found = said(paths)
    try:
        return human_review.joined(found).to_json() if found else None
    except gates.InvalidData as error:
        raise ConfigError([f"The reviews do not go together: {error}. Nothing was published."]) from None


def complete(found: Released, review: bytes | None, folder: Path) -> None:
    """The package of ``found`` with this review in ``folder``; ``ReviewNeeded`` where it does not count.

    Nothing of it is proved here: whoever publishes it verifies what was made.
    """
    opened, asked = opening.Opened(release=found), found.policy.review
    assert asked is not None
    verdict = opened.alone.verdict
    people = reviewed.heard(reviewed.asked(found.terms, reviewed.answered(found), asked), review, verdict)
    if people.found is None or review is None:
        raise ReviewNeeded(f"{found.name} waits for people: {'; '.join(people.waits)}. {NOTHING}")
    if not people.passed:
        told = "\n".join(human_review.terminal(people.found))
        raise GatesFailed(f"People do not call enough of the answers in {found.name} right:\n{told}\n{NOTHING}")
    if not derive.passed(opened.alone, opened.beside, opened.forms):
        told = "\n".join(report.terminal(verdict))
        raise VerificationError(f"{found.name} waits for people, and its gates do not pass:\n{told}\n{NOTHING}")
    made = replace(found.record, passed=True, review=people.in_record, files=None)
    made = replace(made, record_sha256=record.digest(tree(made)))
    shutil.copytree(found.folder, folder)
    write_atomically(folder / layout.REVIEW, review)
    _write(folder, found, made, opened, people)


def _write(folder: Path, found: Released, made: Record, opened: opening.Opened, people: reviewed.Heard) -> None:
    """Page, picture, statements, card and record, which follow from people's word too."""
    derived = shown.Derived(alone=opened.alone, beside=opened.beside, forms=opened.forms, people=people)
    publishing = verify_card.publishing(made)
    drawn = page.page(replace(shown.of_release(found, derived), record=made), publishing)
    write_atomically(folder / layout.PAGE, drawn)
    write_atomically(folder / layout.PICTURE, page.drawn(made, found.counted, publishing))
    names = [name for name in attestations.COMPARISONS if name in found.files]
    beside = {name: found.json(name)["passed"] is True for name in names}
    digests = {name: sha256_file(folder / name) for name in (*attestations.POLICY, *attestations.EVIDENCE)}
    for name, statement in attestations.derive(made, found.counted, beside, digests).items():
        write_atomically(folder / name, statement)
    table = derive.markdown(opened.alone, opened.beside, opened.forms, people)
    judged = found.verdict.get("content_judged")
    readme = card.render(made, found.counted, table, publishing, content_judged=judged, page=True)
    write_atomically(folder / layout.CARD, readme)
    write_atomically(folder / layout.RECORD, canonical_json(tree(package.complete(made, folder))))
