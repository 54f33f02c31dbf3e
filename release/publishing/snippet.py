"""Record → the Python that loads an adapter exactly as it was judged: base, precision, template arguments, ends."""

import json
import re
from dataclasses import dataclass

from release.values.layout import EXPORTS
from release.values.record import Chat, Decoding, Form, Loaded, Quantization, Record, part

EMBEDDED = "smollm2-135m"
"""The folder that a card's reader unpacks the embedded base to, which no Hub has in these weights."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """How the model of a program is loaded and asked."""

    loaded: Loaded
    chat: Chat
    decoding: Decoding
    merged: str | None = None
    """The folder in the release with the merged model; None where the adapter is put on the base."""


def as_trained(record: Record) -> Asked:
    """The form that it was trained in."""
    loaded, chat = record.generation.loaded, record.generation.chat
    assert loaded is not None
    assert chat is not None
    return Asked(loaded=loaded, chat=chat, decoding=record.generation.decoding)


def as_served(form: Form) -> Asked | None:
    """Another form; None where plain transformers cannot load it so."""
    if form.settings["engine"] != "transformers" or form.settings["constraint"] != "none":
        return None
    answering = form.answering
    return Asked(
        loaded=part(Loaded, answering.loaded),
        chat=answering.chat,
        decoding=answering.decoding,
        merged=_merged(form),
    )


def _merged(form: Form) -> str | None:
    """The folder in the release that a merged form loads."""
    names = [name for name in form.files if "/" in name]
    return f"{EXPORTS}/{min(names).partition('/')[0]}" if names else None


def python(record: Record, asked: Asked, adapter: str, *, revision: str | None = None, base: str | None = None) -> str:
    """A program that defines ``answer(messages)``: what was judged, by plain transformers, peft and bitsandbytes.

    ``adapter`` is a repository with its ``revision``, or a folder; ``base`` a folder to load the base from instead.
    """
    loaded, chat = asked.loaded, asked.chat
    at = f", revision={_literal(revision)}" if revision else ""
    options = [f"dtype=torch.{_word(loaded.dtype)}"]
    if loaded.quantization:
        options.append(f"quantization_config={_bits_and_bytes(loaded.quantization)}")
    if loaded.device == "cuda":
        options.append('device_map={"": 0}')
    if record.setting("model", "trust_remote_code"):
        options.append("trust_remote_code=True")
    given = dict(chat.chat_template_kwargs)
    arguments = f", **{given!r}" if given else ""  # a name may be a word of Python's own
    ends = ", ".join(str(one.id) for one in chat.ends)
    if asked.merged:
        loads = _of_a_merged_model(asked.merged, options, f"{_literal(adapter)}{at}")
    else:
        places = [_literal(base or (record.base.base_model_id if record.base.revision else EMBEDDED))]
        if base is None and record.base.revision:
            places.append(f"revision={_literal(record.base.revision)}")
        loads = _of_an_adapter(loaded, [*places, *options], f"{_literal(adapter)}{at}")
    return "\n".join(
        [
            *loads,
            f"ends = [{ends}]  # {', '.join(_literal(one.token) for one in chat.ends)}",
            "",
            "",
            "def answer(messages):",
            "    prompt = tokenizer.apply_chat_template(",
            f'        messages, add_generation_prompt=True, return_dict=True, return_tensors="pt"{arguments}',
            "    ).to(model.device)",
            f"    options = dict(max_new_tokens={asked.decoding.max_new_tokens}, do_sample=False)",
            "    options |= dict(temperature=None, top_p=None, top_k=None, eos_token_id=ends, pad_token_id=ends[0])",
            "    with torch.inference_mode():",
            '        ids = model.generate(**prompt, **options)[0, prompt["input_ids"].shape[1] :].tolist()',
            "    return tokenizer.decode(ids[:-1] if ids[-1] in ends else ids, clean_up_tokenization_spaces=False)",
        ]
    )


def _of_an_adapter(loaded: Loaded, base: list[str], adapter: str) -> list[str]:
    """The lines that put the adapter on its base."""
    more = ["BitsAndBytesConfig"] if loaded.quantization else []
    return [
        "import torch",
        "from peft import PeftModel",
        f"from transformers import {', '.join(['AutoModelForCausalLM', 'AutoTokenizer', *more])}",
        "",
        "base = AutoModelForCausalLM.from_pretrained(",
        *(f"    {one}," for one in base),
        f"){f'.dequantize(torch.{_word(loaded.dtype)})' if loaded.dequantized else ''}",
        f"tokenizer = AutoTokenizer.from_pretrained({adapter})",
        f"model = PeftModel.from_pretrained(base, {adapter}).eval()",
    ]


def _of_a_merged_model(folder: str, options: list[str], release: str) -> list[str]:
    """The lines that load the model that was judged from the release itself."""
    return [
        "import torch",
        "from huggingface_hub import snapshot_download",
        "from transformers import AutoModelForCausalLM, AutoTokenizer",
        "",
        f"folder = snapshot_download({release}, allow_patterns={_literal(f'{folder}/*')}) + {_literal(f'/{folder}')}",
        "model = AutoModelForCausalLM.from_pretrained(",
        "    folder,",
        *(f"    {one}," for one in options),
        ").eval()",
        "tokenizer = AutoTokenizer.from_pretrained(folder)",
    ]


def _bits_and_bytes(quantized: Quantization) -> str:
    """The quantization, in bitsandbytes' terms."""
    said = [f"load_in_4bit={_word(quantized.load_in_4bit)}"]
    said.append(f"bnb_4bit_quant_type={_literal(quantized.bnb_4bit_quant_type)}")
    said.append(f"bnb_4bit_use_double_quant={_word(quantized.bnb_4bit_use_double_quant)}")
    said.append(f"bnb_4bit_compute_dtype=torch.{_word(quantized.bnb_4bit_compute_dtype)}")
    return f"BitsAndBytesConfig(\n        {', '.join(said[:2])},\n        {', '.join(said[2:])},\n    )"


def _word(value: object) -> str:
    """A value that stands in a program as a name of its language; ``ValueError`` where it would be more than that."""
    if not re.fullmatch("[A-Za-z0-9_]+", str(value)):
        raise ValueError(f"{str(value)[:80]!r} is not a name that a program can have")
    return str(value)


def _literal(text: str) -> str:
    """A text as Python writes it: JSON's spelling is Python's too where no character is written as two."""
    return json.dumps(text, ensure_ascii=False)
