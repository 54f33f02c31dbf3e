"""An adapter of any trainer → a folder in PEFT's layout, with what it is and where it comes from."""

import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from gates.canonical import canonical_json
from release.config.settings import Lora
from release.importing import fit, from_gguf, mlx, origin, peft_settings, sources, weights
from release.importing.sources import MLX_WEIGHTS, ORIGIN, Source
from release.importing.weights import NOTHING, Tensors
from release.models.architecture import Architecture
from release.values import bounded, contents, layout, lora_settings
from release.values.artifacts import Manifest, sha256_file, write_atomically
from release.values.as_json import part, tree
from release.values.cache import cache_folder
from release.values.errors import PreflightError
from release.values.events import Say
from release.values.record import Origin, is_origin

Form = Literal["peft", "mlx", "gguf"]


@dataclass(frozen=True, kw_only=True)
class Known:
    """A base model, as far as it is known before its weights are here."""

    folder: Path
    """Its config.json, tokenizer and chat template."""
    built: Architecture | None
    """None where its own code is trusted to build it."""


@dataclass(frozen=True, kw_only=True)
class Brought:
    """An adapter that was trained elsewhere, in PEFT's layout."""

    folder: Path
    """Its weights and settings; its chat template, where that is not the base's; and ``import.json``."""
    settings: Mapping[str, object]
    tensors: Tensors
    origin: Origin
    four_bits: bool
    """Whether what is known says that it was trained over four bits."""
    left_out: Mapping[str, str]
    """Why a file that is usually looked at was not."""

    @property
    def lora(self) -> Lora:
        """The settings of ``adapter.lora`` that it has."""
        return Lora(**lora_settings.configured(self.settings))

    @property
    def sha256(self) -> str:
        """Of weights and settings together."""
        files = Manifest.of_folder(self.folder).files
        return Manifest(files=tuple(one for one in files if one.path in (layout.WEIGHTS, layout.SETTINGS))).digest

    @property
    def template(self) -> Path | None:
        """The chat template that it came with; None where that is the base's, or there was none."""
        path = self.folder / layout.CHAT_TEMPLATE
        return path if path.exists() else None


def bring(text: str, base: Known | None, say: Say) -> Brought:
    """The adapter that ``text`` names, read and checked, in a folder of the cache; raises what stops an import.

    Without a ``base`` nothing says whether it fits one.
    """
    with sources.opened(text, say) as source:
        return brought(source, base)


def brought(source: Source, base: Known | None) -> Brought:
    """The same of an adapter whose files are at hand."""
    kept = cache_folder() / "imported"
    kept.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=kept, prefix=".import-") as above:
        new = Path(above) / "adapter"
        new.mkdir()
        made = _made(source, base, new)
        target = kept / Manifest.of_folder(new).digest[:16]
        if not target.exists():
            new.rename(target)
    return replace(made, folder=target)


def trained_on(source: Source) -> tuple[str | None, str | None]:
    """Base and commit as an adapter names them, before any of it is checked."""
    if known := _kept_origin(source):
        return known.base, known.revision
    if (settings := source.path(layout.SETTINGS)) is None:
        return None, None
    said = peft_settings.parsed(settings)
    base = said.get("base_model_name_or_path")
    return fit.base_named(base if isinstance(base, str) else None), peft_settings.commit(said.get("revision"))


def _made(source: Source, base: Known | None, to: Path) -> Brought:
    """The same in the folder ``to``."""
    form, said = _as_peft(source, base, to)
    found = weights.read(to / layout.WEIGHTS)
    read = peft_settings.read(said, found)
    settings = read.settings
    if base is not None:
        if base.built is not None:
            settings = peft_settings.shortened(settings, (*base.built.linear, *base.built.embeddings))
        if wrong := list(_unfit(source, found, settings, base)):
            raise PreflightError(f"The adapter does not fit its base: {'; '.join(wrong)}. {NOTHING}")
    write_atomically(to / layout.SETTINGS, canonical_json(settings))
    own = _template(source.folder, source.names)
    theirs = own if base is None or fit.chat_differs(own, _template_of(base.folder)) else None
    if theirs is not None:
        write_atomically(to / layout.CHAT_TEMPLATE, theirs.encode())
    told = _kept_origin(source) or _origin(source, form, read, template=own is not None)
    told = replace(told, chat_template="base" if theirs is None else "adapter")
    kept = {"import": 1, "weights_sha256": sha256_file(to / layout.WEIGHTS), "origin": tree(told)}
    write_atomically(to / ORIGIN, canonical_json(kept))
    return Brought(
        folder=to,
        settings=settings,
        tensors=found,
        origin=told,
        four_bits=origin.four_bits(told.told, told.base),
        left_out={contents.shown(name): why for name, why in source.left_out.items()},
    )


