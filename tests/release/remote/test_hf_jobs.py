"""A candidate made as a job of Hugging Face Jobs: the real client and real HTTP, before a service on loopback."""

import io
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from secrets import token_hex

import pytest

from gates.canonical import canonical_json
from release.hub import jobs
from release.hub.session import Refused
from release.models import base as bases
from release.models.exports import making
from release.remote import hf_jobs, home, hub_there, mounted, parcel, systems, there
from release.remote import line as lines
from release.values import layout
from release.values.errors import GatesFailed, HubError, PreflightError, Stop, VerificationError
from tests.helpers import jobs_service, lent
from tests.helpers.jobs_service import TOKEN, Run, Service
from tests.helpers.lent import wait_until

ON = "hf-jobs:cpu-basic"
LENT = hf_jobs.Lent(flavor="l4x1", namespace="me", seconds=60, image="i", python="p")
REFUSED = """
import os, sys, time
print("at work", file=sys.stderr, flush=True)
while not os.path.exists("GO"): time.sleep(0.1)
os.mkdir("dist")
open("dist/report.md", "w").write("no")
sys.stderr.write("error: a gate failed\\n")
sys.exit(5)
"""
WAITS = """
import sys, time
for seconds in (4, 600):
    print("at work", seconds, file=sys.stderr, flush=True)
    time.sleep(seconds)
"""


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    with jobs_service.serve(tmp_path / "service") as one:
        yield one


@pytest.fixture
def line(tmp_path: Path) -> Path:
    return lent.project(tmp_path / "a $line, 50%j ~")


def known(line: Path) -> str:
    """A job of a name that the test knows, which ended and was told; that name, of no other test's folder."""
    (line / "run").mkdir(exist_ok=True)
    name = token_hex(8)
    told = {"on": ON, "job": name, "inputs": "", "told": True}
    (line / "run" / "elsewhere.json").write_bytes(canonical_json(told))
    return name


def bucket_of(name: str) -> str:
    return f"me/adapter-release-{name}"


@pytest.mark.slow
def test_a_job_that_is_killed_goes_on_at_what_its_bucket_keeps_and_the_candidate_comes_home(
    service: Service, line: Path, base: bases.Base
) -> None:
    name = known(line)
    folder = line.parent / "there"
    lent.sent_to(folder, line)
    (folder / "work" / "golden.jsonl").write_bytes((line / "golden.jsonl").read_bytes())
    lent.trained_and_answered(folder / "work", base)
    service.bucket(bucket_of(name)).mkdir(parents=True)
    mounted.keep(service.bucket(bucket_of(name)), folder, 0)
    machine = service.machine()

    killed = machine.start(line, "preflight")
    service.runs[-1].kill()
    _, said = killed.communicate()
    assert killed.returncode == 4, said
    assert "is gone without an exit status" in said

    done = machine.run(line)
    assert done.returncode == 0, done.stderr
    assert f"{line / 'dist'} holds the candidate, manifest" in done.stderr
    assert f"checked as `publish` checks it. Nothing is left on {ON}" in done.stderr
    assert not service.bucket(bucket_of(name)).exists()
    assert not (line / "run" / "elsewhere.json").exists()
    assert len((line / "run" / "ledger.jsonl").read_text("utf-8").splitlines()) == 1


