"""Record → the Python that lets llama.cpp answer as it was judged: file, template arguments, stop tokens, decoding."""

import json
from collections.abc import Mapping

from release.values.layout import EXPORTS
from release.values.record import Form

ROOM = 256  # llama.cpp rounds the room for tokens up to a multiple of it
PROMPT = 2048  # tokens of a question, in a program that somebody starts from


def python(form: Form, repo: str, revision: str) -> str:
    """A program that defines ``answer(messages)``, by xllamacpp, huggingface_hub and transformers' tokenizer."""
    chat, decoding = form.answering.chat, form.answering.decoding
    at = f"revision={_literal(revision)}"
    given = dict(chat.chat_template_kwargs)
    arguments = f", **{given!r}" if given else ""
    stops = json.dumps([one.token for one in chat.ends], ensure_ascii=False)
    room = ROOM * -(-(decoding.max_new_tokens + PROMPT) // ROOM)
    return "\n".join(
        [
            "import xllamacpp",
            "from huggingface_hub import hf_hub_download",
            "from transformers import AutoTokenizer",
            "",
            f"repo = {_literal(repo)}",
            f"tokenizer = AutoTokenizer.from_pretrained(repo, {at})",
            "params = xllamacpp.CommonParams()",
            f"params.n_ctx, params.n_parallel = {room}, 1  # tokens of a question and its answer, one at a time",
            *_loads(form, at),
            "server = xllamacpp.Server(params)",
            f"decoding = dict(n_predict={decoding.max_new_tokens}, temperature=0, top_k=1, stop={stops})",
            "",
            "",
            "def answer(messages):",
            "    ids = tokenizer.apply_chat_template(",
            f"        messages, add_generation_prompt=True, return_dict=False{arguments}",
            "    )",
            '    asked = dict(prompt=list(ids), samplers=["top_k"], cache_prompt=False, **decoding)',
            '    return server.handle_completions(asked)["choices"][0]["text"]',
        ]
    )


def _loads(form: Form, at: str) -> list[str]:
    """What says which files are loaded."""
    model, lora = _files(form)
    if lora is None:
        return [f"params.model.path = hf_hub_download(repo, {_literal(f'{EXPORTS}/{model}')}, {at})"]
    return [
        f"params.model.path = {_literal(model)}",
        f"lora = hf_hub_download(repo, {_literal(f'{EXPORTS}/{lora}')}, {at})",
        "params.lora_adapters = [xllamacpp.CommonAdapterLoraInfo(lora, 1.0)]",
    ]


def base_of(form: Form) -> str | None:
    """The base's own GGUF that an adapter lies over in this form, which no release holds; None where it is merged."""
    model, lora = _files(form)
    return model if lora else None


def _files(form: Form) -> tuple[str, str | None]:
    """The model and the adapter that llama.cpp loaded, by name."""
    loaded = form.answering.loaded["files"]
    assert isinstance(loaded, Mapping)
    names = sorted(loaded, key=lambda name: name in form.files)
    return (names[0], names[1]) if len(names) > 1 else (names[0], None)


def _literal(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
