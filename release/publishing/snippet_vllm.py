"""Record → the Python that lets vLLM answer as it was judged: its own settings, template arguments, ends, decoding."""

import json

from release.publishing import snippet
from release.values.layout import ANSWER_SCHEMA, EXPORTS
from release.values.record import Form, Record

OF_THE_RECORD = ("merged", "batch_invariant", "grammar_leaves_out")
"""What is recorded of how it was loaded beside vLLM's own settings."""
ITS_OWN = {"max_num_seqs": 1}
"""Instead of how many prompts were judged at once."""


def python(record: Record, form: Form, repo: str, revision: str) -> str:
    """A program that defines ``answer(messages)``, by vLLM and huggingface_hub."""
    answering, held = form.answering, form.settings["constraint"] != "none"
    said = {name: one for name, one in answering.loaded.items() if name not in OF_THE_RECORD} | ITS_OWN
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
            f"release = snapshot_download({_literal(repo)}, revision={_literal(revision)})",
            "tokenizer = AutoTokenizer.from_pretrained(release)",
            "model = LLM(",
            *(f"    {one}," for one in _base(record, form)),
            "    tokenizer=release,",
            *(f"    {name}={value!r}," for name, value in said.items()),
            ")",
            *([] if merged else ['adapter = LoRARequest("adapter", 1, release)']),
            f"ends = [{ends}]  # {', '.join(_literal(one.token) for one in chat.ends)}",
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


def _structured(*, held: bool) -> str:
    return ", structured_outputs=StructuredOutputsParams(json=schema)" if held else ""


def _base(record: Record, form: Form) -> list[str]:
    """Which model is loaded, as arguments."""
    if form.settings["merged"] is True:
        return [f'release + "/{EXPORTS}/{snippet.merged_folder(form)}"']
    if record.base.revision is None:
        return [_literal(snippet.EMBEDDED)]
    return [_literal(record.base.base_model_id), f"revision={_literal(record.base.revision)}"]


def _literal(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
