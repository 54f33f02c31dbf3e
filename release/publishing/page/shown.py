"""What a page is made of: a record, the terms, and the answers with what came of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import gates
from gates import report
from release.judging import previous
from release.judging.derive import Alone, Beside
from release.judging.previous import Release
from release.judging.released import Released
from release.judging.reviewed import Heard
from release.judging.served import Served
from release.judging.terms import Terms
from release.values import layout, training_metrics
from release.values.layout import TRAINED
from release.values.record import Record, Training
from release.values.training_metrics import Evaluation


@dataclass(frozen=True, kw_only=True)
class Before:
    """What it is shown beside: the last release, or what somebody compares it with."""

    name: str
    called: str
    """In words: the last release, or its name."""
    answers: Mapping[str, str]
    """To the rows that are still the same, by id."""
    training: Training | None


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
    before: Before | None
    """The last release, where it is kept with it."""
    with_rows: bool
    """Whether questions, documents and references are shown, or only what a release without licence holds."""
    differences: Sequence[tuple[str, str, str]] | None = None
    """What is set or made otherwise than in what somebody compares it with, then and here; None where nobody does."""
    people: Heard | None = None
    """What people said, where the policy asks them."""
    evaluated: Sequence[Evaluation] = ()
    """What was measured on tuning rows while it trained."""

    @property
    def verdicts(self) -> Mapping[str, gates.Verdict]:
        """Of each form, the one it was trained in first."""
        return {TRAINED: self.alone.verdict, **{one.name: one.verdict for one in self.forms}}


@dataclass(frozen=True, kw_only=True)
class Derived:
    """What came of the answers."""

    alone: Alone
    beside: Beside
    forms: Sequence[Served]
    people: Heard | None = None


def of_release(release: Released, derived: Derived) -> Shown:
    """A release on this disk as its page shows it; ``ValueError`` and its like where a file cannot be read."""
    return Shown(
        record=release.record,
        terms=release.terms,
        alone=derived.alone,
        beside=derived.beside,
        forms=derived.forms,
        answers={TRAINED: release.answers, **{one.name: release.answers_as(one.name) for one in derived.forms}},
        base_answers=release.base_answers,
        before=_last(previous.kept_in(release), release.terms),
        with_rows=release.record.data.golden.file is not None,
        people=derived.people,
        evaluated=_evaluated(release.path(layout.TRAINING_METRICS), release.record),
    )


def of_run(run: Path, record: Record, terms: Terms, derived: Derived, before: Sequence[Release]) -> Shown:
    """A run with all its rows; ``before`` are the previous releases that it was compared with."""
    kept = {one.tag for one in record.earlier.releases if one.kept} if record.earlier else set()
    forms = {one.name: layout.answers_as(one.name) for one in derived.forms}
    names = {TRAINED: layout.ANSWERS, **forms}
    return Shown(
        record=record,
        terms=terms,
        alone=derived.alone,
        beside=derived.beside,
        forms=derived.forms,
        answers={form: gates.read_outputs(run / layout.in_run(name)) for form, name in names.items()},
        base_answers=gates.read_outputs(run / layout.in_run(layout.BASE_ANSWERS)),
        before=_last([one for one in before if one.tag in kept], terms),
        with_rows=True,
        people=derived.people,
        evaluated=_evaluated(run / layout.TRAINING_METRICS, record),
    )


def _evaluated(path: Path, record: Record) -> Sequence[Evaluation]:
    """The evaluations that a record's training left in a file."""
    if record.training is None or record.training.evaluation is None:
        return ()
    return training_metrics.read(path.read_bytes(), layout.TRAINING_METRICS)


def _last(kept: Sequence[Release], now: Terms) -> Before | None:
    """The last of the releases that are kept with it."""
    last = previous.last(kept)
    if last is None or last.released is None:
        return None
    return Before(
        name=last.tag,
        called=report.AGAINST["last"],
        answers=previous.answers_before(kept, now),
        training=last.released.record.training,
    )
