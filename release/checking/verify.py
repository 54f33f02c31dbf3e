"""Check a published release against its own record: bytes, card, verdict, signature. Seconds, and no GPU."""

import contextlib
import html
import json
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

import gates
from gates.canonical import canonical_json
from release.data import dataset
from release.hub import address
from release.judging import previous
from release.publishing import attestations, package, sign
from release.values import layout, record, tensors
from release.values.artifacts import FileDigest, Manifest, sha256_file
from release.values.errors import ConfigError, DataError, VerificationError
from release.values.events import Line, Say

NEEDED = (
    "README.md",
    "adapter_config.json",
    layout.WEIGHTS,
    package.RECORD,
    layout.ANSWER_SCHEMA,
    *(f"gates/{name}" for name in ("answers.jsonl", "verdict.json", "policy.json", "contract.json")),
)
CODE = {".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib", ".npy", ".npz", ".py", ".so", ".sh", ".dll"}
PICKLED = re.compile(rb"\x80[\x02-\x05]|PK\x03\x04")  # a pickle's first bytes (PEP 3154); torch's zip around one
OURS = ("README.md", *package.UNLISTED)
FOLDERS = ("gates/", "data/", "attestations/")
"""Where a release holds what is no part of the adapter; whatever else is there is loaded with it."""
OF_TOOLS = (".git/", ".cache/huggingface/")  # what git and the Hub's client put beside a release


@dataclass(frozen=True, kw_only=True)
class Opened:
    """A release on this disk, and what is known of where it comes from."""

    name: str
    folder: Path
    commit: str | None = None
    """None: a folder that somebody downloaded earlier."""
    expected: Mapping[str, str] | None = None
    """What a receipt, or the commit in ``REPO@TAG@COMMIT``, says it must be: ``commit``, ``manifest_digest``."""
    data: Path | None = None
    """Where the rows are, for a release that does not carry them."""
    trust: sign.Trust | None = None
    """Whose signature it must have; None: nobody asked."""

    @property
    def names(self) -> list[str]:
        """Every file of the release, less what git and the Hub's client keep beside it."""
        found = (
            path.relative_to(self.folder).as_posix()
            for path in self.folder.rglob("*")
            if path.is_symlink() or not path.is_dir()
        )
        return sorted(name for name in found if not name.startswith(OF_TOOLS) and name != ".gitattributes")

    def read(self, name: str) -> Any:
        return json.loads((self.folder / name).read_bytes())

    def manifest(self, names: Iterable[str]) -> Manifest:
        """The manifest of these files, links followed: the Hub's cache keeps a release as links."""
        paths = [(name, self.folder / name) for name in sorted(names)]
        files = [FileDigest(path=name, size=path.stat().st_size, sha256=sha256_file(path)) for name, path in paths]
        return Manifest(files=tuple(files))

    def rows(self, kind: str) -> Path | None:
        """The file of the ``train`` or ``golden`` rows: in the release, else in ``data`` the one with its sha256."""
        inside = self.folder / layout.DATA[kind]
        if inside.exists() or self.data is None:
            return inside if inside.exists() else None
        wanted = self.read(package.RECORD)["data"][kind]["sha256"]
        return next((path for path in sorted(self.data.rglob("*.json*")) if rows_digest(path) == wanted), None)


@dataclass(frozen=True, kw_only=True)
class Unchecked:
    """What a step could not look at, and did not have to: no fault, and not ok either."""

    why: str


@dataclass(frozen=True, kw_only=True)
class Step:
    """A numbered check and what is wrong, if anything."""

    name: str
    problems: tuple[str, ...]
    unchecked: tuple[str, ...] = ()

    @property
    def outcome(self) -> str:
        return "FAILED" if self.problems else "--" if self.unchecked else "ok"


def rows_digest(path: Path) -> str | None:
    """The digest that a record gives a dataset; None for a file that is none."""
    try:
        return dataset.load(path).sha256
    except DataError:
        return None


