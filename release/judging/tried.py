"""What was tried, in words: a table for a terminal, and the same for a card."""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import gates
from gates.report import cell
from gates.shown import plain, shorten
from release.config import space as spaces
from release.config.space import Choices, Range
from release.judging import tuning
from release.values import training_metrics
from release.values.record import Training, Tries, Try

LONGEST = 200
"""Characters of a reason in a table."""
AS_WRITTEN = "as written"
ALL = "Each of these trainings was judged on the tuning rows, which are neither trained on nor golden."
HEAD = (
    f"{ALL} The first that passed there is this adapter, and it alone answered the golden set. On tuning rows a gate "
    "passes where its threshold's share was right; how sure that is, only the golden set was asked."
)


def said(changes: Mapping[str, object]) -> str:
    """What a try changes, in a line."""
    return shorten(plain(", ".join(f"{key} {value}" for key, value in sorted(changes.items()))), LONGEST) or AS_WRITTEN


def lines(found: Tries) -> list[str]:
    """A line for each try, then what several seeds came to."""
    told = [f"{len(found.tries)} of at most {found.planned} made; judged on the tuning rows, not on the golden set"]
    told += [f"  {one}" for one in _searched(found)]
    told += [line for one in (*found.tries, *found.seeds) for line in _lines(one)]
    told += [f"  not made: {plain(one)}" for one in found.left_out]
    return [*told, *(f"  {line}" for line in _seeds(found))]


def _lines(one: Try) -> Iterator[str]:
    state = "passes" if one.passed else "refused"
    rates = ", ".join(f"{plain(gate)} {k}/{n}" for gate, (k, n) in sorted(one.gates.items()))
    yield f"  {plain(one.name):>7}  {state:7}  {one.seconds:8.1f} s  {said(one.changes)}"
    loss = "" if one.loss is None else f", tuning loss {one.loss:.4g}"
    yield f"           {rates or 'no adapter'}{loss}"
    yield from (f"           {shorten(plain(why), LONGEST)}" for why in one.refused_by)


@dataclass(frozen=True, kw_only=True)
class Told:
    """What was tried as a page shows it."""

    head: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    told: tuple[str, ...]
    """What is said below the table, a sentence each."""


def told(found: Tries) -> Told:
    """The table and what follows from it."""
    return Told(
        head=HEAD,
        columns=("try", "changed", "tuning rows", "steps", "seconds"),
        rows=tuple(_row(one) for one in (*found.tries, *found.seeds)),
        told=(*_searched(found), *(f"Not made: {one}" for one in found.left_out), *_seeds(found)),
    )


def _searched(found: Tries) -> Iterator[str]:
    """What suggested them; nothing of a space that is none, as a record of somebody else's may have it."""
    one = found.search
    if one is not None and not any(spaces.problems(one.space)):
        each = (f"{key} {_of_space(values)}" for key, values in spaces.read(one.space).items())
        space = shorten(plain(", ".join(each)), 2 * LONGEST)
        how = f"optuna {plain(one.optuna)} ({plain(one.sampler)}, seed {one.seed}, pruner {plain(one.pruner)})"
        yield f"Each after the first was suggested by {how} from the tuning losses of those before, over {space}."


def _of_space(one: Range | Choices) -> str:
    if isinstance(one, Choices):
        return f"one of {', '.join(map(str, one.values))}"
    return f"{one.low:g} to {one.high:g}{' by its logarithm' if one.log else ''}"


def markdown(found: Tries) -> str:
    """The same as a section of a card."""
    page = told(found)
    return "\n".join([page.head, "", *_table(page)]).rstrip() + "\n"


def refused(why: str, found: Tries | None) -> str:
    """The report where no adapter was judged on the golden set: why, and what was tried."""
    lines = ["# Nothing was judged on the golden set", *(f"- {cell(line.strip())}" for line in why.splitlines())]
    lines.insert(1, "")
    if found is not None:
        lines += ["", ALL, "", *_table(told(found))]
    return "\n".join(lines).rstrip() + "\n"


def _table(page: Told) -> list[str]:
    table = [f"| {' | '.join(map(cell, one))} |" for one in (page.columns, *page.rows)]
    table.insert(1, "|---|---|---|--:|--:|")
    return [*table, "", *(f"- {cell(one)}" for one in page.told)]


