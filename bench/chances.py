"""Exact chances of a release, by the true rate of an adapter: Markdown tables for docs/figures.md.

usage: python bench/chances.py

Three of five golden rows can be answered. On such a row the adapter is right at its true rate, else it cites another
document; each row by itself, and all else is perfect: form, refusals, citations in their form. So whatever else is
wrong with an adapter makes its chance smaller. Nothing is drawn: the chances are sums of binomial terms.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

import gates  # noqa: E402
from gates import statistics  # noqa: E402
from gates.files import read_yaml  # noqa: E402
from gates.policy import Bar, Policy  # noqa: E402
from gates.table import ABOUT  # noqa: E402

CONTRACT = ROOT / "tests" / "gates" / "data" / "contract" / "contract.yaml"
ANSWERABLE = statistics.exact(0.6)
"""The share of golden rows that can be answered, as in the default dataset."""
SIZES = (20, 30, 40, 50, 60, 85, 100, 150, 200, 300, 400)
RATES = (0.70, 0.80, 0.85, 0.90, 0.95, 1.0)
ATTEMPTS = (1, 5, 20)
BAD = 0.80
"""The floor of the default's citation gates: who is no better should pass once in twenty times at most."""


@dataclass(frozen=True, kw_only=True)
class Sides:
    """How many rows a gate counts of one that can be answered, and of one that cannot."""

    answerable: int
    unanswerable: int

    def of(self, n: int) -> int:
        right = round(n * ANSWERABLE)
        return self.answerable * right + self.unanswerable * (n - right)


def golden_rows(answerable: int, unanswerable: int) -> list[dict[str, object]]:
    """Golden rows with right reference answers."""
    answers = {
        True: '{"answer": "It is so [1].", "citations": [1], "refusal": false}',
        False: '{"answer": "Nothing is said.", "citations": [], "refusal": true}',
    }
    asked = [True] * answerable + [False] * unanswerable
    return [
        {"prompt": f"Question {number}?", "gold": answers[one], "documents": [{"id": 1}, {"id": 2}]}
        | {"answerable": one, "support": [1] if one else []}
        for number, one in enumerate(asked)
    ]


@cache
def sides(policy: Policy) -> Mapping[str, Sides]:
    """For each gate of the policy what it counts, as the gate itself says."""
    contract = gates.load_contract(read_yaml(CONTRACT), CONTRACT.parent)
    counted = []
    for given in ((1, 0), (0, 1)):
        golden = gates.parse_golden(golden_rows(*given))
        verdict = gates.judge(golden, gates.gold_outputs(golden), contract, policy)
        counted.append({gate.name: gate.score.n for gate in verdict.gates})
    return {name: Sides(answerable=n, unanswerable=counted[1][name]) for name, n in counted[0].items()}


def once(n: int, rate: float, bars: Sequence[Bar], counted: Mapping[str, Sides]) -> float:
    """The chance that one adapter passes all of these bars on n rows."""
    needed = {bar.gate: _needs(bar, counted[bar.gate].of(n)) for bar in bars}
    if None in needed.values():
        return 0.0
    of_citations = [k or 0 for gate, k in needed.items() if ABOUT[gate].control == "wrong_citation"]
    return statistics.at_least(max(of_citations, default=0), round(n * ANSWERABLE), rate)


@cache  # asked again for each rate and each attempt
def _needs(bar: Bar, rows: int) -> int | None:
    return bar.needs(rows) if rows >= bar.minimum else None


def bars_at(policy: Policy, attempt: int, *, corrected: bool) -> list[Bar]:
    """What an attempt of this number must meet; not corrected, each as if it were the first and only one."""
    bars = policy.at(attempt).bars_now if corrected else policy.bars
    return [bar for bar in bars if bar.required]


def released(n: int, rate: float, policy: Policy, attempts: int, *, corrected: bool = True) -> float:
    """The chance that one of so many adapters, each as good and each trained by itself, passes on the same n rows."""
    counted, failing = sides(policy), 1.0
    for attempt in range(1, attempts + 1):
        failing *= 1.0 - once(n, rate, bars_at(policy, attempt, corrected=corrected), counted)
    return 1.0 - failing


def table(policy: Policy, attempts: int, *, corrected: bool = True) -> list[str]:
    """The lines of a Markdown table, in percent."""
    lines = [f"| rows | {' | '.join(f'{rate:.2f}' for rate in RATES)} |", f"|--:|{'--:|' * len(RATES)}"]
    for n in SIZES:
        shares = (f"{100 * released(n, rate, policy, attempts, corrected=corrected):.1f}" for rate in RATES)
        lines.append(f"| {n} | {' | '.join(shares)} |")
    return lines


def worst(policy: Policy, attempts: int, *, corrected: bool = True) -> tuple[int, float]:
    """The size from 20 to 400 rows at which an adapter of rate ``BAD`` passes most often, and how often."""
    chances = {n: released(n, BAD, policy, attempts, corrected=corrected) for n in range(SIZES[0], SIZES[-1] + 1)}
    return max(chances.items(), key=lambda item: item[1])


def main() -> None:
    policy = gates.load_policy(gates.DEFAULT_POLICY)
    for attempts in ATTEMPTS:
        print(f"\n**{attempts} attempt{'s' if attempts > 1 else ''}**\n")
        print("\n".join(table(policy, attempts)))
    print(f"\nWhere rate {BAD:.2f} passes most often, of all sizes from {SIZES[0]} to {SIZES[-1]}:\n")
    print("| attempts | rows | chance | rows, each judged as the first | chance |\n|--:|--:|--:|--:|--:|")
    for attempts in ATTEMPTS:
        found = (worst(policy, attempts, corrected=corrected) for corrected in (True, False))
        print(f"| {attempts} | {' | '.join(f'{n} | {100 * chance:.1f}' for n, chance in found)} |")


if __name__ == "__main__":
    main()
