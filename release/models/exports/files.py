"""Which files a form loads, by the names that they have in every run and release, and the record of how they were made.

What a form's record names as ``files`` belongs to the release; the base's own GGUF, which a LoRA lies over in
llama.cpp, stands beside it in a run's ``exports/`` only to be judged with.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from release.config import forms
from release.config.settings import Adapter, Form
from release.values.artifacts import sha256_file
from release.values.layout import MERGED, MODELFILE

LORA = "adapter-F32.gguf"
"""In float32, as PEFT keeps it: 16 bits would round what was judged, to save some megabytes."""
ROUND = 256  # llama.cpp rounds the room for tokens up to a multiple of it
QUESTION = 2048  # tokens of a question, for somebody who starts from what was published


@dataclass(frozen=True, kw_only=True)
class Loads:
    """What llama.cpp loads in a form, by names in ``exports/``."""

    model: str
    lora: str | None
    """None where the adapter is merged into the model."""


def merged(form: Form, adapter: Adapter) -> str:
    """The name of the model that a merged form loads, less its kind; the folder of a form that is not llama.cpp's."""
    precision = forms.precision(form, adapter)
    return MERGED if precision == forms.precision(Form(), adapter) else f"{MERGED}-{precision}"


def loads(form: Form, adapter: Adapter) -> Loads:
    """What a form of engine llama.cpp loads."""
    if form.merged:
        return Loads(model=f"{merged(form, adapter)}-{form.file_type}.gguf", lora=None)
    return Loads(model=f"base-{forms.precision(form, adapter)}-{form.file_type}.gguf", lora=LORA)


def modelfile(loads: Loads) -> str:
    """The name of Ollama's Modelfile for what is loaded: the same in each form that loads it."""
    name = loads.model.removesuffix(".gguf")
    return f"{MODELFILE}-{'adapter-' if loads.lora else ''}{name}"


def room(question: int, max_new_tokens: int) -> int:
    """Tokens that llama.cpp is to make room for, for questions of at least so many and an answer."""
    return ROUND * -(-(max(question, QUESTION) + max_new_tokens) // ROUND)


def said(exports: Path, name: str) -> Mapping[str, Mapping[str, object]]:
    """Sha256 and size of a file, or of every file of a folder, by names below ``exports``."""
    path = exports / name
    each = [path] if path.is_file() else sorted(one for one in path.rglob("*") if one.is_file())
    return {
        one.relative_to(exports).as_posix(): {"sha256": sha256_file(one), "size": one.stat().st_size} for one in each
    }


def intact(exports: Path, form: str) -> bool:
    """Whether what was made for a form is there as its record says."""
    try:
        told = json.loads((exports / f"{form}.json").read_bytes())
        each = {**told["files"], **told["base"]}
        if told["ollama"] and (name := told["ollama"]["file"]):
            each[name] = told["ollama"]
        return all(sha256_file(exports / name) == one["sha256"] for name, one in each.items())
    except (OSError, ValueError, KeyError, TypeError):
        return False


def of_another_form(exports: Path, made_of: Mapping[str, object]) -> Mapping[str, object]:
    """What is recorded of another form that loads the same files, if they are there as it says; else nothing."""
    names = sorted(path.stem for path in exports.glob("*.json"))
    found = next((name for name in names if whole(exports, name, made_of)), None)
    said: Mapping[str, object] = json.loads((exports / f"{found}.json").read_bytes()) if found else {}
    return said


def whole(exports: Path, form: str, made_of: Mapping[str, object]) -> bool:
    """Whether the record of this form is of the same origin, and each file as it says."""
    try:
        told = json.loads((exports / f"{form}.json").read_bytes())
        return bool(told["made_of"] == made_of) and intact(exports, form)
    except (OSError, ValueError, KeyError, TypeError):
        return False
