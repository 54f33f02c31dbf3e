"""What an image is built from: this code and its locks as one tar, build arguments, and a CPU build of torch."""

import contextlib
import functools
import hashlib
import http.server
import io
import os
import re
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path

from release.running import pip
from release.values import assets
from release.values.artifacts import sha256_file
from release.values.cache import cache_folder
from release.values.errors import PreflightError

BASE_IMAGE = "ADAPTER_RELEASE_BASE_IMAGE"
"""Names another base to build on, by its digest: a mirror, or a base with a company's certificates."""
COPIED = ("release", "gates", "hub_folder", "schemas")
CONTEXT = ("Dockerfile", "locks/uv.txt", "locks/gpu.txt", "locks/cpu.txt")


def context() -> bytes:
    """A tar of what the Dockerfile copies, the same bytes for the same files, whatever their times and modes."""
    files = {name: assets.asset(name) for name in CONTEXT}
    if not files["Dockerfile"].exists():
        raise PreflightError(
            f"{assets.ROOT} has no Dockerfile, so no image can be built here. Install adapter-release anew, name "
            "container.image by its digest, or set container.use: never."
        )
    for part in COPIED:
        for path in (assets.ROOT / part).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts and assets.PACKED not in path.parents:
                files[path.relative_to(assets.ROOT).as_posix()] = path
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        for name, path in sorted(files.items()):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = path.stat().st_size, 0o644
            tar.addfile(entry, io.BytesIO(path.read_bytes()))
    return data.getvalue()


def base_image() -> str:
    """The image of a Python that others are built on, by its digest."""
    if own := arguments().get("BASE_IMAGE"):
        return own
    text = assets.asset("Dockerfile").read_text("utf-8")
    (found,) = re.findall(r"^ARG BASE_IMAGE=(\S+)$", text, re.MULTILINE)
    return str(found)


def arguments() -> dict[str, str]:
    base = os.environ.get(BASE_IMAGE)
    if base and not re.search("sha256:[0-9a-f]{64}$", base):
        raise PreflightError(f"{BASE_IMAGE} is {base}, which can move. Name the base by its digest, name@sha256:...")
    return {"BASE_IMAGE": base} if base else {}


def cpu_torch() -> tuple[Path | None, dict[str, str]]:
    """The locked CPU build of torch where pip is offered it, and the build arguments for it; else CUDA's.

    The same rule as in setup_environment.py: pip's configuration and TORCH_FIND_LINKS say where to look.
    """
    lock = assets.asset("locks/torch-cpu.txt")
    locked = re.fullmatch(r"(torch==(\S+)) \\\s+--hash=sha256:([0-9a-f]{64})\s*", lock.read_text("utf-8"))
    assert locked is not None
    folder = cache_folder() / "torch"
    folder.mkdir(parents=True, exist_ok=True)
    links = os.environ.get("TORCH_FIND_LINKS", "")
    if not any(sha256_file(wheel) == locked[3] for wheel in folder.glob(f"torch-{locked[2]}-*.whl")):
        asked = pip.download(lock, folder, "--only-binary", ":all:", *(["--find-links", links] if links else []))
        if not asked.found:
            if "No matching distribution" not in asked.said:
                raise PreflightError(f"pip could not use the CPU build of torch that is offered:\n{asked.said}")
            return None, {}
    return folder, {"LOCK": "cpu", "TORCH": f"{locked[1]} --hash=sha256:{locked[3]}"}


@contextlib.contextmanager
def served(wheels: Path | None) -> Iterator[dict[str, str]]:
    """A folder as a page on 127.0.0.1, at a port that its path decides: an unchanged layer is not made again."""
    if wheels is None:
        yield {}
        return
    handler = functools.partial(_Quiet, directory=str(wheels))
    port = 20000 + int(hashlib.sha256(str(wheels).encode()).hexdigest(), 16) % 10000
    try:
        server = http.server.ThreadingHTTPServer(("127.0.0.1", port), handler)
    except OSError:
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    with server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield {"FIND_LINKS": f"http://127.0.0.1:{server.server_port}/"}
        server.shutdown()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002  the library's name
        """Say nothing."""
