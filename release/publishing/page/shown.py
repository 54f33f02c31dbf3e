"""What a page is made of: a record, the terms, and the answers with what came of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import gates
from release.judging import previous
from release.judging.derive import Alone, Beside
from release.judging.previous import Release
from release.judging.released import Released
from release.judging.reviewed import Heard
from release.judging.served import Served
from release.judging.terms import Terms
from release.values import layout
from release.values.layout import TRAINED
from release.values.record import Record


@dataclass(frozen=True, kw_only=True)
class Shown:
    """A candidate or a release, judged."""

    record: Record
    terms: Terms
    alone: Alone
    beside: Beside
    forms: Sequence[Served]
    answers: Mapping[str, Sequence[gates.Output]]
    """In each form, the one it was trained in first."""
    base_answers: Sequence[gates.Output] | None
    before: Sequence[Release]
    """The previous releases that are kept with it, oldest first."""
    with_rows: bool
    """Whether questions, documents and references are shown, or only what a release without licence holds."""
    people: Heard | None = None
    """What people said, where the policy asks them."""

    @property
    def verdicts(self) -> Mapping[str, gates.Verdict]:
        """Of each form, the one it was trained in first."""
        return {TRAINED: self.alone.verdict, **{one.name: one.verdict for one in self.forms}}

    @property
    def earlier(self) -> Mapping[str, str]:
        """What the last release answered to the rows that are still the same, by id."""
        return previous.answers_before(self.before, self.terms)


@dataclass(frozen=True, kw_only=True)
class Derived:
    """What came of the answers."""

    alone: Alone
    beside: Beside
    forms: Sequence[Served]
    people: Heard | None = None


def of_release(release: Released, derived: Derived) -> Shown:
    """A release on this disk as its page shows it; ``ValueError`` and its like where a file cannot be read."""
    said = release.record.earlier
    release.contents.need(f"gates/{layout.PREVIOUS}")
    kept = [one for one in said.releases if one.kept] if said else []
    return Shown(
        record=release.record,
        terms=release.terms,
        alone=derived.alone,
        beside=derived.beside,
        forms=derived.forms,
        answers={TRAINED: release.answers, **{one.name: release.answers_as(one.name) for one in derived.forms}},
        base_answers=release.base_answers,
        before=previous.kept(kept, release.folder / "gates" / layout.PREVIOUS),
        with_rows=release.record.data.golden.file is not None,
        people=derived.people,
    )


def of_run(run: Path, record: Record, terms: Terms, derived: Derived, before: Sequence[Release]) -> Shown:
    """A run with all its rows; ``before`` are the previous releases that it was compared with."""
    kept = {one.tag for one in record.earlier.releases if one.kept} if record.earlier else set()
    forms = {one.name: layout.of_form(one.name)["answers.jsonl"] for one in derived.forms}
    names = {TRAINED: layout.ANSWERS, **forms}
    return Shown(
        record=record,
        terms=terms,
        alone=derived.alone,
        beside=derived.beside,
        forms=derived.forms,
        answers={form: gates.read_outputs(run / layout.in_run(name)) for form, name in names.items()},
        base_answers=gates.read_outputs(run / layout.in_run(layout.BASE_ANSWERS)),
        before=[one for one in before if one.tag in kept],
        with_rows=True,
        people=derived.people,
    )
