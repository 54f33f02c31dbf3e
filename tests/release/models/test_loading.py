"""A base is loaded in four bits, or refused where four bits would be none."""

from pathlib import Path

import pytest

from release.config import reading
from release.models import architecture, loading, meta_device
from release.values.errors import PreflightError
from tests.helpers.line import ROOT
from tests.helpers.tiny_configs import FAMILIES, LLAMA, made


def test_a_base_of_which_four_bits_would_be_none_is_refused_for_qlora_alone(tmp_path: Path) -> None:
    """Falcon's linear layers are a class of their own, which bitsandbytes leaves as they are."""
    folder, adapter = tmp_path / "falcon", reading.load(ROOT / "release.yaml").adapter
    in_four_bits = loading.loaded_as(adapter, "nf4")
    made(FAMILIES["falcon"]).save_pretrained(folder)

    assert "bitsandbytes quantizes no layer" in architecture.method_problem(meta_device.build(folder), "qlora")
    with pytest.raises(PreflightError, match=r"method: lora, quantization: \{load_in_4bit: false\}"):
        loading.load_model(folder, in_four_bits, trust_remote_code=False)
    plain = loading.loaded_as(adapter, "unquantized")
    assert loading.load_model(folder, plain, trust_remote_code=False) is not None
    made(LLAMA).save_pretrained(tmp_path / "llama")
    assert (
        loading.load_model(tmp_path / "llama", loading.loaded_as(adapter, "nf4"), trust_remote_code=False) is not None
    )
