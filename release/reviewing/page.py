"""The page of a review: one file of markup, style and program, in which no row stands. Rows come as JSON, as texts."""

from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from gates.human_review import REASONS
from gates.shown import plain
from release.publishing.page import VISIBLE, source

HERE = Path(__file__).parent
STYLE = HERE.parent / "publishing" / "page" / "page.css"
"""The look of a release's own page."""


@cache
def _parts() -> tuple[str, str]:
    style = STYLE.read_text("utf-8") + (HERE / "review.css").read_text("utf-8")
    return style, VISIBLE.read_text("utf-8") + (HERE / "review.js").read_text("utf-8")


def page(name: str) -> bytes:
    """The page for a review of ``name``."""
    style, program = _parts()
    environment = Environment(loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined)
    given = {
        "name": plain(name),
        "style": Markup(style),  # noqa: S704  files of this package
        "program": Markup(program),  # noqa: S704  the same
        "reasons": REASONS,
    }
    return environment.get_template("review.html.jinja").render(given).encode()


@cache
def policy() -> str:
    """What a browser may do with it: run this program and no other, and ask its own server alone."""
    style, program = _parts()
    allowed = [f"style-src {source(style)}", f"script-src {source(program)}", "connect-src 'self'"]
    return "; ".join(
        ["default-src 'none'", *allowed, "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"]
    )
