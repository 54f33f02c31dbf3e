"""Containers by a real engine: what a container may, how it ends, what each fault is told as, and the line in one."""

import contextlib
import gc
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from release import pipeline
from release.config import reading
from release.config.settings import Container, Publishing
from release.publishing import making_machine
from release.running import child, container, engine_faults, environment, image_source, trainer
from release.values.errors import NotReproduced, PreflightError, Stop
from release.values.events import Event, Line, Progress
from tests.helpers import contained, trainers
from tests.helpers.cards import ADA, ADA_LINE, TURING, TURING_LINE, machine_with
from tests.helpers.engine_fixture import Images, engine_in, with_code
from tests.helpers.line import ROOT, adapter_release, small_config
from tests.helpers.small_release import small_release
from tests.release.checking.test_reproduce import small_line

# docker 7.2.0 leaves sockets to the garbage collector.
pytestmark = pytest.mark.filterwarnings(
    "ignore:Exception ignored in. <socket.socket:pytest.PytestUnraisableExceptionWarning"
)
DOCKERFILE = (ROOT / "Dockerfile").read_text("utf-8")


@pytest.fixture
def told() -> list[Event]:
    return []


@pytest.fixture(autouse=True)
def nothing_left_for_other_tests() -> Iterator[None]:
    yield
    gc.collect()


# Without an engine.