@dataclass(frozen=True, kw_only=True)
class Known:
    """What somebody who asks brings along: nothing of it comes from the release."""

    receipt: Path | None = None
    """``publication.json`` of the run that made it."""
    data: Path | None = None
    trust: sign.Trust | None = None


@contextlib.contextmanager
def opened(release: str, endpoint: str, say: Say, known: Known) -> Iterator[Opened]:
    """``REPO@TAG``, ``REPO@TAG@COMMIT`` or a folder, on this disk while the block lasts. A tag is resolved once."""
    expected = _receipt(known.receipt) if known.receipt else {}
    if known.trust and (problem := sign.trust_problem(known.trust)):
        raise ConfigError([f"The signature cannot be checked: {problem}"])
    folder = Path(release)
    if folder.is_dir():
        yield Opened(name=folder.resolve().name, folder=folder, expected=expected, data=known.data, trust=known.trust)
        return
    name, at, commit = release.rpartition("@")
    if "@" in name and at:
        if not re.fullmatch("[0-9a-f]{40}", commit):
            raise ConfigError([f"{release!r}: {commit!r} is no commit. Write REPO@TAG@ and its 40 hex digits."])
        release, expected = name, {**expected, "commit": commit}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "release"
        found = address.fetch(release, endpoint, folder, say)
        say(Line(text=f"{release} is commit {found}"))
        yield Opened(name=release, folder=folder, commit=found, expected=expected, data=known.data, trust=known.trust)


def _receipt(path: Path) -> dict[str, str]:
    try:
        receipt = json.loads(path.read_bytes())
        return {name: str(receipt[name]) for name in ("commit", "manifest_digest")}
    except (OSError, ValueError, KeyError, TypeError) as error:
        what = f"{path} is no receipt: {type(error).__name__}: {error}."
        raise ConfigError([f"{what} A release leaves one as publication.json in its run folder."]) from None


def verify(release: str, endpoint: str, say: Say, known: Known) -> None:
    """Check a release on a Hub, or a downloaded folder. Raises ``VerificationError`` after reporting every step."""
    with opened(release, endpoint, say, known) as found:
        report(found, say)


def report(found: Opened, say: Say) -> None:
    """Every step with its outcome; then ``VerificationError`` if any failed."""
    steps = check(found)
    for number, step in enumerate(steps, 1):
        say(Line(text=f"{number:2}. {step.outcome:<6} {step.name}"))
        for told in step.problems + step.unchecked:
            say(Line(text=f"           {told}"))
    failed = [f"{number}. {step.name}" for number, step in enumerate(steps, 1) if step.problems]
    if failed:
        raise VerificationError(
            f"{found.name} is not what its record says. Failed:\n  "
            + "\n  ".join(failed)
            + "\nDo not use it; tell its publisher."
        )


def check(found: Opened, names: Iterable[str] | None = None) -> list[Step]:
    """Every check over the files of a release, or those of these names, in order; one that cannot run has failed."""
    steps = []
    for name in CHECKS if names is None else names:
        found_here: list[str | Unchecked] = []
        try:
            found_here += CHECKS[name](found)
        except (OSError, ValueError, TypeError, LookupError, AttributeError, RecursionError, yaml.YAMLError) as error:
            found_here.append(f"it cannot be checked: {type(error).__name__}: {error}")
        except (gates.InvalidData, gates.InvalidConfig) as error:
            found_here += [f"it cannot be checked: {problem}" for problem in error.problems]
        problems = tuple(one for one in found_here if isinstance(one, str))
        unchecked = tuple(one.why for one in found_here if isinstance(one, Unchecked))
        steps.append(Step(name=name, problems=problems, unchecked=unchecked))
    return steps


def _place(found: Opened) -> Iterator[str]:
    expected = found.expected or {}
    commit, manifest = expected.get("commit"), expected.get("manifest_digest")
    if commit and found.commit and commit != found.commit:
        yield f"{found.name} is commit {found.commit} now, it was {commit}: the tag was moved"
    if manifest:
        actual = found.manifest(found.names).digest
        if actual != manifest:
            yield f"its files have the manifest digest {actual}, the receipt says {manifest}"


