"""Golden questions → answers of a model that somebody serves: no adapter, no base, and no bytes of either here."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import gates
from gates.canonical import canonical_json
from release.config.reading import load as load_config
from release.config.settings import Config, Form
from release.models import generate
from release.models.engines import openai
from release.models.engines.engine import Prompt
from release.running import child
from release.running.place import Here
from release.values import attestation, layout
from release.values.artifacts import write_atomically
from release.values.events import Say

FORM = "attested"
"""The name of the form, in the configuration of a run, that says where is asked."""
NAME = "asking the address"
TOLD = "hosted.json"
"""In a run folder: what the address said of itself, and how it was asked."""


def form_of(config: Config) -> Form:
    """Where is asked, and how."""
    return config.serving[FORM]


def ask(run: Path, say: Say) -> dict[str, object]:
    """Ask every golden question of a run folder, in a process that has the key of the address and no other.

    Leaves ``answers.jsonl`` and ``TOLD`` there, and returns what that holds.
    """
    Here(secrets=(child.SERVER_KEY,)).call(__name__, [run], writes=[run], say=say, log=run / "ask.log")
    told: dict[str, object] = json.loads((run / TOLD).read_bytes())
    return told


def _answered(run: Path, say: Say) -> None:
    config = load_config(run / "config.yaml")
    form, began = form_of(config), _now()
    rows = gates.read_golden(run / layout.DATA["golden"])
    prompts = [Prompt(id=row.id, messages=row.prompt, text="", ids=()) for row in rows]
    schema = run / layout.in_run(layout.ANSWER_SCHEMA)
    asking = openai.ready(form, config, config.model.chat_template_kwargs, schema)
    outputs = generate.answer_all(
        partial(openai.answers, asking), prompts, lambda done: say(generate.progress(NAME, done, len(prompts)))
    )
    write_atomically(run / layout.in_run(layout.ANSWERS), generate.jsonl(outputs))
    told = {
        "said": asking.told,
        "began": began,
        "ended": _now(),
        "prompts_sha256": attestation.prompts_sha256(one.messages for one in prompts),
        "decoding": generate.decoding(config.generation, form),
    }
    write_atomically(run / TOLD, canonical_json(told))


def _now() -> str:
    """In UTC, to the second."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _stage(arguments: Sequence[str], say: Say) -> None:
    """``RUN``."""
    (run,) = arguments
    _answered(Path(run), say)


if __name__ == "__main__":
    child.main(_stage)
