"""The command `adapter-release`: every command of the groups, and what --help lists."""

import argparse
import shlex
import sys
from collections.abc import Sequence

from release import __version__
from release.cli import checking, comparing, config, console, data, ending, hub, making, preparing, repository, terminal
from release.cli.command import Parser
from release.running import fence, kept

ABOUT = "Train a LoRA adapter, evaluate the saved files, and publish exactly those files if every gate passes."
EXIT_CODES = """exit codes: 0 released · 1 our bug · 2 usage or configuration · 3 data · 4 preflight ·
5 gates failed or could not be decided · 6 Hub · 7 bytes differ · 8 not reproduced ·
9 waits for a person's review ·
130, 143, 129 ended by SIGINT, SIGTERM, SIGHUP"""
GROUPS = {
    "a repository of your own": repository.COMMANDS,
    "before a release": preparing.COMMANDS,
    "make a release": making.COMMANDS,
    "look at a release again": (*checking.COMMANDS, *comparing.COMMANDS),
    "datasets": data.COMMANDS,
    "configurations of other trainers": config.COMMANDS,
    "embedded Hub and base model": hub.COMMANDS,
}
FAMILIES = {
    "config": "Convert configurations of other trainers.",
    "data": "Check, convert and split datasets.",
    "hub": "The embedded Hub: a folder that behaves like the Hugging Face Hub, on this machine only.",
}
"""First words of commands of two words."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command and exit with its code."""
    fence.hide(kept.kept().keys())
    typed = shlex.join(["adapter-release", *(sys.argv[1:] if arguments is None else arguments)])
    with terminal.neutral(), ending.exits(typed):
        parsed = parser().parse_args(arguments)
        with console.watch() as say:
            parsed.run(parsed, say)


def parser() -> Parser:
    """The parser of every command; what it parses holds the function to ``run``."""
    top = Parser(
        prog="adapter-release",
        usage="%(prog)s [-h] [--version] COMMAND ...",
        description="\n\n".join([ABOUT, *_listed(), "What a command takes: adapter-release COMMAND --help"]),
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=f"adapter-release {__version__}")
    commands = top.add_subparsers(required=True, metavar="COMMAND", help=argparse.SUPPRESS, prog=top.prog)
    families = {
        name: commands.add_parser(name, description=about).add_subparsers(required=True, metavar="COMMAND")
        for name, about in FAMILIES.items()
    }
    for group in GROUPS.values():
        for command in group:
            family, _, name = command.name.rpartition(" ")
            among = families[family] if family else commands
            one = among.add_parser(name, help=command.about, description=command.description)
            command.options(one)
            one.set_defaults(run=command.run)
    return top


def _listed() -> list[str]:
    """Every command with its line, under the group's title."""
    width = max(len(command.name) for group in GROUPS.values() for command in group)
    return [
        "\n".join([f"{title}:", *(f"  {command.name:{width}}  {command.about}" for command in group)])
        for title, group in GROUPS.items()
    ]


if __name__ == "__main__":
    main()
