"""How a command ends: every `Stop` becomes a message and its exit code. The only module that exits."""

import contextlib
import sys
from collections.abc import Iterator

from release.values import extras
from release.values.errors import Stop, of_the_system

INTERRUPTED = 130  # what a shell reports for Ctrl-C: 128 + SIGINT


@contextlib.contextmanager
def exits() -> Iterator[None]:
    """A block of which every way to stop ends the process. What is our bug passes through, with its traceback."""
    try:
        yield
    except Stop as stop:
        _end(stop)
    except (OSError, ModuleNotFoundError) as error:
        refused = of_the_system(error) if isinstance(error, OSError) else extras.of_an_import(error)
        if refused is None:
            raise
        _end(refused)
    except KeyboardInterrupt:
        sys.stderr.write("\nInterrupted. What was finished is kept; run again to continue.\n")
        sys.exit(INTERRUPTED)


def _end(stop: Stop) -> None:
    sys.stderr.write(f"\nerror: {stop}\n")
    sys.exit(stop.exit_code)
