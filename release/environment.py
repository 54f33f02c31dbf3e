"""Where a run happens: versions, processor or GPU, threads, source commit; all that can change an adapter's bytes."""

import hashlib
import os
import platform
import re
import resource
import subprocess
import sys
import warnings
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from gates.canonical import canonical_json
from release import child
from release.artifacts import write_atomically

ROOT = Path(__file__).parent.parent
LOCKS = ("gpu.txt", "cpu.txt")  # what runs; dev.txt adds only test tools
LIBRARIES = ("torch", "transformers", "peft", "trl", "bitsandbytes", "accelerate", "tokenizers", "safetensors",
             "datasets", "numpy", "gguf", "jsonschema", "huggingface-hub")  # fmt: skip
# Variables with which these libraries compute otherwise; those that are set are recorded, and no others.
ARITHMETIC = (
    "ATEN_CPU_CAPABILITY", "CUBLAS_WORKSPACE_CONFIG", "DNNL_MAX_CPU_ISA", "MKL_CBWR", "MKL_ENABLE_INSTRUCTIONS",
    "MKL_NUM_THREADS", "NVIDIA_TF32_OVERRIDE", "OMP_NUM_THREADS", "ONEDNN_MAX_CPU_ISA", "PYTHONHASHSEED",
)  # fmt: skip
FIXED = {"PYTHONHASHSEED": "0", "CUBLAS_WORKSPACE_CONFIG": ":4096:8"}  # what `child` sets before Python starts
IMAGE = "ADAPTER_RELEASE_IMAGE"
# torch's words of an operation whose result is not the same each time (ATen/Context.cpp, attention_backward.cu).
NO_FIXED_RESULT = re.compile(
    "(.+?) (?:does not have a deterministic implementation|defaults to a non-deterministic algorithm)"
    "|.*not deterministic because it uses (CuBLAS)",
    re.DOTALL,
)
_warned: set[str] = set()  # of this process, as torch's settings are


def threads(wanted: int | None) -> int:
    """The number of compute threads: the configured one, else every core this process may use."""
    return wanted or len(os.sched_getaffinity(0))


def source() -> dict[str, Any]:
    """The commit this code is at, whether files differ from it, and the digests of the locks and of the code itself."""
    commit = _git("rev-parse", "HEAD")
    locks = hashlib.sha256(b"".join((ROOT / "locks" / name).read_bytes() for name in LOCKS))
    return {
        "commit": commit or None,
        "dirty": bool(_git("status", "--porcelain", "--untracked-files=no")) if commit else None,
        "locks_sha256": locks.hexdigest(),
        "code_sha256": code_sha256(),
    }


def code_sha256() -> str:
    """One digest over the code and locks that decide an adapter's bytes and its verdict."""
    digest = hashlib.sha256()
    for folder, pattern in (("release", "*.py"), ("gates", "*.py"), ("schemas", "*.json")):
        for path in sorted((ROOT / folder).glob(pattern)):
            digest.update(f"{folder}/{path.name}\n".encode() + path.read_bytes())
    for name in LOCKS:
        digest.update((ROOT / "locks" / name).read_bytes())
    return digest.hexdigest()


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout.strip()


def image_digest() -> str | None:
    """The digest of the container image this process runs in, as ``container`` or whoever started it says; or None."""
    return os.environ.get(IMAGE) or None


def determinism(seed: int, hardware: Mapping[str, Any]) -> dict[str, Any]:
    """Everything that was fixed so that the same bytes come out again; ``hardware`` is what the stage found."""
    return {
        "seed": seed,
        "threads": hardware["threads"],
        "deterministic_algorithms": hardware["gpu"] is not None,
        "environment": FIXED,
    }


def versions() -> dict[str, str]:
    return {"python": platform.python_version(), **{name: metadata.version(name) for name in LIBRARIES}}


def packages() -> dict[str, str]:
    """The version of every installed package that the locks name: what runs, less what only tests and checks."""
    text = "".join((ROOT / "locks" / name).read_text("utf-8") for name in LOCKS)
    locked = {_normal(name) for name in re.findall(r"^([A-Za-z0-9][\w.-]*)==", text, re.MULTILINE)}
    installed = {_normal(one.name): one.version for one in metadata.distributions()}
    return {name: installed[name] for name in sorted(locked & installed.keys())}


