"""Pages of releases: of those that are kept, and of small ones made here, with rows that play tricks."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from release import pipeline
from release.checking import opening, verify_card
from release.judging import previous
from release.judging.released import Released
from release.publishing import page
from release.publishing.page import shown
from release.publishing.page.shown import Shown
from release.values import layout
from tests.helpers.line import ROOT
from tests.helpers.small_release import reseal, small_candidate, small_settings

KEPT = ROOT / "tests" / "data" / "releases"
GOLDEN = ROOT / "data" / "elements" / "golden.jsonl"
PLAIN = "engine=transformers"
HOSTILE = (
    "<img src=x onerror=alert(1)><script>alert(2)</script>",
    "</script><script>alert(3)</script><!-- <script> -->",
    "\u202eright to left\u202c and \u2066isolated\u2069, \u200fmarks\u200e",
    "\x1b[31mred\x1b[0m \x1b]8;;http://example.invalid\x07link\x1b]8;;\x07",
    "a line\u2028separator\u2029and \ufefftoo",
    "😀 👨\u200d👩\u200d👧 漢字 かな עברית العربية",
    "&lt;b&gt; &amp; &#x3c;script&#x3e; {{ 7 * 7 }} {% raw %} ${7*7} `x`",
    "word " * 20_000,
)


def shown_of(folder: Path) -> Shown:
    """A release in a folder, judged again."""
    found = opening.Opened(release=Released(folder=folder, name=folder.name))
    derived = shown.Derived(alone=found.alone, beside=found.beside, forms=found.forms, people=found.people)
    return shown.of_release(found.release, derived)


def page_of(made: Shown) -> bytes:
    return page.page(made, verify_card.publishing(made.record))


def redraw(folder: Path) -> None:
    """Make the page of a release fit its changed record, as a careful liar would."""
    made = shown_of(folder)
    (folder / layout.PAGE).write_bytes(page_of(made))
    counted, publishing = Released(folder=folder).counted, verify_card.publishing(made.record)
    (folder / layout.PICTURE).write_bytes(page.drawn(made.record, counted, publishing))
    reseal(folder)


def hostile_rows(path: Path, rows: int = 20) -> Path:
    """Golden rows of which the first ones hold hostile texts: as question, document and reference."""
    lines = [json.loads(line) for line in GOLDEN.read_text("utf-8").splitlines()[:rows]]
    for line, text in zip(lines, HOSTILE, strict=False):
        line["messages"][1]["content"] += f"\n{text}"
        line["documents"][0]["text"] = text
        answer = json.loads(line["messages"][2]["content"])
        line["messages"][2]["content"] = json.dumps(
            {**answer, "answer": f"{answer['answer']} {text}"}, ensure_ascii=False
        )
        line["tags"] = [text[:30]]
    path.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), "utf-8")
    return path


def release_in(
    folder: Path,
    *,
    golden: Path | None = None,
    wrong: Sequence[int] = (),
    before: Path | None = None,
    licence: bool = True,
    **settings: Mapping[str, Any],
) -> Path:
    """A packed release with a form ``plain``, and wrong answers in it; ``before`` is a release to compare with."""
    folder.mkdir(parents=True, exist_ok=True)
    given: dict[str, Mapping[str, Any]] = {
        "serving": {"plain": {"base": "unquantized", "required": False}},
        "gates": {"json_parse": {"mode": "point", "target": 0.5}},
        **settings,
    }
    if golden:
        given["data"] = {"golden_file": str(golden)}
    loaded = small_settings(folder, licence=licence, **given)
    releases = (previous.read("v0.0.9", "9" * 40, before),) if before else ()
    candidate, run = small_candidate(loaded, releases, wrong_as={"plain": tuple(wrong)})
    if before:
        kept = loaded.run.output_dir / "earlier" / ("9" * 40)
        kept.parent.mkdir(parents=True)
        kept.symlink_to(before)
    return pipeline.pack(loaded, candidate, run).folder
