"""Small candidates that wait for people, and people who read them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gates.human_review import Opinion, Review, Reviewer, Row
from release.config.settings import Config
from release.judging import previous
from release.reviewing import answers, opened
from release.values.artifacts import Candidate
from tests.helpers.small_release import small_candidate, small_settings

ASKS: Mapping[str, Any] = {"gates": {"human_review": {"rows": 20, "target": 0.9, "floor": 0.6}}}


def quiet(_: object) -> None:
    """Say nothing."""


def waiting(folder: Path, before: tuple[previous.Release, ...] = (), **settings: Any) -> tuple[Config, Candidate, Path]:
    """A candidate that passes all but what people have to say; its configuration and run folder."""
    loaded = small_settings(folder, **{**ASKS, **settings})
    return loaded, *small_candidate(loaded, before)


def read_by_people(
    place: Path, wrong: Sequence[int] = (), name: str = "Ada", says: str = "wrong", to: Path | None = None
) -> Path:
    """The file of a person who read everything, and calls these of the drawn rows wrong."""
    with opened.opened(str(place), Path(), "file:hub", quiet, to=to) as to_read:
        rows = tuple(
            Row(id=row, this=Opinion(says=says if number in wrong else "right"), other=Opinion(says="wrong"))
            for number, row in enumerate(to_read.asked.rows)
        )
        review = Review(
            bound=to_read.asked.bound,
            rows=to_read.asked.rows,
            reviewers=(Reviewer(name=name, rows=rows, through=True),),
        )
        answers.changed(to_read, lambda _: review)
        return to_read.file
