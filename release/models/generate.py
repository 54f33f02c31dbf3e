"""Golden questions → answers: a fresh process asks an engine for them, of the base alone and with the saved adapter.

Which prompts, in which order, what is kept and what is recorded is said here; how a model answers, in `engines`.
"""

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import gates
from gates import Output
from gates.canonical import canonical_json, digest
from release.config import forms
from release.config.reading import load as load_config
from release.config.settings import Form, Generation
from release.data import chat as chats
from release.models import base as bases
from release.models import loading
from release.models.engines import engine, table
from release.models.engines.engine import Answerer, Asked, Opened, Prompt
from release.models.exports import files, making
from release.running import child, environment
from release.running.place import Here, Place
from release.values import layout
from release.values.artifacts import Adapter, Manifest, sha256_file, write_atomically
from release.values.errors import VerificationError
from release.values.events import Line, Progress, Say
from release.values.layout import TRAINED

NAME = "answering the golden set"
BASE_NAME = "answering without the adapter"
FORMS = "forms"
"""In a run folder: a folder for each form but the one it was trained in."""
ASKED_AGAIN = 16
"""Rows on which an engine is asked for the base's answers too: where these are its adapter's, it ignores it."""
BASE_ANSWERS = "base_answers"
"""Beside the run folders: what bases answered alone, by what it depends on."""


def folder_of(run: Path, form: str) -> Path:
    """Where a run folder holds the answers in this form."""
    return run if form == TRAINED else run / FORMS / form


def generate(run: Path, base: bases.Base, adapter: Adapter, place: Place, say: Say, form: str = TRAINED) -> Path:
    """The folder with ``answers.jsonl`` and ``generation.json`` of this adapter in this form: made now, or found whole.

    The answers of the form it was trained in come first: those of another are compared with them.
    """
    folder, kept = folder_of(run, form), run.parent / BASE_ANSWERS
    settings = forms.all_of(load_config(run / "config.yaml"))[form] if form != TRAINED else Form()
    record = folder / "generation.json"
    if record.exists():
        made = json.loads(record.read_bytes())
        told = {name: made[f"{name}_sha256"] for name in ("answers", *(["base_answers"] if form == TRAINED else []))}
        there = {name: folder / f"{name}.jsonl" for name in told}
        found = {name: sha256_file(path) for name, path in there.items() if path.exists()}
        same = made["adapter_sha256"] == adapter.files.digest and made.get("form") == _told(form, settings)
        made_for = not forms.has_files(settings) or files.intact(run / layout.EXPORTS, form)
        if same and found == told and made_for and not _ask_anew(settings, folder):
            return folder
    record.unlink(missing_ok=True)
    kept.mkdir(exist_ok=True)
    folder.mkdir(parents=True, exist_ok=True)
    if forms.has_files(settings):
        making.exported(run, base, place, say, form)
    _place(place, settings).call(
        __name__,
        [run, base.folder, kept, form],
        reads=[base.folder],
        writes=[run, kept],
        say=say,
        log=folder / "generate.log",
    )
    made_by(adapter, record)
    return folder


def made_by(adapter: Adapter, record: Path) -> dict[str, Any]:
    """What a stage recorded of its answers; ``VerificationError`` where another adapter gave them."""
    made: dict[str, Any] = json.loads(record.read_bytes())
    if made["adapter_sha256"] != adapter.files.digest:
        raise VerificationError(
            f"{adapter.folder} changed between training and generation: the answers are not this adapter's. "
            "Nothing was published. Restore the adapter, or move the run folder away and train again."
        )
    return made


def _told(form: str, settings: Form) -> dict[str, object] | None:
    """What is written of a form beside its answers; the one it was trained in is not said there."""
    return None if form == TRAINED else asdict(settings)


def _ask_anew(form: Form, folder: Path) -> bool:
    """Whether an address is asked again because it did not pass: something else may answer there by now."""
    verdict = folder / "verdict.json"
    return form.engine == "openai" and verdict.exists() and not json.loads(verdict.read_bytes())["passed"]


def _place(place: Place, form: Form) -> Place:
    """Where a form is asked: on this machine itself what an image cannot have.

    An address needs a network and its key, and vLLM an environment of its own.
    """
    if form.engine not in ("openai", "vllm"):
        return place
    here = place if isinstance(place, Here) else Here()
    return replace(here, secrets=(child.SERVER_KEY,)) if form.engine == "openai" else here


