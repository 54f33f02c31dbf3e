"""Commands for what this tool has on board: its Hub and its base model."""

import argparse
import shlex
import signal
import sys
from dataclasses import dataclass
from pathlib import Path

from release.cli.command import Command, takes
from release.cli.ending import ENDING
from release.values.events import Line, Say


@dataclass(frozen=True, kw_only=True)
class Serve:
    root: Path
    port: int


def _serve_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("--root", type=Path, default=Path("hub"), help="the Hub's folder (default: %(default)s)")
    command.add_argument("--port", type=port, default=0, help="port on 127.0.0.1 (default: any free one)")


def port(text: str) -> int:
    """A port that can be listened on; 0: any free one."""
    if not text.isdecimal() or int(text) >= 1 << 16:
        raise argparse.ArgumentTypeError(f"invalid port {text}: expected a whole number from 0 to 65535")
    return int(text)


def serve(given: Serve, say: Say) -> None:
    from release.hub import address

    hangs_up = signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN  # nohup's wish
    ending = {one for one in ENDING if one != signal.SIGHUP or hangs_up}
    signal.pthread_sigmask(signal.SIG_BLOCK, ending)  # before the server's thread starts: it inherits the mask
    with address.serving(given.root, given.port) as (url, _):
        sys.stdout.write(f"export HF_ENDPOINT={url}\n")
        sys.stdout.write(f"export HF_TOKEN=$(cat {shlex.quote(str(given.root / 'token'))})\n")
        sys.stdout.write("export HF_HUB_DISABLE_XET=1\n")
        sys.stdout.flush()
        say(Line(text="# serving until Ctrl-C"))
        signal.sigwait(ending)


@dataclass(frozen=True, kw_only=True)
class Base:
    folder: Path


def _base_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("folder", type=Path, metavar="FOLDER", help="output folder, which must not exist yet")


def base(given: Base, say: Say) -> None:
    from release.config.settings import EMBEDDED_BASE
    from release.models import base

    base.unpack(given.folder, say)
    say(Line(text=f"{given.folder} holds {EMBEDDED_BASE}, as it comes with this tool"))


COMMANDS = (
    Command(
        name="hub serve",
        about="serve a folder as a Hub on 127.0.0.1 until Ctrl-C",
        description="""Serves a folder as a Hugging Face Hub on this machine, for `hf`, transformers and peft.
        Prints the three variables that they need, to paste into a shell. Creates the folder and its token if
        they do not exist. Ends at Ctrl-C; what was uploaded stays in the folder.""",
        options=_serve_options,
        run=takes(Serve, serve),
    ),
    Command(
        name="base",
        about="unpack the embedded base model, to load a release on it",
        description="""Writes the base model that comes with this tool to a folder, as transformers loads it. A
        release that was trained on the embedded base needs it. The first time it is fetched with pip if
        it is not here yet, and takes half a minute. An existing folder is never overwritten.""",
        options=_base_options,
        run=takes(Base, base),
    ),
)
