"""The stage that makes what a form loads: weights as they were judged → safetensors and GGUF, recorded when whole."""

import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gates.canonical import canonical_json, digest
from release.config import forms
from release.config.reading import load as load_config
from release.config.settings import Config, Form, Precision
from release.data import chat as chats
from release.models import base as bases
from release.models import loading, wheels
from release.models.engines.transformers import with_adapter
from release.models.exports import converter, files, gguf_lora, merging, quantizer
from release.running import environment
from release.running.place import Place
from release.values import layout
from release.values.artifacts import Manifest, sha256_file, write_atomically
from release.values.errors import PreflightError
from release.values.events import Progress, Say

if TYPE_CHECKING:
    from transformers import PreTrainedModel

STAGE = "release.models.exports"
KEPT = "base_gguf"
"""Beside the run folders: bases as GGUF, by what they were made of."""
STEPS = 3  # loaded, written as the engine's files, recorded


def exported(run: Path, base: bases.Base, place: Place, say: Say, form: str) -> Path:
    """The record ``exports/FORM.json`` of what this form loads: made now, or found whole."""
    kept, exports = run.parent / KEPT, run / layout.EXPORTS
    for folder in (kept, exports):
        folder.mkdir(exist_ok=True)
    gguf = forms.all_of(load_config(run / "config.yaml"))[form].engine == "llama.cpp"
    wheel = wheels.found(converter.WHEEL, say) if gguf else converter.WHEEL.path
    place.call(
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

    def chat(self) -> chats.Chat:
        wanted = chats.Wanted(arguments=self.config.model.chat_template_kwargs)
        return chats.read(self.adapter, wanted, base=self.base)

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
    model = merging.load(job.base, job.config, job.precision)
    done(1)
    with tempfile.TemporaryDirectory(dir=job.exports, prefix=".") as work:
        if job.form.merged:
            base, published, build = None, *_merged(job, model, Path(work))
        else:
            base, published, build = _over_the_base(job, model, Path(work))
    done(2)
    told_base = files.said(job.exports, base) if base else {}
    said = {"made_of": made_of, "files": files.said(job.exports, published), "base": told_base, "llama_cpp": build}
    write_atomically(record, canonical_json(said))
    done(STEPS)


def _merged(job: Job, model: "PreTrainedModel", work: Path) -> tuple[str, str | None]:
    """The merged model's name in ``exports/``, and the quantizer's build."""
    merged = merging.merged(model, job.adapter)
    if job.form.engine != "llama.cpp":
        folder = files.merged(job.form, job.config.adapter)
        merging.write(merged, job.base, job.adapter, job.chat(), job.exports / folder)
        return folder, None
    merging.write(merged, job.base, job.adapter, job.chat(), work / layout.MERGED)
    name = files.loads(job.form, job.config.adapter).model
    return name, _gguf(job, work / layout.MERGED, job.exports / name)


def _over_the_base(job: Job, model: "PreTrainedModel", work: Path) -> tuple[str, str, str | None]:
    """The names of the base's GGUF and of the adapter's, and the quantizer's build."""
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
    return loads.model, loads.lora, build if isinstance(build, str) else None


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