def run_generation(run: Path, base_folder: Path, kept: Path, form: str, say: Say) -> None:
    """Answer every golden question in a form; ``generation.json`` is written last.

    In the form it was trained in the base answers them all without the adapter too: what it says is kept in the folder
    ``kept`` and used by the next attempt that asks the same.
    """
    config, before = load_config(run / "config.yaml"), Manifest.of_folder(run / "adapter")
    loading.apart_from_others(config.model, say)
    settings = forms.all_of(config)[form]
    asked = engine.of_run(run, base_folder, config, settings)
    prompts, folder = prompts_of(run, asked.chat), folder_of(run, form)
    folder.mkdir(parents=True, exist_ok=True)
    with table.ENGINES[settings.engine](asked) as opened:
        base_facts = _base_answers(run, kept, asked, opened, prompts, say) if form == TRAINED else {}
        alone = frozenset() if form == TRAINED else _without(run, opened, prompts)
        started, name = time.monotonic(), NAME if form == TRAINED else f"answering as {form}"
        outputs = answer_all(opened.adapted(), prompts, lambda done: say(progress(name, done, len(prompts))))
        seconds = time.monotonic() - started
        if alone and alone <= {*outputs}:
            raise VerificationError(_without_effect(form, settings, len(alone)))
        facts = {
            **(base_facts if form == TRAINED else {"form": _told(form, settings)}),
            **keep(folder, outputs, asked, before, seconds),
            **_how(asked, opened, prompts),
        }
    write_atomically(folder / "generation.json", canonical_json(facts))


def _without(run: Path, opened: Opened, prompts: Sequence[Prompt]) -> frozenset[Output]:
    """What the base answers without the adapter to some of the questions to which the adapter, as trained, did not."""
    base = gates.read_outputs(run / "base_answers.jsonl")
    changed = {one.id for one in base} - {one.id for one in {*base} & {*gates.read_outputs(run / "answers.jsonl")}}
    asked = [one for one in prompts if one.id in changed][:ASKED_AGAIN]
    if not asked:  # as trained it answers as the base does, which is for the gates to say
        return frozenset()
    if opened.alone is not None:
        return frozenset(opened.alone(asked))
    return frozenset(one for one in base if one.id in {each.id for each in asked})


def _without_effect(name: str, form: Form, rows: int) -> str:
    where = f"{form.url}, model {form.model}," if form.url else form.engine
    return (
        f"serving.{name}: {where} answers {rows} of {rows} questions as the base without the adapter does, to each of "
        "which the adapter answers otherwise in the form it was trained in: the adapter is not loaded there, and the "
        "base answers in its name. Nothing was published. See that it is loaded (of vLLM: --enable-lora, and the "
        "adapter's name as model), or take this form out of serving."
    )


def prompts_of(run: Path, chat: chats.Chat) -> list[Prompt]:
    """The golden questions, asked as everybody asks them who loads this adapter's tokenizer with transformers."""
    prompts = engine.prompts(gates.read_golden(run / "data" / "golden.jsonl"), chat)
    told = loading.load_tokenizer(run / "adapter", chat)
    if problem := loading.asks_otherwise(told, chat, ((one.messages, one.ids) for one in prompts)):
        raise VerificationError(f"{problem} Nothing was judged.")
    return prompts


def _how(asked: Asked, opened: Opened, prompts: Sequence[Prompt]) -> dict[str, object]:
    """How was asked and answered, once it is done."""
    return {
        "prompts_sha256": digest([one.text for one in prompts]),
        "chat": _asked_by(asked.chat, asked.adapter.with_name(chats.SETTLED)),
        "loaded": opened.loaded,
        "decoding": decoding(asked.settings.generation, asked.form),
        "peak_memory_bytes": environment.peak_memory_bytes(),
        "image_digest": environment.image_digest(),
        "gpu_peak_memory_bytes": environment.gpu_peak_memory_bytes(),
        **opened.ran_on(),
    }


def decoding(generation: Generation, form: Form) -> dict[str, object]:
    """How answers are written, as a record says it."""
    return {
        "do_sample": False,
        "max_new_tokens": generation.max_new_tokens,
        "batch_size": generation.batch_size,
        "constraint": None if form.constraint == "none" else form.constraint,
    }


def _asked_by(chat: chats.Chat, settled: Path) -> dict[str, object]:
    """What somebody needs to ask as was asked here, beside the published template."""
    return {
        "chat_template_sha256": hashlib.sha256(chat.template.encode()).hexdigest(),
        "chat_template_kwargs": dict(chat.arguments),
        "ends": [{"id": one, "token": chat.token(one)} for one in chat.ends],
        "changed": json.loads(settled.read_bytes())["changed"] if settled.exists() else list(chat.changed),
    }


