"""The command line: the only module that exits. Every `Stop` becomes a message and its exit code here."""

import argparse
import os
import shlex
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from release import __version__
from release.cli import console
from release.config import reading
from release.values.errors import ConfigError, Stop, of_the_system
from release.values.events import Line, Say

if TYPE_CHECKING:
    from release.checking.reproduce import Request
    from release.checking.verify import Known

_ENDING = {signal.SIGINT, signal.SIGTERM}
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
        _end(stop)
    except OSError as error:
        refused = of_the_system(error)
        if refused is None:
            raise
        _end(refused)
    except KeyboardInterrupt:
        sys.stderr.write("\nInterrupted. What was finished is kept; run again to go on.\n")
        sys.exit(INTERRUPTED)


def _end(stop: Stop) -> None:
    sys.stderr.write(f"\nerror: {stop}\n")
    sys.exit(stop.exit_code)


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
    _signing_arguments(release)
    release.set_defaults(command=_release)

    candidate = commands.add_parser("candidate", help="the line up to the package, into a folder, without a token")
    _config_arguments(candidate)
    candidate.add_argument("--to", type=Path, default=Path("dist"), help="the folder (default: %(default)s)")
    candidate.set_defaults(command=_candidate)

    publish = commands.add_parser("publish", help="prove a candidate's folder anew and publish it")
    publish.add_argument("folder", nargs="?", type=Path, default=Path("dist"), help="default: %(default)s")
    publish.add_argument("--hub", help="a URL, or file:FOLDER (default: what the configuration said)")
    publish.add_argument(
        "--receipts", type=Path, default=Path("runs/published"), help="folder of the receipt (default: %(default)s)"
    )
    _signing_arguments(publish)
    publish.set_defaults(command=_publish)

    check = commands.add_parser("check", help="configuration, data and gate zero only: nothing is trained")
    _config_arguments(check)
    check.set_defaults(command=_check)

    about = {
        "plan": ("what the golden set can prove; memory, hours and money, before anything is spent", _plan),
        "doctor": ("everything that would stop a release, at once", _doctor),
        "pilot": ("ten rows through the whole line, into a folder of their own", _pilot),
    }
    for name, (what, run) in about.items():
        command = commands.add_parser(name, help=what)
        _config_arguments(command)
        command.set_defaults(command=run)
    _data_parser(commands.add_parser("data", help="convert, check and split datasets"))

    verify = commands.add_parser("verify", help="check a published release against its record, without a GPU")
    _published_arguments(verify)
    verify.set_defaults(command=_verify)

    explain = commands.add_parser("explain", help="why a gate failed: every wrong row, its answer and the reference")
    explain.add_argument("gate", metavar="GATE", help="such as citation_coverage")
    _published_arguments(explain, "the run that was judged last")
    explain.add_argument("--config", type=Path, default=Path("release.yaml"), help="whose runs (default: %(default)s)")
    explain.set_defaults(command=_explain)

    rejudge = commands.add_parser("rejudge", help="answer again with a published adapter, and compare")
    _published_arguments(rejudge)
    _level_arguments(rejudge, ("verdict", "answers"))
    rejudge.set_defaults(command=_rejudge)

    reproduce = commands.add_parser("reproduce", help="train a published adapter again from its record, and compare")
    _published_arguments(reproduce)
    _level_arguments(reproduce, ("bits", "answers", "verdict"))
    reproduce.add_argument("--attach", action="store_true", help="offer the report to the Hub as a pull request")
    reproduce.add_argument("--anyway", action="store_true", help="train even where the level cannot be expected")
    reproduce.set_defaults(command=_reproduce)

    base = commands.add_parser("base", help="unpack the embedded base model, to load a release over it")
    base.add_argument("folder", type=Path, metavar="FOLDER", help="a folder that does not exist yet")
    base.set_defaults(command=_base)

    _hub_parser(commands.add_parser("hub", help="the embedded Hub"))
    return top


def _hub_parser(hub: argparse.ArgumentParser) -> None:
    commands = hub.add_subparsers(required=True, metavar="COMMAND")
    serve = commands.add_parser("serve", help="serve a folder as a Hub on 127.0.0.1 until Ctrl-C")
    serve.add_argument("--root", type=Path, default=Path("hub"), help="the folder (default: %(default)s)")
    serve.add_argument("--port", type=_port, default=0, help="default: any free port")
    serve.set_defaults(command=_serve)


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) >= 1 << 16:
        raise argparse.ArgumentTypeError(f"{text} is no port: a whole number from 0 to 65535")
    return int(text)


def _signing_arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument("--sign", type=Path, metavar="KEY", help="sign with this private key: publishing.signing_key")
    command.add_argument("--keyless", action="store_true", help="sign by the identity of this CI job, through Sigstore")


