"""An adapter that was trained elsewhere, trained again by its own trainer: what is asked, refused, run and compared."""

import hashlib
import json
import os
import shutil
import sys
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from release.checking import opening, reproduce, retrained, verify
from release.checking.allowed import Allowed
from release.checking.opening import Known
from release.checking.reproduce import Request
from release.config import reading
from release.importing import declared
from release.judging.released import Released
from release.models import base as bases
from release.running import trainer
from release.values import layout
from release.values.errors import ConfigError, NotReproduced, PreflightError, Stop, VerificationError
from release.values.events import Event, Line
from tests.helpers import trainers
from tests.helpers.line import small_config
from tests.helpers.small_release import read_record, reseal, small_release_of

IMAGE = f"registry.example/trainer@sha256:{'d' * 64}"
LOCK = f"peft==0.17.1 \\\n    --hash=sha256:{'a' * 64}\n"
COMMAND = ["python", "train.py", "{base}", "{train}", "{output}"]
GOOD: Mapping[str, Any] = {"command": ["python", "train.py", "{output}"], "lock": "lock.txt", "files": ["train.py"]}


def quiet(_: object) -> None:
    """Say nothing."""


def configuration(folder: Path, said: Mapping[str, Any], *, rows: bool = False) -> Path:
    """A configuration of an imported adapter that says how it was trained, with its trainer's files beside it."""
    folder.mkdir(exist_ok=True)
    path = small_config(folder, run={"output_dir": "runs"})
    train = yaml.safe_load(path.read_text("utf-8"))["data"]["train_file"]
    trainers.configuration(path, "brought", quantization={"load_in_4bit": True}, reproduce_with=dict(said))
    if rows:
        value = yaml.safe_load(path.read_text("utf-8"))
        value["data"]["train_file"] = train
        path.write_text(yaml.safe_dump(value), "utf-8")
    (folder / "lock.txt").write_text(LOCK, "utf-8")
    (folder / "train.py").write_text("raise SystemExit('it ran')\n", "utf-8")
    return path


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({**GOOD, "image": "registry.example/trainer:latest"}, "adapter.reproduce_with.image is"),
        ({**GOOD, "image": f"sha256:{'d' * 64}"}, "adapter.reproduce_with.image is"),  # found nowhere but here
        ({**GOOD, "command": ["python", "train.py"]}, "adapter.reproduce_with.command has no {output}"),
        ({**GOOD, "command": ["python", "{out}", "{output}"]}, "has {out}, which nothing stands for"),
        ({**GOOD, "command": COMMAND}, "has {train}, but data.train_file names no rows"),
        ({**GOOD, "command": []}, "adapter.reproduce_with.command is"),
        ({**GOOD, "command": "python train.py {output}"}, "adapter.reproduce_with.command is"),
        ({"command": GOOD["command"]}, "adapter.reproduce_with has neither an image nor a lock"),
        ({"lock": "lock.txt"}, "adapter.reproduce_with.command is missing"),
        ({**GOOD, "files": ["../train.py"]}, "adapter.reproduce_with.files"),
        ({**GOOD, "lock": "/etc/passwd"}, "adapter.reproduce_with.lock"),
        ({**GOOD, "network": True}, "adapter.reproduce_with.network is not a setting"),
    ],
)
def test_a_declaration_that_cannot_be_followed_is_refused_where_it_is_read(
    said: Mapping[str, Any], told: str, tmp_path: Path
) -> None:
    path = configuration(tmp_path, said)

    with pytest.raises(ConfigError) as refused:
        reading.load(path)

    assert any(told in problem for problem in refused.value.problems), refused.value.problems


def test_what_trains_here_has_no_trainer_elsewhere(tmp_path: Path) -> None:
    path = small_config(tmp_path, adapter={"reproduce_with": GOOD})

    with pytest.raises(ConfigError, match=r"adapter\.reproduce_with is given, but adapter\.method is 'qlora'"):
        reading.load(path)


