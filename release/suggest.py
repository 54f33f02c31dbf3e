"""What a search tries next: optuna's answer to the tries before, which are all that it is told.

Nothing of it is kept: each time the study is made again from the tries that are recorded, so a search that was killed
goes on with the values that it would have had.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, Any

from release.config import ladder
from release.config import space as spaces
from release.config.settings import Search
from release.config.space import Choices, Range, Space, Value

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.samplers import BaseSampler
    from optuna.trial import FrozenTrial

AGAIN = 20
"""So often it is asked where what it suggests was tried, or is no configuration; then as often by chance."""
LOOKED_AT = 1000
"""So many of the other values are looked at then."""


@dataclass(frozen=True, kw_only=True)
class Seen:
    """A try that was made."""

    values: Mapping[str, object]
    """Of the settings of the space."""
    loss: float | None
    """Of the tuning rows, by the adapter; None where there is none: the worst of all."""
    losses: Sequence[tuple[int, float]] = ()
    """By step, of one that was pruned."""


def following(
    search: Search, before: Sequence[Seen], fits: Callable[[Mapping[str, object]], bool]
) -> dict[str, Value] | None:
    """The values of the next try, which is none of those before and ``fits``; None where no other is found.

    Values that do not fit are never tried. The sampler is told that they were the worst, and is asked again by another
    seed. So the next try follows from the tries before alone.
    """
    space = ladder.space(search)
    tried = [{key: one.values[key] for key in space} for one in before]
    told = list(before)
    for again in range(2 * AGAIN):
        asked = search if again < AGAIN else replace(search, sampler="random")
        values = _asked(asked, space, told, _seed(search.seed, len(before), again))
        if values in tried:
            continue
        if fits(values):
            return values
        told.append(Seen(values=values, loss=None))
    others = (one for one in spaces.all_of(space) if one not in tried)
    return next(filter(fits, islice(others, LOOKED_AT)), None)


def version() -> str:
    """Of optuna."""
    from importlib.metadata import version

    return version("optuna")


def _seed(seed: int, before: int, again: int) -> int:
    """Another one for each try: the generator of one that is made again begins anew."""
    return int.from_bytes(hashlib.sha256(f"{seed} {before} {again}".encode()).digest()[:4])


def _asked(search: Search, space: Space, before: Sequence[Seen], seed: int) -> dict[str, Value]:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    distributions = {key: _distribution(one) for key, one in space.items()}
    study = optuna.create_study(sampler=_sampler(search, seed), pruner=optuna.pruners.NopPruner())
    for one in before:
        if all(space[key].holds(one.values[key]) for key in space):
            study.add_trial(_trial(space, distributions, one))
    suggested = study.ask(dict(distributions)).params
    return {key: space[key].of(suggested[key]) for key in space}


def _sampler(search: Search, seed: int) -> "BaseSampler":
    from optuna.samplers import RandomSampler, TPESampler

    if search.sampler == "random":
        return RandomSampler(seed=seed)
    return TPESampler(seed=seed, n_startup_trials=search.n_startup_trials)


def _distribution(one: Range | Choices) -> "BaseDistribution":
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(one, Choices):
        return CategoricalDistribution(one.values)
    if one.whole:
        return IntDistribution(int(one.low), int(one.high), log=one.log)
    return FloatDistribution(one.low, one.high, log=one.log)


def _trial(space: Space, distributions: "Mapping[str, BaseDistribution]", one: Seen) -> "FrozenTrial":
    """One without a loss is the worst of all, as if pruned at once: optuna forgets those that failed."""
    from optuna.trial import TrialState, create_trial

    params: dict[str, Any] = {key: one.values[key] for key in space}
    losses = dict(one.losses)
    if one.loss is None:
        return create_trial(
            state=TrialState.PRUNED,
            params=params,
            distributions=dict(distributions),
            intermediate_values=losses,
            value=losses[max(losses)] if losses else None,
        )
    return create_trial(state=TrialState.COMPLETE, params=params, distributions=dict(distributions), value=one.loss)
