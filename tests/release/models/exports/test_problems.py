"""What llama.cpp cannot carry is told before anything is trained, form by form."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from release.config import reading
from release.config.settings import Config, Form
from release.models.engines import ready
from release.models.exports import problems, quantizer
from release.values.as_json import part
from release.values.record import Parity
from tests.helpers.built import built
from tests.helpers.line import ROOT


def config(form: Form) -> Config:
    return replace(reading.load(ROOT / "release.yaml"), serving={"local": form})


def test_what_can_be_served_is_not_complained_of() -> None:
    llama = built("smollm2-135m")

    for form in (Form(engine="llama.cpp"), Form(engine="llama.cpp", merged=True, file_type="Q8_0"), Form()):
        assert problems.export_problems(llama, config(form)) == []


@pytest.mark.parametrize("name", ["gpt-oss-20b", "qwen3-30b-a3b"])
def test_an_architecture_that_was_not_tried_is_tried_before_training_and_not_refused(name: str, tmp_path: Path) -> None:
    asked, other = config(Form(engine="llama.cpp")), built(name)

    assert other is not None
    assert problems.export_problems(other, asked) == []
    (told,) = problems.notes(other, asked)
    assert f"{other.name} was not tried in llama.cpp: local is made and compared before training" in told
    (tmp_path / "config.json").write_text(json.dumps({"architectures": [other.name]}), "utf-8")
    assert problems.untried(asked, tmp_path) == ["local"]
    assert problems.untried(config(Form(merged=True)), tmp_path) == []


def test_of_an_architecture_that_was_tried_nothing_is_tried_again(tmp_path: Path) -> None:
    asked = config(Form(engine="llama.cpp"))
    (tmp_path / "config.json").write_text('{"architectures": ["LlamaForCausalLM"]}', "utf-8")

    assert problems.notes(built("smollm2-135m"), asked) == []
    assert problems.untried(asked, tmp_path) == []


NEAR = {"rows": 8, "tokens": 64, "max_kl": 1.0, "same_first": 60}


@pytest.mark.parametrize(
    ("name", "file_type", "mean", "fine"),
    [
        ("PhiForCausalLM", "Q8_0", 0.01, True),
        ("PhiForCausalLM", "Q8_0", 0.1, False),
        ("PhiForCausalLM", "F16", 0.1, False),
        ("PhiForCausalLM", "Q4_K_M", 0.1, True),
        ("PhiForCausalLM", "Q4_K_M", 1.0, False),
        ("LlamaForCausalLM", "Q8_0", 1.0, True),  # its verdict says what that costs
    ],
)
def test_a_file_that_is_farther_from_its_weights_than_rounding_explains_is_refused(
    name: str, file_type: Any, mean: float, fine: bool
) -> None:
    found = part(Parity, {**NEAR, "mean_kl": mean})

    told = problems.unfaithful(name, Form(engine="llama.cpp", file_type=file_type), found)

    assert (told == "") is fine
    assert fine or "Take the forms of llama.cpp out of serving" in told


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

    (told,) = ready.problems(asked, here=True)

    assert "there is no llama-quantize on the PATH" in told
    assert problems.export_problems(built("smollm2-135m"), asked) == []  # which holds where stages run in an image too
    (told,) = ready.problems(asked, here=False)
    assert "which the container image does not have" in told
    (told,) = ready.problems(asked, here=True)
    assert "file_type: Q8_0" in told
    (tmp_path / quantizer.PROGRAM).write_text("#!/bin/sh\n", "utf-8")
    (tmp_path / quantizer.PROGRAM).chmod(0o755)
    assert ready.problems(asked, here=True) == []
