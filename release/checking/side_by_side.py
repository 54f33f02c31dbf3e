"""Two runs, releases or files of answers beside each other: gate by gate, row by row, and what was set otherwise."""

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import gates
from gates.shown import p_value, plain, shorten, some
from release.checking import compare, explain, opening, verify, verify_card, view
from release.judging import previous
from release.judging.derive import Beside
from release.judging.released import Released
from release.judging.terms import Terms
from release.publishing import page
from release.publishing.page.shown import Before, Shown
from release.values import bounds, clock, layout
from release.values.as_json import tree
from release.values.errors import ConfigError, DataError, VerificationError
from release.values.events import Say, tell
from release.values.record import Record

NAMED = 10
"""Rows of a gate that a terminal names."""
DIFFERENCES = 200
"""Settings that are listed."""
VALUE = 100
"""Characters of a setting's value."""


@dataclass(frozen=True, kw_only=True)
class Where:
    """Where releases and their rows are, and the configuration's runs."""

    endpoint: str
    data: Path | None
    runs: Path


@dataclass(frozen=True, kw_only=True)
class Side:
    """A run, a release, or a file of answers."""

    name: str
    answers: Sequence[gates.Output]
    seconds: float
    """Of a processor, that judging it may take."""
    shown: Shown | None = None
    """None of a file of answers, and of a release without its rows."""
    released: Released | None = None

    @property
    def record(self) -> Record | None:
        """None of a file of answers."""
        return self.released.record if self.released else self.shown.record if self.shown else None


def compared(before: str, now: str, where: Where, say: Say) -> Path | None:
    """Tell both beside each other; the page of ``now`` beside ``before``, or None where ``now`` is a file of answers.

    Both are judged on the golden rows by the rules of ``now``, or of ``before`` where ``now`` is a file,
    or of the latest run where both are. ``VerificationError`` where one of them is not what it says.
    """
    with contextlib.ExitStack() as stack:
        then, here = (stack.enter_context(_side(one, where, say)) for one in (before, now))
        rules = here if here.shown else then if then.shown else stack.enter_context(_latest(where, say))
        assert rules.shown is not None
        seconds = then.seconds + here.seconds
        try:
            with clock.within(seconds), explain.reading(f"{then.name} or {here.name}"):
                return _compared(then, here, rules.shown.terms, say)
        except clock.TimeUp:
            raise VerificationError(
                f"Comparing {then.name} with {here.name} took more than the {seconds:.0f} seconds of a processor that "
                "files of their size need: an answer or a rule in them was made to be slow. Nothing was shown."
            ) from None


def _compared(then: Side, here: Side, terms: Terms, say: Say) -> Path | None:
    earlier = _earlier(then, terms)
    rows = terms.golden.rows
    found = gates.compare(rows, here.answers, [earlier], terms.contract, terms.policy, against="last")
    if found.problems:
        raise DataError("\n".join(plain(one) for one in (f"{then.name} and {here.name}:", *found.problems)))
    other = differences(then.record, here.record) if then.record and here.record else []
    tell(say, lines(then.name, here.name, found, other))
    if here.shown is None:
        return None
    same = gates.matched(rows, earlier.rows, version=terms.policy.version).same
    said = {one.id: one.output for one in then.answers}
    name = plain(then.name)
    answers = {one: said[other] for one, other in same.items() if other in said}
    training = then.record.training if then.record else None
    made = replace(
        here.shown,
        before=Before(name=name, called=name, answers=answers, training=training),
        beside=Beside(comparisons={layout.COMPARISON_LAST: found}, earlier=here.shown.beside.earlier),
        differences=other,
        with_rows=True,
    )
    return view.kept(page.page(made, verify_card.publishing(made.record)), f"{then.name}-{here.name}")


def _earlier(then: Side, now: Terms) -> gates.Earlier:
    """Its answers, each with the row that it answered; those of a file answer the rows of now."""
    if then.released is not None:
        return replace(previous.answered(then.released, now), name=then.name)
    if then.shown is None:
        return gates.Earlier(name=then.name, golden=now.golden.rows, outputs=then.answers)
    rows = then.shown.terms.golden.rows
    known = {row.id: gates.known(row, now.labels_in_meta) for row in rows}
    return gates.Earlier(name=then.name, golden=rows, outputs=then.answers, known=known)


