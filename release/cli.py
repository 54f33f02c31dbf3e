"""The command line: the only module that exits. Every `Stop` becomes a message and its exit code here."""

import argparse
import errno
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from release import __version__, config, console
from release.errors import ConfigError, PreflightError, Stop
from release.events import Line, Say

INTERRUPTED = 130  # what a shell reports for Ctrl-C: 128 + SIGINT
EXIT_CODES = """exit codes: 0 released · 1 our bug · 2 usage or configuration · 3 data · 4 preflight ·
5 gates failed or could not be decided · 6 Hub · 7 bytes differ · 8 not reproduced"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command and exit with its code."""
    options = parser().parse_args(arguments)
    try:
        with console.watch() as say:
            options.command(options, say)
    except Stop as stop:
        sys.stderr.write(f"\nerror: {stop}\n")
        sys.exit(stop.exit_code)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        sys.stderr.write(
            f"\nerror: No space left on the disk of {error.filename or 'a file that was being written'}. "
            "What was finished is kept. Free some space and run again.\n"
        )
        sys.exit(PreflightError.exit_code)
    except KeyboardInterrupt:
        sys.stderr.write("\nInterrupted. What was finished is kept; run again to go on.\n")
        sys.exit(INTERRUPTED)


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(
        prog="adapter-release",
        description="Train a LoRA adapter, judge its saved bytes, publish exactly those bytes if every gate passes.",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=f"adapter-release {__version__}")
    commands = top.add_subparsers(required=True, metavar="COMMAND")

    release = commands.add_parser("release", help="the whole line, from the configuration to a tag on the Hub")
    _config_arguments(release)
    release.set_defaults(command=_release)

    check = commands.add_parser("check", help="configuration, data and gate zero only: nothing is trained")
    _config_arguments(check)
    check.set_defaults(command=_check)

    verify = commands.add_parser("verify", help="check a published release against its record, without a GPU")
    verify.add_argument("release", metavar="REPO@TAG|FOLDER", help="a release on the Hub, or a downloaded folder")
    verify.add_argument("--hub", default="file:hub", help="the Hub: a URL, or file:FOLDER (default: %(default)s)")
    verify.set_defaults(command=_verify)

    hub = commands.add_parser("hub", help="the embedded Hub").add_subparsers(required=True, metavar="COMMAND")
    serve = hub.add_parser("serve", help="serve a folder as a Hub on 127.0.0.1 until Ctrl-C")
    serve.add_argument("--root", type=Path, default=Path("hub"), help="the folder (default: %(default)s)")
    serve.add_argument("--port", type=int, default=0, help="default: any free port")
    serve.set_defaults(command=_serve)
    return top


def _config_arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument("config", nargs="?", type=Path, default=Path("release.yaml"), help="default: %(default)s")
    command.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", dest="overrides",
        help="override a value of the configuration, such as training.max_steps=20; may be repeated",
    )  # fmt: skip


def _load(options: argparse.Namespace, say: Say) -> config.Config:
    overrides = {}
    for text in options.overrides:
        key, equals, value = text.partition("=")
        if not equals:
            raise ConfigError([f"--set {text}: expected KEY=VALUE, such as training.max_steps=20"])
        overrides[key] = value
    loaded = config.load(options.config, overrides)
    for notice in loaded.notices:
        say(Line(text=f"note: {notice}"))
    return loaded


def _release(options: argparse.Namespace, say: Say) -> None:
    from release import pipeline

    loaded = _load(options, say)
    packed, publication = pipeline.release(loaded, say)
    say(Line(text=pipeline.what_next(loaded, packed, publication)))


def _check(options: argparse.Namespace, say: Say) -> None:
    from release import pipeline

    loaded = _load(options, say)
    judged = pipeline.check_data(loaded, say)
    say(Line(text=f"{len(judged.train.rows)} training rows and {len(judged.golden.rows)} golden rows are fit to use."))


def _verify(options: argparse.Namespace, say: Say) -> None:
    from release import verify

    verify.verify(options.release, options.hub, say)


def _serve(options: argparse.Namespace, say: Say) -> None:
    from release.hub.server import read_or_create_token, serve

    root: Path = options.root
    token = read_or_create_token(root)
    with serve(root, token=token, port=options.port) as url:
        say(Line(text=f"export HF_ENDPOINT={url}"))
        say(Line(text=f"export HF_TOKEN=$(cat {root / 'token'})"))
        say(Line(text="export HF_HUB_DISABLE_XET=1\n# serving until Ctrl-C"))
        signal.sigwait({signal.SIGINT, signal.SIGTERM})


if __name__ == "__main__":
    main()
