"""A configuration that evaluates nothing while it trains: what is measured beside a plain script is training alone."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from release.config import ladder, reading, tree
from release.config.evaluating import NEEDS
from release.config.settings import Config


def settings(config: Config, path: Path) -> dict[str, Any]:
    """Its settings, for a file at ``path``."""
    kept = ladder.alone(reading.effective(replace(config, path=path)))
    evaluates = [f"training.{name}" for name in ("eval_steps", *NEEDS)]
    for key in ("data.tuning_file", "data.tuning_share", *evaluates):
        tree.take(kept, key)
    kept["contract"]["schema"] = str(config.path.absolute().parent / kept["contract"]["schema"])
    return kept
