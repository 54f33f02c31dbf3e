"""The in-toto statements: what tools of others read, true to the record, and noticed when they are not."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format
from in_toto_attestation.predicates.provenance.v1 import provenance_pb2
from in_toto_attestation.predicates.test_result.v0 import test_result_pb2
from in_toto_attestation.v1 import statement, statement_pb2

from release.checking import opening, verify
from release.judging.released import Counted, Released
from release.publishing import attestations
from release.values import layout
from release.values.record import known
from tests.helpers.small_release import edit, read_record, small_release

STATEMENTS = "the in-toto statements agree with record and verdict"


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_release(tmp_path_factory.mktemp("made")).folder


def read(folder: Path, name: str) -> Any:
    return json.loads((folder / name).read_bytes())


def derived(folder: Path, value: Any = None, counted: Sequence[Counted] | None = None) -> dict[str, Any]:
    """The statements of a release, with another record or other gates."""
    made, files = Released(folder=folder), read_record(folder)["files"]
    said = attestations.derive(known(value or made.raw), counted or made.counted, {layout.COMPARISON: True}, files)
    return {name: json.loads(statement) for name, statement in said.items()}


@pytest.mark.parametrize("name", [layout.TEST_RESULT, layout.PROVENANCE])
def test_a_statement_is_one_by_the_types_of_the_in_toto_project(name: str, release: Path) -> None:
    """Its own protobuf classes refuse fields that the specification does not have; extensions stand apart."""
    said = read(release, name)
    parsed = statement.Statement.copy_from_pb(json_format.ParseDict(said, statement_pb2.Statement()))
    parsed.validate()

    kinds = {layout.TEST_RESULT: test_result_pb2.TestResult, layout.PROVENANCE: provenance_pb2.Provenance}
    standard = {key: value for key, value in said["predicate"].items() if not key.startswith("adapterRelease_")}
    json_format.ParseDict(standard, kinds[name]())


def test_the_subject_is_the_adapter_that_was_judged(release: Path) -> None:
    judged = read_record(release)["adapter"]["files"]

    for name in (layout.TEST_RESULT, layout.PROVENANCE):
        assert {one["name"]: one["digest"]["sha256"] for one in read(release, name)["subject"]} == judged


def test_every_required_gate_and_the_base_are_tests_that_passed(release: Path) -> None:
    said = read(release, layout.TEST_RESULT)["predicate"]
    gates = [gate["gate"] for gate in read(release, "gates/verdict.json")["gates"]]

    assert said["result"] == "PASSED"
    assert said["passedTests"] == [*gates, "beats_the_base"]
    assert said["warnedTests"] == said["failedTests"] == []
    assert said["adapterRelease_gates"][0]["k"] == said["adapterRelease_gates"][0]["n"]


def test_a_gate_that_did_not_pass_is_a_failure_or_a_warning(release: Path) -> None:
    one, other, *_ = Released(folder=release).counted
    first, second = replace(one, state="UNDEFINED"), replace(other, state="FAIL", required=False)

    said = derived(release, counted=[first, second])[layout.TEST_RESULT]["predicate"]

    assert (said["failedTests"], said["warnedTests"]) == ([first.gate], [second.gate])


def test_the_provenance_names_source_base_rows_locks_and_packages(release: Path) -> None:
    value = read_record(release)
    value["source"]["commit"], value["image_digest"] = "a" * 40, "sha256:" + "b" * 64
    value["base"]["revision"] = "c" * 40
    said = derived(release, value)[layout.PROVENANCE]["predicate"]["buildDefinition"]

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
        (layout.TEST_RESULT, lambda value: value["subject"][0]["digest"].update(sha256="0" * 64)),
        (layout.TEST_RESULT, lambda value: value["predicate"]["failedTests"].append("json_parse")),
        (layout.PROVENANCE, lambda value: value["predicate"]["runDetails"]["builder"].update(id="https://ci")),
        (layout.PROVENANCE, lambda value: value["predicate"]["buildDefinition"]["resolvedDependencies"].pop()),
    ],
    ids=["another subject", "another result", "another builder", "a missing dependency"],
)
def test_a_statement_that_says_something_else_is_named(name: str, change: Any, release: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(release, tmp_path / "release"))
    edit(folder / name, change)

    (step,) = verify.check(opening.Opened(release=Released(name="release", folder=folder)), [STATEMENTS])

    assert step.problems == (f"{name} does not agree with record and verdict",)


def test_a_missing_statement_fails(release: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(release, tmp_path / "release"))
    (folder / layout.PROVENANCE).unlink()

    (step,) = verify.check(opening.Opened(release=Released(name="release", folder=folder)), [STATEMENTS])

    assert step.outcome == "FAILED"