def _normal(name: str) -> str:
    """A package's name as PEP 503 compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def surroundings() -> dict[str, Any]:
    """What a stage that has imported torch ran on: hardware, libraries, and how it did arithmetic."""
    return {"hardware": hardware(), "versions": versions(), "packages": packages(), "arithmetic": arithmetic()}


def arithmetic() -> dict[str, Any]:
    """The settings that decide how numbers are rounded and summed, read back from torch after they were made.

    ``nondeterministic`` names what ran so far without a fixed result, by torch's own names; a CPU run has none.
    """
    import torch

    return {
        "deterministic_algorithms": torch.are_deterministic_algorithms_enabled(),
        "float32_matmul_precision": torch.get_float32_matmul_precision(),
        "onednn": torch.backends.mkldnn.enabled,
        "cudnn_benchmark": torch.backends.cudnn.benchmark,
        "cudnn_deterministic": torch.backends.cudnn.deterministic,
        "nondeterministic": sorted(_warned),
        "environment": {name: os.environ[name] for name in ARITHMETIC if name in os.environ},
    }


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
    """The most that this process's tensors took on the GPU; None without one."""
    import torch

    return torch.cuda.max_memory_allocated() if torch.cuda.is_available() else None


def make_deterministic(seed: int, thread_count: int) -> None:
    """Fix seeds, threads and kernels, before any weight is made. Sets torch's global state.

    On a CPU the ordinary kernels give the same bytes at a fixed thread count; torch's deterministic ones are five
    times slower there and change nothing. On a GPU every kernel with a deterministic form takes it; what has none (the
    counts of mixture-of-experts models, the running sums of hybrid ones) is noted and does not end the run.
    """
    import torch
    from transformers import set_seed

    torch.set_num_threads(thread_count)
    torch.use_deterministic_algorithms(torch.cuda.is_available(), warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # 13 GB a pass at 7B
    if torch.cuda.is_available():
        note_nondeterminism()
        keep_attention_deterministic()
    set_seed(seed)


def note_nondeterminism() -> None:
    """From now on, what torch warns of as nondeterministic is told once for each operation, and kept."""
    tell = warnings.showwarning

    def note(message: Warning | str, *arguments: Any, **options: Any) -> None:
        if found := NO_FIXED_RESULT.match(str(message)):
            name = found[1] or found[2]
            if name in _warned:
                return
            _warned.add(name)
        tell(message, *arguments, **options)

    warnings.filterwarnings("default", message=NO_FIXED_RESULT.pattern)
    warnings.showwarning = note


def keep_attention_deterministic() -> None:
    """Let attention, forwards and backwards, take its deterministic form although the rest may only warn.

    With ``warn_only`` torch's fused attention takes its nondeterministic backward pass (attention_backward.cu), though
    it has another: no training on a GPU would give the same bytes twice. So the switch is strict while it runs.
    """
    import torch

    class Before(torch.autograd.Function):
        """Stands before attention, so that it comes after its backward pass."""

        @staticmethod
        def forward(ctx: Any, *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
            ctx.set_materialize_grads(False)
            return tensors

        @staticmethod
        def backward(_: Any, *gradients: Any) -> Any:
            torch.set_deterministic_debug_mode("warn")
            return gradients

    class After(torch.autograd.Function):
        @staticmethod
        def forward(_: Any, tensor: torch.Tensor) -> torch.Tensor:
            return tensor

        @staticmethod
        def backward(_: Any, gradient: torch.Tensor) -> torch.Tensor:
            torch.set_deterministic_debug_mode("error")
            return gradient

    attention = torch.nn.functional.scaled_dot_product_attention
    before: Any = Before.apply
    after: Any = After.apply

    def strict(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, *rest: Any, **more: Any) -> torch.Tensor:
        learns = torch.is_grad_enabled() and any(one.requires_grad for one in (query, key, value))
        if learns:
            query, key, value = before(query, key, value)
        torch.set_deterministic_debug_mode("error")
        try:
            result = attention(query, key, value, *rest, **more)
        finally:
            torch.set_deterministic_debug_mode("warn")
        return after(result) if learns else result

    torch.nn.functional.scaled_dot_product_attention = strict


if __name__ == "__main__":
    child.main(
        lambda arguments, _: write_atomically(
            Path(arguments[0]), canonical_json({"versions": versions(), "packages": packages(), "hardware": hardware()})
        )
    )
