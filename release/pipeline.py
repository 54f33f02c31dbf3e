"""The line, in order: read this first. Each stage is a function from one value to the next."""

import contextlib
import fcntl
import hashlib
import json
import os
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import gates
from gates import report
from gates.canonical import canonical_json
from release import preflight
from release.config.reading import Config, Publishing, effective
from release.data import chat as chats
from release.data import data_report, dataset, sources
from release.hub import address
from release.judging import previous, recording
from release.models import base as bases
from release.models.generate import generate
from release.models.train import train
from release.publishing import attestations, card, package, sign, snippet
from release.running import container, environment
from release.values import layout
from release.values.artifacts import Candidate, Package, Publication, sha256_file, write_atomically
from release.values.errors import ConfigError, DataError, GatesFailed, PreflightError
from release.values.events import Line, Say, Stage

JUDGED_FILES = (
    "verdict.json",
    "comparison.json",
    "answers.jsonl",
    "base_answers.jsonl",
    "policy.json",
    "contract.json",
    "answer.schema.json",
    "golden_rows.json",
)
"""What every candidate is judged by: published under ``gates/``, so that anybody can judge again."""


@dataclass(frozen=True, kw_only=True)
class Judged:
    """Data, contract and policy, checked against each other before anything is trained."""

    train: dataset.Dataset
    golden: dataset.Dataset
    contract: gates.Contract
    policy: gates.Policy
    before: tuple[previous.Release, ...] = ()
    """The releases that the repository holds already, oldest first."""


def release(config: Config, say: Say) -> tuple[Package, Publication]:
    """From a configuration to a tag on the Hub, or a ``Stop`` that says why not."""
    with alone(config.run.output_dir), address.environment(config.publishing.endpoint, config.path.parent) as hub:
        say(Stage(name="preflight"))
        before = preflight.check(config, hub, say)
        made, run = candidate(config, before, say)
        packed = sign.sign(accept(config, made, run, say), config.publishing, run)
        say(Stage(name="publish", note=f"{config.publishing.hf_repo}@{config.publishing.tag}"))
        return packed, publish(config.publishing, packed, run, hub, say)


def candidate(config: Config, before: tuple[previous.Release, ...], say: Say) -> tuple[Candidate, Path]:
    """From the data gate to the verdict: what needs a GPU, and no right to write to a Hub. And the run folder."""
    return make(config, replace(check_data(config, say), before=before), say)


def accept(config: Config, made: Candidate, run: Path, say: Say) -> Package:
    """The package of a candidate; ``GatesFailed`` for one that did not pass."""
    if not made.passed:
        raise GatesFailed(_refusal(run))
    say(Stage(name="package"))
    return pack(config, made, run)


def check_data(config: Config, say: Say) -> Judged:
    """The data gate, and gate zero: the reference answers must pass, and broken ones must fail."""
    say(Stage(name="data"))
    try:
        contract = preflight.contract_of(config)
        policy = preflight.policy_of(config)
    except gates.InvalidConfig as error:
        raise ConfigError([f"{config.path.name}: {problem}" for problem in error.problems]) from None
    train_set, golden = sources.load(config, say)
    checked = dataset.check(train_set, golden, contract, preflight.options(config, say))
    for text in data_report.terminal(checked):
        say(Line(text=text))
    data_report.write(checked, config.run.output_dir)
    say(Stage(name="gate zero", note="the reference answers must pass every gate, broken ones must fail"))
    if problem := preflight.gate_zero_problem(golden, contract, policy):
        raise DataError(f"{problem}\nNothing was trained.")
    return Judged(train=train_set, golden=golden, contract=contract, policy=policy)


def make(config: Config, judged: Judged, say: Say) -> tuple[Candidate, Path]:
    """Train, reload, answer, judge: the same for a release and for a reproduction. Returns the run folder too."""
    say(Stage(name="base", note=config.model.base_model_id))
    base = bases.resolve(config.model, say)
    image = _image(config, say)
    digests = {"train": judged.train.sha256, "golden": judged.golden.sha256}
    made_from = recording.inputs(config, base, digests, image.source if image else None)
    run = run_folder(config, made_from)
    started = _start(run, config, judged)
    settle_chat(run, config, base.folder)
    say(Stage(name="train", note=str(run)))
    adapter = train(run, base, say, image)
    say(Stage(name="generate", note="a fresh process loads the saved files"))
    answers = generate(run, base, adapter, say, image)
    say(Stage(name="gates"))
    verdict, passed = judge(run, judged, answers, say)
    generation = json.loads((run / "generation.json").read_bytes())
    measured = {
        "generation": generation,
        "verdict_sha256": sha256_file(run / "verdict.json"),
        "comparison_sha256": sha256_file(run / "comparison.json"),
        "passed": passed,
        "attempt": count_attempt(run.parent, judged, adapter.files.digest, passed=passed),
        "earlier": json.loads((run / "earlier.json").read_bytes()),
    }
    full = recording.build(config, base, started, adapter, measured)
    write_atomically(run / "record.json", canonical_json(full))
    return Candidate(adapter=adapter, record=full, verdict=verdict.to_json(), passed=passed), run