def _gone(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def _lock(text: str) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        (folder / "lock.txt").write_text(text, "utf-8")

    return write


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (_gone("lock.txt"), 'there is no file "lock.txt"'),
        (_gone("train.py"), 'there is no file "train.py"'),
        (_lock(""), "names no package"),
        (_lock("# only a comment\n"), "names no package"),
        (_lock("peft==0.17.1\n"), "expected NAME==VERSION --hash"),
        (_lock(f"peft>=0.17 --hash=sha256:{'a' * 64}\n"), "expected NAME==VERSION --hash"),
        (_lock(f"{LOCK}--index-url https://evil.example/simple\n"), "expected NAME==VERSION --hash"),
        (_lock(f"{LOCK}-e .\n"), "expected NAME==VERSION --hash"),
        # options on a package's line count for pip before its own: these would build, and run code
        (_lock(f"peft==0.17.1 --no-binary=peft --hash=sha256:{'a' * 64}\n"), "expected NAME==VERSION --hash"),
        (_lock(f"peft==0.17.1 --hash=sha256:{'a' * 64} --no-binary=:all:\n"), "expected NAME==VERSION --hash"),
        (_lock(f"# x \\\n--no-binary :all:\npeft==0.17.1 --hash=sha256:{'a' * 64}\n"), "expected NAME==VERSION --hash"),
        (_lock(f"peft @ https://evil.example/peft.whl --hash=sha256:{'a' * 64}\n"), "expected NAME==VERSION --hash"),
        (_lock(f"{LOCK}git+https://evil.example/a.git\n"), "expected NAME==VERSION --hash"),
    ],
)
def test_files_that_are_not_there_and_locks_without_hashes_are_told_before_anything_runs(
    fault: Callable[[Path], None], told: str, tmp_path: Path
) -> None:
    path = configuration(tmp_path, GOOD)
    assert declared.of(reading.load(path)) is not None

    fault(tmp_path)

    with pytest.raises(ConfigError, match=r"adapter\.reproduce_with: ") as refused:
        declared.of(reading.load(path))
    assert told in str(refused.value)


