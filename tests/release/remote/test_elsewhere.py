"""A candidate made on a machine that OpenSSH or Slurm reaches: the real daemons, on loopback."""

import getpass
import io
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from release.config import reading
from release.models import base as bases
from release.publishing import candidate_folder
from release.remote import job, parcel, systems, there
from release.values import extras, layout
from release.values.errors import ConfigError, PreflightError, VerificationError
from tests.helpers import lent
from tests.helpers.lent import Machine
from tests.helpers.line import adapter_release
from tests.helpers.prepared import prepared_config
from tests.helpers.tiny_base import REPO

SECRET = "hf_" + "z" * 34


@pytest.fixture(scope="module")
def by_ssh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    with lent.sshd(tmp_path_factory.mktemp("sshd")) as machine:
        yield machine


@pytest.fixture(scope="module")
def by_slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    with lent.slurm(tmp_path_factory.mktemp("slurm")) as machine:
        yield machine


@pytest.fixture
def line(tmp_path: Path) -> Path:
    return lent.project(tmp_path / "a $line, 50%j ~")  # a folder is a pattern to Slurm, and words to a shell


def same(one: Path, other: Path) -> list[str]:
    """The files of two candidates that differ."""
    names = {path.relative_to(one).as_posix() for path in one.rglob("*") if path.is_file()}
    names |= {path.relative_to(other).as_posix() for path in other.rglob("*") if path.is_file()}
    return sorted(name for name in names if (one / name).read_bytes() != (other / name).read_bytes())


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory, base: bases.Base) -> Path:
    """The candidate that a run on this machine makes, of the same code as it lies installed."""
    line = lent.project(tmp_path_factory.mktemp("local") / "line")
    lent.trained_and_answered(line, base)
    lent.sent_to(line / "installed", line)
    installed = {"PYTHONPATH": str(line / "installed" / "code"), "ADAPTER_RELEASE_CACHE": lent.CACHE}
    done = adapter_release("candidate", cwd=line, env=installed)
    assert done.returncode == 0, done.stderr
    return line / "dist"


def test_a_line_that_is_cut_and_a_machine_that_is_killed_lose_nothing(
    by_ssh: Machine, line: Path, base: bases.Base, local: Path
) -> None:
    folder = lent.laid_over_there(by_ssh, line, base)
    cut = by_ssh.start(line, "preflight")
    end_the_line(cut.pid)
    _, said = cut.communicate()
    assert cut.returncode == 4, said
    assert "The line to ssh:there was cut" in said
    assert there.runs(folder)

    closed = by_ssh.start(line, f"attached to job {lent.JOB}")
    closed.send_signal(signal.SIGHUP)
    closed.communicate()
    assert closed.returncode == 129
    assert there.runs(folder)

    killed = by_ssh.start(line, f"attached to job {lent.JOB}")
    os.kill(int((folder / there.PID).read_text("utf-8").partition(" ")[2]), signal.SIGKILL)
    _, said = killed.communicate()
    assert killed.returncode == 4, said
    assert "is gone without an exit status" in said
    assert "goes on at the last one" in said

    goes_on(by_ssh, line, local)
    published = adapter_release("publish", cwd=line)
    assert published.returncode == 0, published.stderr


def test_a_job_of_slurm_that_is_cancelled_or_interrupted_goes_on_when_it_is_started_again(
    by_slurm: Machine, line: Path, base: bases.Base, local: Path
) -> None:
    folder = lent.laid_over_there(by_slurm, line, base)
    cancelled = by_slurm.start(line, "preflight")
    cancel = ["scancel", f"--name=adapter-release-{lent.JOB}", f"--user={getpass.getuser()}"]
    subprocess.run(cancel, env=dict(by_slurm.env), check=True)
    _, said = cancelled.communicate()
    assert cancelled.returncode == 4, said
    assert "was ended from outside (SIGTERM)" in said

    interrupted = by_slurm.start(line, "preflight", session=True)
    os.killpg(interrupted.pid, signal.SIGINT)
    _, said = interrupted.communicate()
    assert interrupted.returncode == 130, said
    assert f"ending job {lent.JOB}" in said
    assert not there.runs(folder)
    assert list((folder / "work" / "runs").glob("*/training.json"))

    goes_on(by_slurm, line, local)
    ended = by_slurm.run(line, "--end")
    assert "nothing was done" in ended.stderr


