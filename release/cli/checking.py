"""Commands that look at a published release again: verify, explain, open, serve-check, export, rejudge, reproduce."""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from release.cli import options
from release.cli.command import Command, takes
from release.cli.options import RELEASE, Expected, Source
from release.values import extras
from release.values.errors import ConfigError
from release.values.events import Line, Say
from release.values.layout import TRAINED

if TYPE_CHECKING:
    from release.checking.allowed import Allowed
    from release.checking.reproduce import Request
    from release.checking.serve_check import Request as Forms


@dataclass(frozen=True, kw_only=True)
class Published:
    """A published release, and what it must match."""

    release: str
    source: Source
    expected: Expected


def _published_options(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "release", metavar=RELEASE,
        help="a release on the Hub, with its commit if you know which it must be; or a downloaded folder. An "
        "attestation is datasets/REPO@TAG",
    )  # fmt: skip
    options.source(command)
    about = "A release has one signature: give --public-key or --identity, not both."
    options.expected(command, "what the release must match", about)


def verify(given: Published, say: Say) -> None:
    from release.checking import opening, verify, verify_attested

    known = options.known(given.expected, given.source.data)
    with opening.opened(given.release, given.source.hub, say, known) as found:
        (verify_attested.report if opening.is_attestation(found) else verify.report)(found, say)


@dataclass(frozen=True, kw_only=True)
class Permitted:
    """What of a release may run here, as typed."""

    trust_remote_code: bool
    allow_image: str | None
    container: Literal["auto", "require", "never"] | None


