"""Run the line on small inputs: configurations, run folders and the command itself."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from release.config import tree

ROOT = Path(__file__).parents[2]


def unevaluated() -> dict[str, Any]:
    """The default's settings without tuning rows, which most tests are not about."""
    settings: dict[str, Any] = tree.parsed_file(ROOT / "release.yaml")
    del settings["data"]["tuning_file"], settings["training"]["eval_steps"], settings["training"]["eval_generate"]
    return settings


def small_config(folder: Path, **sections: Mapping[str, Any]) -> Path:
    """``unevaluated``, written into ``folder`` over the repository's data, with ``sections`` merged in."""
    settings = unevaluated()
    data = ROOT / "data" / "elements"
    settings["data"] |= {"train_file": str(data / "train.jsonl"), "golden_file": str(data / "golden.jsonl")}
    del settings["serving"]  # most tests judge one form
    settings["contract"]["schema"] = str(ROOT / settings["contract"]["schema"])
    for name, values in sections.items():
        settings[name] = _merged(settings.get(name, {}), values)
    path = folder / "release.yaml"
    path.write_text(yaml.safe_dump(settings), "utf-8")
    return path


def _merged(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(old)
    for name, value in new.items():
        merged[name] = _merged(old.get(name, {}), value) if isinstance(value, Mapping) else value
    return merged


def adapter_release(
    *arguments: str, cwd: Path, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own, as a user runs it."""
    return subprocess.run(
        [sys.executable, "-m", "release.cli", *arguments],
        cwd=cwd,
        env={**os.environ, "CI": "true", "PYTHONPATH": str(ROOT), **(env or {})},
        capture_output=True,
        text=True,
        check=False,
    )


def copy_of_this_repository(folder: Path) -> None:
    """The files that git would commit, committed."""
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    for name in filter(None, names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    git = ["git", "-C", str(folder), "-c", "user.name=a", "-c", "user.email=a@b.c"]
    for command in (["init", "--quiet"], ["add", "--all"], ["commit", "--quiet", "-m", "A copy"]):
        subprocess.run([*git, *command], check=True)
