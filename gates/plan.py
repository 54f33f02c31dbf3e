"""Before any GPU is used: what this golden set can prove, how many rows are missing, and what could slip through."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gates.answer import Answer
from gates.policy import Bar, Policy
from gates.rows import Golden, id_key
from gates.rules import Fields
from gates.strict_json import Reading
from gates.table import GATES

RATES = (0.85, 0.95, 0.99)


@dataclass(frozen=True, kw_only=True)
class GatePlan:
    """What one gate will count if the model answers every row rightly, and what follows from that."""

    bar: Bar
    n: int
    needs: int | None
    missing: int
    """Rows to add before this gate can pass at all."""
    passing: Mapping[float, float]
    """The chance of passing for an adapter whose true rate is the key."""

    @property
    def possible(self) -> bool:
        return self.missing == 0


def plan(golden: Sequence[Golden], policy: Policy) -> tuple[GatePlan, ...]:
    """A line of the plan for each gate of the policy."""
    answers = [_perfect(row) for row in golden]
    return tuple(_gate_plan(bar, GATES[bar.gate](answers).n) for bar in policy.bars)


def _gate_plan(bar: Bar, n: int) -> GatePlan:
    return GatePlan(
        bar=bar,
        n=n,
        needs=bar.needs(n) if n >= bar.minimum else None,
        missing=max(0, bar.minimum - n),
        passing={rate: bar.passing(n, rate) for rate in RATES},
    )


def _perfect(row: Golden) -> Answer:
    documents = frozenset(id_key(document["id"]) for document in row.documents)
    support = row.support or (tuple(sorted(documents)[:1]) if row.answerable else ())
    return Answer(
        golden=row,
        output="{}",
        reading=Reading(code="ok", value={}),
        fenced=True,
        schema_faults=(),
        rule_faults=(),
        fields=Fields(cited=support, refused=row.answerable is False),
        documents=documents,
    )
