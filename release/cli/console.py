"""The terminal: events with bars and time left on a tty, as plain lines in CI and pipes. Only this wing prints.

An event is one line, whatever the texts in it hold: a name with a line's end in it makes no second line that could be
taken for one of ours.
"""

import contextlib
import os
import sys
import time
from collections.abc import Iterator

from release.cli import terminal
from release.cli.terminal import one_line
from release.values import events
from release.values.events import Event, Say

SOON = 1.0
"""Seconds after which the time left is told for the first time, however little of the work is done."""
PLAIN_EVERY = 0.1  # of a step's work: about ten lines in a log


@contextlib.contextmanager
def watch() -> Iterator[Say]:
    """What shows events on standard error until the block ends."""
    fancy = sys.stderr.isatty() and "CI" not in os.environ
    with _bars() if fancy else _lines() as show:
        yield lambda event: show(_neutral(event))


def _neutral(event: Event) -> Event:
    """The event with texts that are one line each, and do nothing but be read."""
    match event:
        case events.Stage(name=name, note=note):
            return events.Stage(name=one_line(name), note=one_line(note))
        case events.Progress(name=name, done=done, total=total):
            return events.Progress(name=one_line(name), done=done, total=total)
        case events.Line(text=text):
            return events.Line(text=one_line(text))


@contextlib.contextmanager
def _bars() -> Iterator[Say]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
    from rich.text import Text

    console = Console(file=terminal.raw(), highlight=False)
    what = TextColumn("  {task.description}", markup=False)
    with Progress(
        what, BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), console=console, transient=True
    ) as progress:
        tasks: dict[str, TaskID] = {}

        def say(event: Event) -> None:
            match event:
                case events.Stage(name=name, note=note):
                    for task in tasks.values():
                        progress.remove_task(task)
                    tasks.clear()
                    console.print(Text.assemble((name, "bold"), "  ", (note, "dim")), soft_wrap=True)
                case events.Progress(name=name, done=done, total=total):
                    if name not in tasks:
                        tasks[name] = progress.add_task(name, total=total or None)
                    progress.update(tasks[name], completed=done, total=total or None)
                case events.Line(text=text):
                    console.print(Text(text), soft_wrap=True)  # as it is: no [markup], no :emoji:, no cut command

        yield say


@contextlib.contextmanager
def _lines() -> Iterator[Say]:
    started: dict[str, tuple[float, int]] = {}
    shown: dict[str, float] = {}
    timed = set[str]()  # of these the time left was told

    def say(event: Event) -> None:
        match event:
            case events.Stage(name=name, note=note):
                _print(f"{name}  {note}".rstrip())
            case events.Progress(name=name, done=done, total=total) if total:
                first, first_done = started.setdefault(name, (time.monotonic(), done))
                early = name in timed or time.monotonic() - first < SOON
                if done < total and done / total < shown.get(name, 0.0) and early:
                    return
                if name in shown:
                    timed.add(name)
                shown[name] = done / total + PLAIN_EVERY
                rate = (done - first_done) / max(time.monotonic() - first, 1e-9)
                left = f", {_duration((total - done) / rate)} left" if rate and done < total else ""
                _print(f"  {name} {done}/{total}{left}")
            case events.Line(text=text):
                _print(text)
            case _:
                pass

    yield say


def _duration(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds >= 90 else f"{seconds:.0f} s"


def _print(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()
