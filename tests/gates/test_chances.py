"""The tables of chances against real verdicts, each possible outcome weighed by exact fractions."""

import json
import math
from dataclasses import replace
from fractions import Fraction

import pytest

import gates
from bench import chances
from gates import statistics
from gates.files import read_yaml

POLICY = gates.load_policy(gates.DEFAULT_POLICY)
ONCE = replace(POLICY, version=2)
"""The same, of before attempts were counted."""


def _passes(n: int, wrong: int) -> bool:
    """What the gates say of so many wrong citations on n rows."""
    contract = gates.load_contract(read_yaml(chances.CONTRACT), chances.CONTRACT.parent)
    answerable = round(n * 0.6)
    golden = gates.parse_golden(chances.golden_rows(answerable, n - answerable))
    outputs = [*gates.gold_outputs(golden)]
    for number in range(wrong):
        cited = json.dumps({"answer": "It is so [2].", "citations": [2], "refusal": False})
        outputs[number] = replace(outputs[number], output=cited)
    return gates.judge(golden, outputs, contract, ONCE).passed


@pytest.mark.parametrize("n", [20, 30, 50])
def test_a_chance_is_the_sum_over_all_outcomes_that_the_gates_release(n: int) -> None:
    answerable = round(n * 0.6)
    released = [wrong for wrong in range(answerable + 1) if _passes(n, wrong)]
    for rate in (Fraction(7, 10), Fraction(17, 20), Fraction(1)):
        one = sum(
            math.comb(answerable, wrong) * (1 - rate) ** wrong * rate ** (answerable - wrong) for wrong in released
        )
        for attempts in chances.ATTEMPTS:
            expected = float(1 - (1 - one) ** attempts)
            told = chances.released(n, float(rate), ONCE, attempts, corrected=False)
            assert told == pytest.approx(expected, abs=1e-12)


def test_a_surer_bound_for_each_attempt_keeps_all_of_them_at_one_in_twenty() -> None:
    for n in (40, 83, 100):
        assert chances.released(n, chances.BAD, POLICY, 20, corrected=False) > 0.4
        assert 0 < chances.released(n, chances.BAD, POLICY, 20) <= 0.05


def test_a_table_has_a_line_for_each_size_and_its_figures_in_percent() -> None:
    lines = chances.table(POLICY, 5, corrected=False)
    assert len(lines) == 2 + len(chances.SIZES)
    line = next(one for one in lines if one.startswith("| 100 |"))
    assert line.split(" | ")[2] == f"{100 * (1 - (1 - statistics.at_least(54, 60, 0.8)) ** 5):.1f}"
