"""Judging as ratios in one run: the gates against plain ``json.loads`` + ``jsonschema``, and what the bounds hold.

usage: python bench/gates.py [--answers 10000] [--draws 20000]

Other tools' JSON metrics are measured too where they are installed: in an environment of its own,
``uv pip install 'jsonschema[format-nongpl]==4.26.0' pyyaml lm-eval==0.4.13 deepeval==4.3.1``.
"""

import argparse
import json
import os
import random
import resource
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

import gates  # noqa: E402
from gates import shares, strict_json  # noqa: E402
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


class Seconds(NamedTuple):
    """What a piece of work takes."""

    cpu: float
    """Of all processes together."""
    here: float
    """CPU of this process, which does the most."""
    clock: float
    """On the wall: what somebody waits."""


def seconds(works: Mapping[str, Callable[[], object]]) -> dict[str, Seconds]:
    """The least that each takes in several rounds, in which they take turns."""
    rounds = [{name: _once(work) for name, work in works.items()} for _ in range(ROUNDS)]
    return {name: Seconds(*map(min, zip(*(one[name] for one in rounds), strict=True))) for name in works}


def _once(work: Callable[[], object]) -> Seconds:
    here, children, started = _cpu(resource.RUSAGE_SELF), _cpu(resource.RUSAGE_CHILDREN), time.perf_counter()
    work()
    clock, here = time.perf_counter() - started, _cpu(resource.RUSAGE_SELF) - here
    return Seconds(here + _cpu(resource.RUSAGE_CHILDREN) - children, here, clock)


def _cpu(whose: int) -> float:
    used = resource.getrusage(whose)
    return used.ru_utime + used.ru_stime


Check = Callable[[str], bool]


def in_one_process(work: Callable[[], object]) -> None:
    most, shares.MOST = shares.MOST, 1
    try:
        work()
    finally:
        shares.MOST = most


def speed(count: int) -> None:
    golden = gates.parse_golden(rows(count))
    outputs = gates.gold_outputs(golden)
    contract = gates.load_contract({**CONTRACT, "citations": {"at": "/citations", "key": "id"}}, DATA)
    policy = gates.load_policy(gates.DEFAULT_POLICY)
    verdict = gates.judge(golden, outputs, contract, policy)
    assert verdict.gate("schema_compliance").score.k == count
    texts = [one.output for one in outputs]
    print(f"{count} answers of {sum(map(len, texts)) // count} characters, the least of {ROUNDS} rounds in turn")
    several = f"{shares.processes()} processes"

    def ours() -> None:
        gates.judge(golden, outputs, contract, policy)

    found = checks(contract.schema)
    works = {name: lambda check=check: list(map(check, texts[: count // 5])) for name, check in found.items()}
    took = seconds({"one process": lambda: in_one_process(ours), several: ours, **works})
    for name in dict.fromkeys(("one process", several)):
        took_here = took[name]
        rates = f"{count / took_here.cpu:7.0f} answers/s of CPU, {count / took_here.clock:.0f} by the clock on the wall"
        print(f"  {f'gates.judge, every metric, {name}':42} {rates}")
    alone, together = took["one process"], took[several]
    for name, check in found.items():
        assert all(map(check, texts[: count // 5]))
        theirs, here, clock = (one * count / (count // 5) for one in took[name])
        print(f"  {name:42} {count / theirs:7.0f} answers/s of CPU, {count / clock:.0f} by the clock on the wall")
        print(f"  {'':42} the gates take {alone.cpu / theirs:.2f} times its CPU time in one process;")
        busiest = f"{together.here / here:.2f} times in the busiest of {several}"
        print(f"  {'':42} {busiest}, where one waits {together.clock / clock:.2f} times as long")
        print(f"  {'':42} {taken(check)}")


def checks(schema: dict[str, Any]) -> dict[str, Check]:
    """Who else says whether a text is JSON that follows the schema, as far as installed here."""
    found = {
        "json.loads + jsonschema": plain(schema),
        "the gates' strict reader": lambda text: strict_json.read(text).ok,
    }
    for name, make in {"lm-eval jsonschema_bench": lm_eval, "DeepEval JsonCorrectnessMetric": deepeval}.items():
        try:
            found[name] = make(schema)
        except ImportError as error:
            print(f"not measured: {name}: {error}")
    return found


def plain(schema: dict[str, Any]) -> Check:
    from jsonschema import Draft202012Validator

    validator = Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER)

    def check(text: str) -> bool:
        try:
            return validator.is_valid(json.loads(text))
        except json.JSONDecodeError:
            return False

    return check


def lm_eval(schema: dict[str, Any]) -> Check:
    from lm_eval.tasks.jsonschema_bench import metrics

    written = [json.dumps(schema)]
    return lambda text: metrics.json_validity(written, [text]) and metrics.schema_compliance(written, [text])


def deepeval(_: dict[str, Any]) -> Check:
    os.environ["DEEPEVAL_TELEMETRY_OPT_OUT"] = "1"
    from deepeval.metrics import JsonCorrectnessMetric
    from deepeval.test_case import LLMTestCase
    from pydantic import BaseModel, ConfigDict

    class Citation(BaseModel):
        id: int | str
        title: str | None = None

    class Answer(BaseModel):
        model_config = ConfigDict(extra="forbid")
        answer: str
        citations: list[Citation]
        refusal: bool
        confidence: float
        unknowns: list[str] = []

    metric = JsonCorrectnessMetric(
        expected_schema=Answer, async_mode=False, include_reason=False, eval_mode="system_one"
    )
    return lambda text: bool(metric.measure(LLMTestCase(input="?", actual_output=text), _show_indicator=False))


def taken(check: Check) -> str:
    """What it does with answers of which each has one fault of form that a program reading them would meet."""
    took, raised = [], []
    for name, text in faults('{"answer": "x", "citations": [], "refusal": false, "confidence": 0.5}').items():
        try:
            if check(text):
                took.append(name)
        except Exception as error:  # noqa: BLE001  # whatever another tool raises
            raised.append(f"{name} ({type(error).__name__})")
    return f"takes {', '.join(took) or 'none'}; raises on {', '.join(raised) or 'none'}"


def faults(good: str) -> dict[str, str]:
    return {
        "fence": f"```json\n{good}\n```",
        "NaN": good.replace("0.5", "NaN"),
        "1e999": good.replace("0.5", "1e999"),
        "5,000 digits": good.replace("0.5", "1" * 5000),
        "name twice": good.replace("{", '{"refusal": true, '),
        "half a surrogate": good.replace('"x"', '"\\ud800"'),
        "100,000 brackets": "[" * 100_000,
        "prose before": f"Sure: {good}",
        "prose after": f"{good} I hope this helps.",
        "cut": good[:-1],
    }


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
