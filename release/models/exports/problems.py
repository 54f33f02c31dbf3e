"""What can be known before training of the forms that llama.cpp is to load: what it cannot carry, what is not here."""

from collections.abc import Iterator

from release.config import forms
from release.config.settings import Config, Form
from release.models.architecture import Architecture, ending
from release.models.exports import converter, quantizer

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
"""Classes of which a converted LoRA was found to answer as the merged model does, in llama.cpp and in transformers."""


def export_problems(built: Architecture | None, config: Config) -> list[str]:
    """A sentence for each form that cannot be made or asked as it stands, with what to do; none where all can.

    ``built`` is None where the model's own code builds it.
    """
    asked = {name: form for name, form in forms.all_of(config).items() if form.engine == "llama.cpp"}
    return [f"serving.{name}: {why}" for name, form in asked.items() for why in _of_a_form(built, config, form)]


def _of_a_form(built: Architecture | None, config: Config, form: Form) -> Iterator[str]:
    if told := quantizer.problem(form.file_type):
        yield told
    out = "Take this form out of serving."
    if built is None:
        yield f"llama.cpp knows no model that is built by code of its own (model.trust_remote_code). {out}"
    elif built.name not in CARRIES:
        known = ", ".join(sorted(CARRIES))
        yield f"{built.name} is not one of the architectures that were tried in llama.cpp: {known}. {out}"
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
