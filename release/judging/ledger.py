"""The ledger of attempts beside the runs: read whole, and added to by one process at a time."""

import contextlib
import fcntl
from collections.abc import Iterator, Sequence
from pathlib import Path

from release.config.settings import Config
from release.inputs import Inputs, there
from release.judging import attempts, terms
from release.judging.attempts import Entry
from release.values import bounds, layout
from release.values.artifacts import write_atomically
from release.values.errors import PreflightError


def path_of(config: Config) -> Path:
    """Where it lies: ``runs/ledger.jsonl`` for all runs under the default folder, or in a folder that was named."""
    output = config.run.output_dir
    default = config.path.parent / "runs" / config.run.name
    name = layout.in_run(layout.LEDGER)
    return output.parent / name if output.absolute() == default.absolute() else output / name


def read(config: Config) -> list[Entry]:
    """Every attempt that this machine knows; ``PreflightError`` where a line cannot be read.

    One that lies in the output folder itself is read too: before 0.2 it lay there.
    """
    path = path_of(config)
    return attempts.together(_read(path), _read(config.run.output_dir / path.name))


def next_attempt(found: Inputs, hub: Sequence[Entry] = ()) -> int:
    """Which attempt on this golden set a new adapter is, at least; ``hub`` has what previous releases counted."""
    now = terms.agreed(there(found.rows).golden, there(found.contract), found.config, there(found.policy))
    return attempts.number(attempts.before(attempts.together(read(found.config), hub), "", now.golden_set))


def add(config: Config, entries: Sequence[Entry]) -> None:
    """Put these after what is there already, which stays as it is."""
    path = path_of(config)
    path.parent.mkdir(parents=True, exist_ok=True)
    with _alone(path):
        there = _read(path)
        both = attempts.together(there, entries)
        if len(both) > len(there):
            before = path.read_bytes() if there else b""
            before += b"" if before.endswith(b"\n") or not before else b"\n"  # an editor took its last line's end
            write_atomically(path, before + attempts.written(both[len(there) :]))


def _read(path: Path) -> list[Entry]:
    what = f"{path} cannot be read: {{}}. Correct it, or move it away: attempts that it holds are then not counted."
    try:
        if path.stat().st_size > bounds.LEDGER.most:
            raise PreflightError(what.format(f"it has more than {bounds.LEDGER.most:,} bytes"))
        return attempts.together(attempts.parse(path.read_bytes(), str(path)))
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        raise PreflightError(what.format(error)) from None


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    """While no other process adds to it: runs of other names share it."""
    with path.with_name(f".{path.name}.lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