def _base_key(asked: Asked, opened: Opened, prompts: Sequence[Prompt]) -> dict[str, object]:
    """What the base's own answers depend on."""
    return {
        "engine": asked.form.engine,
        "base": sha256_file(asked.base / bases.RECORD),
        "loaded": opened.loaded,
        "trust_remote_code": asked.settings.model.trust_remote_code,
        "code_sha256": environment.code_sha256(),
        "decoding": decoding(asked.settings.generation, asked.form),
        "batches": asked.settings.generation.batches,
        "prompts": digest([asdict(one) for one in prompts]),
        "ends": list(asked.chat.ends),
        "image_digest": environment.image_digest(),
        **opened.ran_on(),
    }


def _base_answers(
    run: Path, kept: Path, asked: Asked, opened: Opened, prompts: Sequence[Prompt], say: Say
) -> dict[str, object]:
    """What the base answers alone, written as ``base_answers.jsonl``, and what to record of it."""
    assert opened.alone is not None  # the form it was trained in is transformers'
    key = _base_key(asked, opened, prompts)
    name = digest(key)[:32]
    record, answers, started = kept / f"{name}.json", kept / f"{name}.jsonl", time.monotonic()
    lines = _kept_answers(record, answers, key)
    reused = lines is not None
    if lines is None:
        lines = jsonl(answer_all(opened.alone, prompts, lambda done: say(progress(BASE_NAME, done, len(prompts)))))
        write_atomically(answers, lines)
        write_atomically(record, canonical_json({**key, "answers_sha256": hashlib.sha256(lines).hexdigest()}))
    else:
        say(Line(text="  the base's own answers are kept from an earlier attempt"))
    write_atomically(run / "base_answers.jsonl", lines)
    return {
        "base_answers_sha256": hashlib.sha256(lines).hexdigest(),
        "base_seconds": 0.0 if reused else round(time.monotonic() - started, 1),
        "base_answers_reused": reused,
    }


def _kept_answers(record: Path, answers: Path, key: Mapping[str, object]) -> bytes | None:
    """The answers that were kept under this key; None where there are none, or not as they were written."""
    try:
        lines, said = answers.read_bytes(), json.loads(record.read_bytes())
    except (FileNotFoundError, ValueError):
        return None
    return lines if said == {**key, "answers_sha256": hashlib.sha256(lines).hexdigest()} else None


def answer_all(answerer: Answerer, prompts: Sequence[Prompt], done: Callable[[int], None]) -> list[Output]:
    """One output for each prompt, in their order, in whichever the engine gives them."""
    found: dict[str, Output] = {}
    done(0)
    for output in answerer(prompts):
        if output.id in found:
            raise RuntimeError(f"The engine answered row {output.id} twice: nobody can tell which answer counts.")
        found[output.id] = output
        done(len(found))
    if found.keys() != (ids := {one.id for one in prompts}):
        wrong = min(found.keys() ^ ids)
        raise RuntimeError(f"The engine gave answers to other rows than it was asked, see row {wrong}.")
    return [found[one.id] for one in prompts]


def progress(name: str, done: int, total: int) -> Progress:
    """How many questions are answered."""
    return Progress(name=name, done=done, total=total)


def keep(folder: Path, outputs: Sequence[Output], asked: Asked, before: Manifest, seconds: float) -> dict[str, object]:
    """Write an adapter's answers into a folder; what to record of them.

    ``before`` are the adapter's files as they were before it was loaded.
    """
    lines = jsonl(outputs)
    write_atomically(folder / "answers.jsonl", lines)
    if Manifest.of_folder(asked.adapter) != before:
        raise VerificationError(f"{asked.adapter} changed while it was answering. Its answers prove nothing.")
    return {
        "adapter_sha256": before.digest,
        "answers_sha256": hashlib.sha256(lines).hexdigest(),
        "seconds": round(seconds, 1),
        "tokens": sum(len(asked.chat.ids(one.output)) for one in outputs),
    }


def jsonl(outputs: Sequence[Output]) -> bytes:
    """A file of answers."""
    return "".join(json.dumps(asdict(output), ensure_ascii=False) + "\n" for output in outputs).encode()


def _stage(arguments: Sequence[str], say: Say) -> None:
    """``RUN BASE KEPT FORM``."""
    run, base, kept, form = arguments
    run_generation(Path(run), Path(base), Path(kept), form, say)


if __name__ == "__main__":
    child.main(_stage)