def _row(one: Try) -> tuple[str, ...]:
    rates = ", ".join(f"{gate} {k}/{n}" for gate, (k, n) in sorted(one.gates.items())) or "no adapter"
    rates += "" if one.loss is None else f", loss {one.loss:.4g}"
    why = "passes" if one.passed else f"refused: {'; '.join(shorten(plain(why), LONGEST) for why in one.refused_by)}"
    return one.name, said(one.changes), f"{why} ({rates})", str(one.steps), f"{one.seconds:.1f}"


def _seeds(found: Tries) -> list[str]:
    """The spread over seeds, and what it means for who makes the next release."""
    if not found.seeds:
        return []
    several = [found.tries[-1], *found.seeds]
    passed = sum(one.passed for one in several)
    which = "run.seed, which was chosen before, is the one to publish"
    told = [f"{passed} of {len(several)} seeds pass on the tuning rows; {which}."]
    ended = [one.name for one in several if not one.gates]
    without = [f"Without an adapter, and so in none of these: {', '.join(map(plain, ended))}."] if ended else []
    told += [
        f"{plain(one.gate)}: {_of(one.least)} to {_of(one.most)}, in the middle {_of(one.median)}"
        for one in tuning.spread([one.gates for one in several])
        if one.least != one.most
    ]
    alike = len(told) == 1
    told += without
    if passed < len(several):
        told.append("The next release with this configuration may be refused by its seed alone.")
    elif alike:
        told.append("No gate differs: on these rows the seed decides nothing.")
    else:
        told.append("A next release may move within these without any other cause.")
    return told


def _of(counts: tuple[int, int]) -> str:
    return f"{counts[0]}/{counts[1]}"


def refusal(found: Tries, policy: gates.Policy, rows: int, runs: Mapping[str, Path], ended: Sequence[str] = ()) -> str:
    """Why none of them is judged on the golden set, which was the nearest, and what to do.

    ``runs`` are their folders by their names; ``ended`` are the files by which tries without an adapter are known
    to have ended so.
    """
    each = [f"  {one.name} ({said(one.changes)}): {shorten('; '.join(map(plain, one.refused_by)), 2 * LONGEST)}"
            for one in found.tries]  # fmt: skip
    what = f"None of {len(found.tries)} tries passes on the {rows} tuning rows"
    told = [f"{what}, so the golden set was not asked, and nothing was published:", *each]
    told += [f"  not made: {plain(one)}" for one in found.left_out]
    short = {one.name: tuning.shortfall(one.gates, policy) for one in found.tries if one.gates}
    if short:
        nearest = min(short, key=lambda name: short[name])
        gate = tuning.worst(next(one.gates for one in found.tries if one.name == nearest), policy)
        told.append(f"The nearest is try {nearest}: its worst gate, {gate}, lacks {short[nearest]:.0%} of its rows.")
        asks = f"adapter-release explain {gate} {shlex.quote(str(runs[nearest]))} --rows-to-add"
        told.append(f"Of which kinds those are: `{asks}`")
    others = "tries.changes" if found.search is None else "values of tries.search.space"
    if ended:
        told.append(f"Where a machine was at fault, take away {', '.join(map(plain, ended))}: it is trained again.")
    return "\n".join([*told, f"Add rows of the kind that its gates miss, or other {others}, and run again: {_KEPT}"])


_KEPT = "what was tried is kept, and `adapter-release tries` shows it."


def unsteady(found: Tries, wrong: Sequence[Try]) -> str:
    """Why nothing is judged on the golden set where every seed was to pass."""
    each = [f"  {one.name}: {shorten('; '.join(map(plain, one.refused_by)), 2 * LONGEST)}" for one in wrong]
    says = f"{len(wrong)} of {len(found.seeds) + 1} seeds do not pass on the tuning rows, and tries.every_seed_passes"
    do = f"Add rows, or train so that the seed decides less: a lower learning rate, more epochs: {_KEPT}"
    return "\n".join([f"{says} is set: the golden set was not asked, and nothing was published:", *each, do])


def logged(training: Training) -> bytes:
    """What was logged while a try trained of which nothing was evaluated."""
    curves, turned = training.curves or {}, training.interventions or ()
    return training_metrics.written(training.losses, curves, (), training_metrics.Kept(), turned)
