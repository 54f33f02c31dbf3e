"""Why a gate failed: every row that it counts as wrong, of a run here, of a release on a Hub, or of a folder."""

import contextlib
import json
import os
import shlex
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import gates
from gates import human_review, report
from gates.policy import HUMAN_REVIEW, usual_review
from gates.shown import counted, plain, shorten
from release.checking import opening, rows_to_add, steps, verify_attested
from release.data import dataset
from release.data.dataset import Dataset
from release.judging import derive, previous, reviewed, terms, tuning
from release.judging.reviewed import Asked
from release.models.tuning_answers import FOLDER as TUNING
from release.values import bounded, bounds, clock, layout, record
from release.values.artifacts import sha256_file
from release.values.as_json import part
from release.values.errors import ConfigError, DataError, VerificationError
from release.values.events import Say, tell
from release.values.layout import TRAINED
from release.values.record import Previous


@dataclass(frozen=True, kw_only=True)
class Judged:
    """What was judged, wherever it lies."""

    name: str
    typed: str
    """How a command names it; empty for an attestation, which has no page."""
    folder: Path
    """Of policy.json and contract.json."""
    answers: Path
    """Of verdict.json and answers.jsonl."""
    golden: Dataset
    train: Callable[[], Dataset | None]
    """Reads the rows that it was trained on; None where they are not at hand."""
    before: Sequence[previous.Release]
    seconds: float
    """Of a processor, that judging it again may take."""
    tried: bool = False
    """Whether it is a try, whose answers are those to the tuning rows: no verdict of them is kept."""


def explain(gate: str, place: Judged, say: Say, *, to_add: bool = False) -> None:
    """Say why, row by row, with the last release's answer where there is one; ``to_add``: which rows to add instead.

    The answers are judged again; ``VerificationError`` if that is not the stored verdict.
    """
    with in_time(place):
        if gate == HUMAN_REVIEW and place.typed:
            _people(place, say, to_add=to_add)
        else:
            _explain(gate, place, say, to_add=to_add)


def _people(place: Judged, say: Say, *, to_add: bool) -> None:
    """What people said: who, and of which rows, where not everybody calls them right; or of which kinds those are."""
    with reading(place.name):
        of, verdict = asked(place)
        content = reviewed.content(place.folder / layout.in_run(layout.REVIEW))
        people = reviewed.heard(of, content, verdict)
    if people.found is None or content is None:
        tell(say, [place.name, "people have still to say what the answers are worth:", *map(plain, people.waits)])
        return
    if to_add:
        tell(say, [place.name, *_kinds(place, people.found.gate.score)])
        return
    lines = human_review.told(reviewed.read(content, place.name), people.found, place.golden.rows, of.this)
    tell(say, [place.name, *lines])


def of_release(folder: Path) -> bool:
    """Whether this is the folder of a release in which it holds what was judged."""
    return folder.name == "gates" and (folder.parent / layout.RECORD).is_file()


def asked(place: Judged) -> tuple[Asked, gates.Verdict]:
    """What people are asked to read of it, and its verdict; ``VerificationError`` if that is not the stored one."""
    folder = place.folder
    path = folder.parent / layout.RECORD if of_release(folder) else folder / "record.json"
    if path.stat().st_size > bounds.RECORD.most:
        raise ValueError(f"{path.name} has more than {bounds.RECORD.most:,} bytes")
    made = record.read(bounded.json_object(path.read_bytes(), path.name))
    agreed = terms.read(folder, place.golden, made.config.get("serving"))
    answers = gates.read_outputs(folder / "answers.jsonl")
    verdict = derive.alone(agreed, answers, None).verdict
    if verdict.to_json() != (folder / "verdict.json").read_bytes():
        raise VerificationError(
            f"The gates give another verdict on the answers in {place.name} than the one stored there: a file was "
            "changed, or another version made it. Nobody should read them for it."
        )
    candidate = reviewed.Answered(
        adapter_sha256=made.adapter.sha256,
        answers_sha256=sha256_file(folder / "answers.jsonl"),
        answers=answers,
        base_answers=gates.read_outputs(folder / "base_answers.jsonl"),
        before=place.before,
    )
    return reviewed.asked(agreed, candidate, agreed.policy.review or usual_review()), verdict