@contextlib.contextmanager
def _side(name: str, where: Where, say: Say) -> Iterator[Side]:
    """One of the two, wherever it is, judged again and verified."""
    path = Path(name)
    if explain.is_run(path):
        with explain.found(name, where.runs, where.endpoint, say, where.data) as place:
            yield _of_run(place)
    elif path.exists() and not path.is_dir():
        yield _of_file(path)
    else:
        known = opening.Known(data=where.data)
        with opening.opened(name, where.endpoint, say, known) as found:
            opening.must_be_released(found)
            verify.report(found, say)
            release = found.release
            with explain.reading(name):
                made = None if release.golden is None else found.shown
            yield Side(name=name, answers=release.answers, shown=made, released=release, seconds=release.listed.seconds)


@contextlib.contextmanager
def _latest(where: Where, say: Say) -> Iterator[Side]:
    """The rules for two files of answers."""
    with explain.found(None, where.runs, where.endpoint, say, where.data) as place:
        yield _of_run(place)


def _of_run(place: explain.Judged) -> Side:
    with explain.in_time(place), explain.reading(place.name):
        made = view.shown_of(place)
    return Side(name=place.name, answers=made.answers[layout.TRAINED], shown=made, seconds=place.seconds)


def _of_file(path: Path) -> Side:
    if not path.is_file() or path.stat().st_size > bounds.ANSWERS.most:
        says = f"{path} is not a plain file of at most {bounds.ANSWERS.most:,} bytes: no file of answers is larger."
        raise ConfigError([f"{says} Name a run, a release, or a file with a line for each answer."])
    seconds = bounds.seconds([(bounds.ANSWERS, path.stat().st_size)])
    try:
        return Side(name=str(path), answers=gates.read_outputs(path), seconds=seconds)
    except gates.Invalid as error:
        raise DataError("\n".join(error.problems)) from None


def differences(then: Record, now: Record) -> list[tuple[str, str, str]]:
    """What was set or made otherwise, as far as both records name it: what, then, now."""
    before, after = (dict(_leaves(one.config)) for one in (then, now))
    names = sorted(before.keys() | after.keys())
    settings = [(one, before.get(one), after.get(one)) for one in names if before.get(one) != after.get(one)]
    stage = "training" if then.training and now.training else "generation"
    made = [
        (f"{one['cause']}: {one['what']}", one["then"], one["now"])
        for one in compare.differences(tree(then), tree(now), stage)
        if one["cause"] != "settings" and one["what"] != "files of the base model"
    ]
    return [(plain(what), _value(one), _value(other)) for what, one, other in islice([*settings, *made], DIFFERENCES)]


def _leaves(config: object, within: str = "") -> Iterator[tuple[str, object]]:
    """Every setting of a configuration by its dotted name."""
    if isinstance(config, Mapping) and config:
        for name, value in config.items():
            yield from _leaves(value, f"{within}.{name}" if within else str(name))
    else:
        yield within, config


def _value(value: object) -> str:
    if value is None:
        return "not set"
    return plain(shorten(value if isinstance(value, str) else json.dumps(value, sort_keys=True), VALUE))


def lines(then: str, now: str, found: gates.Comparison, other: Sequence[tuple[str, str, str]]) -> list[str]:
    """Both beside each other, as lines of plain text."""
    wide = max(len(one.gate) for one in found.pairings)
    counts = [(f"{one.right_before}/{one.n}", f"{one.right_now}/{one.n}") for one in found.pairings]
    first, second = (max(len(head), *(len(one[at]) for one in counts)) for at, head in enumerate(("before", "now")))
    said = [f"before: {plain(then)}", f"now:    {plain(now)}"]
    said.append(f"{'gate':{wide}}  {'before':>{first}}  {'now':>{second}}  lost  won        p")
    for one, (before, after) in zip(found.pairings, counts, strict=True):
        changes = f"{len(one.lost):4}  {len(one.won):3}  {p_value(one.p).removeprefix('= '):>7}"
        advisory = "" if one.required else "  (advisory)"
        said.append(f"{one.gate:{wide}}  {before:>{first}}  {after:>{second}}  {changes}{advisory}")
    every = found.pairings[0]
    changed = {"lost": every.lost, "won": every.won}
    said += [f"{what}: {some([shorten(one, 80) for one in rows], NAMED)}" for what, rows in changed.items() if rows]
    said += [f"worse: {plain(fault)}" for fault in found.faults]
    said.append(f"{found.identical} of {found.rows} answers are the same to the byte")
    return [*said, *(f"{what}: {one} before, {another} now" for what, one, another in other)]
