"""Record → the Python that loads an adapter exactly as it was judged: base, precision, template arguments, ends."""

import json
import re
from dataclasses import dataclass

from release.values.as_json import part
from release.values.layout import ANSWER_SCHEMA, EXPORTS
from release.values.record import Chat, Decoding, Form, Loaded, Quantization, Record

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
    held: bool = False
    """Whether each answer is held to the answer schema of the release."""


def as_trained(record: Record) -> Asked:
    """The form that it was trained in."""
    loaded, chat = record.generation.loaded, record.generation.chat
    assert loaded is not None
    assert chat is not None
    return Asked(loaded=loaded, chat=chat, decoding=record.generation.decoding)


def as_served(form: Form) -> Asked:
    """Another form of transformers."""
    answering = form.answering
    return Asked(
        loaded=part(Loaded, answering.loaded),
        chat=answering.chat,
        decoding=answering.decoding,
        merged=f"{EXPORTS}/{folder}" if (folder := merged_folder(form)) else None,
        held=form.settings["constraint"] != "none",
    )


def merged_folder(form: Form) -> str | None:
    """The folder in ``exports/`` that a merged form loads."""
    names = [name for name in form.files if "/" in name]
    return min(names).partition("/")[0] if names else None


def python(record: Record, asked: Asked, adapter: str, *, revision: str | None = None, base: str | None = None) -> str:
    """A program that defines ``answer(messages)``: what was judged, by plain transformers, peft and bitsandbytes.

    ``adapter`` is a repository with its ``revision``, or a folder; ``base`` a folder to load the base from instead.
    """
    loaded, chat = asked.loaded, asked.chat
    at = f", revision={literal(revision)}" if revision else ""
    options = [f"dtype=torch.{_word(loaded.dtype)}"]
    if loaded.quantization:
        options.append(f"quantization_config={_bits_and_bytes(loaded.quantization)}")
    if loaded.attn_implementation:
        options.append(f"attn_implementation={literal(loaded.attn_implementation)}")
    if loaded.device == "cuda":
        where = literal(loaded.device_map) if loaded.device_map else '{"": 0}'
        options.append(f"device_map={where}")
    if record.setting("model", "trust_remote_code"):
        options.append("trust_remote_code=True")
    given = dict(chat.chat_template_kwargs)
    arguments = f", **{given!r}" if given else ""  # a name may be a word of Python's own
    ends = ", ".join(str(one.id) for one in chat.ends)
    if asked.merged:
        loads = _of_a_merged_model(asked, options, f"{literal(adapter)}{at}")
    else:
        places = [literal(base or (record.base.base_model_id if record.base.revision else EMBEDDED))]
        if base is None and record.base.revision:
            places.append(f"revision={literal(record.base.revision)}")
        loads = _of_an_adapter(asked, [*places, *options], f"{literal(adapter)}{at}")
    return "\n".join(
        [
            *(_HELD_IMPORTS if asked.held else []),
            *loads,
            f"ends = [{ends}]  # {', '.join(literal(one.token) for one in chat.ends)}",
            *(_held(f"{literal(adapter)}", at) if asked.held else []),
            "",
            "",
            "def answer(messages):",
            "    prompt = tokenizer.apply_chat_template(",
            f'        messages, add_generation_prompt=True, return_dict=True, return_tensors="pt"{arguments}',
            "    ).to(model.device)",
            f"    options = dict(max_new_tokens={asked.decoding.max_new_tokens}, do_sample=False)",
            "    options |= dict(temperature=None, top_p=None, top_k=None, eos_token_id=ends, pad_token_id=ends[0])",
            *(['    options |= dict(logits_processor=[Held(prompt["input_ids"].shape[1])])'] if asked.held else []),
            "    with torch.inference_mode():",
            '        ids = model.generate(**prompt, **options)[0, prompt["input_ids"].shape[1] :].tolist()',
            "    return tokenizer.decode(ids[:-1] if ids[-1] in ends else ids, clean_up_tokenization_spaces=False)",
        ]
    )


