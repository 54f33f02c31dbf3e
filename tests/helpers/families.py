"""Stand-ins of real model families: their architecture, special tokens, ends and template over two random layers.

Templates are trl's copies of the families' own. Those that trl has not are under tests/data, written anew with the
headers, ends and refusals of the families' own.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tests.helpers.hub_fixture import EmbeddedHub
from tests.helpers.line import ROOT
from tests.helpers.stand_in_tokenizer import Tokens, put, tokenizer, write

ANSWER = '{"answer":"No.","citations":[],"refusal":true}'
"""What every training row says: a constant is learned in a few steps."""
WORDS = ('answer":"No."', ',"citations":[', '],"refusal":', "true}")
"""Words of the vocabulary for it, but for its beginning: that is joined to what stands before as in any text."""
TINY: Mapping[str, Any] = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": 4096,
    "initializer_range": 0.1,  # the usual 0.02 is for wide models; so narrow a one would hardly tell words apart
}
VISION: Mapping[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 56,
    "patch_size": 14,
}
ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")


@dataclass(frozen=True, kw_only=True)
class Family:
    config: Mapping[str, Any]
    """Of the real class that ``model_type`` names."""
    tokens: Tokens
    template: str
    """By the file's stem, of trl or tests/data; empty for none."""
    tokenizer_class: str = "PreTrainedTokenizerFast"
    """As its tokenizer_config.json says it."""
    layout: str = "usual"
    """Of the small files; ``templates``: tokenizer_config.json holds a list of them; ``special``: only
    special_tokens_map.json names the special tokens."""
    dtype: str = "float32"
    auto: str = "AutoModelForCausalLM"
    says: Mapping[str, Any] = field(default_factory=dict)
    """What config.json says beside what its class writes."""


