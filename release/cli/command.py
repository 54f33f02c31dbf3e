"""What a command is: its name, its words in --help, its options, and the function that gets them as a typed value."""

import argparse
import dataclasses
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from release.cli.terminal import one_line
from release.values.events import Say

Run = Callable[[argparse.Namespace, Say], None]


@dataclass(frozen=True, kw_only=True)
class Command:
    """One command of the tool. Nothing heavy is imported before its function runs."""

    name: str
    """As typed: ``verify``, or ``data check``."""
    about: str
    """Its line in the list of commands."""
    description: str
    """Two to four sentences: what it does, what it needs, what it leaves, exit codes that are its own."""
    options: Callable[[argparse.ArgumentParser], None]
    run: Run


class Parser(argparse.ArgumentParser):
    """An argument parser that ends every usage error with what to do."""

    def error(self, message: str) -> typing.NoReturn:
        super().error(f"{one_line(message)}\nSee what it takes: {self.prog} --help")


Arguments = typing.TypeVar("Arguments")


def takes(kind: type[Arguments], function: Callable[[Arguments, Say], None]) -> Run:
    """``function``, called with what was parsed as a ``kind``."""
    return lambda parsed, say: function(read(kind, vars(parsed)), say)


def read(kind: type[Arguments], parsed: Mapping[str, object]) -> Arguments:
    """A frozen dataclass of the parsed options: each field is the option of its name, or a dataclass of options."""
    values = {}
    for name, inner in typing.get_type_hints(kind).items():
        values[name] = (
            read(inner, parsed) if isinstance(inner, type) and dataclasses.is_dataclass(inner) else parsed[name]
        )
    return kind(**values)
