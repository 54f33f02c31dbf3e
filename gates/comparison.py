"""Comparison: the same golden rows answered by the base or by earlier releases, row beside row and gate by gate.

Rates of two sets hide what pairs show: which rows were lost. Against the base an adapter must win. Against an earlier
release it may not lose more than ``Policy.max_net_loss`` of the rows, nor so many more than it wins that chance does
not explain it: at 40 rows a test alone is nearly blind to a drop of ten points. Against ``best`` each gate meets the
release that was best at it, so small drops cannot add up. The same adapter in another form (another engine or
precision) is held against ``trained``, as against an earlier release.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from typing import Final, Literal

from gates import losses, statistics
from gates.answer import pair, pairing_problems
from gates.canonical import Json, canonical_json
from gates.clusters import cluster_problems, clusters
from gates.contract import Contract
from gates.policy import SMALLEST, Policy
from gates.provable import DROP, counted
from gates.rows import Golden, Output, golden_digest, outputs_digest
from gates.same_rows import Known, known, matched
from gates.score import Score
from gates.table import GATES

VERSION = 1
BEATEN: Final = 0.05
"""The base is beaten if chance explains the wins with less than this probability: five wins and no loss do."""
EVERY: Final = "every_required_gate"
"""Beside the gates: a row is right if no required gate counts it as wrong. One test, so no gate can be picked."""

Against = Literal["base", "last", "best", "trained"]
"""The base, a previous release, or the same adapter in the form it was trained in."""


@dataclass(frozen=True, kw_only=True)
class Earlier:
    """What another adapter, or the base without one, answered."""

    name: str
    golden: Sequence[Golden]
    """The golden set as it was then: only rows that are still the same are compared."""
    outputs: Sequence[Output]
    known: Mapping[str, Known] | None = None
    """By id what is known of those rows; None: whatever ``golden`` says."""

    @property
    def rows(self) -> Mapping[str, Known]:
        """By id what is known of the rows that it answered."""
        if self.known is not None:
            return self.known
        return {row.id: known(row) if row.row else Known(row=row.digest) for row in self.golden}


@dataclass(frozen=True, kw_only=True)
class Pairing:
    """One gate on the rows that both answered."""

    gate: str
    required: bool
    earlier: str
    n: int
    """Rows, or clusters of rows, that the gate counts in either."""
    right_before: int
    right_now: int
    lost: tuple[str, ...]
    won: tuple[str, ...]
    p: float
    """The chance of so many losses (against the base: wins) if nothing had changed."""
    fault: str
    """Why this is not good enough, or an empty string."""
    bound: float | None = None
    """The net loss, as a share, that cannot be ruled out; None where nobody asks."""
    unseen: float | None = None
    """The chance that so many rows let a drop of ten points pass, likewise."""
    blind: bool = False
    """Whether so few rows are compared that even none lost would not rule out the loss that must be."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """``passed`` only if something could be compared and no pairing of a required gate has a fault."""

    against: Against
    problems: tuple[str, ...]
    skipped: tuple[str, ...]
    """Earlier releases that could not be compared with, and why."""
    pairings: tuple[Pairing, ...]
    identical: int
    """Rows with the same output, to the byte, as the earlier one (the first, of several)."""
    rows: int
    """Rows compared with it."""
    golden_digest: str
    outputs_digest: str

    @property
    def state(self) -> Literal["PASS", "FAIL", "INVALID"]:
        if self.problems or not self.pairings:
            return "INVALID"
        return "FAIL" if self.faults else "PASS"

    @property
    def passed(self) -> bool:
        return self.state == "PASS"

    @property
    def faults(self) -> tuple[str, ...]:
        no_op = self.against == "base" and self.identical == self.rows
        said = [f"all {self.rows} answers are the base's to the byte: the adapter has no effect"] if no_op else []
        return (*said, *(f"{one.gate}: {one.fault}" for one in self.pairings if one.fault))

    @property
    def regressed(self) -> tuple[str, ...]:
        """Rows that a required gate took for right before and does not now."""
        return tuple(sorted({row for one in self.pairings if one.required for row in one.lost}))

    def as_dict(self) -> dict[str, Json]:
        return {
            "comparison": VERSION,
            "state": self.state,
            "passed": self.passed,
            "faults": list(self.faults),
            "regressed": list(self.regressed),
            **asdict(self),
            "pairings": [_written(one) for one in self.pairings],
        }

    def to_json(self) -> bytes:
        """The comparison file; ``schemas/comparison.schema.json`` describes it."""
        return canonical_json(self.as_dict())


def _written(one: Pairing) -> dict[str, Json]:
    """A pairing as comparisons have it; one by an earlier version of a policy knows no bound."""
    later = ("bound", "unseen", "blind")
    return {name: value for name, value in asdict(one).items() if one.bound is not None or name not in later}


@dataclass(frozen=True, kw_only=True)
class _Sides:
    earlier: str
    before: Mapping[str, Score]
    now: Mapping[str, Score]
    cluster: Mapping[str, str]
    identical: int
    rows: int
    counted: Mapping[str, int]
    """What each gate counts of these rows where they are answered rightly."""


def compare(
    golden: Sequence[Golden],
    outputs: Sequence[Output],
    earlier: Sequence[Earlier],
    contract: Contract,
    policy: Policy,
    *,
    against: Against,
) -> Comparison:
    """These outputs beside the base's, beside the last release's, or for each gate beside the best of several."""
    problems = pairing_problems(golden, outputs, version=policy.version) + cluster_problems(golden, policy)
    sides, skipped = [], []
    for one in () if problems else earlier:
        shared, then = _shared(golden, one, policy.version)
        if reason := _not_comparable(golden, shared, then):
            skipped.append(f"{one.name}: {reason}")
        else:
            sides.append(_sides(shared, outputs, replace(one, outputs=then), contract, policy))
    if not sides and not problems:
        problems = skipped or ["there is no earlier answer to compare with"]
    return Comparison(
        against=against,
        problems=tuple(problems),
        skipped=tuple(skipped),
        pairings=tuple(_best(gate, sides, policy, against) for gate in _names(policy)) if sides else (),
        identical=sides[0].identical if sides else 0,
        rows=sides[0].rows if sides else 0,
        golden_digest=golden_digest(golden),
        outputs_digest=outputs_digest(outputs),
    )


def _names(policy: Policy) -> tuple[str, ...]:
    return (EVERY, *(bar.gate for bar in policy.bars))


def _shared(golden: Sequence[Golden], earlier: Earlier, version: int) -> tuple[tuple[Golden, ...], tuple[Output, ...]]:
    """The rows that it answered too, and its answers to them under their ids of now."""
    if earlier.golden is golden:
        return tuple(golden), tuple(earlier.outputs)
    same = matched(golden, earlier.rows, version=version).same
    now = {then: name for name, then in same.items()}
    answers = tuple(replace(one, id=now[one.id]) for one in earlier.outputs if one.id in now)
    return tuple(row for row in golden if row.id in same), answers


def not_comparable(golden: Sequence[Golden], earlier: Earlier, *, version: int = 1) -> str:
    """Why nothing can be learned from a comparison with these earlier answers; empty if it can.

    ``version`` is the policy's: since 2, rows that have labels beside are the same; since 3, rows with other ids.
    """
    return _not_comparable(golden, *_shared(golden, earlier, version))


def _not_comparable(golden: Sequence[Golden], rows: Sequence[Golden], then: Sequence[Output]) -> str:
    least = min(SMALLEST, len(golden))
    if len(rows) < least:
        return (
            f"only {len(rows)} of {len(golden)} golden rows are the ones it answered, at least {least} must be: "
            "have its adapter answer this golden set"
        )
    return "; ".join(pairing_problems(rows, then))


def blind(golden: Sequence[Golden], earlier: Earlier, policy: Policy) -> dict[str, int]:
    """Required gates of which too few rows are compared to rule a loss out that must be, and how many are."""
    limit = policy.most_possible
    if limit is None:
        return {}
    rows, _ = _shared(golden, earlier, policy.version)
    n = counted(rows, policy)
    return {bar.gate: n[bar.gate] for bar in policy.bars if bar.required and not losses.sees(n[bar.gate], limit)}


def _of(rows: Sequence[Golden], outputs: Sequence[Output]) -> list[Output]:
    ids = {row.id for row in rows}
    return [output for output in outputs if output.id in ids]


def _sides(
    rows: Sequence[Golden], outputs: Sequence[Output], earlier: Earlier, contract: Contract, policy: Policy
) -> _Sides:
    before, now = _of(rows, earlier.outputs), _of(rows, outputs)
    return _Sides(
        earlier=earlier.name,
        before=_scores(rows, before, contract, policy),
        now=_scores(rows, now, contract, policy),
        cluster=clusters(rows, policy),
        identical=len(set(before) & set(now)),
        rows=len(rows),
        counted=counted(rows, policy) if policy.most_possible is not None else {},
    )


def _scores(rows: Sequence[Golden], outputs: Sequence[Output], contract: Contract, policy: Policy) -> dict[str, Score]:
    answers = pair(rows, outputs, contract)
    scores = {bar.gate: GATES[bar.gate](answers) for bar in policy.bars}
    required = [scores[bar.gate] for bar in policy.bars if bar.required]
    counted = dict.fromkeys(row for score in required for row in score.counted)
    misses = {miss.id: miss for score in required for miss in score.misses}
    return {EVERY: Score(counted=tuple(counted), misses=tuple(misses.values()), empty="nothing is counted"), **scores}


def _best(gate: str, sides: Sequence[_Sides], policy: Policy, against: Against) -> Pairing:
    best = max(sides, key=lambda one: _rate(one.before[gate]))
    required = gate == EVERY or any(bar.gate == gate and bar.required for bar in policy.bars)
    return _pairing(gate, best, policy, required=required, against=against)


def _rate(score: Score) -> Fraction:
    return Fraction(score.k, score.n) if score.n else Fraction(-1)


def _pairing(gate: str, sides: _Sides, policy: Policy, *, required: bool, against: Against) -> Pairing:
    before, now = sides.before[gate], sides.now[gate]
    wrong_before, wrong_now = ({miss.id for miss in score.misses} for score in (before, now))
    counted = set(before.counted) | set(now.counted)
    # Clusters are counted, rows are named.
    units, before_units, now_units = (
        {sides.cluster[row] for row in rows} for rows in (counted, wrong_before, wrong_now)
    )
    n, lost, won = len(units), len(now_units - before_units), len(before_units - now_units)
    if against == "base":
        p = statistics.mcnemar(won, lost)
        fault = _not_beaten(lost, won, p) if gate == EVERY else ""
    else:
        p = statistics.mcnemar(lost, won)
        fault = losses.worse(lost, won, n, p, policy.max_net_loss) if required else ""
    pairing = Pairing(
        gate=gate,
        required=required,
        earlier=sides.earlier,
        n=n,
        right_before=n - len(before_units),
        right_now=n - len(now_units),
        lost=tuple(sorted(wrong_now - wrong_before)),
        won=tuple(sorted(wrong_before - wrong_now)),
        p=p,
        fault=fault,
    )
    limit = policy.most_possible
    if limit is None or against not in ("last", "best") or n == 0:
        return pairing
    return _bounded(pairing, (lost, won), sides.counted.get(gate, len(set(sides.cluster.values()))), limit, policy)


def _bounded(pairing: Pairing, changed: tuple[int, int], planned: int, limit: float, policy: Policy) -> Pairing:
    """The same with what cannot be ruled out, which is a fault where rows enough are compared.

    How many are is known before anything is answered, so no answers decide whether they are bounded.
    """
    blind = not losses.sees(planned, limit)
    possible = "" if blind or not pairing.required else losses.not_ruled_out(*changed, pairing.n, limit)
    return replace(
        pairing,
        fault=pairing.fault or possible,
        bound=losses.loss_bound(*changed, pairing.n),
        unseen=round(losses.unseen(pairing.n, policy.max_net_loss, DROP, None if blind else limit), 4),
        blind=blind,
    )


def _not_beaten(lost: int, won: int, p: float) -> str:
    if p < BEATEN:
        return ""
    return f"does not beat the base: {won} won and {lost} lost (p = {p:.3f}, needed is less than {BEATEN})"