def _image(config: Config, say: Say) -> container.Image | None:
    """What to train and answer in."""
    say(Stage(name="container", note=config.container.use))
    return container.find(config.container, say)


def judge(run: Path, judged: Judged, answers: Path, say: Say) -> tuple[gates.Verdict, bool]:
    """The verdict, and whether the adapter may be released.

    It may if every required gate passes, the base is beaten, and neither the last release nor the best one is.
    """
    golden, outputs = judged.golden.rows, gates.read_outputs(answers)
    verdict = gates.judge(golden, outputs, judged.contract, judged.policy)
    base = gates.Earlier(name="base", golden=golden, outputs=gates.read_outputs(run / "base_answers.jsonl"))
    beaten = gates.compare(golden, outputs, [base], judged.contract, judged.policy, against="base")
    comparisons = [beaten, *_beside_earlier(run, judged, outputs)]
    write_atomically(run / "verdict.json", verdict.to_json())
    write_atomically(run / "comparison.json", beaten.to_json())
    text = "\n".join([report.markdown(verdict), *map(report.comparison_markdown, comparisons)])
    write_atomically(run / "report.md", text.encode())
    lines = [line for one in comparisons for line in report.comparison_terminal(one)]
    say(Line(text="\n".join([*report.terminal(verdict), *lines])))
    return verdict, verdict.passed and all(one.passed for one in comparisons)


def _beside_earlier(run: Path, judged: Judged, outputs: Sequence[gates.Output]) -> list[gates.Comparison]:
    """The comparisons with the last and the best release, written to the run folder with what the record says of them.

    They are made from the releases that are kept alone, so that what is published derives them to the byte.
    """
    contract = {name: (run / name).read_bytes() for name in ("contract.json", "answer.schema.json")}
    now = previous.now(judged.golden, judged.policy, contract)
    kept = previous.needed(judged.before, previous.compare(judged.before, now, outputs, judged.contract))
    found = previous.compare(kept, now, outputs, judged.contract)
    files = {previous.file_of(against): comparison.to_json() for against, comparison in found.items()}
    for name, content in files.items():
        write_atomically(run / name, content)
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    said = {**previous.in_record(judged.before, now, kept), "comparisons": digests}
    write_atomically(run / "earlier.json", canonical_json(said))
    return list(found.values())


def run_folder(config: Config, made_from: dict[str, Any]) -> Path:
    """The folder of this run: its name is the digest of all that the adapter depends on.

    The same inputs come back to the same folder and go on there; other inputs never touch an earlier adapter.
    """
    run = config.run.output_dir / hashlib.sha256(canonical_json(made_from)).hexdigest()[:12]
    run.mkdir(parents=True, exist_ok=True)
    write_atomically(run / "inputs.json", canonical_json(made_from))
    return run


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Hold the output folder for one release; the kernel lets go when the process ends, however it ends."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("a+", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise PreflightError(
                f"Another release is at work in {folder} (process {lock.read().strip() or 'unknown'}). "
                "Two would spoil each other's files. Wait for it, or set another run.output_dir."
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def _start(run: Path, config: Config, judged: Judged) -> dict[str, Any]:
    """Copy what the run needs into its folder, and write down policy and source before training."""
    (run / "data").mkdir(exist_ok=True)
    for name, data in (("train", judged.train), ("golden", judged.golden)):
        write_atomically(run / "data" / f"{name}.jsonl", data.canonical)
    # JSON, which is YAML too: a text such as "1e5" stays a text for every reader
    write_atomically(run / "config.yaml", canonical_json(effective(config)))
    for name, content in previous.contract_files(config.contract, judged.contract).items():
        write_atomically(run / name, content)
    write_atomically(run / "golden_rows.json", canonical_json(previous.row_digests(judged.golden.rows)))
    write_atomically(run / "policy.json", canonical_json(judged.policy.as_dict()))
    started = run / "started.json"
    if not started.exists():
        datasets = (("train", judged.train), ("golden", judged.golden))
        facts = {
            "source": environment.source(),
            "policy_sha256": judged.policy.digest,
            "data": {name: {"sha256": data.sha256, "rows": len(data.rows)} for name, data in datasets},
        }
        write_atomically(started, canonical_json(facts))
    result: dict[str, Any] = json.loads(started.read_bytes())
    return result


def settle_chat(run: Path, config: Config, base: Path) -> None:
    """Write down the chat template that this run trains, answers and publishes with; once, for its date stays.

    A template that writes today's date would otherwise ask another question each day.
    """
    if not (run / chats.SETTLED).exists():
        chat = chats.read(base, preflight.wanted_chat(config))
        write_atomically(run / layout.CHAT_TEMPLATE, chat.template.encode())
        write_atomically(run / chats.SETTLED, canonical_json({"changed": list(chat.changed)}))


