"""What other trainers call the settings: the table in trainers.json, read once."""

import functools
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from release.config.tree import Tree
from release.values.errors import ConfigError

TABLE = Path(__file__).with_name("trainers.json")
FEWEST = 3
"""Keys of one trainer at the top of a file from which it is taken for that trainer's."""
SIGN = 3
"""How much a key counts that one trainer alone has, against one that others have too."""


@dataclass(frozen=True, kw_only=True)
class Rule:
    """How one key of a trainer becomes a setting."""

    to: str
    values: Mapping[str, object]
    """What a value is called here; None: it says nothing."""
    reads: str
    """``list``, ``rows``, ``times_rank``, ``per_batch``, or empty: as it is."""
    inside: str
    """The file in a folder of rows."""
    unless: str
    """Values with this pattern have no counterpart."""
    because: str


@dataclass(frozen=True, kw_only=True)
class Trainer:
    """A program that trains adapters, and its names for things."""

    id: str
    name: str
    signs: frozenset[str]
    keys: Mapping[str, tuple[Rule, ...]]
    defaults: Mapping[str, object]
    """What it does where its file says nothing, by our settings."""
    none: Mapping[str, str]
    """Why a key has no counterpart."""

    def knows(self, key: str) -> bool:
        return key in self.keys or self.why_not(key) is not None

    def why_not(self, key: str) -> str | None:
        """Why a key, or a section above it, has no counterpart; None for one that is not known."""
        parts = key.split(".")
        above = (".".join(parts[:count]) for count in range(len(parts), 0, -1))
        return next((self.none[one] for one in above if one in self.none), None)


@functools.cache
def trainers() -> Mapping[str, Trainer]:
    """Every trainer of the table, by its short name."""
    table = json.loads(TABLE.read_bytes())
    found = {}
    for name, said in table["trainers"].items():
        shared = table["shared"].get(said.get("like"), {})
        keys = {**shared.get("keys", {}), **said["keys"]}
        found[name] = Trainer(
            id=name,
            name=said["name"],
            signs=frozenset(said["signs"]),
            keys={key: _rules(rule) for key, rule in keys.items()},
            defaults=said.get("defaults", {}),
            none={**shared.get("none", {}), **said["none"]},
        )
    return found


def _rules(said: Any) -> tuple[Rule, ...]:
    return tuple(map(_rule, said if isinstance(said, list) else [said]))


def _rule(said: str | Mapping[str, Any]) -> Rule:
    given: Mapping[str, Any] = {"to": said} if isinstance(said, str) else said
    words = {name: str(given.get(name, "")) for name in ("to", "inside", "unless", "because")}
    return Rule(values=given.get("values", {}), reads=str(given.get("as", "")), **words)


def leaves(tree: object, above: str = "") -> Iterator[tuple[str, object]]:
    """Each value with its dotted key; sections in a list have numbers."""
    inner: Iterable[tuple[object, object]] = ()
    if isinstance(tree, dict) and tree:
        inner = tree.items()
    elif isinstance(tree, list) and any(isinstance(one, dict) for one in tree):
        inner = enumerate(tree)
    else:
        yield above, tree
    for name, value in inner:
        yield from leaves(value, f"{above}.{name}".lstrip("."))


def whose(tree: Tree) -> Trainer | None:
    """The trainer that a file is written for; None where it has no keys of any."""
    keys = [key for key, _ in leaves(tree)]
    weights = {one.id: _weight(one, keys) for one in trainers().values()}
    best = max(weights, key=lambda name: weights[name])
    return trainers()[best] if weights[best] else None


def _weight(one: Trainer, keys: Iterable[str]) -> int:
    return sum(SIGN if key in one.signs else 1 for key in keys if one.knows(key) or key in one.signs)


def named(name: str) -> Trainer:
    """The trainer of this short name."""
    if name not in trainers():
        raise ConfigError([f"--from {name}: not a trainer that is known. Name one of {', '.join(trainers())}."])
    return trainers()[name]


def foreign(tree: Tree, ours: Iterable[str]) -> Trainer | None:
    """The trainer that a file in the place of a release.yaml is written for, by its keys at the top."""
    strange = {str(key): value for key, value in tree.items() if key not in set(ours)}
    found = whose(strange)
    return found if found and sum(found.knows(key) for key, _ in leaves(strange)) >= FEWEST else None


def rules(key: str) -> tuple[Rule, ...]:
    """How a trainer's key becomes settings, where all that know it agree on which; else none."""
    found = [one.keys[key] for one in trainers().values() if key in one.keys]
    return found[0] if len({each[0].to for each in found}) == 1 else ()


def meaning(key: str) -> str:
    """The setting that a trainer's key means, where all that know it agree; else empty."""
    return next((rule.to for rule in rules(key)), "")


def reason(key: str) -> str:
    """Why a trainer's key has no counterpart; empty where one has, or none knows it."""
    if any(key in one.keys for one in trainers().values()):
        return ""
    return next((one.none[key] for one in trainers().values() if key in one.none), "")
