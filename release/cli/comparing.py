"""Commands that show several trainings or answers beside each other: compare, tries."""

import argparse
import webbrowser
from dataclasses import dataclass
from pathlib import Path

from release.cli import options
from release.cli.command import Command, takes
from release.cli.options import RELEASE, Configured, Source
from release.values.events import Line, Say, tell

SIDE = "RUN|REPO@TAG|FILE"


@dataclass(frozen=True, kw_only=True)
class Compare:
    before: str
    now: str
    config: Path
    browser: bool
    source: Source


def _options(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "before", metavar=SIDE, help="a run's folder, a release on the Hub, a downloaded folder, or a file of answers"
    )
    command.add_argument("now", metavar=SIDE, help="the same; both are judged by its golden rows and rules")
    command.add_argument(
        "--no-browser", action="store_false", dest="browser", help="start no browser, and print where the page is"
    )
    command.add_argument(
        "--config", type=Path, default=Path("release.yaml"),
        help="configuration; its latest run has the rules for two files of answers (default: %(default)s)",
    )  # fmt: skip
    options.source(command)


def compare(given: Compare, say: Say) -> None:
    from release.checking import side_by_side
    from release.config import reading

    files = all(Path(one).is_file() for one in (given.before, given.now))
    runs = reading.load(given.config).run.output_dir if files else Path()
    where = side_by_side.Where(endpoint=given.source.hub, data=given.source.data, runs=runs)
    page = side_by_side.compared(given.before, given.now, where, say)
    if page is None:
        say(Line(text="no page: a file of answers has no record. Name it first to see it on the other's page."))
        return
    address = page.as_uri()
    started = given.browser and webbrowser.open(address)
    say(Line(text=f"{'opened' if started else 'the page, for any browser'}: {address}"))


@dataclass(frozen=True, kw_only=True)
class Tried:
    release: str | None
    configured: Configured
    source: Source


def _tries_options(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "release", nargs="?", metavar=f"RUN|{RELEASE}",
        help="a run's folder, a release on the Hub, or a downloaded folder (default: the tries of the configuration)",
    )  # fmt: skip
    command.add_argument(
        "--config", type=Path, default=Path("release.yaml"),
        help="configuration of which the tries so far are read (default: %(default)s)",
    )  # fmt: skip
    options.overrides(command.add_argument_group("configuration"))
    options.source(command)


def tries(given: Tried, say: Say) -> None:
    from release.checking import opening, tries_table
    from release.judging import tried

    if given.release is None:
        found = tries_table.under_way(options.load(given.configured, say))
    else:
        known = opening.Known(data=given.source.data)
        found = tries_table.of(given.release, given.source.hub, say, known)
    tell(say, tried.lines(found))


COMMANDS = (
    Command(
        name="compare",
        about="look at two runs, releases or files of answers side by side",
        description="""Prints, gate by gate, how many rows both answered right, which rows were lost and won, and which
        settings differ, and shows the page of the second beside the first. Releases are verified first; neither has to
        be better. Exit code 7: one is not what its record says, and nothing of it is shown. Exit code 3: the two cannot
        be compared.""",
        options=_options,
        run=takes(Compare, compare),
    ),
    Command(
        name="tries",
        about="which trainings were tried, what each changed, and which gate stopped it",
        description="""Lists the tries of the configuration so far, or those of a run or release that is named: what
        each changed, what its gates counted on the tuning rows, why it was refused, and what other seeds came to. A
        release is verified first. Needs no GPU and changes nothing.""",
        options=_tries_options,
        run=takes(Tried, tries),
    ),
)
