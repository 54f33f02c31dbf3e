"""Training and answering in a container image named by its digest; the only module that speaks to Docker."""

import contextlib
import fcntl
import hashlib
import io
import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from release.config.settings import Container
from release.running import child, environment, image_source, kept, launched, look, machine
from release.running.engine_faults import explained
from release.values.errors import PreflightError, Stop
from release.values.events import Line, Progress, Say
from release.values.reasons import KEPT, LESS_MEMORY

if TYPE_CHECKING:
    from docker import DockerClient
    from docker.models.containers import Container as Running
    from docker.types import Mount

SOCKET = "unix:///var/run/docker.sock"
LABEL = "adapter-release.run"
PATIENCE = 5  # seconds in which an engine that is there says so
WAIT = 3600  # seconds without a word, as while a build installs packages
MIB = 1 << 20
KILLED = 128 + signal.SIGKILL


@dataclass(frozen=True, kw_only=True)
class InImage:
    """An image that is here, holds this checkout's code, and was seen to start; and what its containers get."""

    reference: str
    """What the engine finds it by: ``name@sha256:...`` or its id."""
    image_digest: str
    source: str
    """What decides its content: its digest, or for an image that was built the sha256 of all it was built from."""
    gpu: str | None
    """The UUID of the card that its containers get, the first where a stage has several; None for none."""
    memory_bytes: int | None
    processes: int = 1
    cards: int = 1

    def of(self, processes: int, cards: int) -> "InImage":
        """The same for a stage in so many processes, which share so many cards."""
        return replace(self, processes=processes, cards=cards)

    def call(
        self,
        stage: str,
        arguments: Sequence[str | Path],
        *,
        reads: Iterable[Path] = (),
        writes: Iterable[Path] = (),
        say: Say,
        log: Path,
    ) -> None:
        """Run a stage in a container, as ``place.Place`` says.

        The container has no network, no token, and no file of this machine but ``reads`` and ``writes``. It ends with
        this process, however that ends.
        """
        mounts = [*_mounts(reads, read_only=True), *_mounts(writes, read_only=False)]
        with _engine() as engine, _lifeline(log.with_suffix(".lifeline")) as lifeline, log.open("ab") as errors:
            clear(engine, log.parent)
            rights = _rights(engine, self, {**child.STAGE, child.LIFELINE: str(lifeline)})
            options = {**rights, "labels": {LABEL: str(log.parent)}, "mounts": mounts}
            command = ["python", "-m", *launched.command(self.processes, stage, *map(str, arguments))]
            with _container(engine, self, command, options) as (container, output):
                try:
                    message = child.listen(_lines(output, errors), say)
                except (KeyboardInterrupt, SystemExit):
                    _end_soon(container, say)
                    raise
                code = container.wait()["StatusCode"]
                container.reload()
                out_of_memory = container.attrs["State"]["OOMKilled"]
        if code == KILLED:
            raise PreflightError(_killed(stage, self, out_of_memory=out_of_memory))
        child.end(stage, code, message, log)


@dataclass(frozen=True, kw_only=True)
class Mounted:
    """What a program of somebody else's image sees of this machine."""

    reads: tuple[Path, ...]
    writes: Path
    starts_in: Path


def run(command: Sequence[str], wanted: Container, mounted: Mounted, say: Say, log: Path) -> int:
    """Run a program of somebody else's image with the rights of a stage; its exit status. What it says is logged."""
    found = _gpu_for_image(wanted)
    if found.problem:
        raise PreflightError(found.problem)
    with _engine() as engine, _lifeline(log.with_suffix(".lifeline")) as lifeline, log.open("ab") as said:
        image = _named(engine, wanted, found.gpu, say)
        clear(engine, mounted.writes)
        mounts = [*_mounts(mounted.reads, read_only=True), *_mounts([mounted.writes], read_only=False)]
        options = {
            **_rights(engine, image, {}),
            "labels": {LABEL: str(mounted.writes)},
            "mounts": mounts,
            "working_dir": str(mounted.starts_in),
            "entrypoint": [command[0]],  # what was shown is what runs, whatever the image would begin with
        }
        with _container(engine, image, command[1:], options, watched=lifeline) as (container, output):
            for out, err in output:
                said.write((out or b"") + (err or b""))
                said.flush()
            return int(container.wait()["StatusCode"])


def clear(engine: "DockerClient", folder: Path) -> None:
    """Take away what a run in this folder left that was killed before it could."""
    for left in engine.containers.list(all=True, filters={"label": f"{LABEL}={folder}"}, sparse=True):
        _take_away(left)


