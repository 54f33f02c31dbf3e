"""The extra `train`: what only training and answering need, so that all else installs without torch."""

import importlib.util

from release.values.errors import ConfigError

TRAIN = ("accelerate", "bitsandbytes", "datasets", "docker", "gguf", "peft", "torch", "trl")
"""The modules that come with it and with nothing else."""


def need_train() -> None:
    """Go on where the extra is installed; stop before anything is fetched or made where it is not."""
    for name in TRAIN:
        if importlib.util.find_spec(name) is None:
            raise _missing(name)


def of_an_import(error: ModuleNotFoundError) -> ConfigError | None:
    """The ``Stop`` for a module of the extra that is not there; None for any other."""
    name = (error.name or "").partition(".")[0]
    return _missing(name) if name in TRAIN else None


def _missing(name: str) -> ConfigError:
    text = (
        f"{name} is not installed. It comes with the extra `train`: what trains, answers or counts a base model's "
        "weights needs it, all else does not. Run, in this environment,\n"
        "  pip install 'adapter-release[train]'\n"
        "or start it as `uvx --from 'adapter-release[train]' adapter-release ...`, and do the same again."
    )
    return ConfigError([text])