@pytest.mark.slow
def test_what_is_trained_and_answered_over_there_is_what_is_here_to_the_byte(by_slurm: Machine, tmp_path: Path) -> None:
    """Two steps, which pass no gate: so the work stays where it was made, and can be looked at."""
    short = ("--set", "training.max_steps=2")
    lines = [tmp_path / name for name in ("here", "there")]
    for line in lines:
        line.mkdir()
        prepared_config(line, few=True)
    here = adapter_release("candidate", *short, cwd=lines[0], env={"ADAPTER_RELEASE_CACHE": lent.CACHE})
    away = by_slurm.run(lines[1], *short)

    assert (here.returncode, away.returncode) == (5, 5), here.stderr + away.stderr
    assert work_of(lines[0]) == work_of(lines[1])


def work_of(folder: Path) -> tuple[bytes, bytes]:
    """The weights and the answers of the one run there."""
    (run,) = (one.parent for one in folder.rglob("training.json"))
    return (run / "adapter" / "adapter_model.safetensors").read_bytes(), (run / "answers.jsonl").read_bytes()


def test_a_job_of_slurm_that_is_requeued_waits_and_has_not_ended(
    by_slurm: Machine, line: Path, base: bases.Base
) -> None:
    folder = lent.laid_over_there(by_slurm, line, base)
    watching = by_slurm.start(line, "preflight")
    queue = ["squeue", "--noheader", f"--name=adapter-release-{lent.JOB}", "--format=%i"]
    number = subprocess.run(queue, env=dict(by_slurm.env), capture_output=True, text=True, check=True).stdout.strip()
    subprocess.run(["scontrol", "requeue", number], env=dict(by_slurm.env), check=True)
    assert watching.stderr is not None
    assert any("the job waits to be started again: pending (BeginTime)" in heard for heard in watching.stderr)
    assert there.code(folder) == 128 + signal.SIGTERM
    watching.kill()  # this client alone
    watching.communicate()

    again = by_slurm.start(line, "the job waits to be started again: pending (BeginTime)")
    subprocess.run(["scontrol", "update", f"jobid={number}", "starttime=now"], env=dict(by_slurm.env), check=True)
    _, said = again.communicate()
    assert again.returncode == 0, said
    assert f"It was brought to {line / 'dist'}" in said
    assert not folder.exists()


def goes_on(machine: Machine, line: Path, local: Path) -> None:
    """The same command makes what a local run makes, to the byte, and nothing is left."""
    done = machine.run(line)

    assert done.returncode == 0, done.stderr
    assert f"job {lent.JOB} in {machine.folder(line)}" in done.stderr
    assert f"{line / 'dist'} holds the candidate, manifest" in done.stderr
    assert f"It was brought to {line / 'dist'}, and checked as `publish` checks it" in done.stderr
    assert same(local, line / "dist") == []
    assert not machine.folder(line).exists()
    assert not (line / "run" / "elsewhere.json").exists()
    assert len((line / "run" / "ledger.jsonl").read_text("utf-8").splitlines()) == 1


def end_the_line(command: int) -> None:
    """Kill the ssh that a command has started."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, _, rest = stat.read_text("utf-8").partition(" ")[2].rpartition(")")
        except OSError:
            continue
        if name == "(ssh" and int(rest.split()[1]) == command:
            os.kill(int(stat.parent.name), signal.SIGKILL)


def test_no_token_and_nothing_of_this_environment_is_sent_and_other_inputs_are_another_job(
    by_ssh: Machine, line: Path, base: bases.Base, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = by_ssh.home / "python-that-tells"
    python.write_text(f'#!/bin/sh\nenv >> {by_ssh.home}/seen\nexec {by_ssh.python} "$@"\n', "utf-8")
    python.chmod(0o755)
    lent.laid_over_there(by_ssh, line, base)
    (line / "hub").mkdir()
    (line / "hub" / "token").write_text(SECRET, "utf-8")
    (line / "hub" / "token").chmod(0o600)

    machine = Machine(on=by_ssh.on, home=by_ssh.home, env=by_ssh.env, python=str(python))
    process = subprocess.Popen(
        machine.command(), cwd=line, env={**machine.env, "HF_TOKEN": SECRET, "LC_SECRET": SECRET},
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stderr is not None
    assert any("preflight" in heard for heard in process.stderr)
    sent = [path for path in machine.folder(line).rglob("*") if path.is_file()]
    assert any(path.name == "there.py" for path in sent)
    for path in sent:
        assert SECRET.encode() not in path.read_bytes(), path
    end_the_line(process.pid)
    process.communicate()
    assert SECRET not in (by_ssh.home / "seen").read_text("utf-8")

    with pytest.raises(PreflightError, match="was sent another configuration, rows or code"):
        machine.make(line, monkeypatch, generation__max_new_tokens="40")
    with pytest.raises(PreflightError, match="not on ssh:other"):
        Machine(on="ssh:other", home=by_ssh.home, env=by_ssh.env).make(line, monkeypatch, end=True)
    machine.make(line, monkeypatch, end=True)
    assert not machine.folder(line).exists()


def a_lie(local: Path, name: str) -> bytes:
    """What a machine gives back that says that all went well."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for path in sorted(path for path in local.rglob("*") if path.is_file() and name != "nothing"):
            content = path.read_bytes()
            if name == "another adapter" and path.name == layout.WEIGHTS:
                content = content[:-1] + bytes([content[-1] ^ 1])
            entry = tarfile.TarInfo(f"dist/{path.relative_to(local).as_posix()}")
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
        if name == "a link":
            entry = tarfile.TarInfo("dist/package/link.json")
            entry.type, entry.linkname = tarfile.SYMTYPE, "/etc/passwd"
            tar.addfile(entry)
    return there.READY + data.getvalue()


