"""Judging as ratios in one run: the gates against plain ``json.loads`` + ``jsonschema``, and what the bounds hold.

usage: python bench/gates.py [--answers 10000] [--draws 20000]
"""

import argparse
import json
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

import gates  # noqa: E402
from gates.statistics import lower_bound  # noqa: E402

DATA = ROOT / "tests" / "gates" / "data" / "contract"
CONTRACT = {
    "schema": "rich.schema.json",
    "answer": "/answer",
    "citations": "/citations",
    "refusal": "/refusal",
    "confidence": "/confidence",
    "unknowns": "/unknowns",
    "markers": r"\[(\d+)\]",
    "rules": ["markers_equal_citations", "refusal_has_no_citations"],
}
LENGTH = 1500
ROUNDS = 3
CONFIDENCE = 0.95


def rows(count: int) -> list[dict[str, Any]]:
    """Golden rows with reference answers of 1.5 kB."""
    chance = random.Random(7)  # noqa: S311  # its randomness must repeat
    parts = ["ba", "dor", "fi", "gan", "ku", "lem", "no", "pes", "ra", "sti", "tu", "vel", "wi", "zar"]
    words = ["the", "1937", *(one + two + three for one in parts for two in parts for three in parts)]
    made = []
    for number in range(count):
        documents = [{"id": one, "text": " ".join(chance.choices(words, k=80))} for one in (1, 2, 3)]
        value = {
            "answer": "",
            "citations": [{"id": 1, "title": "one"}, {"id": 2, "title": "two"}],
            "refusal": False,
            "confidence": 0.9,
            "unknowns": [],
        }
        text = " ".join(chance.choices(words, k=LENGTH // 6))
        value["answer"] = f"{text[: LENGTH - len(json.dumps(value)) - 8]} [1] [2]"
        made.append(
            {"id": number, "prompt": f"Question {number}?", "gold": json.dumps(value), "documents": documents}
            | {"answerable": True, "support": [1, 2]}
        )
    return made


def seconds(work: Callable[[], object]) -> float:
    """The least of several rounds: what the machine can do when nothing else runs."""
    taken = []
    for _ in range(ROUNDS):
        started = time.process_time()
        work()
        taken.append(time.process_time() - started)
    return min(taken)


def speed(count: int) -> None:
    from jsonschema import Draft202012Validator

    golden = gates.parse_golden(rows(count))
    outputs = gates.gold_outputs(golden)
    contract = gates.load_contract({**CONTRACT, "citations": {"at": "/citations", "key": "id"}}, DATA)
    policy = gates.load_policy(gates.DEFAULT_POLICY)
    validator = Draft202012Validator(contract.schema, format_checker=Draft202012Validator.FORMAT_CHECKER)

    def plain() -> int:
        return sum(validator.is_valid(json.loads(output.output)) for output in outputs)

    verdict = gates.judge(golden, outputs, contract, policy)
    assert plain() == verdict.gate("schema_compliance").score.k == count
    ours, theirs = seconds(lambda: gates.judge(golden, outputs, contract, policy)), seconds(plain)
    print(f"{count} answers of {sum(len(one.output) for one in outputs) // count} characters, CPU, best of {ROUNDS}")
    print(f"  all gates:                {count / ours:9.0f} answers/s")
    print(f"  json.loads + jsonschema:  {count / theirs:9.0f} answers/s")
    print(f"  ratio:                    {ours / theirs:9.2f} times the time")


def coverage(draws: int) -> None:
    """How often the bound is at most the true rate: never less than the confidence, if it is exact."""
    chance = random.Random(11)  # noqa: S311  # its randomness must repeat
    print(f"how often the {CONFIDENCE:.0%} bound holds, {draws} draws each (no less than {CONFIDENCE:.0%} is right)")
    for n in (14, 25, 40, 100):
        bounds = [lower_bound(k, n, CONFIDENCE) for k in range(n + 1)]
        shares = []
        for rate in (0.80, 0.85, 0.90, 0.95, 0.99):
            held = sum(bounds[sum(chance.random() < rate for _ in range(n))] <= rate for _ in range(draws))
            shares.append(f"{rate:.2f}: {held / draws:.3f}")
        print(f"  n = {n:3}   {'   '.join(shares)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--answers", type=int, default=10_000)
    parser.add_argument("--draws", type=int, default=20_000)
    options = parser.parse_args()
    speed(options.answers)
    coverage(options.draws)


if __name__ == "__main__":
    main()
