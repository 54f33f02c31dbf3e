"""Record → the Python that lets vLLM answer as it was judged: its own settings, template arguments, ends, decoding."""

import re
from collections.abc import Mapping

from gates.shown import plain, shorten
from release.publishing import snippet
from release.publishing.snippet import literal
from release.values.as_json import tree
from release.values.layout import ANSWER_SCHEMA, EXPORTS
from release.values.record import Form, Record

OF_THE_RECORD = ("merged", "batch_invariant", "grammar_leaves_out")
"""What is recorded of how it was loaded beside vLLM's own settings."""
VLLMS = frozenset((
    "dtype", "seed", "trust_remote_code", "enforce_eager", "enable_prefix_caching", "max_num_seqs", "max_model_len",
    "generation_config", "enable_lora", "max_loras", "max_lora_rank", "quantization", "tensor_parallel_size",
))  # fmt: skip
"""What is set of vLLM when answers are judged."""
ITS_OWN = {"max_num_seqs": 1}
"""Instead of how many prompts were judged at once."""


def python(record: Record, form: Form, repo: str, revision: str) -> str:
    """A program that defines ``answer(messages)``, by vLLM and huggingface_hub."""
    answering, held = form.answering, form.settings["constraint"] != "none"
    said = _settings(record, answering.loaded) | ITS_OWN
    merged, chat = form.settings["merged"] is True, answering.chat
    given = dict(chat.chat_template_kwargs)
    invariant = int(answering.loaded.get("batch_invariant") is True)
    ends = ", ".join(str(one.id) for one in chat.ends)
    decoding = f"max_tokens={answering.decoding.max_new_tokens}, stop_token_ids=ends, temperature=0, detokenize=False"
    schema = f'open(release + "/{ANSWER_SCHEMA}", encoding="utf-8")'
    return "\n".join(
        [
            *(["import json"] if held else []),
            "import os",
            "",
            f'os.environ |= dict(VLLM_ENABLE_V1_MULTIPROCESSING="0", VLLM_BATCH_INVARIANT="{invariant}")',
            "from huggingface_hub import snapshot_download",
            "from transformers import AutoTokenizer",
            "from vllm import LLM, SamplingParams",
            *([] if merged else ["from vllm.lora.request import LoRARequest"]),
            *(["from vllm.sampling_params import StructuredOutputsParams"] if held else []),
            "",
            f"release = snapshot_download({literal(repo)}, revision={literal(revision)})",
            "tokenizer = AutoTokenizer.from_pretrained(release)",
            "model = LLM(",
            *(f"    {one}," for one in _base(record, form)),
            "    tokenizer=release,",
            *(f"    {name}={value!r}," for name, value in said.items()),
            ")",
            *([] if merged else ['adapter = LoRARequest("adapter", 1, release)']),
            f"ends = [{ends}]  # {', '.join(literal(one.token) for one in chat.ends)}",
            f"decoding = dict({decoding}, seed={said['seed']})",
            *([f'schema = {{**json.load({schema}), "x-guidance": {{"lenient": True}}}}'] if held else []),
            "",
            "",
            "def answer(messages):",
            "    prompt = tokenizer.apply_chat_template(",
            f"        messages, add_generation_prompt=True, return_dict=False{f', **{given!r}' if given else ''}",
            "    )",
            f"    asked = SamplingParams(**decoding{_structured(held=held)})",
            f"    options = dict(use_tqdm=False{'' if merged else ', lora_request=adapter'})",
            "    (found,) = model.generate([dict(prompt_token_ids=list(prompt))], asked, **options)",
            "    ids = list(found.outputs[0].token_ids)",
            "    return tokenizer.decode(ids[:-1] if ids[-1] in ends else ids, clean_up_tokenization_spaces=False)",
        ]
    )


def _settings(record: Record, loaded: Mapping[str, object]) -> dict[str, object]:
    """Settings of vLLM as recorded; ``ValueError`` where one is not of those, or more than a word or a number."""
    said = {name: value for name, value in loaded.items() if name not in OF_THE_RECORD}
    for name, value in said.items():
        if name not in VLLMS or not re.fullmatch("-?[A-Za-z0-9_]+", str(value)) or not isinstance(value, int | str):
            raise ValueError(f"{shorten(plain(f'{name}={value}'))} is not a setting of vLLM that is made here")
    trusted = tree(record.config["model"]).get("trust_remote_code") is True
    if said.get("trust_remote_code", False) is not trusted or not isinstance(said.get("seed"), int):
        raise ValueError("vLLM's trust_remote_code and seed are not those of the configuration")
    return said


def _structured(*, held: bool) -> str:
    return ", structured_outputs=StructuredOutputsParams(json=schema)" if held else ""


def _base(record: Record, form: Form) -> list[str]:
    """Which model is loaded, as arguments."""
    if form.settings["merged"] is True:
        return [f'release + "/{EXPORTS}/{snippet.merged_folder(form)}"']
    if record.base.revision is None:
        return [literal(snippet.EMBEDDED)]
    return [literal(record.base.base_model_id), f"revision={literal(record.base.revision)}"]
