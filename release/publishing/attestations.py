"""What a record and its verdict say, as in-toto statements for tools that read them: a test result and provenance.

Both are functions of the release alone, so whoever holds it can derive them again. Specifications: in-toto Attestation
Framework, Statement v1 and the predicates Test Result v0.1 and SLSA Provenance v1.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict

from gates.canonical import canonical_json
from release.judging.released import Counted
from release.values import layout
from release.values.as_json import to_json
from release.values.record import Record

COMPARISONS = {
    layout.COMPARISON: "beats_the_base",
    layout.COMPARISON_LAST: "no_worse_than_the_last_release",
    layout.COMPARISON_BEST: "no_worse_than_the_best_release",
}
"""What is tested beside the gates, by the file that decides it; the last two after a first release."""
# What the verdict was derived by, and from: named in the statements with the digests of these files.
POLICY = (layout.POLICY, layout.CONTRACT, layout.ANSWER_SCHEMA)
EVIDENCE = (layout.VERDICT, layout.COMPARISON, layout.ANSWERS, layout.BASE_ANSWERS)
BUILD_TYPE = "urn:adapter-release:build:1"
BUILDER = "urn:adapter-release:builder:self-reported"  # nobody but the publisher says where it was built: SLSA Build L0


def derive(
    record: Record, counted: Sequence[Counted], beside: Mapping[str, bool], files: Mapping[str, str]
) -> dict[str, bytes]:
    """Both statements by the name of their file.

    ``beside``: whether each comparison is a pass, by the name of its file. ``files``: the sha256 of at least
    ``POLICY`` and ``EVIDENCE``.
    """
    subject = [_file(name, sha256) for name, sha256 in sorted(record.adapter.files.items())]
    statement = {"_type": "https://in-toto.io/Statement/v1", "subject": subject}
    test_result = {
        "predicateType": "https://in-toto.io/attestation/test-result/v0.1",
        "predicate": _test_result(record, counted, beside, files),
    }
    provenance = {"predicateType": "https://slsa.dev/provenance/v1", "predicate": _provenance(record, files)}
    return {
        layout.TEST_RESULT: canonical_json(statement | test_result),
        layout.PROVENANCE: canonical_json(statement | provenance),
    }


def _test_result(
    record: Record, counted: Sequence[Counted], beside: Mapping[str, bool], files: Mapping[str, str]
) -> dict[str, object]:
    """Passed, or not: an optional gate that did not pass is a warning. Counts are in an extension field."""
    states = [(gate.gate, gate.state == "PASS", gate.required) for gate in counted]
    states += [(test, beside[name], True) for name, test in COMPARISONS.items() if name in beside]
    forms = record.forms or {}
    states += [(f"served_as_{name}", form.passed, form.settings["required"] is True) for name, form in forms.items()]
    states += [("human_review", record.review.state == "PASS", True)] if record.review else []
    golden = _file("golden rows", record.data.golden.sha256)
    of_forms = {layout.of_form(name)["verdict.json"]: form.verdict_sha256 for name, form in forms.items()}
    return {
        "result": "PASSED" if record.passed is True else "FAILED",
        "configuration": [*(_file(name, files[name]) for name in POLICY), golden],
        "passedTests": [name for name, passed, _ in states if passed],
        "warnedTests": [name for name, passed, required in states if not passed and not required],
        "failedTests": [name for name, passed, required in states if not passed and required],
        "adapterRelease_gates": [asdict(gate) for gate in counted],
        "adapterRelease_evidence": [
            *(_file(name, files[name]) for name in EVIDENCE),
            *(_file(name, sha256) for name, sha256 in of_forms.items()),
        ],
    }


def _provenance(record: Record, files: Mapping[str, str]) -> dict[str, object]:
    program, training = record.program, record.ran
    fixed = {"determinism": to_json(record.determinism), "hardware": to_json(training.hardware)}
    return {
        "buildDefinition": {
            "buildType": BUILD_TYPE,
            "externalParameters": {"config": record.config},
            "internalParameters": fixed,
            "resolvedDependencies": _dependencies(record),
        },
        "runDetails": {
            "builder": {
                "id": BUILDER,
                "version": {program.name: program.version, "python": training.versions["python"]},
            },
            "metadata": {"invocationId": record.record_sha256},
            "byproducts": [_file(name, files[name]) for name in EVIDENCE],
        },
    }


def _dependencies(record: Record) -> list[dict[str, object]]:
    """Source, locks, base, rows, image and packages: all that the adapter was made of."""
    source, base, image = record.source, record.base, record.image_digest
    found = [_file("locks", source.locks_sha256), _file("code", source.code_sha256)]
    if source.commit:
        commit: dict[str, object] = {"name": "source", "digest": {"gitCommit": source.commit}}
        found.insert(0, commit | {"annotations": {"dirty": source.dirty}})
    if source.project:
        own: dict[str, object] = {"name": "project", "digest": {"gitCommit": source.project.commit}}
        found.insert(0, own | {"annotations": {"dirty": source.project.dirty}})
    if record.program.distribution_sha256:
        found.append(_file("program", record.program.distribution_sha256))
    where = f"https://huggingface.co/{base.base_model_id}/resolve/{base.revision}/"
    for name, sha256 in sorted(base.files.items()):
        found.append(_file(f"base/{name}", sha256) | ({"uri": where + name} if base.revision else {}))
    rows = ((kind, record.data.of(kind)) for kind in ("train", "tuning", "golden"))
    found += [_file(f"{kind} rows", one.sha256) for kind, one in rows if one]
    if brought := record.origin:
        found += [_file(f"adapter/{name}", sha256) for name, sha256 in sorted(brought.files.items())]
    if image:
        found.append(_file("image", image.removeprefix("sha256:")))
    versions = record.ran.packages or {}
    return found + [{"uri": f"pkg:pypi/{name}@{version}"} for name, version in sorted(versions.items())]


def _file(name: str, sha256: str) -> dict[str, object]:
    """A resource descriptor."""
    return {"name": name, "digest": {"sha256": sha256}}
