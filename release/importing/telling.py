"""What an import says: what was found, what nobody knows, and the keys of release.yaml to set."""

import json
import re
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gates.canonical import canonical_json
from release.config.settings import EMBEDDED_BASE, Model
from release.importing import fit, mlx
from release.importing.bring import Brought, Known, bring
from release.models import architecture
from release.models import base as bases
from release.values import contents, layout
from release.values.artifacts import write_atomically
from release.values.errors import ConfigError
from release.values.events import Line, Say

_BASE = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*)@([0-9a-f]{40})")
FORMS = {"peft": "PEFT", "mlx": "MLX, converted to PEFT", "gguf": "GGUF, read back into PEFT"}
SHOWN = 12
"""Facts, or names, that are listed."""


@dataclass(frozen=True, kw_only=True)
class Into:
    """Where to write an adapter; None: nowhere."""

    folder: Path | None
    layout: str
    """Whose: ``peft`` or ``mlx``."""


def imported(source: str, to: Into, base: str | None, say: Say) -> Brought:
    """Check the adapter that ``source`` names, say what it is, and write it where it is asked for."""
    model, into = model_of(base) if base else None, to.folder
    if into is not None and into.exists() and (not into.is_dir() or any(into.iterdir())):
        raise ConfigError([f"{into} is there already. Name a folder that is not; nothing is overwritten."])
    found = bring(source, known(model, say) if model else None, say)
    for text in lines(found, model):
        say(Line(text=text))
    if into is not None:
        _write(found, into, to.layout, model)
        say(Line(text=f"\n{into} holds it in {'MLX' if to.layout == 'mlx' else 'PEFT'}'s layout."))
    for text in keys(found, model, str(into) if into and to.layout == "peft" else source):
        say(Line(text=text))
    return found


def model_of(text: str) -> Model:
    """The base model that an option names: ``embedded``, or a repository at a commit."""
    if text == "embedded":
        return Model(base_model_id=EMBEDDED_BASE, source="embedded")
    if not (found := _BASE.fullmatch(text)):
        todo = "`git ls-remote https://huggingface.co/NAMESPACE/NAME HEAD` prints the commit."
        says = "expected embedded, or NAMESPACE/NAME@COMMIT with 40 hex digits, for a branch can move"
        raise ConfigError([f"--base {contents.shown(text)}: {says}. {todo}"])
    return Model(base_model_id=found[1], revision=found[2])


def known(model: Model, say: Say) -> Known:
    """What there is to know of a base model without its weights."""
    outline = bases.outline(model, say)
    return of_outline(outline, model)


def of_outline(outline: bases.Outline, model: Model) -> Known:
    """The same of an outline that is at hand."""
    built = architecture.read(outline.folder, outline.architecture, model, outline.base_model)
    return Known(folder=outline.folder, built=built)


def _write(found: Brought, into: Path, form: str, model: Model | None) -> None:
    if form == "mlx":
        with tempfile.TemporaryDirectory() as scratch:
            _write(found, Path(scratch), "peft", model)
            into.mkdir(parents=True, exist_ok=True)
            mlx.to_mlx(Path(scratch), into)
        return
    into.parent.mkdir(parents=True, exist_ok=True)
    shutil.copytree(found.folder, into, dirs_exist_ok=True)
    base = model.base_model_id if model else found.origin.base
    named = {"base_model_name_or_path": base, "revision": model.revision if model else found.origin.revision}
    settings = {**found.settings, **(named if base and base != fit.LOCAL else {})}
    write_atomically(into / layout.SETTINGS, canonical_json(settings))


def lines(found: Brought, model: Model | None) -> Iterator[str]:
    """What was found, a line each."""
    origin, said = found.origin, found.settings
    ranks, alphas = said.get("rank_pattern"), said.get("alpha_pattern")
    yield f"trained by:   {origin.tool or 'not known'}{f' {origin.tool_version}' if origin.tool_version else ''}"
    yield f"brought as:   {FORMS[origin.form]}, weights with sha256 {origin.weights_sha256}"
    yield f"base:         {origin.base or 'not named'}{f' at {origin.revision}' if origin.revision else ''}"
    scale = " / sqrt(rank) (rsLoRA)" if said.get("use_rslora") else " / rank"
    yield (
        f"LoRA:         rank {said['r']}{', others for some modules' if ranks else ''}, alpha {said['lora_alpha']}"
        f"{', others for some modules' if alphas else ''}, scale alpha{scale}{', DoRA' if said.get('use_dora') else ''}"
    )
    yield f"targets:      {', '.join(fit.targets(found.tensors))}, {len(found.tensors.modules)} modules"
    for name, what in (("modules_to_save", "saved whole"), ("trainable_token_indices", "tokens")):
        if name in said:
            yield f"{what + ':':13} {json.dumps(said[name])[:200]}"
    yield (
        f"tensors:      {found.tensors.count}, {found.tensors.parameters:,} numbers in "
        f"{', '.join(found.tensors.dtypes)}"
    )
    yield f"template:     {_template(found, model)}"
    for name, value in list(origin.told.items())[:SHOWN]:
        yield f"as found:     {contents.shown(name)}: {value}"
    yield f"not known:    {'; '.join(origin.unknown)}"
    for name, why in found.left_out.items():
        yield f"not read:     {name} {why}"
    if model is None:
        yield "not checked:  whether it fits its base; give --base NAMESPACE/NAME@COMMIT"


def _template(found: Brought, model: Model | None) -> str:
    if found.template is None:
        return "the base's"
    if model is None:
        return "its own; where the base has another, its own wins, unless model.chat_template names a third"
    return "its own wins, which is not the base's, unless model.chat_template names another"


def keys(found: Brought, model: Model | None, source: str) -> Iterator[str]:
    """The keys of release.yaml for this adapter."""
    named = found.origin.base
    hub = named is not None and named != fit.LOCAL
    known = fit.unquantized(named) if named and hub else None
    base = model.base_model_id if model else known or "NAMESPACE/NAME"
    copied = f"  # the repository that {named} was made of" if hub and not model and not known else ""
    embedded = model is not None and model.source == "embedded"
    revision = model.revision if model else found.origin.revision if base == named else None
    yield "\nIn release.yaml:"
    yield "model:"
    yield f"  base_model_id: {base}{copied}"
    if embedded or revision:
        yield "  source: embedded" if embedded else f'  revision: "{revision}"'
    else:
        yield '  # revision: "COMMIT"  the one it was trained on; left out, `check` asks the Hub once for that of main'
    yield "adapter:"
    yield "  method: imported"
    yield f"  source: {json.dumps(source)}"
    if named is not None and named != base:
        yield f"  named_base: {named}"
    if found.four_bits:
        yield "  quantization: {load_in_4bit: true}  # as it was trained; leave it out to judge it over 16 bits"
