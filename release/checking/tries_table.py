"""The tries of a run or a release as values: what `adapter-release tries` shows."""

import os
import shlex
from pathlib import Path

from release import tries_planned
from release.checking import opening, verify
from release.config.settings import Config
from release.values import bounded, bounds, layout, record
from release.values.as_json import part
from release.values.errors import ConfigError
from release.values.events import Say
from release.values.record import Tries

IN_A_RUN = "record.json"


def under_way(config: Config) -> Tries:
    """Those of a configuration so far, whether they are at an end or not."""
    path = tries_planned.folder_of(config) / tries_planned.TABLE
    if not path.is_file():
        says = f"{path} is not there: nothing was tried yet with these settings."
        do = "Write a section tries and run `adapter-release release`; if that had --set, give it here too."
        raise ConfigError([f"{says} {do}"])
    return _read(path, None)


def of(name: str, endpoint: str, say: Say, known: opening.Known) -> Tries:
    """Those of a run's folder that was judged, or of a release, which is verified before."""
    if Path(name).suffix in (".yaml", ".yml") and Path(name).is_file():
        says = f"{name} is a configuration, and neither a run's folder nor a release."
        raise ConfigError([f"{says} Its tries so far: `adapter-release tries --config {shlex.quote(name)}`."])
    made = Path(name) / IN_A_RUN
    if made.is_file() and not os.path.lexists(Path(name) / layout.RECORD):
        return _read(made, "tries")
    with opening.opened(name, endpoint, say, known) as found:
        opening.must_be_released(found)
        verify.report(found, say)
        if found.release.record.tries is None:
            raise ConfigError([_none(found.name)])
        return found.release.record.tries


def _read(path: Path, key: str | None) -> Tries:
    try:
        value = _value(path, key)
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(
            [f"{path} cannot be read: {error}. Run `adapter-release release` again: it is written anew."]
        ) from None
    if value is None:
        raise ConfigError([_none(str(path.parent))])
    return value


def _value(path: Path, key: str | None) -> Tries | None:
    if path.stat().st_size > bounds.RECORD.most:
        raise ValueError(f"it has more than {bounds.RECORD.most:,} bytes")
    if fault := bounded.fault(path, bounds.RECORD):
        raise ValueError(f"it {fault}")
    whole = bounded.json_object(path.read_bytes(), path.name)
    value = whole if key is None else whole.get(key)
    if value is None:
        return None
    if not record.is_tries(value):
        raise ValueError("it holds no table of tries")
    return part(Tries, value)


def _none(name: str) -> str:
    return f"{name} was trained once, with no tries: its settings are in its record (`adapter-release open`)."
