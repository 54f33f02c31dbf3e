"""Run the program on a model card as a reader would: in a fresh process that knows nothing of this project."""

import html
import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ASK = """
import json, sys
print(json.dumps([answer(messages) for messages in json.load(sys.stdin)]))
"""


BLOCK = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def program_of(card: str) -> str:
    """The one block of Python that a card shows."""
    (code,) = BLOCK.findall(card)
    return str(code)


def programs_of(card: str) -> dict[str, str]:
    """The block of Python under each form's head."""
    parts = re.split(r"^### As (.+)$", card, flags=re.MULTILINE)[1:]
    return {html.unescape(name): program_of(text) for name, text in zip(parts[::2], parts[1::2], strict=True)}


def answers(
    program: str, questions: Sequence[Sequence[Mapping[str, Any]]], folder: Path, env: Mapping[str, str]
) -> list[str]:
    """What a program's ``answer`` says to each of these prompts, asked one by one in ``folder``."""
    done = subprocess.run(
        [sys.executable, "-c", program + ASK],
        input=json.dumps(questions),
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": "", **env},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: list[str] = json.loads(done.stdout.splitlines()[-1])
    return found
