"""What of the environment a process that is started here keeps."""

import json
from pathlib import Path

import pytest

from release.models import arithmetic
from release.running import child, kept
from release.running.place import Here
from tests.helpers import contained
from tests.helpers.foreign_code import SECRETS, leaked


@pytest.fixture
def secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HTTPS_PROXY", raising=False)
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)


def given(folder: Path) -> dict[str, str]:
    """What a stage is given."""
    Here().call(contained.__name__, ["given", folder], say=lambda _: None, log=folder / "log")
    found: dict[str, str] = json.loads((folder / "given.json").read_text("utf-8"))
    return found


@pytest.mark.usefixtures("secrets")
def test_a_stage_is_given_no_secret_by_whatever_name(tmp_path: Path) -> None:
    found = given(tmp_path)

    assert leaked(found) == []
    assert "A_NAME_THAT_NOBODY_THOUGHT_OF" not in found


@pytest.mark.parametrize("name", arithmetic.ARITHMETIC)
def test_every_variable_that_decides_bytes_is_kept(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "1")

    assert kept.kept()[name] == "1"


@pytest.mark.parametrize(
    "name",
    [
        *("PATH", "HOME", "LC_ALL", "PYTHONPATH", "LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES"),
        *("HF_HOME", "HF_HUB_CACHE", "HF_HUB_OFFLINE", "XDG_CACHE_HOME", "SSL_CERT_FILE", "TMPDIR", "TORCH_HOME"),
        *("PYTORCH_CUDA_ALLOC_CONF", "TORCHINDUCTOR_CACHE_DIR", "ADAPTER_RELEASE_CACHE", "TOKENIZERS_PARALLELISM"),
        *("CI", "https_proxy", "VLLM_CPU_KVCACHE_SPACE", "no_proxy"),
    ],
)
def test_what_stages_need_is_kept(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "http://127.0.0.1:3128")

    assert kept.kept()[name] == "http://127.0.0.1:3128"


@pytest.mark.parametrize(
    "name", ["VLLM_API_KEY", "HF_HUB_TOKEN", "ADAPTER_RELEASE_SECRET", "TORCH_AUTH", "LLAMA_PASSWD", "CUDA_PASSWORD"]
)
def test_a_listed_beginning_does_not_let_a_secret_pass(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "secret")

    assert name not in kept.kept()


def test_a_user_adds_variables_but_none_that_opens_a_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(kept.ADDED, "MY_SETTING HF_TOKEN OTHER")
    monkeypatch.setenv("MY_SETTING", "7")
    monkeypatch.setenv("HF_TOKEN", "hf_" + "s" * 34)

    assert kept.kept()["MY_SETTING"] == "7"
    assert "HF_TOKEN" not in kept.kept()


@pytest.mark.usefixtures("secrets")
def test_who_reaches_a_hub_or_installs_is_given_what_that_needs() -> None:
    assert kept.to_reach_a_hub()["HTTPS_PROXY"] == SECRETS["HTTPS_PROXY"]
    assert leaked(kept.to_reach_a_hub()) == ["HTTPS_PROXY"]
    assert leaked(kept.to_install()) == ["HTTPS_PROXY", "PIP_INDEX_URL", "TORCH_FIND_LINKS"]


@pytest.mark.usefixtures("secrets")
def test_only_who_asks_a_served_model_is_given_its_key(tmp_path: Path) -> None:
    asks = Here(secrets=(child.SERVER_KEY,))

    asks.call(contained.__name__, ["given", tmp_path], say=lambda _: None, log=tmp_path / "log")

    assert leaked(json.loads((tmp_path / "given.json").read_text("utf-8"))) == ["HTTPS_PROXY", child.SERVER_KEY]
