"""The settings of a configuration file as a tree: read with line numbers, checked by rules, explained in messages.

schemas/config.schema.json holds the rules, the names that older files use, and the old settings that change nothing.
"""

import difflib
import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

import schemas
from gates.yaml_numbers import Loader
from release.values.errors import ConfigError

Tree = dict[str, Any]
Place = Callable[[str], str]
"""From a dotted key to where the user wrote it."""


def _settings(schema: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Tree]]:
    """Every section and setting of the schema: its dotted key and its rule."""
    for name, rule in schema.get("properties", {}).items():
        yield above + name, rule
        yield from _settings(rule, f"{above}{name}.")


SCHEMA = schemas.load("config")
SETTINGS = dict(_settings(SCHEMA))
RENAMED: dict[str, str] = SCHEMA["x-renamed"]
WITHOUT_EFFECT: dict[str, str] = SCHEMA["x-without-effect"]
_ABSENT = object()


class _Loader(Loader):
    """No aliases: a value stands in one place."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            alias: yaml.AliasEvent = self.get_event()  # type: ignore[no-untyped-call]
            problem = f"*{alias.anchor} stands for a value elsewhere; write the value out"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=alias.start_mark)  # type: ignore[arg-type]
        return super().compose_node(parent, index)


def read(path: Path) -> tuple[Any, dict[str, int], list[str]]:
    """The file's tree, the line of each key, and what is wrong with its form."""
    try:
        loader = _Loader(path.read_text("utf-8"))
        node = loader.get_single_node()
        keys = list(_keys(node)) if node else []
        tree = loader.construct_document(node) if node else None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError([f"{path} cannot be read: {error}. Name a configuration file."]) from None
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        why = ", ".join(part for part in (error.context, error.problem) if part)
        raise ConfigError([f"{path}:{line}: this cannot be read as YAML: {why}."]) from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError([f"{path}: this cannot be read as YAML: {error}"]) from None
    lines: dict[str, int] = {}
    for key, line, _ in keys:
        lines.setdefault(key, line)
    return tree, lines, [f"{path}:{line}: {key} {problem}" for key, line, problem in keys if problem]


def _keys(node: yaml.Node, above: str = "") -> Iterator[tuple[str, int, str]]:
    """Every key of the file with its line, and what is wrong with it as a key."""
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from _keys(item, above)
    if not isinstance(node, yaml.MappingNode):
        return
    seen: set[str] = set()
    for name, value in node.value:
        key, problem = f"{above}{name.value}", ""
        if name.tag != "tag:yaml.org,2002:str":
            problem = "is a key that YAML does not read as text. Put it in quotes."
        elif name.value in seen:
            problem = "stands twice in its section, and only one can count. Keep one."
        seen.add(str(name.value))
        yield key, name.start_mark.line + 1, problem
        yield from _keys(value, f"{key}.")


@dataclass(frozen=True, kw_only=True)
class Names:
    places: dict[str, str]
    """Today's key → where its old name stands."""
    idle: Tree
    """The settings without effect, and their values."""
    notices: tuple[str, ...]
    problems: tuple[str, ...]


def todays_names(tree: Tree, place: Place) -> Names:
    """Give old settings today's names, in ``tree`` itself, and take out those that change nothing."""
    places: dict[str, str] = {}
    idle: Tree = {}
    notices, problems = [], []
    for old, new in RENAMED.items():
        value, present = take(tree, old), get(tree, new)
        if value is _ABSENT:
            continue
        if present is None:
            put(tree, new, value)
            places[new] = place(old)
        elif (value, type(value)) != (present, type(present)):
            problems.append(
                f"{place(old)} is {shown(value)}, but {places.get(new) or place(new)} is {shown(present)}. "
                f"Both set {new}. Keep one of them."
            )
    for key, why in sorted(WITHOUT_EFFECT.items(), key=lambda item: -item[0].count(".")):
        value = take(tree, key)
        if value is not _ABSENT and value != {}:
            idle[key] = value
            inside = ", ".join(leaves(value)) if isinstance(value, dict) else ""
            notices.append(f"{place(key)}{f' ({inside})' if inside else ''} has no effect: {why}.")
    return Names(places=places, idle=idle, notices=tuple(notices), problems=tuple(problems))


def override(key: str, text: str) -> Any:
    """The value of ``--set key=text``: text where a text is expected, else YAML."""
    if SETTINGS.get(RENAMED.get(key, key), {}).get("type") == "string":
        return text
    try:
        return _Loader(text).get_single_data()
    except (yaml.YAMLError, ValueError, RecursionError):
        return text


