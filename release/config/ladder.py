"""The trainings that a configuration tries, in their order: each as a configuration of its own."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from release.config import reading
from release.config import space as spaces
from release.config import tree as trees
from release.config.settings import Change, Config, Search
from release.config.tree import Tree
from release.values.errors import ConfigError

USUAL: tuple[Tree, ...] = (
    {"training": {"learning_rate": 1e-4}, "adapter": {"lora": {"r": 32, "alpha": 64}}},
    {"training": {"learning_rate": 3e-4}, "adapter": {"lora": {"r": 8, "alpha": 16}}},
    {"training": {"learning_rate": 1e-4, "num_train_epochs": 2}},
    {"adapter": {"method": "lora"}},
)
"""``tries.ladder: usual``, after the configuration as written; the last needs memory for the unquantized base."""
LADDERS: Mapping[str, tuple[Tree, ...]] = {
    "usual": USUAL,
    "learning_rates": tuple({"training": {"learning_rate": rate}} for rate in (1e-4, 2e-4, 3e-4)),
}
WATCHING = ("report_to", "save_minutes")
"""Settings of training that change no step of it."""
MEASURED = ("eval_steps", "eval_generate")
"""Settings of training by which all tries are measured alike."""
EPOCHS, STEPS, LOGGED = "training.num_train_epochs", "training.max_steps", "training.logging_steps"
SEED, METHOD = "run.seed", "adapter.method"


@dataclass(frozen=True, kw_only=True)
class Step:
    """One training that is tried."""

    name: str
    """Its number from 1; of another seed ``seed-N``."""
    changes: Mapping[str, object]
    """What is otherwise than written, by dotted key."""
    config: Config
    """Without tries: what it is trained by, and what a record of it holds."""


def steps(config: Config) -> tuple[Step, ...]:
    """The tries in order, the configuration as written first; ``ConfigError`` names every change that is wrong.

    A change that comes to what an earlier try is already is left out of a ladder, and wrong in a list. Of a search the
    first is known: each further one is ``suggested`` by those before.
    """
    if config.tries is None:
        return ()
    named = config.tries.ladder
    given: Sequence[Mapping[str, object]] = LADDERS[named] if named else [*map(_plain, config.tries.changes or ())]
    written = _tried(config, {})
    found, problems = [Step(name="1", changes={}, config=written)], list[str]()
    if (searched := search(config)) is not None:
        problems += _unsearchable(config, written, searched)
    for number, change in enumerate(given, 1):
        place = f"tries.{f'ladder {named}' if named else 'changes'}, entry {number}"
        try:
            tried = _of(config, written, change, place)
        except ConfigError as error:
            problems += error.problems
            continue
        changes = _changes(written, tried)
        learned = _learned(tried, changes)
        same = next((one.name for one in found if _learned(one.config, one.changes) == learned), None)
        if same is None:
            found.append(Step(name=str(len(found) + 1), changes=changes, config=tried))
        elif not named:
            why = (
                ": training.max_steps says how long it is, epochs do not" if EPOCHS in changes.keys() - learned else ""
            )
            problems.append(f"{config.path}: {place} is the same training as try {same}{why}.")
    if problems:
        raise ConfigError(problems)
    return tuple(found)


def _learned(config: Config, changes: Mapping[str, object]) -> dict[str, object]:
    """The changes that come to another adapter: neither what is logged does, nor epochs where steps are counted."""
    idle = (LOGGED, EPOCHS) if config.training.max_steps > 0 else (LOGGED,)
    return {key: value for key, value in changes.items() if key not in idle}


def _of(config: Config, written: Config, change: Mapping[str, object], place: str) -> Config:
    """The configuration with a change of what is ``written``; ``ConfigError`` where it is none of a try's."""
    spelt = _spelt(change, config)
    if unfit := list(_unfit(spelt)):
        raise ConfigError([f"{config.path}: {place}: {one}" for one in unfit])
    try:
        tried = _tried(config, spelt)
    except ConfigError as error:
        raise ConfigError([f"{place}: {one}" for one in error.problems]) from None
    if other := [key for key in _changes(written, tried) if not may_change(key)]:
        says = f"changes {', '.join(other)}, and a try changes settings of training and adapter alone."
        raise ConfigError([f"{config.path}: {place} {says}"])
    return tried


def _unsearchable(config: Config, written: Config, search: Search) -> Iterator[str]:
    """What is wrong with a space: with each setting alone, then with its values, then with the largest together."""
    given = _plain(search.space)
    wrong = dict(spaces.problems(given))
    for key in spaces.keys(given):
        if key in [f"training.{name}" for name in WATCHING]:
            wrong[key] = "changes no step of a training. Set it in training."
    if EPOCHS in spaces.keys(given) and written.training.max_steps > 0 and STEPS not in spaces.keys(given):
        wrong[EPOCHS] = "changes nothing while training.max_steps is set: take that out, or search over it instead."
    if METHOD in spaces.keys(given):
        wrong[METHOD] = "needs other memory, so nobody searches over it. Write it as an entry of tries.changes."
    yield from (f"{config.path}: tries.search.space, {key} {problem}" for key, problem in wrong.items())
    if wrong:
        return
    alone = [{key: value} for key, one in space(search).items() for value in one.some]
    found = list(dict.fromkeys(_problems(config, written, alone)))
    if found or not largest(config):
        yield from found or _problems(config, written, spaces.largest(space(search))[:1])


def _problems(config: Config, written: Config, several: Sequence[Mapping[str, object]]) -> Iterator[str]:
    for values in several:
        try:
            _of(config, written, spaces.changes(values), f"tries.search.space, {', '.join(values)}")
        except ConfigError as error:
            yield from error.problems


