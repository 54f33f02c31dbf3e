"""The release record: everything needed to make the adapter again, and to see that it is the same."""

from collections.abc import Mapping
from typing import Any

from release import environment
from release.artifacts import Adapter
from release.base import Base
from release.config import Config, effective

VERSION = 1


def inputs(config: Config, base: Base, data: Mapping[str, str]) -> dict[str, Any]:
    """What an adapter's bytes depend on; two runs with equal inputs share a run folder.

    Where and under which name it is published is left out: a second tag for the same adapter needs no training.
    """
    made_from = {name: value for name, value in effective(config).items() if name not in ("publishing", "notices")}
    return {
        "config": made_from,
        "base": base.to_json(),
        "data_sha256": dict(data),
        "code_sha256": environment.code_sha256(),
        "threads": environment.threads(config.run.threads),
    }


def build(
    config: Config,
    base: Base,
    started: Mapping[str, Any],
    adapter: Adapter,
    measured: Mapping[str, Any],
) -> dict[str, Any]:
    """The record of one adapter. ``measured``: generation, policy, verdict digests and the attempt number."""
    return {
        "record": VERSION,
        "name": config.run.name,
        "config": effective(config),
        "base": base.to_json(),
        **started,
        "adapter": {
            "sha256": adapter.files.digest,
            "files": {file.path: file.sha256 for file in adapter.files.files},
        },
        "training": {name: value for name, value in adapter.training.items() if name != "files"},
        **measured,
    }
