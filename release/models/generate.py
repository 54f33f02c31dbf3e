"""Golden questions → answers: a fresh process reloads the saved adapter and decodes greedily, without constraints."""

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gates
from gates.canonical import canonical_json
from release.config.reading import load as load_config
from release.config.settings import Config, Generation
from release.data import chat as chats
from release.models import arithmetic, loading
from release.models import base as bases
from release.running import child, container, environment
from release.values.artifacts import Adapter, Manifest, sha256_file, write_atomically
from release.values.errors import VerificationError
from release.values.events import Line, Progress, Say

if TYPE_CHECKING:
    from transformers import PreTrainedModel

NAME = "answering the golden set"
BASE_NAME = "answering without the adapter"
BASE_ANSWERS = "base_answers"
"""Beside the run folders: what bases answered alone, by what it depends on."""


def generate(run: Path, base: bases.Base, adapter: Adapter, say: Say, image: container.Image | None = None) -> Path:
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
    container.call(
        image,
        "release.models.generate",
        str(run),
        str(base.folder),
        str(kept),
        say=say,
        log=run / "generate.log",
        reads=[base.folder],
        writes=[run, kept],
    )
    if json.loads(record.read_bytes())["adapter_sha256"] != adapter.files.digest:
        raise VerificationError(
            f"{adapter.folder} changed between training and generation: the answers are not this adapter's. "
            "Nothing was published. Restore the adapter, or move the run folder away and train again."
        )
    return answers


def run_generation(run: Path, base_folder: Path, kept: Path, say: Say) -> None:
    """Answer every golden question, without the adapter and with it; ``generation.json`` is written last.

    What the base answers alone is kept in the folder ``kept`` and used by the next attempt that asks the same.
    """
    config = load_config(run / "config.yaml")
    arithmetic.make_deterministic(config.run.seed, environment.threads(config.run.threads))
    before = Manifest.of_folder(run / "adapter")
    wanted = chats.Wanted(arguments=config.model.chat_template_kwargs)
    chat = chats.read(run / "adapter", wanted, base=base_folder)
    rows = gates.read_golden(run / "data" / "golden.jsonl")
    prompts = [chat.text(row.prompt, generation_prompt=True) for row in rows]
    questions = [Question(id=row.id, ids=chat.ids(prompt)) for row, prompt in zip(rows, prompts, strict=True)]
    asked = [(row.prompt, question.ids) for row, question in zip(rows, questions, strict=True)]
    if problem := loading.asks_otherwise(loading.load_tokenizer(run / "adapter", chat), chat, asked):
        raise VerificationError(f"{problem} Nothing was judged.")
    model = loading.load_model(base_folder, config.adapter, trust_remote_code=config.model.trust_remote_code)
    asking = Asking(model=model, chat=chat, generation=config.generation)
    base_lines, base_seconds = _base_answers(asking, questions, kept, _base_key(config, base_folder), say)
    started = time.monotonic()
    adapted = replace(asking, model=load_with_adapter(model, run / "adapter"))
    outputs = answer_all(adapted, questions, lambda done: say(_progress(NAME, done, len(rows))))
    lines, seconds = _jsonl(outputs), time.monotonic() - started
    write_atomically(run / "answers.jsonl", lines)
    write_atomically(run / "base_answers.jsonl", base_lines)
    if Manifest.of_folder(run / "adapter") != before:
        raise VerificationError(f"{run / 'adapter'} changed while it was answering. Its answers prove nothing.")
    write_atomically(
        run / "generation.json",
        canonical_json(
            {
                "adapter_sha256": before.digest,
                "answers_sha256": hashlib.sha256(lines).hexdigest(),
                "base_answers_sha256": hashlib.sha256(base_lines).hexdigest(),
                "prompts_sha256": hashlib.sha256(canonical_json(prompts)).hexdigest(),
                "chat": _asked_by(chat, run),
                "loaded": asdict(loading.loaded_as(config.adapter)),
                "decoding": _decoding(config.generation),
                "seconds": round(seconds, 1),
                "base_seconds": round(base_seconds or 0.0, 1),
                "base_answers_reused": base_seconds is None,
                "tokens": sum(len(chat.ids(output["output"])) for output in outputs),
                "peak_memory_bytes": environment.peak_memory_bytes(),
                "image_digest": environment.image_digest(),
                "gpu_peak_memory_bytes": environment.gpu_peak_memory_bytes(),
                **arithmetic.surroundings(),
            }
        ),
    )


@dataclass(frozen=True, kw_only=True)
class Question:
    id: str
    ids: tuple[int, ...]
    """The prompt's tokens."""


@dataclass(frozen=True, kw_only=True)
class Asking:
    """A model, and how it is asked."""

    model: "PreTrainedModel"
    chat: chats.Chat
    generation: Generation


def _decoding(generation: Generation) -> dict[str, Any]:
    return {
        "do_sample": False,
        "max_new_tokens": generation.max_new_tokens,
        "batch_size": generation.batch_size,
        "constraint": None,
    }


def _asked_by(chat: chats.Chat, run: Path) -> dict[str, Any]:
    """What somebody needs to ask as was asked here, beside the published template."""
    settled = run / chats.SETTLED
    return {
        "chat_template_sha256": hashlib.sha256(chat.template.encode()).hexdigest(),
        "chat_template_kwargs": dict(chat.arguments),
        "ends": [{"id": one, "token": chat.token(one)} for one in chat.ends],
        "changed": json.loads(settled.read_bytes())["changed"] if settled.exists() else list(chat.changed),
    }


