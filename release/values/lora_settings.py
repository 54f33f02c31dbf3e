"""The ``adapter_config.json`` of a LoRA as training here writes it, and what of another PEFT would do more than load.

PEFT reads that file as an order: a method that fetches models, a start that opens a file or computes for hours, a
pattern that never ends. Training here writes none of these, so a setting that it does not write is refused by rule.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from release.values.errors import VerificationError, shown
from release.values.layout import SETTINGS

TARGETS = 20
"""As many target modules PEFT writes by fewer names that mean the same (MIN_TARGET_MODULES_FOR_OPTIMIZATION)."""
EMPTY: Final[tuple[object, ...]] = (None, False, {}, [])
"""Values that ask for nothing, also of a setting that only another version of PEFT knows."""
ORDINARY: Final[Mapping[str, object]] = {
    "init_lora_weights": True,
    "megatron_core": "megatron.core",
    "qalora_group_size": 16,
}
"""What PEFT's LoraConfig writes, by default, of settings that are not empty then."""
_NAME = re.compile(r"[A-Za-z0-9_.]{1,1000}")  # as adapter.lora.target_modules asks
_OUTSIDE = re.compile(r"\(\?!\w{1,99}(\\\.\w{1,99}){0,9}\\\.\)\.\*")
"""How training leaves out all but the text model of a base that has more (`models.built_modules`)."""


def _is_text(value: object) -> bool:
    return value is None or isinstance(value, str)


def _whole(most: int) -> Callable[[object], bool]:
    return lambda value: type(value) is int and 1 <= value <= most


