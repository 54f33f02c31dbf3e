"""Commands on datasets: data check, data convert, data split."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from release.cli import options
from release.cli.command import Command, takes
from release.cli.options import Configured, ReadAs
from release.values.events import Line, Say


@dataclass(frozen=True, kw_only=True)
class Check:
    configured: Configured
    report: Path | None
    without_text: bool
    data_docs: Path | None


def _check_options(command: argparse.ArgumentParser) -> None:
    options.configured(command)
    group = command.add_argument_group("report")
    group.add_argument(
        "--report", type=Path,
        help="output folder of data_report.html and data_report.json (default: run.output_dir)",
    )  # fmt: skip
    group.add_argument("--without-text", action="store_true", help="quote no row on the page, to share it")
    group.add_argument(
        "--data-docs",
        type=Path,
        metavar="FOLDER",
        help="output folder of Great Expectations' pages (default: none)",
    )


def check(given: Check, say: Say) -> None:
    from release import inputs
    from release.data import data_report

    loaded = options.load(given.configured, say)
    folder = given.report or loaded.run.output_dir
    wanted = data_report.Pages(folder=folder, docs=given.data_docs, text=not given.without_text)
    for line in data_report.told(inputs.examined(inputs.load(loaded, say), say, wanted.docs), wanted):
        say(Line(text=line))


@dataclass(frozen=True, kw_only=True)
class Convert:
    sources: Sequence[str]
    to: Path
    read_as: ReadAs
    system_to_user: bool


def _convert_options(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "sources", nargs="+", metavar="FILE", help="a path, or hf://datasets/NAMESPACE/NAME@COMMIT/PATH"
    )
    command.add_argument("--to", type=Path, required=True, help="output file")
    command.add_argument(
        "--system-to-user", action="store_true",
        help="put system text at the start of the next user message, for a chat template without a system role",
    )  # fmt: skip
    options.read_as(command)


def convert(given: Convert, say: Say) -> None:
    from release.data import convert, sources

    wanted = options.wanted(given.read_as, system_to_user=given.system_to_user)
    for line in convert.to_file([sources.named(text, say) for text in given.sources], given.to, wanted, say):
        say(Line(text=line))


@dataclass(frozen=True, kw_only=True)
class Split:
    source: Path
    train: Path
    golden: Path
    share: float
    seed: int
    together: str | None


def _split_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("source", type=Path, metavar="FILE", help="canonical rows, as `data convert` writes them")
    command.add_argument("--train", type=Path, required=True, help="output file for the training rows")
    command.add_argument("--golden", type=Path, required=True, help="output file for the evaluation rows")
    command.add_argument("--share", type=float, default=0.2, help="share of evaluation rows (default: %(default)s)")
    command.add_argument("--seed", type=int, default=42, help="random seed of the split (default: %(default)s)")
    command.add_argument(
        "--together", metavar="KEY", help="keep rows with the same value here on one side, such as meta.topic"
    )


def split(given: Split, say: Say) -> None:
    from release.data import split

    wanted = split.Wanted(share=given.share, seed=given.seed, together=given.together)
    for line in split.to_files(given.source, (given.train, given.golden), wanted, say):
        say(Line(text=line))


COMMANDS = (
    Command(
        name="data check",
        about="check the configured rows, with a report to read",
        description="""Runs every data check on the training rows and the golden rows of the configuration.
        Needs the base model's tokenizer for the checks that count tokens, and says which checks were left out.
        Leaves data_report.html, which marks what is wrong in each row, and data_report.json. Exit code 3: rows
        must be corrected first.""",
        options=_check_options,
        run=takes(Check, check),
    ),
    Command(
        name="data convert",
        about="convert the formats of OpenAI, Gemini, ShareGPT, Alpaca and others to canonical rows",
        description="""Reads files in other formats and writes their rows to one canonical JSONL file. Prints
        what was kept under meta, what was left out, and the checksum. An existing file is never overwritten.
        Exit code 3: a row cannot be read, and nothing was written.""",
        options=_convert_options,
        run=takes(Convert, convert),
    ),
    Command(
        name="data split",
        about="split rows into training rows and evaluation rows, by group",
        description="""Writes the rows of a canonical file to two files. Rows that ask the same question stay on
        one side, and each label gets its share. The same rows and seed give the same files; an existing file is
        never overwritten.""",
        options=_split_options,
        run=takes(Split, split),
    ),
)
