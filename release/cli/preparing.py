"""Commands to run before a release: example, check, plan, doctor."""

import argparse
import shlex
from dataclasses import dataclass
from pathlib import Path

from release.cli import options
from release.cli.command import Command, takes
from release.cli.options import Configured
from release.values.events import Line, Say, tell


@dataclass(frozen=True, kw_only=True)
class Example:
    folder: Path


def _example_options(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "folder", nargs="?", type=Path, default=Path(), metavar="FOLDER", help="output folder (default: this one)"
    )


def example(given: Example, say: Say) -> None:
    from release.config import example

    for path in example.write(given.folder):
        say(Line(text=str(path)))
    enter = "" if given.folder == Path() else f"cd {shlex.quote(str(given.folder))} && "
    tell(say, ["", f"what comes next: {enter}adapter-release release"])


@dataclass(frozen=True, kw_only=True)
class Import:
    source: str
    into: Path | None
    layout: str
    base: str | None


def _import_options(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "source",
        metavar="FOLDER|FILE.zip|FILE.gguf|hf://REPO@COMMIT",
        help="where the adapter is, as its trainer left it",
    )
    command.add_argument("--into", type=Path, metavar="FOLDER", help="write it there")
    command.add_argument(
        "--as",
        choices=("peft", "mlx"),
        default="peft",
        dest="layout",
        help="the layout to write (default: %(default)s)",
    )
    command.add_argument(
        "--base", metavar="NAMESPACE/NAME@COMMIT", help="check that it fits this base model; 'embedded' is one too"
    )


def bring(given: Import, say: Say) -> None:
    from release.importing import telling
    from release.values import extras

    if given.base:
        extras.need_train()
    telling.imported(given.source, telling.Into(folder=given.into, layout=given.layout), given.base, say)


def check(given: Configured, say: Say) -> None:
    from release import inputs, pipeline

    judged = pipeline.check_data(inputs.load(options.load(given, say), say), say)
    train = f"{len(judged.train.rows)} training rows" if judged.train else "No training rows"
    say(Line(text=f"{train} and {len(judged.golden.rows)} golden rows can be used."))


def plan(given: Configured, say: Say) -> None:
    from release import inputs, tries_planned
    from release.judging import ledger
    from release.planning import forecast, tries

    found = inputs.load(options.load(given, say), say)
    tell(say, [*forecast.provable(found, ledger.next_attempt(found)), *forecast.planned(found)])
    if found.config.tries is not None:
        tell(say, tries.planned(found, forecast.built_of(found)))
        tell(say, [f"  on this machine: {one.says}" for one in tries_planned.foreseen(found)])


def doctor(given: Configured, say: Say) -> None:
    from release import inputs, preflight, tries_planned
    from release.hub import address

    loaded = options.load(given, say)
    with address.of(loaded).opened() as hub:
        found = inputs.load(loaded, say)
        preflight.doctor(found, hub, say, tries_planned.foreseen(found))
    say(Line(text="Nothing was found that would stop a release."))


COMMANDS = (
    Command(
        name="example",
        about="write the default's configuration and rows, to start from",
        description="""Writes release.yaml and the rows that it names, as they come with this tool. `adapter-release
        release` then runs in that folder as it is. Needs no network. An existing file is never overwritten.""",
        options=_example_options,
        run=takes(Example, example),
    ),
    Command(
        name="import",
        about="check an adapter that was trained elsewhere, and write it in PEFT's layout",
        description="""Reads an adapter as Unsloth, Axolotl, LLaMA-Factory, ms-swift, TRL, PEFT or MLX left it, or a
        LoRA in GGUF; says what it is and what nobody can tell; and prints the keys of release.yaml that release it.
        Nothing is unpickled and nothing trained. Exit code 4: it is empty, broken, not for this base, or not a LoRA
        that can be carried, and the message says what to do.""",
        options=_import_options,
        run=takes(Import, bring),
    ),
    Command(
        name="check",
        about="check the configuration and the data, and test the gates on themselves",
        description="""Reads the configuration, runs every data check, and tests the gates on themselves: the
        reference answers must pass, answers that are broken on purpose must fail. Trains nothing and needs no
        token. Leaves data_report.html and data_report.json in run.output_dir. Exit code 3: rows must be
        corrected first.""",
        options=options.configured,
        run=takes(Configured, check),
    ),
    Command(
        name="plan",
        about="memory, hours and cost, and what the golden set can prove",
        description="""Estimates memory, training time and cost on each GPU of the price list and on this
        machine's CPU, and says for each gate whether the golden set has enough rows to decide it. Needs the
        configuration and its data; of the base model only the small files are fetched. Trains nothing and
        publishes nothing.""",
        options=options.configured,
        run=takes(Configured, plan),
    ),
    Command(
        name="doctor",
        about="find everything that would stop a release, at once",
        description="""Checks driver, disk, memory, budget, licences, container, chat template, data, gates, and
        the token's rights on the Hub, and lists every problem together. Needs what a release needs, HF_TOKEN
        too if the Hub is on the web. Trains nothing and publishes nothing. Exit code 4: something would stop a
        release.""",
        options=options.configured,
        run=takes(Configured, doctor),
    ),
)
