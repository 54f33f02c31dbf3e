"""Record and judged files → one HTML page that shows a release: no clock, no network, the same bytes each time."""

import base64
import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from gates.shown import plain
from release.config.settings import Publishing
from release.judging import released
from release.judging.released import Counted
from release.publishing.page import parts, picture, rows
from release.publishing.page.shown import Shown
from release.values import layout
from release.values.artifacts import write_atomically
from release.values.record import Record

HERE = Path(__file__).parent
VISIBLE = HERE / "visible.js"
"""How a page shows what others wrote; it comes before the page's own program."""
"""Template, style and program lie beside this module, as the page holds them."""
SUMMARY = "summary.md"
"""In a run folder, the report with bars of characters on top: what a job's summary shows."""
VERSION = 1
"""Of the page: one that was published is made again by the same template, so a later one gets another number."""


PUBLISHED = "report_published.html"
"""In a run folder, the page to publish, where no licence lets the rows travel with the release."""


def write(run: Path, shown: Shown, publishing: Publishing) -> None:
    """Page, picture and summary of a run into its folder, and beside them the page to publish where that is another."""
    write_atomically(run / layout.in_run(layout.PAGE), page(shown, publishing))
    if to_publish(run, shown.record).name == PUBLISHED:
        write_atomically(run / PUBLISHED, page(replace(shown, with_rows=False), publishing))
    counted = released.counted(json.loads(shown.alone.verdict.to_json()))
    write_atomically(run / layout.in_run(layout.PICTURE), drawn(shown.record, counted, publishing))
    report = (run / "report.md").read_text("utf-8")
    write_atomically(run / SUMMARY, f"{picture.text(counted)}\n{report}".encode())


def drawn(record: Record, counted: Sequence[Counted], publishing: Publishing) -> bytes:
    """The gates as a picture for the card; ``report.svg``."""
    template = _environment().get_template("picture.svg.jinja")
    given = picture.drawn(record, counted, f"{publishing.hf_repo}@{publishing.tag}")
    return (template.render(given).strip() + "\n").encode()


def to_publish(run: Path, record: Record) -> Path:
    """The page in a run folder that its release may hold."""
    return run / (layout.in_run(layout.PAGE) if record.data.golden.file is not None else PUBLISHED)


def page(shown: Shown, publishing: Publishing) -> bytes:
    """The page of a run, or of a release without what may not travel with it; ``report.html``."""
    shown = replace(shown, record=replace(shown.record, files=None))  # the page is one of them
    style, *programs = (path.read_text("utf-8") for path in (HERE / "page.css", VISIBLE, HERE / "page.js"))
    program = "".join(programs)
    template = _environment().get_template("page.html.jinja")
    given = {
        "version": VERSION,
        "policy": _policy(style, program),
        "style": Markup(style),  # noqa: S704  a file of this package
        "program": Markup(program),  # noqa: S704  the same
        "rows": Markup(rows.data(shown)),  # noqa: S704  escaped for a script element
        **parts.parts(shown, publishing),
    }
    return (template.render(given).strip() + "\n").encode()


def _policy(style: str, program: str) -> str:
    """What a browser may do with the page: run this program and no other, and ask nobody for anything."""
    allowed = [f"style-src {source(style)}", f"script-src {source(program)}", "base-uri 'none'", "form-action 'none'"]
    return "; ".join(["default-src 'none'", *allowed])


def source(text: str) -> str:
    """How a Content-Security-Policy allows this text and no other."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


@cache
def _environment() -> Environment:
    """Every value is escaped, and shown with nothing in it that acts on the reader."""
    return Environment(
        loader=FileSystemLoader(HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: value if isinstance(value, Markup | int | float) else _lines(value),
    )


def _lines(value: object) -> str:
    """A text of which only line feeds are kept as they are."""
    return "\n".join(map(plain, str(value).split("\n")))
