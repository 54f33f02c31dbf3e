"""The stage that makes what a form loads: weights as they were judged → safetensors and GGUF, recorded when whole."""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import gates
from gates.canonical import canonical_json, digest
from release.config import forms
from release.config.reading import load as load_config
from release.config.settings import Config, Form, Precision
from release.data.chat import Chat, Messages
from release.models import base as bases
from release.models import loading, spread, wheels
from release.models.engines import engine
from release.models.engines.transformers import with_adapter
from release.models.exports import converter, files, gguf_lora, merging, modelfile, parity, problems, quantizer
from release.running import environment
from release.running.place import Place
from release.values import extras, layout
from release.values.artifacts import Manifest, sha256_file, write_atomically
from release.values.as_json import tree
from release.values.errors import PreflightError
from release.values.events import Progress, Say
from release.values.record import Ollama, Parity

if TYPE_CHECKING:
    from transformers import PreTrainedModel

STAGE = "release.models.exports"
KEPT = "base_gguf"
"""Beside the run folders: bases as GGUF, by what they were made of."""
STEPS = 3  # loaded, written as the engine's files, compared and recorded


def exported(run: Path, base: bases.Base, place: Place, say: Say, form: str) -> Path:
    """The record ``exports/FORM.json`` of what this form loads: made now, or found whole."""
    kept, exports = run.parent / KEPT, run / layout.EXPORTS
    for folder in (kept, exports):
        folder.mkdir(exist_ok=True)
    config = load_config(run / "config.yaml")
    gguf = forms.all_of(config)[form].engine == "llama.cpp"
    wheel = wheels.found(converter.WHEEL, say) if gguf else converter.WHEEL.path
    place.of(1, spread.to_merge(config.generation)).call(
        STAGE,
        [run, base.folder, kept, form, wheel],
        reads=[base.folder, *([wheel.parent] if gguf else [])],
        writes=[run, kept],
        say=say,
        log=exports / f"{form}.log",
    )
    return exports / f"{form}.json"


@dataclass(frozen=True, kw_only=True)
class Job:
    """One form of one adapter, and where things are."""

    run: Path
    base: Path
    kept: Path
    wheel: Path
    config: Config
    form: Form

    @property
    def precision(self) -> Precision:
        return forms.precision(self.form, self.config.adapter)

    @property
    def exports(self) -> Path:
        return self.run / layout.EXPORTS

    @property
    def adapter(self) -> Path:
        return self.run / "adapter"

    def chat(self) -> Chat:
        return engine.of_run(self.run, self.base, self.config, self.form).chat

    def base_made_of(self) -> dict[str, object]:
        """What the base's weights in this form depend on, and any file that is converted from them."""
        quantized = asdict(self.config.adapter.quantization) if self.precision == "nf4" else None
        return {
            "base_sha256": sha256_file(self.base / bases.RECORD),
            "precision": self.precision,
            "quantization": quantized,
            "file_type": self.form.file_type,
            "converter": {"name": converter.WHEEL.requirement, "sha256": converter.WHEEL.sha256},
            "versions": {name: environment.versions()[name] for name in ("torch", "transformers", "bitsandbytes")},
        }

    def made_of(self) -> dict[str, object]:
        """What the files of this form depend on."""
        asked = {"engine": self.form.engine, "merged": self.form.merged}
        return {**self.base_made_of(), **asked, "adapter_sha256": Manifest.of_folder(self.adapter).digest}


@dataclass(frozen=True, kw_only=True)
class Made:
    """What was made for a form: names in ``exports/``, and the weights that it was made of."""

    published: str
    base: str | None
    """The base's own GGUF, which no release holds."""
    build: str | None
    """The quantizer's."""
    model: "PreTrainedModel"


def make(job: Job, name: str, say: Say) -> None:
    """What the form of this name loads, in ``exports/``; its record last. What is there whole is not made again."""
    if told := quantizer.problem(job.form.file_type) if job.form.engine == "llama.cpp" else "":
        raise PreflightError(told)
    made_of, record = job.made_of(), job.exports / f"{name}.json"
    if files.whole(job.exports, name, made_of):
        return
    record.unlink(missing_ok=True)

    def done(step: int) -> None:
        say(Progress(name=f"exporting {name}", done=step, total=STEPS))

    done(0)
    said = files.of_another_form(job.exports, made_of) or _made(job, made_of, done)
    write_atomically(record, canonical_json({**said, "ollama": _ollama(job)}))
    done(STEPS)


def _made(job: Job, made_of: Mapping[str, object], done: Callable[[int], None]) -> Mapping[str, object]:
    """What is recorded of files that are made now."""
    model = merging.load(job.base, job.config, job.precision)
    architecture = type(model).__name__
    done(1)
    with tempfile.TemporaryDirectory(dir=job.exports, prefix=".") as work:
        made = (_merged if job.form.merged else _over_the_base)(job, model, Path(work))
    done(2)
    near = _parity(job, made.model)
    if job.form.engine == "llama.cpp" and (far := problems.unfaithful(architecture, job.form, near)):
        raise PreflightError(far)
    return {
        "made_of": made_of,
        "files": files.said(job.exports, made.published),
        "base": files.said(job.exports, made.base) if made.base else {},
        "llama_cpp": made.build,
        "parity": tree(near) if near else None,
    }


