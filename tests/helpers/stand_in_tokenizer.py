"""Tokenizers in the shape of real families' own, without their words: special tokens and ends are the real ones.

What decides how a chat is asked and learned is here: which tokens a template writes as one, which of them end an
answer, whether a token swallows the space after it, and whether text is bytes or sentencepiece's pieces. The words
are not: every byte or character is a token, but for a few pairs that real vocabularies join too.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

PAIRS = ("\n\n", ' "', '{"', '":', '",', '"}', "}}", "{{", " s", "ab")
"""What real vocabularies join: also over the place where a prompt ends and its answer begins."""
WORDS = (  # how Llama 3 and Qwen cut text into words (tiktoken's cl100k_base)
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


@dataclass(frozen=True, kw_only=True)
class Tokens:
    """What a family's repository says of its tokens."""

    eos: str
    special: tuple[str, ...] = ()
    """Those that its tokenizer_config.json marks as special, but for the ones that have a name of their own here."""
    plain: tuple[str, ...] = ()
    """Added tokens that are not special: what a model thinks between, and calls tools with."""
    bos: str | None = None
    pad: str | None = None
    ends: tuple[str, ...] | None = None
    """Those of generation_config.json; None: it has no such file."""
    words: Literal["bytes", "old bytes", "pieces", "old pieces"] = "bytes"
    """Bytes as Llama 3 and Qwen; as GPT-2; sentencepiece as Gemma; with a space put before each text, as Llama 2."""
    swallow: tuple[str, ...] = ()
    """Tokens that take the space after them (``rstrip``)."""

    def added(self) -> dict[str, int]:
        """Every added token and its id: the first ones of the vocabulary."""
        named = [one for one in (self.bos, self.eos, self.pad) if one]
        return {one: number for number, one in enumerate(dict.fromkeys([*named, *self.special, *self.plain]))}


def write(folder: Path, tokens: Tokens, template: str | None = None, **settings: Any) -> Path:
    """A base model's small files in ``folder``; ``settings`` go into its tokenizer_config.json."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer(tokens).save(str(folder / "tokenizer.json"))
    named = {"bos_token": tokens.bos, "eos_token": tokens.eos, "pad_token": tokens.pad}
    said = {"tokenizer_class": "PreTrainedTokenizerFast", **{name: one for name, one in named.items() if one}}
    put(folder / "tokenizer_config.json", {**said, **settings})
    put(folder / "config.json", {"model_type": "llama"})
    if tokens.ends is not None:
        ids = [tokens.added()[one] for one in tokens.ends]
        put(folder / "generation_config.json", {"eos_token_id": ids if len(ids) > 1 else ids[0]})
    if template is not None:
        (folder / "chat_template.jinja").write_text(template, "utf-8")
    return folder


def put(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, ensure_ascii=False), "utf-8")


def tokenizer(tokens: Tokens) -> Any:
    """The tokenizer itself, as the `tokenizers` library holds it."""
    from tokenizers import AddedToken
    from tokenizers.processors import TemplateProcessing

    added = tokens.added()
    old = tokens.words.startswith("old")
    made = _bytes(added, old=old) if tokens.words.endswith("bytes") else _pieces(added, old=old)
    for one in added:
        token = AddedToken(one, normalized=False, rstrip=one in tokens.swallow, special=one not in tokens.plain)
        (made.add_tokens if one in tokens.plain else made.add_special_tokens)([token])
    if tokens.bos:  # as Llama's and Gemma's do: a text that is encoded plainly gets one, a rendered chat must not
        made.post_processor = TemplateProcessing(single=f"{tokens.bos} $A", special_tokens=[(tokens.bos, 0)])
    return made


def _bytes(added: dict[str, int], *, old: bool) -> Any:
    """Byte-level BPE; ``old`` cuts text into words as GPT-2 does: two line ends before a word are two words."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers

    level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=old)
    shown = {one: level.pre_tokenize_str(one)[0][0] for one in map(chr, range(128))}
    joined = [(shown[pair[0]], shown[pair[1]]) for pair in PAIRS]
    made = Tokenizer(models.BPE(vocab=_vocabulary(added, pre_tokenizers.ByteLevel.alphabet(), joined), merges=joined))
    cut = pre_tokenizers.Split(Regex(WORDS), "isolated")
    made.pre_tokenizer = level if old else pre_tokenizers.Sequence([cut, level])
    made.decoder = decoders.ByteLevel()
    return made


def _pieces(added: dict[str, int], *, old: bool) -> Any:
    """Sentencepiece's, as transformers converts it; ``old`` puts a space before each text and takes it off again."""
    from tokenizers import Tokenizer, decoders, models, normalizers

    joined = [(pair[0].replace(" ", "▁"), pair[1]) for pair in PAIRS]
    letters = [f"<0x{byte:02X}>" for byte in range(256)] + ["▁", *map(chr, range(33, 127)), "\n"]
    vocabulary = _vocabulary(added, letters, joined)
    made = Tokenizer(models.BPE(vocab=vocabulary, merges=joined, byte_fallback=True, fuse_unk=True))
    spaces = normalizers.Replace(" ", "▁")
    made.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), spaces]) if old else spaces
    back = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    made.decoder = decoders.Sequence([*back, decoders.Strip(" ", 1, 0)] if old else back)
    return made


def _vocabulary(added: dict[str, int], letters: list[str], joined: list[tuple[str, str]]) -> dict[str, int]:
    return {one: number for number, one in enumerate([*added, *sorted(letters), *map("".join, joined)])}