def _as_peft(source: Source, base: Known | None, to: Path) -> tuple[Form, Mapping[str, object]]:
    """Write the weights in PEFT's names; the form they had, and the settings in PEFT's names."""
    target, settings = to / layout.WEIGHTS, source.path(layout.SETTINGS)
    if source.gguf is not None:
        if base is None or base.built is None:
            raise PreflightError(
                "A LoRA in GGUF has llama.cpp's names, which only its base can turn back: name it with --base "
                f"NAMESPACE/NAME@COMMIT. {NOTHING}"
            )
        return "gguf", from_gguf.to_peft(source.folder / source.gguf, target, base.built)
    if settings is None:
        raise PreflightError(
            f"The weights lie there without {layout.SETTINGS}, so rank, scale and base are not known. Bring the folder "
            f"as the trainer saved it. {NOTHING}"
        )
    said = peft_settings.parsed(settings)
    if path := source.path(layout.WEIGHTS):
        if "peft_type" not in said and "lora_parameters" in said:
            raise PreflightError(
                f"{layout.SETTINGS} is MLX's and {layout.WEIGHTS} is PEFT's name: rename the weights to {MLX_WEIGHTS} "
                f"if MLX made them. {NOTHING}"
            )
        shutil.copyfile(path, target)
        return "peft", said
    found = source.path(MLX_WEIGHTS)
    assert found is not None  # a source has weights
    mlx.to_peft(found, target)
    return "mlx", mlx.settings(said, found)


def _unfit(source: Source, found: Tensors, settings: Mapping[str, object], base: Known) -> Iterator[str]:
    """Why it is not an adapter for this base."""
    if base.built is not None:
        saved = settings.get("modules_to_save")
        embeds = [name for name, one in found.modules.items() if one.embedding or name == base.built.output]
        yield from fit.problems(
            found, (*embeds, *(saved if isinstance(saved, list) else ()), *found.tokens), base.built
        )
    vocab = base.built.vocab if base.built else 0
    own = _template(source.folder, source.names) or ""
    if "tokenizer.json" not in source.names:
        return
    new = fit.added_tokens(source.folder, base.folder, vocab)
    if used := [one for one in new if one in own]:
        named = ", ".join(contents.shown(one) for one in used[:5])
        yield (
            f"tokens were added to the vocabulary, and its chat template writes them ({named}): the base's tokenizer, "
            "with which it is released, does not know them. Train without new tokens, or publish a base with them"
        )


def _template(folder: Path, names: tuple[str, ...]) -> str | None:
    """The chat template among an adapter's files; None where there is none."""
    if layout.CHAT_TEMPLATE in names:
        return (folder / layout.CHAT_TEMPLATE).read_text("utf-8")
    return _in_settings(folder / "tokenizer_config.json") if "tokenizer_config.json" in names else None


def _template_of(base: Path) -> str | None:
    """The base's own."""
    path = base / layout.CHAT_TEMPLATE
    return path.read_text("utf-8") if path.exists() else _in_settings(base / "tokenizer_config.json")


def _in_settings(path: Path) -> str | None:
    """The template that a tokenizer's settings hold; of several the default one."""
    try:
        found = json.loads(path.read_bytes()).get("chat_template")
    except (OSError, ValueError, AttributeError):
        return None
    if isinstance(found, list):
        named = [one for one in found if isinstance(one, dict) and one.get("name") == "default"]
        found = named[0].get("template") if named else None
    return found if isinstance(found, str) and found else None


def _kept_origin(source: Source) -> Origin | None:
    """What an earlier import wrote of these very weights; None where there is nothing, or of others."""
    path, own = source.path(ORIGIN), source.path(layout.WEIGHTS)
    if path is None or own is None:
        return None
    try:
        said = bounded.json_object(path.read_bytes(), ORIGIN)
    except ValueError:
        return None
    if not is_origin(said.get("origin")) or said.get("weights_sha256") != sha256_file(own):
        return None
    return part(Origin, said["origin"])


def _origin(source: Source, form: Form, read: peft_settings.Read, *, template: bool) -> Origin:
    tool, version = origin.tool(source, form)
    base = fit.base_named(read.base)
    revision = peft_settings.commit(read.revision)
    brought = source.gguf or (layout.WEIGHTS if form == "peft" else MLX_WEIGHTS)
    told = origin.told(source)
    return Origin(
        form=form,
        source=source.hub,
        weights_sha256=sha256_file(source.folder / brought),
        tool=tool,
        tool_version=version,
        base=base,
        revision=revision,
        told=told
        | ({"PEFT version": read.peft_version[:40]} if read.peft_version and "PEFT version" not in told else {}),
        files=origin.files(source),
        chat_template="base",
        unknown=list(origin.unknown(tool, version, base if base != fit.LOCAL else None, revision, template=template)),
    )
