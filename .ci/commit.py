"""The build's hook: a wheel or an sdist from a clean checkout carries its commit, as `release/assets/commit`.

From an sdist it comes along by itself. Changed files have no commit, so neither has what is built from them.
"""

import subprocess
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class Commit(BuildHookInterface):
    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "editable" or not (Path(self.root) / ".git").exists():
            return
        commit = self._git("rev-parse", "HEAD")
        if commit and not self._git("status", "--porcelain", "--untracked-files=no"):
            self._folder = tempfile.TemporaryDirectory()
            path = Path(self._folder.name) / "commit"
            path.write_text(f"{commit}\n", "utf-8")
            build_data["force_include"][str(path)] = "release/assets/commit"

    def _git(self, *arguments: str) -> str:
        done = subprocess.run(["git", "-C", self.root, *arguments], capture_output=True, text=True, check=False)
        return done.stdout.strip()
