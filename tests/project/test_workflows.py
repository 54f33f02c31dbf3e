"""The workflows: each linter of `make lint` finds its fault, and the jobs run, step by step, under act on this host."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from release.models import base as bases
from tests.helpers.keyless_hub import SECRETS, KeylessHub, keyless_hub
from tests.helpers.line import ROOT, copy_of_this_repository
from tests.helpers.prepared import answered, prepared_config, trained

BIN = Path(sys.executable).parent
WORKFLOWS = ROOT / ".github" / "workflows"
FAULTS = ROOT / "tests" / "data" / "workflows"
STANDINS = ROOT / "tests" / "data" / "actions"
LENDING = """#!/bin/sh
[ "$1" = setup_environment.py ] || exec {python} "$@"
mkdir -p .venv/bin
printf '#!/bin/sh\\nexec {python} -m release.cli "$@"\\n' > .venv/bin/adapter-release
chmod +x .venv/bin/adapter-release
"""
REPO, TAG = "local/elements", "v7.0.0"


def lint(tool: str, tree: Path) -> subprocess.CompletedProcess[str]:
    """The line of ``make lint`` that calls a tool, in another tree."""
    dry = ["make", "--no-print-directory", "--dry-run", "-f", str(ROOT / "Makefile"), "lint"]
    lines = subprocess.run(dry, cwd=tree, capture_output=True, text=True, check=True).stdout
    (command,) = (part for part in re.split(r"&&|\n", lines) if f".venv/bin/{tool} " in f"{part.strip()} ")
    command = command.replace(".venv/bin/", f"{BIN}/")
    return subprocess.run(command, shell=True, cwd=tree, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("tool", "fault", "says"),
    [
        ("zizmor", "template_injection.yml", "template-injection"),
        ("zizmor", "unpinned_action.yml", "unpinned-uses"),
        ("zizmor", "credentials_kept.yml", "artipacked"),
        ("zizmor", "every_permission.yml", "excessive-permissions"),
        ("actionlint", "needs_a_job_that_is_not_there.yml", "nothing"),
        ("check-jsonschema", "unknown_key.yml", "time-out"),
        ("hadolint", "image_by_tag.Dockerfile", "DL3007"),
    ],
)
def test_a_faulty_workflow_or_image_is_found(tmp_path: Path, tool: str, fault: str, says: str) -> None:
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    workflows = tmp_path / ".github" / "workflows"
    workflows.mkdir(parents=True)
    shutil.copy(FAULTS / fault, tmp_path / "Dockerfile" if tool == "hadolint" else workflows)

    done = lint(tool, tmp_path)

    assert done.returncode != 0
    assert says in done.stdout + done.stderr


@pytest.mark.parametrize("tool", ["zizmor", "actionlint", "check-jsonschema"])
def test_the_workflows_have_no_such_fault(tool: str) -> None:
    done = lint(tool, ROOT)

    assert done.returncode == 0, done.stdout + done.stderr


MAY_WRITE: Mapping[tuple[str, str], set[str]] = {
    ("release.yml", "publish"): {"id-token"},
    ("release.yml", "attest"): {"id-token", "attestations"},
    ("publish.yml", "publish"): {"id-token"},
    ("publish.yml", "attest"): {"id-token", "attestations"},
}
"""Every right to write that any job has."""
RELEASES = (
    WORKFLOWS / "release.yml",
    ROOT / "release" / "repository" / "template" / "dot.github" / "workflows" / "release.yml",
)
"""A release in two jobs, here and in a repository that `init` writes."""
PUBLISHES = "Prove the candidate anew, by this checkout's rules, and publish it"
"""The one step that gets a secret."""
WITHOUT = "env -u ACTIONS_ID_TOKEN_REQUEST_URL -u ACTIONS_ID_TOKEN_REQUEST_TOKEN "


def faults(name: str, text: str) -> list[str]:
    """What a workflow gives to a step that should not have it, or takes from where it should not."""
    workflow = yaml.safe_load(text)
    triggers = workflow[True].keys()  # YAML reads `on` so
    found = [f"runs on {one}" for one in ("pull_request_target", "workflow_run") if one in triggers]
    found += ["rights above its jobs"] if workflow["permissions"] != {} else []
    found += ["an environment above its jobs"] if "env" in workflow else []
    for job_name, job in workflow["jobs"].items():
        found += [f"{job_name}: {one}" for one in _faults_of_job(job, MAY_WRITE.get((name, job_name), set()))]
        if "pull_request" in triggers and "self-hosted" in str(job["runs-on"]):
            found.append(f"{job_name}: a pull request reaches a runner of ours")
    secrets = re.findall(r"secrets(?:\.|\[|: *inherit)|github\.token|GITHUB_TOKEN|toJSON\((?:secrets|env)", text)
    stepwise = [
        step for job in workflow["jobs"].values() for step in job["steps"] if "secrets." in str(step.get("env"))
    ]
    if len(secrets) != len(stepwise) or any(step["name"] != PUBLISHES for step in stepwise):
        found.append(f"a secret outside the step that publishes: {secrets}")
    return found


def _faults_of_job(job: dict[str, Any], may_write: set[str]) -> Iterator[str]:
    writes = {right for right, level in job["permissions"].items() if level != "read"}
    if writes != may_write or job["permissions"].keys() - writes - {"contents"}:
        yield f"has the rights {job['permissions']}"
    if "self-hosted" in str(job["runs-on"]) and (writes or "environment" in job):
        yield "a runner of ours may write"
    for step in job["steps"]:
        yield from _faults_of_action(step)
        yield from _faults_of_commands(step, may_ask=bool(writes))


def _faults_of_action(step: dict[str, Any]) -> Iterator[str]:
    uses = step.get("uses", "")
    if uses and not re.fullmatch("(actions|pypa)/[a-z-]+@[0-9a-f]{40}", uses):
        yield f"{uses} is not an action by commit"
    if uses.startswith("actions/checkout@") and step["with"].get("persist-credentials") is not False:
        yield "the checkout keeps its credentials"


def _faults_of_commands(step: dict[str, Any], *, may_ask: bool) -> Iterator[str]:
    run = step.get("run", "")
    if may_ask and run and not run.startswith(WITHOUT) and step.get("name") != PUBLISHES:
        yield f"{run} can ask for an identity"
    if step.get("name") == PUBLISHES and re.search(r"\b(make|pip|uv|setup_environment|curl)\b", run):
        yield "it installs where the secret is"
    if "${{" in run:
        yield f"{run} is made of a template"
    if re.search(r"pip install(?!.*--only-binary :all:)", run) and "build/*.whl" not in run:
        yield f"{run} may build what it installs"


@pytest.mark.parametrize("workflow", sorted(path.name for path in WORKFLOWS.iterdir()))
def test_secrets_and_rights_reach_one_step_and_nothing_else_is_taken_in(workflow: str) -> None:
    assert faults(workflow, (WORKFLOWS / workflow).read_text("utf-8")) == []


@pytest.mark.parametrize(
    ("workflow", "old", "new", "says"),
    [
        ("ci.yml", "  pull_request:", "  pull_request_target:", "pull_request_target"),
        ("ci.yml", "permissions: {}", "permissions: write-all", "rights above its jobs"),
        ("ci.yml", "contents: read #", "contents: write #", "has the rights"),
        ("ci.yml", "      contents: read #", "      packages: read #", "has the rights"),
        ("ci.yml", "persist-credentials: false", "fetch-depth: 1", "keeps its credentials"),
        ("ci.yml", "runs-on: ubuntu-24.04", "runs-on: [self-hosted]", "a pull request reaches"),
        ("ci.yml", "TORCH_FIND_LINKS: ${{ vars.", "X: ${{ secrets.", "a secret outside"),
        ("release.yml", "actions/upload-artifact@043fb46d1a93c77aae656e7c1c64a875d1fc6a0a", "o/a@v7", "by commit"),
        (
            "release.yml",
            "      HF_TOKEN: ${{",
            "      OTHER: ${{ secrets.X }}\n          HF_TOKEN: ${{",
            "a secret outside",
        ),
        ("release.yml", f"{WITHOUT}make setup-publish", "make setup-publish", "can ask for an identity"),
        (
            "release.yml",
            ".venv/bin/adapter-release publish",
            "make publish && .venv/bin/x",
            "installs where the secret",
        ),
        ("release.yml", '"$CONFIG" ${TAG', "${{ inputs.config }} ${TAG", "is made of a template"),
        (
            "release.yml",
            "      attestations: write",
            "      attestations: write\n      contents: write",
            "has the rights",
        ),
        ("reproduce.yml", "    timeout-minutes: 720", "    environment: huggingface", "a runner of ours may write"),
        ("publish.yml", "--only-binary :all: ", "", "may build what it installs"),
    ],
)
def test_a_workflow_that_gives_more_is_found(workflow: str, old: str, new: str, says: str) -> None:
    text = (WORKFLOWS / workflow).read_text("utf-8")
    assert old in text

    assert says in "\n".join(faults(workflow, text.replace(old, new)))


def test_a_fetch_of_reviews_is_an_action_by_commit_without_credentials() -> None:
    text = (WORKFLOWS / "release.yml").read_text("utf-8")
    fetched = "          ref: reviews\n          path: people\n          persist-credentials: false\n"
    assert fetched in text

    assert "keeps its credentials" in "\n".join(
        faults("release.yml", text.replace(fetched, "          ref: reviews\n"))
    )


def run_step(workflow: Path, name: str, tree: Path, program: str, **given: str) -> subprocess.CompletedProcess[str]:
    """A step's commands as a runner gives them to bash, in ``tree``, with ``program`` as the tool."""
    written = re.sub(r"%%\{(\w+)\}", r"\1", workflow.read_text("utf-8"))  # what `init` fills in
    jobs = yaml.safe_load(written)["jobs"].values()
    commands = next(step["run"] for job in jobs for step in job["steps"] if step.get("name") == name)
    tool = tree / ".venv" / "bin" / "adapter-release"
    tool.parent.mkdir(parents=True)
    tool.write_text(f"#!/bin/sh\n{program}\n", "utf-8")
    tool.chmod(0o755)
    (tree / "Makefile").write_text("setup:\n", "utf-8")
    env = {"PATH": f"{tool.parent}:{os.environ['PATH']}", "CONFIG": "release.yaml", "TAG": "v1", "HUB": ""}
    env |= {"GITHUB_OUTPUT": str(tree / "output"), "GITHUB_RUN_ID": "7"} | given
    shell = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", commands]
    return subprocess.run(shell, cwd=tree, env=env, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("workflow", RELEASES, ids=["this repository", "one of yours"])
@pytest.mark.parametrize(("code", "ends", "told"), [(0, 0, ""), (5, 5, ""), (9, 0, "waits=true\n"), (130, 130, "")])
def test_a_candidate_that_waits_for_people_goes_on_to_the_job_whose_reviewers_have_to_agree(
    workflow: Path, code: int, ends: int, told: str, tmp_path: Path
) -> None:
    done = run_step(workflow, "Make the candidate", tmp_path, f'echo "$@"; exit {code}')

    assert done.returncode == ends
    assert "candidate release.yaml --set publishing.tag=v1" in done.stdout
    output = tmp_path / "output"
    assert (output.read_text("utf-8") if output.exists() else "") == told


@pytest.mark.parametrize("workflow", RELEASES, ids=["this repository", "one of yours"])
@pytest.mark.parametrize(
    "typed", [{"CONFIG": "release.yaml; touch injected"}, {"TAG": "$(touch injected)"}, {"TAG": "v1\ntouch injected"}]
)
def test_a_name_that_is_none_is_told_before_anything_runs(
    workflow: Path, typed: dict[str, str], tmp_path: Path
) -> None:
    done = run_step(workflow, "Make the candidate", tmp_path, "touch injected", **typed)

    assert done.returncode == 2
    assert "holds letters, digits" in done.stdout
    assert not (tmp_path / "injected").exists()


@pytest.mark.parametrize("workflow", RELEASES, ids=["this repository", "one of yours"])
def test_what_people_said_of_this_run_is_given_to_the_program_and_nothing_else(workflow: Path, tmp_path: Path) -> None:
    for name in ("7/a b.json", "7/x.json", "7/notes.md", "8/y.json"):
        (tmp_path / "people" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "people" / name).write_text("{}", "utf-8")

    done = run_step(workflow, PUBLISHES, tmp_path, 'printf "%s|" "$@"')

    files = "--people-apart|--review|people/7/a b.json|--review|people/7/x.json|"
    assert (done.returncode, done.stdout) == (0, f"publish|dist|--config|release.yaml|--tag|v1|{files}")


@pytest.mark.parametrize("workflow", RELEASES, ids=["this repository", "one of yours"])
def test_where_nobody_is_asked_no_review_is_given(workflow: Path, tmp_path: Path) -> None:
    done = run_step(workflow, PUBLISHES, tmp_path, 'printf "%s|" "$@"')

    assert (done.returncode, done.stdout) == (0, "publish|dist|--config|release.yaml|--tag|v1|--people-apart|")


def test_ci_does_what_every_commit_is_checked_by() -> None:
    assert "run: .ci/run" in (WORKFLOWS / "ci.yml").read_text("utf-8")


@dataclass(frozen=True, kw_only=True)
class Project:
    """A copy of this repository, and what its runners would have."""

    tree: Path
    artifacts: Path
    hub: KeylessHub
    config: Path
    run: Path
    """The run folder of the configuration, with its training done."""

    def act(self, workflow: str, *options: str, **inputs: str) -> subprocess.CompletedProcess[str]:
        """Run a workflow by hand, every job of it on this host, with stand-ins for the actions of others."""
        used = set(re.findall(r"uses: (actions/(\S+)@\S+)", (WORKFLOWS / workflow).read_text("utf-8")))
        local = [f"--local-repository={name}={STANDINS / action.partition('@')[0]}" for name, action in used]
        environment = {
            "PYTHON": str(python(self.tree.parent)),
            "ADAPTER_RELEASE_CACHE": str(ROOT / ".cache"),
            "ARTIFACTS": str(self.artifacts),
            **self.hub.job(REPO),
        }
        del environment["HF_OIDC_RESOURCE"]  # the workflow's to give
        command = [
            *(str(BIN / "act"), "workflow_dispatch", "--workflows", f".github/workflows/{workflow}"),
            *("--no-cache-server", "-P", "ubuntu-24.04=-self-hosted", "-P", "self-hosted=-self-hosted"),
            *local,
            *options,
            *(f"--env={name}={value}" for name, value in environment.items()),
            *(f"--input={name}={value}" for name, value in inputs.items()),
        ]
        env = {**os.environ, "HOME": str(self.tree.parent)}
        done = subprocess.run(command, cwd=self.tree, env=env, capture_output=True, text=True, check=False)
        said = done.stdout + done.stderr
        assert not any(secret in said for secret in SECRETS)
        return subprocess.CompletedProcess(done.args, done.returncode, said)


@pytest.fixture
def project(tmp_path: Path, base: bases.Base) -> Iterator[Project]:
    tree, line = tmp_path / "project", tmp_path / "line"
    line.mkdir()
    copy_of_this_repository(tree)
    with keyless_hub(tmp_path / "hub", trusted=REPO) as hub:
        config = prepared_config(line, endpoint=hub.endpoint)
        yield Project(tree=tree, artifacts=tmp_path / "artifacts", hub=hub, config=config, run=trained(line, base))


def python(folder: Path) -> Path:
    """A Python whose set-up lends the environment of the tests: installing another would take minutes."""
    command = folder / "python"
    command.write_text(LENDING.format(python=sys.executable), "utf-8")
    command.chmod(0o755)
    return command


@pytest.mark.slow
def test_a_candidate_goes_from_the_job_with_the_gpu_to_the_job_with_the_token(project: Project) -> None:
    answered(project.run, project.config.parent / "golden.jsonl")
    project.hub.hub.api.create_repo(REPO)

    variables = (f"--var=HF_OIDC_RESOURCE={REPO}", f"--var=HF_HUB={project.hub.endpoint}")
    done = project.act("release.yml", *variables, config=str(project.config), tag=TAG)

    assert done.returncode == 0, done.stdout
    assert [tag.name for tag in project.hub.hub.api.list_repo_refs(REPO).tags] == [TAG]
    assert "POST /oauth/token 200" in project.hub.asked
    assert "**PASS**: every required gate passes" in done.stdout.partition("Summary - ")[2]
    assert re.search(r"attested \d+", done.stdout)
    assert list((project.artifacts / "receipt").glob("*/publication.json"))


@pytest.mark.slow
def test_a_refused_candidate_is_kept_and_shown_and_the_job_with_the_token_never_starts(project: Project) -> None:
    answered(project.run, project.config.parent / "golden.jsonl", well=False)

    done = project.act("release.yml", "--secret=HF_TOKEN=unused", config=str(project.config), tag=TAG)

    assert done.returncode != 0
    assert "A gate did not pass: nothing was published" in done.stdout
    assert "FAIL" in (project.artifacts / "candidate" / "report.md").read_text("utf-8")
    assert (project.artifacts / "candidate" / "refused" / "answers.jsonl").exists()
    assert "prove and publish" not in done.stdout.replace("needs", "")
    assert project.hub.asked == []


@pytest.mark.slow
def test_what_is_typed_into_a_workflow_is_never_run(project: Project) -> None:
    done = project.act("release.yml", config="release.yaml; touch injected", tag="$(touch injected)")

    assert done.returncode != 0
    assert "Failure - Main Make the candidate" in done.stdout
    assert not list(project.tree.parent.rglob("injected"))


@pytest.mark.slow
def test_a_reproduction_of_a_tag_that_is_not_there_is_red(project: Project) -> None:
    project.hub.hub.api.create_repo(REPO)
    variables = (f"--var=HF_REPO={REPO}", f"--var=HF_HUB={project.hub.endpoint}")

    done = project.act("reproduce.yml", *variables, tag="v0.0.9")

    assert done.returncode != 0
    assert f"{REPO} at {project.hub.endpoint} has no revision 'v0.0.9'" in done.stdout