@pytest.mark.parametrize(
    ("lie", "says"),
    [
        ("another adapter", f"different: package/{layout.WEIGHTS} has sha256"),
        ("a link", "dist/package/link.json is not a plain file"),
        ("nothing", "SHA256SUMS cannot be read"),
    ],
)
def test_a_machine_that_lies_is_named_and_the_candidate_of_before_stays(
    by_ssh: Machine, line: Path, local: Path, lie: str, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (line / "run").mkdir()
    (line / "dist").mkdir()
    (line / "dist" / candidate_folder.SUMS).write_text("before", "utf-8")
    inputs = parcel.of(reading.load(line / "release.yaml")).digest
    known = {"on": by_ssh.on, "job": lent.JOB, "inputs": inputs, "told": False}
    (line / "run" / "elsewhere.json").write_text(json.dumps(known), "utf-8")
    by_ssh.folder(line).mkdir(parents=True, exist_ok=True)
    (by_ssh.folder(line) / there.CODE).write_text("0", "utf-8")
    (line / "lie").write_bytes(a_lie(local, lie))
    python = a_python(
        by_ssh.home, f'[ "$4" = fetch ] && exec cat {shlex.quote(str(line / "lie"))}\nexec {by_ssh.python} "$@"'
    )

    machine = Machine(on=by_ssh.on, home=by_ssh.home, env=by_ssh.env, python=python)
    with pytest.raises(VerificationError, match=re.escape(says)):
        machine.make(line, monkeypatch)

    assert (line / "dist" / candidate_folder.SUMS).read_text("utf-8") == "before"


def a_python(folder: Path, says: str) -> str:
    """A program over there that stands for a Python of somebody else's."""
    path = folder / "some-python"
    path.write_text(f"#!/bin/sh\n{says}\n", "utf-8")
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("host", "other cannot be reached: ssh: Could not resolve hostname other"),
        ("key", "there cannot be reached: Host key verification failed. Try `ssh -o BatchMode=yes there true`"),
        ("client", "There is no ssh on the PATH here"),
        ("python", "There is no no-such-python on there"),
        ("old", "is Python 3.9.2 on Linux, and training needs 3.11 to 3.13"),
        ("bare", "and lacks torch. Nothing was sent. Run there: {python} -m pip install 'adapter-release[train]'"),
        ("strange", "said what is no answer of this program"),
        ("silent", "{python} on there ended with exit status 3"),
    ],
)
def test_what_can_be_known_is_said_before_anything_is_sent(
    by_ssh: Machine, line: Path, change: str, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = sorted(by_ssh.home.glob(".adapter-release/*"))
    told = {"python": [3, 11, 7], "system": "Linux", "missing": []}
    speaks = "echo Welcome; echo 'adapter-release speaks'; echo '{}'"
    scripts = {
        "old": speaks.format(json.dumps({**told, "python": [3, 9, 2]})),
        "bare": speaks.format(json.dumps({**told, "missing": ["torch"]})),
        "strange": speaks.format('{"python": "x"}'),
        "silent": "exit 3",
    }
    python = (
        a_python(by_ssh.home, scripts[change])
        if change in scripts
        else "no-such-python"
        if change == "python"
        else by_ssh.python
    )
    env = dict(by_ssh.env)
    if change == "key":
        (by_ssh.home.parent / "known").rename(by_ssh.home.parent / "known.away")
    if change == "client":
        env["PATH"] = str(by_ssh.home)
    try:
        on = "ssh:other" if change == "host" else by_ssh.on
        with pytest.raises(PreflightError) as stop:
            Machine(on=on, home=by_ssh.home, env=env, python=python).make(line, monkeypatch)
    finally:
        if change == "key":
            (by_ssh.home.parent / "known.away").rename(by_ssh.home.parent / "known")

    assert says.format(python=python) in str(stop.value)
    assert "Nothing was sent" in str(stop.value) or change == "strange"
    assert sorted(by_ssh.home.glob(".adapter-release/*")) == before


def test_what_suggests_the_tries_of_a_search_is_looked_for_there_where_one_is_asked_for(
    by_ssh: Machine, line: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extras, "SEARCH", ("optuna_that_is_nowhere",))
    space = {"tries.search.space": "{training: {learning_rate: [1.0e-4, 2.0e-4]}}", "tries.search.n_trials": "2"}
    search = {**space, "training.eval_steps": "1", "data.tuning_share": "0.5"}
    monkeypatch.setenv("PATH", by_ssh.env["PATH"])
    system = systems.find(by_ssh.on, by_ssh.python, line)

    job._look(reading.load(line / "release.yaml"), system)
    with pytest.raises(
        PreflightError, match=r"lacks optuna_that_is_nowhere.*install 'adapter-release\[train,search\]'"
    ):
        job._look(reading.load(line / "release.yaml", search), system)


def test_a_job_waits_in_the_queue_and_says_what_for(by_slurm: Machine, line: Path, base: bases.Base) -> None:
    lent.laid_over_there(by_slurm, line, base)
    (line / "wait.sbatch").write_text('#!/bin/bash\n#SBATCH --hold\nexec "$@"\n', "utf-8")
    held = Machine(on="slurm:wait.sbatch", home=by_slurm.home, env=by_slurm.env)
    state = line / "run" / "elsewhere.json"
    state.write_text(state.read_text("utf-8").replace(by_slurm.on, held.on), "utf-8")
    process = held.start(line, "the job waits: pending (JobHeldUser)")
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    process.communicate()

    assert process.returncode == 143
    assert time.monotonic() - began < 20
    queue = ["squeue", "--noheader", "--format=%T"]
    left = subprocess.run(queue, env=dict(by_slurm.env), capture_output=True, text=True, check=True)
    assert [one for one in left.stdout.split() if one != "COMPLETING"] == []


@pytest.mark.parametrize(
    ("script", "says"),
    [
        (None, "job.sbatch cannot be read"),
        ("#!/bin/bash\nsleep 1\n", "it needs a first line `#!/bin/bash`, #SBATCH lines for what your cluster asks for"),
        ('exec "$@"\n', "does not run what it is given"),
        ('#!/bin/bash\n#SBATCH --partition=none\nexec "$@"\n', "sbatch refused: sbatch: error: invalid partition"),
    ],
)
def test_a_script_that_cannot_be_submitted_is_named(
    by_slurm: Machine, line: Path, script: str | None, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if script:
        (line / "job.sbatch").write_text(script, "utf-8")
    with pytest.raises(PreflightError if "refused" in says else ConfigError, match=re.escape(says)):
        Machine(on="slurm:job.sbatch", home=by_slurm.home, env=by_slurm.env).make(line, monkeypatch)


def test_without_slurms_clients_it_is_said_first(line: Path) -> None:
    (line / "job.sbatch").write_text('#!/bin/bash\nexec "$@"\n', "utf-8")
    done = adapter_release("candidate", "--on", "slurm:job.sbatch", cwd=line, env={"PATH": str(line)})

    assert done.returncode == 4
    assert "There is no sbatch and no squeue and no scancel on the PATH here" in done.stderr
    ends = ("candidate", "--on", "slurm:job.sbatch", "--end")
    assert "nothing was done" in adapter_release(*ends, cwd=line, env={"PATH": str(line)}).stderr
    told = {"on": "slurm:job.sbatch", "job": lent.JOB, "inputs": "", "told": False}
    (line / "run" / "elsewhere.json").write_text(json.dumps(told), "utf-8")
    done = adapter_release(*ends, cwd=line, env={"PATH": str(line)})
    assert done.returncode == 4
    assert "There is no sbatch and no squeue and no scancel on the PATH here" in done.stderr


def test_a_job_of_slurm_is_ended_whose_script_is_gone(
    by_slurm: Machine, line: Path, base: bases.Base, monkeypatch: pytest.MonkeyPatch
) -> None:
    lent.laid_over_there(by_slurm, line, base)
    gone = Machine(on="slurm:gone.sbatch", home=by_slurm.home, env=by_slurm.env)
    state = line / "run" / "elsewhere.json"
    state.write_text(state.read_text("utf-8").replace(by_slurm.on, gone.on), "utf-8")

    gone.make(line, monkeypatch, end=True)

    assert not gone.folder(line).exists()
    assert not state.exists()


def test_the_command_that_is_named_for_ending_a_job_ends_it(by_ssh: Machine, line: Path, base: bases.Base) -> None:
    lent.laid_over_there(by_ssh, line, base)
    (line / "release.yaml").rename(line / "an other.yaml")
    (line / "run").rename(line / "runs of another")
    told = {"on": by_ssh.on, "job": lent.JOB, "inputs": "", "told": False, "python": by_ssh.python}
    (line / "runs of another" / "elsewhere.json").write_text(json.dumps(told), "utf-8")
    configured = ["an other.yaml", "--set", "run.output_dir=runs of another"]
    other = Machine(on="ssh:other", home=by_ssh.home, env=by_ssh.env)

    refused = other.run(line, *configured)
    assert refused.returncode == 4, refused.stderr
    (command,) = re.findall("end it first: (adapter-release .*)", " ".join(refused.stderr.split()))
    ended = subprocess.run(
        [sys.executable, "-m", "release.cli", *shlex.split(command)[1:]],
        cwd=line, env=by_ssh.env, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert ended.returncode == 0, ended.stderr
    assert f"Job {lent.JOB} on {by_ssh.on} is ended" in ended.stderr
    assert not by_ssh.folder(line).exists()


@pytest.mark.slow
@pytest.mark.usefixtures("without_xet")
def test_a_training_that_is_killed_over_there_goes_on_at_its_checkpoint_and_makes_the_local_adapter(
    tmp_path: Path, tiny_base: str
) -> None:
    """Random weights answer nothing right, so it is refused; what was judged comes home, and the adapter's digest."""
    lines = {name: lent.project(tmp_path / name) for name in ("local", "sent")}
    for line in lines.values():
        settings = yaml.safe_load((line / "release.yaml").read_text("utf-8"))
        settings["model"] = {"base_model_id": REPO, "revision": tiny_base, "source": "hub"}
        settings["training"] |= {"save_steps": 5, "max_steps": 20, "logging_steps": 1, "gradient_accumulation_steps": 2}
        settings["publishing"]["endpoint"] = "file:published"
        (line / "release.yaml").write_text(yaml.safe_dump(settings), "utf-8")
    here = adapter_release("candidate", cwd=lines["local"], env=os.environ)
    assert here.returncode == 5, here.stderr
    cache, hub = os.environ["ADAPTER_RELEASE_CACHE"], os.environ["HF_ENDPOINT"]
    with lent.sshd(tmp_path, ADAPTER_RELEASE_CACHE=cache, HF_ENDPOINT=hub, OMP_NUM_THREADS="1") as machine:
        killed = machine.start(lines["sent"], "training 1")
        kept = f".adapter-release/*/{parcel.RUNS}/*/checkpoints/checkpoint-5"
        lent.wait_until(lambda: any(machine.home.glob(kept)), "no checkpoint was made")
        (number,) = (machine.home / ".adapter-release").glob(f"*/{there.PID}")
        os.kill(int(number.read_text("utf-8").partition(" ")[2]), signal.SIGKILL)
        _, said = killed.communicate()
        assert killed.returncode == 4, said
        done = machine.run(lines["sent"])

    assert done.returncode == 5, done.stderr
    (lines["local"] / "dist" / "refused" / "report.html").unlink()  # a page does not come from another machine
    assert same(*(line / "dist" / "refused" for line in lines.values())) == []
    ledgers = [(line / "run" / "ledger.jsonl").read_text("utf-8") for line in lines.values()]
    assert ledgers[0] == ledgers[1]
