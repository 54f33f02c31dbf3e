"""Whether an adapter is one for this base: by the shapes that transformers builds, before a weight is fetched."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from release.config.settings import Form
from release.importing.weights import Module, Tensors, endings
from release.models.architecture import Architecture
from release.models.config_json import QUANTIZED_ENDINGS
from release.values import contents

LOCAL = "local-path"
"""What stands for a base that an adapter names by a path of somebody's machine, which is nobody else's business."""
REPOSITORY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}/[A-Za-z0-9][A-Za-z0-9._-]{0,95}")


def problems(found: Tensors, tied: tuple[str, ...], built: Architecture) -> Iterator[str]:
    """Why this adapter is not one for this base; ``tied``: the modules that were saved whole or adapted as a whole."""
    sizes: dict[str, tuple[int, int]] = {**built.linear}
    if built.output:
        sizes[built.output] = (built.hidden, built.vocab)
    strange = [
        name for name, one in found.modules.items() if name not in (built.embeddings if one.embedding else sizes)
    ]
    if strange:
        yield _nothing_fits(strange, found, built)
        return
    for name, one in found.modules.items():
        wanted = built.embeddings[name] if one.embedding else sizes[name]
        if (one.inputs, one.outputs) != wanted:
            yield _other_size(name, one, wanted, built)
            return
    if unfit := [name for name in found.modules if name in built.linear and built.unfit(name)]:
        yield (
            f"{unfit[0]} is a part of {built.name} that PEFT's LoRA stops at, or takes for fused experts: train "
            "without it in target_modules"
        )
    yield from _whole(found, sizes, built)
    if built.tied and (both := sorted({one for one in tied if one in built.embeddings or one == built.output})):
        yield (
            f"it adapts {', '.join(both)}, and the base {built.name} has one matrix for embeddings and output: engines "
            "and merging differ in what becomes of the other. Train without them in target_modules and modules_to_save"
        )


def _nothing_fits(strange: list[str], found: Tensors, built: Architecture) -> str:
    known = [*built.linear, *built.embeddings]
    there = next((one for one in known if one.rpartition(".")[2] == strange[0].rpartition(".")[2]), known[0])
    how_many = "none" if len(strange) == len(found.modules) else f"{len(found.modules) - len(strange)}"
    layers = {int(part) for name in found.modules for part in name.split(".") if part.isdigit()}
    deep = f" It adapts layer {max(layers)}, the base has {built.layers}." if layers and max(layers) >= built.layers else ""  # fmt: skip  # noqa: E501
    return (
        f"of its {len(found.modules)} modules {how_many} fit the base {built.name}: {contents.shown(strange[0])} is "
        f"not there; the base has, for one, {there}.{deep} It was trained on another model, or the names were changed "
        "on the way: name its own base"
    )


def _other_size(name: str, one: Module, wanted: tuple[int, int], built: Architecture) -> str:
    what = "It was trained on another model of this family: name its own base"
    if name in built.embeddings or name == built.output:
        rows, theirs = (one.inputs, wanted[0]) if one.embedding else (one.outputs, wanted[1])
        if rows != theirs:
            return _vocabulary(name, rows, theirs)
    return (
        f"{name} is {one.inputs} → {one.outputs} in the adapter and {wanted[0]} → {wanted[1]} in the base "
        f"{built.name}. {what}"
    )


def _vocabulary(name: str, rows: int, base: int) -> str:
    return (
        f"{name} has {rows:,} tokens in the adapter and {base:,} in the base: tokens were added to the vocabulary (or "
        "it is another base). A release holds the base's tokenizer, so such an adapter is not taken: train without new "
        "tokens, or publish a base with them and name that one"
    )


def _whole(found: Tensors, sizes: Mapping[str, tuple[int, int]], built: Architecture) -> Iterator[str]:
    """What was saved whole has the base's sizes."""
    for name, shape in found.whole.items():
        module, _, part = name.replace(".base_layer.", ".").rpartition(".")
        if module in built.embeddings or module in sizes:
            size = built.embeddings.get(module) or (sizes[module][1], sizes[module][0])
            wanted: tuple[int, ...] = size[:1] if part == "bias" else size
            if shape != wanted:
                rows = shape[0] if shape else 0
                vocabulary = module in built.embeddings or module == built.output
                yield (
                    _vocabulary(module, rows, wanted[0])
                    if vocabulary and rows != wanted[0]
                    else (
                        f"{name} has the shape {list(shape)} in the adapter and {list(wanted)} in the base "
                        f"{built.name}: name its own base"
                    )
                )
        elif module not in built.others:
            yield (
                f"it holds {contents.shown(name)} whole, and the base {built.name} has no such module: name its own "
                "base"
            )
        elif shape not in ((built.hidden,), (built.head_dim,)):
            yield f"it holds {name} whole, whose size in the base is not known before it is loaded: train without it"
    for name, shape in found.tokens.items():
        if name not in built.embeddings or shape[-1] != built.embeddings[name][1]:
            yield (
                f"what it learned of single tokens ({contents.shown(name)}) does not fit the embeddings of "
                f"{built.name}: name its own base"
            )