def _parity(job: Job, model: "PreTrainedModel") -> Parity | None:
    """How near llama.cpp is to the weights that its file was made of; an export is made without it too."""
    if job.form.engine != "llama.cpp" or extras.missing("xllamacpp"):
        return None
    asked = engine.of_run(job.run, job.base, job.config, job.form)
    return parity.of_a_file(model, asked, [asked.chat.ask(one) for one in _prompts(job)[: parity.ROWS]])


def _prompts(job: Job) -> list[Messages]:
    return [row.prompt for row in gates.read_golden(job.run / layout.DATA["golden"])]


def _ollama(job: Job) -> dict[str, object] | None:
    """What is recorded of Ollama's Modelfile, which is written where there can be one."""
    if job.form.engine != "llama.cpp" or job.form.constraint != "none":
        return None
    asked, prompts = engine.of_run(job.run, job.base, job.config, job.form), _prompts(job)
    return tree(_for_ollama(asked, prompts, max(len(asked.chat.ask(one)) for one in prompts)))


def _for_ollama(asked: engine.Asked, prompts: Sequence[Messages], longest: int) -> Ollama:
    """Ollama's Modelfile, written where there can be one."""
    loads, most = files.loads(asked.form, asked.settings.adapter), asked.settings.generation.max_new_tokens
    says = modelfile.Says(
        model=loads.model,
        adapter=loads.lora,
        context=files.room(longest, most),
        max_new_tokens=most,
        ends=[asked.chat.token(one) for one in asked.chat.ends],
    )
    adds, name = modelfile.adds(asked.exports / loads.model, asked.chat), files.modelfile(loads)
    none = Ollama(file=None, sha256=None, context=says.context, adds=adds, why_not=None)
    try:
        text = modelfile.text(modelfile.Asks(says=says, chat=asked.chat, prompts=prompts, adds=adds)).encode()
    except PreflightError as why:
        return replace(none, why_not=str(why))
    write_atomically(asked.exports / name, text)
    return replace(none, file=name, sha256=hashlib.sha256(text).hexdigest())


def _merged(job: Job, model: "PreTrainedModel", work: Path) -> Made:
    """One model, the adapter in it."""
    merged = merging.merged(model, job.adapter)
    if job.form.engine != "llama.cpp":
        folder = files.merged(job.form, job.config.adapter)
        merging.write(merged, job.base, job.adapter, job.chat(), job.exports / folder)
        return Made(published=folder, base=None, build=None, model=merged)
    merging.write(merged, job.base, job.adapter, job.chat(), work / layout.MERGED)
    name = files.loads(job.form, job.config.adapter).model
    build = _gguf(job, work / layout.MERGED, job.exports / name)
    return Made(published=name, base=None, build=build, model=merged)


def _over_the_base(job: Job, model: "PreTrainedModel", work: Path) -> Made:
    """The base's GGUF, and the adapter's."""
    loads = files.loads(job.form, job.config.adapter)
    assert loads.lora is not None  # else it is merged
    key = digest(job.base_made_of())[:32]
    kept, told = job.kept / f"{key}.gguf", job.kept / f"{key}.json"
    known = _kept(kept, told)
    exact = job.form.file_type in gguf_lora.TYPES
    build = known.get("llama_cpp")
    if not known or not exact:
        merging.write(model, job.base, job.base, job.chat(), work / "base")
    if not known:
        build = _gguf(job, work / "base", kept)
        write_atomically(told, canonical_json({"sha256": sha256_file(kept), "llama_cpp": build, **job.base_made_of()}))
    if not exact:
        converter.convert(job.wheel, work / "base", work / "base.gguf", "F32")
    wrapped = with_adapter(model, job.adapter)
    gguf_lora.write(wrapped, kept if exact else work / "base.gguf", job.exports / loads.lora)
    _link(kept, job.exports / loads.model)
    told_build = build if isinstance(build, str) else None
    return Made(published=loads.lora, base=loads.model, build=told_build, model=wrapped)


def _gguf(job: Job, folder: Path, target: Path) -> str | None:
    """A model folder as a GGUF of the form's type; the quantizer's build where it made it."""
    if job.form.file_type in quantizer.BY_CONVERTER:
        converter.convert(job.wheel, folder, target, job.form.file_type)
        return None
    whole = folder.with_suffix(".gguf")
    converter.convert(job.wheel, folder, whole, "F32")
    return quantizer.quantize(whole, target, job.form.file_type, environment.threads(job.config.run.threads))


def _kept(gguf: Path, told: Path) -> Mapping[str, object]:
    """What is recorded of a base's GGUF that was kept; nothing where it is not there whole."""
    try:
        said: Mapping[str, object] = json.loads(told.read_bytes())
        return said if said["sha256"] == sha256_file(gguf) else {}
    except (OSError, ValueError, KeyError):
        return {}


def _link(source: Path, target: Path) -> None:
    """The same file under a second name, or a copy where the disk is another."""
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:
        partial = target.with_name(f"{target.name}.partial")
        shutil.copyfile(source, partial)
        partial.replace(target)


def stage(arguments: list[str], say: Say) -> None:
    """``RUN BASE KEPT FORM WHEEL``."""
    run, base, kept, form, wheel = arguments
    config = load_config(Path(run) / "config.yaml")
    loading.apart_from_others(config.model, say)
    (Path(run) / layout.EXPORTS).mkdir(exist_ok=True)
    job = Job(
        run=Path(run),
        base=Path(base),
        kept=Path(kept),
        wheel=Path(wheel),
        config=config,
        form=forms.all_of(config)[form],
    )
    make(job, form, say)
