"""Terms and answers → verdict and comparisons, to the byte: what making writes, and what verifying compares with."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import gates
from gates import human_review, report
from gates.policy import SPENDING
from release.judging import attempts, previous, served
from release.judging.attempts import Entry
from release.judging.previous import Release
from release.judging.reviewed import Heard
from release.judging.served import Served
from release.judging.terms import Terms
from release.values import layout
from release.values.record import Previous

BESIDE: Mapping[gates.Against, str] = {"last": layout.COMPARISON_LAST, "best": layout.COMPARISON_BEST}
"""The file of a comparison with previous releases."""


@dataclass(frozen=True, kw_only=True)
class Alone:
    """What comes of the answers themselves, and of the base's beside them."""

    verdict: gates.Verdict
    comparison: gates.Comparison | None
    """None for a release that does not hold the base's answers."""
    tried: Sequence[Entry] = ()
    """What was judged on these rows before."""

    @property
    def attempt(self) -> int:
        """Which attempt on the golden set it is, at least."""
        return attempts.number(self.tried)

    @property
    def files(self) -> dict[str, bytes]:
        """By published name."""
        found = {layout.VERDICT: self.verdict.to_json()}
        return found | ({layout.COMPARISON: self.comparison.to_json()} if self.comparison else {})

    @property
    def passed(self) -> bool:
        """Whether every required gate passes and the base is beaten."""
        return self.verdict.passed and (self.comparison is None or self.comparison.passed)


@dataclass(frozen=True, kw_only=True)
class Beside:
    """The same answers beside those of previous releases."""

    comparisons: Mapping[str, gates.Comparison]
    """By published name."""
    earlier: Previous
    """What the record says of the previous releases."""

    @property
    def files(self) -> dict[str, bytes]:
        """By published name."""
        return {name: comparison.to_json() for name, comparison in self.comparisons.items()}

    @property
    def passed(self) -> bool:
        """Whether neither the last release nor the best one is better."""
        return all(one.passed for one in self.comparisons.values())


def alone(terms: Terms, answers: Sequence[gates.Output], base_answers: Sequence[gates.Output] | None) -> Alone:
    """The verdict on these answers, and the comparison with what the base answered."""
    rows, comparison = terms.golden.rows, None
    if base_answers is not None:
        base = gates.Earlier(name="base", golden=rows, outputs=base_answers)
        comparison = gates.compare(rows, answers, [base], terms.contract, terms.policy, against="base")
    return Alone(verdict=terms.verdict(answers), comparison=comparison, tried=terms.tried)


def beside(terms: Terms, answers: Sequence[gates.Output], releases: Sequence[Release]) -> Beside:
    """The comparisons with the last and the best of these releases.

    They are made from the releases that are kept alone, so that whoever holds no others derives the same bytes.
    """
    kept = previous.needed(releases, previous.compare(releases, terms, answers))
    found = previous.compare(kept, terms, answers)
    comparisons = {BESIDE[against]: comparison for against, comparison in found.items()}
    tags = {one.tag for one in kept}
    earlier = Previous(
        releases=[previous.in_record(one, terms, kept=one.tag in tags) for one in releases],
        weaker=list(previous.weaker(releases, terms)),
        comparisons={
            layout.in_run(name): hashlib.sha256(one.to_json()).hexdigest() for name, one in comparisons.items()
        },
    )
    return Beside(comparisons=comparisons, earlier=earlier)


def passed(one: Alone, other: Beside, forms: Sequence[Served]) -> bool:
    """Whether all that is measured lets it be released."""
    return one.passed and other.passed and not any(form.in_the_way for form in forms)


def entries(
    terms: Terms, adapter: str, answers: Mapping[str, str], found: tuple[Alone, Beside, Sequence[Served]]
) -> list[Entry]:
    """What the ledger keeps of an attempt, in each form: an adapter and the sha256 of its answers, by its digest."""
    alone, beside, forms = found
    compared = [*([alone.comparison] if alone.comparison else []), *beside.comparisons.values()]
    why = {layout.TRAINED: attempts.refusals(alone.verdict, compared)}
    why |= {one.name: (*attempts.refusals(one.verdict, ()), *([] if one.near else ["max_kl"])) for one in forms}
    attempt, golden = terms.attempt(adapter, answers[layout.TRAINED]), terms.golden_set
    return [
        Entry(
            attempt=attempt,
            form=form,
            adapter_sha256=adapter,
            answers_sha256=answers[form],
            policy_sha256=terms.policy.digest,
            golden_sha256=golden.golden_sha256,
            data_sha256=golden.data_sha256,
            golden_rows=golden.golden_rows,
            passed=not reasons,
            refused_by=reasons,
        )
        for form, reasons in why.items()
    ]


def lines(one: Alone, other: Beside, forms: Sequence[Served], people: Heard | None = None) -> list[str]:
    """Verdict, comparisons and people's word for a terminal."""
    compared = (line for each in _compared(one, other) for line in report.comparison_terminal(each))
    which = f"attempt {one.attempt} on this golden set, at least; see {layout.LEDGER}"
    said = human_review.terminal(people.found) if people and people.found else []
    return [*report.terminal(one.verdict), *compared, *served.lines(forms), *said, which]


def markdown(one: Alone, other: Beside, forms: Sequence[Served], people: Heard | None = None) -> str:
    """The same as a report to keep, and as the card shows it."""
    parts = [report.markdown(one.verdict), *map(report.comparison_markdown, _compared(one, other))]
    parts += [served.markdown(one.verdict, forms)] if forms else []
    parts += [human_review.markdown(people.found)] if people and people.found else []
    counted = one.verdict.policy.version >= SPENDING  # cards of before keep their bytes
    return "\n".join([*parts, *([attempts.markdown(one.tried)] if counted else [])])


def _compared(one: Alone, other: Beside) -> list[gates.Comparison]:
    """The comparison with the base, then those with previous releases."""
    return [*([one.comparison] if one.comparison else []), *other.comparisons.values()]