def _permission_options(command: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    group = command.add_argument_group("what may run", "Nothing of a release runs by its record's wish alone.")
    group.add_argument(
        "--trust-remote-code", action="store_true", help="let Python files of the base model's repository run"
    )
    group.add_argument(
        "--allow-image", metavar="[NAME@]sha256:DIGEST", help="use the image that the release was made in, this one"
    )
    group.add_argument(
        "--container", choices=("auto", "require", "never"),
        help="where stages run (default: as ./release.yaml says, or in a container where an engine answers)",
    )  # fmt: skip
    return group


def _allowed(given: Permitted, ref: str = "HEAD", *, install: bool = False) -> "Allowed":
    from release.checking.allowed import Allowed

    return Allowed(
        remote_code=given.trust_remote_code,
        image=given.allow_image,
        container=given.container,
        ref=ref,
        install=install,
    )


@dataclass(frozen=True, kw_only=True)
class Explain:
    gate: str
    release: str | None
    config: Path
    form: str
    rows_to_add: bool
    source: Source
    expected: Expected


def _explain_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("gate", metavar="GATE", help="name of the gate, such as citation_coverage")
    command.add_argument(
        "release", nargs="?", metavar=RELEASE,
        help="a release on the Hub, a downloaded folder, or a run's folder, a try's too (default: the latest run)",
    )  # fmt: skip
    options.source(command)
    command.add_argument(
        "--config", type=Path, default=Path("release.yaml"),
        help="configuration of which the latest run is explained (default: %(default)s)",
    )  # fmt: skip
    command.add_argument(
        "--form", default=TRAINED, metavar="NAME", help="form that answered, as in serving (default: %(default)s)"
    )
    command.add_argument(
        "--rows-to-add", action="store_true",
        help="instead of the wrong rows: of which kinds they are, and how many training rows are of each",
    )  # fmt: skip
    options.expected(command, "accepted and not used", "`adapter-release verify` checks these.")


def explain(given: Explain, say: Say) -> None:
    from release.checking import explain
    from release.config import reading

    asked = given.expected
    if (asked.receipt, asked.public_key, asked.identity, asked.issuer) != (None,) * 4:
        say(Line(text="note: explain checks no signature and no receipt: `adapter-release verify` does."))
    runs = Path() if given.release else reading.load(given.config).run.output_dir
    with explain.found(given.release, runs, given.source.hub, say, given.source.data, given.form) as judged:
        explain.explain(given.gate, judged, say, to_add=given.rows_to_add)


@dataclass(frozen=True, kw_only=True)
class Open:
    release: str | None
    config: Path
    row: str | None
    browser: bool
    source: Source
    expected: Expected


def _open_options(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "release", nargs="?", metavar=RELEASE,
        help="a release on the Hub, a downloaded folder, or a run's folder (default: the latest run)",
    )  # fmt: skip
    command.add_argument("--row", metavar="ID", help="the golden row to begin at")
    command.add_argument(
        "--no-browser", action="store_false", dest="browser", help="start no browser, and print where the page is"
    )
    command.add_argument(
        "--config", type=Path, default=Path("release.yaml"),
        help="configuration of which the latest run is opened (default: %(default)s)",
    )  # fmt: skip
    options.source(command)
    options.expected(command, "what a release must match", "A release is verified before it is shown.")


def open_(given: Open, say: Say) -> None:
    import webbrowser

    from release.checking import explain, view
    from release.config import reading

    endpoint, data = given.source.hub, given.source.data
    if given.release is None or explain.is_run(Path(given.release)):
        runs = Path() if given.release else reading.load(given.config).run.output_dir
        with explain.found(given.release, runs, endpoint, say, data) as judged:
            path = view.of_run(judged, say, given.row)
    else:
        path = view.of_release(given.release, endpoint, say, options.known(given.expected, data), given.row)
    address = view.at_row(path, given.row)
    started = given.browser and webbrowser.open(address)
    say(Line(text=f"{'opened' if started else 'the page, for any browser'}: {address}"))


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """How much must be the same, and where the report goes."""

    level: str
    output: Path | None


def _comparison_options(command: argparse.ArgumentParser, levels: Sequence[str]) -> None:
    command.add_argument(
        "--level", choices=levels, default=levels[0], help="what must be the same for exit 0 (default: %(default)s)"
    )
    command.add_argument("--output", type=Path, help="output folder of the report (default: one in runs/reproduced)")


@dataclass(frozen=True, kw_only=True)
class Rejudge:
    published: Published
    permitted: Permitted
    comparison: Comparison


def _rejudge_options(command: argparse.ArgumentParser) -> None:
    _published_options(command)
    _permission_options(command)
    _comparison_options(command, ("verdict", "answers"))


def rejudge(given: Rejudge, say: Say) -> None:
    from release.checking import reproduce

    reproduce.rejudge(_request(given.published, given.comparison, _allowed(given.permitted)), say)


@dataclass(frozen=True, kw_only=True)
class Reproduce:
    published: Published
    permitted: Permitted
    trust_ref: str
    install_libraries: bool
    tool_wheel: str | None
    trainer: Path
    yes: bool
    comparison: Comparison
    attach: bool
    anyway: bool


def _reproduce_options(command: argparse.ArgumentParser) -> None:
    _published_options(command)
    group = _permission_options(command)
    group.add_argument(
        "--trust-ref", default="HEAD", metavar="REF",
        help="branch or tag of this checkout; its history must hold the recorded commit (default: %(default)s)",
    )  # fmt: skip
    group.add_argument(
        "--install-libraries", action="store_true",
        help="install the recorded versions of libraries, from the locks of the recorded commit",
    )  # fmt: skip
    group.add_argument(
        "--tool-wheel", metavar="FILE|index",
        help="train with the version of this tool that made it, from a wheel or pip's index; its digest must match",
    )  # fmt: skip
    group.add_argument(
        "--trainer", type=Path, metavar="FOLDER", default=Path(),
        help="files of the trainer that an imported adapter names; their digests must match (default: this folder)",
    )  # fmt: skip
    group.add_argument("--yes", action="store_true", help="let that version, or that trainer, run without a question")
    _comparison_options(command, ("bits", "answers", "verdict"))
    command.add_argument("--attach", action="store_true", help="propose the report to the Hub as a pull request")
    command.add_argument("--anyway", action="store_true", help="train even if the level cannot be expected here")


def reproduce(given: Reproduce, say: Say) -> None:
    from release.checking import reproduce

    permitted = _allowed(given.permitted, given.trust_ref, install=given.install_libraries)
    request = _request(given.published, given.comparison, permitted, anyway=given.anyway, attach=given.attach)
    agree = lambda _: given.yes or _agrees(say)  # noqa: E731
    reproduce.reproduce(replace(request, tool=given.tool_wheel, trainer=given.trainer, agree=agree), say)


def _agrees(say: Say) -> bool:
    """Whether somebody at the terminal types yes."""
    if not sys.stdin.isatty():
        raise ConfigError(["Nobody is here to ask whether what is named above may run. Give --yes if it may."])
    say(Line(text="Let it run? Type yes"))
    return sys.stdin.readline().strip() == "yes"


def _request(
    published: Published, comparison: Comparison, allowed: "Allowed", *, anyway: bool = False, attach: bool = False
) -> "Request":
    from release.checking.reproduce import Request

    extras.need_train()
    return Request(
        release=published.release,
        endpoint=published.source.hub,
        level=comparison.level,
        known=options.known(published.expected, published.source.data),
        allowed=allowed,
        output=comparison.output,
        anyway=anyway,
        attach=attach,
    )


@dataclass(frozen=True, kw_only=True)
class ServeCheck:
    """A published release, and the forms to judge it in."""

    published: Published
    permitted: Permitted
    forms: list[str]
    output: Path | None


@dataclass(frozen=True, kw_only=True)
class Export:
    """A published release, the forms to make files for, and where."""

    published: Published
    permitted: Permitted
    forms: list[str]
    to: Path


EXPORTED = ["engine=llama.cpp,merged=true,file_type=Q8_0"]
SERVE_CHECKED = ["base=unquantized", "merged=true"]


def _as(command: argparse.ArgumentParser, which: str, default: list[str]) -> None:
    """The option that names forms."""
    said = f"form {which}; may be repeated, with the settings of `serving` (default: {' and '.join(default)})"
    command.add_argument("--as", dest="forms", action="append", default=[], metavar="FORM", help=said)


def _export_options(command: argparse.ArgumentParser) -> None:
    _published_options(command)
    _permission_options(command)
    _as(command, "of llama.cpp or merged, such as engine=llama.cpp,base=unquantized", EXPORTED)
    command.add_argument("--to", type=Path, default=Path("exports"), help="output folder (default: %(default)s)")


def export(given: Export, say: Say) -> None:
    from release.checking import export

    extras.need_train()
    export.export(_forms_of(given.published, given.permitted, given.forms or EXPORTED, None), given.to, say)


def _forms_of(published: Published, permitted: Permitted, asked: list[str], output: Path | None) -> "Forms":
    from release.checking import serve_check

    return serve_check.Request(
        release=published.release,
        endpoint=published.source.hub,
        known=options.known(published.expected, published.source.data),
        forms=serve_check.forms(asked),
        allowed=_allowed(permitted),
        output=output,
    )


def _serve_check_options(command: argparse.ArgumentParser) -> None:
    _published_options(command)
    _permission_options(command)
    _as(command, "such as base=unquantized, or engine=llama.cpp,merged=true,file_type=Q8_0", SERVE_CHECKED)
    command.add_argument("--output", type=Path, help="folder for the report (default: one named for the release)")


def serve_check(given: ServeCheck, say: Say) -> None:
    from release.checking import serve_check

    extras.need_train()
    forms = given.forms or SERVE_CHECKED
    serve_check.serve_check(_forms_of(given.published, given.permitted, forms, given.output), say)


COMMANDS = (
    Command(
        name="verify",
        about="check a published release against its record",
        description="""Checks that a release is what its record says: every checksum, the card, the verdict
        derived again from the published answers, and the signature if there is one. Needs no GPU and no token
        for a public release, and changes nothing. Exit code 7: a step failed, and the release should not be
        used.""",
        options=_published_options,
        run=takes(Published, verify),
    ),
    Command(
        name="explain",
        about="why a gate failed: each wrong row, its answer and the reference",
        description="""Lists every row that a gate counts as wrong, with the reason, the question, the answer,
        the reference answer, and the answer of the previous release. Reads the latest run, or the run or
        release that is named. Needs no GPU and changes nothing.""",
        options=_explain_options,
        run=takes(Explain, explain),
    ),
    Command(
        name="open",
        about="look at a run or a release in a browser: gates, rows side by side, training",
        description="""Shows one page of the latest run, or of the run or release that is named: the gates with
        what they prove, every row beside the reference, the base and the last release, training and provenance.
        A release is verified first, and nothing of one that fails is shown. The page is a file that asks no
        network for anything. Exit code 7: the release or run is not what it says.""",
        options=_open_options,
        run=takes(Open, open_),
    ),
    Command(
        name="serve-check",
        about="judge a published adapter in the forms in which people load it",
        description="""Verifies a release, lets the published adapter answer the golden set in each form that is
        named (another base precision, merged, another engine), and evaluates the answers beside those of the form it
        was trained in. Needs the base model and a machine that can load it. Leaves serve-check.md in --output. Exit
        code 5: it does not pass its gates in one of the forms.""",
        options=_serve_check_options,
        run=takes(ServeCheck, serve_check),
    ),
    Command(
        name="export",
        about="make the files in which other engines load a published adapter",
        description="""Verifies a release and makes, from its adapter and the base it was judged over, the files that
        the named forms load: GGUF for llama.cpp, a merged model for transformers. Says of each file whether it is the
        one that was judged. Needs the base model. Overwrites nothing.""",
        options=_export_options,
        run=takes(Export, export),
    ),
    Command(
        name="rejudge",
        about="let a published adapter answer again, and compare",
        description="""Verifies a release, lets the base model and the published adapter answer the golden set
        again in a fresh process, evaluates the answers, and compares them with the published ones. Needs the
        base model and a machine that can load it. Leaves reproduction.md and reproduction.json in --output.
        Exit code 8: less than --level is the same.""",
        options=_rejudge_options,
        run=takes(Rejudge, rejudge),
    ),
    Command(
        name="reproduce",
        about="train a published adapter again from its record, and compare",
        description="""Verifies a release, trains its adapter again with the recorded code, data and settings,
        evaluates it, and compares weights, answers and verdict. Needs the training rows, and for equal bits the
        recorded libraries and hardware. Leaves the run, reproduction.md and reproduction.json in --output. Exit
        code 8: less than --level came out the same.""",
        options=_reproduce_options,
        run=takes(Reproduce, reproduce),
    ),
)