def search(config: Config) -> Search | None:
    """The search among a configuration's tries, if there is one."""
    return config.tries.search if config.tries else None


def fits(config: Config, values: Mapping[str, object]) -> bool:
    """Whether values of a search's space, each of which is right alone, are a configuration together."""
    try:
        suggested(config, 0, values)
    except ConfigError:
        return False
    return True


def suggested(config: Config, number: int, values: Mapping[str, object]) -> Step:
    """The try of a search with these values of its space."""
    written = _tried(config, {})
    tried = _of(config, written, spaces.changes(values), f"tries.search, try {number}")
    return Step(name=str(number), changes=_changes(written, tried), config=tried)


def space(search: Search) -> spaces.Space:
    """What is searched over."""
    return spaces.read(_plain(search.space))


def values(config: Config, search: Search, changes: Mapping[str, object]) -> dict[str, object]:
    """What the settings of a search's space are in a try."""
    written = _settings(_tried(config, {}))
    return {key: changes.get(key, trees.get(written, key)) for key in space(search)}


def largest(config: Config) -> tuple[Step, ...]:
    """Of a search the tries with the largest number of each setting, and each word, of which none says how large it is.

    No other one needs more memory.
    """
    several = spaces.largest(space(searched)) if (searched := search(config)) else []
    return tuple(suggested(config, most(config), values) for values in several if fits(config, values))


def foreseen(config: Config) -> tuple[Step, ...]:
    """The tries to count with: those that are made at most, of a search as if each had the largest numbers."""
    first = steps(config)[: most(config)]
    if search(config) is None:
        return first
    larger, *_ = largest(config)
    return (*first, *(replace(larger, name=str(number)) for number in range(2, most(config) + 1)))


def most(config: Config) -> int:
    """How many of its tries are made at most."""
    searched = search(config)
    several = searched.n_trials if searched else len(steps(config))
    return min(several, config.budget.tries or several)


def at_once(config: Config) -> int:
    """How many tries are trained at the same time."""
    return (config.tries.side_by_side if config.tries else None) or 1


def processes(config: Config) -> int:
    """How many processes a training has, that of a try too: the most of any."""
    several = [config, *(step.config for step in steps(config))]
    return max(one.training.processes or 1 for one in several)


def seeds(config: Config, won: Step) -> tuple[Step, ...]:
    """The other seeds of the try that passed: those after ``run.seed``, which is the one to publish."""
    return tuple(
        Step(
            name=of_seed(seed),
            changes={**won.changes, SEED: seed},
            config=replace(won.config, run=replace(won.config.run, seed=seed)),
        )
        for seed in after(config.run.seed, other_seeds(config))
    )


def other_seeds(config: Config) -> int:
    """How many seeds are trained beside the one to publish."""
    return (config.tries.seeds or 1) - 1 if config.tries else 0


def after(seed: int, several: int) -> list[int]:
    """So many seeds after this one."""
    return [(seed + n) % 2**32 for n in range(1, several + 1)]


def of_seed(seed: int) -> str:
    """The name of a try with another seed."""
    return f"seed-{seed}"


def may_change(key: str) -> bool:
    """Whether a try may change what has this dotted key."""
    measured = [f"training.{name}" for name in (*MEASURED, *WATCHING)]
    return key.startswith(("training.", "adapter.")) and key not in measured


def alone(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings without tries: one training; the rows that nothing else reads are not named."""
    given, data = settings.get("training"), settings.get("data")
    kept = {name: section for name, section in settings.items() if name != "tries"}
    if "tries" in settings and isinstance(data, dict) and isinstance(given, dict) and "eval_steps" not in given:
        kept["data"] = {name: one for name, one in data.items() if name not in ("tuning_file", "tuning_share")}
    if isinstance(budget := settings.get("budget"), dict):
        kept["budget"] = {name: one for name, one in budget.items() if name != "tries"}
    return kept


def _tried(config: Config, change: Tree) -> Config:
    return reading.parse(trees.merged(alone(reading.effective(config)), change), config.path)


def _changes(written: Config, tried: Config) -> dict[str, object]:
    """What is otherwise in the settings that a record of this try holds, by dotted key; None where it is left out."""
    before, after = _settings(written), _settings(tried)
    keys = dict.fromkeys([*trees.leaves(before), *trees.leaves(after)])
    return {key: trees.get(after, key) for key in keys if trees.get(after, key) != trees.get(before, key)}


def _settings(config: Config) -> Tree:
    settings = alone(reading.effective(config))
    for name in WATCHING:
        settings.get("training", {}).pop(name, None)
    return settings


def _spelt(change: Mapping[str, object], config: Config) -> Tree:
    """A change with what follows from it: LoRA is over an unquantized base, QLoRA over one in four bits."""
    spelt: Tree = {name: dict(section) for name, section in change.items() if isinstance(section, Mapping)}
    method = trees.get(spelt, "adapter.method")
    if method in ("lora", "qlora") and trees.get(spelt, "adapter.quantization.load_in_4bit") is None:
        spelt = trees.merged(spelt, {"adapter": {"quantization": {"load_in_4bit": method == "qlora"}}})
    if method == "lora" and "nf4" in config.training.over and trees.get(spelt, "training.over") is None:
        spelt = trees.merged(spelt, {"training": {"over": ["unquantized"]}})
    return spelt


def _plain(change: Change) -> Mapping[str, object]:
    return {str(name): section for name, section in change.items()}


def _unfit(change: Tree) -> Iterator[str]:
    """What no try may change."""
    for key in (f"training.{name}" for name in MEASURED):
        if trees.get(change, key) is not None:
            yield f"changes {key}, by which all tries are measured alike. Set it in training."
