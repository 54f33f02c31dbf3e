"""bench/gpu.py without a network, where packages lie in a folder and no environment knows this checkout."""

import re
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from release.models import base as bases
from tests.helpers.line import ROOT

PYTHON = Path(sys.base_prefix) / "bin" / f"python3.{sys.version_info.minor}"
PACKAGES = {"PATH": "/usr/bin:/bin", "PYTHONPATH": sysconfig.get_path("purelib")}
"""Named so, the `*.pth` of an environment are not read: by one of them this checkout would be found."""


def said(*arguments: str, where: Path) -> subprocess.CompletedProcess[str]:
    command = [str(PYTHON), *arguments]
    return subprocess.run(command, cwd=where, env=PACKAGES, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (
            ["--tokenizer", "."],
            "'.' has no tokenizer.json, tokenizer_config.json, config.json. Give the folder of a base",
        ),
        (["--smoke", "--steps", "9"], "take --model, --steps and --tokens out"),
    ],
)
def test_what_cannot_be_is_refused_at_once(options: list[str], says: str, tmp_path: Path) -> None:
    done = said(str(ROOT / "bench" / "gpu.py"), *options, where=tmp_path)

    assert done.returncode == 2
    assert says in " ".join(done.stderr.split())


@pytest.mark.slow
def test_its_processes_find_this_checkout_and_the_packages(tmp_path: Path, base: bases.Base) -> None:
    """A stage of its own, and the plain script, which gets as far as a configuration that is not there."""
    make = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from pathlib import Path
from bench import gpu
print(gpu.base_folder("tiny", Path({str(tmp_path)!r}), Path({str(base.folder)!r})))
gpu.plain_script("train", "no.yaml", "base", "1")
"""
    done = said("-P", "-c", make, where=tmp_path)

    assert (tmp_path / "tiny" / "model.safetensors").exists(), done.stderr
    assert "no.yaml" in done.stderr
    assert not re.search(r"No module named .(bench|release|torch)", done.stderr)
