"""What a record says of the stages that trained and answered: each agrees with itself, and their sum with both."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict

from release.checking import recorded_config
from release.config import forms
from release.config.settings import Config, Form
from release.judging import recording
from release.models import attention, loading
from release.values import kernels
from release.values.as_json import to_json
from release.values.errors import shown
from release.values.record import Answering, Generation, Record, Training

SPENT = ("seconds", "tokens", "peak_memory_bytes")


def problems(record: Record) -> Iterator[str]:
    """A line for each that says two things."""
    config, trained, answered = recorded_config.read(record), record.training, record.generation
    stages = {"training": trained, "answering": answered}
    stages_and_forms = stages | {name: form.answering for name, form in (record.forms or {}).items()}
    for name, stage in stages_and_forms.items():
        yield from _libraries(name, stage) if stage is not None else ()
    for name, ran in stages.items():
        yield from _arithmetic(name, ran, record) if ran is not None else ()
    yield from _loaded(record, config)
    yield from _kernels(record, config)
    yield from _spent(record)


def _libraries(name: str, stage: Training | Generation | Answering) -> Iterator[str]:
    """Versions and packages are both of what was installed."""
    for library, version in stage.versions.items():
        if (installed := (stage.packages or {}).get(library, version)) != version:
            yield f"two versions of {shown(library)} in {name}: {shown(version)}, and {shown(installed)} was installed"


def _arithmetic(name: str, stage: Training | Generation, record: Record) -> Iterator[str]:
    """Kernels are deterministic where there is a card; what was set before Python started was seen by the stage."""
    cuda, arithmetic, fixed = stage.hardware.gpu is not None, stage.arithmetic, record.determinism
    where = f"{name} ran {'on' if cuda else 'without'} a GPU"
    if arithmetic is not None and arithmetic.deterministic_algorithms != cuda:
        yield f"{where}, with deterministic_algorithms {shown(not cuda)}"
    if arithmetic is not None and arithmetic.nondeterministic and not cuda:
        yield f"{where}, and without a fixed result of {shown(arithmetic.nondeterministic)}"
    if stage is record.ran and fixed.deterministic_algorithms != cuda:
        yield f"{where}, and determinism says deterministic_algorithms {shown(not cuda)}"
    seen = fixed.environment if arithmetic is None else arithmetic.environment
    if stage is record.ran and not fixed.environment.items() <= seen.items():
        yield f"{name} saw other variables than determinism says: {shown(to_json(seen))}"
    if not cuda and stage.gpu_peak_memory_bytes is not None:
        yield f"{name} took memory of a GPU, and there was none"


def _loaded(record: Record, config: Config) -> Iterator[str]:
    """Where transformers answered, the base was loaded as the configuration says, on that machine.

    No other engine is asked by several processes.
    """
    if record.generation.loaded is not None:
        told, cuda = asdict(record.generation.loaded), record.generation.hardware.gpu is not None
        yield from _other("answering", told, config, None, cuda=cuda)
        yield from _cards("answering", record.generation.cards, told)
    for name in sorted((record.forms or {}).keys() & config.serving.keys()):
        answering = (record.forms or {})[name].answering
        engine = config.serving[name].engine
        if engine != "transformers" and answering.processes is not None:
            yield f"{name}: {shown(answering.processes)} processes answered, and {engine} is asked by one"
        yield from _cards(name, answering.cards, answering.loaded)
        if engine == "transformers" and answering.hardware is not None:
            cuda = answering.hardware.gpu is not None
            yield from _other(name, answering.loaded, config, config.serving[name], cuda=cuda)


def _kernels(record: Record, config: Config) -> Iterator[str]:
    """Where a card's kernels are asked for, each stage that takes them ran on a card, and had them."""
    flash = attention.package(config.model.attn_implementation)
    liger_too = kernels.LIGER if config.training.use_liger_kernel else None
    stages: dict[str, tuple[Training | Generation | Answering | None, tuple[str | None, ...]]] = {
        "training": (record.training, (flash, liger_too)),
        "answering": (record.generation if record.generation.loaded is not None else None, (flash,)),
    }
    for name, form in (record.forms or {}).items():
        asked = config.serving.get(name)
        stages[name] = (form.answering if asked and asked.engine == "transformers" else None, (flash,))
    for name, (stage, needed) in stages.items():
        for package in filter(None, needed if stage else ()):
            if stage and stage.hardware and stage.hardware.gpu is None:
                yield f"{name} ran without a GPU, and its configuration asks for the kernels of {package}"
            elif stage and package not in (stage.packages or {}):
                yield f"{name} names no {package} among its packages, and its configuration asks for its kernels"


def _other(name: str, told: Mapping[str, object], config: Config, form: Form | None, *, cuda: bool) -> Iterator[str]:
    precision = forms.loaded(form or Form(), config.adapter)
    attention, several = config.model.attn_implementation, config.generation.device_map
    expected = asdict(loading.loaded_on(config.adapter, precision, attention, cuda=cuda, device_map=several))
    if wrong := [one for one, value in expected.items() if told.get(one) != value]:
        yield f"{name}: {wrong[0]} was {shown(told.get(wrong[0]))}, its configuration makes {shown(expected[wrong[0]])}"


def _cards(name: str, cards: int | None, told: Mapping[str, object]) -> Iterator[str]:
    """A base lay on several cards only where it was put there."""
    if cards is not None and told.get("device_map") is None:
        yield f"{name}: the base lay on {shown(cards)} cards, and nothing says that it was put on several (device_map)"


def _spent(record: Record) -> Iterator[str]:
    """What was spent is what stages and tries took together; the first records left out the base's answers."""
    if record.generation.base_answers_reused and record.generation.base_seconds:
        yield "the base's answers were kept from before, and took time all the same"
    both = recording.together(record.training, record.generation, record.tries)
    said = {name: getattr(record.spent, name) for name in SPENT}
    first = {**both, "seconds": round(both["seconds"] - (record.generation.base_seconds or 0.0), 1)}
    if said != both and not (record.record == 1 and said == first):
        yield f"the stages took {shown(both)} together, the record says {shown(said)} was spent"
