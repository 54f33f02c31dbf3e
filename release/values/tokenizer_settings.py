"""A tokenizer's settings as training here writes them, and what of somebody else's would do more than load it.

transformers reads ``tokenizer_config.json`` and ``special_tokens_map.json`` as orders: code of another repository, a
template that is not the judged one, files elsewhere. None of that is written here, so what is not listed is refused.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from gates.canonical import Json
from release.values.errors import shown
from release.values.layout import CHAT_TEMPLATE

SETTINGS = "tokenizer_config.json"
SPECIAL = "special_tokens_map.json"
CLASS = "PreTrainedTokenizerFast"
"""The class that reads tokenizer.json as it is, in versions 4 and 5 of transformers."""
FAMILIES = ("CodeLlama", "Cohere", "GPT2", "GPTNeoX", "Gemma", "Llama", "Qwen2", "T5", "XGLM")
CLASSES: Final = frozenset(
    (CLASS, "TokenizersBackend", *(f"{one}Tokenizer{end}" for one in FAMILIES for end in ("", "Fast")))
)
"""Classes of transformers itself; early releases had the base's own."""
EMPTY: Final[tuple[object, ...]] = (None, False, {}, [])
"""Values that ask for nothing, whatever they are of."""
_TOKEN = re.compile(r"[a-z0-9_]{1,60}_token")
_WORD = re.compile(r"[A-Za-z0-9_]{1,60}")
_FLAGS_OF_TOKEN = ("lstrip", "normalized", "rstrip", "single_word", "special")
Fits = Callable[[object], bool]


def _is_flag(value: object) -> bool:
    return isinstance(value, bool)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value >= 0  # no NaN either


def _is_token(value: object) -> bool:
    """A special token: its text, or an object of transformers' AddedToken."""
    if not isinstance(value, dict):
        return isinstance(value, str)
    flags = [one for name, one in value.items() if name in _FLAGS_OF_TOKEN]
    others = {name: one for name, one in value.items() if name not in (*_FLAGS_OF_TOKEN, "content")}
    return (
        isinstance(value.get("content"), str) and all(map(_is_flag, flags)) and others in ({}, {"__type": "AddedToken"})
    )


def _are_tokens(value: object) -> bool:
    """Several of them, in a list or by their names."""
    return (isinstance(value, list) and all(map(_is_token, value))) or _are_named(value)


def _are_named(value: object) -> bool:
    return (
        isinstance(value, dict) and all(_WORD.fullmatch(name) for name in value) and all(map(_is_token, value.values()))
    )


def _are_words(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) and _WORD.fullmatch(one) for one in value)


def _one_of(*words: str) -> tuple[str, Fits]:
    return " or ".join(words), lambda value: isinstance(value, str) and value in words


_FLAG: Final = ("true or false", _is_flag)
_NUMBER: Final = ("a number", _is_number)
_TOKENS: Final = ("special tokens", _are_tokens)
TOKENS: Final[Mapping[str, tuple[str, Fits]]] = {"additional_special_tokens": _TOKENS, "extra_special_tokens": _TOKENS}
OWN: Final[Mapping[str, tuple[str, Fits]]] = {
    **TOKENS,
    "model_specific_special_tokens": ("special tokens by their names", _are_named),
    "added_tokens_decoder": ("special tokens by their numbers", _are_named),
    "tokenizer_class": ("one of transformers' own classes", lambda value: isinstance(value, str) and value in CLASSES),
    "processor_class": ("a class's name", lambda value: isinstance(value, str) and bool(_WORD.fullmatch(value))),
    "backend": _one_of("tokenizers"),
    "model_input_names": ("a list of names", _are_words),
    "padding_side": _one_of("left", "right"),
    "truncation_side": _one_of("left", "right"),
    "truncation_strategy": _one_of("longest_first", "only_first", "only_second", "do_not_truncate"),
    "errors": _one_of("replace", "strict", "ignore"),
    **dict.fromkeys(("model_max_length", "max_length", "stride", "pad_to_multiple_of", "pad_token_type_id"), _NUMBER),
    **dict.fromkeys(
        (
            "add_bos_token", "add_eos_token", "add_prefix_space", "clean_up_tokenization_spaces", "do_lower_case",
            "fix_mistral_regex", "from_slow", "is_local", "keep_accents", "legacy", "local_files_only", "remove_space",
            "spaces_between_special_tokens", "split_special_tokens", "strip_accents", "tokenize_chinese_chars",
            "trim_offsets", "use_default_system_prompt", "use_fast",
        ),
        _FLAG,
    ),
}  # fmt: skip
"""Each setting by its name, in words and as a rule; beside them each NAME_token."""
_SPECIAL_TOKEN: Final = ("a special token", _is_token)


def kept(settings: Mapping[str, Json]) -> dict[str, Json]:
    """What of a base's settings an adapter's may be: the rest would be refused, and nothing of it is needed."""
    return {
        name: value for name, value in settings.items() if not _unlike(name, value, OWN) and name != "chat_template"
    }


def kept_special(named: Mapping[str, Json]) -> dict[str, Json]:
    """The same of the file that names special tokens alone."""
    return {name: value for name, value in named.items() if not _unlike(name, value, TOKENS)}


def problems(settings: object, template: str | None) -> Iterator[str]:
    """What training here never writes; ``template`` is the one that lies beside, None where there is none.

    Early releases have the template here too, and it must be that one.
    """
    if not isinstance(settings, dict):
        yield "it holds no object"
        return
    for name, value in settings.items():
        if name == "chat_template":
            if value is not None and not (isinstance(value, str) and template in (None, value)):
                yield f"chat_template is {shown(value)}, and not the judged one in {CHAT_TEMPLATE}"
        elif wrong := _unlike(name, value, OWN):
            yield f"{shown(name)} is {shown(value)}, {wrong}"


def special_problems(named: object) -> Iterator[str]:
    """The same of the file that names special tokens alone."""
    if not isinstance(named, dict):
        yield "it holds no object"
        return
    for name, value in named.items():
        if wrong := _unlike(name, value, TOKENS):
            yield f"{shown(name)} is {shown(value)}, {wrong}"


def _unlike(name: str, value: object, rules: Mapping[str, tuple[str, Fits]]) -> str:
    """What is wrong with one setting; empty where training may write it."""
    if any(type(value) is type(one) and value == one for one in EMPTY):
        return ""
    rule, fits = rules.get(name) or (_SPECIAL_TOKEN if _TOKEN.fullmatch(name) else ("", lambda _: False))
    if not rule:
        return "which training here never writes"
    return "" if fits(value) else f"expected {rule}"
