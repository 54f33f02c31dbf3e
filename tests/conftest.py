import os
import zlib
from pathlib import Path

import hypothesis
import pytest

from release.config import reading
from release.models import base as bases
from tests.helpers.apart import apart
from tests.helpers.line import ROOT

pytest_plugins = ["tests.helpers.engine_fixture", "tests.helpers.hub_fixture", "tests.helpers.tiny_base"]

# One for all tests, in whatever folder they work: the embedded base is unpacked once.
os.environ.setdefault("ADAPTER_RELEASE_CACHE", str(ROOT / ".cache"))
# A busy machine is no failure; a mutant is dead at the first failure, however long its example.
hypothesis.settings.register_profile("suite", deadline=None)
hypothesis.settings.register_profile(
    "mutants",
    hypothesis.settings.get_profile("suite"),
    max_examples=25,
    derandomize=True,
    database=None,
    phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate],
)
hypothesis.settings.load_profile("mutants" if "MUTANT_UNDER_TEST" in os.environ else "suite")


@pytest.fixture(scope="session")
def base() -> bases.Base:
    """The embedded base model, unpacked once into the project's cache."""
    return bases.resolve(reading.load(ROOT / "release.yaml").model, lambda _: None)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """A test that is marked ``apart`` runs in a process of its own."""
    if pyfuncitem.get_closest_marker("apart") is None:
        return None
    given = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
    apart(lambda: pyfuncitem.obj(**given))
    return True


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--part", default="1/1", help="of the files of tests so many parts are made, and this one is run")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """A file of tests is in one part, by its name alone; what is not collected is not imported either."""
    part, parts = map(int, config.getoption("--part").split("/"))
    if parts == 1 or not collection_path.name.startswith("test_"):
        return None
    name = collection_path.relative_to(ROOT).as_posix().encode()
    return zlib.crc32(name) % parts != part - 1 or None
