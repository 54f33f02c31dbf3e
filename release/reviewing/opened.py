"""What a review is of: a run, a candidate's folder or a release, with the rows to read and the file to write."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import gates
from gates.policy import usual_review
from release.checking import explain
from release.checking.explain import Judged
from release.judging import derive, reviewed, terms
from release.judging.reviewed import Asked
from release.two_jobs import PACKAGE, REVIEW, ROWS
from release.values import bounded, bounds, layout, record
from release.values.artifacts import sha256_file
from release.values.errors import VerificationError
from release.values.events import Say


@dataclass(frozen=True, kw_only=True)
class ToRead:
    """What people read, and where their words go."""

    name: str
    asked: Asked
    verdict: gates.Verdict
    file: Path


@contextlib.contextmanager
def opened(
    place: str | None, runs: Path, endpoint: str, say: Say, data: Path | None = None, to: Path | None = None
) -> Iterator[ToRead]:
    """A run, a candidate's folder, a release's folder or ``REPO@TAG``; None: the run under ``runs`` judged last.

    The answers are judged again; ``VerificationError`` if that is not the stored verdict.
    """
    handed = Path(place) if place is not None and (Path(place) / PACKAGE / layout.RECORD).is_file() else None
    if handed:
        place, data = str(handed / PACKAGE), data or handed / ROWS
    with explain.found(place, runs, endpoint, say, data) as judged:
        with explain.in_time(judged), explain.reading(judged.name):
            asked, verdict = _asked(judged)
        is_run = not _of_release(judged.folder)
        seed = asked.bound.seed[:12]
        own = handed / REVIEW if handed else judged.folder / REVIEW if is_run else Path(f"review-{seed}.json")
        name = str(handed) if handed else judged.name
        yield ToRead(name=name, asked=asked, verdict=verdict, file=(to or own).absolute())


def _of_release(folder: Path) -> bool:
    """Whether this is the folder of a release in which it holds what was judged."""
    return folder.name == "gates" and (folder.parent / layout.RECORD).is_file()


def _asked(place: Judged) -> tuple[Asked, gates.Verdict]:
    folder = place.folder
    path = folder.parent / layout.RECORD if _of_release(folder) else folder / "record.json"
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
