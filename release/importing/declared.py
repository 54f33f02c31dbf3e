"""How an imported adapter was trained, as its publisher declares it: the command, what it runs in, and its files."""

import re
from collections.abc import Iterator
from pathlib import Path

from release.config.settings import Config
from release.values.artifacts import sha256_file
from release.values.errors import ConfigError, shown
from release.values.record import ReproduceWith

MOST = 64 << 20
"""Bytes of a file that a trainer needs: a script, a configuration, a lock; rows are named as data."""
_HASHED = re.compile(
    r"[A-Za-z0-9][A-Za-z0-9._-]*(\[[A-Za-z0-9._, -]+\])?==[A-Za-z0-9.!+_-]+( *;[A-Za-z0-9_. '\"<>=!~()]+)?"
    r"(\s+--hash=sha256:[0-9a-f]{64})+"
)
"""A package with its version and hashes, and no option of pip's beside them."""


def of(config: Config) -> ReproduceWith | None:
    """What is declared, with the sha256 of every file; ``ConfigError`` with all that is wrong with these."""
    said = config.adapter.reproduce_with
    if said is None:
        return None
    folder = config.path.parent.absolute()
    names = sorted({*said.files, *([said.lock] if said.lock else [])})
    problems = [one for name in names for one in _file_problems(folder / name, name)]
    if said.lock and not problems:
        problems += lock_problems(folder / said.lock)
    if problems:
        raise ConfigError([f"adapter.reproduce_with: {one}" for one in problems])
    digests = {name: sha256_file(folder / name) for name in names}
    return ReproduceWith(command=[*said.command], image=said.image, lock=said.lock, files=digests)


def _file_problems(path: Path, name: str) -> Iterator[str]:
    if not path.is_file():
        yield f"there is no file {shown(name)} beside the configuration. Name one that is there."
    elif path.stat().st_size > MOST:
        size = path.stat().st_size
        yield f"{shown(name)} has {size:,} bytes; at most {MOST:,} are taken. Name rows as data.train_file."


def lock_problems(lock: Path) -> Iterator[str]:
    """Whether every package of a requirements file has its version and hash, and nothing else is in it."""
    try:
        text = lock.read_text("utf-8")
    except UnicodeDecodeError:
        yield f"{shown(lock.name)} is not a text."
        return
    # A comment ends with its line, whatever it ends in: pip goes on after it.
    text = re.sub(r"^[ \t]*#[^\n]*$", "", text.replace("\r\n", "\n"), flags=re.MULTILINE).replace("\\\n", " ")
    lines = [one for line in text.splitlines() if (one := re.sub(r"\s#.*", "", line).strip())]
    if not lines:
        yield f"{shown(lock.name)} names no package. Write it with `uv pip compile --generate-hashes`."
    for line in lines:
        if not _HASHED.fullmatch(line):
            yield (
                f"{shown(lock.name)} has {shown(line)}; expected NAME==VERSION --hash=sha256:... of every package, as "
                "`uv pip compile --generate-hashes` writes it."
            )
            return
