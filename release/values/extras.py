"""The extras: what only some commands and settings need, so that all else installs without it."""

import importlib.util

from release.values import kernels
from release.values.errors import ConfigError

TRAIN = ("accelerate", "bitsandbytes", "datasets", "docker", "gguf", "peft", "torch", "trl")
"""The modules that come with the extra `train` and with nothing else."""
SERVE = ("llguidance", "openai", "xllamacpp")
"""The same of `serve`."""
VLLM = ("vllm",)
"""The same of `vllm`."""
SEARCH = ("optuna",)
"""The same of `search`."""
LIGER = (kernels.MODULES[kernels.LIGER],)
"""The same of `liger`."""
EXTRAS = {"train": TRAIN, "serve": SERVE, "vllm": VLLM, "search": SEARCH, "liger": LIGER}
NEEDED_BY = {
    "train": "what trains, answers or counts a base model's weights needs it, all else does not",
    "serve": "the form of serving that is asked for needs it, all else does not",
    "search": "a search of tries needs it, all else does not",
    "liger": "training.use_liger_kernel needs it, all else does not",
    "vllm": "a form of serving with engine vllm needs it, all else does not",
}


def need_train() -> None:
    """Go on where the extra `train` is installed; stop before anything is fetched or made where it is not."""
    for name in TRAIN:
        need(name)


def need_search() -> None:
    """The same of `search`."""
    for name in SEARCH:
        need(name)


def need(name: str) -> None:
    """Go on where this module of an extra is installed."""
    if importlib.util.find_spec(name) is None:
        raise _missing(name)


def of_an_import(error: ModuleNotFoundError) -> ConfigError | None:
    """The ``Stop`` for a module of an extra that is not there; None for any other."""
    name = (error.name or "").partition(".")[0]
    return _missing(name) if any(name in modules for modules in EXTRAS.values()) else None


def missing(name: str) -> str:
    """What to say of a module of an extra that is not there; empty where it is."""
    return "" if importlib.util.find_spec(name) else str(_missing(name))


def _missing(name: str) -> ConfigError:
    (extra,) = [one for one, modules in EXTRAS.items() if name in modules]
    text = (
        f"{name} is not installed. It comes with the extra `{extra}`: {NEEDED_BY[extra]}. Run, in this environment,\n"
        f"  pip install 'adapter-release[{extra}]'\n"
        f"or start it as `uvx --from 'adapter-release[{extra}]' adapter-release ...`, and do the same again."
    )
    return ConfigError([text])