CHATML = ("<|im_start|>",)
QWEN = Tokens(
    eos="<|im_end|>",
    pad="<|endoftext|>",
    special=CHATML,
    plain=("<think>", "</think>"),
    ends=("<|im_end|>", "<|endoftext|>"),
)
GEMMA = Tokens(
    bos="<bos>",
    eos="<eos>",
    pad="<pad>",
    special=("<unk>", "<start_of_turn>", "<end_of_turn>", "<image_soft_token>", "<start_of_image>", "<end_of_image>"),
    ends=("<eos>", "<end_of_turn>"),
    words="pieces",
)
EXPERTS = {"num_experts_per_tok": 2, "moe_intermediate_size": 32, "num_experts": 4}
QWEN3 = Family(
    config={"model_type": "qwen3", **TINY, "tie_word_embeddings": True},
    tokens=QWEN,
    template="qwen3",
    tokenizer_class="Qwen2Tokenizer",
)
QWEN25_BASE = Family(
    config={"model_type": "qwen2", **TINY, "tie_word_embeddings": True},
    tokens=Tokens(eos="<|endoftext|>", pad="<|endoftext|>", special=(*CHATML, "<|im_end|>"), ends=("<|endoftext|>",)),
    template="qwen2_5",
    tokenizer_class="Qwen2Tokenizer",
)
LLAMA_32 = Family(
    config={"model_type": "llama", **TINY, "tie_word_embeddings": True},
    tokens=Tokens(
        bos="<|begin_of_text|>",
        eos="<|eot_id|>",
        special=("<|start_header_id|>", "<|end_header_id|>", "<|eom_id|>", "<|end_of_text|>"),
        ends=("<|end_of_text|>", "<|eom_id|>", "<|eot_id|>"),
    ),
    template="llama3_2",
)
GEMMA_2 = Family(
    config={"model_type": "gemma2", **TINY, "query_pre_attn_scalar": 16, "sliding_window": 64},
    tokens=GEMMA,
    template="gemma",
    tokenizer_class="GemmaTokenizer",
)
GEMMA_3 = Family(
    config={
        "model_type": "gemma3",
        "text_config": {"model_type": "gemma3_text", **TINY, "sliding_window": 64},
        "vision_config": {"model_type": "siglip_vision_model", **VISION},
        "mm_tokens_per_image": 4,
    },
    tokens=GEMMA,
    template="gemma3",
    tokenizer_class="GemmaTokenizer",
)
MISTRAL = Family(
    config={"model_type": "mistral", **TINY, "tie_word_embeddings": False},
    tokens=Tokens(bos="<s>", eos="</s>", special=("<unk>", "[INST]", "[/INST]"), ends=("</s>",), words="old pieces"),
    template="mistral_v0_3",
    tokenizer_class="LlamaTokenizer",
)
PHI_35 = Family(
    config={"model_type": "phi3", **TINY, "tie_word_embeddings": False},
    tokens=Tokens(
        bos="<s>",
        eos="<|endoftext|>",
        pad="<|endoftext|>",
        special=("<unk>", "<|assistant|>", "<|system|>", "<|user|>", "<|end|>"),
        ends=("<|endoftext|>", "<|assistant|>", "<|end|>"),
        words="old pieces",
        swallow=("<|assistant|>", "<|system|>", "<|user|>", "<|end|>"),
    ),
    template="phi3_5",
    tokenizer_class="LlamaTokenizer",
)
QWEN3_MOE = Family(
    config={"model_type": "qwen3_moe", **TINY, **EXPERTS},
    tokens=QWEN,
    template="qwen3_instruct_2507",
    tokenizer_class="Qwen2Tokenizer",
)
COHERE2 = Family(
    config={"model_type": "cohere2", **TINY, "sliding_window": 64},
    tokens=Tokens(
        bos="<BOS_TOKEN>",
        eos="<|END_OF_TURN_TOKEN|>",
        pad="<PAD>",
        special=(
            "<|START_OF_TURN_TOKEN|>",
            "<|USER_TOKEN|>",
            "<|CHATBOT_TOKEN|>",
            "<|SYSTEM_TOKEN|>",
            "<|START_RESPONSE|>",
            "<|END_RESPONSE|>",
        ),
        ends=("<|END_OF_TURN_TOKEN|>",),
        words="old bytes",
    ),
    template="cohere2",
    tokenizer_class="CohereTokenizer",
    layout="templates",
)
OLMO_2 = Family(
    config={"model_type": "olmo2", **TINY, "tie_word_embeddings": False},
    tokens=Tokens(bos="<|endoftext|>", eos="<|endoftext|>", pad="<|pad|>", ends=("<|endoftext|>",)),
    template="olmo2",
    tokenizer_class="GPT2Tokenizer",
)
GPT_NEOX = Family(
    config={"model_type": "gpt_neox", **TINY, "tie_word_embeddings": False},
    tokens=Tokens(bos="<|endoftext|>", eos="<|endoftext|>", special=("<|padding|>",), words="old bytes"),
    template="gpt_neox",
    tokenizer_class="GPTNeoXTokenizer",
    layout="special",
)
GPT_OSS = Family(
    config={
        "model_type": "gpt_oss",
        **TINY,
        "intermediate_size": 32,
        "num_local_experts": 4,
        "num_experts_per_tok": 2,
        "sliding_window": 64,
        "tie_word_embeddings": False,
    },
    tokens=Tokens(
        bos="<|startoftext|>",
        eos="<|return|>",
        pad="<|endoftext|>",
        special=("<|start|>", "<|end|>", "<|message|>", "<|channel|>", "<|constrain|>", "<|call|>"),
        ends=("<|return|>", "<|endoftext|>", "<|call|>"),
    ),
    template="gptoss",
    dtype="bfloat16",
)
SMOLLM3 = Family(
    config={"model_type": "smollm3", **TINY, "tie_word_embeddings": True},
    tokens=Tokens(
        eos="<|im_end|>",
        pad="<|im_end|>",
        special=("<|endoftext|>", *CHATML),
        plain=("<think>", "</think>"),
        ends=("<|im_end|>",),
    ),
    template="smollm3",
)
GRANITE = Family(
    config={
        "model_type": "granite",
        **TINY,
        "embedding_multiplier": 3.0,
        "logits_scaling": 2.0,
        "residual_multiplier": 0.22,
        "attention_multiplier": 0.0625,
        "tie_word_embeddings": True,
    },
    tokens=Tokens(
        bos="<|end_of_text|>",
        eos="<|end_of_text|>",
        pad="<|end_of_text|>",
        special=("<|start_of_role|>", "<|end_of_role|>"),
        ends=("<|end_of_text|>",),
        words="old bytes",
    ),
    template="granite",
    tokenizer_class="GPT2Tokenizer",
)
QWEN25_VL = Family(
    config={
        "model_type": "qwen2_5_vl",
        "text_config": {"model_type": "qwen2_5_vl_text", **TINY},
        "vision_config": {"hidden_size": 32, "out_hidden_size": 64, "depth": 2, "num_heads": 2},
    },
    tokens=QWEN,
    template="qwen2_5_vl",
    auto="AutoModelForImageTextToText",
)

