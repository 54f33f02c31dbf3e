"""Each value of a record is changed by itself: verification notices it, or a table says why nobody can.

What follows from a record (card, page, statements, digests of files) whoever lies writes anew, so those steps are left
out; what is left must notice it by the release's other files or by the record's other values.
"""

import copy
import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from release.checking import opening, steps, verify
from release.judging.released import Released
from release.values import record as records
from tests.helpers.line import ROOT
from tests.helpers.verified import AGREEMENT, opened

KEPT = ROOT / "tests" / "data" / "releases" / "v3"
ASKED = (
    AGREEMENT,
    "record, configuration, adapter and card name one base model",
    "the published adapter is the evaluated one, and it passed",
    "every form it is served in was judged, and what is offered passed",
    verify.EARLIER,
    "the rows are those of training and evaluation",
    "every tensor has the recorded digest",
)
FREE: Mapping[str, str] = {
    "program.": "who made it: with another version, card and page are compared with what that version makes",
    "source.": "what code made it: `reproduce` looks there",
    "base.origin": "words",
    "base.files.": "of the base, which is not in a release: whoever answers with it again compares them",
    "attempt": "its ledger has it, and this release was made before there was one",
    "training.lora_init_sha256": "only training anew makes it again",
    "training.losses.0.1": "measured",
    "training.losses.1.1": "measured",
    "training.resumed_from_step": "how often it was killed",
    "training.hardware.": "the machine as it found itself; threads are compared",
    "training.packages.": "what was installed; what is among the versions is compared with them",
    "training.arithmetic.": "as torch had it; what follows from the machine and was fixed is compared",
    "training.image_digest": "where it ran, if answering ran elsewhere",
    "generation.peak_memory_bytes": "measured; the larger one of both stages is compared",
    "generation.hardware.": "as in training",
    "generation.packages.": "as in training",
    "generation.arithmetic.": "as in training",
    "generation.image_digest": "as in training",
    "forms.unquantized.answering.seconds": "measured, and no part of what was spent",
    "forms.unquantized.answering.tokens": "likewise",
    "forms.unquantized.answering.versions.python": "each form has an environment of its own",
    "forms.unquantized.answering.hardware.": "as in training",
    "forms.unquantized.answering.packages.": "as in training",
    "forms.unquantized.answering.arithmetic.": "as in training",
    "spent.energy_kwh": "an estimate, by the powers of that day",
    "spent.energy_how": "words",
    "spent.cost": "an estimate, by the prices of that day",
    "spent.cost_how": "words",
    "config.budget.alerts": "what it might cost",
    "config.publishing.": "where it was to be published: a copy elsewhere is the same release",
    "config.training.adam_epsilon": "how it was trained, which only training anew shows: `reproduce`",
    "config.training.learning_rate": "likewise",
    "config.training.max_grad_norm": "likewise",
    "config.training.save_steps": "likewise",
    "config.training.warmup_steps": "likewise",
    "config.training.weight_decay": "likewise",
    "config.data.max_length": "the longest row that was allowed, in tokens, which are not counted here",
    "config.model.chat_template": "not read: the release's own file lies beside it, with the recorded digest",
    "config.model.trust_remote_code": "verification says that it asks for it, and nothing of it runs",
}
"""Values that may be otherwise without a word, each with the reason; one that ends with a dot is a section."""


def leaves(value: object, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], object]]:
    """Every value that holds no other; of long lists and tables of one kind the first two."""
    inside: list[tuple[Any, object]] = []
    if isinstance(value, dict):
        many = path[-1:] in [("packages",), ("tensors",)]
        inside = sorted(value.items())[: 2 if many else None]
    elif isinstance(value, list):
        inside = list(enumerate(value))[:2]
    if not inside:
        yield path, value
    for name, one in inside:
        yield from leaves(one, (*path, name))


