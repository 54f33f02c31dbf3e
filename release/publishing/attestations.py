"""What a record and its verdict say, as in-toto statements for tools that read them: a test result and provenance.

Both are functions of the release alone, so whoever holds it can derive them again. Specifications: in-toto Attestation
Framework, Statement v1 and the predicates Test Result v0.1 and SLSA Provenance v1.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

TEST_RESULT = "attestations/test-result.json"
PROVENANCE = "attestations/provenance.json"
COMPARISONS = {
    "comparison.json": "beats_the_base",
    "comparison_last.json": "no_worse_than_the_last_release",
    "comparison_best.json": "no_worse_than_the_best_release",
}
"""What stands beside the gates, by the file under ``gates/`` that decides it; the last two after a first release."""
# What the verdict was derived by, and from: named in the statements with the digests of these files.
POLICY = ("gates/policy.json", "gates/contract.json", "gates/answer.schema.json")
EVIDENCE = ("gates/verdict.json", "gates/comparison.json", "gates/answers.jsonl", "gates/base_answers.jsonl")
BUILD_TYPE = "urn:adapter-release:build:1"
BUILDER = "urn:adapter-release:builder:self-reported"  # nobody but the publisher says where it was built: SLSA Build L0


def statements(
    record: Mapping[str, Any], judged: Mapping[str, Any], files: Mapping[str, str]
) -> dict[str, dict[str, Any]]:
    """Both statements by the name of their file.

    ``judged``: the verdict and the comparisons by the name of their file under ``gates/``, as ``read_judged`` gives
    them. ``files``: the sha256 of at least ``POLICY`` and ``EVIDENCE``.
    """
    subject = [_file(name, sha256) for name, sha256 in sorted(record["adapter"]["files"].items())]
    statement = {"_type": "https://in-toto.io/Statement/v1", "subject": subject}
    return {
        TEST_RESULT: {
            **statement,
            "predicateType": "https://in-toto.io/attestation/test-result/v0.1",
            "predicate": _test_result(record, judged, files),
        },
        PROVENANCE: {
            **statement,
            "predicateType": "https://slsa.dev/provenance/v1",
            "predicate": _provenance(record, files),
        },
    }


def read_judged(folder: Path) -> dict[str, Any]:
    """The verdict and the comparisons of a folder with what was judged."""
    names = ["verdict.json", *(name for name in COMPARISONS if (folder / name).exists())]
    return {name: json.loads((folder / name).read_bytes()) for name in names}


def _test_result(record: Mapping[str, Any], judged: Mapping[str, Any], files: Mapping[str, str]) -> dict[str, Any]:
    """Passed, or not: an optional gate that did not pass is a warning. Counts stand in an extension field."""
    verdict = judged["verdict.json"]
    states = [(gate["gate"], gate["state"] == "PASS", gate["required"]) for gate in verdict["gates"]]
    states += [(test, judged[name]["passed"] is True, True) for name, test in COMPARISONS.items() if name in judged]
    golden = record["data"]["golden"]
    counted = ("gate", "state", "required", "k", "n", "bound", "target", "floor")
    return {
        "result": "PASSED" if record["passed"] is True else "FAILED",
        "configuration": [*(_file(name, files[name]) for name in POLICY), _file("golden rows", golden["sha256"])],
        "passedTests": [name for name, passed, _ in states if passed],
        "warnedTests": [name for name, passed, required in states if not passed and not required],
        "failedTests": [name for name, passed, required in states if not passed and required],
        "adapterRelease_gates": [{name: gate[name] for name in counted} for gate in verdict["gates"]],
        "adapterRelease_evidence": [_file(name, files[name]) for name in EVIDENCE],
    }


def _provenance(record: Mapping[str, Any], files: Mapping[str, str]) -> dict[str, Any]:
    program, python = record["program"], record["training"]["versions"]["python"]
    return {
        "buildDefinition": {
            "buildType": BUILD_TYPE,
            "externalParameters": {"config": record["config"]},
            "internalParameters": {"determinism": record["determinism"], "hardware": record["training"]["hardware"]},
            "resolvedDependencies": _dependencies(record),
        },
        "runDetails": {
            "builder": {"id": BUILDER, "version": {program["name"]: program["version"], "python": python}},
            "metadata": {"invocationId": record["record_sha256"]},
            "byproducts": [_file(name, files[name]) for name in EVIDENCE],
        },
    }


def _dependencies(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Source, locks, base, rows, image and packages: all that the adapter was made of."""
    source, base, data, image = record["source"], record["base"], record["data"], record["image_digest"]
    found = [_file("locks", source["locks_sha256"]), _file("code", source["code_sha256"])]
    if source["commit"]:
        commit = {"name": "source", "digest": {"gitCommit": source["commit"]}}
        found.insert(0, commit | {"annotations": {"dirty": source["dirty"]}})
    where = f"https://huggingface.co/{base['base_model_id']}/resolve/{base['revision']}/"
    for name, sha256 in sorted(base["files"].items()):
        found.append(_file(f"base/{name}", sha256) | ({"uri": where + name} if base["revision"] else {}))
    found += [_file(f"{kind} rows", data[kind]["sha256"]) for kind in ("train", "golden")]
    if image:
        found.append(_file("image", image.removeprefix("sha256:")))
    versions = record["training"]["packages"]
    return found + [{"uri": f"pkg:pypi/{name}@{version}"} for name, version in sorted(versions.items())]


def _file(name: str, sha256: str) -> dict[str, Any]:
    """A resource descriptor."""
    return {"name": name, "digest": {"sha256": sha256}}