def _published_arguments(command: argparse.ArgumentParser, otherwise: str = "") -> None:
    what = "a release on the Hub, with the commit it must be if you know it, or a downloaded folder"
    if otherwise:
        what += f", or a run's folder (default: {otherwise})"
    command.add_argument("release", nargs="?" if otherwise else None, metavar="REPO@TAG[@COMMIT]|FOLDER", help=what)
    command.add_argument("--hub", default="file:hub", help="the Hub: a URL, or file:FOLDER (default: %(default)s)")
    command.add_argument("--data", type=Path, help="a folder with the rows, for a release that does not carry them")
    command.add_argument("--receipt", type=Path, help="publication.json of the run: notices a tag that was moved")
    command.add_argument("--public-key", type=Path, metavar="PEM", help="it must be signed by this key")
    command.add_argument("--identity", help="it must be signed by this CI job, keyless")
    command.add_argument("--issuer", help="who vouches for the identity (default: GitHub Actions)")


def _level_arguments(command: argparse.ArgumentParser, levels: Sequence[str]) -> None:
    command.add_argument(
        "--level", choices=levels, default=levels[0], help="what must be the same for exit 0 (default: %(default)s)"
    )
    command.add_argument("--output", type=Path, help="folder of the report (default: one in runs/reproduced)")


def _data_parser(data: argparse.ArgumentParser) -> None:
    commands = data.add_subparsers(required=True, metavar="COMMAND")
    check = commands.add_parser("check", help="the data gate over the configured files, with a report to read")
    _config_arguments(check)
    check.add_argument("--report", type=Path, help="folder for data_report.html and .json (default: run.output_dir)")
    check.add_argument("--without-text", action="store_true", help="a page that quotes no row, to give away")
    check.add_argument("--data-docs", type=Path, metavar="FOLDER", help="also write Great Expectations' own pages here")
    check.set_defaults(command=_data_check)

    convert = commands.add_parser("convert", help="rows of another format into one canonical JSONL file")
    convert.add_argument(
        "sources", nargs="+", metavar="FILE", help="a path, or hf://datasets/NAMESPACE/NAME@COMMIT/PATH"
    )
    convert.add_argument("--to", type=Path, required=True, help="the file to write")
    convert.add_argument("--format", default="auto", help="chat, prompt_completion, sharegpt, alpaca, archive, ...")
    convert.add_argument(
        "--field", action="append", default=[], metavar="NAME=KEY", help="a field under another key; may be repeated"
    )
    convert.add_argument("--least-rating", type=float, help="of an archive: leave out rows rated lower or not at all")
    convert.add_argument(
        "--system-to-user", action="store_true",
        help="put system text at the start of the next user message, for a base whose chat template refuses it",
    )  # fmt: skip
    convert.set_defaults(command=_data_convert)

    split = commands.add_parser("split", help="canonical rows into rows to train on and rows to judge by")
    split.add_argument("source", type=Path, metavar="FILE")
    split.add_argument("--train", type=Path, required=True, help="the file to write rows to train on to")
    split.add_argument("--golden", type=Path, required=True, help="the file to write rows to judge by to")
    split.add_argument("--share", type=float, default=0.2, help="to judge by (default: %(default)s)")
    split.add_argument("--seed", type=int, default=42, help="another choice of rows (default: %(default)s)")
    split.add_argument("--together", metavar="KEY", help="rows with the same value here are not split, as meta.topic")
    split.set_defaults(command=_data_split)


def _config_arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument("config", nargs="?", type=Path, default=Path("release.yaml"), help="default: %(default)s")
    command.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", dest="overrides",
        help="override a value of the configuration, such as training.max_steps=20; may be repeated",
    )  # fmt: skip
    command.add_argument(
        "--weaker-because", metavar="REASON",
        help="why this release may ask for less than the last one did; printed on its card",
    )  # fmt: skip


def _load(options: argparse.Namespace, say: Say) -> reading.Config:
    overrides = {}
    for text in options.overrides:
        key, equals, value = text.partition("=")
        if not equals:
            raise ConfigError([f"--set {text}: expected KEY=VALUE, such as training.max_steps=20"])
        overrides[key] = value
    if options.weaker_because is not None:
        overrides["gates.weaker_because"] = options.weaker_because
    loaded = reading.load(options.config, overrides)
    for notice in loaded.notices:
        say(Line(text=f"note: {notice}"))
    return loaded


def _base(options: argparse.Namespace, say: Say) -> None:
    from release.models import base

    base.unpack(options.folder, say)
    say(Line(text=f"{options.folder} holds {reading.EMBEDDED_BASE}, as it comes with this tool"))


def _release(options: argparse.Namespace, say: Say) -> None:
    from release import pipeline

    if options.sign:
        options.overrides.append(f"publishing.signing_key={options.sign.absolute()}")
    if options.keyless:
        options.overrides.append("publishing.keyless=true")
    loaded = _load(options, say)
    packed, publication = pipeline.release(loaded, say)
    say(Line(text=pipeline.what_next(loaded, packed, publication)))


