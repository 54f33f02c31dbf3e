"""What people say of answers: which rows they are shown, what of their word counts, and whether it is enough.

The gate judges no answer by itself: people do, row by row, of this adapter's answer and of another one without knowing
which is which. Rows and order follow from a seed that nobody chooses, a digest of what was judged.
"""

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, cast

from gates import statistics
from gates.canonical import Json, canonical_json
from gates.invalid import InvalidData, against_schema
from gates.policy import CONFIDENCE, HumanReview
from gates.report import EXCERPT, cell, line
from gates.rows import Golden
from gates.score import Miss, Score
from gates.shown import plain, shorten, some
from gates.verdict import GateVerdict, Verdict, decide

VERSION: Final = 1
SAYS: Final = ("right", "wrong", "cannot tell")
REASONS: Final = (
    "wrong fact",
    "not in the documents",
    "something is missing",
    "should have refused",
    "should have answered",
    "not to be understood",
)
"""Why an answer is wrong, or cannot be told: offered, and never asked for."""
MOST_REVIEWERS: Final = 100
"""Of one review, as its schema says."""
NAMED: Final = 10
"""Rows that a message names."""
_SIXTY_FOUR_BITS: Final = 2**64


@dataclass(frozen=True, kw_only=True)
class Opinion:
    """What one person says of one answer."""

    says: str
    """One of ``SAYS``."""
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Row:
    """What one person says of a row."""

    id: str
    this: Opinion | None = None
    """Of the adapter's answer; None: not yet."""
    other: Opinion | None = None
    """Of the answer beside it, likewise; where both are the same text, one word stands for both."""
    notes: str = ""


@dataclass(frozen=True, kw_only=True)
class Reviewer:
    """One person, by the name that was typed."""

    name: str
    rows: tuple[Row, ...]
    through: bool = False
    """Whether it is their last word: whose answers were which is shown from then on, and no word changes."""


@dataclass(frozen=True, kw_only=True)
class Settled:
    """A row on which people disagreed, and what a person then said of the adapter's answer."""

    id: str
    says: str
    by: str = ""
    notes: str = ""


@dataclass(frozen=True, kw_only=True)
class Bound:
    """What a review is of: another adapter, other answers, rows or thresholds have another ``seed``."""

    seed: str
    """The digest of the attempt, by which rows are drawn."""
    answers_sha256: str
    beside: str
    """Whose answers stand beside: ``base``, or a tag."""
    beside_sha256: str


@dataclass(frozen=True, kw_only=True)
class Review:
    """A file of answers; ``schemas/review.schema.json`` says what each is."""

    bound: Bound
    rows: tuple[str, ...]
    """As they were drawn, in the order in which they are shown."""
    reviewers: tuple[Reviewer, ...] = ()
    settled: tuple[Settled, ...] = ()

    def to_json(self) -> bytes:
        """The file's bytes."""
        return canonical_json(self.as_dict())

    def as_dict(self) -> dict[str, Json]:
        return {
            "review": VERSION,
            "bound": dict(vars(self.bound)),
            "rows": list(self.rows),
            "reviewers": [
                {"name": one.name, "rows": [_row(row) for row in one.rows], "through": one.through}
                for one in self.reviewers
            ],
            "settled": [dict(vars(one)) for one in self.settled],
        }


def _row(row: Row) -> dict[str, Json]:
    sides: dict[str, Json] = {name: dict(vars(one)) for name, one in (("this", row.this), ("other", row.other)) if one}
    return {"id": row.id, **sides, "notes": row.notes}


def parse(value: object, where: str) -> Review:
    """The review that a JSON value is; ``InvalidData`` with every problem if it is not one."""
    if wrong := against_schema(value, "review", where):
        raise InvalidData(wrong)
    found = cast("dict[str, list[dict[str, object]]]", value)
    return Review(
        bound=Bound(**cast("dict[str, str]", found["bound"])),
        rows=tuple(cast("list[str]", found["rows"])),
        reviewers=tuple(
            Reviewer(
                name=str(one["name"]),
                rows=tuple(map(_read, cast("list[dict[str, object]]", one["rows"]))),
                through=one["through"] is True,
            )
            for one in found["reviewers"]
        ),
        settled=tuple(Settled(**cast("dict[str, str]", one)) for one in found["settled"]),
    )