def _base_key(config: Config, base_folder: Path) -> dict[str, Any]:
    """What the base's own answers depend on, beside the questions and how they are asked."""
    return {
        "base": sha256_file(base_folder / bases.RECORD),
        "loaded": asdict(loading.loaded_as(config.adapter)),
        "trust_remote_code": config.model.trust_remote_code,
        "code_sha256": environment.code_sha256(),
        "decoding": _decoding(config.generation),
        "image_digest": environment.image_digest(),
        **arithmetic.surroundings(),
    }


def _base_answers(
    asking: Asking, questions: Sequence[Question], kept: Path, key: Mapping[str, Any], say: Say
) -> tuple[bytes, float | None]:
    """What the base answers alone, as JSON lines, and the seconds that took; None where the answers were kept."""
    asked = hashlib.sha256(canonical_json([asdict(one) for one in questions])).hexdigest()
    key = {**key, "questions": asked, "ends": list(asking.chat.ends)}
    name = hashlib.sha256(canonical_json(key)).hexdigest()[:32]
    record, answers = kept / f"{name}.json", kept / f"{name}.jsonl"
    if (lines := _kept_answers(record, answers, key)) is not None:
        say(Line(text="  the base's own answers are kept from an earlier attempt"))
        return lines, None
    started = time.monotonic()
    asking.model.eval()
    outputs = answer_all(asking, questions, lambda done: say(_progress(BASE_NAME, done, len(questions))))
    lines = _jsonl(outputs)
    write_atomically(answers, lines)
    write_atomically(record, canonical_json({**key, "answers_sha256": hashlib.sha256(lines).hexdigest()}))
    return lines, time.monotonic() - started


def _kept_answers(record: Path, answers: Path, key: Mapping[str, Any]) -> bytes | None:
    """The answers that were kept under this key; None where there are none, or not as they were written."""
    try:
        lines, said = answers.read_bytes(), json.loads(record.read_bytes())
    except (FileNotFoundError, ValueError):
        return None
    return lines if said == {**key, "answers_sha256": hashlib.sha256(lines).hexdigest()} else None


def answer_all(asking: Asking, questions: Sequence[Question], done: Callable[[int], None]) -> list[dict[str, Any]]:
    """An output for each question, in their order."""
    outputs: list[dict[str, Any]] = []
    done(0)
    for start in range(0, len(questions), asking.generation.batch_size):
        batch = questions[start : start + asking.generation.batch_size]
        texts = answer(asking, [one.ids for one in batch])
        outputs += [{"id": one.id, **text} for one, text in zip(batch, texts, strict=True)]
        done(len(outputs))
    return outputs


def _progress(name: str, done: int, total: int) -> Progress:
    return Progress(name=name, done=done, total=total)


def _jsonl(outputs: list[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(output, ensure_ascii=False) + "\n" for output in outputs).encode()


def load_with_adapter(model: "PreTrainedModel", adapter: Path) -> "PreTrainedModel":
    """The base with the adapter's saved weights. Every tensor of the file must be used, and none may be missing.

    PEFT only warns about keys that do not fit; the base would then answer in the adapter's name.
    """
    import torch
    from peft import PeftConfig, get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict
    from safetensors.torch import load_file

    tensors = load_file(str(adapter / "adapter_model.safetensors"))
    wrapped: PreTrainedModel = get_peft_model(model, PeftConfig.from_pretrained(str(adapter)))
    wanted = get_peft_model_state_dict(wrapped).keys()
    missing, unexpected = sorted(wanted - tensors.keys()), sorted(tensors.keys() - wanted)
    if missing or unexpected:
        raise VerificationError(
            f"{adapter} does not fit the base model: {len(missing)} tensors missing, "
            f"{len(unexpected)} unexpected, such as {[*missing, *unexpected][0]}. "
            "The base was changed, or the adapter is another model's. Check base_model_id and revision."
        )
    set_peft_model_state_dict(wrapped, tensors)
    if not any(bool(torch.any(tensor != 0)) for name, tensor in tensors.items() if "lora_B" in name):
        raise VerificationError(f"Every lora_B tensor in {adapter} is zero: the adapter does nothing. Train it.")
    wrapped.eval()
    return wrapped


def answer(asking: Asking, prompts: Sequence[Sequence[int]]) -> list[dict[str, str]]:
    """Greedy answers to a batch of prompts, each as token ids: the text up to an end, and whether one came."""
    import torch

    longest, ends = max(map(len, prompts)), list(asking.chat.ends)
    device = asking.model.device
    ids = torch.tensor([[ends[0]] * (longest - len(one)) + list(one) for one in prompts], device=device)
    mask = torch.tensor([[0] * (longest - len(one)) + [1] * len(one) for one in prompts], device=device)
    with torch.inference_mode():
        whole = asking.model.generate(
            input_ids=ids,
            attention_mask=mask,
            max_new_tokens=asking.generation.max_new_tokens,
            do_sample=False,
            temperature=None,
            top_p=None,
            top_k=None,
            eos_token_id=ends,
            pad_token_id=ends[0],
        )
    read = [asking.chat.judged(tokens) for tokens in whole[:, longest:].tolist()]
    return [{"output": text, "finish_reason": "stop" if ended else "length"} for text, ended in read]


if __name__ == "__main__":
    child.main(lambda arguments, say: run_generation(Path(arguments[0]), Path(arguments[1]), Path(arguments[2]), say))
