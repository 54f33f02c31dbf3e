"""Gates as a picture: an SVG for a card, without style or program, and bars of characters for a job's summary.

The Hub and GitHub show an SVG as an image, in which no script runs and nothing is fetched; a job's summary shows none.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from gates.shown import plain, shorten
from release.judging.released import Counted
from release.publishing.page import charts
from release.values.layout import TRAINED
from release.values.record import Record

LEFT, WIDTH = 230, 300
"""Where the bars begin, and how long they are, in pixels."""
TOP, HIGH = 72, 26
"""Where the first bar is, and the next below it."""
CHARACTERS = 40
"""Of a bar in a job's summary."""
TITLE = 60


@dataclass(frozen=True, kw_only=True)
class Line:
    """A gate in the picture; places are pixels from the left."""

    name: str
    good: bool
    says: str
    top: int
    value: str
    bound: str | None
    target: str
    floor: str | None


def drawn(record: Record, counted: Sequence[Counted], release: str) -> dict[str, object]:
    """Every value that the template of the picture names."""
    passed = [TRAINED, *(name for name, form in (record.forms or {}).items() if form.passed)]
    used = f"may be used as {', '.join(passed)}" if record.passed else "may not be released"
    return {
        "title": f"{'PASS' if record.passed else 'Not passed'}: {shorten(plain(record.name), TITLE)}",
        "release": shorten(plain(release), 2 * TITLE),
        "used": shorten(used, 2 * TITLE),
        "good": record.passed,
        "lines": [_line(one, TOP + HIGH * number) for number, one in enumerate(counted)],
        "height": TOP + HIGH * len(counted) + 34,
        "left": LEFT,
        "width": WIDTH,
    }


def _line(one: Counted, top: int) -> Line:
    bar = charts.bar(_share(one), one.bound, one.target or 0.0, one.floor)
    value, bound, target, floor = (
        None if at is None else f"{float(at) / 100 * WIDTH:.1f}" for at in (bar.value, bar.bound, bar.target, bar.floor)
    )
    assert value is not None
    assert target is not None
    return Line(
        name=one.gate,
        good=one.state == "PASS",
        says=says(one),
        top=top,
        value=value,
        bound=bound,
        target=target,
        floor=floor,
    )


def _share(one: Counted) -> float:
    return one.k / one.n if one.n else 0.0


def says(one: Counted) -> str:
    """``59/60, ≥ 92.3 %, PASS``."""
    proved = "" if one.bound is None else f", ≥ {100 * one.bound:.1f} %"
    return f"{one.k}/{one.n}{proved}, {one.state}{'' if one.required else ' (advisory)'}"


def text(counted: Sequence[Counted]) -> str:
    """The same as Markdown: a bar of characters for each gate."""
    wide = max((len(one.gate) for one in counted), default=0)
    lines = [f"{one.gate:{wide}}  {_characters(one)}  {says(one)}" for one in counted]
    legend = "█ right   ▲ at least this is proved   | target   : floor for what is proved"
    return "\n".join(["```text", *map(plain, lines), "", legend, "```", ""])


def _characters(one: Counted) -> str:
    share = _share(one)
    full = CHARACTERS if share == 1 else min(int(share * CHARACTERS), CHARACTERS - 1)
    bar = ["█"] * full + ["░"] * (CHARACTERS - full)
    for mark, at in ((":", one.floor), ("|", one.target), ("▲", one.bound)):
        if at is not None:
            bar[min(int(at * CHARACTERS), CHARACTERS - 1)] = mark
    return "".join(bar)
