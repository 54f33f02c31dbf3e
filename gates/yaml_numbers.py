"""The safe YAML loader with numbers as people write them: YAML 1.1 reads 2e-4 as text, 010 as eight, 12:30 as 750."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import yaml

from schemas import plain_yaml

_INT, _FLOAT, _DATE = (f"tag:yaml.org,2002:{kind}" for kind in ("int", "float", "timestamp"))


class Loader(plain_yaml.Loader):
    """A date stays text, too."""


Loader.yaml_implicit_resolvers = {
    first: [(tag, rule) for tag, rule in rules if tag not in {_INT, _FLOAT, _DATE}]
    for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
Loader.add_implicit_resolver(_INT, re.compile(r"[-+]?(0|[1-9][0-9_]*)$"), list("-+0123456789"))
Loader.add_implicit_resolver(
    _FLOAT,
    re.compile(
        r"[-+]?([0-9][0-9_]*\.[0-9]*([eE][-+]?[0-9]+)?|[0-9][0-9_]*[eE][-+]?[0-9]+|\.[0-9]+([eE][-+]?[0-9]+)?)$"
        r"|[-+]?\.(inf|Inf|INF)$|\.(nan|NaN|NAN)$"
    ),
    list("-+0123456789."),
)


@dataclass(frozen=True, kw_only=True)
class Key:
    above: str
    """The keys above it, each with a dot behind it."""
    name: str
    line: int
    is_text: bool
    again: bool
    """It stands in its section already, and only one can count."""

    def __str__(self) -> str:
        return f"{self.above}{self.name}"


def keys(node: yaml.Node | None, above: str = "") -> Iterator[Key]:
    """Every key below a node, as it stands in the file."""
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from keys(item, above)
    if not isinstance(node, yaml.MappingNode):
        return
    seen: set[str] = set()
    for name, value in node.value:
        text, line = str(name.value), name.start_mark.line + 1
        is_text = name.tag == "tag:yaml.org,2002:str"
        yield Key(above=above, name=text, line=line, is_text=is_text, again=text in seen)
        seen.add(text)
        yield from keys(value, f"{above}{text}.")
