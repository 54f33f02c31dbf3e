"""The default example, to start from: its configuration, its rows, and what says how they are answered."""

import shutil
from pathlib import Path

from release.values.assets import asset
from release.values.errors import ConfigError

PARTS = ("release.yaml", "data/elements")


def write(folder: Path) -> list[Path]:
    """The files written into ``folder``, made where it is not there; ``ConfigError`` where one is there already."""
    files = {folder / part / path.relative_to(asset(part)): path for part in PARTS for path in _files(asset(part))}
    if there := [str(path) for path in files if path.exists()]:
        raise ConfigError([f"{', '.join(there)}: there already. Nothing is overwritten: name another folder."])
    for path, source in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, path)
    return sorted(files)


def _files(part: Path) -> list[Path]:
    return [part] if part.is_file() else sorted(path for path in part.iterdir() if path.is_file())
