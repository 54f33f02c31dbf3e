"""What is said of a wrong setting: what it is, what was expected, and what it may have meant."""

import difflib
import json
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError

import schemas
from release.config import trainers
from release.config.older import RENAMED, WITHOUT_EFFECT
from release.config.tree import Tree, get, parsed
from release.values.errors import shown


def _settings(schema: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    for name, rule in schema.get("properties", {}).items():
        yield above + name, rule
        yield from _settings(rule, f"{above}{name}.")
    if isinstance(inner := schema.get("additionalProperties"), dict) and "properties" in inner:
        yield f"{above}*", inner
        yield from _settings(inner, f"{above}*.")


SCHEMA = schemas.load("config")
SETTINGS = dict(_settings(SCHEMA))
"""Every section and setting: its dotted key, with a star for a name of the user's own, and its rule."""


def named(key: str) -> str:
    """The key as ``SETTINGS`` has it."""
    section, _, rest = key.partition(".")
    _, _, name = rest.partition(".")
    return f"{section}.*{f'.{name}' if name else ''}" if rest and f"{section}.*" in SETTINGS else key


def override(key: str, text: str) -> object:
    """The value of ``--set key=text``: text where a text is expected, else YAML."""
    return text if SETTINGS.get(RENAMED.get(key, named(key)), {}).get("type") == "string" else parsed(text)


def unfit(value: object, key: str = "") -> Iterator[tuple[str, str]]:
    """Values that no rule sees: NaN, infinity, and what JSON or UTF-8 has no form for."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from unfit(inner, f"{key}.{name}".lstrip("."))
            yield from unfit(name, key)
    elif isinstance(value, list):
        for inner in value:
            yield from unfit(inner, key)
    elif isinstance(value, float) and not math.isfinite(value):
        yield key, f"is {value}; expected {expected(key, 'a finite number')}."
    elif isinstance(value, str) and re.search("[\ud800-\udfff]", value):
        yield key, f"is or holds {value!a}, half of a character. Write the character itself."
    elif not isinstance(value, str | int | float | None):
        yield key, f"is {shown(value)}, which JSON has no form for. Write text, numbers, lists or sections."


def broken_rules(error: ValidationError, tree: Tree) -> Iterator[tuple[str, str]]:
    """Each setting that is wrong in ``tree``, and what to say of it."""
    for one in error.errors(include_url=False, include_context=False, include_input=False):
        parts = [part for part in one["loc"] if isinstance(part, str)]
        key = ".".join(parts)
        if one["type"] in {"unexpected_keyword_argument", "extra_forbidden"}:
            yield key, unknown(".".join(parts[:-1]), parts[-1])
        elif one["type"] == "missing":
            yield key, missing(key)
        elif one["type"] == "json_invalid":
            yield key, "has lists or sections that are too deep in each other. Write fewer."
        elif one["type"] != "default_factory_not_called":  # it waits for another setting, which is wrong
            while named(key) not in SETTINGS:  # inside a value
                key = key.rpartition(".")[0]
            yield key, f"is {shown(get(tree, key))}; expected {expected(key)}.{_hint(key, get(tree, key))}"


def expected(key: str, otherwise: str = "something else") -> str:
    description: str = SETTINGS.get(named(key), {}).get("description", otherwise)
    return description


def missing(key: str) -> str:
    section, _, name = key.rpartition(".")
    example = json.dumps(SETTINGS[named(key)]["examples"][0])
    return f"is missing. Add it{f' under {section}' if section else ''} as in `{name}: {example}`: {expected(key)}."


def unknown(section: str, name: str) -> str:
    """With the setting that it may have meant: by what other trainers mean by it, else by its spelling.

    By spelling one of its section, else one of that name elsewhere.
    """
    if (meant := trainers.meaning(name)) and meant != f"{section}.{name}":
        return f"is not a setting. Did you mean {meant}?"
    if why := trainers.reason(name):
        return f"is not a setting: {why}. Take it out."
    known = [*SETTINGS, *RENAMED, *WITHOUT_EFFECT]
    here = {other.rpartition(".")[2]: other for other in known if other.rpartition(".")[0] == named(section)}
    elsewhere = {other.rpartition(".")[2]: other for other in reversed(known)}
    close = difflib.get_close_matches(name, here, n=1) or difflib.get_close_matches(name, elsewhere, n=1, cutoff=0.8)
    if not close:
        names = ", ".join(name for name, other in here.items() if other in SETTINGS)
        return f"is not a setting. Settings here: {names}."
    meant = f"{section}.{close[0]}".lstrip(".") if close[0] in here else elsewhere[close[0]]
    return f"is not a setting. Did you mean {RENAMED.get(meant, meant)}?"


def _hint(key: str, value: object) -> str:
    """What a wrong value may have meant."""
    if not isinstance(value, str):
        return ""
    if value.startswith("hf:"):
        kind = "" if key.startswith("adapter.") else "datasets/"
        return (
            " COMMIT is 40 lower-case hex digits, for a branch or tag can move: write the first word that"
            f" `git ls-remote https://huggingface.co/{kind}NAMESPACE/NAME` prints for it."
        )
    if close := difflib.get_close_matches(value.lower(), _choices(SETTINGS[named(key)]), n=1):
        return f" Did you mean '{close[0]}'?"
    if percent := re.fullmatch(r"([0-9]+(?:\.[0-9]+)?) ?%", value):
        return f" Did you mean {float(percent[1]) / 100:g}?"
    if SETTINGS[named(key)].get("type") != "string" and not isinstance(parsed(value), str):
        return " Take the quotes away."
    return ""


def _choices(rule: Mapping[str, Any]) -> list[str]:
    """The words that a setting can be."""
    either = [rule, *rule.get("anyOf", ())]
    return [word for one in either for word in (*one.get("enum", ()), one.get("const")) if isinstance(word, str)]
