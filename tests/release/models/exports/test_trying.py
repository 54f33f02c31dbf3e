"""What was not tried in llama.cpp is tried before training, and goes on or is refused by what comes of it."""

import json
import shutil
from pathlib import Path

import pytest

from release.data.chat import read as read_chat
from release.models.exports import making, trying
from release.values import layout
from release.values.errors import PreflightError
from tests.helpers import families, llama
from tests.helpers.families import Family

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"),
    pytest.mark.filterwarnings("ignore:The PEFT config's `base_model_name_or_path` was renamed:UserWarning"),
]
SERVING: dict[str, dict[str, object]] = {
    "lora": {"engine": "llama.cpp"},
    "merged": {"engine": "llama.cpp", "merged": True, "file_type": "Q8_0"},
}


def trial(family: Family, form: str, folder: Path) -> Path:
    """A run before its training, in which the form was tried."""
    run, base = llama.run_of(family, folder, SERVING)
    (run / layout.CHAT_TEMPLATE).write_text(read_chat(base).template, "utf-8")
    shutil.rmtree(run / "adapter")
    kept = run.parent / making.KEPT
    kept.mkdir(exist_ok=True)
    trying._stage([*map(str, (run, base, kept)), form, str(llama.wheel())], lambda _: None)
    return run


@pytest.mark.parametrize("form", SERVING)
@pytest.mark.parametrize("family", [families.PHI_35, families.GPT_OSS], ids=["Phi-3.5", "gpt-oss"])
def test_a_form_that_llama_cpp_carries_is_made_and_compared_and_leaves_nothing_but_the_base(
    family: Family, form: str, tmp_path: Path
) -> None:
    run = trial(family, form, tmp_path)

    assert {path.name for path in run.iterdir()} == {"config.yaml", "data", "answer.schema.json", layout.CHAT_TEMPLATE}
    told = [json.loads(path.read_bytes()) for path in (run.parent / making.KEPT).glob("*.json")]
    assert len(told) == (1 if form == "lora" else 0)


def test_what_cannot_be_converted_is_refused_before_training(tmp_path: Path) -> None:
    with pytest.raises(PreflightError, match="does not convert this model"):
        trial(families.GEMMA_3, "merged", tmp_path)
