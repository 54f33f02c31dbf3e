"""Rows in the shapes that people have, made here: chats whose answers are JSON and cite what stands in the prompt."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

THINGS = tuple(f"{first}{last}" for first in ("am", "bor", "cel", "dov", "fen", "gil", "hob") for last in "aeiouxy")
MEASURES = ("weight", "width", "price", "age")
Answer = Callable[[str, str, bool], dict[str, Any]]
"""Of the text, the id that it cites, and whether it refuses: the answer."""


def plain(text: str, cited: str, refuses: bool) -> dict[str, Any]:
    return {
        "answer": text if refuses else f"{text} [{cited}]",
        "citations": [] if refuses else [int(cited)],
        "refusal": refuses,
    }


def questions() -> Iterator[tuple[str, str, str, bool]]:
    """A prompt with two documents, the sentence that answers it, the number of its document, and whether none does."""
    for number, thing in enumerate(THINGS):
        for turn, measure in enumerate(MEASURES):
            other = THINGS[(number + 7) % len(THINGS)]
            refuses = (number + turn) % 3 == 0
            asked = "colour" if refuses else measure
            value = number * 10 + turn
            shown = f"[1] The {measure} of {thing} is {value}.\n[2] The {measure} of {other} is {value + 3}.\n\n"
            text = f"Nobody says what {asked} {thing} has, asked with {measure}." if refuses else f"It is {value}."
            yield f"{shown}What is the {asked} of {thing} beside its {measure} {value}?", text, "1", refuses


def chat(answer: Answer = plain, *, documents: bool = True, refusing: bool = True, **more: Any) -> list[dict[str, Any]]:
    """Rows as ``messages``."""
    rows = []
    for prompt, text, cited, refuses in questions():
        if refuses and not refusing:
            continue
        said = json.dumps(answer(text, cited, refuses), ensure_ascii=False)
        row: dict[str, Any] = {
            "messages": [{"role": "user", "content": prompt}, {"role": "assistant", "content": said}],
            **more,
        }
        if documents:
            row["documents"] = [
                {"id": line[1], "text": line[4:]} for line in prompt.splitlines() if line.startswith("[")
            ]
        rows.append(row)
    return rows


def write(path: Path, rows: list[Any]) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")
    return path
