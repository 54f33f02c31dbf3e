"""`release.cli.make` for commits that are older than it, whose modules lie beside each other in ``release/``.

Run as a file, with such a commit's checkout on PYTHONPATH: ``python flat_commit.py CONFIG ANSWER``.
"""

import ctypes
import importlib
import signal
import sys
from pathlib import Path

if __name__ == "__main__":
    config, console, pipeline = (
        importlib.import_module(f"release.{name}") for name in ("config", "console", "pipeline")
    )
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: it ends with whoever asked for it
    with console.watch() as say:
        loaded = config.load(Path(sys.argv[1]))
        _, run = pipeline.make(loaded, pipeline.check_data(loaded, say), say)
    Path(sys.argv[2]).write_text(str(run), "utf-8")
