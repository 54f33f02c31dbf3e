"""Where a run happens: versions, processor or GPU, threads, source commit."""

import hashlib
import os
import platform
import re
import resource
import subprocess
import sys
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import Any

from gates.canonical import canonical_json
from release.running import child, launched
from release.values import assets, kernels
from release.values.artifacts import write_atomically
from release.values.record import Determinism, Hardware, Project, Source

ROOT = assets.ROOT
LOCKS = ("gpu.txt", "cpu.txt")  # what runs; dev.txt adds only test tools
LIBRARIES = ("torch", "transformers", "peft", "trl", "bitsandbytes", "accelerate", "tokenizers", "safetensors",
             "datasets", "numpy", "gguf", "jsonschema", "huggingface-hub")  # fmt: skip
FIXED = {"PYTHONHASHSEED": "0", "CUBLAS_WORKSPACE_CONFIG": ":4096:8"}  # what `child` sets before Python starts
IMAGE = "ADAPTER_RELEASE_IMAGE"
DECIDING = (
    "release/begin.py", "release/config", "release/data", "release/hub", "release/inputs.py", "release/judging",
    "release/models", "release/pipeline.py", "release/running", "release/values", "gates", "schemas",
)  # fmt: skip
"""Where the code is that decides an adapter's bytes and its verdict: the pipeline and all that training, answering and
judging import. What only tells, checks, packs and publishes is not: a changed help text trains nothing again."""


def threads(wanted: int | None) -> int:
    """The compute threads of this process: its share of the configured number, or of the cores that it may use."""
    # elsewhere the system does not say which this process may use
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    return max(1, (wanted or cores) // launched.count())


def share(wanted: int | None, many: int) -> int:
    """The threads of each of so many stages at once, as ``run.threads`` would say it."""
    return max(1, threads(wanted) // many)


def source() -> Source:
    """The commit this code is at, whether files differ from it, and the digests of the locks and of the code itself.

    A wheel says which commit it was built from, and cannot say what was changed since: ``dirty`` is None.
    """
    mine = (ROOT / ".git").exists()  # site-packages may lie in the checkout of another project
    commit = git(ROOT, "rev-parse", "HEAD") if mine else ""
    return Source(
        commit=commit or assets.commit(),
        dirty=bool(git(ROOT, "status", "--porcelain", "--untracked-files=no")) if commit else None,
        locks_sha256=hashlib.sha256(b"".join(path.read_bytes() for path in _locks())).hexdigest(),
        code_sha256=code_sha256(),
    )


def project(folder: Path, files: Iterable[Path]) -> Project | None:
    """The commit of the repository that ``folder`` lies in, and whether it holds these files and nothing was changed.

    None where it lies in none, or one without a commit, or in this program's own, whose commit is ``source``'s.
    """
    top, commit = git(folder, "rev-parse", "--show-toplevel"), git(folder, "rev-parse", "--verify", "HEAD")
    if not top or not commit or Path(top).resolve() == ROOT.resolve():
        return None
    names = {os.path.relpath(file, folder) for file in files}
    held = git(folder, "--literal-pathspecs", "ls-files", "-z", "--", *sorted(names)).split("\0")
    changed = git(folder, "--no-optional-locks", "status", "--porcelain", "--untracked-files=no")
    return Project(commit=commit, dirty=bool(changed) or len(set(filter(None, held))) < len(names))


def code_sha256(unpacked: Path | None = None) -> str:
    """One digest over the code and locks that decide an adapter's bytes and verdict: here, or in a wheel's files."""
    digest, root = hashlib.sha256(), unpacked or ROOT
    for name in DECIDING:
        place = root / name
        for path in [place] if place.is_file() else sorted(place.rglob("*.json" if name == "schemas" else "*.py")):
            digest.update(f"{path.relative_to(root).as_posix()}\n".encode() + path.read_bytes())
    locks = [unpacked / assets.PACKED.relative_to(ROOT) / "locks" / name for name in LOCKS] if unpacked else _locks()
    for path in locks:
        digest.update(path.read_bytes() if path.exists() else b"")
    return digest.hexdigest()


def _locks() -> list[Path]:
    return [assets.asset(f"locks/{name}") for name in LOCKS]


def git(folder: Path, *arguments: str) -> str:
    """What git says in a folder; empty where it refuses, or is not installed."""
    try:
        done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout.strip()


def image_digest() -> str | None:
    """The digest of the container image this process runs in, as ``container`` or whoever started it says; or None."""
    return os.environ.get(IMAGE) or None


def determinism(seed: int, hardware: Hardware) -> Determinism:
    """Everything that was fixed so that the same bytes come out again; ``hardware`` is what the stage found."""
    return Determinism(
        seed=seed,
        threads=hardware.threads,
        deterministic_algorithms=hardware.gpu is not None,
        environment=FIXED,
    )


def versions() -> dict[str, str]:
    return {"python": platform.python_version(), **{name: metadata.version(name) for name in LIBRARIES}}


def packages() -> dict[str, str]:
    """The version of every installed package that the locks name, and of kernels; not of what only tests use."""
    text = "".join(path.read_text("utf-8") for path in _locks())
    locked = {_normal(name) for name in re.findall(r"^([A-Za-z0-9][\w.-]*)==", text, re.MULTILINE)}
    installed = {_normal(one.name): one.version for one in metadata.distributions()}
    return {name: installed[name] for name in sorted({*locked, *kernels.MODULES} & installed.keys())}


def _normal(name: str) -> str:
    """A package's name as PEP 503 compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def hardware() -> dict[str, Any]:
    """The processor, and the GPU where torch sees one. Called in stages that have imported torch."""
    import torch

    found: dict[str, Any] = {
        "machine": platform.machine(),
        "cpu": _cpu_name(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "gpu": None,
    }
    if torch.cuda.is_available():
        found["gpu"] = {
            "name": torch.cuda.get_device_name(),
            "compute_capability": ".".join(map(str, torch.cuda.get_device_capability())),
            "cuda": torch.version.cuda,
            "driver": _gpu_driver(),
        }
    return found


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")


def _gpu_driver() -> str:
    path = Path("/proc/driver/nvidia/version")
    return path.read_text("utf-8").splitlines()[0].strip() if path.exists() else ""


def peak_memory_bytes() -> int:
    """The largest resident set of this process so far (Linux counts in KiB)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1024 if sys.platform == "linux" else 1)


def gpu_peak_memory_bytes() -> int | None:
    """The most that this process's tensors took on its GPU, on all of them together; None without one."""
    import torch

    mine = launched.cards(torch.cuda.device_count())
    return sum(map(torch.cuda.max_memory_allocated, mine)) if torch.cuda.is_available() else None


if __name__ == "__main__":
    child.main(
        lambda arguments, _: write_atomically(
            Path(arguments[0]), canonical_json({"versions": versions(), "packages": packages(), "hardware": hardware()})
        )
    )