GPTQ = replace(QWEN3, says={"quantization_config": {"quant_method": "gptq", "bits": 4, "group_size": 128}})
FP8 = replace(
    QWEN3,
    says={"quantization_config": {"quant_method": "fp8", "fmt": "e4m3", "activation_scheme": "dynamic"}},
)
BNB_4BIT = replace(
    LLAMA_32,
    says={"quantization_config": {"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_quant_type": "nf4"}},
)
PYTHIA = replace(GPT_NEOX, template="", layout="usual")


def put_on(hub: EmbeddedHub, family: Family, repo: str, folder: Path) -> str:
    """The commit of this family's stand-in on the Hub, made in a new folder."""
    from huggingface_hub import CommitOperationAdd

    make(family, folder)
    hub.api.create_repo(repo)
    files = [CommitOperationAdd(path.name, str(path)) for path in sorted(folder.iterdir())]
    return hub.api.create_commit(repo, files, commit_message="A stand-in").oid


def make(family: Family, folder: Path) -> None:
    """Configuration, random weights, tokenizer and template, as the family's own repositories hold them."""
    import torch
    import transformers

    words = () if family.tokens.words == "old pieces" else WORDS  # there a space is put after each added token
    tokens = replace(family.tokens, plain=(*family.tokens.plain, *words))
    config = transformers.AutoConfig.for_model(**_with_tokens(family.config, tokens))
    torch.manual_seed(0)
    model = getattr(transformers, family.auto).from_config(config, dtype=getattr(torch, family.dtype))
    model.save_pretrained(folder)
    said = json.loads((folder / "config.json").read_bytes())
    (folder / "generation_config.json").unlink(missing_ok=True)
    write(folder, tokens, tokenizer_class=family.tokenizer_class)
    put(folder / "config.json", {**said, **family.says})
    settings = json.loads((folder / "tokenizer_config.json").read_bytes())
    if family.layout == "special":
        special = {name: settings.pop(name) for name in list(settings) if name.endswith("_token")}
        put(folder / "special_tokens_map.json", special)
    if family.layout == "templates":
        named = {"tool_use": "{{ raise_exception('for tools') }}", "default": template_of(family)}
        settings["chat_template"] = [{"name": name, "template": text} for name, text in named.items()]
    elif family.template:
        (folder / "chat_template.jinja").write_text(template_of(family), "utf-8")
    put(folder / "tokenizer_config.json", settings)
    (folder / "README.md").write_text("---\nlicense: apache-2.0\n---\n# Nothing learned\n", "utf-8")


def template_of(family: Family) -> str:
    import trl

    folders = [Path(trl.__file__).parent / "chat_templates", *(ROOT / "tests" / "data").glob("*/")]
    found = next(path for folder in folders if (path := folder / f"{family.template}.jinja").exists())
    return found.read_text("utf-8")


def _with_tokens(config: Mapping[str, Any], tokens: Tokens) -> dict[str, Any]:
    """The configuration with the tokenizer's size and special tokens.

    Padding that is an end too is left out: torch begins with zeros there, and no adapter could ever say it.
    """
    ids = tokens.added()
    pad = None if tokens.pad in (tokens.ends or ()) else tokens.pad
    named = {"bos_token_id": tokens.bos, "eos_token_id": tokens.eos, "pad_token_id": pad}
    known = {name: ids[text] if text else None for name, text in named.items()}
    known["vocab_size"] = tokenizer(tokens).get_vocab_size()
    if "text_config" in config:
        return {**config, **known, "text_config": {**config["text_config"], **known}}
    return {**config, **known}