def _read(row: Mapping[str, object]) -> Row:
    sides = {name: Opinion(**cast("dict[str, str]", row[name])) for name in ("this", "other") if name in row}
    return Row(id=str(row["id"]), notes=str(row["notes"]), **sides)


def draw(seed: str, strata: Mapping[str, str], n: int) -> tuple[str, ...]:
    """``n`` of the rows, or all where there are fewer, each as likely as any other; the order they are shown in.

    Systematic sampling: rows stand by stratum, and every N/n-th is taken from a start that the seed decides, so that
    each stratum has its share (Cochran, "Sampling Techniques", 1977, chapter 8). The same in each version and machine.
    """
    order = sorted(strata, key=lambda row: (strata[row], _number(seed, "drawn", row), row))
    n = min(n, len(order))
    start = _number(seed, "start")
    taken = [order[(at * len(order) + start * len(order) // _SIXTY_FOUR_BITS) // n] for at in range(n)]
    return tuple(sorted(taken, key=lambda row: (_number(seed, "shown", row), row)))


def this_first(seed: str, row: str) -> bool:
    """Whether the adapter's answer to a row stands first."""
    return _number(seed, "first", row) % 2 == 0


def _number(*of: str) -> int:
    """64 bits that depend on all of these texts."""
    return int.from_bytes(hashlib.sha256(canonical_json(list(of))).digest()[:8], "big")


def problems(review: Review, bound: Bound, rows: Sequence[str], asked: HumanReview) -> tuple[str, ...]:
    """Why a review does not count; nothing where it is whole and of exactly this."""
    if foreign := tuple(_foreign(review, bound, rows)):
        return foreign
    return (*_misplaced(review), *unfinished(review, asked))


def _foreign(review: Review, bound: Bound, rows: Sequence[str]) -> Iterator[str]:
    """How a review is one of something else."""
    if review.bound.answers_sha256 != bound.answers_sha256:
        yield "it is a review of other answers than these"
    elif review.bound != bound:
        yield "it was made with another adapter, policy, answer format, golden set or answers beside than these"
    elif review.rows != tuple(rows):
        yield "its rows are not those that its seed draws"


def _misplaced(review: Review) -> Iterator[str]:
    """Rows that stand twice, or were not drawn; reviewers who cannot be told apart."""
    names = [one.name for one in review.reviewers]
    if len(set(names)) < len(names):
        yield "two reviewers have the same name"
    drawn = set(review.rows)
    listed = [(f"of {_called(one)}", [row.id for row in one.rows]) for one in review.reviewers]
    for whose, ids in (*listed, ("that are settled", [one.id for one in review.settled])):
        if twice := sorted({one for one in ids if ids.count(one) > 1}):
            yield f"rows {whose} stand twice: {some(twice, NAMED)}"
        if unknown := sorted(set(ids) - drawn):
            yield f"rows {whose} were not drawn: {some(unknown, NAMED)}"
    if idle := sorted({one.id for one in review.settled} - set(disagreed(review))):
        yield f"rows are settled on which nobody disagreed: {some(idle, NAMED)}"


def unfinished(review: Review, asked: HumanReview) -> Iterator[str]:
    """What people still have to do."""
    if len(review.reviewers) < asked.reviewers:
        yield f"{len(review.reviewers)} of {asked.reviewers} reviewers began"
    for one in review.reviewers:
        if (done := answered(one, review.rows)) < len(review.rows):
            yield f"{_called(one)} answered {done} of {len(review.rows)} rows: go on under that name"
        elif not one.through:
            yield f"{_called(one)} answered every row, and did not finish the review"
    if open_ := [row for row in disagreed(review) if row not in {one.id for one in review.settled}]:
        yield f"reviewers disagree, and nobody settled it: {some(open_, NAMED)}"


def answered(one: Reviewer, rows: Sequence[str]) -> int:
    """How many of these rows somebody has said everything of."""
    return len({row.id for row in one.rows if row.this and row.other} & set(rows))


def _called(one: Reviewer) -> str:
    return plain(one.name) or "the reviewer without a name"


def disagreed(review: Review) -> tuple[str, ...]:
    """The rows of which two people say different things of the adapter's answer."""
    said = [{row.id: row.this.says for row in one.rows if row.this} for one in review.reviewers]
    return tuple(row for row in review.rows if len({one[row] for one in said if row in one}) > 1)


@dataclass(frozen=True, kw_only=True)
class Trust:
    """What people say of the rows of which the gates say one thing: how far the gates can be trusted."""

    gates_say: str
    """``right``: no required gate counts the row as wrong; or ``wrong``."""
    n: int
    """Rows of which the gates say so, and of which people could tell."""
    otherwise: tuple[str, ...]
    """Those of which people say the opposite."""

    @property
    def at_most(self) -> float | None:
        """The share of such rows that this leaves possible; None where there is none."""
        if not self.n:
            return None
        proved = statistics.lower_bound(self.n - len(self.otherwise), self.n, CONFIDENCE)
        return math.ceil((1 - proved) * 1e6) / 1e6


@dataclass(frozen=True, kw_only=True)
class Reviewed:
    """What came of a review that counts."""

    gate: GateVerdict
    reviewers: int
    beside: str
    other: tuple[int, int]
    """How many of how many answers beside it the first reviewer calls right."""
    settled: tuple[str, ...]
    trust: tuple[Trust, ...]

    @property
    def passed(self) -> bool:
        return self.gate.state == "PASS"


def judged(review: Review, asked: HumanReview, attempt: int, verdict: Verdict) -> Reviewed:
    """What follows from a review without ``problems``: a row is right where everybody says so, or who settled it."""
    settled = {one.id: one for one in review.settled}
    said = {row: _said(review, row, settled.get(row)) for row in review.rows}
    misses = tuple(_miss(row, one) for row, one in said.items() if one.says != "right")
    score = Score(counted=review.rows, misses=misses, empty="no row was reviewed")
    bar = asked.at(attempt, verdict.policy.version)
    state, reason = decide(bar, score)
    other = [row.other for row in review.reviewers[0].rows if row.other]
    return Reviewed(
        gate=GateVerdict(bar=bar, score=score, units=score, state=state, reason=reason),
        reviewers=len(review.reviewers),
        beside=review.bound.beside,
        other=(sum(one.says == "right" for one in other), len(other)),
        settled=tuple(settled),
        trust=_trust(said, verdict),
    )


def _said(review: Review, row: str, settled: Settled | None) -> Opinion:
    if settled is not None:
        return Opinion(says=settled.says, reason=settled.notes)
    each = [one.this for who in review.reviewers for one in who.rows if one.id == row and one.this]
    return next((one for one in each if one.reason), each[0])


def _miss(row: str, said: Opinion) -> Miss:
    return Miss(id=row, reason=f"{said.says}: {said.reason}" if said.reason else said.says)


def _trust(said: Mapping[str, Opinion], verdict: Verdict) -> tuple[Trust, ...]:
    required = [gate for gate in verdict.gates if gate.bar.required]
    wrong = {miss.id for gate in required for miss in gate.score.misses}
    told = {row: one.says for row, one in said.items() if one.says != "cannot tell"}
    sides = (("right", [row for row in told if row not in wrong]), ("wrong", [row for row in told if row in wrong]))
    return tuple(
        Trust(gates_say=side, n=len(rows), otherwise=tuple(row for row in rows if told[row] != side))
        for side, rows in sides
    )


def sentences(found: Reviewed) -> list[str]:
    """What the gates' own table cannot say, for people."""
    people = f"{found.reviewers} {'person' if found.reviewers == 1 else 'people'}"
    right, n = found.other
    lines = [f"{people} read {found.gate.score.n} rows without knowing whose answer is whose"]
    lines += [f"of the answers beside them ({plain(found.beside)}) the first reviewer calls {right} of {n} right"]
    if found.settled:
        lines.append(f"a person settled {len(found.settled)} rows on which they disagreed: {_ids(found.settled)}")
    return lines + [_trusted(one) for one in found.trust]


def _trusted(one: Trust) -> str:
    opposite = "wrong" if one.gates_say == "right" else "right"
    if one.at_most is None:
        return f"of no row that they read do the gates say that it is {one.gates_say}"
    rows = f": {_ids(one.otherwise)}" if one.otherwise else ""
    most = f"at most {100 * one.at_most:.1f} % of such rows at {100 * CONFIDENCE:g} %"
    return (
        f"people call {len(one.otherwise)} of {one.n} rows {opposite} that the gates call {one.gates_say}{rows}; {most}"
    )


def _ids(rows: Sequence[str]) -> str:
    return some(rows, NAMED)


def terminal(found: Reviewed) -> list[str]:
    """The gate and what it says, as lines of plain text."""
    gate = found.gate
    reason = f": {plain(gate.reason)}" if gate.state not in ("PASS", "FAIL") else ""
    return [f"{gate.state:12} {gate.name}  {line(gate)}{reason}", *(f"  {one}" for one in sentences(found))]


def told(review: Review, found: Reviewed, golden: Sequence[Golden], answers: Mapping[str, str]) -> list[str]:
    """The gate, and every row that counts as wrong: what each person says, the question and the answer."""
    questions, lines = {row.id: row.prompt[-1]["content"] for row in golden}, terminal(found)
    for miss in found.gate.score.misses:
        lines.append(f"  {plain(miss.id)}: {plain(miss.reason)}")
        for who in review.reviewers:
            lines += [f"      {_called(who)}: {_worded(row)}" for row in who.rows if row.id == miss.id and row.this]
        details = (("question", questions.get(miss.id, "")), ("answer", answers.get(miss.id, "")))
        lines += [f"      {what:9} {plain(shorten(text, EXCERPT))}" for what, text in details]
    return lines


def _worded(row: Row) -> str:
    said = [row.this.says, row.this.reason, row.notes] if row.this else []
    return plain("; ".join(filter(None, said)))


def markdown(found: Reviewed) -> str:
    """The same as a part of a report; nothing that people typed becomes markup."""
    gate = found.gate
    lines = [f"Read by people, **{gate.state}**: {cell(line(gate))}", ""]
    lines += [f"- {cell(one)}" for one in sentences(found)]
    if gate.score.misses:
        lines += ["", "| row | what people say |", "|---|---|"]
        lines += [f"| {cell(miss.id)} | {cell(miss.reason)} |" for miss in gate.score.misses]
    return "\n".join(lines) + "\n"


def joined(reviews: Sequence[Review]) -> Review:
    """One review of several files of the same rows; ``InvalidData`` where they are not, or contradict each other."""
    first, people, settled = reviews[0], dict[str, Reviewer](), dict[str, Settled]()
    for one in sorted(reviews, key=Review.to_json):  # in whatever order the files are given, the same review
        if (one.bound, one.rows) != (first.bound, first.rows):
            raise InvalidData(["two files are reviews of different answers or rows: give those of one candidate"])
        for who in one.reviewers:
            if people.setdefault(who.name, who) != who:
                raise InvalidData([f"two files say different things for {_called(who)}: give one, or other names"])
        for row in one.settled:
            if settled.setdefault(row.id, row) != row:
                raise InvalidData([f"two files settle row {plain(row.id)} differently: keep one of them"])
    return replace(first, reviewers=tuple(people.values()), settled=tuple(settled.values()))
