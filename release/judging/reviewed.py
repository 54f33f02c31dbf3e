"""People's word on a candidate: which rows they are asked to read, and what their review makes of it.

A review counts only for exactly what was judged. Its seed is the attempt's own digest, over adapter, answers, policy,
answer format and golden set: nobody can choose it, and whoever holds the release draws the same rows again.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import gates
from gates import human_review
from gates.answer import pair
from gates.canonical import digest
from gates.human_review import Bound, Review, Reviewed
from release.judging import previous
from release.judging.previous import Release
from release.judging.released import Released
from release.judging.terms import Terms
from release.values import bounded, layout
from release.values.record import PeoplesWord

BASE = "base"
NOBODY = "no one has reviewed it yet"


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What people are asked to read."""

    gate: gates.HumanReview
    bound: Bound
    rows: tuple[str, ...]
    this: Mapping[str, str]
    """The adapter's answers, by id."""
    other: Mapping[str, str]
    """Those beside them."""
    terms: Terms


@dataclass(frozen=True, kw_only=True)
class Heard:
    """What came of a review, or why there is none that counts."""

    found: Reviewed | None
    waits: tuple[str, ...] = ()
    """Empty where the review counts."""
    sha256: str | None = None
    """Of its file."""

    @property
    def passed(self) -> bool:
        """Whether people say that it is good enough."""
        return self.found is not None and self.found.passed

    @property
    def in_record(self) -> PeoplesWord | None:
        """What the record says of it; None where no review counts."""
        if self.found is None or self.sha256 is None:
            return None
        gate = self.found.gate
        return PeoplesWord(
            sha256=self.sha256, state=gate.state, k=gate.units.k, n=gate.units.n, reviewers=self.found.reviewers
        )


@dataclass(frozen=True, kw_only=True)
class Answered:
    """What a candidate answered, as far as people are shown it."""

    adapter_sha256: str
    answers_sha256: str
    answers: Sequence[gates.Output]
    base_answers: Sequence[gates.Output]
    before: Sequence[Release]


def asked(terms: Terms, candidate: Answered, review: gates.HumanReview) -> Asked:
    """What people are to read of a candidate."""
    golden = terms.golden.rows
    strata = {
        one.id: f"{'refused' if one.refused else 'answered'} {' '.join(sorted(one.golden.tags))}"
        for one in pair(golden, candidate.answers, terms.contract)
    }
    seed = terms.attempt(candidate.adapter_sha256, candidate.answers_sha256)
    rows = human_review.draw(seed, strata, review.at(terms.policy.attempt, terms.policy.version).minimum)
    beside, other = _beside(terms, candidate, rows)
    return Asked(
        gate=review,
        bound=Bound(
            seed=seed,
            answers_sha256=candidate.answers_sha256,
            beside=beside,
            beside_sha256=digest(sorted(other.items())),
        ),
        rows=rows,
        this={one.id: one.output for one in candidate.answers},
        other=other,
        terms=terms,
    )


def _beside(terms: Terms, candidate: Answered, rows: Sequence[str]) -> tuple[str, dict[str, str]]:
    """Whose answers stand beside, and those: the last release's, if it answered every row; else the base's."""
    last, then = previous.last(candidate.before), previous.answers_before(candidate.before, terms)
    if last is not None and all(row in then for row in rows):
        return last.tag, {row: then[row] for row in rows}
    base = {one.id: one.output for one in candidate.base_answers}
    return BASE, {row: base[row] for row in rows}


def heard(of: Asked, content: bytes | None, verdict: gates.Verdict) -> Heard:
    """What the bytes of a review make of a candidate whose answers have this verdict."""
    if content is None:
        return Heard(found=None, waits=(NOBODY,))
    try:
        review = read(content, layout.REVIEW)
    except (gates.Invalid, ValueError) as error:
        return Heard(found=None, waits=(str(error),))
    if wrong := human_review.problems(review, of.bound, of.rows, of.gate):
        return Heard(found=None, waits=wrong)
    found = human_review.judged(review, of.gate, of.terms.policy.attempt, verdict)
    return Heard(found=found, sha256=hashlib.sha256(content).hexdigest())


def read(content: bytes, where: str) -> Review:
    """The review that bytes are; ``gates.Invalid`` or ``ValueError`` if they are none, in their one spelling."""
    found = human_review.parse(bounded.json_object(content, where), where)
    if found.to_json() != content:
        raise ValueError(f"{where} is not in its one canonical spelling: it was edited")
    return found


def content(path: Path) -> bytes | None:
    """The bytes of a review's file; None where there is none, or it is no plain file or too large."""
    kind = layout.kind_of(layout.REVIEW)
    if kind is None or path.is_symlink() or not path.is_file() or path.stat().st_size > kind.most:
        return None
    return path.read_bytes()


def of_run(run: Path, terms: Terms, candidate: Answered, verdict: gates.Verdict) -> Heard | None:
    """What people said of a run that was just judged; None where they are not asked, or not while a gate says no."""
    if terms.policy.review is None or not verdict.passed:
        return None
    of = asked(terms, candidate, terms.policy.review)
    return heard(of, content(run / layout.in_run(layout.REVIEW)), verdict)


def of_release(release: Released, verdict: gates.Verdict) -> Heard | None:
    """What people said of a release, from its own files; None where its policy asks nobody."""
    review = release.policy.review
    if review is None:
        return None
    there = release.read(layout.REVIEW) if layout.REVIEW in release.names else None
    return heard(asked(release.terms, answered(release), review), there, verdict)


def answered(release: Released) -> Answered:
    """A release's answers, from its own files."""
    record = release.record
    return Answered(
        adapter_sha256=record.adapter.sha256,
        answers_sha256=record.generation.answers_sha256,
        answers=release.answers,
        base_answers=release.base_answers or (),
        before=previous.kept_in(release),
    )
