"""What would fail after hours of training, checked in seconds before it starts; all problems at once."""

import json
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from release import base as bases
from release import hub_target
from release.config import Config
from release.errors import PreflightError
from release.events import Say

GIB = 1 << 30
DISK_NEEDED = 3 * GIB  # the embedded base 0.6, checkpoints 0.2, package and Hub 0.1, a downloaded base some 2
MEMORY_NEEDED = 5 * GIB  # measured peak of the default: see docs/figures.md


def check(config: Config, hub: Mapping[str, str], say: Say) -> None:
    """Raises ``PreflightError`` with every problem found."""
    problems = [*disk_problems(config), *memory_problems(), *hub_problems(config, hub, say)]
    if config.model.source == "embedded":
        try:
            bases.embedded_wheel()
        except PreflightError as missing:
            problems.append(str(missing))
    if problems:
        raise PreflightError("\n".join(problems) + "\nNothing was started.")


def disk_problems(config: Config) -> list[str]:
    """A line for each disk the run writes to that has too little room."""
    folders = {config.run.output_dir, bases.cache_folder()}
    lines = []
    for folder in sorted(folders):
        existing = next(path for path in (folder, *folder.parents) if path.exists())
        free = shutil.disk_usage(existing).free
        if free < DISK_NEEDED:
            lines.append(
                f"{folder} has {free / GIB:.1f} GiB free, {DISK_NEEDED / GIB:.0f} GiB are needed: the run would end "
                "with a full disk. Free some space, or set run.output_dir or ADAPTER_RELEASE_CACHE to another disk."
            )
    return lines


def memory_problems() -> list[str]:
    """A line if less memory is available than the smallest run takes."""
    meminfo = Path("/proc/meminfo")
    if not meminfo.exists():
        return []
    sizes = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in meminfo.read_text("utf-8").splitlines()}
    available = sizes["MemAvailable"]
    if available >= MEMORY_NEEDED:
        return []
    lack = f"{available / GIB:.1f} GiB of memory are available, {MEMORY_NEEDED / GIB:.0f} GiB are needed"
    return [f"{lack}: the kernel would kill the run. Close other programs, or use a machine with more memory."]


def hub_problems(config: Config, hub: Mapping[str, str], say: Say) -> list[str]:
    """What keeps this token from publishing this tag, asked of the Hub itself."""
    publishing = config.publishing
    request = {
        "do": "check_rights",
        "repo_id": publishing.hf_repo,
        "tag": publishing.tag,
        "private": publishing.private,
        "manifest_digests": [json.loads(path.read_bytes())["manifest_digest"] for path in packed_before(config)],
    }
    with tempfile.TemporaryDirectory() as folder:
        problems: list[str] = hub_target.ask(request, hub, say, Path(folder) / "log")["problems"]
        return problems


def packed_before(config: Config) -> list[Path]:
    """What earlier runs here set out to publish: a tag that holds one of these is this project's own."""
    return sorted(config.run.output_dir.glob("*/published.json"))
