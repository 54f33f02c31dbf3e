"""What transformers builds of a base model's config.json: its modules and sizes, before any weight is here.

The model is built on torch's meta device, which holds shapes and no numbers, in a process of its own that takes about
eight seconds once; what came out is kept as JSON, and asked again of another transformers. Names of tensors would not
do: transformers fuses experts, renames, and picks the text model of a larger one while it loads.
"""

import hashlib
import inspect
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from release.config.settings import Model
from release.running import child
from release.values.artifacts import write_atomically
from release.values.errors import PreflightError

if TYPE_CHECKING:
    import torch
    from transformers import PretrainedConfig, PreTrainedModel

FORM = 2  # of what is kept: another one, or one with other fields, is asked for anew
ALL_LINEAR = ("all-linear",)
EXPERTS_PER_TOKEN = ("num_experts_per_tok", "num_experts_per_token", "moe_topk", "moe_top_k", "top_k_experts", "moe_k")
SHARED = ("shared_expert_intermediate_size", "moe_shared_expert_intermediate_size", "shared_intermediate_size")
WITH_MAMBA = {"falcon_h1", "mamba", "mamba2", "falcon_mamba", "nemotron_h"}  # peft 0.21, tuners/tuners_utils.py
NOT_IN_MAMBA = ("out_proj", "conv1d")  # the same: PEFT raises for these, whose weights a fused kernel reads
QUANTIZED_ENDINGS = ("-unsloth-bnb-4bit", "-bnb-4bit", "-bnb-8bit")
"""How a repository of quantized weights is named after the one that it was made of."""
TEXT_MODELS = {
    "qwen2_vl": "Qwen/Qwen2.5-7B-Instruct",
    "qwen2_5_vl": "Qwen/Qwen2.5-7B-Instruct",
    "qwen3_vl": "Qwen/Qwen3-4B-Instruct-2507",
    "qwen3_vl_moe": "Qwen/Qwen3-30B-A3B-Instruct-2507",
    "mistral3": "mistralai/Mistral-Small-24B-Instruct-2501",
    "llava": "mistralai/Mistral-7B-Instruct-v0.3",
    "llava_next": "mistralai/Mistral-7B-Instruct-v0.3",
    "paligemma": "google/gemma-2-2b-it",
    "idefics3": "HuggingFaceTB/SmolLM2-1.7B-Instruct",
    "smolvlm": "HuggingFaceTB/SmolLM2-1.7B-Instruct",
    "aya_vision": "CohereLabs/c4ai-command-r7b-12-2024",
    "cohere2_vision": "CohereLabs/c4ai-command-r7b-12-2024",
}
"""A model of text alone in the family of a larger one, by the larger one's ``model_type``."""


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """A base model as transformers builds it; sizes count weights, not bytes."""

    name: str
    """The class, such as ``Qwen3ForCausalLM``."""
    model_type: str
    linear: Mapping[str, tuple[int, int]]
    """Inputs and outputs of every linear layer of the text model that LoRA can adapt, in the model's order."""
    embeddings: Mapping[str, tuple[int, int]]
    """Rows and columns of the text model's embeddings."""
    output: str | None
    """The module that makes the logits."""
    others: Mapping[str, str]
    """Every other module of the text model with its class."""
    fused: tuple[str, ...]
    """Those of ``others`` that hold all experts' matrices in one parameter."""
    fused_names: tuple[str, ...]
    """Short names that PEFT takes for parts of such parameters, whatever other module is called so."""
    exclude: str | None
    """For ``LoraConfig.exclude_modules``: a regular expression of what is not the text model, where there is more."""
    parameters: int
    in_linear: int
    """Weights that bitsandbytes keeps in four bits; fused experts, embeddings, output, norms and biases are not."""
    active: int
    """Weights of the text model's matrices that one token is multiplied with, embeddings and output aside."""
    layers: int
    hidden: int
    heads: int
    head_dim: int
    intermediate: int
    """Of a mixture: of all the experts that one token goes through."""
    experts_per_token: int
    """Zero where there are none."""
    vocab: int
    tied: bool
    dtype: str | None
    """Of a weight in the checkpoint, as config.json says."""

    @property
    def elsewhere(self) -> int:
        """Weights that stay in 16 or 32 bits under QLoRA."""
        return self.parameters - self.in_linear

    @property
    def bytes_on_disk(self) -> int:
        """Of a weight in the checkpoint."""
        return 4 if self.dtype == "float32" else 2

    @cached_property
    def endings(self) -> tuple[str, ...]:
        """Short names of the linear layers, in the model's order: what ``target_modules`` usually holds."""
        return tuple(dict.fromkeys(_ending(name) for name in self.linear if not _unfit(self, name)))

    def adapted(self, targets: Sequence[str]) -> dict[str, tuple[int, int]]:
        """The linear layers and embeddings that these ``target_modules`` put an adapter on, with their two sizes."""
        if tuple(targets) == ALL_LINEAR:
            return dict(self.linear)
        known = {**self.linear, **self.embeddings}
        return {name: size for name, size in known.items() if any(_called(name, target) for target in targets)}


