"""Which trainer left a folder, by the files it leaves: what they say is written down as found, and not believed."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import yaml

from gates.shown import plain, shorten
from release.importing.sources import ORIGIN, Source
from release.values import layout
from release.values.artifacts import sha256_file
from schemas import plain_yaml

LONGEST = 200
"""Characters of a value of theirs that is written down."""
NOT_TOLD = ("README.md", layout.SETTINGS, layout.WEIGHTS)
TAGS = {"unsloth": "Unsloth", "llama-factory": "LLaMA-Factory", "axolotl": "Axolotl", "swift": "ms-swift", "trl": "TRL"}
"""A tag of a card, and whose it is; the first that is there counts, for the later ones are used by the earlier."""
FACTS = {
    "learning_rate": "learning_rate",
    "num_train_epochs": "epochs",
    "num_epochs": "epochs",
    "seed": "seed",
    "load_in_4bit": "load_in_4bit",
    "quant_bits": "quant_bits",
    "quantization_bit": "quant_bits",
    "adapter": "adapter",
    "dataset": "dataset",
    "template": "template",
    "chat_template": "chat_template",
    "iters": "iters",
    "max_steps": "max_steps",
    "data": "dataset",
}
"""Settings that say how it was trained, by the name under which they are written down."""
_VERSIONS = re.compile(r"^- (PEFT|TRL|Transformers|Pytorch|Datasets|Tokenizers):? (?:\*\*)?([0-9][A-Za-z0-9.+-]{0,40})", re.MULTILINE)  # fmt: skip  # noqa: E501
_AXOLOTL = re.compile(r"axolotl version:? `([0-9][A-Za-z0-9.+-]{0,40})`", re.IGNORECASE)


def tool(source: Source, form: str) -> tuple[str | None, str | None]:
    """The trainer and its version, each None where nothing tells it."""
    names, card = {*source.names}, _text(source, "README.md")
    tags = _tags(card)
    if form == "mlx":
        return "MLX", None
    if "args.json" in names and "swift_version" in (args := _json(source, "args.json")):
        return "ms-swift", _short(args["swift_version"])
    if (found := _AXOLOTL.search(card)) or names & {"config.yml", "axolotl_config.yml"}:
        return "Axolotl", found[1] if found else None
    if names & {"llamaboard_config.yaml", "training_args.yaml"}:
        return "LLaMA-Factory", None
    named = next((whose for tag, whose in TAGS.items() if tag in tags), None)
    if named is None and _json(source, layout.SETTINGS).get("auto_mapping"):
        mapping = _json(source, layout.SETTINGS)["auto_mapping"]
        named = "Unsloth" if isinstance(mapping, dict) and mapping.get("unsloth_fixed") else None
    versions = dict(_VERSIONS.findall(card))
    return named, versions.get("TRL") if named == "TRL" else None


def told(source: Source) -> dict[str, str]:
    """What the trainer's own files say of the training, in short texts."""
    found: dict[str, str] = {}
    for name in source.names:
        said = _settings(source, name)
        for key, under in FACTS.items():
            if key in said and said[key] is not None and under not in found:
                found[under] = _fact(said[key])
    found |= {f"{name} version": version for name, version in _VERSIONS.findall(_text(source, "README.md"))}
    state = _json(source, "trainer_state.json")
    if isinstance(state.get("global_step"), int):
        found["steps"] = str(state["global_step"])
    return dict(sorted(found.items()))


def files(source: Source) -> dict[str, str]:
    """sha256 of everything that was looked at, as it was brought."""
    return {name: sha256_file(source.folder / name) for name in source.names if name != ORIGIN}


def unknown(tool_: str | None, version: str | None, base: str | None, revision: str | None, *, template: bool) -> tuple[str, ...]:  # fmt: skip  # noqa: E501
    """What nobody can tell from these files."""
    lines = [
        "which program trained it" if tool_ is None else f"the version of {tool_}" if version is None else "",
        "which base model it was trained on" if base is None else "",
        "the commit of that base model" if revision is None else "",
        "the chat template it was trained with" if not template else "",
        "the rows that it was trained on",
        "whether these files are what that program wrote",
    ]
    return tuple(line for line in lines if line)


def four_bits(facts: Mapping[str, str], named: str | None) -> bool:
    """Whether what is known says that it was trained over four bits."""
    return (
        facts.get("load_in_4bit") == "true"
        or facts.get("quant_bits") == "4"
        or facts.get("adapter") == "qlora"
        or bool(named and named.endswith(("-bnb-4bit", "-4bit")))
    )


def _settings(source: Source, name: str) -> Mapping[str, object]:
    """A trainer's configuration; nothing where a file is none."""
    if name.endswith((".yml", ".yaml")):
        return _yaml(_text(source, name))
    if name in ("args.json", "sft_args.json", layout.SETTINGS):
        return _json(source, name)
    if name == "README.md":  # Axolotl writes its configuration into the card
        block = re.search(r"```yaml\n(.*?)\n```", _text(source, name), re.DOTALL)
        return _yaml(block[1]) if block else {}
    return {}


def _yaml(text: str) -> Mapping[str, object]:
    try:
        found = plain_yaml.read(text)
    except (yaml.YAMLError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _json(source: Source, name: str) -> Mapping[str, object]:
    path = source.path(name)
    found = json.loads(path.read_bytes()) if path else {}  # it was read strictly when it was looked at
    return found if isinstance(found, dict) else {}


def _text(source: Source, name: str) -> str:
    path = source.path(name)
    return path.read_text("utf-8") if path else ""


def _tags(card: str) -> tuple[str, ...]:
    found = re.match(r"---\n(.*?)\n---", card, re.DOTALL)
    tags = _yaml(found[1]).get("tags") if found else None
    return tuple(_each(tags))


def _each(tags: object) -> Iterator[str]:
    for one in tags if isinstance(tags, list) else [tags]:
        if isinstance(one, str):
            yield one.lower()


def _fact(value: object) -> str:
    """A setting in one short line; of paths only the last part, which names no machine."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return _short(", ".join(_fact(one) for one in value[:5]))
    if isinstance(value, dict):
        return _short(", ".join(f"{key}: {_fact(one)}" for key, one in list(value.items())[:5]))
    text = str(value)
    path = text.startswith(("/", "~", "./", "../")) or "\\" in text
    return _short(Path(text.replace("\\", "/")).name if path else text)


def _short(value: object) -> str:
    return shorten(plain(str(value)), LONGEST)
