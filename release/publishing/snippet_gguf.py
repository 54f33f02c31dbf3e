"""Record → the Python that lets llama.cpp answer as it was judged: file, template arguments, stop tokens, decoding."""

import re
from collections.abc import Mapping

from gates.shown import plain, shorten
from release.models.exports import files
from release.publishing.snippet import literal
from release.values.layout import ANSWER_SCHEMA, EXPORTS, GGUF
from release.values.record import Form


def python(form: Form, repo: str, revision: str) -> str:
    """A program that defines ``answer(messages)``, by xllamacpp, huggingface_hub and transformers' tokenizer."""
    chat, decoding = form.answering.chat, form.answering.decoding
    at = f"revision={literal(revision)}"
    given = dict(chat.chat_template_kwargs)
    arguments = f", **{given!r}" if given else ""
    stops = f"[{', '.join(literal(one.token) for one in chat.ends)}]"
    held = form.settings["constraint"] != "none"
    room = files.room(files.QUESTION, decoding.max_new_tokens)
    return "\n".join(
        [
            *(["import json", ""] if held else []),
            "import xllamacpp",
            "from huggingface_hub import hf_hub_download",
            "from transformers import AutoTokenizer",
            "",
            f"repo = {literal(repo)}",
            f"tokenizer = AutoTokenizer.from_pretrained(repo, {at})",
            "params = xllamacpp.CommonParams()",
            f"params.n_ctx, params.n_parallel = {room}, 1  # tokens of a question and its answer, one at a time",
            *_loads(form, at),
            "server = xllamacpp.Server(params)",
            f"decoding = dict(n_predict={decoding.max_new_tokens}, temperature=0, top_k=1, stop={stops})",
            *(_held(at) if held else []),
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


def _held(at: str) -> list[str]:
    """The lines that hold an answer to the answer schema, as far as llama.cpp's grammar can say it."""
    return [
        f'schema = open(hf_hub_download(repo, "{ANSWER_SCHEMA}", {at}), encoding="utf-8").read()',
        'decoding["json_schema"] = {**json.loads(schema), "x-guidance": {"lenient": True}}',
    ]


def _loads(form: Form, at: str) -> list[str]:
    """What says which files are loaded."""
    found = loaded(form)
    if found.lora is None:
        return [f"params.model.path = hf_hub_download(repo, {literal(f'{EXPORTS}/{found.model}')}, {at})"]
    return [
        f"params.model.path = {literal(found.model)}",
        f"lora = hf_hub_download(repo, {literal(f'{EXPORTS}/{found.lora}')}, {at})",
        "params.lora_adapters = [xllamacpp.CommonAdapterLoraInfo(lora, 1.0)]",
    ]


def base_of(form: Form) -> str | None:
    """The base's own GGUF that an adapter lies over in this form, which no release holds; None where it is merged."""
    found = loaded(form)
    return found.model if found.lora else None


def loaded(form: Form) -> files.Loads:
    """What llama.cpp loaded, by name."""
    named = form.answering.loaded["files"]
    assert isinstance(named, Mapping)
    model, *lora = sorted(named, key=lambda name: name in form.files)
    if odd := [name for name in named if not re.fullmatch(GGUF, name)]:
        raise ValueError(f"{shorten(plain(odd[0]))} is not the name of a GGUF file that is made here")
    return files.Loads(model=model, lora=lora[0] if lora else None)


def for_ollama(form: Form, repo: str, revision: str, name: str) -> str:
    """How Ollama is told to load it, for a card; empty where it cannot be."""
    told, found = form.ollama, loaded(form)
    if told is None or told.file is None:
        return ""
    called, model = re.sub("[^a-z0-9._-]+", "-", name.lower()).strip("-._") or "model", found.model
    fetched = "" if found.lora else f"hf download {repo} {EXPORTS}/{model} {EXPORTS}/{told.file}"
    at = "." if found.lora else EXPORTS
    lines = [f"{fetched} --revision {revision} --local-dir ."] if fetched else []
    return "\n".join([*lines, f"ollama create {called} -f {at}/{told.file}"])
