"""What can be known before training of the forms that llama.cpp is to load: what it cannot carry, what is not here."""

import json
from collections.abc import Iterator
from pathlib import Path

from release.config import forms
from release.config.settings import Config, Form
from release.models.architecture import Architecture, ending
from release.models.exports import converter
from release.values import extras
from release.values.record import Parity

CARRIES = {
    "Gemma2ForCausalLM": "Gemma 2",
    "GPTNeoXForCausalLM": "GPT-NeoX, Pythia",
    "GraniteForCausalLM": "Granite",
    "LlamaForCausalLM": "Llama, SmolLM2",
    "MistralForCausalLM": "Mistral",
    "Olmo2ForCausalLM": "OLMo 2",
    "Qwen2ForCausalLM": "Qwen2, Qwen2.5",
    "Qwen3ForCausalLM": "Qwen3",
    "SmolLM3ForCausalLM": "SmolLM3",
}
"""Classes of which a converted LoRA was found to answer as the merged model does, in llama.cpp and in transformers.

Of any other that the converter knows each form is tried before training, with an adapter of random numbers.
"""
FAR = {"Q4_K_M": 0.5}
FAR_WITHOUT = 0.05
"""Mean divergence, in nats, from which on a file of these bits is not that of an architecture that llama.cpp carries.

Rounding to 8 bits and more was seen to cost a hundredth of it and less; rows in another order cost far more.
"""


def untried(config: Config, base: Path) -> list[str]:
    """The forms of llama.cpp, where it was not tried with this base's architecture."""
    told = json.loads((base / "config.json").read_bytes()).get("architectures") or [""]
    asked = forms.all_of(config).items()
    return [] if told[0] in CARRIES else [name for name, form in asked if form.engine == "llama.cpp"]


def notes(built: Architecture | None, config: Config) -> list[str]:
    """What cannot be known before the weights are here, a sentence each."""
    asked = [name for name, form in forms.all_of(config).items() if form.engine == "llama.cpp"]
    if built is None or built.name in CARRIES or not asked:
        return []
    made = f"{', '.join(asked)} is made and compared before training, with an adapter of random numbers"
    return [f"{built.name} was not tried in llama.cpp: {made}"]


def unfaithful(architecture: str, form: Form, found: Parity | None) -> str:
    """Why a file of an architecture that was not tried cannot be believed; empty where it can."""
    if architecture in CARRIES:
        return ""
    if found is None:
        return f"{architecture} was not tried in llama.cpp, which is not here to try it: {extras.missing('xllamacpp')}"
    most = FAR.get(form.file_type, FAR_WITHOUT)
    if found.mean_kl <= most:
        return ""
    return (
        f"llama.cpp does not carry {architecture} as transformers does: its probabilities differ from those of the "
        f"weights that the file was made of by {found.mean_kl:.3g} nats in the mean over {found.tokens} tokens, where "
        f"{most:g} is the most that rounding explains. Take the forms of llama.cpp out of serving, or serve "
        "`merged: true` with engine transformers or vllm."
    )


def export_problems(built: Architecture | None, config: Config) -> list[str]:
    """A sentence for each form that cannot be made or asked as it stands, with what to do; none where all can.

    ``built`` is None where the model's own code builds it.
    """
    asked = {name: form for name, form in forms.all_of(config).items() if form.engine == "llama.cpp"}
    return [f"serving.{name}: {why}" for name, form in asked.items() for why in _of_a_form(built, config, form)]


def _of_a_form(built: Architecture | None, config: Config, form: Form) -> Iterator[str]:
    out = "Take this form out of serving."
    if built is None:
        yield f"llama.cpp knows no model that is built by code of its own (model.trust_remote_code). {out}"
    elif converter.WHEEL.path.exists() and built.name not in converter.architectures(converter.WHEEL.path):
        yield f"llama.cpp's converter ({converter.WHEEL.requirement}) does not know {built.name}. {out}"
    elif not form.merged:
        yield from _of_a_lora(built, config)


def _of_a_lora(built: Architecture, config: Config) -> Iterator[str]:
    """What a LoRA in GGUF cannot carry."""
    lora = config.adapter.lora
    merge = "Serve it `merged: true`."
    if lora.bias != "none":
        yield f"adapter.lora.bias is {lora.bias!r}, and a LoRA in llama.cpp has no biases. {merge}"
    names = built.adapted(lora.target_modules)
    if odd := sorted({ending(one) for one in names if one in built.embeddings}):
        yield f"adapter.lora.target_modules names {', '.join(odd)}, an embedding, whose LoRA it cannot load. {merge}"