def _explain(gate: str, place: Judged, say: Say, *, to_add: bool) -> None:
    if place.tried:
        _explain_a_try(gate, place, say, to_add=to_add)
        return
    with reading(place.name):
        agreed = terms.read(place.folder, place.golden)
        outputs = gates.read_outputs(place.answers / "answers.jsonl")
        stored = (place.answers / "verdict.json").read_bytes()
    verdict = derive.alone(agreed, outputs, None).verdict
    if verdict.to_json() != stored:
        raise VerificationError(
            f"The gates give another verdict on the answers in {place.name} than the one stored there: a file was "
            "changed, or another version made it. See `adapter-release verify`."
        )
    score = _measured(gate, verdict, place)
    if to_add:
        tell(say, [place.name, *_kinds(place, score)])
        return
    before = previous.answers_before(place.before, agreed)
    lines = report.explain(verdict, gate, before, golden=place.golden.rows, outputs=outputs)
    tell(say, [place.name, *lines, *_to_look_at(place, score)])


def _explain_a_try(gate: str, place: Judged, say: Say, *, to_add: bool) -> None:
    with reading(place.name):
        asked = terms.written(place.folder, place.golden)
        outputs = gates.read_outputs(place.answers / "answers.jsonl")
    rows = place.golden.rows
    verdict = tuning.verdict_on(rows, outputs, asked.contract, asked.policy)
    score = _measured(gate, verdict, place)
    lines = _kinds(place, score) if to_add else report.explain(verdict, gate, None, golden=rows, outputs=outputs)
    tell(say, [f"{place.name}, a try on {counted(len(rows), 'tuning row')}", *lines])


def _measured(gate: str, verdict: gates.Verdict, place: Judged) -> gates.Score:
    if gate not in verdict.names:
        raise ConfigError([f"{gate!r} was not measured in {place.name}. Measured are {', '.join(verdict.names)}."])
    return verdict.advisory[gate] if gate in verdict.advisory else verdict.gate(gate).score


def _kinds(place: Judged, score: gates.Score) -> list[str]:
    """The kinds of rows that are called wrong, beside those that it was trained on."""
    with reading(place.name):
        train = place.train()
    return rows_to_add.lines(score, place.golden.rows, train.rows if train else None)


def _to_look_at(place: Judged, score: gates.Score) -> Iterator[str]:
    """Where the first wrong row is to be seen; its page has all of them."""
    if score.misses and place.typed:
        typed, row = shlex.quote(place.typed), shlex.quote(plain(score.misses[0].id))
        yield f"on a page, beside the base and the last release:  adapter-release open {typed} --row {row}"


@contextlib.contextmanager
def found(
    place: str | None, runs: Path, endpoint: str, say: Say, data: Path | None, form: str = TRAINED
) -> Iterator[Judged]:
    """``REPO@TAG``, the folder of a release or of a run; None: the run under ``runs`` that was judged last."""
    run = _newest(runs) if place is None else Path(place)
    if is_run(run):
        yield _of_run(run, form)
        return
    if is_try(run):
        yield _of_try(run, form)
        return
    with opening.opened(str(run) if place is None else place, endpoint, say, opening.Known(data=data)) as opened:
        release = opened.release
        if opening.is_attestation(opened):
            yield _of_attestation(opened, form)
            return
        with reading(release.name):
            release.contents.need("gates")
            earlier, rows = release.record.earlier, release.golden
        if rows is None:
            raise DataError(
                f"The golden rows of {release.name} are not in the release. Give the folder that has them as --data."
            )
        stored = release.folder / "gates"
        before = _kept(earlier, stored / layout.PREVIOUS)
        seconds, answers = release.listed.seconds, _as(stored, form)
        yield Judged(
            name=release.name,
            typed=str(place),
            folder=stored,
            answers=answers,
            golden=rows,
            train=lambda: release.train,
            before=before,
            seconds=seconds,
        )


def _of_run(run: Path, form: str) -> Judged:
    seconds = _plain(run)
    beside = run / "earlier.json"
    with reading(str(run)):
        earlier = part(Previous, json.loads(beside.read_bytes())) if beside.exists() else None
    before = _kept(earlier, run.parent / layout.PREVIOUS)
    return Judged(
        name=str(run),
        typed=str(run),
        folder=run,
        answers=_as(run, form),
        golden=dataset.load(run / layout.DATA["golden"]),
        train=_trained_on(run),
        before=before,
        seconds=seconds,
    )


def _of_try(run: Path, form: str) -> Judged:
    seconds = _plain(run)
    return Judged(
        name=str(run),
        typed="",
        folder=run,
        answers=_as(run, form) / TUNING,
        golden=dataset.load(run / layout.DATA["tuning"]),
        train=_trained_on(run),
        before=(),
        seconds=seconds,
        tried=True,
    )


