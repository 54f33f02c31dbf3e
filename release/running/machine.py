"""What this machine has for a run: room on its disks, memory, and the NVIDIA cards that are used, with their driver."""

import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from release.values.errors import PreflightError

GIB = 1 << 30
CGROUP = Path("/sys/fs/cgroup")  # version 2, as a container sees its own
DEVICES = Path("/dev")
OLDEST_DRIVER = 580  # CUDA 13.0, which torch is built with here, needs R580 or newer (NVIDIA's compatibility table)
OLDEST_CARD = (8, 0)  # the compute capability from which on a card has bfloat16 (CUDA C++ Programming Guide, Ampere)
VISIBLE = "CUDA_VISIBLE_DEVICES"
PROCESSES = "training.processes asks"
OF_A_STAGE = "training.processes, or a form's tensor_parallel_size, asks"
BESIDE = (
    "Tries side by side need cards of one kind, for what one comes to would depend on the card that is free: here are "
    f"{{}}. Name those of one kind in {VISIBLE}, or take tries.side_by_side out."
)
SPREAD = (
    "generation.device_map needs cards of one kind, for how an answer is rounded would depend on which of them a layer "
    f"is put on: here are {{}}. Name those of one kind in {VISIBLE}, or take it out."
)
SIDE_BY_SIDE = "tries.side_by_side asks, with training.processes for each,"
MOST = 64
"""Cards of a machine that are looked at: as many as a stage may have processes."""
CPU_RUN = f"set {VISIBLE}='' for a run on the processor"
QUERY = "name,memory.free,driver_version,uuid,compute_cap,mig.mode.current"


@dataclass(frozen=True, kw_only=True)
class Gpu:
    name: str
    free: int | None
    """Bytes; None where nvidia-smi does not say, as for a part of a card (MIG)."""
    driver: str
    uuid: str
    """What CUDA and a container engine know it by: ``GPU-...`` or ``MIG-...``."""
    capability: tuple[int, int] | None
    """Compute capability, as (8, 9); None where nvidia-smi does not say."""
    split: bool = False
    """Whether it is divided into parts of their own memory (MIG)."""


@dataclass(frozen=True, kw_only=True)
class Found:
    """The one card that a run here uses."""

    gpu: Gpu | None
    """None for a run on the processor."""
    says: str
    """Which one it is, of how many, and why that one."""
    problem: str = ""
    """What keeps it from being used, and what to do; empty where nothing does."""


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


def find_gpu() -> Found:
    """The one card that is used here: the first that ``CUDA_VISIBLE_DEVICES`` leaves visible, in nvidia-smi's order.

    The first, for it is the one that CUDA itself would take, and the same at every call: what preflight measured is
    what training gets. One, for a second would change the batch and so the adapter.
    """
    return find_gpus(1)[0]


