"""Any trainer's ``adapter_config.json`` → the settings that this adapter needs, or what of it cannot be carried.

PEFT reads that file as an order (`release.values.lora_settings`), so it is not handed on. What chooses modules is left
out, regular expressions first: the tensors say which modules there are. What only training reads is left out too.
"""

import json
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from release.importing.weights import NAME, NOTHING, Tensors, endings
from release.values import bounded, contents, layout
from release.values.errors import PreflightError, shown
from release.values.lora_settings import EMPTY, ORDINARY

TAKEN = frozenset(
    [
        "peft_type",
        "task_type",
        "r",
        "lora_alpha",
        "lora_dropout",
        "bias",
        "fan_in_fan_out",
        "use_rslora",
        "use_dora",
        "rank_pattern",
        "alpha_pattern",
        "lora_bias",
        "modules_to_save",
        "trainable_token_indices",
        "base_model_name_or_path",
        "revision",
        "peft_version",
        "init_lora_weights",
    ]
)
CHOOSING = frozenset(("target_modules", "exclude_modules", "layers_to_transform", "layers_pattern"))
"""They choose modules, which the tensors name."""
OF_TRAINING = frozenset(
    [
        "inference_mode",
        "auto_mapping",
        "loftq_config",
        "eva_config",
        "corda_config",
        "lora_ga_config",
        "megatron_core",
        "qalora_group_size",
        "runtime_config",
    ]
)
"""They say how training began or where it ran, and nothing of how the weights are read."""
STARTS = (True, False, None, "gaussian", "eva", "orthogonal")
"""The starts of training that leave the base as it is."""
CARRIED_BY: Mapping[str, str] = {
    "target_parameters": "it adapts parameters that are no module, such as fused experts, which is not judged here",
    "layer_replication": "it repeats layers of the base",
    "alora_invocation_tokens": "it is an activated LoRA, which is on in a part of a text only",
    "megatron_config": "it is for Megatron's own layers",
    "use_qalora": "it is a QALoRA, whose inputs are pooled in groups",
    "arrow_config": "it routes between several adapters",
    "use_bdlora": "its matrices are in blocks (BD-LoRA)",
}
"""Settings of a LoRA that is not carried, and what they make of it."""
FROZEN = ".base_layer.weight"
"""How PEFT calls the base's own matrix that it saves beside a LoRA of embeddings or output."""
LARGEST_RANK, LARGEST_ALPHA = 1024, 1e6
_ANEW = f"write {layout.SETTINGS} anew with the trainer's own save_pretrained"
_PARTIAL = "it was not saved whole. Save it again with model.save_pretrained(FOLDER)"
_TWO = f"weights and {layout.SETTINGS} are of two trainings. Name the folder of one"
Value = TypeVar("Value")


@dataclass(frozen=True, kw_only=True)
class Read:
    """What an adapter's settings say, as far as it matters."""

    settings: Mapping[str, object]
    """The canonical ``adapter_config.json``, but for the base's name and commit."""
    base: str | None
    """The base's name as it was written."""
    revision: str | None
    peft_version: str | None


def parsed(path: Path) -> dict[str, object]:
    """The object in a settings file; ``PreflightError`` where there is none."""
    try:
        return dict(bounded.json_object(path.read_bytes(), path.name))
    except ValueError as error:
        raise PreflightError(f"{path.name} cannot be read: {error}. Save the adapter again. {NOTHING}") from None


def read(said: Mapping[str, object], found: Tensors) -> Read:
    """The settings of this adapter; ``PreflightError`` with everything that cannot be carried."""
    if wrong := [*_not_carried(said), *_unlike(said, found)]:
        raise PreflightError(f"The adapter is not one that can be released here: {'; '.join(wrong)}. {NOTHING}")
    alpha, ranks = _alphas(said, found), {name: one.rank for name, one in found.modules.items()}
    rank = Counter(ranks.values()).most_common(1)[0][0]
    common = Counter(alpha.values()).most_common(1)[0][0]
    whole = int(common) if common == int(common) and 1 <= common <= 4096 else max(1, min(4096, round(common)))
    settings: dict[str, object] = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "r": rank,
        "lora_alpha": whole,
        "lora_dropout": _dropout(said),
        "bias": said.get("bias") or "none",
        "fan_in_fan_out": said.get("fan_in_fan_out") is True,
        "inference_mode": True,
        "target_modules": sorted(found.modules),
        "rank_pattern": {name: one for name, one in sorted(ranks.items()) if one != rank},
        "alpha_pattern": {name: _number(one) for name, one in sorted(alpha.items()) if one != whole},
        "use_rslora": said.get("use_rslora") is True,
        "use_dora": any(one.dora for one in found.modules.values()),
        "lora_bias": any(one.biased for one in found.modules.values()),
        "modules_to_save": sorted(_saved(said, found)) or None,
        "trainable_token_indices": _tokens(said, found) or None,
    }
    asked = ("use_rslora", "use_dora", "lora_bias")
    settings = {
        name: one for name, one in settings.items() if one not in ({}, None) and not (name in asked and not one)
    }
    return Read(
        settings=settings,
        base=_text(said.get("base_model_name_or_path")),
        revision=_text(said.get("revision")),
        peft_version=_text(said.get("peft_version")),
    )


