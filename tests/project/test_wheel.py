"""The tool as others install it: the same bytes from every build, its checkout's code and data, torch to train only."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import dataclass
from email import message_from_bytes
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from release import __version__
from release.running import distribution
from release.values import extras
from tests.helpers.line import ROOT, copy_of_this_repository
from tests.helpers.tiny_base import REPO

WHAT_IT_IS = """
import dataclasses, hashlib, json
from release.running import environment, image_source
image = hashlib.sha256(image_source.context()).hexdigest()
print(json.dumps(dataclasses.asdict(environment.source()) | {"image": image}))
"""
KEPT = ROOT / "tests" / "data" / "releases" / "v2"
JUDGED = (str(KEPT / "gates" / "answers.jsonl"), "--golden", str(KEPT / "data" / "golden.jsonl"))


def build(tree: Path, to: Path, umask: int = 0o022) -> tuple[Path, Path]:
    """Wheel and sdist of a source tree."""
    command = [sys.executable, "-m", "hatchling", "build", "--directory", str(to)]
    done = subprocess.run(command, cwd=tree, umask=umask, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return next(to.glob("*.whl")), next(to.glob("*.tar.gz"))


@dataclass(frozen=True, kw_only=True)
class Built:
    tree: Path
    wheel: Path
    sdist: Path


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    folder = tmp_path_factory.mktemp("built")
    copy_of_this_repository(folder / "tree")
    wheel, sdist = build(folder / "tree", folder / "dist")
    return Built(tree=folder / "tree", wheel=wheel, sdist=sdist)


@pytest.fixture(scope="module")
def installed(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment with the wheel and what its base needs, lent by the environment of the tests.

    It lies in the repository of another project, as many do.
    """
    project = tmp_path_factory.mktemp("theirs")
    git = ["git", "-C", str(project), "-c", "user.name=a", "-c", "user.email=a@b.c"]
    for command in (["init", "--quiet"], ["commit", "--quiet", "--allow-empty", "-m", "Theirs"]):
        subprocess.run([*git, *command], check=True)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", project / "venv"], check=True)
    (packages,) = (project / "venv").glob("lib/python3.*/site-packages")
    for path in tops(closure(required(built.wheel))):
        (packages / path.name).symlink_to(path)
    pip = [sys.executable, "-m", "pip", "--python", str(project / "venv" / "bin" / "python"), "install", "--quiet"]
    subprocess.run([*pip, "--no-deps", "--no-index", str(built.wheel)], check=True)
    return project / "venv" / "bin"


def required(wheel: Path) -> list[Requirement]:
    """What a wheel asks for without an extra."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        lines = message_from_bytes(archive.read(name)).get_all("Requires-Dist", [])
    return [one for one in map(Requirement, lines) if wanted(one, set())]


def wanted(one: Requirement, extra: set[str]) -> bool:
    return one.marker is None or any(one.marker.evaluate({"extra": name}) for name in {"", *extra})


def closure(requirements: list[Requirement]) -> list[metadata.Distribution]:
    """The distributions that are installed with these, what they need in turn among them."""
    found: dict[str, metadata.Distribution] = {}
    asked = list(requirements)
    for one in asked:  # which grows on the way
        known = metadata.distribution(one.name)
        for more in map(Requirement, known.requires or []):
            if wanted(more, one.extras) and str(more) not in map(str, asked):
                asked.append(more)
        found[known.name] = known
    return list(found.values())


def tops(distributions: list[metadata.Distribution]) -> set[Path]:
    """The files and folders at the top of site-packages that belong to these."""
    files = [(one, file) for one in distributions for file in one.files or []]
    names = {one.locate_file(file.parts[0]): file for one, file in files if file.parts[0] not in ("..", "__pycache__")}
    return {Path(str(top)) for top, file in names.items() if file.suffix != ".pth"}


def run(program: Path, *arguments: str, cwd: Path, cache: Path = ROOT / ".cache") -> subprocess.CompletedProcess[str]:
    """A program of an installation, without this checkout on its path."""
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    env |= {"CI": "true", "ADAPTER_RELEASE_CACHE": str(cache), "PYTHONDONTWRITEBYTECODE": "1"}  # what is lent stays
    return subprocess.run([program, *arguments], cwd=cwd, env=env, capture_output=True, text=True, check=False)


def contents(wheel: Path) -> dict[str, bytes]:
    """Every file but the list of them, whose order is the archive's."""
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist() if not name.endswith("/RECORD")}


def digest(path: Path) -> str:
    return f"{path.name} {hashlib.sha256(path.read_bytes()).hexdigest()}"


def test_another_build_of_the_same_commit_has_the_same_bytes(built: Built, tmp_path: Path) -> None:
    """With other times and rights; and the sdist makes a wheel of the same files."""
    os.utime(built.tree / "release" / "pilot.py")
    again = build(built.tree, tmp_path / "again", umask=0o077)
    with tarfile.open(built.sdist) as archive:
        archive.extractall(tmp_path / "unpacked", filter="data")
    (unpacked,) = (tmp_path / "unpacked").iterdir()
    from_sdist, _ = build(unpacked, tmp_path / "from_sdist")

    assert [digest(path) for path in again] == [digest(built.wheel), digest(built.sdist)]
    assert contents(from_sdist) == contents(built.wheel)


