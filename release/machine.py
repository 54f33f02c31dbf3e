"""What this machine has for a run: room on its disks, memory, NVIDIA cards and their driver."""

import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

GIB = 1 << 30
CGROUP = Path("/sys/fs/cgroup")  # version 2, as a container sees its own
OLDEST_DRIVER = 580  # CUDA 13.0, which torch is built with here, needs R580 or newer (NVIDIA's compatibility table)


@dataclass(frozen=True, kw_only=True)
class Gpu:
    name: str
    free: int
    """Bytes."""
    driver: str


def full_disks(needed: Mapping[Path, int]) -> list[str]:
    """A line for each disk with less room than the bytes that go to its folders."""
    disks: dict[int, dict[Path, int]] = {}
    for folder, size in needed.items():
        device = _existing(folder).stat().st_dev
        disks.setdefault(device, {})[folder] = size
    lines = []
    for there in disks.values():
        free, wanted = shutil.disk_usage(_existing(next(iter(there)))).free, sum(there.values())
        if free < wanted:
            names = " and ".join(str(one) for one in there)
            lines.append(
                f"{names}: {free / GIB:.1f} GiB free, {wanted / GIB:.1f} GiB are needed: the run would end with a full "
                "disk. Free some space, or set run.output_dir or ADAPTER_RELEASE_CACHE to another disk."
            )
    return lines


def _existing(folder: Path) -> Path:
    return next(path for path in (folder, *folder.parents) if path.exists())


def available_memory() -> int | None:
    """Bytes of memory that a new process can have, a container's limit counted; None where the system does not say."""
    meminfo = Path("/proc/meminfo")
    if not meminfo.exists():
        return None
    sizes = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in meminfo.read_text("utf-8").splitlines()}
    limit, used = (CGROUP / name for name in ("memory.max", "memory.current"))
    if limit.exists() and (most := limit.read_text("utf-8").strip()) != "max":
        return min(sizes["MemAvailable"], int(most) - int(used.read_text("utf-8")))
    return sizes["MemAvailable"]


def find_gpus() -> tuple[tuple[Gpu, ...], str]:
    """The NVIDIA cards of this machine, and what keeps them from being used."""
    if not list(Path("/dev").glob("nvidia[0-9]*")):
        return (), ""
    query = ["nvidia-smi", "--query-gpu=name,memory.free,driver_version", "--format=csv,noheader,nounits"]
    try:
        said = subprocess.run(query, capture_output=True, text=True, check=True, timeout=30).stdout
    except (OSError, subprocess.SubprocessError) as error:
        return (), f"There is an NVIDIA card, but nvidia-smi does not answer ({error}). Install or repair its driver."
    gpus = read_gpus(said)
    old = [one for one in gpus if int(one.driver.partition(".")[0]) < OLDEST_DRIVER]
    if old:
        need = f"the driver is {old[0].driver}; CUDA 13 needs {OLDEST_DRIVER} or newer"
        return gpus, f"{old[0].name}: {need}. Update the driver, or hide the card with CUDA_VISIBLE_DEVICES=''."
    return gpus, ""


def read_gpus(said: str) -> tuple[Gpu, ...]:
    """What nvidia-smi printed: name, free MiB, driver."""
    lines = [[part.strip() for part in line.rsplit(",", 2)] for line in said.splitlines() if line.strip()]
    return tuple(Gpu(name=name, free=int(free) << 20, driver=driver) for name, free, driver in lines)