def unfit(value: object, key: str = "") -> Iterator[tuple[str, str]]:
    """Values that no rule of the schema sees: NaN, infinity, and what JSON has no form for."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from unfit(inner, f"{key}.{name}".lstrip("."))
    elif isinstance(value, list):
        for inner in value:
            yield from unfit(inner, key)
    elif isinstance(value, float) and not math.isfinite(value):
        yield key, f"is {value}; expected {expected(key, 'a finite number')}."
    elif not isinstance(value, str | int | float | None):
        yield key, f"is {shown(value)}, which JSON has no form for. Write text, numbers, lists or sections."


def broken_rules(tree: Tree) -> Iterator[tuple[str, str]]:
    """What the schema says about the tree. A missing section counts as an empty one, so that its keys are named."""
    from jsonschema import Draft202012Validator, validators

    # JSON Schema counts 16.0 as an integer; range() and torch do not
    whole = Draft202012Validator.TYPE_CHECKER.redefine("integer", lambda _, value: type(value) is int)
    validator = validators.extend(Draft202012Validator, type_checker=whole)(SCHEMA)  # type: ignore[no-untyped-call]
    sections: Tree = {name: {} for name in SCHEMA["required"] if "required" in SETTINGS[name]}
    for error in validator.iter_errors(sections | tree):
        key = ".".join(part for part in error.absolute_path if isinstance(part, str))
        above = f"{key}." if key else ""
        if error.validator == "additionalProperties":
            unknown = [name for name in error.instance if name not in error.schema["properties"]]
            yield from ((f"{above}{name}", f"is not a setting.{_nearest(above, str(name))}") for name in unknown)
        elif error.validator == "required":
            missing = [name for name in error.validator_value if name not in error.instance]
            yield from ((f"{above}{name}", _how_to_write(f"{above}{name}")) for name in missing)
        else:
            yield key, f"is {shown(get(tree, key))}; expected {expected(key)}.{_hint(key, get(tree, key))}"


def expected(key: str, otherwise: str = "something else") -> str:
    description: str = SETTINGS.get(key, {}).get("description", otherwise)
    return description


def _how_to_write(key: str) -> str:
    section, _, name = key.rpartition(".")
    example = json.dumps(SETTINGS[key]["examples"][0])
    return f"is missing. Add it{f' under {section}' if section else ''} as in `{name}: {example}`: {expected(key)}."


def _nearest(above: str, name: str) -> str:
    """The setting that an unknown key may have meant: one of its section, else one of that name elsewhere."""
    known = [*SETTINGS, *RENAMED, *WITHOUT_EFFECT]
    here = {key.removeprefix(above): key for key in known if key.rpartition(".")[0] == above.rstrip(".")}
    elsewhere = {key.rpartition(".")[2]: key for key in reversed(known)}
    close = difflib.get_close_matches(name, here, n=1) or difflib.get_close_matches(name, elsewhere, n=1, cutoff=0.8)
    if not close:
        return f" Settings here: {', '.join(key.removeprefix(above) for key in SETTINGS if key in here.values())}."
    meant = (here | {n: k for n, k in elsewhere.items() if n not in here})[close[0]]
    return f" Did you mean {RENAMED.get(meant, meant)}?"


def _hint(key: str, value: object) -> str:
    """What a wrong value may have meant."""
    choices = [choice for choice in SETTINGS.get(key, {}).get("enum", ()) if isinstance(choice, str)]
    if isinstance(value, str):
        if value.startswith("hf:"):
            return (
                " COMMIT is 40 lower-case hex digits, for a branch or tag can move: write the first word that"
                " `git ls-remote https://huggingface.co/datasets/NAMESPACE/NAME` prints for it."
            )
        if close := difflib.get_close_matches(value.lower(), choices, n=1):
            return f" Did you mean '{close[0]}'?"
        if percent := re.fullmatch(r"([0-9]+(?:\.[0-9]+)?) ?%", value):
            return f" Did you mean {float(percent[1]) / 100:g}?"
        if SETTINGS[key].get("type") != "string" and not isinstance(override("", value), str):
            return " Take the quotes away."
    return ""


def shown(value: object) -> str:
    """A value in a message, as JSON: not too long, and nothing secret in it."""
    text = json.dumps(value, ensure_ascii=False, default=repr, skipkeys=True)
    text = re.sub(r"//[^/@\s]+@", "//***@", re.sub(r"hf_\w{4,}", "hf_***", text))
    return text if len(text) <= 80 else f"{text[:77]}..."


def get(tree: object, key: str) -> Any:
    """The value at a dotted key; None where there is none."""
    for name in key.split("."):
        tree = tree.get(name) if isinstance(tree, dict) else None
    return tree


def take(tree: Tree, key: str) -> Any:
    """The same, and the key is gone; ``_ABSENT`` where there was none."""
    section, _, name = key.rpartition(".")
    inside = get(tree, section) if section else tree
    return inside.pop(name, _ABSENT) if isinstance(inside, dict) else _ABSENT


def put(tree: Tree, key: str, value: object) -> None:
    """Set a dotted key, with the sections above it; left out where something above it is no section."""
    *sections, name = key.split(".")
    for section in sections:
        tree = tree.setdefault(section, {})
        if not isinstance(tree, dict):
            return
    tree[name] = value


def merged(tree: Tree, given: Tree) -> Tree:
    inner = {
        name: merged(tree[name], value) if isinstance(value, dict) and isinstance(tree.get(name), dict) else value
        for name, value in given.items()
    }
    return tree | inner


def leaves(tree: Mapping[str, Any], above: str = "") -> Iterator[str]:
    for name, value in tree.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{above}{name}.")
        else:
            yield f"{above}{name}"
