"""Commands on configurations: config convert."""

import argparse
from dataclasses import dataclass
from pathlib import Path

from release.cli.command import Command, takes
from release.values.events import Line, Say


@dataclass(frozen=True, kw_only=True)
class Convert:
    source: Path
    to: Path
    trainer: str | None


def _convert_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("source", type=Path, metavar="FILE", help="a trainer's configuration, in YAML or JSON")
    command.add_argument(
        "--to",
        type=Path,
        default=Path("release.yaml"),
        help="output file, which must not exist yet (default: %(default)s)",
    )
    command.add_argument(
        "--from", dest="trainer", metavar="TRAINER",
        help="axolotl, llamafactory, trl, mlx, unsloth or block (default: by the keys)",
    )  # fmt: skip


def convert(given: Convert, say: Say) -> None:
    from release.config import foreign

    for line in foreign.to_file(given.source, given.to, given.trainer):
        say(Line(text=line))


COMMANDS = (
    Command(
        name="config convert",
        about="write a release.yaml from a configuration of Axolotl, LLaMA-Factory, ms-swift, TRL, MLX or Unsloth",
        description="""Reads another trainer's configuration and writes a release.yaml: every key that has a
        counterpart, what the trainer does by default, a comment with the reason for each key that has none, and
        a line to fill in for each setting that must be there. An existing file is never overwritten. Exit code 2:
        the file is not one of a trainer that is known, and nothing was written.""",
        options=_convert_options,
        run=takes(Convert, convert),
    ),
)
