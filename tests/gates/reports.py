"""Everything that a reader is shown about one faulty set of answers, as files under ``data/reports``.

usage: python -m tests.gates.reports    writes the files anew; read the difference before it is committed
"""

import contextlib
import io
import json
import os
from dataclasses import replace
from typing import Any, get_args

import gates
from gates import report
from gates.__main__ import main as command
from gates.comparison import Against
from gates.table import ABOUT
from tests.gates.examples import DATA, contract, golden_rows, rich

FOLDER = DATA / "reports"
TAGS = (("bridges", "short"), ("rivers|<b>",), ())
EVERY: dict[str, dict[str, Any]] = {
    **{name: {"target": 0.9, "floor": 0.7} for name, about in ABOUT.items() if not about.only_shown},
    "json_parse": {"mode": "zero_failures"},
    "citation_recall": {"mode": "lower_bound", "target": 0.8, "required": False},
    "multi_source_synthesis": {"mode": "point", "target": 0.6},
    "no_false_confidence": {"target": 0.95, "min_support": 60},
    "refusal_recall": {"target": 0.9, "min_n": 15},
}


def golden() -> tuple[tuple[gates.Golden, ...], gates.Contract]:
    rows, agreed = rich()
    return tuple(replace(row, tags=TAGS[number % 3]) for number, row in enumerate(rows)), agreed


def faulty(rows: tuple[gates.Golden, ...], *, also: int = 0) -> tuple[gates.Output, ...]:
    """The reference answers with a fault in each of the first rows, and in some of the last."""
    outputs = list(gates.gold_outputs(rows))

    def change(number: int, **members: object) -> None:
        value = {**json.loads(outputs[number].output), **members}
        outputs[number] = replace(outputs[number], output=json.dumps(value))

    outputs[0] = replace(outputs[0], output=outputs[0].output[:40])
    outputs[1] = replace(outputs[1], finish_reason="length")
    outputs[2] = replace(outputs[2], output=f"```json\n{outputs[2].output}\n```")
    change(3, citations=[{"id": 1, "title": "Report 1"}, {"id": 9, "title": "Report 9"}])
    change(4, citations=[{"id": 1, "title": "unknown"}])
    change(5, citations=[], refusal=True, unknowns=[])
    change(6, answer="Elephants adore strawberry pancakes, all 77 of them | <b>\x1b[31m.")
    change(7, confidence="high", unknowns=3)
    outputs[8] = replace(outputs[8], output='{"answer": "no more"}')
    change(26, answer="It is 100 metres long.", refusal=False, citations=[{"id": 1, "title": "Report 1"}])
    for number in range(39, 39 - also, -1):
        outputs[number] = replace(outputs[number], output="")
    return tuple(outputs)


def reports() -> dict[str, str]:
    rows, agreed = golden()
    bars = gates.load_policy(EVERY)
    outputs = faulty(rows)
    verdict = gates.judge(rows, outputs, agreed, bars)
    earlier = {one.id: one.output for one in gates.gold_outputs(rows)}
    explained = [report.explain(verdict, name) for name in verdict.names]
    explained += [
        report.explain(verdict, name, earlier, golden=rows, outputs=outputs)
        for name in ("citation_recall", "unsupported_specifics")
    ]
    found = {
        "verdict.json": verdict.to_json().decode(),
        "verdict.md": report.markdown(verdict),
        "verdict.txt": _text(report.terminal(verdict)),
        "explained.txt": "\n".join(map(_text, explained)),
        "plan.txt": _text(report.plan_lines(gates.plan(rows, bars), bars)),
        "invalid.md": report.markdown(_invalid(rows, agreed)),
        "invalid.txt": _text(report.terminal(_invalid(rows, agreed))),
        "gate_zero.txt": _text(_unproved()),
        "controls.json": _controls(rows, agreed),
        "controls_of_markers.json": _controls(gates.parse_golden(golden_rows()), contract()),
        "help.txt": "\n".join(map(_help, ([], ["plan"], ["context"]))),
    }
    before = {"base": (10,), "last": (1,), "best": (1, 2), "trained": (3,)}
    for against in get_args(Against):
        earlier_ones = [
            gates.Earlier(name=f"v{also}", golden=rows, outputs=faulty(rows, also=also)) for also in before[against]
        ]
        if against == "best":
            earlier_ones.append(gates.Earlier(name="v|0", golden=rows, outputs=()))
        for name, now in (("faulty", faulty(rows, also=4)), ("gold", gates.gold_outputs(rows))):
            comparison = gates.compare(rows, now, earlier_ones, agreed, bars, against=against)
            found[f"{name}_against_{against}.txt"] = _text(report.comparison_terminal(comparison))
            found[f"{name}_against_{against}.md"] = report.comparison_markdown(comparison)
            found[f"{name}_against_{against}.json"] = comparison.to_json().decode()
    return found


def _help(verb: list[str]) -> str:
    """What ``--help`` prints on a terminal of 100 columns."""
    printed, columns = io.StringIO(), os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = "100"
    with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
        command([*verb, "--help"])
    del os.environ["COLUMNS"]
    os.environ |= {} if columns is None else {"COLUMNS": columns}
    return printed.getvalue()


def _invalid(rows: tuple[gates.Golden, ...], agreed: gates.Contract) -> gates.Verdict:
    """A set in which nothing belongs together."""
    outputs = gates.gold_outputs(rows)
    strangers = [replace(outputs[0], id=f"stranger {number}") for number in range(12)]
    twice = (*rows, rows[3], replace(rows[4], id="other"))
    bars = gates.load_policy({"cluster_key": "family", "contract_rules": {"mode": "zero_failures"}})
    return gates.judge(twice, [*outputs[1:], outputs[5], *strangers], agreed, bars)


def _unproved() -> list[str]:
    """A set on which no gate can be proved able to fail."""
    row = {"id": "a", "prompt": "?", "gold": "{}", "documents": [{"id": 1}]}
    _, agreed = golden()
    return report.terminal(gates.gate_zero(gates.parse_golden([row]), agreed, gates.load_policy(EVERY)))


def _controls(rows: tuple[gates.Golden, ...], agreed: gates.Contract) -> str:
    """For each control how many rows it breaks, and the first of them."""
    made = gates.negative_controls(rows, agreed)
    shown = {name: {"rows": len(broken), "first": broken[0].output} for name, broken in made.items() if broken}
    return json.dumps(shown, indent=2) + "\n"


def _text(lines: list[str]) -> str:
    return "\n".join(lines) + "\n"


def main() -> None:
    for name, text in reports().items():
        (FOLDER / name).write_text(text, "utf-8")


if __name__ == "__main__":
    main()
