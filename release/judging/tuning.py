"""The verdict on tuning rows, by which a try goes on to the golden set or does not: what was seen, and no bound on it.

The golden set proves. Tuning rows choose: each required gate must see its threshold's share right on them, and how sure
that is nobody asks, for as few rows would prove no threshold.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import gates
from gates.shown import counted
from gates.statistics import needed
from release.data.dataset import Dataset

Counts = Mapping[str, tuple[int, int]]
"""k of n, by gate."""


@dataclass(frozen=True, kw_only=True)
class Tuned:
    """What the tuning rows say of a try."""

    gates: Counts
    refused_by: tuple[str, ...]
    """Each threshold that was not met; empty where it passes."""

    @property
    def passed(self) -> bool:
        return not self.refused_by


def thresholds(policy: gates.Policy) -> Mapping[str, float]:
    """The share that must be right, of each required gate."""
    return {bar.gate: bar.target for bar in policy.bars if bar.required}


def judged(
    rows: Sequence[gates.Golden], outputs: Sequence[gates.Output], contract: gates.Contract, policy: gates.Policy
) -> Tuned:
    """What each required gate counts, and which thresholds are not met; a gate that counts nothing is not met."""
    verdict = verdict_on(rows, outputs, contract, policy)
    why = [*verdict.problems]
    why += [f"{one.name}: {one.reason}" for one in verdict.gates if one.state != "PASS"] if not why else []
    return Tuned(gates={one.name: (one.units.k, one.units.n) for one in verdict.gates}, refused_by=tuple(why))


def verdict_on(
    rows: Sequence[gates.Golden], outputs: Sequence[gates.Output], contract: gates.Contract, policy: gates.Policy
) -> gates.Verdict:
    """What was seen of each required gate, row by row."""
    return gates.judge(rows, outputs, contract, _seen(policy))


def problem(tuning: Dataset, contract: gates.Contract, policy: gates.Policy) -> str:
    """Why no adapter could pass on these rows; empty where their reference answers do."""
    found = judged(tuning.rows, gates.gold_outputs(tuning.rows), contract, policy)
    if found.passed:
        return ""
    rows = counted(len(tuning.rows), "tuning row")
    return (
        f"The reference answers of the {rows} do not pass the gates themselves, so no try can: "
        f"{'; '.join(found.refused_by)}. Give more tuning rows (data.tuning_share, data.tuning_file), with the labels "
        "that these gates count."
    )


def shortfall(found: Counts, policy: gates.Policy) -> float:
    """By how much of its rows the worst gate misses its threshold; 0 where none does, 1 where one counts nothing."""
    return max(_missing(found, policy).values(), default=0.0)


def worst(found: Counts, policy: gates.Policy) -> str:
    """The gate that misses its threshold by most of its rows."""
    missing = _missing(found, policy)
    return max(missing, key=lambda gate: missing[gate])


def _missing(found: Counts, policy: gates.Policy) -> Mapping[str, float]:
    missing = {}
    for gate, target in thresholds(policy).items():
        k, n = found.get(gate, (0, 0))
        lacks = (needed(n, target, None, 0.0) or 0) - k
        missing[gate] = max(0.0, lacks / n) if n else 1.0
    return missing


@dataclass(frozen=True, kw_only=True)
class Spread:
    """A gate over several seeds, by the share that was right."""

    gate: str
    least: tuple[int, int]
    median: tuple[int, int]
    most: tuple[int, int]


def spread(several: Sequence[Counts]) -> tuple[Spread, ...]:
    """Each gate that all of them counted that counted any, which one without an adapter did not; the lower middle."""
    found, several = [], [one for one in several if one]
    for gate in several[0] if several else ():
        counts = [one[gate] for one in several if one.get(gate, (0, 0))[1]]
        if len(counts) == len(several):
            ordered = sorted(counts, key=lambda one: one[0] / one[1])
            middle = (len(ordered) - 1) // 2
            found.append(Spread(gate=gate, least=ordered[0], median=ordered[middle], most=ordered[-1]))
    return tuple(found)


def _seen(policy: gates.Policy) -> gates.Policy:
    """The required gates with their thresholds and no bound; each row counts for itself, and nobody reads any."""
    bars = tuple(replace(bar, floor=None, minimum=1) for bar in policy.bars if bar.required)
    return replace(policy, bars=bars, cluster_key=None, review=None, attempt=1)