def read(folder: Path, kept: Path, model: Model, base_model: str | None = None) -> Architecture | None:
    """What is built of the config.json in ``folder``, from the file ``kept`` if that is of the same transformers.

    ``PreflightError`` says why nothing can be built or trained, and what to take instead; ``base_model`` is what the
    model's card names as its origin. None where the model's own code is trusted to build it, which is not run here.
    """
    described = _described(folder, model)
    if problem := _quantized_problem(described, model, base_model):
        raise PreflightError(problem)
    if model.trust_remote_code and described.get("auto_map"):
        return None
    key = _key(folder)
    found = _kept(kept)
    if found.get("key") != key:
        offline = {"HF_HUB_OFFLINE": "1"}
        log = kept.with_suffix(".log")
        child.call("release.models.architecture", str(folder), str(kept), say=lambda _: None, log=log, env=offline)
        found = _kept(kept)
    if "refused" in found:
        raise PreflightError(f"{model.base_model_id} cannot be used as a base model: {found['refused']}")
    return from_json(found["built"])


def from_json(found: Mapping[str, Any]) -> Architecture:
    """The value that was kept."""
    names = {name: tuple(found[name]) for name in ("fused", "fused_names")}
    sizes = {name: {one: (a, b) for one, (a, b) in found[name].items()} for name in ("linear", "embeddings")}
    return Architecture(**{**found, **sizes, **names})


def target_problems(built: Architecture, targets: Sequence[str]) -> list[str]:
    """Why LoRA cannot be put on these ``target_modules``: PEFT skips a name of nothing, and stops at some others."""
    wrong = list(_all_linear(built) if tuple(targets) == ALL_LINEAR else _faulty(built, targets))
    if not wrong:
        return []
    line = f"target_modules: [{', '.join(built.endings)}]"
    return [*wrong[:-1], f"{wrong[-1]} These are its own linear layers, all or some to be named: `{line}`."]


def method_problem(built: Architecture, method: str) -> str:
    """Why four bits would be none; empty where they are some, or not asked for."""
    if method != "qlora" or built.in_linear:
        return ""
    return (
        f"adapter.method is 'qlora', but bitsandbytes quantizes no layer of {built.name}: its linear layers are of a "
        "class of their own, so the base would stay in 16 bits and the record would say four. "
        "Write `adapter: {method: lora, quantization: {load_in_4bit: false}}`."
    )


def excluded(model: "PreTrainedModel") -> str | None:
    """For ``LoraConfig.exclude_modules``: what of a built model is not its text model; None where all of it is.

    LoRA on a vision tower would never be trained by text, and inference engines refuse it.
    """
    prefix = _text_prefix(model)
    output = _name_of(model, model.get_output_embeddings())
    outside = (name for name, module in model.named_modules() if _size(module) and name != output)
    if not prefix or all(name.startswith(f"{prefix}.") for name in outside):
        return None
    return rf"(?!{re.escape(prefix)}\.).*"


