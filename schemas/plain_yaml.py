"""YAML as every reader of this project takes it: a value is written where it stands, once, and within bounds."""

from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

MAX_CHARACTERS = 300_000
"""PyYAML reads about 100,000 characters a second. The longest configurations are a tenth of this."""


class Loader(yaml.SafeLoader):
    """No aliases: a few hundred bytes of them stand for gigabytes of JSON. No long text."""

    def __init__(self, text: str) -> None:
        if len(text) > MAX_CHARACTERS:
            raise yaml.YAMLError(f"more than {MAX_CHARACTERS:,} characters of YAML, and no more are read")
        super().__init__(text)

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """The next node; an error where it is an alias."""
        if self.check_event(yaml.AliasEvent):
            alias: yaml.AliasEvent = self.get_event()  # type: ignore[no-untyped-call]
            problem = f"*{alias.anchor:.40} refers to a value elsewhere; write the value out"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=alias.start_mark)  # type: ignore[arg-type]
        return super().compose_node(parent, index)


class StrictLoader(Loader):
    """The same, and a key that stands twice is an error: readers differ in which of the two they take."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """The mapping, with each of its keys once."""
        seen: set[tuple[str, str]] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and (key.tag, key.value) in seen:
                problem = f"key {key.value[:40]!r} stands twice: keep one"
                raise yaml.MarkedYAMLError(problem=problem, problem_mark=key.start_mark)
            seen.add((key.tag, str(key.value)))
        return super().construct_mapping(node, deep)


def text_of(path: Path) -> str:
    """The text of a file, or so much of it that a reader refuses it."""
    with path.open(encoding="utf-8") as file:
        return file.read(MAX_CHARACTERS + 1)


def read(text: str) -> object:
    """The value of a text whose keys all stand once; ``yaml.YAMLError`` or ``ValueError`` where it is not one."""
    try:
        value: object = yaml.load(text, StrictLoader)  # noqa: S506  a SafeLoader
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    return value