def count_attempt(folder: Path, judged: Judged, adapter: str, *, passed: bool) -> int:
    """Which adapter this is, at least, of all that were judged on this golden set: here, or for an earlier release.

    Trying again until a gate passes makes the gate weaker, so the number is printed on the card. What was judged here
    is kept in ``ledger.jsonl``; an earlier release counts with its own number, and all that were judged here after it.
    """
    ledger, golden = folder / "ledger.jsonl", judged.golden.sha256
    entries = [json.loads(line) for line in ledger.read_text("utf-8").splitlines()] if ledger.exists() else []
    seen = [entry["adapter_sha256"] for entry in entries if entry["golden_sha256"] == golden]
    if adapter not in seen:
        entry = {"golden_sha256": golden, "adapter_sha256": adapter, "passed": passed}
        lines = "".join(json.dumps(line, sort_keys=True) + "\n" for line in [*entries, entry])
        write_atomically(ledger, lines.encode())
        seen.append(adapter)
    counts = [seen.index(adapter) + 1]
    for published, attempt in previous.attempts(judged.before, golden):
        since = seen[seen.index(published) + 1 :] if published in seen else seen
        counts += [attempt + since.index(adapter) + 1] if adapter in since else []
    return max(counts)


def judged_files(candidate: Candidate, run: Path) -> dict[str, Path]:
    """What was judged and by what, and how it compares, by file name."""
    return {name: run / name for name in (*JUDGED_FILES, *candidate.record["earlier"]["comparisons"])}


def pack(config: Config, candidate: Candidate, run: Path) -> Package:
    """The folder to publish. Rows travel with the release only where the configuration names their licence."""
    verdict = json.loads(candidate.verdict)
    beside = candidate.record["earlier"]
    files = {f"gates/{name}": path for name, path in judged_files(candidate, run).items()}
    files |= previous.files(beside["releases"], config.run.output_dir)
    files |= _attest(candidate, run, {name: sha256_file(path) for name, path in files.items()})
    if config.data.license:
        files |= {f"data/{name}": run / "data" / name for name in ("train.jsonl", "golden.jsonl")}
    readme = card.render(candidate.record, verdict, (run / "report.md").read_text("utf-8"), config.publishing)
    return package.build(candidate, files, readme, run / "package")


def _attest(candidate: Candidate, run: Path, files: Mapping[str, str]) -> dict[str, Path]:
    """The in-toto statements by the name that each is published under."""
    (run / "attestations").mkdir(exist_ok=True)
    said = attestations.statements(candidate.record, attestations.read_judged(run), files)
    for name, statement in said.items():
        write_atomically(run / name, canonical_json(statement))
    return {name: run / name for name in said}


def publish(publishing: Publishing, packed: Package, run: Path, hub: Mapping[str, str], say: Say) -> Publication:
    """Publish, and keep the receipt. What is published is written down first: a run started again knows its own tag."""
    if problems := preflight.unpinned_problems(publishing, pinned=packed.candidate.record["image_digest"] is not None):
        raise PreflightError("\n".join([*problems, "Nothing was published."]))
    write_atomically(run / "published.json", canonical_json({"manifest_digest": packed.manifest.digest}))
    request = {
        "do": "publish",
        "package": package.to_json(packed),
        "repo_id": publishing.hf_repo,
        "tag": publishing.tag,
        "private": publishing.private,
        "endpoint_label": publishing.endpoint,
    }
    answer = address.ask(request, hub, say, run / "publish.log")
    write_atomically(run / "publication.json", canonical_json(answer))
    return Publication(**answer | {"done": tuple(answer["done"])})


def _refusal(run: Path) -> str:
    return (
        f"A gate did not pass: nothing was published. The adapter is kept in {run / 'adapter'}, "
        f"the failing rows are in {run / 'report.md'}. Improve the data or the training and run again."
    )


def what_next(config: Config, packed: Package, publication: Publication) -> str:
    """What to tell somebody whose release is out: how to load it, look at it and check it."""
    endpoint = config.publishing.endpoint
    name, store = f"{publication.repo_id}@{publication.tag}", endpoint.removeprefix("file:")
    look = f"{endpoint}/{publication.repo_id}/tree/{publication.tag}"
    if endpoint.startswith("file:"):
        look = f"git clone {store}/models/{publication.repo_id}.git"
    base = os.path.relpath(bases.folder_of(config.model)) if config.model.source == "embedded" else None
    load = snippet.python(packed.candidate.record, os.path.relpath(packed.folder), base=base)
    return f"""
Released {name}: commit {publication.commit}

Load it as it was judged:
{textwrap.indent(load, "  ")}

Look at it:  {look}
Check it:    adapter-release verify {name} --hub {endpoint}"""
