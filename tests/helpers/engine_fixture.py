"""A Docker engine of the tests' own, a registry on loopback, and the real Dockerfile built on a small Debian base."""

import contextlib
import io
import os
import re
import shlex
import shutil
import socket
import ssl
import subprocess
import tarfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import docker
import pytest

from release.running import image_source
from tests.helpers.line import ROOT

# The closure of these is what the Dockerfile needs of python:3.11-slim-bookworm: the same Debian, python3 and pip.
PACKAGES = ("python3-pip", "libstdc++6", "dash", "coreutils")
# Stands where NVIDIA's hook would: with it the engine accepts requests for GPUs. It fails with what a file says.
HOOK = """#!/bin/sh
if [ -e {says} ]; then cat {says} >&2; exit 1; fi
"""


@dataclass(frozen=True, kw_only=True)
class Engine:
    folder: Path
    """Its socket, its data, and the hook."""

    @property
    def address(self) -> str:
        return f"unix://{self.folder / 'docker.sock'}"

    @property
    def env(self) -> dict[str, str]:
        """For a process that is to use it."""
        return {"DOCKER_HOST": self.address}


@dataclass(frozen=True, kw_only=True)
class Images:
    """What stands in an engine and in a registry on loopback."""

    engine: Engine
    registry: str
    base: str
    """Debian with Python and pip, ``name@sha256:...``."""
    light: str
    """The same with this checkout's code and ``tests/helpers/contained.py``, without the locked packages."""

    @property
    def env(self) -> dict[str, str]:
        return self.engine.env | {image_source.BASE_IMAGE: self.base}

    def client(self) -> contextlib.closing[docker.DockerClient]:
        return contextlib.closing(docker.DockerClient(base_url=self.engine.address, timeout=600))


def missing() -> str:
    """Why no engine can run here."""
    if os.geteuid() != 0:
        return "starting a Docker engine needs root"
    tools = [tool for tool in ("dockerd", "docker-registry", "apt-get", "dpkg-deb") if shutil.which(tool) is None]
    return f"{', '.join(tools)} not installed" if tools else ""


@contextlib.contextmanager
def engine_in(folder: Path, *, hook: bool = True) -> Iterator[Engine]:
    """dockerd, which leaves this machine's network and firewall as they are, until the block ends."""
    folder.mkdir(parents=True, exist_ok=True)
    path = os.environ["PATH"]
    if hook:
        program = folder / "bin" / "nvidia-container-runtime-hook"
        program.parent.mkdir()
        program.write_text(HOOK.format(says=folder / "hook-says"))
        program.chmod(0o755)
        path = f"{program.parent}:{path}"
    engine = Engine(folder=folder)
    command = [
        "dockerd", f"--host={engine.address}", f"--data-root={folder / 'data'}", f"--exec-root={folder / 'exec'}",
        f"--pidfile={folder / 'pid'}", "--bridge=none", "--iptables=false", "--ip6tables=false", "--ip-forward=false",
        "--ip-masq=false", "--storage-driver=overlay2",
    ]  # fmt: skip
    log = folder / "log"
    with log.open("wb") as said, subprocess.Popen(command, env={**os.environ, "PATH": path}, stderr=said) as process:
        try:
            for _ in range(300):
                if (folder / "docker.sock").exists() or process.poll() is not None:
                    break
                time.sleep(0.1)
            with contextlib.closing(docker.DockerClient(base_url=engine.address)) as client:
                client.ping()
            yield engine
        finally:
            process.terminate()
            process.wait(60)
            netns = folder / "exec" / "netns" / "default"  # left by builds on the host's network
            if netns.exists():
                subprocess.run(["umount", str(netns)], check=False, stderr=subprocess.DEVNULL)
            remove = f"rm -rf {shlex.quote(str(folder / 'data'))} 2>&- &"  # some GB: nobody waits for it
            subprocess.run(["sh", "-c", remove], check=False)


