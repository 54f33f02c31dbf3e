"""What a form's engine needs and lacks, told before anything is trained."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from release.config import forms
from release.config.settings import Config, Form
from release.models import constrained
from release.models.engines import openai, vllm
from release.models.exports import quantizer
from release.values import extras
from release.values.errors import Stop


def problems(config: Config, *, here: bool) -> list[str]:
    """A sentence for each form that cannot be asked as it stands; ``here`` unless stages run in an image."""
    asked = forms.all_of(config).items()
    return [f"serving.{name}: {why}" for name, form in asked for why in of_a_form(config, form, here=here)]


def of_a_form(config: Config, form: Form, *, here: bool) -> Iterator[str]:
    """What one form lacks."""
    held = form.constraint != "none" and form.engine in ("transformers", "llama.cpp")
    modules = [{"llama.cpp": "xllamacpp", "openai": "openai"}.get(form.engine, ""), "llguidance" if held else ""]
    lacking = [extras.missing(one) for one in modules if one and (here or one == "openai")]
    if any(lacking):
        yield from filter(None, lacking)
        return
    if here and form.engine == "llama.cpp" and (told := quantizer.problem(form.file_type)):
        yield told
    if not here and form.engine == "llama.cpp" and form.file_type not in quantizer.BY_CONVERTER:
        yield (
            f"file_type {form.file_type} is made by {quantizer.PROGRAM}, which the container image does not have. Say "
            "`file_type: Q8_0`, or `container: never` where llama.cpp is installed."
        )
    if form.engine == "vllm" and (why := vllm.lacking(form)):
        yield why
    try:
        _asked(config, form, held=held and here)
    except Stop as stop:
        yield str(stop)


def _asked(config: Config, form: Form, *, held: bool) -> None:
    """Raises the ``Stop`` that would come after training."""
    if form.engine == "openai":
        openai.address_of(form.url or "", openai.Patience())
    schema = config.contract.get("schema")
    if held and isinstance(schema, str):
        with contextlib.suppress(OSError, ValueError):  # which the check of the contract tells
            constrained.grammar_of(Path(config.path.parent, schema))
