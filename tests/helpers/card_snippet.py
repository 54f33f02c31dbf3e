"""Run the program on a model card as a reader would: in a fresh process that knows nothing of this project."""

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


def program_of(card: str) -> str:
    """The one block of Python that a card shows."""
    (code,) = re.findall(r"^```python\n(.*?)^```$", card, re.DOTALL | re.MULTILINE)
    return str(code)


def answers(
    card: str, questions: Sequence[Sequence[Mapping[str, Any]]], folder: Path, env: Mapping[str, str]
) -> list[str]:
    """What the card's ``answer`` says to each of these prompts, asked one by one in ``folder``."""
    done = subprocess.run(
        [sys.executable, "-c", program_of(card) + ASK],
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
