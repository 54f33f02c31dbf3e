"""How a stage that uses torch does arithmetic: seeds, threads and kernels, fixed before and read back after."""

import json
import os
import re
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from gates.canonical import canonical_json
from release.running import environment, launched
from release.values.artifacts import write_atomically
from release.values.events import Line, Say

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch.autograd.function import FunctionCtx

FLASH = "FLASH_ATTENTION_DETERMINISTIC"
"""Set to 1, transformers asks flash kernels for the backward pass that gives the same sums each time."""
# Variables with which these libraries compute otherwise; those that are set are recorded, and no others.
ARITHMETIC = (
    "ATEN_CPU_CAPABILITY", "CUBLAS_WORKSPACE_CONFIG", "DNNL_MAX_CPU_ISA", FLASH, "MKL_CBWR", "MKL_ENABLE_INSTRUCTIONS",
    "MKL_NUM_THREADS", "NVIDIA_TF32_OVERRIDE", "OMP_NUM_THREADS", "ONEDNN_MAX_CPU_ISA", "PYTHONHASHSEED",
)  # fmt: skip
# torch's words of an operation whose result is not the same each time (ATen/Context.cpp, attention_backward.cu).
NO_FIXED_RESULT = re.compile(
    "(.+?) (?:does not have a deterministic implementation|defaults to a non-deterministic algorithm)"
    "|.*not deterministic because it uses (CuBLAS)",
    re.DOTALL,
)
MACHINES = "machines.json"
"""In a run folder: the kinds of machines on which its training was made."""
_warned: set[str] = set()  # of this process, as torch's settings are


def surroundings() -> dict[str, object]:
    """What a stage that has imported torch ran on: hardware, libraries, and how it did arithmetic."""
    return {
        "hardware": environment.hardware(),
        "versions": environment.versions(),
        "packages": environment.packages(),
        "arithmetic": settings(),
    }


def settings() -> dict[str, object]:
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


def machines(run: Path, *, goes_on: bool, say: Say) -> list[str]:
    """The kinds of machines on which this training was made, each once, in their order; told where this is another.

    ``goes_on``: from a checkpoint. What is rounded otherwise on another kind comes out nowhere again.
    """
    found, path = environment.hardware(), run / MACHINES
    gpu = found["gpu"]
    here = f"{gpu['name']}, {gpu['compute_capability']}" if gpu else f"{found['cpu']}, {found['cpu_capability']}"
    before: list[str] = json.loads(path.read_bytes()) if goes_on and path.exists() else []
    several = list(dict.fromkeys([*before, here]))
    write_atomically(path, canonical_json(several))
    if len(several) > 1:
        what = f"this training goes on on {here}, and was made on {', then '.join(before)}"
        cannot = "They may round otherwise, so no other training need come to these bytes; the record says so"
        say(Line(text=f"  note: {what}. {cannot}. Take {run} away to train on one kind alone."))
    return several


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
        torch.cuda.set_device(launched.cards(torch.cuda.device_count())[0])
        os.environ[FLASH] = "1"
        note_nondeterminism()
        keep_attention_deterministic()
    set_seed(seed)


def note_nondeterminism() -> None:
    """From now on, what torch warns of as nondeterministic is told once for each operation, and kept."""
    tell = warnings.showwarning

    def note(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        if found := NO_FIXED_RESULT.match(str(message)):
            name = found[1] or found[2]
            if name in _warned:
                return
            _warned.add(name)
        tell(message, category, filename, lineno, file, line)

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
        def forward(ctx: "FunctionCtx", *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
            ctx.set_materialize_grads(False)
            return tensors

        @staticmethod
        def backward(_: "FunctionCtx", *gradients: torch.Tensor) -> tuple[torch.Tensor, ...]:
            torch.set_deterministic_debug_mode("warn")
            return gradients

    class After(torch.autograd.Function):
        @staticmethod
        def forward(_: "FunctionCtx", tensor: torch.Tensor) -> torch.Tensor:
            return tensor

        @staticmethod
        def backward(_: "FunctionCtx", gradient: torch.Tensor) -> torch.Tensor:
            torch.set_deterministic_debug_mode("error")
            return gradient

    attention = torch.nn.functional.scaled_dot_product_attention
    before: Callable[..., tuple[torch.Tensor, ...]] = Before.apply
    after: Callable[..., torch.Tensor] = After.apply

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