def _is_share(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1  # no NaN either


def _is_name(text: str) -> bool:
    return _NAME.fullmatch(text) is not None


def _names(value: object) -> bool:
    return isinstance(value, list) and value != [] and all(isinstance(one, str) and _is_name(one) for one in value)


OWN: Final[Mapping[str, tuple[str, Callable[[object], bool]]]] = {
    "peft_type": ('"LORA"', lambda value: value == "LORA"),
    "task_type": ('"CAUSAL_LM"', lambda value: value == "CAUSAL_LM"),
    "r": ("a whole number from 1 to 1024", _whole(1024)),
    "lora_alpha": ("a whole number from 1 to 4096", _whole(4096)),
    "target_modules": ("a list of module names", _names),
    "lora_dropout": ("a number from 0 to below 1", _is_share),
    "bias": ('"none", "all" or "lora_only"', lambda value: value in ("none", "all", "lora_only")),
    "inference_mode": ("true or false", lambda value: isinstance(value, bool)),
    "fan_in_fan_out": ("true or false", lambda value: isinstance(value, bool)),  # true over GPT-2's Conv1D
    "exclude_modules": (
        "null, or all but the text model",
        lambda value: value is None or (isinstance(value, str) and _OUTSIDE.fullmatch(value) is not None),
    ),
    "base_model_name_or_path": ("a text", _is_text),
    "revision": ("a text", _is_text),
    "peft_version": ("a text", _is_text),
}
"""What training sets, and which values it may have."""


def _numbers(most: float) -> Callable[[object], bool]:
    """Modules by their whole names, each with a number: PEFT takes a name for a regular expression, and it is plain."""

    def fits(value: object) -> bool:
        if not isinstance(value, dict):
            return False
        plain = all(
            isinstance(one, int | float) and not isinstance(one, bool) and 0 < one <= most for one in value.values()
        )
        return plain and all(_is_name(name) for name in value)

    return fits


def _token_ids(value: object) -> bool:
    lists = list(value.values()) if isinstance(value, dict) and all(map(_is_name, value)) else [None]
    return all(isinstance(ids, list) and all(type(one) is int and one >= 0 for one in ids) for ids in lists)


def _is_flag(value: object) -> bool:
    return isinstance(value, bool)


TAKEN: Final[Mapping[str, tuple[str, Callable[[object], bool]]]] = {
    "use_rslora": ("true or false", _is_flag),
    "use_dora": ("true or false", _is_flag),
    "lora_bias": ("true or false", _is_flag),
    "rank_pattern": ("a rank for each of some module names", _numbers(1024)),
    "alpha_pattern": ("a number for each of some module names", _numbers(1e6)),
    "modules_to_save": ("a list of module names", _names),
    "trainable_token_indices": ("token ids for each of some module names", _token_ids),
}
"""What an imported adapter may have beside that; none of it makes PEFT fetch, run or search anything."""
NEEDED = ("peft_type", "task_type", "r", "lora_alpha", "target_modules")
CONFIGURED: Final[Mapping[str, str]] = {"r": "r", "alpha": "lora_alpha", "dropout": "lora_dropout", "bias": "bias"}
"""The settings of ``adapter.lora`` and their names in the file."""


def read(adapter: Path) -> dict[str, object]:
    """The settings in an adapter's folder; ``VerificationError`` where they ask for more than a LoRA released here."""
    settings = json.loads((adapter / SETTINGS).read_bytes())
    if wrong := list(problems(settings, imported=True)):
        raise VerificationError(
            f"{adapter / SETTINGS} is not loaded, for PEFT does what it says: {'; '.join(wrong[:5])}. Judge an adapter "
            "that this tool trained or imported, or see what its publisher wants with these settings."
        )
    return dict(settings)


def problems(settings: object, asked: object = None, *, imported: bool = False) -> Iterator[str]:
    """What of an adapter's settings training here does not write; ``asked`` is ``adapter.lora`` of a configuration.

    An ``imported`` adapter may be one that is not trained here.
    """
    if not isinstance(settings, dict):
        yield f"{SETTINGS} holds no object"
        return
    for name in NEEDED:
        if name not in settings:
            yield f"{SETTINGS} lacks {name}"
    for name, value in settings.items():
        if wrong := _unlike(name, value, imported=imported):
            yield f"{SETTINGS}: {shown(name)} is {shown(value)}, {wrong}"
    if isinstance(asked, dict):
        yield from _otherwise(settings, asked)


def configured(settings: Mapping[str, object]) -> dict[str, Any]:
    """The settings of ``adapter.lora`` as they are in the file."""
    targets = settings["target_modules"]
    assert isinstance(targets, list)
    return {key: settings[name] for key, name in CONFIGURED.items()} | {"target_modules": tuple(targets)}


def _unlike(name: str, value: object, *, imported: bool) -> str:
    """What is wrong with one setting; empty where training, or an import, may write it."""
    if name in OWN:
        rule, fits = OWN[name]
        return "" if fits(value) else f"expected {rule}"
    if _same(value, ORDINARY.get(name)) or any(_same(value, one) for one in EMPTY):
        return ""
    if imported and name in TAKEN:
        rule, fits = TAKEN[name]
        return "" if fits(value) else f"expected {rule}"
    return "which training here never writes"


def _otherwise(settings: Mapping[str, object], asked: Mapping[str, object]) -> Iterator[str]:
    """Where the adapter is not the one that its configuration asks for."""
    for key, name in CONFIGURED.items():
        if key in asked and name in settings and settings[name] != asked[key]:
            what = f"{name} is {shown(settings[name])}, its configuration says {shown(asked[key])}"
            yield f"{SETTINGS}: {what}"
    wanted, there = asked.get("target_modules"), settings.get("target_modules")
    if not isinstance(wanted, list | tuple) or not isinstance(there, list) or len(wanted) >= TARGETS:
        return
    if list(wanted) != ["all-linear"] and {*map(str, wanted)} != {*map(str, there)}:
        yield f"{SETTINGS}: target_modules are {shown(there)}, its configuration says {shown(wanted)}"


def _same(value: object, other: object) -> bool:
    """Equal, and of one type: 0 and 1 are neither false nor true here."""
    return type(value) is type(other) and value == other