@contextlib.contextmanager
def registry_in(folder: Path) -> Iterator[str]:
    """A registry on loopback, which an engine takes without TLS; its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder.mkdir()
    (folder / "config.yml").write_text(
        f"version: 0.1\nstorage: {{filesystem: {{rootdirectory: {folder}/data}}}}\nhttp: {{addr: 127.0.0.1:{port}}}\n"
    )
    with subprocess.Popen(
        ["docker-registry", "serve", str(folder / "config.yml")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            for _ in range(100):
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                    break
                time.sleep(0.1)
            yield f"127.0.0.1:{port}"
        finally:
            process.terminate()


def debian(folder: Path) -> bytes:
    """A root of Debian's own packages as a tar: no package's scripts are run, and none is needed."""
    packages, root = folder / "packages", folder / "root"
    (packages / "partial").mkdir(parents=True)
    root.mkdir()
    nothing_installed = [
        "-o", "Dir::State::status=/dev/null", "-o", f"Dir::Cache::archives={packages}", "-o", "Debug::NoLocking=1",
    ]  # fmt: skip
    fetch = ["apt-get", *nothing_installed, "--download-only", "--yes", "-qq", "--no-install-recommends", "install"]
    subprocess.run([*fetch, *PACKAGES], check=True, capture_output=True)
    for package in packages.glob("*.deb"):
        subprocess.run(["dpkg-deb", "--extract", str(package), str(root)], check=True)
    certificates = os.environ.get("SSL_CERT_FILE") or ssl.get_default_verify_paths().openssl_cafile
    (root / "tmp").mkdir(mode=0o1777)
    (root / "tmp").chmod(0o1777)
    shutil.copyfile(certificates, root / "etc" / "ssl" / "certs" / "ca-certificates.crt")
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        tar.add(root, arcname=".")
    return data.getvalue()


def push(client: docker.DockerClient, image: str, name: str) -> str:
    """The image under a name in a registry; ``name@sha256:...``."""
    client.api.tag(image, name)
    said = client.api.push(name)
    found = re.search(r"digest: (sha256:[0-9a-f]{64})", said)
    assert found, said
    return f"{name}@{found[1]}"


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """Skips where none can run, but not under CI: there a missing engine is a failure."""
    if why := missing():
        assert "CI" not in os.environ, f"{why}: .ci/run installs what the container's tests need"
        pytest.skip(why)
    with engine_in(tmp_path_factory.mktemp("engine")) as engine:
        yield engine


@pytest.fixture(scope="session")
def images(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Images]:
    folder = tmp_path_factory.mktemp("images")
    root = debian(folder)
    trust = [f"ENV {name}=/etc/ssl/certs/ca-certificates.crt" for name in ("SSL_CERT_FILE", "PIP_CERT")]
    with (
        registry_in(folder / "registry") as registry,
        contextlib.closing(docker.DockerClient(base_url=engine.address, timeout=600)) as client,
    ):
        client.api.import_image_from_data(root, repository="debian", tag="made", changes=trust)
        base = push(client, "debian:made", f"{registry}/debian")
        light = push(client, with_code(client, base), f"{registry}/light")
        yield Images(engine=engine, registry=registry, base=base, light=light)


def with_code(client: docker.DockerClient, base: str, changed: str = "") -> str:
    """An image with this checkout's code and no package; ``changed`` is added to one of its files. Its id."""
    dockerfile = f"""
FROM {base}
RUN ln -s python3 /usr/bin/python
WORKDIR /adapter-release
ENV PYTHONPATH=/adapter-release PYTHONDONTWRITEBYTECODE=1
COPY . .
"""
    added = {"Dockerfile": dockerfile.encode(), "tests/__init__.py": b"", "tests/helpers/__init__.py": b""}
    added["tests/helpers/contained.py"] = (ROOT / "tests" / "helpers" / "contained.py").read_bytes()
    context = io.BytesIO()
    with (
        tarfile.open(fileobj=io.BytesIO(image_source.context())) as whole,
        tarfile.open(fileobj=context, mode="w") as tar,
    ):
        for entry in whole:
            if entry.name not in added:
                file = whole.extractfile(entry)
                assert file is not None
                added[entry.name] = file.read()
        added["release/models/train.py"] += changed.encode()
        for name, data in added.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    context.seek(0)
    image, _ = client.images.build(fileobj=context, custom_context=True, rm=True)
    return str(image.id)
