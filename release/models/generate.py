"""Golden questions → answers: a fresh process asks an engine for them, of the base alone and with the saved adapter.

Which prompts, in which order, what is kept and what is recorded is said here; how a model answers, in `engines`.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
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
from release.models import loading, parts, spread
from release.models.engines import engine, table
from release.models.engines.engine import Answerer, Asked, Opened, Prompt
from release.models.exports import files, making
from release.running import child, environment, launched, machine
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
    config = load_config(run / "config.yaml")
    settings, wanted = forms.all_of(config)[form], config.generation
    record = folder / "generation.json"
    if record.exists():
        made = json.loads(record.read_bytes())
        told = {name: made[f"{name}_sha256"] for name in ("answers", *(["base_answers"] if form == TRAINED else []))}
        there = {name: folder / f"{name}.jsonl" for name in told}
        found = {name: sha256_file(path) for name, path in there.items() if path.exists()}
        same = made["adapter_sha256"] == adapter.files.digest and made.get("form") == _told(run, form, settings)
        same = same and on_the_cards(made["loaded"], wanted)
        made_for = not forms.has_files(settings) or files.intact(run / layout.EXPORTS, form)
        if same and found == told and made_for and not _ask_anew(settings, folder):
            return folder
    if record.exists() or not kept_in_parts(settings):
        parts.forget(folder)  # a kill left them beside answers that are asked for anew, or before these were proved
    record.unlink(missing_ok=True)
    kept.mkdir(exist_ok=True)
    folder.mkdir(parents=True, exist_ok=True)
    if forms.has_files(settings):
        making.exported(run, base, place, say, form)
    _place(place, settings).of(*shared(wanted, settings)).call(
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


def _told(run: Path, form: str, settings: Form) -> dict[str, object] | None:
    """What is written of a form beside its answers; the one it was trained in is not said there."""
    return None if form == TRAINED else _deciding(settings, run / layout.in_run(layout.ANSWER_SCHEMA))


def _deciding(form: Form, schema: Path) -> dict[str, object]:
    """What of a form decides its answers: its settings, and the answer schema where it is held to that."""
    return forms.told(form) | ({} if form.constraint == "none" else {"schema_sha256": sha256_file(schema)})


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


def kept_in_parts(form: Form) -> bool:
    """Whether what was answered before a kill is not asked again.

    Other engines answer all at once, so that little is lost; and an address, behind which something else may answer by
    now, says only while it is asked what it is.
    """
    return form.engine == "transformers"


def shared(wanted: Generation, form: Form) -> tuple[int, int]:
    """How many processes share the questions, and how many cards they share.

    Each has a card, and one where there are fewer loses only time; with a device map they have all cards together.
    """
    if form.engine == "vllm":
        return 1, form.tensor_parallel_size or 1
    several = wanted.processes if kept_in_parts(form) else None
    many = machine.at_most(several) if several else 1
    return many, max(many, spread.cards(wanted)) if kept_in_parts(form) else many


def on_the_cards(loaded: Mapping[str, object], wanted: Generation) -> bool:
    """Whether answers were made on one card or on several, as is asked for by now; of a processor nothing is asked."""
    return loaded.get("device") != "cuda" or loaded.get("device_map") == wanted.device_map


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
        alone = _begun_alone(kept, asked, opened, prompts) if form == TRAINED else None
        begun = begin(folder, asked, opened, prompts, before)
        base_facts = _base_answers(run, alone, opened, say) if alone else {}
        unlike = frozenset() if alone or launched.rank() else _without(run, opened, prompts)
        found = answer(begun, adapted(asked, opened, before), NAME if alone else f"answering as {form}", say)
        if found is None:
            return
        if unlike and unlike <= {*found.outputs}:
            raise VerificationError(_without_effect(form, settings, len(unlike)))
        facts = {
            **(base_facts if alone else {"form": _told(run, form, settings)}),
            **keep(folder, found, asked, before),
            **_how(asked, opened, prompts),
        }
    write_atomically(folder / "generation.json", canonical_json(facts))
    parts.forget(folder)


def begin(folder: Path, asked: Asked, opened: Opened, prompts: Sequence[Prompt], before: Manifest) -> parts.Parts:
    """What of an adapter's answers is kept in a folder, and what is left to do; every process of the stage is here."""
    form = _deciding(asked.form, asked.schema)
    key = {**_base_key(asked, opened, prompts), "form": form, "adapter": before.digest}
    begun = parts.begun(folder, key, prompts, opened.batches)
    parts.agree(key)
    return begun