def build(config_json: Path) -> Architecture:
    """The architecture of a config.json, or of the folder that holds one; ``PreflightError`` why there is none."""
    import torch
    import transformers
    from transformers import AutoModelForCausalLM

    config = _loaded_config(config_json)
    try:
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(config)
        seen = _seen(model, config)
    except ImportError as error:
        raise PreflightError(
            f"transformers {transformers.__version__} builds it with a library that this program does not bring: "
            f"{_brief(error)}. Use another base model, such as the text model of its family."
        ) from None
    except Exception as error:  # noqa: BLE001  every architecture checks its values in its own way
        raise PreflightError(
            f"transformers {transformers.__version__} cannot build a model of its config.json: {_brief(error)}. "
            "The file is damaged, or is for another version. Use another revision, or another base model."
        ) from None
    if "logits_to_keep" not in inspect.signature(model.forward).parameters:
        raise PreflightError(
            f"{type(model).__name__} cannot give the logits of chosen positions alone (logits_to_keep), and training "
            "asks for those. Use another base model."
        )
    return seen


def _object(value: object) -> Mapping[str, Any]:
    """A section of a config.json; empty where it is none."""
    return value if isinstance(value, dict) else {}


def _seen(model: "PreTrainedModel", config: "PretrainedConfig") -> Architecture:
    """All that is kept of a built model."""
    from torch import nn

    text = model.config.get_text_config(decoder=True)
    exclude, output = excluded(model), _name_of(model, model.get_output_embeddings())
    outside = re.compile(exclude or r"(?!)")
    inside = {name: module for name, module in model.named_modules() if name and not outside.fullmatch(name)}
    embeddings = {
        name: (one.num_embeddings, one.embedding_dim) for name, one in inside.items() if isinstance(one, nn.Embedding)
    }
    sizes = ((name, _size(module)) for name, module in inside.items() if name != output and name not in embeddings)
    linear = {name: size for name, size in sizes if size}
    experts = {name: found for name, module in inside.items() if (found := _fused(module))}
    per_token = _number(text, *EXPERTS_PER_TOKEN)
    hidden = _number(text, "hidden_size")
    own = model.get_output_embeddings()
    return Architecture(
        name=type(model).__name__,
        model_type=text.model_type,
        linear=linear,
        embeddings=embeddings,
        output=output,
        others={n: type(m).__name__ for n, m in inside.items() if n not in {*linear, *embeddings, output}},
        fused=tuple(experts),
        fused_names=_fused_names(model.config.model_type),
        exclude=exclude,
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        in_linear=_quantizable(model),
        active=sum(a * b for a, b in linear.values()) + sum(_used(found, per_token) for found in experts.values()),
        layers=_number(text, "num_hidden_layers"),
        hidden=hidden,
        heads=(heads := _number(text, "num_attention_heads")),
        head_dim=_number(text, "head_dim") or hidden // max(1, heads),
        intermediate=_intermediate(text, list(experts.values()), per_token, linear.values()),
        experts_per_token=per_token if experts else 0,
        vocab=_number(text, "vocab_size"),
        tied=own is not None and own.weight is model.get_input_embeddings().weight,
        dtype=_dtype(config, text),
    )


def _quantizable(model: "PreTrainedModel") -> int:
    """Weights of the layers that transformers hands to bitsandbytes, by transformers' own rule."""
    from torch import nn
    from transformers.pytorch_utils import Conv1D
    from transformers.quantizers.base import HfQuantizer
    from transformers.quantizers.quantizers_utils import should_convert_module

    skipped = HfQuantizer.get_modules_to_not_convert(model, None, model._keep_in_fp32_modules)  # noqa: SLF001
    return sum(
        module.weight.numel()
        for name, module in model.named_modules()
        # integrations/bitsandbytes.py, replace_with_bnb_linear: a subclass of Linear is left as it is
        if (type(module) is nn.Linear or isinstance(module, Conv1D)) and should_convert_module(name, skipped)
    )


