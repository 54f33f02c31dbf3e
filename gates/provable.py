"""Before any GPU is used: what this golden set can prove, how many rows are missing, and what could slip through."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gates import correctness, statistics
from gates.answer import Answer
from gates.clusters import cluster_problems, clustered, clusters
from gates.comparison import unseen
from gates.correctness import Expected
from gates.invalid import InvalidData
from gates.policy import Bar, Policy
from gates.rows import Golden
from gates.rules import Fields
from gates.strict_json import Reading
from gates.table import GATES

_ANY = Expected(place=correctness.place({"at": "", "by": "exact"}), value=None)
"""For whatever the contract compares: a plan is made without one."""
RATES = (0.85, 0.95, 0.99)
DROP = 0.10
"""Ten points: what a comparison with the last release is asked to see."""


@dataclass(frozen=True, kw_only=True)
class GatePlan:
    """What one gate will count if the model answers every row rightly, and what follows from that."""

    bar: Bar
    n: int
    needs: int | None
    missing: int
    """Rows to add before this gate can pass at all."""
    proves: float
    """What a perfect score would prove; 0 where nothing is counted."""
    passing: Mapping[float, float]
    """The chance of passing for an adapter whose true rate is the key."""

    unseen: float
    """The chance that a drop of `DROP` against the last release passes the comparison with it."""

    @property
    def possible(self) -> bool:
        return self.missing == 0


def plan(golden: Sequence[Golden], policy: Policy) -> tuple[GatePlan, ...]:
    """A line of the plan for each gate of the policy."""
    if problems := cluster_problems(golden, policy):
        raise InvalidData(problems)
    answers, cluster = [_answered(row) for row in golden], clusters(golden, policy)
    return tuple(_gate_plan(bar, clustered(GATES[bar.gate](answers), cluster).n, policy) for bar in policy.bars)


def slips_through(plans: Sequence[GatePlan], rate: float) -> float:
    """The most that the chance of passing every required gate can be for an adapter that is right at this rate."""
    return min((one.passing[rate] for one in plans if one.bar.required), default=0.0)


def _gate_plan(bar: Bar, n: int, policy: Policy) -> GatePlan:
    return GatePlan(
        bar=bar,
        n=n,
        needs=bar.needs(n) if n >= bar.minimum else None,
        missing=max(0, bar.minimum - n),
        proves=statistics.lower_bound(n, n, bar.confidence) if n else 0.0,
        passing={rate: bar.passing(n, rate) for rate in RATES},
        unseen=unseen(n, policy.max_net_loss, DROP),
    )


def _answered(row: Golden) -> Answer:
    """What every gate counts as it would count a right answer to this row; whether it is right is not asked."""
    cited = (row.id,) if row.answerable or row.support else ()  # any name stands for a document
    return Answer(
        golden=row,
        output="",
        reading=Reading(code=""),
        fenced=False,
        schema_faults=(),
        rule_faults=(),
        fields=Fields(cited=cited, entries=cited, refused=row.answerable is False, confidence=1.0),
        sources={},
        confident=True,
        provenance={},
        expected=(_ANY,) if row.gold is not None else (),
        contract=None,
    )
