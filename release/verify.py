"""Check a published release against its own record: bytes, card, verdict. Seconds, no GPU, nothing trusted twice."""

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

import gates
from release import hub_target, package
from release.artifacts import sha256_file
from release.errors import VerificationError
from release.events import Line, Say

NEEDED = ("README.md", "adapter_config.json", "adapter_model.safetensors", "gates/answers.jsonl", "gates/verdict.json")
PICKLES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt")


@dataclass(frozen=True, kw_only=True)
class Step:
    """A numbered check and what is wrong, if anything."""

    name: str
    problems: tuple[str, ...]


def verify(release: str, endpoint: str, say: Say) -> None:
    """Check ``REPO@TAG`` on a Hub, or a downloaded folder. Raises ``VerificationError`` after reporting every step."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(release)
        if not folder.is_dir():
            folder = Path(scratch) / "release"
            commit = hub_target.fetch(release, endpoint, folder, say)
            say(Line(text=f"{release} is commit {commit}"))
        steps = check_folder(folder)
    for number, step in enumerate(steps, 1):
        say(Line(text=f"{number}. {'FAILED' if step.problems else 'ok':<6} {step.name}"))
        for problem in step.problems:
            say(Line(text=f"          {problem}"))
    failed = [step.name for step in steps if step.problems]
    if failed:
        raise VerificationError(
            f"{release} is not what its record says: {'; '.join(failed)}. Do not use it; tell its publisher."
        )


def check_folder(folder: Path) -> list[Step]:
    """Every check over the files of a release, in order; a step that cannot run has failed."""
    checks = (
        ("the files that a release needs are there, and no pickle", _files),
        ("every file has the sha256 of the record, and none is extra", _digests),
        ("the record names the judged adapter and a verdict that passed", _record),
        ("the card shows the numbers of the verdict", _card),
        ("the gates derive the stored verdict from the stored answers, byte for byte", _verdict),
    )
    steps = []
    for name, check in checks:
        try:
            problems = check(folder)
        except (OSError, ValueError, KeyError, TypeError, gates.InvalidData, gates.InvalidConfig) as error:
            problems = [f"it cannot be checked: {type(error).__name__}: {error}"]
        steps.append(Step(name=name, problems=tuple(problems)))
    return steps


def _files(folder: Path) -> list[str]:
    problems = [f"{name} is missing" for name in (*NEEDED, package.RECORD) if not (folder / name).is_file()]
    found = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return problems + [f"{path.relative_to(folder)} can hide code" for path in found if path.suffix in PICKLES]


def _digests(folder: Path) -> list[str]:
    expected = package.read_record(folder)["files"]
    actual = package.complete_record({}, folder)["files"]
    problems = [f"{name} is missing" for name in sorted(expected.keys() - actual.keys())]
    problems += [f"{name} is not in the record" for name in sorted(actual.keys() - expected.keys())]
    return problems + [
        f"{name} has sha256 {actual[name]}, the record says {expected[name]}"
        for name in sorted(expected.keys() & actual.keys())
        if actual[name] != expected[name]
    ]


def _record(folder: Path) -> list[str]:
    record = package.read_record(folder)
    verdict = json.loads((folder / "gates" / "verdict.json").read_bytes())
    problems = []
    if record["verdict_sha256"] != sha256_file(folder / "gates" / "verdict.json"):
        problems.append("gates/verdict.json is not the verdict the record names")
    if record["generation"]["answers_sha256"] != sha256_file(folder / "gates" / "answers.jsonl"):
        problems.append("gates/answers.jsonl are not the answers the record names")
    if record["generation"]["adapter_sha256"] != record["adapter"]["sha256"]:
        problems.append("the answers were made by another adapter than the one published")
    problems += [
        f"{name} is not the file that was judged"
        for name, sha256 in record["adapter"]["files"].items()
        if not (folder / name).is_file() or sha256_file(folder / name) != sha256
    ]
    if record["passed"] is not True or verdict["passed"] is not True:
        problems.append("the verdict is not a pass")
    return problems


def _card(folder: Path) -> list[str]:
    record = package.read_record(folder)
    verdict = json.loads((folder / "gates" / "verdict.json").read_bytes())
    metadata: dict[str, Any] = yaml.safe_load((folder / "README.md").read_text("utf-8").split("---\n")[1])
    problems = []
    if metadata["base_model"] != record["base"]["base_model_id"]:
        problems.append(f"it names the base {metadata['base_model']}, the record {record['base']['base_model_id']}")
    shown = {
        metric["type"]: (metric["args"]["k"], metric["args"]["n"])
        for metric in metadata["model-index"][0]["results"][0]["metrics"]
    }
    measured = {gate["gate"]: (gate["k"], gate["n"]) for gate in verdict["gates"] if gate["n"]}
    return problems + [
        f"{name}: the card says {shown.get(name)}, the verdict {measured.get(name)}"
        for name in sorted(shown.keys() | measured.keys())
        if shown.get(name) != measured.get(name)
    ]


def _verdict(folder: Path) -> list[str]:
    golden = folder / "data" / "golden.jsonl"
    if not golden.exists():
        return ["the golden rows are not published, so the verdict cannot be derived again"]
    stored = folder / "gates"
    contract = gates.load_contract(json.loads((stored / "contract.json").read_bytes()), stored)
    policy = gates.load_policy(json.loads((stored / "policy.json").read_bytes()))
    verdict = gates.judge(gates.read_golden(golden), gates.read_outputs(stored / "answers.jsonl"), contract, policy)
    if verdict.to_json() == (stored / "verdict.json").read_bytes():
        return []
    return ["another verdict comes out: the answers, the golden rows, the policy or the stored verdict were changed"]