def shortened(settings: Mapping[str, object], every: Iterator[str] | tuple[str, ...]) -> dict[str, object]:
    """The same with ``target_modules`` by their last parts, where these name no other module of the base."""
    named = settings["target_modules"]
    assert isinstance(named, list)
    short = endings(named)
    others = {name for name in every if name.rpartition(".")[2] in short} - {*named}
    return {**settings, "target_modules": named if others else sorted(short)}


def _not_carried(said: Mapping[str, object]) -> Iterator[str]:
    """What PEFT would make of these settings that is not a LoRA judged here."""
    kind = said.get("peft_type")
    if kind != "LORA":
        yield f"peft_type is {shown(kind)}, and LORA alone is taken: train a LoRA, or convert it to one"
        return
    if said.get("task_type") not in ("CAUSAL_LM", None):
        yield f"task_type is {shown(said['task_type'])}: it does not answer in text. Train with CAUSAL_LM"
    start = said.get("init_lora_weights", True)
    if not any(start is one or (isinstance(one, str) and start == one) for one in STARTS):
        yield (
            f"init_lora_weights is {shown(start)}, a start that changes the base's own weights, so it fits only that "
            "base. Save it as a plain LoRA: PEFT's save_pretrained(path_initial_model_for_weight_conversion=...)"
        )
    for name, value in said.items():
        known = name in TAKEN | CHOOSING | OF_TRAINING
        if known or any(type(value) is type(one) and value == one for one in (*EMPTY, ORDINARY.get(name))):
            continue
        what = CARRIED_BY.get(name, "this program does not know what that makes of a LoRA")
        yield f"{contents.shown(name)} is {shown(value)}: {what}. Train without it, or merge it and train a plain LoRA"


def _unlike(said: Mapping[str, object], found: Tensors) -> Iterator[str]:
    """Where settings and tensors are not of one adapter."""
    rank, dora = said.get("r"), said.get("use_dora") is True
    if not isinstance(rank, int) or isinstance(rank, bool) or rank < 1:
        yield f"r is {shown(rank)}, expected its rank, a whole number: {_ANEW}"
    else:
        yield from _other_ranks(said, rank, found)
    if over := next((name for name, one in found.modules.items() if one.rank > LARGEST_RANK), None):
        most = f"at most {LARGEST_RANK} can be served anywhere. Train with a smaller one"
        yield f"{contents.shown(over)} has the rank {found.modules[over].rank}: {most}"
    if dora and not all(one.dora for one in found.modules.values()):
        yield f"use_dora is true, and modules lack their magnitudes (lora_magnitude_vector): {_PARTIAL}"
    if not dora and any(one.dora for one in found.modules.values()):
        yield f"it has DoRA's magnitudes and use_dora is not true: {_TWO}"
    if said.get("bias", "none") not in ("none", "all", "lora_only", None):
        yield f"bias is {shown(said['bias'])}, expected none, all or lora_only: {_ANEW}"
    if bool(_indices(said)) != bool(found.tokens):
        yield f"trainable_token_indices and the tensors for single tokens do not go together: {_PARTIAL}"
    yield from _not_saved(said, found)


def _other_ranks(said: Mapping[str, object], rank: int, found: Tensors) -> Iterator[str]:
    """Where matrices have another rank than the settings say: the scale, alpha / rank, would be another one's."""
    pattern = said.get("rank_pattern") or {}
    if not isinstance(pattern, dict):
        yield f"rank_pattern is {shown(pattern)}, expected an object with the rank of each module: {_ANEW}"
        return
    keys = {str(key).removeprefix("^"): value for key, value in pattern.items()}
    plain = all(NAME.fullmatch(key) for key in keys)  # patterns of others are not run
    for name, one in found.modules.items():
        ranks = [_of(name, keys, rank)] if plain else [rank, *keys.values()]
        if one.rank not in ranks:
            yield (
                f"{contents.shown(name)} has matrices of rank {one.rank}, and r and rank_pattern say "
                f"{' or '.join(map(shown, ranks[:5]))}: {_TWO}"
            )
            return


def _not_saved(said: Mapping[str, object], found: Tensors) -> Iterator[str]:
    """Where ``modules_to_save`` and what was saved whole are not the same."""
    modules, saved = _texts(said.get("modules_to_save")), _saved(said, found)
    if modules is None:
        yield f"modules_to_save is {shown(said.get('modules_to_save'))}, expected names of modules: {_ANEW}"
    for name in modules or ():
        if not any(one.endswith(name) for one in saved):
            yield f"modules_to_save names {contents.shown(name)}, and its weights are not there: {_PARTIAL}"
    biased = said.get("bias") not in ("none", None)
    known = {name for name in found.whole if name.endswith(".bias") and (biased or name.rpartition(".")[0] in saved)}
    known |= {f"{one}{FROZEN}" for one in found.modules}
    if strays := sorted({*found.whole} - known - {f"{one}.weight" for one in saved}):
        module = contents.shown(strays[0].rpartition(".")[0])
        yield (
            f"it holds {contents.shown(strays[0])} whole, and modules_to_save does not name it, so PEFT would skip it: "
            f"write {module} under modules_to_save in {layout.SETTINGS} if it was trained, else take it out of the "
            "weights"
        )


