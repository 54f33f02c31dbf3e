"""What is logged while it trains, handed to the programs that a user looks at it with; all of it stays on this machine.

The Trainer's own integrations write. None of them gets a key or a network, and nothing of theirs is in a release.
"""

import importlib.util
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from release.config.settings import Config
from release.values.events import Line, Say


@dataclass(frozen=True, kw_only=True)
class Report:
    """A program to look at a training with; ``{}`` is its folder in the run folder."""

    environment: Mapping[str, str]
    look: str
    """The command that shows or sends what was written."""


REPORTS = {
    "tensorboard": Report(environment={"TENSORBOARD_LOGGING_DIR": "{}"}, look="`tensorboard --logdir {}` shows it"),
    "trackio": Report(environment={"TRACKIO_DIR": "{}"}, look="`TRACKIO_DIR={} trackio show` shows it"),
    "wandb": Report(
        environment={
            "WANDB_DIR": "{}",
            "WANDB_MODE": "offline",
            "WANDB_LOG_MODEL": "false",
            "WANDB_CONSOLE": "off",
            "WANDB_SILENT": "true",
            "WANDB_DISABLE_GIT": "true",
            "WANDB_DISABLE_CODE": "true",
            "WANDB_ERROR_REPORTING": "false",  # its own telemetry
        },
        look="training has neither network nor key, so afterwards `wandb sync {}/wandb/offline-run-*` sends it",
    ),
    "mlflow": Report(
        environment={
            "MLFLOW_TRACKING_URI": "sqlite:///{}/mlflow.db",
            "MLFLOW_DISABLE_TELEMETRY": "true",
        },
        look="`mlflow ui --backend-store-uri sqlite:///{}/mlflow.db` shows it",
    ),
}


def problems(config: Config, *, contained: bool) -> Iterator[str]:
    """What keeps the programs that are asked for from being written for."""
    names = config.training.report_to or ()
    if names and contained:
        yield (
            f"training.report_to names {', '.join(names)}, but training runs in a container, whose image holds none of "
            "them. Set container.use: never, or take report_to out."
        )
        return
    for name in names:
        if importlib.util.find_spec(name) is None:
            yield (
                f"training.report_to names {name}, which is not installed. Run `pip install {name}` in this "
                "environment, or take it out."
            )


def prepare(run: Path, names: Sequence[str], say: Say) -> None:
    """Point the integrations to folders of the run, in this process's environment, and say where they are."""
    for name in names:
        folder = run / name
        folder.mkdir(exist_ok=True)
        os.environ.update({key: value.format(folder) for key, value in REPORTS[name].environment.items()})
        say(Line(text=f"  {name}: what is logged goes to {folder}; {REPORTS[name].look.format(folder)}"))
