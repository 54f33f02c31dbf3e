"""A run or a release as a page in a browser: made again from what was judged, so that nothing is shown unproved."""

import difflib
import json
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

import gates
from gates.shown import shorten
from release.checking import explain, opening, verify, verify_card
from release.checking.explain import Judged
from release.judging import derive, reviewed, served, terms
from release.publishing import page
from release.publishing.page import shown
from release.publishing.page.shown import Shown
from release.values import layout, record
from release.values.artifacts import sha256_file, write_atomically
from release.values.errors import ConfigError, VerificationError
from release.values.events import Line, Say
from release.values.record import Record


def of_release(name: str, endpoint: str, say: Say, known: opening.Known, row: str | None = None) -> Path:
    """The page of a release on a Hub or in a folder, verified before; ``VerificationError`` where it is not sound.

    ``ConfigError`` where it has no golden row ``row``.
    """
    with opening.opened(name, endpoint, say, known) as found:
        opening.must_be_released(found)
        verify.report(found, say)
        if found.release.golden is None:
            raise ConfigError([f"The rows of {name} are not in the release: give their folder with --data."])
        _refuse_unknown(row, found.release.golden.rows, name)
        with explain.reading(found.name):
            made = found.page
        return kept(made, found.name)


def of_run(place: Judged, say: Say, row: str | None = None) -> Path:
    """The page of a run that was judged: its own, or one made now where that is missing or another.

    ``ConfigError`` where it has no golden row ``row``.
    """
    _refuse_unknown(row, place.golden.rows, place.name)
    with explain.in_time(place), explain.reading(place.name):
        found = shown_of(place)
        made = page.page(found, verify_card.publishing(found.record))
    there = place.folder / layout.in_run(layout.PAGE)
    if there.is_file() and not there.is_symlink() and there.read_bytes() == made:
        return there.absolute()
    if there.exists():
        say(Line(text=f"note: {there} is not what its answers make; this page is made again from them."))
    return kept(made, place.folder.name)


def _refuse_unknown(row: str | None, golden: Sequence[gates.Golden], name: str) -> None:
    """Stop where a row is asked for that is none: the page would open at its top and say nothing."""
    ids = [one.id for one in golden]
    if row is None or row in ids:
        return
    near = difflib.get_close_matches(row, ids, n=1) or ids[:1]
    what = f"{name} has {len(ids)} golden rows, and none of that id"
    raise ConfigError([f"--row {shorten(row, 80)}: {what}. Name one, such as {shorten(near[0], 80)}."])


def at_row(path: Path, row: str | None) -> str:
    """The address of a page, and of a row in it."""
    return path.as_uri() + (f"#row-{quote(row, safe='')}" if row is not None else "")


def shown_of(place: Judged) -> Shown:
    """A run that was judged, and is again; ``VerificationError`` where that is another verdict."""
    made, run = _record(place.folder), place.folder
    agreed = terms.read(run, place.golden, made.config.get("serving"))
    answers = gates.read_outputs(run / layout.in_run(layout.ANSWERS))
    base_answers = gates.read_outputs(run / layout.in_run(layout.BASE_ANSWERS))
    in_forms = {name: gates.read_outputs(run / layout.in_run(layout.answers_as(name))) for name in (made.forms or {})}
    forms = tuple(
        served.judged(agreed, name, in_forms[name], answers, form.settings, form.parity)
        for name, form in (made.forms or {}).items()
    )
    alone, beside = derive.alone(agreed, answers, base_answers), derive.beside(agreed, answers, place.before)
    if alone.verdict.to_json() != (run / layout.in_run(layout.VERDICT)).read_bytes():
        raise VerificationError(
            f"The gates give another verdict on the answers in {place.name} than the one stored there: a file was "
            "changed, or another version made it. Run `adapter-release release` again: nothing is trained again."
        )
    candidate = reviewed.Answered(
        adapter_sha256=made.adapter.sha256,
        answers_sha256=sha256_file(run / layout.in_run(layout.ANSWERS)),
        answers=answers,
        base_answers=base_answers,
        before=place.before,
    )
    people = reviewed.of_run(run, agreed, candidate, alone.verdict)
    derived = shown.Derived(alone=alone, beside=beside, forms=forms, people=people)
    return shown.of_run(run, made, agreed, derived, place.before)


def _record(run: Path) -> Record:
    path = run / "record.json"
    try:
        return record.read(json.loads(path.read_bytes()))
    except (OSError, ValueError, RecursionError) as error:
        says = f"{path} is not the record of a run that was judged: {error}"
        raise ConfigError([f"{says:.300}. Run `adapter-release release` again: nothing is trained again."]) from None


def kept(made: bytes, name: str) -> Path:
    """The page in a folder of this session's own, which only this user can read."""
    folder = Path(tempfile.mkdtemp(prefix="adapter-release-"))
    path = folder / f"{re.sub('[^A-Za-z0-9.-]+', '-', name)[:80]}.html"
    write_atomically(path, made)
    return path
