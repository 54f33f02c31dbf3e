"""llama.cpp's own quantizer, the program ``llama-quantize``: a GGUF in float32 → one in fewer bits."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

from release.running.tied import inherited as locks
from release.running.tied import tied
from release.values.errors import PreflightError, VerificationError

PROGRAM = "llama-quantize"
BY_CONVERTER = ("F32", "F16", "Q8_0")
"""The file types that the converter writes by itself."""


def problem(file_type: str) -> str:
    """Why this file type cannot be made here, and what to do; empty where it can."""
    if file_type in BY_CONVERTER or shutil.which(PROGRAM):
        return ""
    return (
        f"file_type {file_type} is made by llama.cpp's own quantizer, and there is no {PROGRAM} on the PATH. Install "
        "llama.cpp (`brew install llama.cpp`, a release of github.com/ggml-org/llama.cpp, or your system's package), "
        "or say `file_type: Q8_0`."
    )


def quantize(source: Path, target: Path, file_type: str, threads: int) -> str:
    """Write ``target``, whole or not at all; llama.cpp's words for its build."""
    if told := problem(file_type):
        raise PreflightError(told)
    partial = target.with_name(f"{target.name}.partial")
    command = tied([PROGRAM, str(source), str(partial), file_type, str(threads)])
    done = subprocess.run(command, capture_output=True, text=True, check=False, **locks())
    sys.stderr.write(done.stdout + done.stderr)
    if done.returncode or not partial.exists():
        partial.unlink(missing_ok=True)
        words = (done.stderr.strip() or done.stdout.strip() or "without a word").splitlines()[-1]
        raise VerificationError(
            f"{PROGRAM} could not make {target.name}, exit status {done.returncode}: {words}. Use another build of "
            "llama.cpp, or another file_type."
        )
    partial.replace(target)
    build = re.search(r"build = (.+)", done.stdout + done.stderr)
    return build[1] if build else "unknown"
