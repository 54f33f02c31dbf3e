"""The settings of a configuration file as a tree: read with the line of each key, and reached by dotted keys."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from gates import yaml_numbers
from release.values.errors import ConfigError
from schemas import plain_yaml

Tree = dict[str, object]
Place = Callable[[str], str]
"""From a dotted key to where the user wrote it."""
ABSENT = object()


@dataclass(frozen=True, kw_only=True)
class File:
    path: Path
    tree: object
    lines: Mapping[str, int]
    problems: tuple[str, ...]
    """What is wrong with its form."""

    def place(self, key: str) -> str:
        """Where a key is; for one that is not there, the section it belongs to."""
        known = key
        while known and known not in self.lines:
            known = known.rpartition(".")[0]
        return f"{self.path}:{self.lines.get(known, 1)}: {key}".rstrip()


def read(path: Path) -> File:
    """The file; ``ConfigError`` where it is not YAML."""
    try:
        loader = yaml_numbers.Loader(plain_yaml.text_of(path))
        node = loader.get_single_node()
        keys = list(yaml_numbers.keys(node))
        tree = loader.construct_document(node) if node else None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError([f"{path} cannot be read: {error}. Name a configuration file."]) from None
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        why = ", ".join(part for part in (error.context, error.problem) if part)
        raise ConfigError([f"{path}:{line}: this cannot be read as YAML: {why}."]) from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError([f"{path}: this cannot be read as YAML: {error}"]) from None
    problems = []
    for key in keys:
        if not key.is_text:
            problems.append(f"{path}:{key.line}: {key} is a key that YAML does not read as text. Put it in quotes.")
        elif key.again:
            problems.append(
                f"{path}:{key.line}: {key} is written twice in its section, and only one can apply. Keep one."
            )
    lines = {str(key): key.line for key in reversed(keys)}
    return File(path=path, tree=tree, lines=lines, problems=tuple(problems))


def parsed(text: str) -> object:
    """A value as YAML; the text itself where it is not YAML."""
    try:
        value: object = yaml_numbers.Loader(text).get_single_data()
    except (yaml.YAMLError, ValueError, RecursionError):
        return text
    return value


def parsed_file(path: Path) -> Tree:
    """The tree of a file that has no faults."""
    tree = read(path).tree
    assert isinstance(tree, dict)
    return tree


def get(tree: object, key: str) -> object:
    """The value at a dotted key; None where there is none."""
    for name in key.split("."):
        tree = tree.get(name) if isinstance(tree, dict) else None
    return tree


def take(tree: Tree, key: str) -> object:
    """The same, and the key is gone; ``ABSENT`` where there was none."""
    section, _, name = key.rpartition(".")
    inside = get(tree, section) if section else tree
    return inside.pop(name, ABSENT) if isinstance(inside, dict) else ABSENT


def put(tree: Tree, key: str, value: object) -> None:
    """Set a dotted key, with the sections above it; left out where something above it is not a section."""
    *sections, name = key.split(".")
    for section in sections:
        below = tree.setdefault(section, {})
        if not isinstance(below, dict):
            return
        tree = below
    tree[name] = value


def merged(tree: Tree, given: Tree) -> Tree:
    """``tree`` with what is given in its place."""
    both = dict(tree)
    for name, value in given.items():
        here = tree.get(name)
        both[name] = merged(here, value) if isinstance(value, dict) and isinstance(here, dict) else value
    return both


def leaves(tree: Mapping[str, object], above: str = "") -> Iterator[str]:
    """The dotted key of each value that is not a section."""
    for name, value in tree.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{above}{name}.")
        else:
            yield f"{above}{name}"