def _candidate(options: argparse.Namespace, say: Say) -> None:
    from release import two_jobs
    from release.running import child

    for name in child.SECRETS:
        os.environ.pop(name, None)  # what trains and judges may run a model's code: it never holds a token
    two_jobs.candidate(_load(options, say), options.to, say)


def _publish(options: argparse.Namespace, say: Say) -> None:
    from release import two_jobs

    key = options.sign.absolute() if options.sign else None
    given = {"endpoint": options.hub, "signing_key": key, "keyless": options.keyless}
    told = {name: value for name, value in given.items() if value}
    if "signing_key" in told and "keyless" in told:
        raise ConfigError(["--sign and --keyless: a release has one signature. Give one of them."])
    two_jobs.publish(options.folder, options.receipts, told, say)


def _check(options: argparse.Namespace, say: Say) -> None:
    from release import pipeline

    loaded = _load(options, say)
    judged = pipeline.check_data(loaded, say)
    say(Line(text=f"{len(judged.train.rows)} training rows and {len(judged.golden.rows)} golden rows are fit to use."))


def _plan(options: argparse.Namespace, say: Say) -> None:
    from release import preflight

    loaded = _load(options, say)
    say(Line(text="\n".join(preflight.provable(loaded, say))))
    for line in preflight.planned(loaded, say):
        say(Line(text=line))


def _doctor(options: argparse.Namespace, say: Say) -> None:
    from release import preflight
    from release.hub import address

    loaded = _load(options, say)
    with address.environment(loaded.publishing.endpoint, loaded.path.parent) as hub:
        preflight.doctor(loaded, hub, say)
    say(Line(text="Nothing was found that would stop a release."))


def _pilot(options: argparse.Namespace, say: Say) -> None:
    from release import pilot

    pilot.pilot(_load(options, say), say)


def _data_check(options: argparse.Namespace, say: Say) -> None:
    from release import preflight

    loaded = _load(options, say)
    wanted = preflight.Pages(
        folder=options.report or loaded.run.output_dir, docs=options.data_docs, text=not options.without_text
    )
    for line in preflight.checked_data(loaded, wanted, say):
        say(Line(text=line))


def _data_convert(options: argparse.Namespace, say: Say) -> None:
    from release.data import data_report
    from release.data import sources as data_source

    sources = [data_source.named(text, say) for text in options.sources]
    lines = data_report.convert(
        sources, options.to, options.format, options.field, options.least_rating, system_to_user=options.system_to_user
    )
    for line in lines:
        say(Line(text=line))


def _data_split(options: argparse.Namespace, say: Say) -> None:
    from release.data import data_report

    where = (options.train, options.golden)
    for line in data_report.split(options.source, where, options.share, options.seed, options.together):
        say(Line(text=line))


def _verify(options: argparse.Namespace, say: Say) -> None:
    from release.checking import verify

    verify.verify(options.release, options.hub, say, _known(options))


def _known(options: argparse.Namespace) -> "Known":
    from release.checking.verify import Known
    from release.publishing import sign

    if options.public_key and options.identity:
        raise ConfigError(["--public-key and --identity: a release has one signature. Give one of them."])
    if options.issuer and not options.identity:
        raise ConfigError(["--issuer vouches for an identity: give --identity too."])
    trust = sign.Trust(public_key=options.public_key, identity=options.identity, issuer=options.issuer or sign.GITHUB)
    asked = options.public_key or options.identity
    return Known(receipt=options.receipt, data=options.data, trust=trust if asked else None)


def _explain(options: argparse.Namespace, say: Say) -> None:
    from release.checking import explain

    runs = Path() if options.release else reading.load(options.config).run.output_dir
    with explain.found(options.release, runs, options.hub, say, options.data) as judged:
        explain.explain(options.gate, judged, say)


def _rejudge(options: argparse.Namespace, say: Say) -> None:
    from release.checking import reproduce

    reproduce.rejudge(_request(options), say)


def _reproduce(options: argparse.Namespace, say: Say) -> None:
    from release.checking import reproduce

    reproduce.reproduce(_request(options, anyway=options.anyway, attach=options.attach), say)


def _request(options: argparse.Namespace, *, anyway: bool = False, attach: bool = False) -> "Request":
    from release.checking.reproduce import Request

    return Request(
        release=options.release,
        endpoint=options.hub,
        level=options.level,
        known=_known(options),
        output=options.output,
        anyway=anyway,
        attach=attach,
    )


def _serve(options: argparse.Namespace, say: Say) -> None:
    from release.hub import address

    root: Path = options.root
    signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)  # before the server's thread starts: it inherits the mask
    with address.serving(root, options.port) as (url, _):
        sys.stdout.write(f"export HF_ENDPOINT={url}\n")
        sys.stdout.write(f"export HF_TOKEN=$(cat {shlex.quote(str(root / 'token'))})\n")
        sys.stdout.write("export HF_HUB_DISABLE_XET=1\n")
        sys.stdout.flush()
        say(Line(text="# serving until Ctrl-C"))
        signal.sigwait(_ENDING)


if __name__ == "__main__":
    main()