def _take_away(container: "Running") -> None:
    """Remove a container that somebody else may be removing: it is gone when this returns."""
    from docker.errors import APIError, NotFound

    with contextlib.suppress(NotFound):
        try:
            container.remove(force=True)
        except APIError as error:
            if error.status_code != HTTPStatus.CONFLICT:
                raise
            container.wait(condition="removed")


@contextlib.contextmanager
def _watched(lifeline: Path, container: str) -> Iterator[None]:
    """A block beside which another process waits: it ends the container if this one dies, which no stage in it sees."""
    engine = kept.to_reach_an_engine() | {name: os.environ[name] for name in ("PYTHONPATH",) if name in os.environ}
    command = [sys.executable, "-P", "-m", __name__, str(lifeline), container]
    with subprocess.Popen(command, env={**child.inherited(), **engine}, start_new_session=True) as watching:
        try:
            yield
        finally:
            watching.kill()


def _end(lifeline: Path, container: str) -> None:
    """Wait until the process that started a container has ended, which frees its lock, and take the container away."""
    from docker.errors import NotFound

    with contextlib.suppress(FileNotFoundError), lifeline.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
    with _engine() as engine, contextlib.suppress(NotFound):
        _take_away(engine.containers.get(container))


def absent() -> str:
    """Why no engine can be used here; empty where one answers. Takes no time where there is none."""
    address = _address()
    if not address.startswith("unix://"):
        return f"the Docker engine at {address} may be another machine, which has none of these files"
    if not Path(address.removeprefix("unix://")).exists():
        return f"there is no Docker engine at {address.removeprefix('unix://')}"
    try:
        with _engine(PATIENCE):
            return ""
    except Stop as stop:
        return str(stop)


def used(wanted: Container) -> bool:
    """Whether a run with this configuration is in a container, its own or one it was started in."""
    return environment.image_digest() is not None or (wanted.use != "never" and not absent())


def find_gpu(wanted: Container) -> machine.Found:
    """The one card that stages with this configuration get, in an image or on this machine itself."""
    if wanted.gpus == "auto" or environment.image_digest() is not None or not used(wanted):
        return machine.find_gpu()
    return _gpu_for_image(wanted)


def _gpu_for_image(wanted: Container) -> machine.Found:
    if wanted.gpus == "none":
        return machine.Found(gpu=None, says="container.gpus is none, so a CPU run")
    found = machine.find_gpu()
    if wanted.gpus == "all" and found.gpu is None and not found.problem:
        missing = (
            f"container.gpus is all, but there is no card to use: {found.says}. Set container.gpus: auto or none, let "
            f"{machine.VISIBLE} name a card, or install the card's driver so that `nvidia-smi` shows it."
        )
        return replace(found, problem=missing)
    return found


def memory(wanted: Container) -> int | None:
    """Bytes of the host's memory that the container of a stage may take; None without a limit or a container."""
    limit = _limit(wanted)
    return limit if limit is not None and environment.image_digest() is None and used(wanted) else None


def problems(wanted: Container) -> list[str]:
    """What keeps a container that is required from being used."""
    if wanted.use != "require" or environment.image_digest() is not None or not (reason := absent()):
        return []
    return [f"container.use is require, but no container can be used: {reason}"]


def find(wanted: Container, say: Say) -> InImage | None:
    """The image to train and answer in, fetched or built if it is not here; None where that is this machine itself.

    Once an engine has answered, whatever goes wrong is a ``Stop``: nothing falls back to the machine silently.
    """
    if wanted.use == "never" or environment.image_digest() is not None:
        return None
    if reason := absent():
        if wanted.use == "require":
            raise PreflightError("\n".join(problems(wanted)))
        say(Line(text=f"  none: {reason}. Training and answering run on this machine itself"))
        return None
    found = _gpu_for_image(wanted)
    if found.problem:
        raise PreflightError(found.problem)
    with _engine() as engine:
        image = (_named if wanted.image else _built)(engine, wanted, found.gpu, say)
        _look_inside(engine, image)
        say(Line(text=f"  {image.reference}"))
        return image


def _killed(stage: str, image: InImage, *, out_of_memory: bool) -> str:
    if not out_of_memory:
        return f"The container of {stage} was killed from outside (exit status {KILLED}). {KEPT}"
    limit = f" of {image.memory_bytes / MIB:,.0f} MiB (container.memory_gib)" if image.memory_bytes else ""
    return (
        f"The kernel killed {stage} (exit status {KILLED}): it needed more than the memory{limit} it may use. "
        f"{LESS_MEMORY}"
    )


def _address() -> str:
    return os.environ.get("DOCKER_HOST") or SOCKET