def added_tokens(folder: Path, base: Path, vocab: int) -> tuple[str, ...]:
    """Tokens that the adapter's tokenizer has and the base's has not; one to pad with alone does not count."""
    theirs, ours = (_tokens(one / "tokenizer.json") for one in (folder, base))
    if not theirs or not ours:
        return ()
    padding = _padding(folder / "tokenizer_config.json")
    new = [text for text, number in theirs.items() if ours.get(text) != number and text != padding]
    return tuple(sorted(new, key=lambda text: (theirs[text] < vocab, theirs[text])))


def _tokens(path: Path) -> dict[str, int]:
    """The tokens that were added to a vocabulary, and those of it, by their text."""
    try:
        said = json.loads(path.read_bytes())
        added = {str(one["content"]): int(one["id"]) for one in said.get("added_tokens", [])}
        words = said["model"].get("vocab", {})
    except (OSError, ValueError, TypeError, LookupError, AttributeError, RecursionError):
        return {}
    plain = {str(text): number for text, number in words.items() if isinstance(number, int)} if isinstance(words, dict) else {}  # fmt: skip  # noqa: E501
    return {**plain, **added}


def _padding(path: Path) -> str | None:
    try:
        said = json.loads(path.read_bytes()).get("pad_token")
    except (OSError, ValueError, AttributeError, RecursionError):
        return None
    return said.get("content") if isinstance(said, dict) else said if isinstance(said, str) else None


def base_named(name: str | None) -> str | None:
    """The base's name as it may be shown and published: an id on a Hub, or that it is a path."""
    if name is None:
        return None
    return name if REPOSITORY.fullmatch(name) else LOCAL


def unquantized(name: str) -> str | None:
    """The repository that a copy in four or eight bits was made of, by its name; None where that does not tell."""
    if name.startswith("mlx-community/"):  # MLX's own format, which transformers does not load
        return None
    ending = next((one for one in QUANTIZED_ENDINGS if name.endswith(one)), "")
    if ending and not name.startswith("unsloth/"):
        return None
    return name.removesuffix(ending)


def name_problem(named: str | None, base: str, confirmed: str | None) -> str:
    """Why the base that the adapter names is not simply this one; empty where it is, or where the user has said so."""
    if named is None or named in (base, confirmed):
        return ""
    key = f"`adapter: {{named_base: {named}}}`"
    if named == LOCAL:
        what = "names its base by a path of the machine that it was trained on, so nobody can tell which model it is"
    elif (whole := unquantized(named)) != named:
        made = f"; {whole} is what it was made of by its name" if whole else ""
        what = f"names {named} as its base, a copy in few bits or another format{made}"
    else:
        what = f"names {named} as its base"
    return (
        f"The adapter {what}, and model.base_model_id is {base}. If these are the same weights (but for their "
        f"precision), say so: {key}; else name its own base in model.base_model_id."
    )


def unserved(settings: Mapping[str, object], serving: Mapping[str, Form]) -> Iterator[str]:
    """Why a form cannot load this adapter as it is: llama.cpp and vLLM put plain LoRAs alone on a base."""
    had = [
        name for name in ("use_dora", "lora_bias", "modules_to_save", "trainable_token_indices") if settings.get(name)
    ]
    for name, form in serving.items() if had else ():
        if form.engine in ("llama.cpp", "vllm") and not form.merged:
            yield (
                f"serving.{name}: the imported adapter has {', '.join(had)}, which {form.engine} cannot load on a "
                f"base. Write `merged: true` for that form, or take it out."
            )


def chat_differs(adapter: str | None, base: str | None) -> bool:
    """Whether an adapter came with another chat template than its base has."""
    return adapter is not None and adapter.strip() != (base or "").strip()


def targets(found: Tensors) -> tuple[str, ...]:
    """The short names of the modules that it adapts."""
    return tuple(sorted(endings(found.modules)))
