"""A training that a signal ends in the middle of evaluations: ``RUN BASE STEP:PASS...``, a start for each.

Each start goes on from the last checkpoint until it comes to the evaluation after this step, and is sent SIGTERM
before this forward pass of it. Says how each ended, as a list in JSON.
"""

import json
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from release.models import evaluation, train
from release.values.events import Event, Line
from release.values.training_metrics import Evaluation

measured = evaluation.measured


def cut(run: Path, base: Path, step: int, forward: int) -> list[object]:
    """The exit status, and the last line that was said."""
    said: list[str] = []

    def signalled(plan: evaluation.Plan, model: Any, at: int, heard: Sequence[int]) -> Evaluation:
        passes = 0

        def look(*_: object) -> None:
            nonlocal passes
            passes += 1
            if (at, passes) == (step, forward):
                signal.raise_signal(signal.SIGTERM)

        hook = model.get_input_embeddings().register_forward_pre_hook(look)
        try:
            return measured(plan, model, at, heard)
        finally:
            hook.remove()

    def say(event: Event) -> None:
        said.extend([event.text] if isinstance(event, Line) else [])

    vars(evaluation)["measured"] = signalled
    try:
        train.run_training(run, base, say)
    except SystemExit as end:
        return [end.code, said[-1]]
    return [0, ""]


if __name__ == "__main__":
    run, base, *points = sys.argv[1:]
    found = [cut(Path(run), Path(base), *map(int, one.split(":"))) for one in points]
    sys.stdout.write(f"\n{json.dumps(found)}\n")