def find_gpus(count: int, asks: str = PROCESSES) -> tuple[Found, ...]:
    """The cards of so many processes that train together, one for each; one value that says why where there is none."""
    named = os.environ.get(VISIBLE)
    if not _has_cards():
        return (Found(gpu=None, says="no NVIDIA card, so a CPU run"),)
    if named is not None and _hides_all(named):
        return (Found(gpu=None, says=f"{VISIBLE}={named!r} hides every card, so a CPU run"),)
    try:
        command = ["nvidia-smi", f"--query-gpu={QUERY}", "--format=csv,noheader,nounits"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        said, failed = done.stdout, f"exit status {done.returncode}: {done.stdout.strip()}" if done.returncode else ""
    except (OSError, subprocess.SubprocessError) as error:
        said, failed = "", str(error)
    gpus = read_gpus(said)
    if failed or not gpus:
        why = failed or f"it names no card: {said.strip()!r}"
        need = f"Install or repair its driver, R{OLDEST_DRIVER} or newer, or {CPU_RUN}."
        problem = f"There is an NVIDIA card, but nvidia-smi does not answer ({why}). {need}"
        return (Found(gpu=None, says="an NVIDIA card that does not answer", problem=problem),)
    names = [str(index) for index in range(len(gpus))] if named is None else [one.strip() for one in named.split(",")]
    found = [choose(gpus, named)]
    found += [choose(gpus, ",".join(names[number:])) for number in range(1, min(count, len(names)))]
    if count > len(names):
        problem = (
            f"{asks} for more than the {len(names)} cards that can be used here. Lower it or take it out, name "
            f"more cards in {VISIBLE}, or {CPU_RUN}."
        )
        found.append(Found(gpu=None, says="too few cards", problem=problem))
    return tuple(found)


def usable_gpu() -> Gpu | None:
    """The one card that is used here, None for a CPU run; ``PreflightError`` where it cannot be used."""
    found = find_gpu()
    if found.problem:
        raise PreflightError(found.problem)
    return found.gpu


def visible() -> int:
    """How many cards can be used here; 0 for a CPU run."""
    return sum(one.gpu is not None for one in find_gpus(MOST))


def one_card() -> dict[str, str]:
    """The variables that leave a process the card that is used here; ``PreflightError`` where it cannot be used."""
    return cards(1)


def cards(count: int) -> dict[str, str]:
    """The variables that leave a stage so many cards, none on a machine without; ``PreflightError`` why not."""
    found = find_gpus(count, OF_A_STAGE) if count else ()
    if problems := [one.problem for one in found if one.problem]:
        raise PreflightError(problems[0])
    return only(",".join(one.gpu.uuid for one in found if one.gpu))


def shares(many: int, each: int) -> tuple[Mapping[str, str], ...]:
    """The variables that leave each of so many stages so many cards of its own; ``PreflightError`` why not."""
    found = find_gpus(many * each, SIDE_BY_SIDE)
    if problems := [one.problem for one in found if one.problem] or unlike(found, BESIDE):
        raise PreflightError(problems[0])
    uuids = [one.gpu.uuid for one in found if one.gpu]
    return tuple(only(",".join(uuids[number * each : (number + 1) * each])) for number in range(many))


def unlike(found: Sequence[Found], said: str) -> list[str]:
    """What is ``said`` where these cards are of several kinds. Of parts of cards nobody says which they are."""
    names = list(dict.fromkeys(one.gpu.name for one in found if one.gpu and not one.gpu.name.startswith("MIG-")))
    return [said.format(", ".join(names))] if len(names) > 1 else []


def at_most(processes: int) -> int:
    """So many processes, or one for each card where there are fewer; all of them on a machine without."""
    return sum(one.gpu is not None for one in find_gpus(processes)) or processes


def only(uuid: str | None) -> dict[str, str]:
    """The variables that leave a process this card and no other; None leaves it none."""
    return {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", VISIBLE: uuid or ""}


def read_gpus(said: str) -> tuple[Gpu, ...]:
    """What nvidia-smi printed for ``QUERY``, memory in MiB; its warnings, which have no such line, are passed over."""
    lines = [[part.strip() for part in line.rsplit(",", QUERY.count(","))] for line in said.splitlines()]
    return tuple(
        Gpu(
            name=name,
            free=int(free) << 20 if free.isdecimal() else None,
            driver=driver,
            uuid=uuid,
            capability=(int(known[1]), int(known[2])) if (known := re.fullmatch(r"(\d+)\.(\d+)", capability)) else None,
            split=mig == "Enabled",
        )
        for name, free, driver, uuid, capability, mig in (line for line in lines if len(line) == QUERY.count(",") + 1)
    )


def choose(gpus: Sequence[Gpu], named: str | None) -> Found:
    """The card of these, in nvidia-smi's order, that is used when ``CUDA_VISIBLE_DEVICES`` is ``named`` (None: unset).

    CUDA's own rules: an index, or a UUID or the beginning of one; what follows a name that is none is not visible.
    """
    first = "0" if named is None else named.partition(",")[0].strip()
    if first.startswith("MIG-"):
        # nvidia-smi has no line for a part of a card; those that can be split have bfloat16.
        part = Gpu(name=first, free=None, driver=gpus[0].driver, uuid=first, capability=None)
        return Found(gpu=part, says=f"{first}, a part of a card; only it is used", problem=_driver_problem(part))
    fitting = [one for one in gpus if first.startswith("GPU-") and one.uuid.startswith(first)]
    if first.isdecimal() and int(first) < len(gpus):
        fitting = [gpus[int(first)]]
    if len(fitting) != 1:
        what = "is the beginning of more than one card's UUID" if fitting else "is no card of this machine"
        there = "; ".join(f"{index}: {one.name}, {one.uuid}" for index, one in enumerate(gpus))
        problem = (
            f"{VISIBLE} is {named!r}, and {first!r} {what} ({there}): CUDA would see none, and the run would silently "
            f"take the processor. Name one of these, or {CPU_RUN}."
        )
        return Found(gpu=None, says=f"{first!r} {what}", problem=problem)
    (gpu,) = fitting
    why = f"the first that {VISIBLE} names" if named is not None else f"the first: {VISIBLE} can name another"
    which = "the only card" if len(gpus) == 1 else f"only card {gpus.index(gpu)} of the {len(gpus)} is used, {why}"
    problem = _driver_problem(gpu) or _card_problem(gpu, gpus)
    return Found(gpu=gpu, says=f"{gpu.name}, driver {gpu.driver}: {which}", problem=problem)


def _has_cards() -> bool:
    """Whether NVIDIA's driver has a device here. Under Windows (WSL) it has a name of nobody's, so its tool tells."""
    wsl = (DEVICES / "dxg").exists() and shutil.which("nvidia-smi") is not None
    return wsl or any(DEVICES.glob("nvidia[0-9]*"))


def _hides_all(named: str) -> bool:
    """Whether the first name is one by which CUDA, or a scheduler such as Slurm, means no card."""
    return re.fullmatch(r"|-\d+|NoDevFiles", named.partition(",")[0].strip()) is not None


def _driver_problem(gpu: Gpu) -> str:
    version = gpu.driver.partition(".")[0]
    if version.isdecimal() and int(version) >= OLDEST_DRIVER:
        return ""
    need = f"the driver is {gpu.driver}; CUDA 13 needs {OLDEST_DRIVER} or newer"
    return f"{gpu.name}: {need}. Update the driver, or {CPU_RUN}."


def _card_problem(gpu: Gpu, gpus: Sequence[Gpu]) -> str:
    """What this card lacks, and which of the others does not."""
    if gpu.split:
        return (
            f"{gpu.name} is split (MIG): a process sees one part of it, and which one is not said. Name it: "
            f"{VISIBLE}=MIG-..., as `nvidia-smi -L` lists them; or {CPU_RUN}."
        )
    if gpu.capability is None or gpu.capability >= OLDEST_CARD:
        return ""
    fit = [f"{VISIBLE}={one.uuid} is {one.name}" for one in gpus if (one.capability or (0, 0)) >= OLDEST_CARD]
    others = "; ".join(fit) or "none of the other cards here has it" if len(gpus) > 1 else "there is no other card here"
    return (
        f"{gpu.name} has compute capability {'.'.join(map(str, gpu.capability))}. Training and answering compute in "
        f"bfloat16, which cards have from {'.'.join(map(str, OLDEST_CARD))} on (Ampere: RTX 30, A10, A100); this one "
        f"would only imitate it, many times slower. Use another card ({others}), or {CPU_RUN}."
    )
