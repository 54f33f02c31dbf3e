"""A configuration becomes a run folder: how another commit asks this one to make an adapter again.

``python -m release.cli.make CONFIG ANSWER`` writes the run folder's path to ANSWER. Name and arguments stay, for later
versions call them in a checkout of this one.
"""

import sys
from pathlib import Path

from release import inputs, pipeline
from release.cli import console, ending, terminal
from release.config import reading


def main(config: Path, answer: Path) -> None:
    """Make the adapter of ``config``; a stop ends the process with its exit code, and ``answer`` is not written."""
    with terminal.neutral(), ending.exits(), console.watch() as say:
        loaded = reading.load(config)
        _, run = pipeline.make(loaded, pipeline.check_data(inputs.load(loaded, say), say), say)
    answer.write_text(str(run), "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