def test_an_installed_wheel_decides_as_its_checkout_does(built: Built, installed: Path) -> None:
    """The same code and locks, the same image, the commit it was built from and not that of the folder it lies in."""
    asked = [sys.executable, "-P", "-c", WHAT_IT_IS]
    env = {**os.environ, "PYTHONPATH": str(built.tree)}
    there = json.loads(subprocess.run(asked, cwd="/", env=env, stdout=subprocess.PIPE, check=True).stdout)
    here = run(installed / "python", "-c", WHAT_IT_IS, cwd=installed)

    assert there["dirty"] is False
    assert json.loads(here.stdout) == there | {"dirty": None}


def test_an_installation_has_the_digest_of_its_wheel_and_so_has_the_wheel_unpacked(
    built: Built, installed: Path, tmp_path: Path
) -> None:
    wheel = distribution.read(built.wheel)
    asked = ["-c", "from release.running import distribution; print(distribution.installed())"]
    distribution.unpack(wheel, tmp_path / "tool")
    unpacked = {**os.environ, "PYTHONPATH": str(tmp_path / "tool")}

    assert run(installed / "python", *asked, cwd=tmp_path).stdout == f"{wheel.sha256}\n"
    there = subprocess.run([sys.executable, "-P", *asked], cwd="/", env=unpacked, stdout=subprocess.PIPE, check=True)
    assert there.stdout.decode() == f"{wheel.sha256}\n"
    assert wheel.version == __version__
    assert distribution.installed() is None  # a checkout


def test_a_wheel_of_changed_files_names_no_commit(built: Built, tmp_path: Path) -> None:
    tree = Path(shutil.copytree(built.tree, tmp_path / "changed"))
    with (tree / "README.md").open("a") as file:
        file.write("changed\n")

    wheel, sdist = build(tree, tmp_path / "dist")

    assert "release/assets/commit" in zipfile.ZipFile(built.wheel).namelist()
    assert "release/assets/commit" not in zipfile.ZipFile(wheel).namelist()
    with tarfile.open(sdist) as archive:
        assert not [name for name in archive.getnames() if name.endswith("assets/commit")]


def test_the_base_brings_nothing_of_the_extra(built: Built) -> None:
    brought = {one.name.lower() for one in closure(required(built.wheel))}

    assert not brought & set(extras.TRAIN)
    assert brought >= {"jsonschema", "rich", "pandas"}


def test_the_light_commands_run_in_an_empty_folder(installed: Path, tmp_path: Path) -> None:
    for arguments in [
        ("example",),
        ("data", "convert", "data/elements/train.jsonl", "--to", "rows.jsonl"),
        ("data", "split", "rows.jsonl", "--train", "train.jsonl", "--golden", "golden.jsonl"),
        ("verify", str(KEPT)),
        ("explain", "citation_coverage", str(KEPT)),
    ]:
        done = run(installed / "adapter-release", *arguments, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    told = run(installed / "adapter-release", "--version", cwd=tmp_path)
    assert told.stdout == f"adapter-release {__version__}\n"
    gates = run(
        installed / "python", "-m", "gates", *JUDGED, "--contract", str(KEPT / "gates" / "contract.json"), cwd=tmp_path
    )
    assert gates.returncode == 0, gates.stderr


@pytest.mark.usefixtures("base")
def test_the_data_gate_needs_no_torch(installed: Path, tmp_path: Path) -> None:
    run(installed / "adapter-release", "example", cwd=tmp_path)

    done = run(installed / "adapter-release", "check", cwd=tmp_path)

    assert done.returncode == 0, done.stderr
    assert done.stderr.endswith("640 training rows and 100 golden rows can be used.\n")


def test_a_base_on_the_hub_is_checked_without_torch_and_planned_with_it(
    installed: Path, tiny_base: str, tmp_path: Path
) -> None:
    run(installed / "adapter-release", "example", cwd=tmp_path)
    asked = {"source": "hub", "base_model_id": REPO, "revision": tiny_base}
    settings = [part for name, value in asked.items() for part in ("--set", f"model.{name}={value}")]

    checked, planned = (
        run(installed / "adapter-release", command, *settings, cwd=tmp_path, cache=tmp_path / "cache")
        for command in ("check", "plan")
    )

    assert checked.returncode == 0, checked.stderr
    assert planned.returncode == 2
    assert "error: torch is not installed. It comes with the extra `train`" in planned.stderr
    assert "Traceback" not in planned.stderr


@pytest.mark.parametrize(
    "command",
    ["release", "candidate", "pilot", "plan", "doctor", "check", "base b", "rejudge a/b@v1", "reproduce a/b@v1"],
)
def test_a_command_that_trains_says_what_to_install(installed: Path, tmp_path: Path, command: str) -> None:
    """Where nothing is cached, `check` too: torch unpacks the embedded base. It is said before anything is fetched."""
    run(installed / "adapter-release", "example", cwd=tmp_path)

    done = run(installed / "adapter-release", *command.split(), cwd=tmp_path, cache=tmp_path / "cache")

    assert done.returncode == 2, done.stderr
    assert "pip install 'adapter-release[train]'" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list((tmp_path / "cache").rglob("*.whl"))
