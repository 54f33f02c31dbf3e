"""A tokenizer's settings are those that training here writes: they ask nobody for code, files or another template."""

import json
from typing import Any

import pytest

from release.values import layout, tokenizer_settings
from tests.helpers.line import ROOT

KEPT = ROOT / "tests" / "data" / "releases"
WRITTEN: dict[str, Any] = json.loads((KEPT / "v3" / "tokenizer_config.json").read_bytes())
TEMPLATE = "{{ messages }}"
ADDED = {"content": "<s>", "lstrip": False, "normalized": False, "rstrip": False, "single_word": False, "special": True}
CODE: dict[str, dict[str, Any]] = {
    "code of a stranger": {"auto_map": {"AutoTokenizer": ["evil/repo--tok.Tok", None]}},
    "code of a stranger for a part": {"auto_map": ["evil/repo--tok.Tok", None]},
    "leave to run code": {"trust_remote_code": True},
    "a file elsewhere": {"tokenizer_file": "/etc/passwd"},
    "words elsewhere": {"vocab_file": "../vocab.json"},
    "an object in place of a token": {"eos_token": {"content": "<s>", "auto_map": "evil/repo--tok.Tok"}},
    "a token of no text": {"eos_token": 1},
    "a token whose flag is a text": {"eos_token": {**ADDED, "lstrip": "no"}},
    "more tokens that are no tokens": {"extra_special_tokens": [{"auto_map": 1}]},
}
ELSE: dict[str, dict[str, Any]] = {
    "another template": {"chat_template": "{{ 'another' }}"},
    "several templates": {"chat_template": [{"name": "default", "template": TEMPLATE}]},
    "an unknown class": {"tokenizer_class": "Tok"},
    "a class in a list": {"tokenizer_class": ["LlamaTokenizer"]},
    "a class behind dots": {"tokenizer_class": "evil.LlamaTokenizer"},
    "a number that is a text": {"model_max_length": "512"},
    "a number that is none": {"model_max_length": float("nan")},
    "a flag that is a text": {"legacy": "yes"},
    "another side": {"padding_side": "top"},
    "names that are no words": {"model_input_names": ["a b"]},
}


@pytest.mark.parametrize("version", ["v1", "v2", "v3"])
def test_a_kept_release_has_them(version: str) -> None:
    template = (KEPT / version / layout.CHAT_TEMPLATE).read_text("utf-8")
    settings = json.loads((KEPT / version / "tokenizer_config.json").read_bytes())

    assert list(tokenizer_settings.problems(settings, template)) == []


@pytest.mark.parametrize("change", [*CODE, *ELSE])
def test_what_training_never_writes_is_named(change: str) -> None:
    asked = {**CODE, **ELSE}[change]

    (line,) = tokenizer_settings.problems({**WRITTEN, **asked}, TEMPLATE)

    assert next(iter(asked)) in line


@pytest.mark.parametrize("change", CODE)
def test_special_tokens_alone_ask_for_nothing_else_either(change: str) -> None:
    (line,) = tokenizer_settings.special_problems({"bos_token": ADDED, **CODE[change]})

    assert next(iter(CODE[change])) in line


@pytest.mark.parametrize("change", [*CODE, "another template"])
def test_what_would_be_refused_is_not_written(change: str) -> None:
    asked = {**CODE, **ELSE}[change]

    kept = tokenizer_settings.kept({**WRITTEN, **asked})

    assert kept == {name: value for name, value in WRITTEN.items() if name not in asked}
    assert list(tokenizer_settings.problems(kept, TEMPLATE)) == []


@pytest.mark.parametrize(
    "change",
    [
        {"tokenizer_class": "Qwen2Tokenizer", "errors": "replace", "split_special_tokens": False},
        {"tokenizer_class": "TokenizersBackend"},
        {"added_tokens_decoder": {"0": ADDED}, "additional_special_tokens": ["<s>", ADDED]},
        {"extra_special_tokens": {"image_token": "<image>"}, "image_token": "<image>", "boi_token": ADDED},
        {"eos_token": {**ADDED, "__type": "AddedToken"}, "unk_token": None, "bos_token": None},
        {"model_max_length": 1e30, "sp_model_kwargs": {}, "legacy": None, "chat_template": None},
        {"add_bos_token": True, "add_eos_token": False, "padding_side": "left", "processor_class": "Gemma3Processor"},
        {"chat_template": TEMPLATE},
        {"a_setting_of_a_later_transformers": None, "another": False, "third": {}, "fourth": []},
    ],
)
def test_what_bases_and_early_releases_have_is_not_refused(change: dict[str, Any]) -> None:
    assert list(tokenizer_settings.problems({**WRITTEN, **change}, TEMPLATE)) == []


def test_an_early_release_without_a_file_for_it_has_its_template_here() -> None:
    assert list(tokenizer_settings.problems({**WRITTEN, "chat_template": "{{ 'any' }}"}, None)) == []


def test_each_class_is_one_of_transformers_own() -> None:
    from transformers.models.auto.tokenization_auto import TOKENIZER_MAPPING_NAMES

    known = {*TOKENIZER_MAPPING_NAMES.values(), tokenizer_settings.CLASS}
    assert {one for one in tokenizer_settings.CLASSES if not {one, one.removesuffix("Fast")} & known} == set()


@pytest.mark.parametrize("value", [None, [], "text", 1])
def test_what_is_no_object_is_named(value: object) -> None:
    assert list(tokenizer_settings.problems(value, None)) == ["it holds no object"]
    assert list(tokenizer_settings.special_problems(value)) == ["it holds no object"]