@pytest.mark.parametrize(
    "text",
    [
        LOCK,
        LOCK.replace("\n", "\r\n"),
        f"# by uv\n{LOCK}    # via -r requirements.in\n",
        (
            f"peft[all,test]==0.17.1+cpu ; python_version >= '3.9' \\\n    --hash=sha256:{'a' * 64} \\\n"
            f"    --hash=sha256:{'b' * 64}\n    # via trl\n"
        ),
    ],
)
def test_a_lock_as_its_tools_write_it_is_taken(text: str, tmp_path: Path) -> None:
    _lock(text)(tmp_path)

    assert list(declared.lock_problems(tmp_path / "lock.txt")) == []


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A release of an imported adapter whose publisher says how it was trained."""
    folder = tmp_path_factory.mktemp("imported")
    path = configuration(folder, {**GOOD, "command": COMMAND, "image": IMAGE}, rows=True)
    return small_release_of(reading.load(path)).folder


def test_the_record_holds_the_declaration_and_it_verifies(package: Path) -> None:
    lines: list[str] = []
    verify.verify(str(package), "file:hub", lambda event: lines.append(getattr(event, "text", "")), Known())

    record = read_record(package)
    script = hashlib.sha256(b"raise SystemExit('it ran')\n").hexdigest()
    assert record["origin"]["reproduce_with"]["command"] == COMMAND
    assert record["origin"]["reproduce_with"]["files"]["train.py"] == script
    assert "reproduce_with" not in record["config"]["adapter"]
    assert any("names the trainer" in line for line in lines)


@pytest.mark.parametrize(
    "lie",
    [
        {"files": {"train.py": "0" * 64}},
        {"files": {"../train.py": "0" * 64, "lock.txt": "0" * 64}},
        {"image": "registry.example/trainer:latest"},
        {"command": []},
    ],
)
def test_a_record_that_declares_what_cannot_be_is_not_verified(
    lie: Mapping[str, Any], package: Path, tmp_path: Path
) -> None:
    copy = shutil.copytree(package, tmp_path / "copy")
    reseal(copy, lambda record: record["origin"]["reproduce_with"].update(lie))

    with pytest.raises(VerificationError):
        verify.verify(str(copy), "file:hub", quiet, Known())


def asked(package: Path, output: Path, **changes: Any) -> Request:
    files = package.parent
    request = Request(
        release=str(package), endpoint="file:hub", level="bits", known=Known(), output=output, trainer=files
    )
    return replace(request, **{"agree": lambda _: True, **changes})


INSTALL = Allowed(install=True)


@pytest.mark.parametrize(
    ("changes", "kind", "told"),
    [
        ({}, ConfigError, f"give --allow-image {IMAGE} or --install-libraries"),
        ({"allowed": Allowed(image=IMAGE, container="never")}, ConfigError, "--container never lets no image run"),
        ({"allowed": Allowed(image=f"sha256:{'e' * 64}")}, ConfigError, "the release was made in no image"),
        ({"allowed": Allowed(install=True, container="require")}, ConfigError, "A container is required here"),
        ({"allowed": INSTALL, "trainer": Path("/nowhere")}, ConfigError, "There is no file lock.txt in /nowhere"),
        ({"allowed": INSTALL, "agree": lambda _: False}, ConfigError, "It was not agreed to. Nothing of it was run."),
    ],
)
def test_nothing_of_a_trainer_runs_without_its_option_its_files_and_a_yes(
    changes: Mapping[str, Any], kind: type[Stop], told: str, package: Path, tmp_path: Path
) -> None:
    request = asked(package, tmp_path / "again", **changes)

    with pytest.raises(kind) as refused:
        reproduce.reproduce(request, quiet)

    assert told in str(refused.value)
    assert not (tmp_path / "again" / "trainer.log").exists()
    assert not (tmp_path / "again" / "trainer-environment").exists()


def test_a_trainer_whose_files_are_others_is_not_run(package: Path, tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "lock.txt").write_text(LOCK, "utf-8")
    (theirs / "train.py").write_text("raise SystemExit('evil')\n", "utf-8")

    with pytest.raises(VerificationError, match=r"train\.py has the sha256 [0-9a-f]{64}; the release was trained with"):
        reproduce.reproduce(asked(package, tmp_path / "again", allowed=INSTALL, trainer=theirs), quiet)


def test_what_would_run_is_shown_before_it_is_agreed_to(package: Path, tmp_path: Path) -> None:
    told: list[str] = []

    def say(event: Event) -> None:
        told.append(event.text if isinstance(event, Line) else "")

    with pytest.raises(ConfigError, match="not agreed to"):
        reproduce.reproduce(asked(package, tmp_path / "again", allowed=INSTALL, agree=lambda _: False), say)

    shown = "\n".join(told)
    assert "trainer: python train.py '{base}' '{train}' '{output}'" in shown
    assert f"train.py (sha256 {hashlib.sha256((package.parent / 'train.py').read_bytes()).hexdigest()})" in shown
    assert "on this machine with your rights and its network, without tokens" in shown
    rows = (tmp_path / "again" / "trainer" / "train.jsonl").read_bytes()
    assert hashlib.sha256(rows).hexdigest() == read_record(package)["data"]["train"]["sha256"]


def lent(folder: Path) -> Path:
    """A lock of one wheel, which lends the packages of this environment; and the folder that pip finds it in."""
    folder.mkdir()
    wheel, info = folder / "lent-1-py3-none-any.whl", "lent-1.dist-info"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("lent.pth", "\n".join(path for path in sys.path if path.endswith("site-packages")))
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: lent\nVersion: 1\n")
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", "")
    lock = folder / "lock.txt"
    lock.write_text(f"lent==1 --hash=sha256:{hashlib.sha256(wheel.read_bytes()).hexdigest()}\n", "utf-8")
    return lock


def at(folder: Path, script: str) -> trainer.At:
    found = trainer.At(own=folder / "trainer", folder=folder / "trainer" / "work")
    found.folder.mkdir(parents=True)
    (found.own / "output").mkdir()
    (found.folder / "train.py").write_text(script, "utf-8")
    return found


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A lock whose one wheel pip finds on this disk."""
    lock = lent(tmp_path / "wheels")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(lock.parent))
    return lock


