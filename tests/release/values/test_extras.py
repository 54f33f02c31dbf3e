"""The extras: what each holds, and what is said where it is not installed."""

import tomllib

import pytest

from release.running import environment
from release.values import extras
from tests.helpers.line import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
TRAIN = PROJECT["optional-dependencies"]["train"]


def names(requirements: list[str]) -> set[str]:
    return {line.partition("==")[0].partition("[")[0] for line in requirements}


def test_its_modules_are_those_that_the_base_does_not_bring() -> None:
    assert set(extras.TRAIN) == names(TRAIN) - names(PROJECT["dependencies"])


def test_those_that_serve_are_of_the_extra_that_is_named_for_it() -> None:
    assert set(extras.SERVE) == names(PROJECT["optional-dependencies"]["serve"])
    assert set(extras.SEARCH) == names(PROJECT["optional-dependencies"]["search"])
    assert {name.replace("_", "-") for name in extras.LIGER} == names(PROJECT["optional-dependencies"]["liger"])
    for name, extra in {
        "xllamacpp": "serve",
        "openai": "serve",
        "llguidance": "serve",
        "vllm": "vllm",
        "optuna": "search",
        "liger_kernel": "liger",
    }.items():
        told = extras.of_an_import(ModuleNotFoundError(name=name))
        assert told is not None
        assert f"pip install 'adapter-release[{extra}]'" in str(told)
    assert extras.missing("torch") == ""


def test_every_library_that_decides_bytes_is_exact_and_is_that_of_the_locks() -> None:
    """What `pip install` chooses is what releases are tested with."""
    asked = [line.partition("==") for line in [*PROJECT["dependencies"], *TRAIN] if "==" in line]
    exact = {name.partition("[")[0]: version for name, _, version in asked}
    locked = (ROOT / "locks" / "gpu.txt").read_text("utf-8")

    assert set(environment.LIBRARIES) <= exact.keys()
    assert [name for name, version in exact.items() if f"\n{name}=={version} " not in f"\n{locked}"] == []


@pytest.mark.parametrize("lock", ["gpu", "cpu", "sign", "dev"])
def test_the_locks_from_which_is_trained_have_what_any_configuration_needs(lock: str) -> None:
    locked = {line.partition("==")[0] for line in (ROOT / "locks" / f"{lock}.txt").read_text("utf-8").splitlines()}
    asked = names([one for extra in ("train", "serve", "search") for one in PROJECT["optional-dependencies"][extra]])

    assert asked - {"torch"} <= locked


def test_where_it_is_installed_nothing_is_said() -> None:
    extras.need_train()


@pytest.mark.parametrize(("name", "ours"), [("torch", True), ("docker.types", True), ("numpy", False), (None, False)])
def test_only_its_own_modules_are_missing_for_this_reason(name: str | None, *, ours: bool) -> None:
    told = extras.of_an_import(ModuleNotFoundError(name=name))

    assert (told is not None) == ours
    if told is not None:
        assert told.exit_code == 2
        assert "pip install 'adapter-release[train]'" in str(told)
