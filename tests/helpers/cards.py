"""A machine with NVIDIA cards: device files in a folder, and a program that prints what nvidia-smi would."""

import os
import shlex
from pathlib import Path

import pytest

from release.running import machine

ADA, TURING = "GPU-11111111-aaaa-0000-0000-000000000000", "GPU-12222222-bbbb-0000-0000-000000000000"
ADA_LINE = f"NVIDIA GeForce RTX 4090, 24080, 580.65.06, {ADA}, 8.9, [N/A]"
TURING_LINE = f"Tesla T4, 15095, 580.65.06, {TURING}, 7.5, [N/A]"


def machine_with(folder: Path, patch: pytest.MonkeyPatch, *lines: str, status: int = 0) -> None:
    """Let this process and those it starts find cards for which nvidia-smi prints these lines."""
    devices, programs = folder / "dev", folder / "bin"
    devices.mkdir()
    programs.mkdir()
    for number in range(len(lines) or 1):
        (devices / f"nvidia{number}").touch()
    said = shlex.quote("\n".join(lines))
    asked = shlex.quote(f"--query-gpu={machine.QUERY} --format=csv,noheader,nounits")
    program = programs / "nvidia-smi"
    program.write_text(f'#!/bin/sh\n[ "$*" = {asked} ] || exit 2\nprintf "%s\\n" {said}\nexit {status}\n')
    program.chmod(0o755)
    patch.setattr(machine, "DEVICES", devices)
    patch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    patch.delenv(machine.VISIBLE, raising=False)
