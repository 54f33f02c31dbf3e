"""What is sent to another machine: this code, the configuration and all that it names, and what was counted here.

No token, no key and nothing of the environment. Where files lie here is not told: over there they have names of their
own, as in a release.
"""

import hashlib
import io
import os
import re
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO

from gates.canonical import canonical_json
from gates.canonical import digest as digest_of
from release.config import reading
from release.config import tree as trees
from release.config.settings import Config
from release.hub import address
from release.importing import sources
from release.judging import attempts, ledger
from release.remote import there
from release.running import distribution, environment, spending
from release.running.image_source import COPIED
from release.values import assets
from release.values.artifacts import sha256_file
from release.values.errors import ConfigError

ASSETS = ("Dockerfile", "data/elements", "locks", "prices.json", "release.yaml")
"""What a wheel has in `release/assets`."""
CONFIG, RUNS, HUB = "work/release.yaml", "work/runs", "work/hub"
NAMED = ("model.chat_template", "data.train_file", "data.golden_file", "data.tuning_file", "adapter.source")
OF_THE_PUBLISHER = ("signing_key", "keyless")
"""Settings of who publishes, which are nobody else's business."""


@dataclass(frozen=True, kw_only=True)
class Parcel:
    """Files by their names over there."""

    inputs: Mapping[str, Path | bytes]
    """What the candidate is made of, and by what code."""
    counted: Mapping[str, Path | bytes]
    """What was judged and spent before, and what the embedded Hub has of its releases: it may be more each time."""
    places: Mapping[str, Path]
    """Where the files that the configuration names are here, by their names over there."""

    @cached_property
    def digest(self) -> str:
        """Names the inputs: other ones are another job."""
        return digest_of({name: _sha256(content) for name, content in sorted(self.inputs.items())})

    @property
    def size(self) -> int:
        """Bytes of all files."""
        every = [*self.inputs.values(), *self.counted.values()]
        return sum(len(one) if isinstance(one, bytes) else one.stat().st_size for one in every)

    def write(self, to: IO[bytes]) -> None:
        """All of it as a tar."""
        with tarfile.open(fileobj=to, mode="w|", format=tarfile.PAX_FORMAT) as tar:
            for name, content in {**self.inputs, **self.counted}.items():
                entry = tarfile.TarInfo(name)
                with io.BytesIO(content) if isinstance(content, bytes) else content.open("rb") as file:
                    entry.size = file.seek(0, os.SEEK_END)
                    file.seek(0)
                    tar.addfile(entry, file)


def of(config: Config) -> Parcel:
    """What a candidate of this configuration needs; ``ConfigError`` where a file that it names is not here."""
    settings = reading.effective(config)
    files: dict[str, Path | bytes] = {}
    places = {"contract.schema": config.path.parent.absolute() / str(config.contract["schema"])}
    places |= {key: path for key in NAMED if isinstance(path := _at(config, key), Path)}
    for key, path in places.items():
        trees.put(settings, key, _take(files, key, path))
    if with_it := config.adapter.reproduce_with:
        for name in (*with_it.files, *([with_it.lock] if with_it.lock else ())):
            files[f"work/{name}"] = _there(f"adapter.reproduce_with: {name}", config.path.parent / name)
    settings["run"]["output_dir"] = Path(RUNS).name
    for name in OF_THE_PUBLISHER:
        settings["publishing"].pop(name, None)
    counted: dict[str, Path | bytes] = dict(_counted(config))
    hub = address.of(config)
    if isinstance(hub, address.Folder):
        settings["publishing"]["endpoint"] = f"file:{Path(HUB).name}"
        repo = f"models/{config.publishing.hf_repo}.git"
        counted |= {f"{HUB}/{repo}/{name}": path for name, path in _below(hub.root / repo)}
    files[CONFIG] = canonical_json(settings)
    named = {f"work/{trees.get(settings, key)}": path for key, path in places.items()}
    return Parcel(inputs={**_code(), **files}, counted=counted, places=named)


def _at(config: Config, key: str) -> object:
    section, _, name = key.partition(".")
    return getattr(getattr(config, section), name)


def _take(files: dict[str, Path | bytes], key: str, path: Path) -> str:
    """Add a file, or what an import looks at of a folder, under a name that says what it is; that name."""
    ending = path.suffix if re.fullmatch(r"\.[A-Za-z0-9]{1,16}", path.suffix) else ""
    name = f"sent/{key.partition('.')[2]}{ending}"
    if path.is_dir():
        files |= {f"work/{name}/{one}": file for one, file in _below(path) if sources.kind_of(one)}
    else:
        files[f"work/{name}"] = _there(key, path)
    return name


def _there(key: str, path: Path) -> Path:
    if not path.is_file():
        raise ConfigError([f"{key} names {path}, which is no file here. Nothing was sent. Correct the path."])
    return path


def _below(folder: Path) -> Iterator[tuple[str, Path]]:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink():
            yield path.relative_to(folder).as_posix(), path


def _counted(config: Config) -> Iterator[tuple[str, bytes]]:
    """What this machine counted: attempts on a golden set, what was spent under this output folder; and its commit.

    The commit is no input: another one of the same code is the same job.
    """
    about = environment.source()
    if about.commit and about.dirty is False and not distribution.files():
        yield "code/release/assets/commit", f"{about.commit}\n".encode()
    if known := ledger.read(config):
        yield there.COUNTED[0], attempts.written(known)
    spent = config.run.output_dir / spending.NAME
    if spent.is_file():
        yield there.COUNTED[1], spent.read_bytes()


def _code() -> Mapping[str, Path | bytes]:
    """The code that runs here, as a wheel of it lies when it is installed; and the program that starts it."""
    files: dict[str, Path | bytes] = {"there.py": Path(there.__file__)}
    installed = distribution.files()
    if installed:
        files |= {f"code/{name}": path for name, path in installed.items()}
        (info,) = (name for name in installed if name.endswith(".dist-info/METADATA"))
        files[f"code/{info.removesuffix('METADATA')}RECORD"] = distribution.listed(installed)
        return files
    for part in COPIED:
        files |= {
            f"code/{part}/{name}": path for name, path in _below(assets.ROOT / part) if "__pycache__" not in path.parts
        }
    for name in ASSETS:
        path, to = assets.asset(name), f"code/release/assets/{name}"
        files |= {to: path} if path.is_file() else {f"{to}/{one}": file for one, file in _below(path)}
    return {name: content for name, content in files.items() if "__pycache__" not in name}


def _sha256(content: Path | bytes) -> str:
    return hashlib.sha256(content).hexdigest() if isinstance(content, bytes) else sha256_file(content)
