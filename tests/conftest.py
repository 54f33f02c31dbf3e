import os
from collections.abc import Generator

import hypothesis
import pytest

from release.config import reading
from release.models import base as bases
from tests.helpers.apart import apart
from tests.helpers.line import ROOT

pytest_plugins = ["tests.helpers.engine_fixture", "tests.helpers.hub_fixture", "tests.helpers.tiny_base"]

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
    os.environ.setdefault("ADAPTER_RELEASE_CACHE", str(ROOT / ".cache"))
    return bases.resolve(reading.load(ROOT / "release.yaml").model, lambda _: None)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """A test that is marked ``apart`` runs in a process of its own."""
    if pyfuncitem.get_closest_marker("apart") is None:
        return None
    given = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
    apart(lambda: pyfuncitem.obj(**given))
    return True


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Beside other workers a slow test has one core: threads of torch that share cores wait for each other."""
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    if worker is None or item.get_closest_marker("slow") is None:
        return (yield)
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {sorted(cores)[int(worker.removeprefix("gw")) % len(cores)]})
    try:
        return (yield)
    finally:
        os.sched_setaffinity(0, cores)
