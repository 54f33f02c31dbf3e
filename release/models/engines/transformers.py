"""Answers with transformers and PEFT, in this process: greedily, in batches of token ids."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from gates import Output
from release.config import forms
from release.config.settings import Generation
from release.models import arithmetic, constrained, loading, spread
from release.models.engines.engine import Asked, Opened, Prompt
from release.models.exports import files
from release.running import environment
from release.values import lora_settings
from release.values.errors import VerificationError
from release.values.layout import WEIGHTS

if TYPE_CHECKING:
    from transformers import LogitsProcessorList, PreTrainedModel


@contextmanager
def opened(asked: Asked) -> Iterator[Opened]:
    """The base as `loading` loads it, on the card where there is one."""
    run, adapter, form = asked.settings.run, asked.settings.adapter, asked.form
    arithmetic.make_deterministic(run.seed, environment.threads(run.threads))
    remote, grouped = asked.settings.model.trust_remote_code, partial(batches, said=asked.settings.generation)
    attention, several = asked.settings.model.attn_implementation, asked.settings.generation.device_map
    if form.merged:
        # of what was merged is said in the record of its files
        said = loading.loaded_as(adapter, "unquantized", attention, device_map=several)
        loaded = said.told | _left_out(asked)
        merged = loading.load_model(asked.exports / files.merged(form, adapter), said, trust_remote_code=remote).eval()
        yield Opened(
            loaded=loaded,
            alone=None,
            adapted=lambda: partial(answers, asked, merged),
            ran_on=arithmetic.surroundings,
            batches=grouped,
            cards=spread.cards_of(merged),
        )
        return
    said = loading.loaded_as(adapter, forms.precision(form, adapter), attention, device_map=several)
    loaded = said.told | _left_out(asked)
    model = loading.load_model(asked.base, said, trust_remote_code=remote).eval()
    yield Opened(
        loaded=loaded,
        alone=partial(answers, asked, model),
        adapted=lambda: partial(answers, asked, with_adapter(model, asked.adapter)),
        ran_on=arithmetic.surroundings,
        batches=grouped,
        cards=spread.cards_of(model),
    )


def with_adapter(model: "PreTrainedModel", adapter: Path) -> "PreTrainedModel":
    """The base with the adapter's saved weights. Every tensor of the file must be used, and none may be missing.

    PEFT only warns about keys that do not fit; the base would then answer in the adapter's name.
    """
    import torch
    from peft import PeftConfig, get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict
    from safetensors.torch import load_file

    lora_settings.read(adapter)  # PEFT does what these say
    tensors = load_file(str(adapter / WEIGHTS))
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


def answers(asked: Asked, model: "PreTrainedModel", prompts: Sequence[Prompt]) -> Iterator[Output]:
    """Greedy answers, a batch at a time: the text up to an end, and whether one came."""
    for batch in batches(prompts, asked.settings.generation):
        read = [asked.chat.judged(tokens) for tokens in _generated(asked, model, [one.ids for one in batch])]
        for one, (text, ended) in zip(batch, read, strict=True):
            yield Output(id=one.id, output=text, finish_reason="stop" if ended else "length")


def batches(prompts: Sequence[Prompt], said: Generation) -> list[Sequence[Prompt]]:
    """Prompts of about one length together, so that little is padded; the longest first, which need the most memory.

    Rows of one length stay in their order: the same prompts make the same batches, whose rows round alike each time;
    and some of these batches, asked in their order, are the same batches again.
    """
    by_length = said.batches == "by_length"
    ordered, size = sorted(prompts, key=lambda one: -len(one.ids)) if by_length else prompts, said.batch_size
    return [ordered[start : start + size] for start in range(0, len(ordered), size)]


def _generated(asked: Asked, model: "PreTrainedModel", prompts: Sequence[Sequence[int]]) -> list[list[int]]:
    """What the model writes after each prompt of a batch, which is padded on the left."""
    import torch

    longest, ends = max(map(len, prompts)), list(asked.chat.ends)
    held = _held(asked, model, len(prompts), longest)
    ids = torch.tensor([[ends[0]] * (longest - len(one)) + list(one) for one in prompts], device=model.device)
    mask = torch.tensor([[0] * (longest - len(one)) + [1] * len(one) for one in prompts], device=model.device)
    with torch.no_grad():  # a training that goes on afterwards can use what a model keeps, such as rotary tables
        whole = model.generate(
            input_ids=ids,
            attention_mask=mask,
            max_new_tokens=asked.settings.generation.max_new_tokens,
            do_sample=False,
            temperature=None,
            top_p=None,
            top_k=None,
            eos_token_id=ends,
            pad_token_id=ends[0],
            logits_processor=held,
        )
    written: list[list[int]] = whole[:, longest:].tolist()
    return written


def _held(asked: Asked, model: "PreTrainedModel", rows: int, longest: int) -> "LogitsProcessorList | None":
    """What holds the answers of a batch to the form's constraint."""
    from transformers import LogitsProcessorList

    if asked.form.constraint == "none":
        return None
    size = model.get_output_embeddings().weight.shape[0]
    tokens = constrained.tokens_of(asked.adapter / "tokenizer.json", asked.chat.ends, size)
    return LogitsProcessorList([constrained.ByGrammar(tokens, asked.schema, rows, longest, asked.chat.ends)])


def _left_out(asked: Asked) -> dict[str, object]:
    """What of the answer schema a constrained form is not held to; said before anything is loaded."""
    return {} if asked.form.constraint == "none" else {"grammar_leaves_out": constrained.grammar_of(asked.schema)[1]}