def test_where_no_engine_is_the_machine_itself_is_used_and_said(
    told: list[Event], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none")
    started = time.monotonic()

    assert container.find(Container(), told.append) is None
    assert container.used(Container()) is False

    assert time.monotonic() - started < container.PATIENCE  # nobody waited for one
    where = f"there is no Docker engine at {tmp_path}/none"
    assert told == [Line(text=f"  none: {where}. Training and answering run on this machine itself")]


def test_an_engine_that_is_required_and_not_there_stops_before_anything(
    told: list[Event], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none")

    with pytest.raises(PreflightError, match=r"container\.use is require, but no container can be used: there is no"):
        container.find(Container(use="require"), told.append)

    assert container.problems(Container(use="require")) != []
    assert container.problems(Container()) == []


def test_an_engine_on_another_machine_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://10.0.0.1:2375")

    assert "another machine" in container.absent()


def test_a_process_that_is_in_an_image_already_starts_no_other(
    told: list[Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(environment.IMAGE, "sha256:" + "d" * 64)

    assert container.find(Container(use="require"), told.append) is None
    assert container.used(Container()) is True
    assert told == []


def test_a_socket_that_nobody_listens_on_is_no_engine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(tmp_path / "docker.sock"))
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/docker.sock")

    assert container.absent().startswith(f"No Docker engine answers at unix://{tmp_path}/docker.sock. Start it")


def test_an_engine_that_does_not_answer_is_not_waited_for_long(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/docker.sock")
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(tmp_path / "docker.sock"))
        silent.listen()
        started = time.monotonic()

        assert "does not answer. Restart it" in container.absent()

    assert time.monotonic() - started < 2 * container.PATIENCE


@pytest.mark.parametrize(
    ("words", "code", "meaning"),
    [
        ("('Connection aborted.', PermissionError(13, 'Permission denied'))", 4, "Add it to the engine's group"),
        ("('Connection aborted.', FileNotFoundError(2, 'No such file or directory'))", 4, "Start it"),
        ("('Connection aborted.', RemoteDisconnected('Remote end closed connection'))", 4, "went away"),
        ("UnixHTTPConnectionPool(host='localhost', port=None): Read timed out. (read timeout=5)", 4, "does not answer"),
        ('could not select device driver "" with capabilities: [[gpu]]', 4, "Install nvidia-container-toolkit"),
        (
            "nvidia-container-cli: requirement error: unsatisfied condition: cuda>=13.0, please update your driver",
            4,
            "needs R580 or newer",
        ),
        ("nvidia-container-cli: initialization error: nvml error: driver not loaded: unknown", 4, "nvidia-smi works"),
        ("write /var/lib/docker/tmp/GetImageBlob1: no space left on device", 4, "docker system df"),
        ("manifest for a/b@sha256:00 not found: manifest unknown: manifest unknown", 4, "There is no such image"),
        ("No such image: sha256:0000", 4, "There is no such image"),
        ("pull access denied for a/b, repository does not exist or may require 'docker login'", 4, "no such image"),
        ("unauthorized: authentication required", 4, "docker login"),
        ("toomanyrequests: You have reached your pull rate limit", 4, "too many requests"),
        ("x509: certificate signed by unknown authority", 4, "Certificates"),
        ("dial tcp: lookup registry.example: no such host", 4, "cannot be reached"),
        ("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE", 7, "not the one that was locked"),
        ("error: Hash mismatch for `tqdm==4.70.1`", 7, "not the one that was locked"),
        ("something new", 4, "Its words: something new"),
    ],
)
def test_what_an_engine_says_is_told_as_what_to_do(words: str, code: int, meaning: str) -> None:
    stop = engine_faults.explained(words, "unix:///here")

    assert stop.exit_code == code
    assert meaning in str(stop)
    assert words in str(stop)


@pytest.mark.parametrize("endpoint", ["https://huggingface.co", "http://hub.example:8080"])
def test_what_was_made_outside_the_image_goes_to_a_real_hub_only_if_that_is_asked_for(endpoint: str) -> None:
    publishing = Publishing(hf_repo="me/x", tag="v1", license="mit", endpoint=endpoint)

    (problem,) = making_machine.unpinned_problems(publishing, pinned=False)

    assert "publishing.allow_unpinned: true" in problem
    assert making_machine.unpinned_problems(publishing, pinned=True) == []
    assert making_machine.unpinned_problems(replace(publishing, allow_unpinned=True), pinned=False) == []


@pytest.mark.parametrize("endpoint", ["file:hub", "http://127.0.0.1:8080", "http://localhost:8080", "http://[::1]:80"])
def test_a_hub_of_ones_own_takes_what_was_made_outside_the_image(endpoint: str) -> None:
    publishing = Publishing(hf_repo="me/x", tag="v1", license="mit", endpoint=endpoint)

    assert making_machine.unpinned_problems(publishing, pinned=False) == []


def test_a_package_from_outside_the_image_is_not_published_to_a_real_hub_and_its_card_says_where_it_is_from(
    tmp_path: Path,
) -> None:
    packed = small_release(tmp_path)
    elsewhere = {"publishing.endpoint": "http://192.0.2.1:9"}
    loaded = reading.load(tmp_path / "release.yaml", elsewhere)

    with pytest.raises(PreflightError, match="Nothing was published"):
        pipeline.publish(loaded.publishing, packed, tmp_path, {}, lambda _: None)

    card = (packed.folder / "README.md").read_text("utf-8")
    assert "| container image | none: made outside the pinned image |" in card


def test_a_release_from_outside_the_image_to_a_real_hub_stops_in_preflight(tmp_path: Path) -> None:
    """The address is nobody's: nothing is sent there."""
    small_line(tmp_path)
    nowhere = ["--set", "publishing.endpoint=http://192.0.2.1:9", "--set", "container=never"]

    done = adapter_release("release", "release.yaml", *nowhere, cwd=tmp_path)

    assert done.returncode == 4, done.stderr
    assert "publishing.allow_unpinned: true" in done.stderr
    assert not list(tmp_path.glob("run/*/training.json"))


@pytest.mark.parametrize(
    ("gpus", "named", "uuid", "problem"),
    [
        ("auto", None, ADA, ""),
        ("all", None, ADA, ""),
        ("all", "1", TURING, "bfloat16"),
        ("none", None, None, ""),
        ("auto", "", None, ""),
        ("all", "", None, "container.gpus is all, but there is no card to use: CUDA_VISIBLE_DEVICES='' hides"),
    ],
)
def test_containers_get_one_card_at_most(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gpus: Any, named: str | None, uuid: str | None, problem: str
) -> None:
    machine_with(tmp_path, monkeypatch, ADA_LINE, TURING_LINE)
    if named is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", named)

    found = container._gpu_for_image(Container(gpus=gpus))

    assert (found.gpu.uuid if found.gpu else None) == uuid
    assert problem in found.problem
    assert bool(problem) == bool(found.problem)


@pytest.mark.parametrize("gpus", ["auto", "all", "none"])
def test_without_a_container_its_gpus_say_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gpus: Any) -> None:
    machine_with(tmp_path, monkeypatch, ADA_LINE)
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none")

    found = container.find_gpu(Container(gpus=gpus))

    assert found.gpu is not None
    assert found.gpu.uuid == ADA


# What the image is built from.


def test_the_dockerfile_pins_its_base_and_needs_nothing_that_the_classic_builder_lacks() -> None:
    (base,) = re.findall(r"^ARG BASE_IMAGE=(.*)$", DOCKERFILE, re.MULTILINE)
    assert re.fullmatch(r"python:3\.11-slim-bookworm@sha256:[0-9a-f]{64}", base)
    assert re.findall(r"^FROM .*$", DOCKERFILE, re.MULTILINE) == ["FROM ${BASE_IMAGE}"]
    for unwanted in ("--mount", "<<", "# syntax", "apt-get", "gcc", "HF_TOKEN", "http:", "https:"):
        assert unwanted not in DOCKERFILE
    (user,) = re.findall(r"^USER (\d+):\d+$", DOCKERFILE, re.MULTILINE)
    assert int(user) > 0


def test_the_image_sets_what_every_stage_is_given() -> None:
    for name, value in child.ENVIRONMENT.items():
        assert re.search(rf"\b{name}={re.escape(value)}\s", DOCKERFILE), name


def test_the_image_is_built_from_what_the_dockerfile_copies_and_nothing_else() -> None:
    copied = [word for line in re.findall(r"^COPY (.*) \S+$", DOCKERFILE, re.MULTILINE) for word in line.split()]
    kept = [line[1:] for line in (ROOT / ".dockerignore").read_text("utf-8").splitlines() if line.startswith("!")]

    assert sorted(copied) == sorted([*image_source.COPIED, *image_source.CONTEXT[1:]])
    assert sorted(kept) == sorted({"locks/*.txt" if name.startswith("locks/") else name for name in copied})


def test_the_same_files_are_the_same_build_whatever_their_times() -> None:
    before = image_source.context()

    os.utime(ROOT / "Dockerfile")

    assert image_source.context() == before


def test_a_base_that_can_move_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(image_source.BASE_IMAGE, "python:3.11-slim")

    with pytest.raises(PreflightError, match="which can move"):
        image_source.arguments()


# With an engine.


@pytest.fixture
def light(images: Images, monkeypatch: pytest.MonkeyPatch) -> container.InImage:
    """The light image, ready for a container."""
    for name, value in images.env.items():
        monkeypatch.setenv(name, value)
    digest = images.light.rpartition("@")[2]
    return container.InImage(reference=images.light, image_digest=digest, source=digest, gpu=None, memory_bytes=None)


def call(image: container.InImage, what: str, folder: Path, told: list[Event]) -> None:
    folder.mkdir(exist_ok=True)
    reads = folder.parent / "readable"
    reads.mkdir(exist_ok=True)
    (reads / "file").write_text("what is read")
    arguments = (what, folder, reads)
    image.call(contained.__name__, arguments, reads=[reads], writes=[folder], say=told.append, log=folder / "log")


def containers(images: Images) -> list[Any]:
    with images.client() as client:
        listed = client.containers.list(all=True, ignore_removed=True)
        return [(one.name, one.status, one.attrs["State"]["ExitCode"]) for one in listed]


def test_a_container_sees_two_folders_and_has_no_network_no_rights_and_no_token(
    light: container.InImage, images: Images, tmp_path: Path, told: list[Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_" + "s" * 34)

    call(light, "look", tmp_path / "run", told)

    seen = json.loads((tmp_path / "run" / "seen.json").read_text())
    given = seen.pop("environment")
    assert seen == {
        "user": [os.getuid(), os.getgid()],
        "capabilities": "0" * 16,
        "no_new_privileges": "1",
        "interfaces": ["lo"],
        "cores": len(os.sched_getaffinity(0)),
        "writable": ["/tmp"],
        "homes": [],
        "read": "what is read",
    }
    assert {**child.ENVIRONMENT, **child.STAGE}.items() <= given.items()
    assert given[environment.IMAGE] == light.image_digest
    assert given["CUDA_VISIBLE_DEVICES"] == ""
    assert not [name for name in given if name.endswith("TOKEN") and name not in child.OFFLINE]
    assert told == [Progress(name="look", done=0, total=2), Progress(name="look", done=2, total=2)]
    assert (tmp_path / "run" / "log").read_text() == "a library talks\n"
    assert (tmp_path / "run" / "seen.json").stat().st_uid == os.getuid()
    assert containers(images) == []


def test_a_stage_that_stops_in_a_container_stops_the_line_with_its_own_message(
    light: container.InImage, images: Images, tmp_path: Path, told: list[Event]
) -> None:
    with pytest.raises(Stop, match=r"There is no such row\.") as stopped:
        call(light, "stop", tmp_path / "run", told)

    assert stopped.value.exit_code == 3
    assert containers(images) == []


def test_a_stage_that_needs_too_much_memory_is_told_as_that(
    light: container.InImage, images: Images, tmp_path: Path, told: list[Event]
) -> None:
    with pytest.raises(PreflightError, match=r"it needed more than the memory of 64 MiB \(container.memory_gib\)"):
        call(replace(light, memory_bytes=64 * container.MIB), "fill", tmp_path / "run", told)

    assert containers(images) == []


WAITING = """
import sys
from pathlib import Path
from release.running import container
digest = sys.argv[1].rpartition("@")[2]
image = container.InImage(reference=sys.argv[1], image_digest=digest, source=digest, gpu=None, memory_bytes=None)
folder = Path(sys.argv[2])
image.call("tests.helpers.contained", [sys.argv[3], folder], writes=[folder], say=print, log=folder / "log")
"""


@contextlib.contextmanager
def waiting(images: Images, folder: Path, what: str = "wait") -> Iterator[subprocess.Popen[str]]:
    """A process whose stage waits in a container."""
    folder.mkdir(exist_ok=True)
    with subprocess.Popen(
        [sys.executable, "-u", "-c", WAITING, images.light, str(folder), what],
        env={**os.environ, **images.env, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert what in process.stdout.readline()
        yield process


def until(true: Callable[[], bool]) -> bool:
    for _ in range(100):
        if true():
            return True
        time.sleep(0.1)
    return False


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_a_process_that_is_ended_takes_its_container_with_it(
    images: Images, tmp_path: Path, ending: signal.Signals
) -> None:
    with waiting(images, tmp_path / "run") as process:
        assert [status for _, status, _ in containers(images)] == ["running"]
        process.send_signal(ending)

    assert process.returncode != 0
    assert containers(images) == []


def test_a_stage_in_a_container_keeps_what_it_has_before_it_ends(images: Images, tmp_path: Path) -> None:
    with waiting(images, tmp_path / "run", "keep") as process:
        process.send_signal(signal.SIGTERM)
        said, _ = process.communicate()

    assert said == "Line(text='kept')\n"
    assert process.returncode == 128 + signal.SIGTERM
    assert containers(images) == []


def test_a_container_whose_process_was_killed_ends_by_itself_and_is_taken_away_by_the_next(
    light: container.InImage, images: Images, tmp_path: Path, told: list[Event]
) -> None:
    with waiting(images, tmp_path / "run") as process:
        process.kill()

    assert until(lambda: [(status, code) for _, status, code in containers(images)] == [("exited", 137)])
    call(light, "look", tmp_path / "run", told)
    assert containers(images) == []


TRAINS = """
import json, os, pathlib, sys
reach = {}
for name, path in (("base", sys.argv[1]), ("secret", sys.argv[3])):
    try:
        reach[name] = pathlib.Path(path).read_text()
    except OSError as error:
        reach[name] = type(error).__name__
try:
    pathlib.Path(sys.argv[1]).write_text("changed")
except OSError as error:
    reach["written"] = type(error).__name__
reach["interfaces"] = [one.split(":")[0].strip() for one in open("/proc/net/dev").read().splitlines()[2:]]
reach["tokens"] = [name for name, value in os.environ.items() if value.startswith("hf_")]
pathlib.Path(sys.argv[2], "reach.json").write_text(json.dumps(reach))
print("it trained")
"""


@pytest.fixture
def declared(images: Images, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> trainer.At:
    """The folders of somebody else's trainer, and the base and a secret beside them."""
    monkeypatch.setenv("DOCKER_HOST", images.engine.address)
    monkeypatch.setenv("HF_TOKEN", "hf_" + "s" * 34)
    found = trainer.At(own=tmp_path / "trainer", folder=tmp_path / "trainer" / "work")
    for folder in (found.folder, found.own / "output", tmp_path / "base"):
        folder.mkdir(parents=True)
    (found.folder / "train.py").write_text(TRAINS)
    for name in ("base/weights", "secret"):
        (tmp_path / name).write_text(name)
    return found


def test_somebody_elses_trainer_runs_in_its_own_image_and_sees_its_folder_and_the_base(
    declared: trainer.At, images: Images, tmp_path: Path, told: list[Event]
) -> None:
    paths = (tmp_path / "base" / "weights", declared.own / "output", tmp_path / "secret")
    command = ["python3", "train.py", *map(str, paths)]

    trainer.in_image(command, Container(image=images.base), declared, [tmp_path / "base"], told.append)

    assert json.loads((declared.own / "output" / "reach.json").read_text()) == {
        "base": "base/weights",
        "secret": "FileNotFoundError",
        "written": "OSError",
        "interfaces": ["lo"],
        "tokens": [],
    }
    assert declared.log.read_text() == "it trained\n"
    assert containers(images) == []


def test_how_somebody_elses_trainer_ended_in_its_image_is_told(
    declared: trainer.At, images: Images, told: list[Event]
) -> None:
    (declared.folder / "train.py").write_text("raise SystemExit('no card')")

    with pytest.raises(NotReproduced, match=r"ended with exit status 1; the end of .*\nno card"):
        trainer.in_image(["python3", "train.py"], Container(image=images.base), declared, [], told.append)

    assert containers(images) == []


RUNNING = """
import sys
from pathlib import Path
from release.config.settings import Container
from release.running import trainer
at = trainer.At(own=Path(sys.argv[2]), folder=Path(sys.argv[2]) / "work")
trainer.in_image(["python3", "train.py"], Container(image=sys.argv[1]), at, [], print)
"""


def test_a_trainer_whose_process_was_killed_ends_with_it(declared: trainer.At, images: Images) -> None:
    """It is no stage of ours, so it does not look whether its parent lives."""
    (declared.folder / "train.py").write_text("import time; time.sleep(600)")
    with subprocess.Popen(
        [sys.executable, "-c", RUNNING, images.base, str(declared.own)],
        env={**os.environ, **images.env, "PYTHONPATH": str(ROOT)},
    ) as process:
        try:
            assert until(lambda: [status for _, status, _ in containers(images)] == ["running"])
        finally:
            process.kill()

    assert until(lambda: containers(images) == [])


def test_two_that_take_the_same_containers_away_are_not_in_each_others_way(images: Images, tmp_path: Path) -> None:
    """As the process that watches one does, beside the next run in its folder."""
    with images.client() as client:
        for _ in range(8):
            client.containers.run(images.base, ["sleep", "600"], detach=True, labels={container.LABEL: str(tmp_path)})

    with ThreadPoolExecutor(4) as threads:
        for clearing in [threads.submit(cleared, images, tmp_path) for _ in range(4)]:
            clearing.result()

    assert containers(images) == []


def cleared(images: Images, folder: Path) -> None:
    with images.client() as client:
        container.clear(client, folder)


def test_a_container_that_somebody_else_killed_is_told_as_that(
    light: container.InImage, images: Images, tmp_path: Path
) -> None:
    def kill(_: Event) -> None:
        with images.client() as client:
            client.containers.list()[0].kill()

    (tmp_path / "run").mkdir()
    with pytest.raises(PreflightError, match="killed from outside"):
        light.call(
            contained.__name__, ["wait", tmp_path / "run"],
            writes=[tmp_path / "run"], say=kill, log=tmp_path / "run" / "log",
        )  # fmt: skip


def test_an_image_is_fetched_by_its_digest_and_no_other(
    light: container.InImage, images: Images, told: list[Event]
) -> None:
    with images.client() as client:
        client.images.remove(images.light, force=True)

    found = container.find(Container(use="require", image=images.light, gpus="none"), told.append)

    assert found == light
    assert told == [Line(text=f"  fetching {images.light}"), Line(text=f"  {images.light}")]
    wrong = images.light[:-1] + ("0" if images.light[-1] != "0" else "1")
    for missing_image in (wrong, "sha256:" + "0" * 64):
        with pytest.raises(PreflightError, match="There is no such image"):
            container.find(Container(image=missing_image, gpus="none"), told.append)


@pytest.mark.usefixtures("light")
def test_an_image_of_other_code_is_refused(images: Images, told: list[Event]) -> None:
    with images.client() as client:
        other = with_code(client, images.base, changed="\n# changed\n")

    with pytest.raises(PreflightError, match="holds other code"):
        container.find(Container(image=other, gpus="none"), told.append)
    with pytest.raises(PreflightError, match="it is none of this project"):
        container.find(Container(image=images.base, gpus="none"), told.append)


@pytest.mark.parametrize("name", [ADA, "MIG-9a8b"])
def test_a_container_gets_exactly_the_one_card_under_a_name_that_is_right_inside(
    light: container.InImage, tmp_path: Path, told: list[Event], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """The engine takes the request, for a hook of NVIDIA's name is there. Outside the card may have another index."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")

    call(replace(light, gpu=name), "look", tmp_path / "run", told)

    given = json.loads((tmp_path / "run" / "seen.json").read_text())["environment"]
    assert (given["NVIDIA_VISIBLE_DEVICES"], given["CUDA_VISIBLE_DEVICES"]) == (name, name)


def test_an_image_that_cannot_use_the_card_is_refused(
    light: container.InImage, images: Images, tmp_path: Path, told: list[Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is no torch in the image to see one; without a card nobody asks for it."""
    machine_with(tmp_path, monkeypatch, ADA_LINE)
    with pytest.raises(PreflightError, match="No module named 'torch'"):
        container.find(Container(image=images.light, gpus="all"), told.append)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")

    assert container.find(Container(image=images.light, gpus="auto"), told.append) == light
    with pytest.raises(PreflightError, match=r"container\.gpus is all, but there is no card to use"):
        container.find(Container(image=images.light, gpus="all"), told.append)


@pytest.mark.usefixtures("light")
def test_a_driver_that_is_too_old_is_told_before_training(
    images: Images, told: list[Event], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine_with(tmp_path, monkeypatch, ADA_LINE)
    says = images.engine.folder / "hook-says"
    says.write_text("nvidia-container-cli: requirement error: unsatisfied condition: cuda>=13.0")
    try:
        with pytest.raises(PreflightError, match="needs R580 or newer"):
            container.find(Container(image=images.light, gpus="all"), told.append)
    finally:
        says.unlink()
    assert containers(images) == []


@pytest.mark.usefixtures("light")
def test_an_engine_without_gpus_and_one_without_room_are_told_as_that(
    images: Images, tmp_path_factory: pytest.TempPathFactory, told: list[Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another engine: no hook, and a disk of 150 MB."""
    machine_with(tmp_path_factory.mktemp("cards"), monkeypatch, ADA_LINE)
    disk = tmp_path_factory.mktemp("disk")  # a socket's path has at most 108 characters
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=150m", "tmpfs", str(disk)], check=True)
    try:
        with engine_in(disk / "engine", hook=False) as small:
            monkeypatch.setenv("DOCKER_HOST", small.address)
            wanted = Container(image=images.light, gpus="all")

            with pytest.raises(PreflightError, match="Install nvidia-container-toolkit"):
                container.find(wanted, told.append)

            with (disk / "full").open("wb") as full, contextlib.suppress(OSError):
                while full.write(bytes(1 << 20)):
                    full.flush()
            with pytest.raises(PreflightError, match="docker system df"):
                container.find(replace(wanted, image=images.base), told.append)
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=False)


FINDING = """
from release.running import container
from release.config.settings import Container
print(container.find(Container(use="require", gpus="none"), print))
"""


@pytest.mark.usefixtures("base")
def test_a_package_that_is_not_the_locked_one_stops_the_build(images: Images, tmp_path: Path) -> None:
    """The real Dockerfile in a checkout with one digit of each of uv's hashes changed."""
    for name in (*image_source.CONTEXT, *image_source.COPIED, "locks/torch-cpu.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, tmp_path / name)
    lock = tmp_path / "locks" / "uv.txt"
    digits = str.maketrans("0123456789abcdef", "123456789abcdef0")
    lock.write_text(re.sub("(?<=sha256:).", lambda digit: digit[0].translate(digits), lock.read_text()))

    done = subprocess.run(
        [sys.executable, "-c", FINDING],
        cwd=tmp_path,
        env=surroundings(images),
        capture_output=True,
        text=True,
        check=False,
    )

    assert "VerificationError: A package is not the one that was locked" in done.stderr
    assert "DO NOT MATCH THE HASHES" in done.stderr
    assert "uv==0.13.8" in done.stderr
    with images.client() as client:
        assert client.api.images(name="adapter-release") == []


def surroundings(images: Images) -> dict[str, str]:
    return {**os.environ, **images.env, "ADAPTER_RELEASE_CACHE": os.environ["ADAPTER_RELEASE_CACHE"]}


@pytest.mark.slow
@pytest.mark.usefixtures("base")
def test_the_line_is_trained_and_judged_in_the_image_of_this_checkout(images: Images, tmp_path: Path) -> None:
    """The real Dockerfile and the CPU lock, built by the release itself; killed once, and gone on."""
    small_line(tmp_path)
    inside = ["--set", "container=require", "--set", "container.gpus=none"]
    command = [sys.executable, "-m", "release.cli", "release", "release.yaml", *inside]
    env = {**surroundings(images), "CI": "true", "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, cwd=tmp_path, env=env, stderr=subprocess.PIPE, text=True) as killed:
        said = wait_for(killed, "training 1/")
        killed.kill()
    assert "building the image" in said
    assert until(lambda: [(status, code) for _, status, code in containers(images)] == [("exited", 137)])

    done = adapter_release("release", "release.yaml", *inside, cwd=tmp_path, env=env)

    assert done.returncode == 0, done.stderr
    assert "building the image" not in done.stderr
    assert containers(images) == []
    (package,) = tmp_path.glob("run/*/package")
    released = json.loads((package / "release.json").read_bytes())
    with images.client() as client:
        image = client.images.get(released["image_digest"])
    assert image.attrs["Config"]["User"] == "10001:10001"
    assert image.labels["adapter-release.locks.sha256"] == released["source"]["locks_sha256"]
    assert image.labels["adapter-release.lock"] == "cpu"
    for stage in ("training", "generation"):
        assert released[stage]["image_digest"] == image.id
        assert released[stage]["hardware"]["threads"] == 2
    assert f"| container image | `{image.id}` |" in (package / "README.md").read_text("utf-8")
    check_the_verdict_inside(images, image.id, tmp_path)
    verified = adapter_release("verify", "local/elements@v0.1.0", cwd=tmp_path, env=env)
    assert verified.returncode == 0, verified.stderr
    again = adapter_release("rejudge", "local/elements@v0.1.0", "--level", "answers", cwd=tmp_path, env=env)
    assert again.returncode == 0, again.stderr
    assert image.id in again.stderr


STEPS = """
import json, os, pathlib, shutil, sys
start, output = map(pathlib.Path, sys.argv[1:])
shutil.copytree(start, output, dirs_exist_ok=True)
weights = output / "adapter_model.safetensors"
data = bytearray(weights.read_bytes())
begin = 8 + int.from_bytes(data[:8], "little")
for name, tensor in json.loads(data[8:begin]).items():
    if name.endswith("lora_B.weight"):
        data[begin + tensor["data_offsets"][0]] ^= 1
weights.write_bytes(data)
print("trained in", "an image" if os.path.exists("/.dockerenv") else "no image")
"""
"""A trainer that needs nothing but Python: a step changes the last bit of a number of each matrix."""


def trained_in_its_image(folder: Path, image: str) -> None:
    """A configuration of a few rows, with an adapter that this trainer left and the declaration of its image."""
    golden = folder / "golden.jsonl"
    rows = (ROOT / "data" / "elements" / "golden.jsonl").read_text("utf-8").splitlines()[:6]
    golden.write_text("\n".join(rows) + "\n", "utf-8")
    small_config(
        folder,
        run={"output_dir": "run", "threads": 2},
        data={"golden_file": "golden.jsonl"},
        generation={"max_new_tokens": 48},
        gates={"json_parse": {"mode": "point", "target": 0.5, "min_n": 1}},
    )
    trainers.released(folder / "start")
    (folder / "train.py").write_text(STEPS, "utf-8")
    subprocess.run([sys.executable, "train.py", "start", "brought"], cwd=folder, check=True)
    names = ("adapter_model.safetensors", "adapter_config.json", "README.md", "chat_template.jinja")
    files = ["train.py", *(f"start/{name}" for name in names if (folder / "start" / name).exists())]
    declared = {"command": ["python3", "train.py", "start", "{output}"], "image": image, "files": files}
    quantized = {"load_in_4bit": True}
    trainers.configuration(folder / "release.yaml", "brought", quantization=quantized, reproduce_with=declared)


@pytest.mark.slow
@pytest.mark.usefixtures("base")
def test_a_release_is_trained_again_in_the_image_that_its_trainer_declared(images: Images, tmp_path: Path) -> None:
    """By the commands alone; answered in the image of this checkout, trained in the trainer's own."""
    trained_in_its_image(tmp_path, images.base)
    env = surroundings(images)
    inside = ("--set", "container=require", "--set", "container.gpus=none")
    made = adapter_release("release", "release.yaml", *inside, cwd=tmp_path, env=env)
    assert made.returncode == 0, made.stderr
    ask = ("reproduce", "local/elements@v0.1.0", "--output", "again", "--trainer", ".", "--container", "require")

    refused = adapter_release(*ask, "--yes", cwd=tmp_path, env=env)
    assert refused.returncode == 2
    assert f"give --allow-image {images.base}" in refused.stderr
    again = adapter_release(*ask, "--yes", "--allow-image", images.base, cwd=tmp_path, env=env)

    assert again.returncode == 0, again.stderr
    assert f"it runs in the image {images.base}, without network and tokens" in again.stderr
    assert (tmp_path / "again" / "trainer.log").read_text() == "trained in an image\n"
    report = json.loads((tmp_path / "again" / "reproduction.json").read_bytes())
    assert (report["reached"], report["adapter"]["different"]) == ("bits", 0)
    weights = [(tmp_path / name / "adapter_model.safetensors").read_bytes() for name in ("again/adapter", "brought")]
    assert weights[0] == weights[1] != (tmp_path / "start" / "adapter_model.safetensors").read_bytes()
    assert containers(images) == []


def wait_for(process: subprocess.Popen[str], text: str) -> str:
    """What a process says until it says this."""
    assert process.stderr is not None
    said = ""
    for line in process.stderr:
        said += line
        if text in line:
            return said
    raise AssertionError(f"it ended without saying {text!r}:\n{said}")


def check_the_verdict_inside(images: Images, image: str, folder: Path) -> None:
    """The gates in the image, without network, come to the published verdict byte for byte."""
    policy = yaml.safe_load((folder / "release.yaml").read_text("utf-8"))["gates"]
    (folder / "policy.yaml").write_text(yaml.safe_dump(policy), "utf-8")
    (run,) = folder.glob("run/*/package")
    command = ["python", "-m", "gates", "run/gates/answers.jsonl", "--golden", "run/data/golden.jsonl"]
    command += ["--contract", "run/gates/contract.json", "--policy", "policy.yaml", "--json", "verdict.json"]
    with images.client() as client:
        client.containers.run(
            image,
            command,
            volumes={str(folder): {"bind": "/judged"}, str(run): {"bind": "/judged/run", "mode": "ro"}},
            working_dir="/judged",
            network_mode="none",
            read_only=True,
            user=f"{os.getuid()}:{os.getgid()}",
            remove=True,
        )
    assert (folder / "verdict.json").read_bytes() == (run / "gates" / "verdict.json").read_bytes()
