"""What transformers builds of a base model's config.json: its modules and sizes, before any weight is here.

The model is built on torch's meta device, which holds shapes and no numbers, in a process of its own that takes about
eight seconds once; what came out is kept as JSON, and asked again of another transformers. Names of tensors would not
do: transformers fuses experts, renames, and picks the text model of a larger one while it loads.
"""

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

from release.config.settings import Model
from release.models import config_json
from release.running import child
from release.values.errors import PreflightError

FORM = 2  # of what is kept: another one, or one with other fields, is asked for anew
ALL_LINEAR = ("all-linear",)
WITH_MAMBA = {"falcon_h1", "mamba", "mamba2", "falcon_mamba", "nemotron_h"}  # peft 0.21, tuners/tuners_utils.py
NOT_IN_MAMBA = ("out_proj", "conv1d")  # the same: PEFT raises for these, whose weights a fused kernel reads


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
        return tuple(dict.fromkeys(ending(name) for name in self.linear if not self.unfit(name)))

    def unfit(self, name: str) -> bool:
        """Whether PEFT's LoRA stops at this linear layer, or takes it for a part of the fused experts."""
        short = ending(name)
        return short in self.fused_names or (self.model_type in WITH_MAMBA and short in NOT_IN_MAMBA)

    def adapted(self, targets: Sequence[str]) -> dict[str, tuple[int, int]]:
        """The linear layers and embeddings that these ``target_modules`` put an adapter on, with their two sizes."""
        if tuple(targets) == ALL_LINEAR:
            return dict(self.linear)
        known = {**self.linear, **self.embeddings}
        return {name: size for name, size in known.items() if any(called(name, target) for target in targets)}


def read(folder: Path, kept: Path, model: Model, base_model: str | None = None) -> Architecture | None:
    """What is built of the config.json in ``folder``, from the file ``kept`` if that is of the same transformers.

    ``PreflightError`` says why nothing can be built or trained, and what to take instead; ``base_model`` is what the
    model's card names as its origin. None where the model's own code is trusted to build it, which is not run here.
    """
    described = _described(folder, model)
    if problem := config_json.quantized_problem(described, model, base_model):
        raise PreflightError(problem)
    if model.trust_remote_code and described.get("auto_map"):
        return None
    wanted = key(folder)
    found = _kept(kept)
    if found.get("key") != wanted:
        log = kept.with_suffix(".log")
        child.call("release.models.meta_device", str(folder), str(kept), say=lambda _: None, log=log, env=child.STAGE)
        found = _kept(kept)
    if "refused" in found:
        raise PreflightError(f"{model.base_model_id} cannot be used as a base model: {found['refused']}")
    return from_json(found["built"])


def from_json(found: Mapping[str, Any]) -> Architecture:
    """The value that was kept."""
    names = {name: tuple(found[name]) for name in ("fused", "fused_names")}
    sizes = {name: {one: (a, b) for one, (a, b) in found[name].items()} for name in ("linear", "embeddings")}
    return Architecture(**{**found, **sizes, **names})


def method_problem(built: Architecture, method: str) -> str:
    """Why four bits would be none; empty where they are some, or not asked for."""
    return "" if method != "qlora" or built.in_linear else no_four_bits(built.name)


def no_four_bits(name: str) -> str:
    """What to say of a model of which bitsandbytes quantizes nothing."""
    return (
        f"adapter.method is 'qlora', but bitsandbytes quantizes no layer of {name}: its linear layers are of a "
        "class of their own, so the base would stay in 16 bits and the record would say four. "
        "Write `adapter: {method: lora, quantization: {load_in_4bit: false}}`."
    )


def _described(folder: Path, model: Model) -> Mapping[str, object]:
    try:
        return config_json.parsed(folder / "config.json")
    except PreflightError as error:
        raise PreflightError(f"{model.base_model_id} cannot be used as a base model: {error}") from None


def called(name: str, target: str) -> bool:
    """Whether PEFT takes a module of this name for this target (tuners_utils.check_target_module_exists)."""
    return name == target or name.endswith(f".{target}")


def uncalled(targets: Iterable[str], names: Collection[str]) -> list[str]:
    """The targets for which PEFT takes none of these modules; it says so only where it takes none for any target."""
    return [one for one in targets if not any(called(name, one) for name in names)]


def ending(name: str) -> str:
    """The last part of a module's name; the last two where that is a number."""
    parts = name.split(".")
    return ".".join(parts[-2:]) if parts[-1].isdigit() else parts[-1]


def key(folder: Path) -> dict[str, object]:
    """What the value that is kept of this folder's config.json depends on."""
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
