"""What a gate returns: which rows it counted, and for each that is wrong, why."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain

from gates.answer import Answer
from gates.answer_schema import Fault
from gates.shown import shorten

PLACEHOLDERS = frozenset(
    ("", "n/a", "na", "nan", "none", "null", "nil", "unknown", "not available", "not applicable", "tbd", "todo", "xxx")
)


@dataclass(frozen=True, kw_only=True)
class Miss:
    """A row that was counted and is wrong."""

    id: str
    reason: str
    path: str = ""
    """A JSON Pointer to what is wrong, the shortest there is."""
    expected: str = ""
    given: str = ""


@dataclass(frozen=True, kw_only=True)
class Score:
    """Counts, not a rate: n rows were counted and k of them are right."""

    counted: tuple[str, ...]
    misses: tuple[Miss, ...]
    empty: str
    """Why nothing was counted, in case nothing was."""

    def __post_init__(self) -> None:
        counted, wrong = set(self.counted), {miss.id for miss in self.misses}
        if len(counted) < len(self.counted) or len(wrong) < len(self.misses) or not wrong <= counted:
            raise ValueError("a score counts each row once and misses only rows that it counted")

    @property
    def n(self) -> int:
        return len(self.counted)

    @property
    def k(self) -> int:
        return self.n - len(self.misses)

    @property
    def right(self) -> frozenset[str]:
        return frozenset(self.counted) - {miss.id for miss in self.misses}


Gate = Callable[[Sequence[Answer]], Score]


def tally(counted: Iterable[Answer], miss: Callable[[Answer], Miss | None], *, empty: str) -> Score:
    """The score of these answers: wrong are those for which ``miss`` says so."""
    answers = list(counted)
    misses = [found for answer in answers if (found := miss(answer)) is not None]
    return Score(counted=tuple([answer.golden.id for answer in answers]), misses=tuple(misses), empty=empty)


def joined(parts: Sequence[Score]) -> Score:
    """The score of answers that were counted in parts, for a gate judges each answer by itself."""
    return Score(
        counted=tuple(chain.from_iterable(part.counted for part in parts)),
        misses=tuple(chain.from_iterable(part.misses for part in parts)),
        empty=parts[0].empty,
    )


def listed(ids: Iterable[str]) -> str:
    """Ids for a reader, in a stable order."""
    return ", ".join(sorted(ids, key=lambda one: (len(one), one))) or "none"


def unread(answer: Answer, expected: str) -> Miss | None:
    """The miss of an answer that was cut, crashed or does not parse; None if it can be read."""
    if answer.parsed:
        return None
    reason = f"{answer.reading.code}: {answer.reading.detail}"
    return Miss(id=answer.id, reason=reason, expected=expected, given=shorten(answer.output))


def faulty(answer: Answer, faults: Sequence[Fault], expected: str) -> Miss | None:
    """The miss of an answer that cannot be read or has one of these faults against its schema."""
    if not answer.parsed or not faults:
        return unread(answer, expected)
    first = faults[0]
    more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
    reason = f"{first.rule} at {first.path or 'the top'}: {first.message}{more}"
    return Miss(id=answer.id, reason=reason, path=first.path, expected=expected, given=shorten(answer.output))


def says_nothing(value: object) -> bool:
    """Whether a field is filled in form only: missing, blank, or a word for nothing."""
    return value is None or not str(value).strip() or str(value).strip(" .-_?!").casefold() in PLACEHOLDERS


def not_answered(answer: Answer, expected: str) -> Miss | None:
    """The miss of an answer that refuses, or does not say whether it does; None if it answers."""
    if answer.answered:
        return None
    given = "a refusal" if answer.refused else shorten(answer.output)
    reason = "refused" if answer.refused else "does not say whether it refuses"
    return Miss(id=answer.id, reason=reason, expected=expected, given=given)