def _saved(said: Mapping[str, object], found: Tensors) -> set[str]:
    """The modules that were saved whole, as ``modules_to_save`` names them."""
    names = _texts(said.get("modules_to_save")) or ()
    owners = {name.rpartition(".")[0] for name in found.whole}
    return {one for one in owners if one.endswith(names)}  # as PEFT: of "norm", "post_attention_layernorm" is one too


def _tokens(said: Mapping[str, object], found: Tensors) -> dict[str, list[int]]:
    """For each embedding, the tokens of which something was learned."""
    indices = _indices(said)
    result = {}
    for name, shape in found.tokens.items():
        of = next((ids for key, ids in indices.items() if name == key or name.endswith(f".{key}")), [])
        if len(shape) != 2 or shape[0] != len(of):
            raise PreflightError(
                f"trainable_token_indices names {len(of)} tokens of {contents.shown(name)}, and its tensor has the "
                f"shape {list(shape)}: {_PARTIAL}. {NOTHING}"
            )
        result[name] = of
    return result


def _indices(said: Mapping[str, object]) -> dict[str, list[int]]:
    """Token ids by the embedding's name; a list alone is of ``embed_tokens``."""
    value = said.get("trainable_token_indices")
    by_name = value if isinstance(value, dict) else {"embed_tokens": value} if value else {}
    found = {}
    for name, ids in by_name.items():
        plain = isinstance(ids, list) and all(type(one) is int and 0 <= one < 1 << 31 for one in ids)
        if not isinstance(ids, list) or not plain or not NAME.fullmatch(str(name)):
            raise PreflightError(
                f"trainable_token_indices is {shown(value)}, expected ids of tokens: {_ANEW}. {NOTHING}"
            )
        found[str(name)] = [int(one) for one in ids]
    return found


def _alphas(said: Mapping[str, object], found: Tensors) -> dict[str, float]:
    """Each module's alpha, by ``alpha_pattern`` where that names modules and is not a regular expression."""
    common, pattern = said.get("lora_alpha"), said.get("alpha_pattern") or {}
    values = [common, *(pattern.values() if isinstance(pattern, dict) else [str(pattern)])]
    if not all(_is_alpha(one) for one in values):
        odd = next(one for one in values if not _is_alpha(one))
        raise PreflightError(
            f"{'lora_alpha' if odd is common else 'alpha_pattern'} says {shown(odd)}, expected a number above 0 and at "
            f"most {LARGEST_ALPHA:,.0f}, by which the LoRA is scaled: {_ANEW}. {NOTHING}"
        )
    assert isinstance(pattern, dict)
    keys = {str(key).removeprefix("^"): float(value) for key, value in pattern.items()}
    if strange := [key for key in keys if not NAME.fullmatch(key)]:
        raise PreflightError(
            f"alpha_pattern has the regular expression {contents.shown(strange[0])}, and patterns of others are not "
            f"run. Write the names of the modules instead of it in {layout.SETTINGS}. {NOTHING}"
        )
    assert isinstance(common, int | float)
    return {name: _of(name, keys, float(common)) for name in found.modules}


def _of(name: str, keys: Mapping[str, Value], common: Value) -> Value:
    """What a pattern says of a module, as PEFT has it (get_pattern_key): the first key that is the name's end."""
    return next((value for key, value in keys.items() if name == key or name.endswith(f".{key}")), common)


def _is_alpha(value: object) -> bool:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    return math.isfinite(value) and 0 < value <= LARGEST_ALPHA


def _dropout(said: Mapping[str, object]) -> float | int:
    value = said.get("lora_dropout", 0)
    known = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1
    return value if known and isinstance(value, int | float) else 0


def _number(value: float) -> float | int:
    return int(value) if value == int(value) else value


def _texts(value: object) -> tuple[str, ...] | None:
    """A list of module names; empty for nothing, None for what is neither."""
    if not value:
        return ()
    if not isinstance(value, list) or not all(isinstance(one, str) and NAME.fullmatch(one) for one in value):
        return None
    return tuple(value)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def spelt(settings: Mapping[str, object]) -> str:
    """Settings as a person reads them."""
    return json.dumps(settings, sort_keys=True)


IS_COMMIT = re.compile("[0-9a-f]{40}")


def commit(said: object) -> str | None:
    """The commit that a revision is; None for a name, which can move."""
    return said if isinstance(said, str) and IS_COMMIT.fullmatch(said) else None
