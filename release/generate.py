"""Golden questions → answers: a fresh process reloads the saved adapter and decodes greedily, without constraints."""

import hashlib
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gates
from release import base as bases
from release import child, container, environment
from release.artifacts import Adapter, Manifest, canonical_json, sha256_file, write_atomically
from release.config import Generation
from release.config import load as load_config
from release.errors import VerificationError
from release.events import Progress, Say

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

NAME = "answering the golden set"
BASE_NAME = "answering without the adapter"


def generate(run: Path, base: bases.Base, adapter: Adapter, say: Say, image: container.Image | None = None) -> Path:
    """``answers.jsonl`` of this adapter over the run folder's golden set: generated now, or found whole."""
    record, answers = run / "generation.json", run / "answers.jsonl"
    if record.exists():
        made = json.loads(record.read_bytes())
        told = {name: made[f"{name}_sha256"] for name in ("answers", "base_answers")}
        there = {name: run / f"{name}.jsonl" for name in told}
        found = {name: sha256_file(path) for name, path in there.items() if path.exists()}
        if made["adapter_sha256"] == adapter.files.digest and found == told:
            return answers
    record.unlink(missing_ok=True)
    container.call(
        image,
        "release.generate",
        str(run),
        str(base.folder),
        say=say,
        log=run / "generate.log",
        reads=[base.folder],
        writes=[run],
    )
    if json.loads(record.read_bytes())["adapter_sha256"] != adapter.files.digest:
        raise VerificationError(
            f"{adapter.folder} changed between training and generation: the answers are not this adapter's. "
            "Nothing was published. Restore the adapter, or move the run folder away and train again."
        )
    return answers


def run_generation(run: Path, base_folder: Path, say: Say) -> None:
    """Answer every golden question; ``generation.json`` is written last."""
    config = load_config(run / "config.yaml")
    environment.make_deterministic(config.run.seed, environment.threads(config.run.threads))
    before = Manifest.of_folder(run / "adapter")
    tokenizer = bases.load_tokenizer(run / "adapter")
    tokenizer.padding_side = "left"
    model = load_with_adapter(
        bases.load_model(base_folder, config.adapter, trust_remote_code=config.model.trust_remote_code),
        run / "adapter",
    )
    rows = gates.read_golden(run / "data" / "golden.jsonl")
    prompts = [
        tokenizer.apply_chat_template(list(row.prompt), tokenize=False, add_generation_prompt=True) for row in rows
    ]
    started = time.monotonic()
    questions = [(row.id, prompt) for row, prompt in zip(rows, prompts, strict=True)]
    generation = config.generation
    outputs = answer_all(model, tokenizer, questions, generation, lambda done: say(_progress(NAME, done, len(rows))))
    seconds = time.monotonic() - started
    with model.disable_adapter():
        plain = answer_all(
            model, tokenizer, questions, generation, lambda done: say(_progress(BASE_NAME, done, len(rows)))
        )
    lines, base_lines = _jsonl(outputs), _jsonl(plain)
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
                "decoding": {
                    "do_sample": False,
                    "max_new_tokens": generation.max_new_tokens,
                    "batch_size": generation.batch_size,
                    "constraint": None,
                },
                "seconds": round(seconds, 1),
                "base_seconds": round(time.monotonic() - started - seconds, 1),
                "tokens": sum(len(tokenizer(o["output"], add_special_tokens=False)["input_ids"]) for o in outputs),
                "peak_memory_bytes": environment.peak_memory_bytes(),
                "image_digest": environment.image_digest(),
                "gpu_peak_memory_bytes": environment.gpu_peak_memory_bytes(),
                **environment.surroundings(),
            }
        ),
    )


def answer_all(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    questions: list[tuple[str, str]],
    generation: Generation,
    done: Callable[[int], None],
) -> list[dict[str, Any]]:
    """An output for each (id, rendered prompt), in their order."""
    outputs: list[dict[str, Any]] = []
    done(0)
    for start in range(0, len(questions), generation.batch_size):
        batch = questions[start : start + generation.batch_size]
        texts = answer(model, tokenizer, [prompt for _, prompt in batch], generation.max_new_tokens)
        outputs += [{"id": row, **text} for (row, _), text in zip(batch, texts, strict=True)]
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
    from peft import PeftConfig, get_peft_model, set_peft_model_state_dict
    from safetensors.torch import load_file

    tensors = load_file(str(adapter / "adapter_model.safetensors"))
    wrapped: PreTrainedModel = get_peft_model(model, PeftConfig.from_pretrained(str(adapter)))
    result = set_peft_model_state_dict(wrapped, tensors)
    missing = [name for name in result.missing_keys if "lora_" in name]
    if missing or result.unexpected_keys:
        raise VerificationError(
            f"{adapter} does not fit the base model: {len(missing)} tensors missing, "
            f"{len(result.unexpected_keys)} unexpected, such as {(missing + result.unexpected_keys)[0]}. "
            "The base was changed, or the adapter is another model's. Check base_model_id and revision."
        )
    if not any(bool(torch.any(tensor != 0)) for name, tensor in tensors.items() if "lora_B" in name):
        raise VerificationError(f"Every lora_B tensor in {adapter} is zero: the adapter does nothing. Train it.")
    wrapped.eval()
    return wrapped


def answer(
    model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", prompts: list[str], max_new_tokens: int
) -> list[dict[str, str]]:
    """Greedy answers to a batch of rendered prompts: the raw text, and whether it ended by itself."""
    import torch

    batch = tokenizer(prompts, return_tensors="pt", padding=True, add_special_tokens=False).to(model.device)
    with torch.inference_mode():
        whole = model.generate(
            **batch,
            max_new_tokens=max_new_tokens,
            do_sample=False,
            temperature=None,
            top_p=None,
            top_k=None,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    answers = []
    for tokens in whole[:, batch["input_ids"].shape[1] :].tolist():
        ended = tokenizer.eos_token_id in tokens
        kept = tokens[: tokens.index(tokenizer.eos_token_id)] if ended else tokens
        text = tokenizer.decode(kept, skip_special_tokens=False)
        answers.append({"output": text, "finish_reason": "stop" if ended else "length"})
    return answers


if __name__ == "__main__":
    child.main(lambda arguments, say: run_generation(Path(arguments[0]), Path(arguments[1]), say))