def _files(found: Opened) -> Iterator[str]:
    named = (layout.CHAT_TEMPLATE,) if "chat_template" in found.read(package.RECORD)["config"]["model"] else ()
    for name in (*NEEDED, *named):
        if not (found.folder / name).is_file():
            yield f"{name} is missing"
    for name in found.names:
        path = found.folder / name
        if not path.is_file():
            yield f"{name} is not a file"
        elif path.suffix.lower() in CODE or PICKLED.match(_start(path)):
            yield f"{name} can hide code"


def _start(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(4)


def _digests(found: Opened) -> Iterator[str]:
    expected = found.read(package.RECORD)["files"]
    actual = {name for name in found.names if name in expected or name not in package.UNLISTED}
    for name in sorted(expected.keys() | actual):
        if name not in actual:
            yield f"{name} is missing"
        elif name not in expected:
            yield f"{name} is not in the record"
        elif (sha256 := sha256_file(found.folder / name)) != expected[name]:
            yield f"{name} has sha256 {sha256}, the record says {expected[name]}"


def _record(found: Opened) -> Iterator[str]:
    stored = (found.folder / package.RECORD).read_bytes()
    release = json.loads(stored)
    if stored != canonical_json(release):
        yield f"{package.RECORD} is not in its one canonical spelling: it was edited"
    yield from record.problems(release)


def _agreement(found: Opened) -> Iterator[str]:
    """The record says one thing about how the adapter was made, wherever it says it."""
    release = found.read(package.RECORD)
    training, generation, fixed = release["training"], release["generation"], release["determinism"]
    threads = {
        "determinism": fixed["threads"],
        "training": training["hardware"]["threads"],
        "answering": generation["hardware"]["threads"],
        "the configuration": release["config"]["run"].get("threads", fixed["threads"]),
    }
    yield from _unequal("thread counts", threads)
    for name in sorted(training["versions"].keys() | generation["versions"].keys()):
        both = {"training": training["versions"].get(name), "answering": generation["versions"].get(name)}
        yield from _unequal(f"versions of {name}", both)
    yield from _unequal("seeds", {"determinism": fixed["seed"], "the configuration": release["config"]["run"]["seed"]})


def _unequal(what: str, values: Mapping[str, Any]) -> Iterator[str]:
    """A line when the named values are not all the same."""
    if len({json.dumps(value) for value in values.values()}) > 1:
        yield f"two {what}: " + ", ".join(f"{name} {value}" for name, value in values.items())


def _base(found: Opened) -> Iterator[str]:
    """One base model in the record, the configuration it was made with, the adapter's own settings and the card."""
    release, settings, card = found.read(package.RECORD), found.read("adapter_config.json"), _metadata(found)
    base, model = release["base"], release["config"]["model"]
    names = {
        "the record": base["base_model_id"],
        "its configuration": model["base_model_id"],
        "adapter_config.json": settings["base_model_name_or_path"],
        "the card": card["base_model"],
    }
    yield from _unequal("base models", names)
    revisions = {
        "the record": base["revision"],
        "its configuration": model.get("revision"),
        "adapter_config.json": settings.get("revision"),
    }
    yield from _unequal("base revisions", revisions)


def _data(found: Opened) -> Iterator[str]:
    release = found.read(package.RECORD)
    for kind, name in layout.DATA.items():
        facts, path = release["data"][kind], found.rows(kind)
        if facts["file"] is not None and not (found.folder / name).is_file():
            yield f"{name} is missing, the record says it is published"
        elif path is not None and (sha256 := rows_digest(path)) != facts["sha256"]:
            yield f"{name} has rows with sha256 {sha256}; the adapter was made with {facts['sha256']}"
    if release["data"]["golden"]["sha256"] != _result(found)["dataset"]["revision"]:
        yield "the card names another golden set than the record"


def _judged(found: Opened) -> Iterator[str]:
    release, verdict = found.read(package.RECORD), found.read("gates/verdict.json")
    generation, adapter = release["generation"], release["adapter"]
    named = {"verdict.json": release["verdict_sha256"], "answers.jsonl": generation["answers_sha256"]}
    if "base_answers_sha256" in generation:
        named["base_answers.jsonl"] = generation["base_answers_sha256"]
    if "comparison_sha256" in release:
        named["comparison.json"] = release["comparison_sha256"]
    for name, sha256 in named.items():
        if sha256_file(found.folder / "gates" / name) != sha256:
            yield f"gates/{name} is not the one that the record names"
    if generation["adapter_sha256"] != adapter["sha256"]:
        yield "the answers were made by another adapter than the one published"
    yield from _same_adapter(found, adapter)
    policies = {"the record": release["policy_sha256"], "the verdict": verdict["policy_digest"]}
    yield from _unequal("policies", policies | {"gates/policy.json": policy(found).digest})
    if release["passed"] is not True or verdict["passed"] is not True:
        yield "the verdict is not a pass"


def _same_adapter(found: Opened, adapter: Mapping[str, Any]) -> Iterator[str]:
    judged = {name: (found.folder / name) for name in adapter["files"]}
    for name, path in judged.items():
        if not path.is_file() or sha256_file(path) != adapter["files"][name]:
            yield f"{name} is not the file that was judged"
    if all(path.is_file() for path in judged.values()) and found.manifest(judged).digest != adapter["sha256"]:
        yield "the adapter's files together are not the adapter that was judged"
    for name in found.names:
        if name not in judged and name not in OURS and not name.startswith(FOLDERS):
            yield f"{name} was not there when the adapter was judged, and may be loaded with it"


def _tensors(found: Opened) -> Iterator[str]:
    expected = found.read(package.RECORD)["adapter"]["tensors"]
    actual = tensors.digests(found.folder / layout.WEIGHTS)
    for name in sorted(expected.keys() | actual.keys()):
        if expected.get(name) != actual.get(name):
            yield f"{name} is {_shown(actual.get(name))}, the record says {_shown(expected.get(name))}"


def _shown(tensor: Mapping[str, Any] | None) -> str:
    return f"{tensor['dtype']} {tensor['shape']} sha256 {tensor['sha256']}" if tensor else "not there"


def _metadata(found: Opened) -> dict[str, Any]:
    """What stands in the card's first lines, and nowhere else: the Hub reads no other block."""
    text = (found.folder / "README.md").read_text("utf-8")
    if not text.startswith("---\n"):
        raise ValueError("README.md does not begin with its metadata")
    metadata: dict[str, Any] = yaml.safe_load(text.split("---\n")[1])
    return metadata


def _result(found: Opened) -> dict[str, Any]:
    """The card's one result: another beside it would be a number that nobody derived."""
    (model,) = _metadata(found)["model-index"]
    result: dict[str, Any]
    (result,) = model["results"]
    metrics = [metric["type"] for metric in result["metrics"]]
    if len(set(metrics)) < len(metrics):
        raise ValueError("the card shows a metric twice")
    return result


def _card(found: Opened) -> Iterator[str]:
    """The numbers that the Hub reads, and the table that people read."""
    verdict = found.read("gates/verdict.json")
    shown = {
        metric["type"]: (metric["args"]["k"], metric["args"]["n"], metric["args"]["state"], metric["value"])
        for metric in _result(found)["metrics"]
    }
    measured = {
        gate["gate"]: (gate["k"], gate["n"], gate["state"], round(gate["k"] / gate["n"], 6))
        for gate in verdict["gates"]
        if gate["n"]
    }
    for name in sorted(shown.keys() | measured.keys()):
        if shown.get(name) != measured.get(name):
            yield f"{name}: the card says {shown.get(name)}, the verdict {measured.get(name)}"
    body = html.unescape((found.folder / "README.md").read_text("utf-8"))
    for name, (k, n, state, _) in sorted(measured.items()):
        rows = [line for line in body.splitlines() if line.startswith(f"| {name} |")]
        if not rows or not all(f"| {state} | {k}/{n} = " in line for line in rows[:1]):
            yield f"{name}: the card's table does not say {state} {k}/{n}: {rows[0] if rows else 'it has no such line'}"


def _verdict(found: Opened) -> Iterator[str | Unchecked]:
    golden = found.rows("golden")
    if golden is None:
        yield "the golden rows are not in the release: give their folder with --data, else the verdict is unproved"
        return
    strange = [*_other_version(found, "verdict", gates.VERDICT_VERSION)]
    if "base_answers_sha256" in found.read(package.RECORD)["generation"]:
        strange += _other_version(found, "comparison", gates.COMPARISON_VERSION)
    if strange:
        yield from strange
        return
    verdict = judge(found, golden, found.folder / "gates" / "answers.jsonl")
    if verdict.to_json() != (found.folder / "gates" / "verdict.json").read_bytes():
        yield f"another verdict comes out ({verdict.state}): the answers, the golden rows or the verdict were changed"
    if "base_answers_sha256" in found.read(package.RECORD)["generation"]:
        beaten = against_base(found, golden, found.folder / "gates")
        if beaten.to_json() != (found.folder / "gates" / "comparison.json").read_bytes():
            yield f"another comparison with the base comes out ({beaten.state}): its answers or the result were changed"
        if not beaten.passed:
            yield "the adapter does not beat the base"
    else:
        yield Unchecked(
            why="its record says nothing of the base's answers: whether it beats the base was not looked at"
        )


def against_base(found: Opened, golden: Path, folder: Path) -> gates.Comparison:
    """The comparison of the answers in a folder with what the base alone answered, by the release's own contract."""
    contract = gates.load_contract(found.read("gates/contract.json"), found.folder / "gates")
    rows = gates.read_golden(golden)
    base = gates.Earlier(name="base", golden=rows, outputs=gates.read_outputs(folder / "base_answers.jsonl"))
    answers = gates.read_outputs(folder / "answers.jsonl")
    return gates.compare(rows, answers, [base], contract, policy(found), against="base")


def judge(found: Opened, golden: Path, answers: Path) -> gates.Verdict:
    """The verdict on answers by the release's own contract and policy."""
    contract = gates.load_contract(found.read("gates/contract.json"), found.folder / "gates")
    return gates.judge(gates.read_golden(golden), gates.read_outputs(answers), contract, policy(found))


def policy(found: Opened) -> gates.Policy:
    """The policy as it was written down before training."""
    return gates.load_policy(found.read("gates/policy.json"))


def _earlier(found: Opened) -> Iterator[str | Unchecked]:
    """The earlier answers are in the release, bound to their own records: the comparisons come out again from them."""
    release = found.read(package.RECORD)
    said = release.get("earlier")
    if said is None:
        yield Unchecked(why="its record says nothing of earlier releases, as those of 0.1.0: nothing was compared")
        return
    releases = [_kept(found, one) for one in said["releases"]]
    for one, entry in zip(releases, said["releases"], strict=True):
        wrong = [f"{one.tag}: {problem}" for problem in previous.faults(one)]
        if entry["kept"] and one.record.get("record_sha256") != entry["record_sha256"]:
            wrong.append(f"{one.tag}: gates/earlier/{one.commit} holds another record than the one compared with")
        yield from wrong
        if wrong:
            return
    golden = found.rows("golden")
    if golden is None:
        yield "the golden rows are not in the release: give their folder with --data"
        return
    yield from _beside(found, releases, dataset.load(golden))


def _kept(found: Opened, entry: Mapping[str, Any]) -> previous.Release:
    folder = found.folder / "gates" / previous.FOLDER / entry["commit"]
    return previous.read(entry["tag"], entry["commit"], folder if entry["kept"] else None)


def _beside(found: Opened, releases: Sequence[previous.Release], golden: dataset.Dataset) -> Iterator[str]:
    release, stored = found.read(package.RECORD), found.folder / "gates"
    contract = {name: (stored / name).read_bytes() for name in ("contract.json", "answer.schema.json")}
    now = previous.now(golden, policy(found), contract)
    agreed = gates.load_contract(found.read("gates/contract.json"), stored)
    comparisons = previous.compare(releases, now, gates.read_outputs(stored / "answers.jsonl"), agreed)
    derived = {previous.file_of(against): comparison for against, comparison in comparisons.items()}
    for name in sorted(derived.keys() | release["earlier"]["comparisons"].keys()):
        if name not in derived or derived[name].to_json() != (stored / name).read_bytes():
            yield f"another gates/{name} comes out: the earlier answers or the result were changed"
        elif not derived[name].passed:
            yield f"gates/{name} is not a pass"
    weaker = list(previous.weaker(releases, now))
    if weaker != release["earlier"]["weaker"]:
        yield f"it asks for less than the last release in {weaker}, the record says {release['earlier']['weaker']}"
    if weaker and not (release["config"].get("gates") or {}).get("weaker_because"):
        yield "it asks for less than the last release, and gives no reason"


def _other_version(found: Opened, name: str, known: int) -> Iterator[str]:
    """A line if ``gates/NAME.json`` follows rules that are not this program's: it cannot be derived by these."""
    version = found.read(f"gates/{name}.json").get(name)
    if version != known:
        made_by = found.read(package.RECORD)["program"]["version"]
        yield (
            f"gates/{name}.json is of version {version!r}, this program derives version {known}: it is neither proved "
            f"nor disproved. Verify it with adapter-release {made_by}, which made it, or a newer one"
        )


def _statements(found: Opened) -> Iterator[str | Unchecked]:
    """The in-toto statements are those that record and verdict make; version 1 of the record had none."""
    release = found.read(package.RECORD)
    names = (attestations.TEST_RESULT, attestations.PROVENANCE)
    if release["record"] == 1 and not any((found.folder / name).exists() for name in names):
        yield Unchecked(why="it has none, as no release with version 1 of the record has")
        return
    derived = attestations.statements(release, attestations.read_judged(found.folder / "gates"), release["files"])
    stored = [(found.folder / name).read_bytes() for name in names]
    for name, bytes_ in zip(names, stored, strict=True):
        if bytes_ != canonical_json(derived[name]):
            yield f"{name} does not say what record and verdict say"
    if (found.folder / sign.ENVELOPES).exists() and sign.payloads(found.folder / sign.ENVELOPES) != stored:
        yield f"{sign.ENVELOPES} holds other statements than those beside it"


def _signature(found: Opened) -> Iterator[str | Unchecked]:
    signature = found.folder / sign.SIGNATURE
    if not signature.exists():
        missing = "unsigned: who published it is as sure as the Hub, or the receipt or commit you gave"
        yield f"{missing}. You asked for a signature." if found.trust else Unchecked(why=missing)
        return
    if not sign.covers(signature, found.manifest(found.names)):
        yield f"{sign.SIGNATURE} is over other files than these"
    if found.trust:
        yield from sign.check(found.folder, found.trust)
        return
    key = sign.signer(signature)
    who = f"a key whose public part has sha256 {key}" if key else "a CI job"
    advice = "to check it, give --public-key" if key else "to check it, give --identity"
    yield Unchecked(why=f"signed, it says, by {who}; nobody said whose signature to expect: {advice}")


CHECKS: Mapping[str, Callable[[Opened], Iterable[str | Unchecked]]] = {
    "the tag is the commit, and the files are those, that the receipt or you name": _place,
    "no file is missing, and none can hide code": _files,
    "every file has the sha256 of the record, and none is extra": _digests,
    "the record is whole, in its canonical spelling, and fits its schema": _record,
    "the record agrees with itself on threads, seed and versions": _agreement,
    "record, configuration, adapter and card name one base model": _base,
    "the rows are those that the adapter was trained on and judged by": _data,
    "the published adapter is the judged one, and its verdict is a pass": _judged,
    "every tensor has the digest of the record": _tensors,
    "the card shows the numbers of the verdict": _card,
    "the gates derive the stored verdict from the stored answers, byte for byte": _verdict,
    "it is no worse than the earlier releases, and asks for no less without a reason": _earlier,
    "the in-toto statements say what record and verdict say": _statements,
    "the signature is over these files, and of whom you expect": _signature,
}
