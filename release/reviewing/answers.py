"""The file of what people say: read, changed by one word at a time, and written whole or not at all."""

import contextlib
import fcntl
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import gates
from gates import human_review
from gates.canonical import Json
from gates.human_review import REASONS, SAYS, Opinion, Review, Reviewer, Row, Settled
from gates.shown import plain
from release.judging import reviewed
from release.judging.reviewed import Asked
from release.reviewing.opened import ToRead
from release.values.artifacts import write_atomically
from release.values.errors import ConfigError

NAME, REASON, NOTES = 100, 200, 4000
"""Characters that are kept of what is typed."""


class Refused(ValueError):
    """What a browser sent is not what the page sends."""


def read(to_read: ToRead) -> Review:
    """What was said so far; ``ConfigError`` where the file is of something else, which is then left as it is."""
    file, asked = to_read.file, to_read.asked
    content = reviewed.content(file)
    if content is None:
        if file.exists() or file.is_symlink():
            raise ConfigError([f"{file} is not a plain file that a review could be. Name another with --to."])
        if not os.access(file.parent, os.W_OK) or not file.parent.is_dir():
            raise ConfigError(
                [f"{file} cannot be written: {file.parent} is no folder of yours. Name another with --to."]
            )
        return Review(bound=asked.bound, rows=asked.rows)
    try:
        found = reviewed.read(content, str(file))
    except (gates.Invalid, ValueError) as error:
        raise ConfigError([f"{file} is not a review: {error}. Move it away, or name another with --to."]) from None
    if (found.bound, found.rows) != (asked.bound, asked.rows):
        other = (
            f"{file} is a review of other answers or rows than those in {to_read.name}, and does not count for them."
        )
        raise ConfigError([f"{other} It stays as it is: move it away, or name another with --to."])
    return found


def changed(to_read: ToRead, change: Callable[[Review], Review]) -> Review:
    """The review after ``change``, written; other processes that write the same file wait."""
    with _alone(to_read.file):
        now = change(read(to_read))
        write_atomically(to_read.file, now.to_json())
    return now


def take(to_read: ToRead, others: Sequence[Review]) -> Review:
    """The review with what other people said in files of their own, written; ``ConfigError`` where they do not fit."""
    try:
        return changed(to_read, lambda one: human_review.joined([*([one] if one.reviewers else []), *others]))
    except gates.InvalidData as error:
        raise ConfigError([f"The reviews do not go together: {error}. {to_read.file} stays as it is."]) from None


@contextlib.contextmanager
def _alone(file: Path) -> Iterator[None]:
    folder = os.open(file.parent, os.O_RDONLY)  # a file for it beside a candidate's would be one too many
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def of(review: Review, name: str) -> Reviewer:
    """What a person said; who said nothing yet is in no file."""
    return next((one for one in review.reviewers if one.name == name), Reviewer(name=name, rows=()))


def _with(review: Review, now: Reviewer) -> Review:
    if now.name not in {one.name for one in review.reviewers}:
        if len(review.reviewers) >= human_review.MOST_REVIEWERS:
            raise Refused(f"{human_review.MOST_REVIEWERS} people have begun, and a review holds no more")
        return replace(review, reviewers=(*review.reviewers, now))
    return replace(review, reviewers=tuple(now if one.name == now.name else one for one in review.reviewers))


def said(review: Review, name: str, row: Row) -> Review:
    """With what a person says of a row now, in place of what they said before."""
    who = of(review, name)
    if who.through:
        raise Refused("this review is finished: whose answers were which is known")
    if row.id not in review.rows:
        raise Refused("this row was not drawn")
    rows = {one.id: one for one in who.rows} | {row.id: row}
    return _with(review, replace(who, rows=tuple(rows[one] for one in review.rows if one in rows)))


def finished(review: Review, name: str) -> Review:
    """With a person's last word given."""
    who = of(review, name)
    if human_review.answered(who, review.rows) < len(review.rows):
        raise Refused("not every row has an answer")
    return _with(review, replace(who, through=True))


def settled(review: Review, one: Settled) -> Review:
    """With a word on a row on which people disagree."""
    if not all(who.through for who in review.reviewers) or one.id not in human_review.disagreed(review):
        raise Refused("nobody disagrees on this row, or somebody is not through")
    rest = tuple(other for other in review.settled if other.id != one.id)
    return replace(review, settled=(*rest, one))


def shown(review: Review, asked: Asked, name: str) -> list[Json]:
    """The rows as one person sees them: nothing tells whose answer is whose."""
    rows = {row.id: row for row in asked.terms.golden.rows}
    mine = {row.id: row for row in of(review, name).rows}
    return [_row(rows[row], asked, mine.get(row)) for row in review.rows]


