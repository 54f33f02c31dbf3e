"""The stage that stands in the place of training: an imported adapter's bytes into the run folder, as they are."""

import json
import shutil
from dataclasses import asdict, replace
from pathlib import Path

from gates.canonical import canonical_json
from release.config.settings import Config
from release.importing import declared
from release.importing.bring import Brought
from release.models import base as bases
from release.models.built_trainer import write_tokenizer
from release.values import layout
from release.values.artifacts import Adapter, Manifest, write_atomically
from release.values.as_json import part, tree
from release.values.errors import VerificationError
from release.values.record import Origin

RECORD = "origin.json"
"""Where a run folder says which files were taken, and where they come from."""


def take(run: Path, base: bases.Base, brought: Brought, config: Config) -> Adapter:
    """The adapter of this run folder: taken now, or found as it was taken."""
    record, adapter = run / RECORD, run / "adapter"
    if not record.exists():
        whole = run / ".adapter.tmp"
        for left in (whole, adapter):
            shutil.rmtree(left, ignore_errors=True)
        whole.mkdir()
        shutil.copyfile(brought.folder / layout.WEIGHTS, whole / layout.WEIGHTS)
        write_tokenizer(base.folder, run, whole)
        named = {"base_model_name_or_path": config.model.base_model_id, "revision": config.model.revision}
        write_atomically(whole / layout.SETTINGS, canonical_json({**brought.settings, **named}))
        whole.rename(adapter)
        origin = replace(brought.origin, chat_template=_whose(brought, config))
        files = [asdict(file) for file in Manifest.of_folder(adapter).files]
        write_atomically(record, canonical_json({"files": files, "origin": tree(origin)}))
    told = json.loads(record.read_bytes())
    found = Manifest.of_folder(adapter)
    if [asdict(file) for file in found.files] != told["files"]:
        raise VerificationError(
            f"{adapter} is not the adapter that was imported (see {record}). It is left as it is. Restore its files, "
            f"or move {run} away and run again to take it anew."
        )
    origin = replace(part(Origin, told["origin"]), reproduce_with=declared.of(config))
    return Adapter(folder=adapter, files=found, training=None, origin=origin)


def _whose(brought: Brought, config: Config) -> str:
    """Whose chat template it is asked with."""
    if config.model.chat_template:
        return "configuration"
    return "adapter" if brought.template else "base"