def _of_an_adapter(asked: Asked, base: list[str], adapter: str) -> list[str]:
    """The lines that put the adapter on its base."""
    loaded = asked.loaded
    return [
        "import torch",
        "from peft import PeftModel",
        _transformers(asked),
        "",
        "base = AutoModelForCausalLM.from_pretrained(",
        *(f"    {one}," for one in base),
        f"){f'.dequantize(torch.{_word(loaded.dtype)})' if loaded.dequantized else ''}",
        f"tokenizer = AutoTokenizer.from_pretrained({adapter})",
        f"model = PeftModel.from_pretrained(base, {adapter}).eval()",
    ]


def _transformers(asked: Asked) -> str:
    """What is imported of it."""
    names = ["LogitsProcessor"] if asked.held else []
    names += ["BitsAndBytesConfig"] if asked.loaded.quantization and not asked.merged else []
    return f"from transformers import {', '.join(['AutoModelForCausalLM', 'AutoTokenizer', *names])}"


def _of_a_merged_model(asked: Asked, options: list[str], release: str) -> list[str]:
    """The lines that load the model that was judged from the release itself."""
    folder = asked.merged
    return [
        "import torch",
        "from huggingface_hub import snapshot_download",
        _transformers(asked),
        "",
        f"folder = snapshot_download({release}, allow_patterns={literal(f'{folder}/*')}) + {literal(f'/{folder}')}",
        "model = AutoModelForCausalLM.from_pretrained(",
        "    folder,",
        *(f"    {one}," for one in options),
        ").eval()",
        "tokenizer = AutoTokenizer.from_pretrained(folder)",
    ]


_HELD_IMPORTS = (
    "import json",
    "from huggingface_hub import hf_hub_download",
    "from llguidance import LLMatcher, LLTokenizer",
)


def _held(release: str, at: str) -> list[str]:
    """The lines that hold an answer to the answer schema, as far as a grammar can say it, by llguidance."""
    return [
        "",
        f'schema = open(hf_hub_download({release}, "{ANSWER_SCHEMA}"{at}), encoding="utf-8").read()',
        f'words = open(hf_hub_download({release}, "tokenizer.json"{at}), encoding="utf-8").read()',
        'grammar = LLMatcher.grammar_from_json_schema(json.loads(schema), overrides={"lenient": True})',
        "size = model.get_output_embeddings().weight.shape[0]",
        "tokens = LLTokenizer(words, n_vocab=size, eos_token=ends)",
        "",
        "",
        "class Held(LogitsProcessor):",
        "    def __init__(self, asked):",
        "        self.matcher, self.asked = LLMatcher(tokens, grammar), asked",
        "",
        "    def __call__(self, ids, scores):",
        "        if ids.shape[1] > self.asked and not self.matcher.is_stopped():",
        "            self.matcher.consume_token(int(ids[0, -1]))",
        "        bits = torch.zeros((size + 31) // 32, dtype=torch.int32)",
        "        if not self.matcher.is_stopped():",
        "            self.matcher.unsafe_compute_mask_ptr(bits.data_ptr(), bits.nbytes)",
        "        allowed = ((bits[:, None] >> torch.arange(32, dtype=torch.int32)) & 1).flatten()[:size].bool()",
        "        allowed[ends] |= self.matcher.is_stopped()",
        '        return scores.masked_fill(~allowed.to(scores.device), float("-inf"))',
    ]


def _bits_and_bytes(quantized: Quantization) -> str:
    """The quantization, in bitsandbytes' terms."""
    said = [f"load_in_4bit={_word(quantized.load_in_4bit)}"]
    said.append(f"bnb_4bit_quant_type={literal(quantized.bnb_4bit_quant_type)}")
    said.append(f"bnb_4bit_use_double_quant={_word(quantized.bnb_4bit_use_double_quant)}")
    said.append(f"bnb_4bit_compute_dtype=torch.{_word(quantized.bnb_4bit_compute_dtype)}")
    return f"BitsAndBytesConfig(\n        {', '.join(said[:2])},\n        {', '.join(said[2:])},\n    )"


def _word(value: object) -> str:
    """A value that stands in a program as a name of its language; ``ValueError`` where it would be more than that."""
    if not re.fullmatch("[A-Za-z0-9_]+", str(value)):
        raise ValueError(f"{str(value)[:80]!r} is not a name that a program can have")
    return str(value)


def literal(text: str) -> str:
    """A text as Python writes it, in one line of which everything can be seen: a direction in it is an escape."""
    written = json.dumps(text, ensure_ascii=False)
    return "".join(one if one.isprintable() else f"\\U{ord(one):08x}" for one in written)
