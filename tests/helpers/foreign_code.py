"""Code of others, as a base model's repository has it: it leaves a marker and what it can see of secrets."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from release.running import fence

SECRETS = {
    name: f"marker-of-{name.lower()}"
    for name in (
        *("HF_TOKEN", "HUGGINGFACE_TOKEN", "HF_TOKEN_PATH", "GITHUB_TOKEN", "ACTIONS_ID_TOKEN_REQUEST_TOKEN"),
        *("AWS_SECRET_ACCESS_KEY", "WANDB_API_KEY", "OPENAI_API_KEY", "SSH_AUTH_SOCK", "DATABASE_URL", "VLLM_API_KEY"),
        *("ADAPTER_RELEASE_SIGNING_PASSWORD", "GIT_CONFIG_VALUE_0", "A_NAME_THAT_NOBODY_THOUGHT_OF"),
    )
} | {
    "PIP_INDEX_URL": "https://me:marker-of-pip@example.com/simple",
    "HTTPS_PROXY": "http://me:marker-of-proxy@127.0.0.1:9",
    "TORCH_FIND_LINKS": "https://me:marker-of-links@example.com/",
}
LOOK = """
import json

def of(path):
    try:
        with open(path, "rb") as file:
            return file.read().decode(errors="replace")
    except OSError as error:
        return f"unreadable: {error.strerror}"

def memory(pid):
    try:
        with open(f"/proc/{pid}/mem", "rb"):
            return "readable"
    except OSError:
        return "unreadable"

def ancestors():
    pid, found = FIRST or os.getppid(), []
    while pid > 1 and len(found) < FAR:
        found.append({"environ": of(f"/proc/{pid}/environ"), "memory": memory(pid)})
        pid = int(of(f"/proc/{pid}/stat").rpartition(")")[2].split()[1])
    return found

with open(MARKER, "w") as file:
    json.dump({"environment": dict(os.environ), "ancestors": ancestors()}, file)
"""


def looking(marker: Path, far: int = 2, *, itself: bool = False) -> str:
    """Python that writes what it sees of its environment and of ``far`` ancestors, or of itself, to ``marker``."""
    return f"import os\nMARKER, FAR, FIRST = {str(marker)!r}, {far}, {'os.getpid()' if itself else None}\n{LOOK}"


def read(marker: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(marker.read_text("utf-8"))
    return found


def leaked(found: object) -> list[str]:
    """The secrets that can be found in what was seen."""
    text = json.dumps(found)
    return sorted(name for name, value in SECRETS.items() if value in text)


def can_be_apart() -> bool:
    """Whether this kernel keeps processes of one user apart."""
    done = subprocess.run([sys.executable, fence.__file__, "true"], capture_output=True, text=True, check=True)
    return not done.stderr


def with_secrets(more: Mapping[str, str]) -> dict[str, str]:
    return {**os.environ, **SECRETS, **more}
