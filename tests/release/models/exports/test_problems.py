"""What llama.cpp cannot carry is told before anything is trained, form by form."""

from dataclasses import replace
from pathlib import Path

import pytest

from release.config import reading
from release.config.settings import Config, Form
from release.models.exports import problems, quantizer
from tests.helpers.built import built
from tests.helpers.line import ROOT


def config(form: Form) -> Config:
    return replace(reading.load(ROOT / "release.yaml"), serving={"local": form})


def test_what_can_be_served_is_not_complained_of() -> None:
    llama = built("smollm2-135m")

    for form in (Form(engine="llama.cpp"), Form(engine="llama.cpp", merged=True, file_type="Q8_0"), Form()):
        assert problems.export_problems(llama, config(form)) == []


@pytest.mark.parametrize(
    ("name", "said"),
    [("gpt-oss-20b", "GptOssForCausalLM is not one of"), ("qwen3-30b-a3b", "Qwen3MoeForCausalLM is not one of")],
)
def test_an_architecture_that_was_not_tried_is_refused_by_name(name: str, said: str) -> None:
    (told,) = problems.export_problems(built(name), config(Form(engine="llama.cpp")))

    assert told.startswith(f"serving.local: {said}")
    assert "Take this form out of serving" in told


def test_a_model_of_its_own_code_is_refused() -> None:
    (told,) = problems.export_problems(None, config(Form(engine="llama.cpp")))

    assert "trust_remote_code" in told


def test_biases_and_embeddings_are_refused_for_a_lora_and_not_for_a_merged_model() -> None:
    asked = config(Form(engine="llama.cpp"))
    lora = replace(asked.adapter.lora, bias="lora_only", target_modules=("q_proj", "embed_tokens"))
    asked = replace(asked, adapter=replace(asked.adapter, lora=lora))

    bias, embedding = problems.export_problems(built("smollm2-135m"), asked)

    assert "adapter.lora.bias is 'lora_only'" in bias
    assert "embed_tokens, an embedding" in embedding
    merged = replace(asked, serving={"local": Form(engine="llama.cpp", merged=True)})
    assert problems.export_problems(built("smollm2-135m"), merged) == []


def test_a_quantizer_that_is_not_there_is_told_with_where_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    asked = config(Form(engine="llama.cpp", merged=True, file_type="Q4_K_M"))

    (told,) = problems.export_problems(built("smollm2-135m"), asked)

    assert "there is no llama-quantize on the PATH" in told
    assert "file_type: Q8_0" in told
    (tmp_path / quantizer.PROGRAM).write_text("#!/bin/sh\n", "utf-8")
    (tmp_path / quantizer.PROGRAM).chmod(0o755)
    assert problems.export_problems(built("smollm2-135m"), asked) == []
