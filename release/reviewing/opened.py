"""What a review is of: a run, a candidate's folder or a release, with the rows to read and the file to write."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import gates
from release.checking import explain
from release.judging.reviewed import Asked
from release.publishing.candidate_folder import PACKAGE, REVIEW, ROWS
from release.values import layout
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
            asked, verdict = explain.asked(judged)
        is_run = not explain.of_release(judged.folder)
        seed = asked.bound.seed[:12]
        own = handed / REVIEW if handed else judged.folder / REVIEW if is_run else Path(f"review-{seed}.json")
        name = str(handed) if handed else judged.name
        yield ToRead(name=name, asked=asked, verdict=verdict, file=(to or own).absolute())
