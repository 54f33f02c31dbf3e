"""Architectures of the configuration files under tests/data/plan, each built once a session in the test's process."""

import functools

from release.models import meta_device
from release.models.architecture import Architecture
from tests.helpers.line import ROOT

FILES = ROOT / "tests" / "data" / "plan"
NAMES = tuple(path.stem for path in sorted(FILES.glob("*-*.json")))


@functools.cache
def built(name: str) -> Architecture:
    """What transformers builds of ``tests/data/plan/NAME.json``."""
    return meta_device.build(FILES / f"{name}.json")