def beside(value: object) -> object:
    """Another value of the same kind."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1 if isinstance(value, int) else value * 1.5 + 0.001
    if isinstance(value, str) and re.fullmatch("[0-9a-f]{40}|[0-9a-f]{64}", value):
        return ("1" if value[0] == "0" else "0") + value[1:]
    return f"{value}x" if isinstance(value, str) else {"x": "x"} if isinstance(value, dict) else ["x"]


NULLS: Mapping[str, object] = {
    "image_digest": f"sha256:{'0' * 64}",
    "training.image_digest": f"sha256:{'0' * 64}",
    "generation.image_digest": f"sha256:{'0' * 64}",
    "spent.cost": {"amount": 1.0, "currency": "EUR"},
}
"""What stands for a null; else a number."""


def put(tree: Mapping[str, Any], path: tuple[Any, ...], value: object) -> dict[str, Any]:
    """The record with this value there, and with its own digest mended."""
    changed = copy.deepcopy(dict(tree))
    at: Any = changed
    for name in path[:-1]:
        at = at[name]
    at[path[-1]] = value
    changed["record_sha256"] = records.digest(changed)
    return changed


@pytest.fixture(scope="module")
def honest() -> opening.Opened:
    """The kept release with all that is made of its other files, which no change of its record changes."""
    found = opened(KEPT)
    assert [one.problems for one in verify.check(found) if one.problems] == []
    return found


def slim(value: Mapping[str, Any]) -> dict[str, Any]:
    """The record with two of its many tensors, which all fit the schema alike: it is read sooner."""
    adapter = value["adapter"]
    few = {**adapter, "tensors": dict(sorted(adapter["tensors"].items())[:2])} if "tensors" in adapter else adapter
    return {**value, "adapter": few, "record_sha256": records.digest({**value, "adapter": few})}


def problems(honest: opening.Opened, value: Mapping[str, Any], asked: tuple[str, ...] = ASKED) -> Iterator[str]:
    """What is wrong with the release whose record is this; one by one, so that the first is had soon."""
    yield from records.problems(slim(value))
    release = Released(name="release", folder=KEPT)
    derived = ("raw", "problems", "record")
    release.__dict__.update({name: one for name, one in honest.release.__dict__.items() if name not in derived})
    release.__dict__.update(raw=value, problems=[], record=records.known(value))
    changed = opening.Opened(release=release)
    changed.__dict__.update({name: honest.__dict__[name] for name in ("alone", "beside", "forms")})
    for name in asked:
        (step,) = steps.taken(verify.CHECKS, changed, [name], release)
        yield from step.problems


def free(name: str) -> list[str]:
    return [one for one in FREE if name == one or name.startswith(one if one.endswith(".") else f"{one}.")]


def test_each_value_of_a_record_is_checked_or_there_is_a_reason(honest: opening.Opened) -> None:
    raw, used, unnoticed = honest.release.raw, set[str](), list[str]()
    for path, value in leaves(raw):
        name = ".".join(map(str, path))
        if path[0] in ("record_sha256", "files"):  # of the record itself, and of each file, by its own step
            continue
        other = NULLS.get(name, 7) if value is None else beside(value)
        if next(problems(honest, put(raw, path, other)), None) is None:
            used |= {*free(name)}
            unnoticed += [] if free(name) else [f"{name}: {other!r:.60}"]

    assert unnoticed == []
    assert sorted(FREE.keys() - used) == [], "each of these is noticed: take it out of the table"


HOSTILE: tuple[object, ...] = (None, "x", -1, 10**300, 1.5, [], {}, [[]])


def test_no_value_of_a_configuration_ends_a_check_by_itself(honest: opening.Opened) -> None:
    """A record's schema leaves its configuration open: what is none is named so, and nothing else is raised."""
    raw = honest.release.raw
    config: Any = raw["config"]
    paths = [("config", *path[:end]) for path, _ in leaves(config) for end in range(1, len(path) + 1)]
    for number, path in enumerate(dict.fromkeys(paths)):
        value = HOSTILE[number % len(HOSTILE)]
        said = "\n".join(problems(honest, put(raw, path, value), ASKED[:4]))
        raised = re.findall(r"it cannot be checked: \w+: (?!the recorded configuration is not one)", said)
        assert not raised, (path, value, said)