def _trained_on(run: Path) -> Callable[[], Dataset | None]:
    train = run / layout.DATA["train"]
    return lambda: dataset.load(train) if train.is_file() else None


def _of_attestation(opened: opening.Opened, form: str) -> Judged:
    """The answers of a hosted model, which has one form and no releases before it."""
    release, stored = opened.release, opened.release.folder / "gates"
    with reading(release.name):
        release.contents.need("gates")
        golden = verify_attested.Found(opened=opened).golden
    return Judged(
        name=release.name,
        typed="",
        folder=stored,
        answers=_as(stored, form),
        golden=golden,
        train=lambda: None,
        before=(),
        seconds=release.listed.seconds,
    )


def is_run(folder: Path) -> bool:
    """Whether it is the folder of a run that was judged."""
    return (folder / "verdict.json").is_file() and not (folder / layout.RECORD).exists()


def is_try(folder: Path) -> bool:
    """Whether it is the folder of a try that answered the tuning rows, and was not judged on the golden set."""
    answered = (folder / TUNING / "answers.jsonl").is_file() and (folder / layout.DATA["tuning"]).is_file()
    return answered and not any((folder / name).exists() for name in ("verdict.json", layout.RECORD))


def _plain(run: Path) -> float:
    """Refuse a run folder in which something to be read is a link, a pipe or a device, or is too large.

    The seconds of a processor that judging its files again may take.
    """
    judged = (layout.in_run(name) for name in (*layout.JUDGED, *layout.DATA.values()))
    read = [
        run / "earlier.json",
        run / "record.json",
        run / TUNING / "answers.jsonl",
        *(run / name for name in judged),
        *run.glob("forms/*/*.json*"),
    ]
    sizes, root = [], run.resolve()
    for path in filter(os.path.lexists, read):
        name, state = path.relative_to(run), path.lstat()
        kind = (
            layout.kind_of(name.as_posix().removeprefix(f"{TUNING}/"))
            or layout.kind_of(f"gates/{name.as_posix()}")
            or bounds.RECORD
        )
        if not stat.S_ISREG(state.st_mode) or path.resolve() != root / name or state.st_size > kind.most:
            says = f"{path} is not a plain file of at most {kind.most:,} bytes"
            raise VerificationError(f"{says}: no run leaves one. Judge the run again, or name a release.")
        sizes.append((kind, state.st_size))
    return bounds.seconds(sizes)


@contextlib.contextmanager
def in_time(place: Judged) -> Iterator[None]:
    """A block that judges it; ``VerificationError`` where that takes longer than files of its size need."""
    try:
        with clock.within(place.seconds):
            yield
    except clock.TimeUp:
        late = f"{place.name} took more than the {place.seconds:.0f} seconds of a processor that files of its size need"
        raise VerificationError(f"{late}: an answer or a rule in it was made to be slow. Nothing was shown.") from None


def _as(judged: Path, form: str) -> Path:
    """Where the answers in a form are; ``ConfigError`` where it was not judged."""
    there = sorted(path.parent.name for path in judged.glob("forms/*/verdict.json"))
    if form not in (TRAINED, *there):
        raise ConfigError([f"--form {form}: not judged here. Judged are {', '.join((TRAINED, *there))}."])
    return judged if form == TRAINED else judged / "forms" / form


def _kept(earlier: Previous | None, folder: Path) -> tuple[previous.Release, ...]:
    return previous.kept([one for one in earlier.releases if one.kept], folder) if earlier else ()


@contextlib.contextmanager
def reading(name: str) -> Iterator[None]:
    """A block that reads its files; ``ConfigError`` or ``VerificationError`` where one is missing or is not sound."""
    try:
        yield
    except FileNotFoundError as error:
        raise ConfigError(
            [f"{name} is neither a run that was judged nor a release: {error.filename} is missing."]
        ) from None
    except (gates.Invalid, *steps.UNREADABLE) as error:
        raise VerificationError(
            f"{name} cannot be read: {shorten(str(error), bounds.LINE)}. See `adapter-release verify`."
        ) from None


def _newest(runs: Path) -> Path:
    judged = sorted(runs.glob("*/verdict.json"), key=lambda path: path.stat().st_mtime_ns)
    if not judged:
        raise ConfigError(
            [f"No run under {runs} was judged yet. Name a run, that of a try too, a release as REPO@TAG, or a folder."]
        )
    return judged[-1].parent
