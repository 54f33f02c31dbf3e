"""Tuning rows → answers of a trained adapter, in the form it was trained in: a fresh process asks for them."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import gates
from gates.canonical import canonical_json
from release.config.reading import load as load_config
from release.config.settings import Form, Generation
from release.models import base as bases
from release.models import generate, loading, parts
from release.models.engines import engine, table
from release.running import child
from release.running.place import Place
from release.values import layout
from release.values.artifacts import Adapter, Manifest, sha256_file, write_atomically
from release.values.events import Say

FOLDER = "tuning"
"""In a run folder: what the adapter answers to the tuning rows."""
NAME = "answering the tuning rows"
_BEFORE = {"device": "cuda"}
"""What answers were made on of which nothing says it: on one card at most, for several came later."""


@dataclass(frozen=True, kw_only=True)
class Answered:
    """What an adapter answered to the tuning rows."""

    path: Path
    sha256: str
    seconds: float
    tokens: int


def answered(run: Path, base: bases.Base, adapter: Adapter, place: Place, say: Say) -> Answered:
    """The answers of this adapter: made now in this place, or found whole."""
    folder = run / FOLDER
    record = folder / "generation.json"
    wanted = load_config(run / "config.yaml").generation
    if not _is_whole(folder, adapter.files.digest, wanted):
        if record.exists():
            parts.forget(folder)
        record.unlink(missing_ok=True)
        folder.mkdir(exist_ok=True)
        place.of(*generate.shared(wanted, Form())).call(
            __name__,
            [run, base.folder],
            reads=[base.folder],
            writes=[run],
            say=say,
            log=folder / "generate.log",
        )
    made = generate.made_by(adapter, record)
    return Answered(
        path=folder / "answers.jsonl", sha256=made["answers_sha256"], seconds=made["seconds"], tokens=made["tokens"]
    )


def _is_whole(folder: Path, adapter_sha256: str, wanted: Generation) -> bool:
    """Whether this adapter's answers are there as they were written, made on the cards that are asked for by now."""
    try:
        made = json.loads((folder / "generation.json").read_bytes())
        found, answers = made["adapter_sha256"], sha256_file(folder / "answers.jsonl")
        same = (found, made["answers_sha256"]) == (adapter_sha256, answers)
        return same and generate.on_the_cards(made.get("loaded", _BEFORE), wanted)
    except FileNotFoundError:
        return False


def run_answers(run: Path, base_folder: Path, say: Say) -> None:
    """Answer every tuning row with the saved adapter; ``generation.json`` is written last."""
    config, before = load_config(run / "config.yaml"), Manifest.of_folder(run / "adapter")
    loading.apart_from_others(config.model, say)
    asked = engine.of_run(run, base_folder, config, Form())
    prompts = engine.prompts(gates.read_golden(run / layout.DATA["tuning"]), asked.chat)
    with table.ENGINES[asked.form.engine](asked) as opened:
        begun = generate.begin(run / FOLDER, asked, opened, prompts, before)
        found = generate.answer(begun, generate.adapted(asked, opened, before), NAME, say)
    if found is None:
        return
    facts = {**generate.keep(run / FOLDER, found, asked, before), "loaded": opened.loaded}
    write_atomically(run / FOLDER / "generation.json", canonical_json(facts))
    parts.forget(run / FOLDER)


def _stage(arguments: Sequence[str], say: Say) -> None:
    """``RUN BASE``."""
    run, base = arguments
    run_answers(Path(run), Path(base), say)


if __name__ == "__main__":
    child.main(_stage)
