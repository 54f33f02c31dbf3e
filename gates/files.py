"""Configuration files that `python -m gates` reads: YAML in which a key that appears twice is an error."""

from collections.abc import Mapping
from pathlib import Path

from gates.invalid import InvalidConfig


def read_yaml(path: Path) -> Mapping[str, object]:
    """The mapping in a YAML file."""
    import yaml

    from gates import yaml_numbers
    from schemas import plain_yaml

    try:
        loader = yaml_numbers.Loader(plain_yaml.text_of(path))
        node = loader.get_single_node()
        repeated = dict.fromkeys(key.name for key in yaml_numbers.keys(node) if key.again)
        value = None if node is None else loader.construct_document(node)
    except (OSError, UnicodeDecodeError, yaml.YAMLError, ValueError, RecursionError) as error:
        raise InvalidConfig([f"{path}: {error}"]) from None
    if repeated:
        raise InvalidConfig([f"{path}: key {name!r} appears twice: keep one of them" for name in repeated])
    if not isinstance(value, dict):
        raise InvalidConfig([f"{path}: not a mapping of keys and values, but {type(value).__name__}"])
    return value