def test_a_job_is_given_its_bucket_and_nothing_else_and_an_interrupted_one_is_taken_away_by_end(
    service: Service, line: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = known(line)
    service.program = WAITS
    machine = service.machine()
    short = {"ADAPTER_RELEASE_HUB_TIMEOUT": "3"}  # seconds in which a Hub is to have answered: of a job's log it is not
    process = replace(machine, env={**machine.env, **short}).start(line, "at work 600")
    bucket = service.bucket(bucket_of(name))
    (run,) = service.runs
    volume = {"type": "bucket", "source": bucket_of(name), "mountPath": hub_there.MOUNT, "readOnly": False}
    assert run.spec["volumes"] == [volume]
    assert run.spec["environment"] == {}
    assert "secrets" not in run.spec
    assert (run.spec["timeoutSeconds"], run.spec["attempts"], run.spec["flavor"]) == (hf_jobs.DAY, 1, "cpu-basic")
    assert "@sha256:" in run.spec["dockerImage"]
    assert all(TOKEN.encode() not in path.read_bytes() for path in bucket.iterdir())
    assert all(TOKEN not in word for word in run.spec["command"])

    process.send_signal(signal.SIGINT)
    _, said = process.communicate()
    assert process.returncode == 130, said
    assert f"ending job {name} on {ON}" in said
    assert run.stage != "RUNNING"
    assert bucket.exists()

    assert any(mounted.KEPT.fullmatch(path.name) for path in bucket.iterdir())
    machine.make(line, monkeypatch, end=True)
    assert not bucket.exists()
    assert not (line / "run" / "elsewhere.json").exists()
    assert service.heard.count("GET /api/whoami-v2") == 1


@pytest.mark.parametrize("harm", ["a bucket that cannot be reached", "a bucket of too many files"])
def test_a_job_is_cancelled_whatever_else_cannot_be_done(
    service: Service, line: Path, harm: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = service.bucket(bucket_of(known(line)))
    service.program = WAITS
    machine = service.machine()
    process = machine.start(line, "at work 4")
    if harm == "a bucket that cannot be reached":
        service.broken = "/buckets/"
    else:
        for number in range(jobs.MEMBERS + 1):
            (bucket / str(number)).touch()
    process.send_signal(signal.SIGINT)
    _, said = process.communicate()

    assert process.returncode == 130, said
    assert service.runs[-1].stage != "RUNNING"
    service.broken = "$."
    machine.make(line, monkeypatch, end=True)
    assert not bucket.exists()


def test_a_job_that_no_list_has_is_not_started_twice_and_ended_with_all_of_its_name(
    service: Service, line: Path
) -> None:
    known(line)
    service.program, service.unlisted = WAITS, 3600
    machine = service.machine()
    first = machine.start(line, "at work 4")
    first.kill()
    first.communicate()

    second = machine.start(line, "attached to job")
    (run,) = service.runs
    sleeps = subprocess.Popen(["sleep", "600"], start_new_session=True)
    of_before = Run(id="0" * 24, spec=run.spec, log=run.log, created=datetime(2026, 1, 1, tzinfo=UTC), process=sleeps)
    service.runs.append(of_before)
    second.send_signal(signal.SIGINT)
    second.communicate()

    assert second.returncode == 130
    assert run.stage != "RUNNING"
    assert of_before.stage == "CANCELED"


def test_a_wish_for_the_end_that_does_not_arrive_is_given_up(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    where = jobs.Place(namespace="me", job="0" * 16)
    asked = hub_there.Job(lent=LENT, folder=f"/tmp/{where.job}", where=where)
    monkeypatch.setenv("HF_ENDPOINT", service.endpoint)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert hub_there._wished(asked)
    assert (service.bucket(where.bucket) / mounted.END).exists()

    service.stuck = True
    monkeypatch.setattr(hub_there, "WISHED", 3.0)
    assert not hub_there._wished(asked)
    service.stuck = False


def test_a_line_that_is_cut_ends_nothing_and_the_same_command_brings_home_what_was_refused(
    service: Service, line: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = known(line)
    service.program = REFUSED
    machine = service.machine()
    process = machine.start(line, "at work")
    ends_the_line(process.pid)
    _, said = process.communicate()
    assert process.returncode == 4, said
    assert f"The line to {ON} was cut" in said
    (run,) = service.runs
    assert run.stage == "RUNNING"

    (Path(run.spec["command"][4]) / "work" / "GO").touch()
    wait_until(lambda: run.stage == "ERROR", "it does not end")
    with pytest.raises(GatesFailed, match="a gate failed"):
        machine.make(line, monkeypatch)

    assert (line / "dist" / "refused" / "report.md").exists() or (line / "dist" / "report.md").read_text(
        "utf-8"
    ) == "no"
    assert len(service.runs) == 1
    assert service.bucket(bucket_of(name)).exists()  # the adapter: with another policy nothing is trained again


def ends_the_line(command: int) -> None:
    """Kill the client that a command has started to follow its job."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(stat.read_text("utf-8").rpartition(")")[2].split()[1])
            words = (stat.parent / "cmdline").read_bytes()
        except OSError:
            continue
        if parent == command and hf_jobs.LINE.encode() in words:
            os.kill(int(stat.parent.name), signal.SIGKILL)


def test_a_job_that_waits_for_a_machine_says_so_and_is_cancelled(service: Service, line: Path) -> None:
    service.holds = True
    process = service.machine("hf-jobs:me/a10g-small@90m").start(line, "the job waits: scheduling")
    process.send_signal(signal.SIGTERM)
    began = time.monotonic()
    process.communicate()

    assert process.returncode == 143
    assert time.monotonic() - began < there.NOTICE
    (run,) = service.runs
    assert run.stage == "CANCELED"
    assert run.spec["timeoutSeconds"] == 90 * 60


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"HF_TOKEN": ""}, "HF_TOKEN is not set, and Hugging Face Jobs is asked with it. Nothing was sent"),
        ({"HF_TOKEN": "hf_" + "x" * 34}, "cannot be used: .*Invalid user token.* Nothing was sent"),
        ({"HF_ENDPOINT": "http://127.0.0.1:9"}, "cannot be used: .*Nothing was sent"),
        ({"on": "hf-jobs:a10g-smal"}, "has no 'a10g-smal'. It has a10g-small, cpu-basic"),
    ],
)
def test_what_can_be_known_is_said_before_anything_is_sent(
    service: Service, line: Path, change: dict[str, str], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = service.machine(change.pop("on", ON))
    with pytest.raises(PreflightError, match=f"(?s){says}") as stop:
        replace(machine, env={**machine.env, **change}).make(line, monkeypatch)

    assert "hf_x" not in str(stop.value)
    if change.get("HF_TOKEN") == "":
        known(line)
        with pytest.raises(PreflightError, match=says):
            replace(machine, env={**machine.env, **change}).make(line, monkeypatch, end=True)
    assert service.runs == []
    assert not (service.root / "buckets").exists()


@pytest.mark.parametrize(
    ("said", "code"),
    [
        (b'{"code": 5, "size": 7, "start": "a"}', 5),
        (b'{"code": 5, "size": 7, "start": "b"}', None),
        (b'{"code": 5, "size": 7}', None),
        (b'{"code": 0, "size": 8, "start": "a"}', None),
        (b'{"code": 256, "size": 7, "start": "a"}', None),
        (b'{"code": -1, "size": 7, "start": "a"}', None),
        (b'{"code": "5", "size": 7, "start": "a"}', None),
        (b"[5, 7]", None),
        (b"[" * 200, None),
        (b"\xff", None),
        (b"", None),
    ],
)
def test_a_job_has_ended_when_what_it_made_is_seen_as_whole(said: bytes, code: int | None) -> None:
    assert hub_there.ended(said, 7, "a") == code


@pytest.mark.parametrize(
    ("stop", "cut"),
    [
        (HubError("no byte"), True),
        (Refused("bad gateway", 502), True),
        (Refused("too many requests", 429), True),
        (Refused("forbidden", 403), False),
        (Refused("everybody can read it"), False),
        (VerificationError("is not a plain file"), False),
    ],
)
def test_a_line_is_cut_only_where_the_same_question_may_be_answered_later(stop: Stop, cut: bool) -> None:
    assert hub_there.status(stop) == (lines.OF_SSH if cut else stop.exit_code)


@pytest.mark.parametrize("harm", ["none", "cut", "gone", "both"])
def test_what_was_kept_is_taken_up_where_it_is_whole(tmp_path: Path, harm: str) -> None:
    folder, bucket, other = tmp_path / "folder", tmp_path / "bucket", tmp_path / "other"
    for one in (folder / mounted.RUNS / "a", bucket, other):
        one.mkdir(parents=True)
    (folder / mounted.RUNS / "a" / "one").write_text("1", "utf-8")
    assert mounted.keep(bucket, folder, 0) == 1
    (first,) = bucket.iterdir()
    older = first.read_bytes()
    (folder / mounted.RUNS / "a" / "two").write_text("2", "utf-8")
    assert mounted.keep(bucket, folder, 1) == 2
    (newest,) = bucket.iterdir()
    first.write_bytes(older[:-1024] if harm == "both" else older)
    if harm in ("cut", "both"):
        newest.write_bytes(newest.read_bytes()[:700])
    if harm == "gone":
        newest.unlink()

    number = mounted.restore(bucket, other)

    found = sorted(path.name for path in other.rglob("*") if path.is_file())
    assert found == {"none": ["one", "two"], "cut": ["one"], "gone": ["one"], "both": []}[harm]
    assert number == (1 if harm == "gone" else 2)


def test_what_is_finished_is_kept_while_the_job_runs_and_its_end_can_be_wished_for_in_the_bucket(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(mounted, "EVERY", 0.0)
    folder, bucket = tmp_path / "folder", tmp_path / "bucket"
    (folder / mounted.RUNS).mkdir(parents=True)
    bucket.mkdir()
    for stale in (mounted.ENDED, mounted.WISH):
        (folder / stale).write_text("7", "utf-8")
    program = """
import pathlib, sys, time
folder, bucket = map(pathlib.Path, sys.argv[1:])
(folder / "log").write_text("at work\\n")
(folder / "work/runs/one").write_text("1")
end = time.monotonic() + 20
while time.monotonic() < end and not list(bucket.glob("kept-*.tar")): time.sleep(0.05)
(bucket / "end").touch()
while time.monotonic() < end and not (folder / "end").exists(): time.sleep(0.05)
(folder / "exit_code").write_text("143" if time.monotonic() < end else "1")
"""

    assert mounted.run([sys.executable, "-c", program, str(folder), str(bucket)], bucket, folder, [], 0) == 143
    assert capfd.readouterr().out == "at work\n"


def test_a_job_is_heard_while_it_is_kept_and_what_could_not_be_kept_is_kept_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, bucket = tmp_path / "folder", tmp_path / "bucket"
    (folder / mounted.RUNS).mkdir(parents=True)
    bucket.mkdir()
    kept = list[int]()

    def keep(_: Path, __: Path, newest: int) -> int:
        kept.append(newest)
        if len(kept) == 2:
            (bucket / mounted.END).touch()
            wait_until((folder / mounted.WISH).exists, "it is not heard meanwhile")
        return newest + (len(kept) > 1)

    monkeypatch.setattr(mounted, "EVERY", 0.0)
    monkeypatch.setattr(mounted, "keep", keep)
    program = """
import pathlib, sys, time
folder = pathlib.Path(sys.argv[1])
(folder / "work/runs/one").write_text("1")
end = time.monotonic() + 20
while time.monotonic() < end and not (folder / "end").exists(): time.sleep(0.05)
(folder / "exit_code").write_text("143" if time.monotonic() < end else "1")
"""

    assert mounted.run([sys.executable, "-c", program, str(folder)], bucket, folder, [], 0) == 143
    assert kept == [0, 0, 1]


def test_what_goes_while_it_is_looked_for_is_not_kept(tmp_path: Path) -> None:
    over = threading.Event()

    def come_and_go() -> None:
        while not over.is_set():
            for number in range(20):
                (tmp_path / mounted.RUNS / f"a{number}" / "b" / "c").mkdir(parents=True)
            shutil.rmtree(tmp_path / mounted.RUNS)

    thread = threading.Thread(target=come_and_go)
    thread.start()
    try:
        until = time.monotonic() + 1
        while time.monotonic() < until:
            assert mounted.files(tmp_path) == []
    finally:
        over.set()
        thread.join()


def test_what_is_made_again_is_not_kept_and_what_is_counted_comes_first(tmp_path: Path) -> None:
    folder, bucket = tmp_path / "folder", tmp_path / "bucket"
    bucket.mkdir()
    for name in ("a/exports/gguf", "base_gguf/base", "a/answers", "a/b/exports/mine", "spent.jsonl"):
        path = folder / mounted.RUNS / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    mounted.keep(bucket, folder, 0)

    with tarfile.open(next(bucket.iterdir())) as tar:
        found = [name.removeprefix(f"{mounted.RUNS}/") for name in tar.getnames()]
    assert found == ["spent.jsonl", "a/answers", "a/b/exports/mine"]


@pytest.mark.parametrize("sent", [None, b"no tar"])
def test_a_job_that_cannot_begin_says_so_and_is_not_paid_for_again(
    tmp_path: Path, sent: bytes | None, capfd: pytest.CaptureFixture[str]
) -> None:
    bucket = tmp_path / "bucket"
    bucket.mkdir()
    shutil.copy(there.__file__, bucket)
    if sent:
        (bucket / mounted.SENT).write_bytes(sent)
    before = [signal.getsignal(one) for one in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)]
    try:
        assert mounted.main(bucket, tmp_path / "folder", "a", []) == PreflightError.exit_code
    finally:
        for one, handler in zip((signal.SIGTERM, signal.SIGINT, signal.SIGHUP), before, strict=True):
            signal.signal(one, handler)

    made = (bucket / mounted.MADE).read_bytes()
    assert hub_there.ended((bucket / mounted.CODE).read_bytes(), len(made), "a") == PreflightError.exit_code
    home.unpack(io.BytesIO(made), tmp_path / "came")
    said = capfd.readouterr().out.splitlines()
    assert said[-2].startswith("error: the job could not do its work")
    assert said[-1] == mounted.OVER


@pytest.mark.parametrize("harm", ["cut", "a header of 64 MB"])
def test_what_was_counted_is_taken_of_the_newest_that_is_whole_and_plain(
    tmp_path: Path, harm: str, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    folder, bucket = tmp_path / "folder", tmp_path / "bucket"
    (folder / mounted.RUNS).mkdir(parents=True)
    bucket.mkdir()
    (folder / there.COUNTED[1]).write_text("spent", "utf-8")
    mounted.keep(bucket, folder, 0)
    if harm == "cut":
        (bucket / f"kept-000002-{'0' * 64}.tar").write_bytes(b"half")
    else:
        half = tmp_path / "half"
        with tarfile.open(half, "w", format=tarfile.PAX_FORMAT, pax_headers={"comment": "a" * (64 << 20)}) as tar:
            tar.add(folder / there.COUNTED[1], there.COUNTED[1])
        half.rename(bucket / mounted.named("000002", half))
    where = jobs.Place(namespace="me", job="0" * 16)
    asked = hub_there.Job(lent=LENT, folder="/tmp/0", where=where)
    monkeypatch.setattr(jobs, "files", lambda _: {path.name: path.stat().st_size for path in bucket.iterdir()})
    monkeypatch.setattr(jobs, "get", lambda _, name, __, to: shutil.copy(bucket / name, to))

    if harm == "cut":
        hub_there.fetch(asked)
        home.unpack(io.BytesIO(capfdbinary.readouterr().out), tmp_path / "came")
        assert (tmp_path / "came" / home.SPENT).read_text("utf-8") == "spent"
    else:
        with pytest.raises(VerificationError, match="is not a plain file"):
            hub_there.fetch(asked)


@pytest.mark.parametrize(("answer", "waited_for"), [(402, False), (502, True)])
def test_a_job_that_was_refused_is_not_waited_for(
    answer: int, waited_for: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    where, bucket = jobs.Place(namespace="me", job="0" * 16), dict[str, int]()
    asked = hub_there.Job(lent=LENT, folder="/tmp/0", where=where)

    def put(_: object, added: dict[str, bytes], gone: list[str]) -> None:
        bucket.update({name: len(one) for name, one in added.items()})
        for name in gone:
            del bucket[name]

    def start(*_: object) -> str:
        raise Refused("no", answer)

    monkeypatch.setattr(jobs, "files", lambda _: dict(bucket))
    monkeypatch.setattr(jobs, "listed", lambda _: [])
    monkeypatch.setattr(jobs, "put", put)
    monkeypatch.setattr(jobs, "start", start)

    with pytest.raises(Refused):
        hub_there.start(asked)
    assert [hub_there.BEGAN.fullmatch(name) is not None for name in bucket] == [True] * waited_for


def test_what_a_job_costs_is_told_while_it_says_nothing(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    said, where = threading.Event(), jobs.Place(namespace="me", job="0" * 16)
    asked = hub_there.Job(lent=LENT, folder="/tmp/0", where=where)
    seen = jobs.Seen(id="1", start="", stage=jobs.RUNNING, message="", seconds=3600)

    def numbered(*_: object) -> jobs.Seen:
        said.set()
        return seen

    def log(*_: object) -> Iterator[str]:
        assert said.wait(20)
        yield mounted.OVER

    monkeypatch.setattr(hub_there, "PRICED", 0.1)
    monkeypatch.setattr(jobs, "numbered", numbered)
    monkeypatch.setattr(jobs, "log", log)

    assert hub_there._listen(asked, seen, jobs.Machine(about="", price_per_hour=2), None)
    assert "it ran for 1.00 hours on l4x1: about 2.00 USD" in capfd.readouterr().out


def test_what_an_image_lacks_is_installed_by_the_lock_that_was_sent(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / mounted.LOCK).parent.mkdir(parents=True)
    (tmp_path / mounted.LOCK).write_text("# nothing\n", "utf-8")

    mounted.install(tmp_path, ["json", "tarfile"])
    assert capfd.readouterr().out == ""
    mounted.install(tmp_path, ["json", "no_such_module"])
    assert "the image lacks no_such_module" in capfd.readouterr().out


def test_the_program_of_a_job_names_things_as_the_others_do() -> None:
    assert mounted.RUNS == parcel.RUNS
    assert (mounted.LOG, mounted.ENDED, mounted.WISH) == (there.LOG, there.CODE, there.END)
    assert mounted.MADE_THERE == there.MADE
    assert mounted.COUNTED == there.COUNTED
    assert PreflightError.exit_code == mounted.CANNOT
    assert set(mounted.MADE_AGAIN) == {layout.EXPORTS, making.KEPT}
    assert mounted.LOCK.startswith("code/release/assets/locks/")


@pytest.mark.parametrize(
    ("named", "namespace", "flavor", "seconds"),
    [
        ("a10g-small", "", "a10g-small", 86_400),
        ("l4x1@6h", "", "l4x1", 21_600),
        ("My-Org/a100-large@2d", "My-Org", "a100-large", 172_800),
        ("me.too/t4-small@90m", "me.too", "t4-small", 5_400),
    ],
)
def test_a_flavor_is_taken_with_whose_it_is_and_how_long(named: str, namespace: str, flavor: str, seconds: int) -> None:
    found = systems.find(f"hf-jobs:{named}", None, Path(), token=TOKEN, image="me/mine@sha256:0")

    assert isinstance(found, hf_jobs.HfJobs)
    assert (found.name, found.lent.namespace, found.lent.flavor, found.lent.seconds) == (
        f"hf-jobs:{named}",
        namespace,
        flavor,
        seconds,
    )
    assert found.lent.image == "me/mine@sha256:0"
    assert TOKEN not in repr(found)
    assert TOKEN not in " ".join(found.speak(["look", "."]))


def test_a_local_image_is_refused_and_its_job_is_ended_all_the_same() -> None:
    found = systems.find("hf-jobs:l4x1", None, Path(), token=TOKEN, image="sha256:0123")

    with pytest.raises(PreflightError, match=r"container\.image is sha256:0123: an image of one engine's"):
        found.check(starts=True)
    found.check(starts=False)
    built = systems.find("hf-jobs:l4x1", None, Path(), token=TOKEN)
    built.check(starts=True)
    assert isinstance(built, hf_jobs.HfJobs)
    assert built.lent.image.startswith("python:3.11-slim-bookworm@sha256:")


def test_what_no_job_of_it_can_do_is_refused_before_anything_is_sent(
    service: Service, line: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(
        PreflightError, match=r"pinned container image, which is not so on hf-jobs.*allow_unpinned"
    ) as stop:
        service.machine().make(
            line,
            monkeypatch,
            publishing__endpoint="https://hub.example",
            publishing__allow_unpinned="false",
            container__use="auto",
            serving="{served: {engine: vllm}}",
        )

    assert "serving.served is answered by vLLM" in str(stop.value)
    assert service.runs == []
    assert not (line / "run" / "elsewhere.json").exists()
