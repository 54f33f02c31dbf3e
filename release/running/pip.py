"""pip, as a child: it hears where packages are found, and what it says names none of these places."""

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from release.running import kept
from release.running.tied import inherited as locks
from release.running.tied import tied


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What came of it."""

    found: bool
    said: str
    """Its errors, less the addresses of indexes and proxies."""


def download(lock: Path, to: Path, *options: str) -> Asked:
    """The file that ``lock`` names with its hash, into the folder ``to``; its declared dependencies are not wanted."""
    return _download(to, "--require-hashes", "--requirement", str(lock), *options)


def fetch(requirement: str, to: Path) -> Asked:
    """The wheel of one exact version, into the folder ``to``; whoever asks knows what its files must be."""
    return _download(to, "--only-binary", ":all:", requirement)


def install(lock: Path, python: Path) -> Asked:
    """Every wheel that ``lock`` names with its hash, into the environment of ``python``; nothing is built."""
    locked = ["--require-hashes", "--only-binary", ":all:", "--requirement", str(lock)]
    return _run("--python", str(python), "install", "--quiet", "--disable-pip-version-check", *locked)


def _download(to: Path, *options: str) -> Asked:
    wanted = ["--no-deps", "--dest", str(to), *options]
    return _run("download", "--quiet", "--disable-pip-version-check", *wanted)


def _run(*words: str) -> Asked:
    # -P: pip, and nothing that lies in the folder where somebody looks at a release under a module's name
    command = [sys.executable, "-P", "-m", "pip", *words]
    ways = kept.to_install()
    env = {**kept.kept(), **ways}
    done = subprocess.run(tied(command), env=env, capture_output=True, text=True, check=False, **locks())
    return Asked(found=done.returncode == 0, said=_without_addresses(ways, done.stderr.strip()))


def _without_addresses(ways: Mapping[str, str], said: str) -> str:
    """Pip hides a password in an address, but no token in its path; what is no address, such as a number, stays."""
    for name, value in ways.items():
        for part in (value, urlsplit(value).path):
            if len(part) > 1 and ("/" in part or "@" in part):
                said = said.replace(part, f"({name})")
    return said
