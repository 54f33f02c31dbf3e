"""Before any GPU is used: what this golden set can prove, how many rows are missing, and what could slip through."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gates import correctness, statistics
from gates.answer import Answer
from gates.clusters import cluster_problems, clustered, clusters
from gates.correctness import Expected
from gates.invalid import InvalidData
from gates.losses import unseen
from gates.policy import Bar, Policy
from gates.rows import Golden
from gates.rules import Fields
from gates.strict_json import Reading
from gates.table import GATES

_ANY = Expected(place=correctness.place({"at": "", "by": "exact"}), value=None)
"""For whatever the contract compares: a plan is made without one."""
RATES = (0.85, 0.95, 0.99)
TRIES = (5, 20)
"""Adapters that may be trained and judged on one golden set until one passes."""
FORM = frozenset(("json_parse", "schema_compliance", "type_correctness", "required_fields", "contract_rules"))
"""Gates of form, at which a model that has learned it is right nearly always, whatever it says."""
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

    in_tries: Mapping[int, float]
    """The chance that one of so many such adapters passes, each with the bound of its own attempt; such: `RATES[0]`."""
    unseen: float
    """The chance that a drop of `DROP` against the last release passes the comparison with it."""

    @property
    def possible(self) -> bool:
        return self.missing == 0


def plan(golden: Sequence[Golden], policy: Policy) -> tuple[GatePlan, ...]:
    """A line of the plan for each gate of the policy, for the policy's attempt and those after it."""
    if problems := cluster_problems(golden, policy):
        raise InvalidData(problems)
    n = counted(golden, policy)
    later = [policy.at(policy.attempt + more).bars_now for more in range(max(TRIES))]
    return tuple(
        _gate_plan(bar, n[bar.gate], policy, [bars[number] for bars in later])
        for number, bar in enumerate(policy.bars_now)
    )


def counted(golden: Sequence[Golden], policy: Policy) -> dict[str, int]:
    """How many rows, or clusters of rows, each gate counts where all are answered rightly."""
    answers, cluster = [_answered(row) for row in golden], clusters(golden, policy)
    return {bar.gate: clustered(GATES[bar.gate](answers), cluster).n for bar in policy.bars}


def slips_through(plans: Sequence[GatePlan], tries: int = 1) -> dict[str, float]:
    """For each required gate of content the chance that one of so many adapters passes that are as good as `RATES[0]`.

    An adapter of perfect form passes every required gate no more often than the smallest, and one that is always right
    at the others than its own gate lets it.
    """
    required = [one for one in plans if one.bar.required]
    content = [one for one in required if one.bar.gate not in FORM] or required
    return {one.bar.gate: one.passing[RATES[0]] if tries == 1 else one.in_tries[tries] for one in content}


def _gate_plan(bar: Bar, n: int, policy: Policy, later: Sequence[Bar]) -> GatePlan:
    failing, tries = 1.0, dict[int, float]()
    for number, one in enumerate(later, 1):
        failing *= 1.0 - one.passing(n, RATES[0])
        tries |= {number: 1.0 - failing} if number in TRIES else {}
    return GatePlan(
        bar=bar,
        n=n,
        needs=bar.needs(n) if n >= bar.minimum else None,
        missing=max(0, bar.minimum - n),
        proves=statistics.lower_bound(n, n, bar.confidence) if n else 0.0,
        passing={rate: bar.passing(n, rate) for rate in RATES},
        in_tries=tries,
        unseen=unseen(n, policy.max_net_loss, DROP, policy.most_possible),
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
