"""Publishing without a stored token: the real client exchanges a CI job's identity for one, on loopback."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from release.running import child, kept
from tests.helpers.keyless_hub import MINTED, SECRETS, KeylessHub, keyless_hub
from tests.helpers.line import ROOT, adapter_release
from tests.release.test_two_jobs import REPO, handed_over

SHOW = (
    "import os, sys; from release.running import kept; "
    "sys.exit(' '.join(n for n in kept.SECRETS if n in os.environ) or 0)"
)


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return handed_over(tmp_path_factory.mktemp("keyless"), licence=True)


@pytest.fixture
def keyless(tmp_path: Path) -> Iterator[KeylessHub]:
    with keyless_hub(tmp_path / "hub", trusted=REPO) as found:
        yield found


def publish(dist: Path, folder: Path, endpoint: str, job: dict[str, str]) -> subprocess.CompletedProcess[str]:
    config = str(dist.with_name("release.yaml"))
    done = adapter_release("publish", str(dist), "--config", config, "--hub", endpoint, cwd=folder, env=job)
    for text in (done.stdout, done.stderr, *(path.read_text("utf-8") for path in (folder / "runs").rglob("*.*"))):
        assert not any(secret in text for secret in SECRETS), text
    assert "Traceback" not in done.stderr
    return done


def test_a_job_that_the_repository_trusts_publishes_without_a_stored_token(
    keyless: KeylessHub, dist: Path, tmp_path: Path
) -> None:
    keyless.hub.api.create_repo(REPO)

    done = publish(dist, tmp_path, keyless.endpoint, keyless.job(REPO))

    assert done.returncode == 0, done.stderr
    assert [tag.name for tag in keyless.hub.api.list_repo_refs(REPO).tags] == ["v0.1.0"]
    one = ["GET /mint 200", "POST /oauth/token 200"]
    assert keyless.asked == [*one, *one]  # a token to read the earlier releases, and one for the whole publication


def test_a_keyless_token_cannot_make_the_repository_and_the_message_says_who_can(
    keyless: KeylessHub, dist: Path, tmp_path: Path
) -> None:
    done = publish(dist, tmp_path, keyless.endpoint, keyless.job(REPO))

    assert done.returncode == 6
    assert "Create it there, add this workflow as its trusted publisher" in done.stderr
    assert "POST /api/repos/create 403" not in keyless.asked


def test_a_job_that_may_not_ask_for_a_token_ends_as_a_refusal_of_the_hub(
    keyless: KeylessHub, dist: Path, tmp_path: Path
) -> None:
    done = publish(dist, tmp_path, keyless.endpoint, keyless.job(REPO, ACTIONS_ID_TOKEN_REQUEST_URL=""))

    assert done.returncode == 6, done.stderr
    assert "OIDCError" in done.stderr
    assert "permissions: id-token: write" in done.stderr


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ({"ACTIONS_ID_TOKEN_REQUEST_TOKEN": "of-another-job"}, "401"),
        ({"HF_OIDC_RESOURCE": "somebody/else"}, "403"),
        ({"HF_OIDC_ID_TOKEN": "eyJhbGciOiJub25lIn0.eyJzdWIiOiJtZSJ9.forged"}, "401"),
        ({"GITHUB_ACTIONS": ""}, "not running in a supported CI provider"),
        ({"ACTIONS_ID_TOKEN_REQUEST_URL": "{endpoint}/no-provider"}, "KeyError"),
    ],
)
def test_a_job_that_gets_no_token_is_told_what_to_set(keyless: KeylessHub, fault: dict[str, str], says: str) -> None:
    job = keyless.job(REPO, **{name: value.format(endpoint=keyless.endpoint) for name, value in fault.items()})

    done = run(f"from release.hub import client; client.repo({REPO!r})", job | {"HF_ENDPOINT": keyless.endpoint})

    said = done.stderr.partition("HubError: ")[2]
    assert said.startswith(f"No keyless token for {job['HF_OIDC_RESOURCE']} could be had from {keyless.endpoint}")
    assert says in said
    assert "permissions: id-token: write" in said
    assert not any(secret in said for secret in (*SECRETS, "forged", "of-another-job"))


def test_an_empty_resource_falls_back_to_the_stored_token(keyless: KeylessHub, dist: Path, tmp_path: Path) -> None:
    job = keyless.job("", HF_TOKEN=keyless.hub.token)

    done = publish(dist, tmp_path, keyless.endpoint, job)

    assert done.returncode == 0, done.stderr
    assert keyless.asked == []


def test_a_release_in_one_job_checks_its_rights_without_asking_whose_token_it_is(keyless: KeylessHub) -> None:
    keyless.hub.api.create_repo(REPO)
    code = f"from release.publishing import publish; print(publish.check_rights({REPO!r}, tag='v1', private=False))"

    done = run(code, keyless.job(REPO, HF_ENDPOINT=keyless.endpoint))

    assert done.stdout.strip() == "[]", done.stderr
    assert MINTED not in done.stderr


def test_processes_that_speak_to_no_hub_hold_nothing_to_ask_for_a_token_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in kept.SECRETS:
        monkeypatch.setenv(name, "secret")
    (tmp_path / "shows.py").write_text(SHOW, "utf-8")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{ROOT}")

    child.call("shows", say=lambda _: None, log=tmp_path / "log")


def run(code: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    return subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False)
