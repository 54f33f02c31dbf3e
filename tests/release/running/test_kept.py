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
        *("CI", "https_proxy", "VLLM_CPU_KVCACHE_SPACE", "no_proxy", "PYTHONPYCACHEPREFIX", "ADAPTER_RELEASE_KEEP"),
        *("TORCHINDUCTOR_DISABLED_PASSES", "VLLM_MAX_TOKENS_PER_EXPERT_FUSED_MOE", "HF_HUB_DISABLE_IMPLICIT_TOKEN"),
        *("OMP_PATIENCE", "TORCH_APIARY", "LLAMA_SPWAN", "CUDA_PATH", "TORCH_PATTERNS"),  # letters within a word
    ],
)
def test_what_stages_need_is_kept(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "http://127.0.0.1:3128")

    assert kept.kept()[name] == "http://127.0.0.1:3128"


@pytest.mark.parametrize(
    "name",
    [
        *("VLLM_API_KEY", "HF_HUB_TOKEN", "ADAPTER_RELEASE_SECRET", "TORCH_AUTH", "LLAMA_PASSWD", "CUDA_PASSWORD"),
        *("NVIDIA_APIKEY", "VLLM_APIKEY", "HF_HUB_PAT", "TORCHX_PWD", "LLAMA_ACCESSKEY", "PYTHON_KEYRING_PASSWD"),
        *("NVIDIA_NGC_BEARER", "TRANSFORMERS_JWT", "ADAPTER_RELEASE_PW", "ADAPTER_RELEASE_SIGNINGPASSWORD"),
        *(
            "TOKENIZERS_TOKEN",
            "TOKENIZERS_APIKEY",
            "VLLM_NUM_TOKENS",
            "HF_HUB_accesstoken",
            "TRITON_CREDS",
            "LLAMA_API",
        ),
        *("LLAMA_API", "TORCH_PASSPHRASE", "CUDA_PAT_1", "VLLM_OAUTH2", "HF_HUB_DISABLE_IMPLICIT_TOKEN_KEY"),
    ],
)
def test_a_listed_beginning_does_not_let_a_secret_pass(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "secret")

    assert name not in kept.kept()


@pytest.mark.parametrize("name", ["https_proxy", "HTTP_PROXY", "all_proxy", "HF_ENDPOINT", "VLLM_HOST_IP"])
@pytest.mark.parametrize(
    "value", ["http://me:secret@host:3128", "socks5h://me:a/b@host", "//me:secret@host", "s://m@h"]
)
def test_an_address_with_a_password_is_not_kept(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)

    assert name not in kept.kept()
    assert (name in kept.to_reach_a_hub()) == (name.upper() in kept.PROXIES)


@pytest.mark.parametrize("value", ["me:secret@host:3128", "me:a/b@host", "me@host"])
def test_a_proxy_without_a_scheme_may_have_a_password_too(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", value)
    monkeypatch.setenv("PYTHONPATH", value)

    assert "https_proxy" not in kept.kept()
    assert kept.kept()["PYTHONPATH"] == value


@pytest.mark.parametrize("value", ["/srv/a@b/bin:/usr/bin", "https://host/a", "host:3128", "a://b c@d"])
def test_what_is_not_an_address_with_a_password_is_kept(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", value)

    assert kept.kept()["PYTHONPATH"] == value


def test_a_stage_asks_no_hub_and_who_asks_one_may(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in child.STAGE:
        monkeypatch.delenv(name, raising=False)

    assert child.STAGE.items() <= given(tmp_path).items()
    child.call(contained.__name__, "given", str(tmp_path), say=lambda _: None, log=tmp_path / "log")
    assert not child.STAGE.keys() & json.loads((tmp_path / "given.json").read_text("utf-8")).keys()


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
