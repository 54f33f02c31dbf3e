"""The forms that a configuration lists: what each means beside the form that the adapter was trained in."""

from collections.abc import Mapping
from dataclasses import asdict

from release.config.settings import Adapter, Config, Form, Precision
from release.values.layout import TRAINED

CARDS = "tensor_parallel_size"
"""Over how many cards a form is computed, which makes it no other form."""


def all_of(config: Config) -> Mapping[str, Form]:
    """Every form that is judged, by name; the one it was trained in first."""
    return {TRAINED: Form(), **config.serving}


def told(form: Form) -> dict[str, object]:
    """Its settings in the spelling of run folders: those of before ``CARDS`` have none."""
    return {name: value for name, value in asdict(form).items() if (name, value) != (CARDS, None)}


def precision(form: Form, adapter: Adapter) -> Precision:
    """Of the base's weights that the adapter lies over in this form, or is merged into."""
    if form.base == "trained":
        return "nf4" if adapter.quantization.load_in_4bit else "unquantized"
    return form.base


def loaded(form: Form, adapter: Adapter) -> Precision:
    """Of the weights that transformers loads in this form: what was merged is one model of ordinary numbers."""
    return "unquantized" if form.merged else precision(form, adapter)


def loaded_in(config: Config) -> Mapping[str, Precision]:
    """The precision of the weights that transformers loads in each form that it answers in."""
    asked = {name: form for name, form in all_of(config).items() if form.engine == "transformers"}
    return {name: loaded(one, config.adapter) for name, one in asked.items()}


def has_files(form: Form) -> bool:
    """Whether files of its own are made for a form: else it loads the adapter over the base, as both are."""
    return form.engine == "llama.cpp" or form.merged


def trained_over(config: Config) -> tuple[Precision, ...]:
    """The precisions between which the frozen base alternates in training, that of the first step first."""
    if config.adapter.method == "imported":
        return (precision(Form(), config.adapter),)
    if config.training.over != "auto":
        return config.training.over
    served = [form for form in all_of(config).values() if form.required and form.engine != "openai"]
    found = dict.fromkeys(precision(form, config.adapter) for form in served)
    return tuple(found) if config.adapter.method == "qlora" else ("unquantized",)
