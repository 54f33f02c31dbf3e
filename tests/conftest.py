import os

import pytest

from release import base as bases
from release import config
from tests.line import ROOT

pytest_plugins = ["tests.engine_fixture", "tests.hub_fixture"]


@pytest.fixture(scope="session")
def base() -> bases.Base:
    """The embedded base model, unpacked once into the project's cache."""
    os.environ.setdefault("ADAPTER_RELEASE_CACHE", str(ROOT / ".cache"))
    return bases.resolve(config.load(ROOT / "release.yaml").model, lambda _: None)
