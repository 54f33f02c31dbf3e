"""Golden questions → answers: a fresh process asks an engine for them, of the base alone and with the saved adapter.

Which prompts, in which order, what is kept and what is recorded is said here; how a model answers, in `engines`.
"""

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import gates
from gates import Output
from gates.canonical import canonical_json, digest
from release.config.reading import load as load_config
from release.config.settings import Generation
from release.data import chat as chats
from release.models import base as bases
from release.models import loading
from release.models.engines import table
from release.models.engines.engine import Answerer, Asked, Opened, Prompt
from release.running import child, environment
from release.running.place import Place
from release.values.artifacts import Adapter, Manifest, sha256_file, write_atomically
from release.values.errors import VerificationError
from release.values.events import Line, Progress, Say

NAME = "answering the golden set"
BASE_NAME = "answering without the adapter"
BASE_ANSWERS = "base_answers"
"""Beside the run folders: what bases answered alone, by what it depends on."""


def generate(run: Path, base: bases.Base, adapter: Adapter, place: Place, say: Say) -> Path:
    """``answers.jsonl`` of this adapter over the run folder's golden set: generated now, or found whole."""
    record, answers, kept = run / "generation.json", run / "answers.jsonl", run.parent / BASE_ANSWERS
    if record.exists():
        made = json.loads(record.read_bytes())
        told = {name: made[f"{name}_sha256"] for name in ("answers", "base_answers")}
        there = {name: run / f"{name}.jsonl" for name in told}
        found = {name: sha256_file(path) for name, path in there.items() if path.exists()}
        if made["adapter_sha256"] == adapter.files.digest and found == told:
            return answers
    record.unlink(missing_ok=True)
    kept.mkdir(exist_ok=True)
    place.call(
        __name__,
        [run, base.folder, kept],
        reads=[base.folder],
        writes=[run, kept],
        say=say,
        log=run / "generate.log",
    )
    if json.loads(record.read_bytes())["adapter_sha256"] != adapter.files.digest:
        raise VerificationError(
            f"{adapter.folder} changed between training and generation: the answers are not this adapter's. "
            "Nothing was published. Restore the adapter, or move the run folder away and train again."
        )
    return answers


def run_generation(run: Path, base_folder: Path, kept: Path, say: Say, engine: str = table.DEFAULT) -> None:
    """Answer every golden question, without the adapter and with it; ``generation.json`` is written last.

    What the base answers alone is kept in the folder ``kept`` and used by the next attempt that asks the same.
    """
    config, before = load_config(run / "config.yaml"), Manifest.of_folder(run / "adapter")
    wanted = chats.Wanted(arguments=config.model.chat_template_kwargs)
    chat = chats.read(run / "adapter", wanted, base=base_folder)
    prompts = prompts_of(run, chat)
    asked = Asked(base=base_folder, adapter=run / "adapter", chat=chat, settings=config)
    with table.ENGINES[engine](asked) as opened:
        key = _base_key(engine, asked, opened, prompts)
        base_lines, base_seconds = _base_answers(opened.alone, prompts, kept, key, say)
        started = time.monotonic()
        outputs = answer_all(opened.adapted(), prompts, lambda done: say(_progress(NAME, done, len(prompts))))
        lines, seconds = _jsonl(outputs), time.monotonic() - started
        write_atomically(run / "answers.jsonl", lines)
        write_atomically(run / "base_answers.jsonl", base_lines)
        if Manifest.of_folder(run / "adapter") != before:
            raise VerificationError(f"{run / 'adapter'} changed while it was answering. Its answers prove nothing.")
        facts = {
            "adapter_sha256": before.digest,
            "answers_sha256": hashlib.sha256(lines).hexdigest(),
            "base_answers_sha256": hashlib.sha256(base_lines).hexdigest(),
            "seconds": round(seconds, 1),
            "base_seconds": round(base_seconds or 0.0, 1),
            "base_answers_reused": base_seconds is None,
            "tokens": sum(len(chat.ids(output.output)) for output in outputs),
            **_how(asked, opened, prompts),
        }
    write_atomically(run / "generation.json", canonical_json(facts))


