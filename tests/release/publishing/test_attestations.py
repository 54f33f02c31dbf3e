"""The in-toto statements: what tools of others read, true to the record, and noticed when they are not."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format
from in_toto_attestation.predicates.provenance.v1 import provenance_pb2
from in_toto_attestation.predicates.test_result.v0 import test_result_pb2
from in_toto_attestation.v1 import statement, statement_pb2

from release.checking import verify
from release.publishing import attestations, package
from tests.helpers.small_release import edit, small_release

STATEMENTS = "the in-toto statements say what record and verdict say"


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_release(tmp_path_factory.mktemp("made")).folder


def read(folder: Path, name: str) -> Any:
    return json.loads((folder / name).read_bytes())


def derived(folder: Path, **verdict: Any) -> dict[str, dict[str, Any]]:
    """The statements of a release, with a verdict of these changes."""
    judged, value = attestations.read_judged(folder / "gates"), package.read_record(folder)
    return attestations.statements(
        value, judged | {"verdict.json": {**judged["verdict.json"], **verdict}}, value["files"]
    )


@pytest.mark.parametrize("name", [attestations.TEST_RESULT, attestations.PROVENANCE])
def test_a_statement_is_one_by_the_types_of_the_in_toto_project(name: str, release: Path) -> None:
    """Its own protobuf classes refuse fields that the specification does not have; extensions stand apart."""
    said = read(release, name)
    parsed = statement.Statement.copy_from_pb(json_format.ParseDict(said, statement_pb2.Statement()))
    parsed.validate()

    kinds = {attestations.TEST_RESULT: test_result_pb2.TestResult, attestations.PROVENANCE: provenance_pb2.Provenance}
    standard = {key: value for key, value in said["predicate"].items() if not key.startswith("adapterRelease_")}
    json_format.ParseDict(standard, kinds[name]())


def test_the_subject_is_the_adapter_that_was_judged(release: Path) -> None:
    judged = package.read_record(release)["adapter"]["files"]

    for name in (attestations.TEST_RESULT, attestations.PROVENANCE):
        assert {one["name"]: one["digest"]["sha256"] for one in read(release, name)["subject"]} == judged


def test_every_required_gate_and_the_base_are_tests_that_passed(release: Path) -> None:
    said = read(release, attestations.TEST_RESULT)["predicate"]
    gates = [gate["gate"] for gate in read(release, "gates/verdict.json")["gates"]]

    assert said["result"] == "PASSED"
    assert said["passedTests"] == [*gates, "beats_the_base"]
    assert said["warnedTests"] == said["failedTests"] == []
    assert said["adapterRelease_gates"][0]["k"] == said["adapterRelease_gates"][0]["n"]


def test_a_gate_that_did_not_pass_is_a_failure_or_a_warning(release: Path) -> None:
    gates = read(release, "gates/verdict.json")["gates"]
    first, second = ({**gates[0], "state": "UNDEFINED"}, {**gates[1], "state": "FAIL", "required": False})

    said = derived(release, gates=[first, second])[attestations.TEST_RESULT]["predicate"]

    assert (said["failedTests"], said["warnedTests"]) == ([first["gate"]], [second["gate"]])


def test_the_provenance_names_source_base_rows_locks_and_packages(release: Path) -> None:
    value = package.read_record(release)
    value["source"]["commit"], value["image_digest"] = "a" * 40, "sha256:" + "b" * 64
    value["base"]["revision"] = "c" * 40
    judged = attestations.read_judged(release / "gates")
    said = attestations.statements(value, judged, value["files"])[attestations.PROVENANCE]["predicate"]
    said = said["buildDefinition"]

    named = {one.get("name", one.get("uri")): one for one in said["resolvedDependencies"]}
    assert named["source"]["digest"] == {"gitCommit": "a" * 40}
    assert named["image"]["digest"] == {"sha256": "b" * 64}
    assert named["base/model.safetensors"]["uri"].endswith("/resolve/" + "c" * 40 + "/model.safetensors")
    assert named["train rows"]["digest"]["sha256"] == value["data"]["train"]["sha256"]
    assert named["locks"]["digest"]["sha256"] == value["source"]["locks_sha256"]
    assert "pkg:pypi/torch@1.0.0" in named
    assert said["externalParameters"]["config"] == value["config"]


@pytest.mark.parametrize(
    ("name", "change"),
    [
        (attestations.TEST_RESULT, lambda value: value["subject"][0]["digest"].update(sha256="0" * 64)),
        (attestations.TEST_RESULT, lambda value: value["predicate"]["failedTests"].append("json_parse")),
        (attestations.PROVENANCE, lambda value: value["predicate"]["runDetails"]["builder"].update(id="https://ci")),
        (attestations.PROVENANCE, lambda value: value["predicate"]["buildDefinition"]["resolvedDependencies"].pop()),
    ],
    ids=["another subject", "another result", "another builder", "a missing dependency"],
)
def test_a_statement_that_says_something_else_is_named(name: str, change: Any, release: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(release, tmp_path / "release"))
    edit(folder / name, change)

    (step,) = verify.check(verify.Opened(name="release", folder=folder), [STATEMENTS])

    assert step.problems == (f"{name} does not say what record and verdict say",)


def test_a_missing_statement_fails(release: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(release, tmp_path / "release"))
    (folder / attestations.PROVENANCE).unlink()

    (step,) = verify.check(verify.Opened(name="release", folder=folder), [STATEMENTS])

    assert step.outcome == "FAILED"
