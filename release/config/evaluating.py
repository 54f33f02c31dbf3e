"""What a configuration says of evaluation while it trains: what of it is right alone and wrong together."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol, TypeVar

from release.config.settings import MEASURES, Config
from release.values.errors import shown

T = TypeVar("T")
NEEDS = {
    "eval_generate": "eval_steps",
    "load_best_model_at_end": "eval_steps",
    "metric_for_best_model": "load_best_model_at_end",
    "early_stopping_patience": "load_best_model_at_end",
}
"""A setting of training that says something only where another one is there."""
NO_TRIES: Mapping[str, object] = {"": None}
"""What stands for a section ``tries`` that is not there."""


class Known(Protocol):
    """What a configuration says, as far as it is right alone."""

    def value(self, key: str, default: T) -> T:
        """The value at a key where it is there and right, else the default."""

    def whole(self, section: str) -> bool:
        """Whether nothing in a section, or among the sections, is wrong: what is not there was left out then."""


def contradictions(known: Known, method: str) -> Iterator[tuple[str, str]]:
    """Keys that are right by themselves and wrong beside others, each with what is wrong.

    A key is told to be missing only if it was left out: one that is written wrongly is told as that alone.
    """
    value = known.value
    data, training = value("data", dict[str, object]()), value("training", dict[str, object]())
    rows = [f"data.{name}" for name in ("tuning_file", "tuning_share") if data.get(name) is not None]
    if len(rows) > 1:
        yield "data.tuning_share", "is given, but data.tuning_file names the tuning rows. Take one of them out."
    for of, what in (("train_file", "the file to train on"), ("golden_file", "the file to judge by")):
        if "data.tuning_file" in rows and data["tuning_file"] == data.get(of):
            yield "data.tuning_file", f"is {what}, but tuning rows must be neither trained on nor judged by."
    if method == "imported":  # that there is a training section is told elsewhere
        idle = [*rows, *(["tries"] if value("tries", NO_TRIES) is not NO_TRIES else [])]
        yield from ((key, "is given, but adapter.method 'imported' trains nothing. Take it out.") for key in idle)
        return
    tries = value("tries", NO_TRIES)
    yield from _idle(known, training, rows, tries=tries is not NO_TRIES)
    yield from _of_tries(known, tries, rows)
    turned = value("training.on_divergence", dict[str, object]())
    if turned.get("learning_rate_factor") == 1 and not turned.get("warmup_steps"):
        problem = "is 1, and there are no warmup_steps: the same steps would end in the same way. Change one of them."
        yield "training.on_divergence.learning_rate_factor", problem
    metric = value("training.metric_for_best_model", MEASURES[0])
    if metric != MEASURES[0] and "eval_generate" not in training and known.whole("training"):
        yield (
            "training.metric_for_best_model",
            f"is {metric}, which is measured on generated answers. Set training.eval_generate, such as 16.",
        )


def _of_tries(known: Known, tries: Mapping[str, object], rows: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Tries are judged on tuning rows, and say which trainings they are."""
    if tries is NO_TRIES:
        if "tries" in known.value("budget", dict[str, object]()) and known.whole(""):
            yield "budget.tries", "is given, but there is no section tries. Write one, or take this out."
        return
    if not rows and known.whole("data"):
        needs = "each is judged on rows that are neither trained on nor judged by in the end, and there are none."
        yield "tries", f"is given, but {needs} Set data.tuning_share, such as 0.2, or data.tuning_file."
    lists = [name for name in ("changes", "ladder", "search") if name in tries]
    if not lists and "seeds" not in tries and known.whole("tries"):
        yield "tries", "names no tries. Write changes, ladder: usual, search, or seeds."
    for name in lists[1:]:
        yield f"tries.{name}", f"is given beside tries.{lists[0]}, and only one list is tried. Take one of them out."
    yield from _of_a_search(known, tries)
    if "every_seed_passes" in tries and "seeds" not in tries and known.whole("tries"):
        yield "tries.every_seed_passes", "is given, but there is one seed. Set tries.seeds, or take this out."


def _of_a_search(known: Known, tries: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """A search is by the losses of the tuning rows, and one after the other."""
    if "search" not in tries:
        return
    if "eval_steps" not in known.value("training", dict[str, object]()) and known.whole("training"):
        needs = (
            "is given, but without training.eval_steps no loss of the tuning rows is measured, by which it searches."
        )
        yield "tries.search", f"{needs} Set training.eval_steps, such as 20."
    if "side_by_side" in tries:
        follows = "is given beside tries.search, of which each try follows from the results of those before."
        yield "tries.side_by_side", f"{follows} Take one of them out."


def _idle(
    known: Known, training: Mapping[str, object], rows: Sequence[str], *, tries: bool
) -> Iterator[tuple[str, str]]:
    """Settings that say nothing for want of another."""
    if rows and "eval_steps" not in training and not tries and known.whole("") and known.whole("training"):
        yield rows[0], "is given, but without training.eval_steps nothing reads those rows. Set it, or take this out."
    if "eval_steps" in training and not rows and known.whole("data"):
        problem = f"is {shown(training['eval_steps'])}, but there are no tuning rows."
        yield "training.eval_steps", f"{problem} Set data.tuning_share or tuning_file."
    for name, needs in NEEDS.items() if known.whole("training") else ():
        if training.get(name) and training.get(needs) in (None, False):
            with_it = f"Set training.{needs}{': true' if needs.startswith('load') else ''}, or take this out."
            yield f"training.{name}", f"is {shown(training[name])}, but training.{needs} is not set. {with_it}"


def metric(config: Config) -> str | None:
    """What says which evaluation is the best; None where the last step's adapter is kept."""
    training = config.training
    return (training.metric_for_best_model or MEASURES[0]) if training.load_best_model_at_end else None
