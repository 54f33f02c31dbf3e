"""Configuration files that `python -m gates` reads: YAML in which a key that appears twice is an error."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from gates.invalid import InvalidConfig

if TYPE_CHECKING:
    import yaml


def read_yaml(path: Path) -> Mapping[str, object]:
    """The mapping in a YAML file."""
    import yaml

    from gates.yaml_numbers import Loader

    try:
        loader = Loader(path.read_text("utf-8"))
        node = loader.get_single_node()
        repeated = _repeated(node)
        value = None if node is None else loader.construct_document(node)
    except (OSError, UnicodeDecodeError, yaml.YAMLError, ValueError, RecursionError) as error:
        raise InvalidConfig([f"{path}: {error}"]) from None
    if repeated:
        raise InvalidConfig([f"{path}: key {key!r} appears twice: keep one of them" for key in repeated])
    if not isinstance(value, dict):
        raise InvalidConfig([f"{path}: not a mapping of keys and values, but {type(value).__name__}"])
    return value


def _repeated(node: "yaml.Node | None") -> list[str]:
    import yaml

    if isinstance(node, yaml.SequenceNode):
        return [key for item in node.value for key in _repeated(item)]
    if not isinstance(node, yaml.MappingNode):
        return []
    keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
    below = [key for _, member in node.value for key in _repeated(member)]
    return sorted({key for key in keys if keys.count(key) > 1}) + below