def _size(module: "torch.nn.Module") -> tuple[int, int] | None:
    """Inputs and outputs of a linear layer; None for what is none."""
    from torch import nn
    from transformers.pytorch_utils import Conv1D

    if isinstance(module, nn.Linear) and "router" not in type(module).__name__.lower():  # a router returns several
        return module.in_features, module.out_features
    if isinstance(module, Conv1D):
        return int(module.weight.shape[0]), int(module.weight.shape[1])
    return None


def _fused(module: "torch.nn.Module") -> list[tuple[int, ...]]:
    """The shapes of the matrices that a module holds of all its experts: experts first."""
    if "expert" not in type(module).__name__.lower():
        return []
    own = (tuple(parameter.shape) for parameter in module.parameters(recurse=False))
    return [shape for shape in own if len(shape) == 3]


def _fused_names(model_type: str) -> tuple[str, ...]:
    """What PEFT rewrites to ``target_parameters`` (peft 0.21, convert_peft_config_for_transformers)."""
    from peft.utils import transformers_weight_conversion as peft
    from transformers.conversion_mapping import _MODEL_TO_CONVERSION_PATTERN

    pattern = _MODEL_TO_CONVERSION_PATTERN.get(model_type)
    return tuple(peft._MOE_TARGET_MODULE_MAPPING.get(pattern, ()))  # noqa: SLF001  PEFT has no public word for it


def _used(shapes: Iterable[tuple[int, ...]], per_token: int) -> int:
    """Weights of fused experts that one token goes through; all of them where nobody says how many."""
    return sum((min(per_token, shape[0]) or shape[0]) * shape[1] * shape[2] for shape in shapes)


def _intermediate(
    text: "PretrainedConfig",
    experts: Sequence[Sequence[tuple[int, ...]]],
    per_token: int,
    linear: Iterable[tuple[int, int]],
) -> int:
    """The width of a layer's feed-forward part as one token meets it."""
    if experts:
        hidden = _number(text, "hidden_size")
        wide = min(shape[1] * shape[2] for shapes in experts for shape in shapes) // max(1, hidden)
        shared = _number(text, *SHARED) or wide * _number(text, "n_shared_experts", "moe_num_shared_experts")
        return wide * max(1, per_token) + shared
    named = _number(text, "intermediate_size", "ffn_dim", "ffn_hidden_size", "n_inner")
    return named or max((max(size) for size in linear), default=0)


def _number(config: "PretrainedConfig", *names: str) -> int:
    """The first of these that the configuration says; the largest where it says one for each layer; 0 for none."""
    for name in names:
        try:
            found = getattr(config, name, None)
        except RuntimeError:  # so transformers says that layers differ in this
            found = [getattr(config.per_layer_config[layer], name, None) for layer in range(config.num_hidden_layers)]
        numbers = [one for one in (found if isinstance(found, list | tuple) else [found]) if isinstance(one, int)]
        if numbers:
            return max(numbers)
    return 0


def _dtype(config: "PretrainedConfig", text: "PretrainedConfig") -> str | None:
    said = getattr(config, "dtype", None) or getattr(text, "dtype", None)
    return None if said is None else str(said).removeprefix("torch.")


def _text_prefix(model: "PreTrainedModel") -> str:
    """The name of the module that is the text model; empty where it is the whole."""
    return _name_of(model, model.get_decoder()) or ""


def _name_of(model: "PreTrainedModel", wanted: Any) -> str | None:
    return next((name for name, module in model.named_modules() if module is wanted), None)


def _loaded_config(path: Path) -> "PretrainedConfig":
    """The configuration as transformers reads it; ``PreflightError`` where it knows no such model of text."""
    import transformers
    from transformers import AutoConfig
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING

    here = f"transformers {transformers.__version__}"
    said = _parsed(path / "config.json" if path.is_dir() else path)
    kind, auto_map = said["model_type"], said.get("auto_map") or {}
    if kind not in CONFIG_MAPPING_NAMES:
        raise PreflightError(_unknown(kind, auto_map, here))
    try:
        config = AutoConfig.from_pretrained(path, trust_remote_code=False)
    except Exception as error:  # noqa: BLE001  every configuration checks its values in its own way
        raise PreflightError(
            f"{here} cannot read its config.json: {_brief(error)}. The file is damaged, or is for another version. "
            "Use another revision, or another base model."
        ) from None
    if type(config) not in MODEL_FOR_CAUSAL_LM_MAPPING:
        raise PreflightError(_no_text_model(kind, said, here))
    return config


