"""Which variables of the environment a process that is started here keeps: a list of them, so that no other one leaks.

A user adds to it with ``ADAPTER_RELEASE_KEEP="NAME OTHER"``.
"""

import os
import re
from collections.abc import Callable

SECRETS = (
    "HF_TOKEN",
    "HUGGING_FACE_HUB_TOKEN",
    "ADAPTER_RELEASE_SIGNING_PASSWORD",
    # what a CI job asks a keyless token with (huggingface_hub's trusted publishers, GitHub's OIDC)
    "HF_OIDC_RESOURCE",
    "HF_OIDC_ID_TOKEN",
    "ACTIONS_ID_TOKEN_REQUEST_URL",
    "ACTIONS_ID_TOKEN_REQUEST_TOKEN",
)
"""What opens a Hub or a key: only a process that speaks to one is given them, whatever is added to the list."""
ADDED = "ADAPTER_RELEASE_KEEP"
"""Names further variables, with spaces between them."""
NAMES = (
    *("PATH", "HOME", "USER", "LOGNAME", "SHELL", "TMPDIR", "TEMP", "TMP", "TERM", "COLUMNS", "NO_COLOR"),
    *("LANG", "LANGUAGE", "TZ", "CI", "GITHUB_ACTIONS", "VIRTUAL_ENV", "CONDA_PREFIX"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"),
    *("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME"),
    *("HF_HOME", "HF_ENDPOINT", "HF_ASSETS_CACHE", "HF_DATASETS_CACHE", "HF_MODULES_CACHE"),
)
"""Where things are: programs, caches, certificates, language."""
BEGINNINGS = (
    *("ADAPTER_RELEASE_", "LC_", "PYTHON", "LD_", "DYLD_", "FAKETIME", "HF_HUB_", "HF_XET_"),
    *("CUDA_", "NVIDIA_", "CUBLAS_", "CUDNN_", "NCCL_", "HIP_", "HSA_", "ROCM_", "ROCR_"),
    *("OMP_", "GOMP_", "KMP_", "MKL_", "OPENBLAS_", "BLIS_", "VECLIB_", "NUMEXPR_", "RAYON_", "MALLOC_", "GLIBC_"),
    *("TORCH", "PYTORCH_", "ATEN_", "DNNL_", "ONEDNN_", "TRITON_", "BNB_", "BITSANDBYTES_"),
    *("TOKENIZERS_", "TRANSFORMERS_", "FLASH_ATTENTION_", "VLLM_", "GGML_", "LLAMA_"),
)
"""How a library computes, among them all that decide bytes; and this project's own."""
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
"""Also in small letters."""
INSTALLING = ("PIP_", "UV_", "TORCH_FIND_LINKS")
"""Where pip finds packages; an index may have a password in its address."""
_OPENS = re.compile("KEY|TOKEN|SECRET|PASS|PWD|CRED|AUTH|BEARER|JWT|(^|_)(API|PAT|PW)(_|$)", re.IGNORECASE)
"""Words for what opens something, wherever they stand in a name: nobody agrees on where its underscores are."""
_SETTINGS = ("HF_HUB_DISABLE_IMPLICIT_TOKEN", "TORCHINDUCTOR_DISABLED_PASSES", "VLLM_MAX_TOKENS_PER_EXPERT_FUSED_MOE")
"""Names with such a word that open nothing; of what begins with tokenizers' name only the rest is looked at."""
_WITH_A_PASSWORD = re.compile("//[^/ ]*@|[A-Za-z]://[^ ]*@")  # a password may have a slash in it


def kept() -> dict[str, str]:
    """What every process is given: no secret by any name, and no address with a password in it."""
    added = set(os.environ.get(ADDED, "").split()) - set(SECRETS)
    return {name: value for name, value in os.environ.items() if name in added or _is_kept(name, value)}


def to_reach_a_hub() -> dict[str, str]:
    """The proxies, passwords included, for a process that speaks to a Hub or to a served model."""
    return _those(lambda name: name.upper() in PROXIES)


def to_reach_an_engine() -> dict[str, str]:
    """Where the Docker engine is, for a process that uses it itself."""
    return _those(lambda name: name == "DOCKER_HOST")


def to_install() -> dict[str, str]:
    """What pip needs to find packages, passwords of indexes and proxies included."""
    return {**to_reach_a_hub(), **_those(lambda name: name.startswith(INSTALLING))}


def _is_kept(name: str, value: str) -> bool:
    listed = name in NAMES or name.upper() in PROXIES or name.startswith(BEGINNINGS)
    opens = name not in _SETTINGS and _OPENS.search(name.removeprefix("TOKENIZERS_"))
    with_a_password = _WITH_A_PASSWORD.search(value) or (name.upper() in PROXIES and "@" in value)
    return listed and not opens and not with_a_password  # a proxy needs no scheme, so each @ counts there


def _those(wanted: Callable[[str], bool]) -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if wanted(name)}