def prompts_of(run: Path, chat: chats.Chat) -> list[Prompt]:
    """The golden questions, asked as everybody asks them who loads this adapter's tokenizer with transformers."""
    rows = gates.read_golden(run / "data" / "golden.jsonl")
    texts = [chat.text(row.prompt, generation_prompt=True) for row in rows]
    prompts = [
        Prompt(id=row.id, messages=row.prompt, text=text, ids=chat.ids(text))
        for row, text in zip(rows, texts, strict=True)
    ]
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
        "decoding": _decoding(asked.settings.generation),
        "peak_memory_bytes": environment.peak_memory_bytes(),
        "image_digest": environment.image_digest(),
        "gpu_peak_memory_bytes": environment.gpu_peak_memory_bytes(),
        **opened.ran_on(),
    }


def _decoding(generation: Generation) -> dict[str, object]:
    return {
        "do_sample": False,
        "max_new_tokens": generation.max_new_tokens,
        "batch_size": generation.batch_size,
        "constraint": None,
    }


def _asked_by(chat: chats.Chat, settled: Path) -> dict[str, object]:
    """What somebody needs to ask as was asked here, beside the published template."""
    return {
        "chat_template_sha256": hashlib.sha256(chat.template.encode()).hexdigest(),
        "chat_template_kwargs": dict(chat.arguments),
        "ends": [{"id": one, "token": chat.token(one)} for one in chat.ends],
        "changed": json.loads(settled.read_bytes())["changed"] if settled.exists() else list(chat.changed),
    }


def _base_key(engine: str, asked: Asked, opened: Opened, prompts: Sequence[Prompt]) -> dict[str, object]:
    """What the base's own answers depend on."""
    return {
        "engine": engine,
        "base": sha256_file(asked.base / bases.RECORD),
        "loaded": opened.loaded,
        "trust_remote_code": asked.settings.model.trust_remote_code,
        "code_sha256": environment.code_sha256(),
        "decoding": _decoding(asked.settings.generation),
        "prompts": digest([asdict(one) for one in prompts]),
        "ends": list(asked.chat.ends),
        "image_digest": environment.image_digest(),
        **opened.ran_on(),
    }


def _base_answers(
    alone: Answerer, prompts: Sequence[Prompt], kept: Path, key: Mapping[str, object], say: Say
) -> tuple[bytes, float | None]:
    """What the base answers alone, as JSON lines, and the seconds that took; None where the answers were kept."""
    name = digest(key)[:32]
    record, answers = kept / f"{name}.json", kept / f"{name}.jsonl"
    if (lines := _kept_answers(record, answers, key)) is not None:
        say(Line(text="  the base's own answers are kept from an earlier attempt"))
        return lines, None
    started = time.monotonic()
    lines = _jsonl(answer_all(alone, prompts, lambda done: say(_progress(BASE_NAME, done, len(prompts)))))
    write_atomically(answers, lines)
    write_atomically(record, canonical_json({**key, "answers_sha256": hashlib.sha256(lines).hexdigest()}))
    return lines, time.monotonic() - started


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


def _progress(name: str, done: int, total: int) -> Progress:
    return Progress(name=name, done=done, total=total)


def _jsonl(outputs: Sequence[Output]) -> bytes:
    return "".join(json.dumps(asdict(output), ensure_ascii=False) + "\n" for output in outputs).encode()


def _stage(arguments: Sequence[str], say: Say) -> None:
    """``RUN BASE KEPT [ENGINE]``."""
    run, base, kept, *engine = arguments
    run_generation(Path(run), Path(base), Path(kept), say, *engine)


if __name__ == "__main__":
    child.main(_stage)
