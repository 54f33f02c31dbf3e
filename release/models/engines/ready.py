"""What a form's engine needs and lacks, told before anything is trained."""

from collections.abc import Iterator
from pathlib import Path

from release.config import forms
from release.config.settings import Config, Form
from release.models import constrained
from release.models.engines import openai, vllm
from release.values import extras
from release.values.errors import Stop


def problems(config: Config, *, here: bool) -> list[str]:
    """A sentence for each form that cannot be asked as it stands; ``here`` unless stages run in an image."""
    asked = forms.all_of(config).items()
    return [f"serving.{name}: {why}" for name, form in asked for why in _of_a_form(config, form, here=here)]


def _of_a_form(config: Config, form: Form, *, here: bool) -> Iterator[str]:
    module = {"llama.cpp": "xllamacpp", "openai": "openai"}.get(form.engine, "")
    if form.engine == "transformers" and form.constraint != "none":
        module = "llguidance"
    lacking = extras.missing(module) if module and (here or form.engine == "openai") else ""
    if lacking:
        yield lacking
        return
    try:
        if form.engine == "vllm":
            vllm.python()
        if form.engine == "openai":
            openai.address_of(form.url or "", openai.Patience())
        schema = config.contract.get("schema")
        if module == "llguidance" and here and isinstance(schema, str):
            constrained.grammar_of(Path(config.path.parent, schema))
    except Stop as stop:
        yield str(stop)
