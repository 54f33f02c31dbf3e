"""What a run writes to the disk of its output folder, by what it is for."""

from collections.abc import Mapping

from release.config import forms, ladder
from release.config.evaluating import metric
from release.config.settings import Config, Form
from release.hub import address
from release.models.architecture import Architecture
from release.planning.estimates import trainable
from release.running.machine import GIB

LOGS = GIB // 4  # rows, answers, reports and logs of a run, and those of a few before it
CHECKPOINTS = 3  # two are kept while a third is written
STATES = 3  # a checkpoint holds the weights and, at most, two values of the optimizer for each
FLOAT32 = 4  # bytes; adapters, and what exports are made from, are written so
BYTES = {"F32": 4.0, "F16": 2.0, "Q8_0": 34 / 32, "Q4_K_M": 0.65}
"""Of a weight in a GGUF: a block of 32 has a scale of two bytes; the last by llama.cpp's own figures for Llama 2 7B."""
UNKNOWN = GIB  # where nobody knows the shape: the adapters of models up to 7 billion weights


def needs(config: Config, shape: Architecture | None) -> dict[str, int]:
    """Bytes by what they are for; together, the most that is there at once.

    Each try keeps its run folder with its adapter, and so does each seed; checkpoints are those of as many as are
    trained at a time.
    """
    if shape is None:
        return {"a model of unknown shape": UNKNOWN}
    trained = [one.config for one in ladder.foreseen(config)] or [config]
    sizes = [trainable(shape, one) * FLOAT32 for one in trained]
    adapter = max(sizes)
    copies = 2 if isinstance(address.of(config), address.Folder) else 1  # packed, and on a Hub of this disk
    made = [form for form in config.serving.values() if forms.has_files(form)]
    passing = max((_while_made(form, shape) for form in made), default=0)
    return {
        "logs": LOGS,
        "adapter": sum(sizes) + (ladder.other_seeds(config) + copies) * adapter,
        "checkpoints": _checkpoints(config) * ladder.at_once(config) * adapter,
        "its download, to be checked": adapter,
        "exports": max(sum(_kept(one, shape, adapter).values()) for one in trained),
        "what exports are made from": passing,
    }


def _checkpoints(config: Config) -> int:
    """How many times an adapter's bytes a training keeps until it ends."""
    kept = CHECKPOINTS + (config.training.on_divergence is not None)  # and one to go back to
    best = kept + 1 if metric(config) else 0  # of each checkpoint, of this step, and what is written of it
    return kept * STATES + best


def _kept(config: Config, shape: Architecture, adapter: int) -> Mapping[object, int]:
    """Bytes that stay, of each file once: forms over the same base share it."""
    found: dict[object, int] = {}
    for form in filter(forms.has_files, config.serving.values()):
        gguf = form.engine == "llama.cpp"
        key = (form.engine, form.merged, forms.precision(form, config.adapter), form.file_type if gguf else "")
        found[key] = int(shape.parameters * (BYTES[form.file_type] if gguf else FLOAT32))
        if gguf and not form.merged:
            found["adapter", *key] = adapter
    return found


def _while_made(form: Form, shape: Architecture) -> int:
    """Bytes that go away again: the model in float32, and a GGUF of it where that is what comes next."""
    if form.engine != "llama.cpp":
        return 0
    whole = shape.parameters * FLOAT32
    by_quantizer, without_lora_type = form.file_type == "Q4_K_M", form.file_type == "Q8_0" and not form.merged
    return 2 * whole if by_quantizer or without_lora_type else whole