def _row(row: gates.Golden, asked: Asked, said: Row | None) -> Json:
    texts, opinions = _in_order(asked, row.id), ordered(asked, row.id, said)
    before: list[Json] = [[one["role"], one["content"]] for one in row.prompt[:-1]]
    documents: list[Json] = [_document(one) for one in row.documents]
    answers: list[Json] = [
        {"text": text, "says": one.says if one else None, "reason": one.reason if one else ""}
        for text, one in zip(texts, opinions, strict=True)
    ]
    return {
        "id": row.id,
        "before": before,
        "question": row.prompt[-1]["content"],
        "documents": documents,
        "reference": row.gold,
        "answers": answers,
        "notes": said.notes if said else "",
    }


def _document(one: Mapping[str, Json]) -> str:
    """A document as people read it: its name and text, or all its fields."""
    if one.keys() == {"id", "text"} and isinstance(one["text"], str):
        return f"[{one['id']}] {one['text']}"
    return json.dumps(dict(one), ensure_ascii=False)


def _in_order(asked: Asked, row: str) -> list[str]:
    """The texts of a row as they are shown; one, where both answers are the same."""
    this, other = asked.this[row], asked.other[row]
    if this == other:
        return [this]
    return [this, other] if human_review.this_first(asked.bound.seed, row) else [other, this]


def ordered(asked: Asked, row: str, said: Row | None) -> list[Opinion | None]:
    """What was said of them."""
    this, other = (said.this, said.other) if said else (None, None)
    if asked.this[row] == asked.other[row]:
        return [this]
    return [this, other] if human_review.this_first(asked.bound.seed, row) else [other, this]


def row_of(asked: Asked, sent: Mapping[str, object]) -> Row:
    """What a page sent of a row."""
    name, notes, given = sent.get("id"), sent.get("notes"), sent.get("answers")
    if not isinstance(name, str) or name not in asked.rows or not isinstance(given, list):
        raise Refused("this is not a row")
    opinions = [_opinion(one) for one in given]
    if len(opinions) != len(_in_order(asked, name)):
        raise Refused("another number of answers was shown")
    first, last = opinions[0], opinions[-1]
    swapped = len(opinions) > 1 and not human_review.this_first(asked.bound.seed, name)
    this, other = (last, first) if swapped else (first, last)
    return Row(id=name, this=this, other=other, notes=typed(notes, NOTES))


def _opinion(sent: object) -> Opinion | None:
    says, reason = (sent.get("says"), sent.get("reason")) if isinstance(sent, Mapping) else (0, "")
    if says is None:
        return None
    if says not in SAYS or (reason and reason not in REASONS):
        raise Refused("this is not an opinion")
    return Opinion(says=str(says), reason=typed(reason, REASON))


def typed(text: object, most: int) -> str:
    """What somebody typed, cut; ``Refused`` if it is no text."""
    if not isinstance(text, str):
        raise Refused("this is not a text")
    return text.encode("utf-8", "replace").decode()[:most]


def ending(review: Review, to_read: ToRead, name: str) -> dict[str, Json]:
    """What somebody who is through is shown: whose answers were which, and what follows."""
    asked = to_read.asked
    through = all(one.through for one in review.reviewers)
    open_ = list(human_review.unfinished(review, asked.gate))
    rows = {row.id: row for row in asked.terms.golden.rows}
    disagreed: list[Json] = [
        {
            "id": row,
            "question": rows[row].prompt[-1]["content"],
            "answer": asked.this[row],
            "said": _said_of(review, row),
            "settled": next((one.says for one in review.settled if one.id == row), None),
        }
        for row in (human_review.disagreed(review) if through else ())
    ]
    found = [] if open_ else human_review.terminal(result(review, to_read))
    mine: list[Json] = [
        [row.id, row.this.says, row.other.says] for row in of(review, name).rows if row.this and row.other
    ]
    return {
        "beside": asked.bound.beside,
        "mine": mine,
        "open": [*map(plain, open_)],
        "disagreed": disagreed,
        "found": [*map(plain, found)],
    }


def _said_of(review: Review, row: str) -> list[Json]:
    each = [(who.name, one.this) for who in review.reviewers for one in who.rows if one.id == row and one.this]
    return [[name, f"{said.says}{': ' if said.reason else ''}{said.reason}"] for name, said in each]


def result(review: Review, to_read: ToRead) -> human_review.Reviewed:
    """What a whole review makes of the answers."""
    return human_review.judged(review, to_read.asked.gate, to_read.asked.terms.policy.attempt, to_read.verdict)