def _unknown(kind: str, auto_map: Mapping[str, Any], here: str) -> str:
    if "AutoModelForCausalLM" in auto_map:
        return (
            f"its model_type {kind!r} is none that {here} knows, so it needs code of its own, and "
            "model.trust_remote_code is false. That code would run with your rights on this machine. Read it, then "
            "write `model: {trust_remote_code: true}`; or use another base model."
        )
    return (
        f"its model_type {kind!r} is none that {here} knows. It is newer than this program, or no language model. "
        "Use another base model, or a newer version of this program."
    )


def _no_text_model(kind: str, said: Mapping[str, Any], here: str) -> str:
    inner = _object(said.get("text_config")).get("_name_or_path")
    text = inner if _is_repository(inner) else TEXT_MODELS.get(kind)
    classes = ", ".join(said.get("architectures") or []) or kind
    instead = f"Use the text model of its family, such as {text}" if text else "Use a text model of its family"
    return (
        f"it is {classes}, which {here} does not load as a language model (AutoModelForCausalLM): it takes images or "
        f"sound too, or is no decoder. {instead} (`model.base_model_id` and a commit as `model.revision`), "
        "or a newer version of this program."
    )


def _described(folder: Path, model: Model) -> dict[str, Any]:
    try:
        return _parsed(folder / "config.json")
    except PreflightError as error:
        raise PreflightError(f"{model.base_model_id} cannot be used as a base model: {error}") from None


def _parsed(path: Path) -> dict[str, Any]:
    """What a config.json says; ``PreflightError`` where it is none of a model."""
    why = ""
    try:
        found = json.loads(path.read_bytes())
    except FileNotFoundError:
        found, why = None, "it has no config.json"
    except (OSError, ValueError) as error:
        found, why = None, f"its config.json cannot be read ({error})"
    if not why and not (isinstance(found, dict) and isinstance(found.get("model_type"), str)):
        why = "its config.json names no model_type"
    if why:
        raise PreflightError(
            f"{why}, so nobody can tell what to build of its weights. Use a revision that has a whole config.json, or "
            "another base model."
        )
    return dict(found)


def _quantized_problem(said: Mapping[str, Any], model: Model, base_model: str | None) -> str:
    """Why weights that are quantized already cannot be trained over, and what to take; empty where they are not."""
    inner = _object(said.get("text_config"))
    how = next((one for where in (said, inner) for one in map(where.get, _QUANTIZATION) if one), None)
    if how is None:
        return ""
    method = how.get("quant_method") if isinstance(how, dict) else None
    if method is None and isinstance(how, dict) and (how.get("load_in_4bit") or how.get("load_in_8bit")):
        method = "bitsandbytes"
    source = _unquantized(said, model.base_model_id, base_model)
    instead = (
        f"Write `model: {{base_model_id: {source}}}`, and as its revision a commit of that repository."
        if source
        else "Use the repository that it was made of: its page on the Hub usually names it."
    )
    return (
        f"{model.base_model_id} holds weights that are quantized already ({method or 'its config.json says so'}). An "
        "adapter is trained over unquantized weights here, and adapter.method: qlora brings them to four bits itself. "
        f"{instead}"
    )


_QUANTIZATION = ("quantization_config", "compression_config")


def _unquantized(said: Mapping[str, Any], base_model_id: str, base_model: str | None) -> str | None:
    """The repository that quantized weights were made of, as far as anything names it."""
    ending = next((one for one in QUANTIZED_ENDINGS if base_model_id.endswith(one)), None)
    renamed = base_model_id.removesuffix(ending) if ending and base_model_id.startswith("unsloth/") else None
    known = (renamed, base_model, said.get("_name_or_path"))
    return next((str(one) for one in known if _is_repository(one) and one != base_model_id), None)


