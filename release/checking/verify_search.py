"""What a release says of a search among its tries: what can be said of it without asking optuna again."""

from collections.abc import Iterator, Sequence

from gates.shown import plain, shorten
from release.config import ladder
from release.config import space as spaces
from release.judging.released import Released
from release.values import bounds, layout, pruning, training_metrics
from release.values.errors import shown
from release.values.record import Searched, Tries, Try


def problems(release: Released, found: Tries) -> Iterator[str]:
    """A line for each try that no such search would have made, or ended so."""
    for one in (*found.tries, *found.seeds):
        yield from _loss(release, one)
    yield from (f"{_said(one)} is another seed, and says that it was pruned" for one in found.seeds if one.pruned)
    if found.search is None:
        yield from (f"try {_said(one)} was pruned, and nothing was searched" for one in found.tries if one.pruned)
        return
    if len(found.tries) > found.search.n_trials or found.planned > found.search.n_trials:
        yield f"more tries were made or planned than its search has: {shown(found.search.n_trials)}"
    space = found.search.space
    wrong = [f"its search has {plain(key)}, which {problem}" for key, problem in spaces.problems(space)]
    wrong += [f"its search has {plain(key)}, which no try changes" for key in spaces.keys(space) if not _may(key)]
    if wrong:
        yield from (shorten(one, bounds.SHOWN) for one in wrong)
        return
    yield from _outside(found, spaces.read(space))
    yield from _pruned(release, found, found.search)


def _may(key: str) -> bool:
    return ladder.may_change(key) and key != ladder.METHOD


def _loss(release: Released, one: Try) -> Iterator[str]:
    """Whether its loss is that of the state that its file says was kept."""
    if one.adapter_sha256 is None:
        if one.loss is not None:
            yield f"try {_said(one)} has no adapter, and a loss of one"
        return
    name = layout.of_a_try(one.name)[layout.TRAINING_METRICS]
    if one.loss is not None and one.loss != training_metrics.loss(release.read(name), name):
        yield f"try {_said(one)} has another loss than {name}"


def _outside(found: Tries, space: spaces.Space) -> Iterator[str]:
    for one in found.tries:
        for key, value in one.changes.items():
            if key not in space:
                yield f"try {_said(one)} changes {shorten(shown(key), bounds.SHOWN)}, over which nothing was searched"
            elif not space[key].holds(value):
                where = shorten(plain(key), bounds.SHOWN)
                yield f"try {_said(one)} has {where} {shorten(shown(value), bounds.SHOWN)}, outside of the space"


def _pruned(release: Released, found: Tries, search: Searched) -> Iterator[str]:
    """Whether each was pruned where the tries before it say so, and none went on past that."""
    whole = list[pruning.Losses]()
    for one in found.tries:
        limits = pruning.limits(whole, search.n_startup_trials) if search.pruner == "median" else {}
        losses, last = _losses(release, one)
        again = pruning.pruned(losses, limits, last)
        if again != one.pruned:
            said = f"it is {pruning.said(again)}" if again else "it is not pruned"
            yield f"by the tries before try {_said(one)}, {said}: the record says otherwise"
        if one.adapter_sha256 is not None:
            whole.append(losses)
            if one.loss is None:
                yield f"try {_said(one)} has no loss, by which its search went on"


def _losses(release: Released, one: Try) -> tuple[Sequence[tuple[int, float]], int]:
    """Of a try by step; and the step after which it cannot be pruned, which is its last."""
    if one.pruned is not None:
        return one.pruned.losses, training_metrics.MOST_STEPS
    if one.adapter_sha256 is None:
        return [], 0
    name = layout.of_a_try(one.name)[layout.TRAINING_METRICS]
    return [(each.step, each.loss) for each in training_metrics.read(release.read(name), name)], one.steps


def _said(one: Try) -> str:
    return shorten(one.name, bounds.SHOWN)