def adapted(asked: Asked, opened: Opened, before: Manifest) -> Answerer:
    """What answers with the adapter, which was ``before`` as it was loaded: so whatever it answers is that one's."""
    answerer = opened.adapted()
    must_be_still(asked.adapter, before)
    return answerer


def answer(begun: parts.Parts, answerer: Answerer, name: str, say: Say) -> parts.Answered | None:
    """The adapter's answers; None in every process but the first."""
    return parts.answered(begun, answerer, lambda done: say(progress(name, done, len(begun.prompts))))


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
        **({"processes": launched.count()} if launched.count() > 1 else {}),
        **({"cards": opened.cards} if opened.cards > 1 else {}),
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


@dataclass(frozen=True, kw_only=True)
class _Alone:
    """What the base is to answer without the adapter."""

    kept: Path
    key: Mapping[str, object]
    begun: parts.Parts
    found: bytes | None
    """What an earlier attempt was answered."""

    @property
    def answers(self) -> Path:
        return self.kept / f"{digest(self.key)[:32]}.jsonl"


def _begun_alone(kept: Path, asked: Asked, opened: Opened, prompts: Sequence[Prompt]) -> _Alone:
    """What is kept of the base's answers, whole or in parts, in the folder ``kept``."""
    key = _base_key(asked, opened, prompts)
    begun = parts.begun(kept, key, prompts, opened.batches)
    alone = _Alone(kept=kept, key=key, begun=begun, found=None)
    return replace(alone, found=_kept_answers(alone.answers.with_suffix(".json"), alone.answers, key))


def _base_answers(run: Path, alone: _Alone, opened: Opened, say: Say) -> dict[str, object]:
    """What the base answers alone, written as ``base_answers.jsonl``, and what to record; nothing but in the first."""
    assert opened.alone is not None  # the form it was trained in is transformers'
    lines, seconds = alone.found, 0.0
    if lines is None:
        total = len(alone.begun.prompts)
        found = parts.answered(alone.begun, opened.alone, lambda done: say(progress(BASE_NAME, done, total)))
        if found is None:
            return {}
        lines, seconds = jsonl(found.outputs), found.seconds
        write_atomically(alone.answers, lines)
        told = canonical_json({**alone.key, "answers_sha256": hashlib.sha256(lines).hexdigest()})
        write_atomically(alone.answers.with_suffix(".json"), told)
    else:
        say(Line(text="  the base's own answers are kept from an earlier attempt"))
    if not launched.rank():
        write_atomically(run / "base_answers.jsonl", lines)
        parts.forget(alone.begun)  # those too that a kill left beside the whole
    return {
        "base_answers_sha256": hashlib.sha256(lines).hexdigest(),
        "base_seconds": round(seconds, 1),
        "base_answers_reused": alone.found is not None,
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
    for output in engine.checked(answerer, prompts):
        found[output.id] = output
        done(len(found))
    return [found[one.id] for one in prompts]


def progress(name: str, done: int, total: int) -> Progress:
    """How many questions are answered."""
    return Progress(name=name, done=done, total=total)


def keep(folder: Path, found: parts.Answered, asked: Asked, before: Manifest) -> dict[str, object]:
    """Write an adapter's answers into a folder; what to record of them.

    ``before`` are the adapter's files as they were before it was loaded.
    """
    lines = jsonl(found.outputs)
    write_atomically(folder / "answers.jsonl", lines)
    must_be_still(asked.adapter, before)
    return {
        "adapter_sha256": before.digest,
        "answers_sha256": hashlib.sha256(lines).hexdigest(),
        "seconds": round(found.seconds, 1),
        "tokens": sum(len(asked.chat.ids(one.output)) for one in found.outputs),
    }


def must_be_still(adapter: Path, before: Manifest) -> None:
    """``VerificationError`` where an adapter's files changed while it answered."""
    if Manifest.of_folder(adapter) != before:
        raise VerificationError(f"{adapter} changed while it was answering. Its answers prove nothing.")


def jsonl(outputs: Sequence[Output]) -> bytes:
    """A file of answers."""
    return "".join(json.dumps(asdict(output), ensure_ascii=False) + "\n" for output in outputs).encode()


def _stage(arguments: Sequence[str], say: Say) -> None:
    """``RUN BASE KEPT FORM``."""
    run, base, kept, form = arguments
    run_generation(Path(run), Path(base), Path(kept), form, say)


if __name__ == "__main__":
    child.main(_stage)