def _is_repository(name: object) -> bool:
    """Whether it is an id on the Hub, of weights that are not quantized by their name."""
    whole = isinstance(name, str) and re.fullmatch(r"[\w-][\w.-]*/[\w-][\w.-]*", name)
    return bool(whole) and not str(name).endswith(QUANTIZED_ENDINGS)


def _all_linear(built: Architecture) -> Iterator[str]:
    if built.fused_names:
        yield (
            "adapter.lora.target_modules is all-linear, which PEFT takes for the router and the fused parameters of "
            f"{built.name}'s experts too: LoRA of modules cannot adapt those, and with a dropout PEFT stops."
        )


def _faulty(built: Architecture, targets: Sequence[str]) -> Iterator[str]:
    """The names that carry no adapter, those of one kind in one line."""
    known = (*built.linear, *built.embeddings, *built.others, *([built.output] if built.output else []))
    said = "adapter.lora.target_modules names"
    experts = ", ".join(dict.fromkeys(_ending(name) for name in built.fused))
    fused = [target for target in targets if _ending(target) in built.fused_names]
    if fused:
        yield (
            f"{said} {', '.join(fused)}, which transformers and PEFT take for parts of one parameter that holds all "
            f"experts of a layer ({experts}), or for their router: LoRA of modules cannot adapt that."
        )
    left = [target for target in targets if target not in fused]
    missing = [target for target in left if not any(_called(name, target) for name in known)]
    if missing:
        hint = f" Its experts are one parameter for a layer ({experts}), which it cannot adapt." if experts else ""
        yield (
            f"{said} {', '.join(missing)}, which no module of the base model is called: PEFT would skip it "
            f"silently.{hint}"
        )
    for target in left:
        yield from _not_adaptable(built, target)


def _not_adaptable(built: Architecture, target: str) -> Iterator[str]:
    """Why the modules of this name carry no adapter, where they do not."""
    said = f"adapter.lora.target_modules names {target}, which"
    if built.output and _called(built.output, target):
        yield f"{said} makes the logits: TRL's loss cannot be taken over an adapter there. Take it out."
    classes = Counter(kind for name, kind in built.others.items() if _called(name, target))
    if any(_called(name, target) and _unfit(built, name) for name in built.linear):
        classes[f"a part of {built.model_type}'s fused kernels"] += 1
    if classes:
        yield f"{said} is {', '.join(classes)}: PEFT's LoRA cannot adapt that."


def _unfit(built: Architecture, name: str) -> bool:
    ending = _ending(name)
    return ending in built.fused_names or (built.model_type in WITH_MAMBA and ending in NOT_IN_MAMBA)


def _called(name: str, target: str) -> bool:
    """Whether PEFT takes a module of this name for this target (tuners_utils.check_target_module_exists)."""
    return name == target or name.endswith(f".{target}")


def _ending(name: str) -> str:
    """The last part of a module's name; the last two where that is a number."""
    parts = name.split(".")
    return ".".join(parts[-2:]) if parts[-1].isdigit() else parts[-1]


def _brief(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {' '.join(lines)[:300]}".rstrip(". ")


def _key(folder: Path) -> dict[str, Any]:
    digest = hashlib.sha256((folder / "config.json").read_bytes()).hexdigest()
    form = [FORM, *(one.name for one in fields(Architecture))]
    return {"form": form, "transformers": version("transformers"), "config_sha256": digest}


def _kept(path: Path) -> dict[str, Any]:
    """What was kept; nothing where there is none, or half of one."""
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _answer(folder: Path, kept: Path) -> None:
    """Build, and keep what came out or why nothing did."""
    try:
        said: dict[str, Any] = {"built": asdict(build(folder))}
    except PreflightError as refused:
        said = {"refused": str(refused)}
    # not sorted, as other records are: the order is the model's
    write_atomically(kept, json.dumps({"key": _key(folder), **said}).encode())


if __name__ == "__main__":
    child.main(lambda arguments, _: _answer(Path(arguments[0]), Path(arguments[1])))