@contextlib.contextmanager
def _engine(wait: int = WAIT) -> Iterator["DockerClient"]:
    """A client of this machine's engine; every error of it becomes a ``Stop`` that says what to do."""
    import docker
    import requests
    import urllib3

    try:
        engine = docker.from_env(timeout=wait)
        try:
            yield engine
        finally:
            engine.close()
    except (
        docker.errors.DockerException,
        requests.exceptions.RequestException,
        urllib3.exceptions.HTTPError,
        ConnectionError,
    ) as error:
        raise explained(str(error), _address()) from None


def _rights(engine: "DockerClient", image: InImage, more: Mapping[str, str]) -> dict[str, object]:
    """What every container gets, and nothing more: the caller's own user, so that the files are the caller's."""
    from docker.types import DeviceRequest

    rootless = any("rootless" in option for option in engine.info().get("SecurityOptions", ()))
    gpu = image.gpu if image.cards else None
    cards = machine.cards(image.cards) if image.cards > 1 and gpu else machine.only(gpu)
    device_ids = cards[machine.VISIBLE].split(",")
    fixed = {"HOME": "/tmp", "HF_HOME": "/tmp/hf", **child.OFFLINE}  # noqa: S108  the container's own tmpfs
    return {
        "network_mode": "none",
        "read_only": True,
        "tmpfs": {"/tmp": "size=1g,mode=1777"},  # noqa: S108  the same
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges"],
        "pids_limit": 4096,  # threads of torch on a large machine, far from a fork bomb
        "user": "0:0" if rootless else f"{os.getuid()}:{os.getgid()}",  # rootless: its root is the caller
        "cpuset_cpus": ",".join(map(str, sorted(os.sched_getaffinity(0)))),
        "mem_limit": image.memory_bytes,
        # NCCL passes tensors between cards through it, and Docker's 64 MB end that (NVIDIA/nccl, issue 342)
        "shm_size": f"{image.cards}g" if gpu and image.cards > 1 else None,
        "device_requests": [DeviceRequest(device_ids=device_ids, capabilities=[["gpu"]])] if gpu else [],
        # A UUID is right inside too; an index would not be, for there the card is the first, whichever it is here.
        "environment": {
            **child.ENVIRONMENT,
            **fixed,
            **cards,
            environment.IMAGE: image.image_digest,
            **more,
        },
    }


def _mounts(paths: Iterable[Path], *, read_only: bool) -> list["Mount"]:
    from docker.types import Mount

    return [Mount(str(path), str(path), type="bind", read_only=read_only) for path in paths]


@contextlib.contextmanager
def _container(
    engine: "DockerClient",
    image: InImage,
    command: Sequence[str],
    options: Mapping[str, object],
    *,
    watched: Path | None = None,
) -> Iterator[tuple["Running", Iterator[tuple[bytes | None, bytes | None]]]]:
    """A started container and its output; taken away when the block ends, by Ctrl-C and SIGTERM too.

    ``watched`` is the lifeline of one in which nobody of ours looks for its parent.
    """
    from docker.errors import DockerException

    with _ended_by_sigterm():
        container = engine.containers.create(image.reference, command, **options)
        try:
            # Attached before it starts, so that nothing it says is missed.
            attached = contextlib.closing(container.attach(stream=True, demux=True))
            watching = _watched(watched, str(container.id)) if watched else contextlib.nullcontext()
            with attached as output, watching:
                container.start()
                yield container, output
        finally:
            with contextlib.suppress(DockerException, OSError):  # an engine that went away has its own message
                _take_away(container)


def _end_soon(container: "Running", say: Say) -> None:
    """End a stage by SIGTERM: one that keeps something first says so last, and has a moment for it."""
    container.stop(timeout=int(child.NOTICE))
    with contextlib.suppress(RuntimeError):  # a line that the end cut
        child.listen(container.logs(stderr=False, tail=1).splitlines(), say)


@contextlib.contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """SIGTERM ends this process through its finally blocks, where nothing else says how it ends."""
    elsewhere = threading.current_thread() is not threading.main_thread()
    if elsewhere or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextlib.contextmanager
