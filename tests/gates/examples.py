"""Small golden sets, answers and contracts for the tests of the gates."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import gates
from gates.answer import Answer, pair
from gates.files import read_yaml

DATA = Path(__file__).parent / "data"
KWANZAA = Path(__file__).parents[3] / "shared" / "data" / "kwanzaa"


def contract(**changes: Any) -> gates.Contract:
    """The contract of these tests; a key changed to None is left out, and its schema need not know its places."""
    mapping = {**read_yaml(DATA / "contract" / "contract.yaml"), **changes}
    given = {key: value for key, value in mapping.items() if value is not None}
    return gates.load_contract(given, DATA / "contract", kept=True)


def policy(**bars: Mapping[str, Any]) -> gates.Policy:
    return gates.load_policy(bars or gates.DEFAULT_POLICY)


def answer(*cited: int) -> str:
    text = "It is so" + "".join(f" [{one}]" for one in cited) + "."
    return json.dumps({"answer": text, "citations": list(cited), "refusal": False})


def rich() -> tuple[tuple[gates.Golden, ...], gates.Contract]:
    """A golden set whose reference answers use every part that a contract may declare."""
    documents = [
        {"id": number, "title": f"Report {number}", "text": f"The bridge number {number} is {number}00 metres long."}
        for number in (1, 2)
    ]
    rows = []
    for number, row in enumerate(golden_rows()):
        refuses = number >= 26
        value = {
            "answer": "Nothing is said." if refuses else "The bridges are 100 and 200 metres long.",
            "citations": [] if refuses else [{"id": one["id"], "title": one["title"]} for one in documents],
            "refusal": refuses,
            "confidence": 0.9,
            "unknowns": ["its height"] if refuses else [],
        }
        messages = [row["messages"][0], {"role": "assistant", "content": json.dumps(value)}]
        support = [] if refuses else [1, 2]
        rows.append({**row, "messages": messages, "documents": documents, "support": support})
    agreed = contract(
        schema="rich.schema.json",
        citations={"at": "/citations", "key": "id", "provenance": {"title": "title"}},
        confidence="/confidence",
        unknowns="/unknowns",
        markers=None,
        rules=["refusal_has_unknowns", "answer_has_citations"],
        correctness=[{"at": "/answer", "by": "normalized"}],
        refusal_text={"languages": ["en"]},
    )
    return gates.parse_golden(rows), agreed


REFUSAL = json.dumps({"answer": "The sources do not say.", "citations": [], "refusal": True})


def golden_rows(answerable: int = 26, unanswerable: int = 14) -> list[dict[str, Any]]:
    """Rows as they stand in a file, answerable first."""
    rows = []
    for number in range(answerable + unanswerable):
        can = number < answerable
        question = {"role": "user", "content": f"Question {number}?"}
        reference = {"role": "assistant", "content": answer(2) if can else REFUSAL}
        rows.append(
            {
                "id": f"q{number:02}",
                "messages": [question, reference],
                "documents": [{"id": 1, "text": "one"}, {"id": 2, "text": "two"}],
                "answerable": can,
                "support": [2] if can else [],
            }
        )
    return rows


def golden(answerable: int = 26, unanswerable: int = 14) -> tuple[gates.Golden, ...]:
    return gates.parse_golden(golden_rows(answerable, unanswerable))


def with_outputs(rows: Sequence[gates.Golden], changed: Mapping[str, str]) -> tuple[gates.Output, ...]:
    """The reference answers, but for some rows another output."""
    return tuple(gates.Output(id=row.id, output=changed.get(row.id, row.output)) for row in gates.gold_outputs(rows))


def answers_of(case: Mapping[str, Any], agreed: gates.Contract) -> tuple[Answer, ...]:
    """The answers of a metric case; ids are the rows' positions."""
    rows, outputs = [], []
    for number, row in enumerate(case["rows"]):
        labels = {
            key: row[key]
            for key in ("answerable", "support", "citation_required", "tags", "gold", "meta")
            if key in row
        }
        documents = row.get("documents", [{"id": 1}, {"id": 2}])
        rows.append({"id": number, "prompt": f"Question {number}?", "documents": documents, **labels})
        text = row["output"] if isinstance(row["output"], str | None) else json.dumps(row["output"])
        outputs.append({"id": number, "output": text, "finish_reason": row.get("finish_reason", "stop")})
    return pair(gates.parse_golden(rows), gates.parse_outputs(outputs), agreed)


def write_lines(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path