@pytest.mark.parametrize(
    ("script", "kind", "told"),
    [
        ("raise SystemExit(3)", NotReproduced, "ended with exit status 3"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", PreflightError, "was killed"),
        ("print('no CUDA'); 1 / 0", NotReproduced, "ZeroDivisionError"),
    ],
)
def test_how_a_trainer_ends_is_told_with_what_it_said(
    script: str, kind: type[Stop], told: str, here: Path, tmp_path: Path
) -> None:
    place = at(tmp_path, script)

    with pytest.raises(kind, match=told):
        trainer.by_lock(["python", "train.py"], here, place, quiet)

    assert place.log.exists()


SEES = """
import json, os, pathlib, sys
seen = {"python": sys.prefix, "names": sorted(os.environ), "cwd": os.getcwd()}
try:
    seen["parent"] = len(pathlib.Path(f"/proc/{sys.argv[1]}/environ").read_bytes())
except OSError as error:
    seen["parent"] = type(error).__name__
pathlib.Path("../output/seen.json").write_text(json.dumps(seen))
"""


def test_it_runs_in_an_environment_of_its_own_and_sees_no_token(
    here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    place = at(tmp_path, SEES)

    trainer.by_lock(["python", "train.py", str(os.getpid())], here, place, quiet)

    seen = json.loads((place.own / "output" / "seen.json").read_bytes())
    assert seen["python"] == str(tmp_path / "trainer-environment")
    assert seen["cwd"] == str(place.folder)
    assert not {"HF_TOKEN", "OPENAI_API_KEY", "PYTHONPATH", "PIP_FIND_LINKS"} & set(seen["names"])
    assert seen["parent"] in ("PermissionError", 0)


def test_a_lock_whose_wheel_is_another_makes_no_environment(here: Path, tmp_path: Path) -> None:
    here.write_text(f"lent==1 --hash=sha256:{'0' * 64}\n", "utf-8")

    with pytest.raises(PreflightError, match=r"cannot be made from lock\.txt"):
        trainer.by_lock(["python", "train.py"], here, at(tmp_path, SEES), quiet)


LEAVES = """
import shutil, sys
shutil.copytree("start", sys.argv[1], dirs_exist_ok=True)
"""


def with_a_trainer(folder: Path, script: str) -> Path:
    """A release whose trainer is this script and finds a real adapter of the embedded base in ``start``."""
    said = {"command": ["python", "train.py", "{output}"], "lock": "lock.txt"}
    names = [layout.WEIGHTS, layout.SETTINGS]
    path = configuration(folder, {**said, "files": ["train.py", *(f"start/{name}" for name in names)]})
    trainers.released(folder / "start")
    (folder / "train.py").write_text(script, "utf-8")
    shutil.copyfile(folder.parent / "wheels" / "lock.txt", folder / "lock.txt")
    return small_release_of(reading.load(path)).folder


@pytest.mark.usefixtures("here")
def test_what_the_trainer_leaves_is_laid_over_the_published_files(base: bases.Base, tmp_path: Path) -> None:
    """Weights to the byte, and settings as an import writes them, under the base's name in the record."""
    release = with_a_trainer(tmp_path / "theirs", LEAVES)
    found = opening.Opened(release=Released(folder=release, name="it"))
    (tmp_path / "adapter").mkdir()
    request = asked(release, tmp_path / "again", allowed=INSTALL)
    by = retrained.By(files=request.trainer, allowed=request.allowed, agree=request.agree)

    trainer_ = retrained.agreed(found, tmp_path / "again", by, quiet)
    retrained.into(tmp_path / "adapter", found, base, trainer_, quiet)

    start = tmp_path / "theirs" / "start"
    settings = json.loads((tmp_path / "adapter" / layout.SETTINGS).read_bytes())
    assert (tmp_path / "adapter" / layout.WEIGHTS).read_bytes() == (start / layout.WEIGHTS).read_bytes()
    assert settings["base_model_name_or_path"] == read_record(release)["base"]["base_model_id"]
    assert settings["r"] == json.loads((start / layout.SETTINGS).read_bytes())["r"]


@pytest.mark.parametrize(
    ("script", "kind", "told"),
    [
        ("print('nothing')", NotReproduced, "left nothing in"),
        ("import sys; open(sys.argv[1] + '/adapter_model.bin', 'w').write('x')", PreflightError, "a pickle"),
    ],
)
@pytest.mark.usefixtures("here")
def test_a_trainer_that_leaves_no_adapter_is_told(
    script: str, kind: type[Stop], told: str, base: bases.Base, tmp_path: Path
) -> None:
    release = with_a_trainer(tmp_path / "theirs", script)
    found = opening.Opened(release=Released(folder=release, name="it"))
    by = retrained.By(files=release.parent, allowed=INSTALL, agree=lambda _: True)
    trainer_ = retrained.agreed(found, tmp_path / "again", by, quiet)

    with pytest.raises(kind, match=told):
        retrained.into(tmp_path / "adapter", found, base, trainer_, quiet)