def _lifeline(path: Path) -> Iterator[Path]:
    """A file that is locked while this process lives; whoever is in the container waits for it to let go."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield path
    path.unlink(missing_ok=True)


def _lines(output: Iterable[tuple[bytes | None, bytes | None]], errors: BinaryIO) -> Iterator[bytes]:
    """The lines of standard output; standard error goes to the log."""
    rest = b""
    for out, err in output:
        if err:
            errors.write(err)
            errors.flush()
        *whole, rest = (rest + (out or b"")).split(b"\n")
        yield from whole
        if len(rest) > child.LONGEST:
            break  # `listen` refuses it
    if rest:
        yield rest


def _look_inside(engine: "DockerClient", image: InImage) -> None:
    """Start the image once as it will be used: what cannot start, see its GPU, or is other code, stops here."""
    command = ["python", "-m", look.__name__, *(["--gpu"] if image.gpu else [])]
    errors = io.BytesIO()
    with _container(engine, image, command, _rights(engine, image, {})) as (container, output):
        lines = list(_lines(output, errors))
        code = container.wait()["StatusCode"]
    if code:
        said = errors.getvalue().decode(errors="replace")[-2000:]
        raise PreflightError(f"{image.reference} is no image of this project: it ended with {code} and said:\n{said}")
    found = json.loads(lines[-1])
    if found["code_sha256"] != environment.code_sha256():
        raise PreflightError(
            f"{image.reference} holds other code (sha256 {found['code_sha256']}) than this checkout "
            f"({environment.code_sha256()}): its adapter would not be the one recorded. Check out the commit that the "
            "image was built from (`docker image inspect`, label org.opencontainers.image.revision), or set "
            "container.image to null to build it anew."
        )
    if found["cuda"] is False:
        raise PreflightError(
            f"A GPU is asked for, but torch in {image.reference} sees none: training would silently take the "
            "processor. Use an image built with LOCK=gpu, check `docker run --gpus "
            f"device={image.gpu} ... nvidia-smi`, or set container.gpus: none."
        )


def _image(wanted: Container, gpu: machine.Gpu | None, reference: str, digest: str, source: str) -> InImage:
    limit, uuid = _limit(wanted), gpu.uuid if gpu else None
    return InImage(reference=reference, image_digest=digest, source=source, gpu=uuid, memory_bytes=limit)


def _limit(wanted: Container) -> int | None:
    return None if wanted.memory_gib is None else int(wanted.memory_gib * 1024 * MIB)


def _named(engine: "DockerClient", wanted: Container, gpu: machine.Gpu | None, say: Say) -> InImage:
    """The image of this digest, from this machine or its registry; the engine checks the digest of what it fetches."""
    from docker.errors import ImageNotFound

    assert wanted.image is not None
    digest = wanted.image.rpartition("@")[2]
    try:
        engine.images.get(wanted.image)
    except ImageNotFound:
        if wanted.image == digest:
            raise
        say(Line(text=f"  fetching {wanted.image}"))
        for event in engine.api.pull(wanted.image, stream=True, decode=True):
            if "error" in event:
                raise explained(event["error"], _address()) from None
    return _image(wanted, gpu, wanted.image, digest, digest)


def _built(engine: "DockerClient", wanted: Container, gpu: machine.Gpu | None, say: Say) -> InImage:
    """The image of this checkout's Dockerfile, code and locks; one that was built from the same is not built again."""
    from docker.errors import ImageNotFound

    context, arguments, wheels = image_source.context(), image_source.arguments(), None
    if gpu is None:
        wheels, more = image_source.cpu_torch()
        arguments |= more
    source = hashlib.sha256(context + json.dumps(arguments, sort_keys=True).encode()).hexdigest()
    tag = f"adapter-release:{source[:16]}"
    try:
        image = engine.images.get(tag)
    except ImageNotFound:
        about = environment.source()
        commit = f"{about.commit or 'unknown'}{'-dirty' if about.dirty else ''}"
        labels = {"SOURCE_COMMIT": commit, "LOCKS_SHA256": about.locks_sha256}
        _build(engine, tag, context, arguments | labels, wheels, say)
        image = engine.images.get(tag)
    return _image(wanted, gpu, image.id, image.id, f"sha256:{source}")


def _build(
    engine: "DockerClient", tag: str, context: bytes, arguments: Mapping[str, str], wheels: Path | None, say: Say
) -> None:
    """Build by the engine itself (its classic builder), which needs nothing beside it."""
    with image_source.served(wheels) as more:
        said: list[str] = []
        for event in engine.api.build(
            fileobj=io.BytesIO(context),
            custom_context=True,
            tag=tag,
            buildargs={**arguments, **more},
            network_mode="host" if more else None,  # where this machine's loopback is
            rm=True,
            forcerm=True,
            decode=True,
            timeout=WAIT,
        ):
            text = event.get("stream", "") or event.get("error", "")
            said += [text.strip()] if text.strip() else []
            if "error" in event:
                raise explained("\n".join(said[-30:]), _address())
            if step := re.match(r"Step (\d+)/(\d+)", text):
                say(Progress(name="building the image", done=int(step[1]) - 1, total=int(step[2])))


if __name__ == "__main__":
    _end(Path(sys.argv[1]), sys.argv[2])
