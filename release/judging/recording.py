"""The release record: everything needed to make the adapter again, and to see that it is the same."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from release import __version__
from release.config import forms, ladder
from release.config.reading import effective
from release.config.settings import Budget, Config
from release.hub import address
from release.judging.served import Served
from release.models.base import Base
from release.running import distribution, environment, price_list, spending
from release.values import layout, tensors
from release.values import record as records
from release.values.artifacts import Adapter, sha256_file
from release.values.as_json import part, to_json, tree
from release.values.record import Data, Generation, Previous, Program, Record, Rows, Source, Spent, Training


def inputs(config: Config, base: Base, data: Mapping[str, str], image: str | None = None) -> dict[str, Any]:
    """What an adapter's bytes depend on; two runs with equal inputs share a run folder.

    Where it is published, how it is served, what it may cost and why it may require less is left out: none changes the
    adapter, but for the precisions that it is trained over. ``image``
    is what decides the content of the container image; where there is none, the versions here count. So an adapter that
    was trained before an update is not answered for after it, which `verify` would refuse once it is published.
    """
    left_out = ("publishing", "budget", "container", "serving")
    known = effective(replace(config, weaker_because=None))
    made_from = {name: value for name, value in known.items() if name not in left_out}
    made_from["training"] = {**made_from.get("training", {}), "over": list(forms.trained_over(config))}
    for name in ladder.WATCHING:
        made_from["training"].pop(name, None)
    made_from["generation"] = {**made_from["generation"]}
    for name in ("processes", "device_map"):  # the same batches, whoever answers them and on whichever cards
        made_from["generation"].pop(name, None)
    if config.adapter.method == "imported":
        # its bytes count, which are among the data, and not how somebody may make them again
        made_from["adapter"] = {**made_from["adapter"], "source": None}
        made_from["adapter"].pop("reproduce_with", None)
        del made_from["training"]
    template = config.model.chat_template
    if template:
        made_from["model"] = {**made_from["model"], "chat_template": sha256_file(template)}
    return ({"image": image} if image else {"versions": environment.versions()}) | {
        "config": made_from,
        "base": to_json(base.in_record()),
        "data_sha256": dict(data),
        "code_sha256": environment.code_sha256(),
        "threads": environment.threads(config.run.threads),
    }


def source(config: Config) -> Source:
    """The code that runs, and the commit of the user's own repository that the configuration and its files are in."""
    data = config.data
    named = [data.train_file, data.tuning_file, data.golden_file, config.model.chat_template]
    files = [config.path.absolute(), config.path.parent.absolute() / str(config.contract["schema"])]
    files += [file for file in named if isinstance(file, Path)]
    return replace(environment.source(), project=environment.project(config.path.parent, files))


@dataclass(frozen=True, kw_only=True)
class Started:
    """What was written down before training."""

    source: Source
    policy_sha256: str
    data: Mapping[str, Mapping[str, str | int]]
    """``sha256`` and ``rows`` of each dataset."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of judging, as far as the record names it."""

    generation: Generation
    verdict_sha256: str
    comparison_sha256: str
    passed: bool
    attempt: int
    earlier: Previous
    forms: Mapping[str, records.Form]
    review: records.PeoplesWord | None = None
    tries: records.Tries | None = None


def of_form(run: Path, config: Config, one: Served) -> records.Form:
    """What the record says of a form, once it is judged."""
    answers = run / layout.in_run(layout.answers_as(one.name))
    answering = json.loads(answers.with_name("generation.json").read_bytes())
    verdict, comparison = (hashlib.sha256(content).hexdigest() for content in one.files.values())
    found = made(run, one.name)
    return records.Form(
        settings=effective(config)["serving"][one.name],
        passed=one.passed,
        verdict_sha256=verdict,
        comparison_sha256=comparison,
        answering=part(records.Answering, answering),
        files=found.files if forms.has_files(config.serving[one.name]) else {},
        parity=found.parity,
        ollama=found.ollama,
    )


@dataclass(frozen=True, kw_only=True)
class Made:
    """What was made for a form."""

    files: Mapping[str, str]
    """sha256 by name in ``exports/``."""
    parity: records.Parity | None = None
    ollama: records.Ollama | None = None


def made(run: Path, form: str) -> Made:
    """What a run's ``exports/`` holds for a form, as its record there says; nothing where nothing was made."""
    record = run / layout.EXPORTS / f"{form}.json"
    if not record.exists():
        return Made(files={})
    said = json.loads(record.read_bytes())
    return Made(
        files={name: file["sha256"] for name, file in said["files"].items()},
        parity=part(records.Parity, said["parity"]) if said.get("parity") else None,
        ollama=part(records.Ollama, said["ollama"]) if said.get("ollama") else None,
    )


def build(config: Config, base: Base, started: Started, adapter: Adapter, judged: Outcome) -> Record:
    """The record of one adapter; the package adds the sha256 of every file published beside it."""
    training, generation = adapter.training, judged.generation
    ran = training or generation
    record = Record(
        record=records.VERSION,
        program=Program(name=distribution.NAME, version=__version__, distribution_sha256=distribution.installed()),
        name=config.run.name,
        config=as_published(config),
        base=base.in_record(),
        source=started.source,
        policy_sha256=started.policy_sha256,
        data=_data(config, started),
        adapter=records.Adapter(
            sha256=adapter.files.digest,
            files={file.path: file.sha256 for file in adapter.files.files},
            tensors=tensors.digests(adapter.folder / layout.WEIGHTS),
        ),
        training=training,
        origin=adapter.origin,
        generation=generation,
        verdict_sha256=judged.verdict_sha256,
        comparison_sha256=judged.comparison_sha256,
        passed=judged.passed,
        attempt=judged.attempt,
        earlier=judged.earlier,
        forms=judged.forms,
        review=judged.review,
        tries=judged.tries,
        determinism=environment.determinism(config.run.seed, ran.hardware),
        image_digest=ran.image_digest if ran.image_digest == generation.image_digest else None,
        spent=_spent(training, judged, config.budget),
    )
    whole = replace(record, record_sha256=records.digest(tree(record)))
    if wrong := records.problems(tree(whole)):
        raise ValueError("the record does not fit its own schema: " + "; ".join(wrong))
    return whole


def as_published(config: Config) -> dict[str, Any]:
    """The configuration with the paths that its files have in the release: no folder of this machine is named."""
    tree = ladder.alone(effective(config))
    del tree["run"]["output_dir"]
    for name in ladder.WATCHING:
        tree.get("training", {}).pop(name, None)
    for name in ("signing_key", "keyless"):
        tree["publishing"].pop(name, None)
    # The published rows are canonical chat rows, whatever form and names the files had that they were read from.
    if config.data.train_file:
        tree["data"]["train_file"] = layout.DATA["train"]
    if tree["data"].get("tuning_file") or tree["data"].pop("tuning_share", None):
        tree["data"]["tuning_file"] = layout.DATA["tuning"]
    if isinstance(config.adapter.source, Path):
        tree["adapter"]["source"] = "."  # the release itself: what is published is what was brought
    tree["adapter"].pop("reproduce_with", None)  # `origin` says it, with the digests of its files
    tree["data"] |= {
        "golden_file": layout.DATA["golden"],
        "format": "auto",
        "fields": {},
    }
    tree["contract"] = {**tree["contract"], "schema": layout.ANSWER_SCHEMA}
    tree["model"]["chat_template"] = (
        layout.CHAT_TEMPLATE
    )  # beside the adapter: with its date and header as they were asked
    tree["publishing"]["endpoint"] = address.of(config).recorded
    return tree


def _data(config: Config, started: Started) -> Data:
    """Digest and rows of each dataset, and where to get it: in the release, or what the configuration says of it."""
    published = config.data.license is not None
    kinds = {
        name: part(Rows, {**facts, "file": layout.DATA[name] if published else None})
        for name, facts in started.data.items()
    }
    return Data(
        train=kinds.get("train"),
        tuning=kinds.get("tuning"),
        golden=kinds["golden"],
        license=config.data.license,
        source=config.data.source,
    )


def _spent(training: Training | None, judged: Outcome, budget: Budget) -> Spent:
    """What training and answering took; energy and cost are estimates that say how."""
    generation = judged.generation
    ran, measured = training or generation, together(training, generation, judged.tries)
    answered = generation.seconds + (generation.base_seconds or 0.0)
    trained = measured["seconds"] - answered
    many = (training.processes if training else None) or 1
    several = (generation.processes or 1) * (generation.cards or 1)
    many = max(many, several) if judged.tries else many  # each try answered the tuning rows too
    worked = round(trained * many + answered * several, 1)
    estimated = spending.estimate(measured["seconds"], ran.hardware, price_list.read(), budget, worked=worked)
    return part(Spent, {**estimated, **measured})


def together(training: Training | None, generation: Generation, tries: records.Tries | None) -> dict[str, Any]:
    """Seconds, tokens and memory of both stages: those of all tries and the base's answers included."""
    made: Sequence[Training | records.Try] = [training] if training else []
    if tries:
        made = [*tries.tries, *tries.seeds]  # with their answers to the tuning rows; the last of tries is this one
    return {
        "seconds": round(sum(one.seconds for one in made) + generation.seconds + (generation.base_seconds or 0.0), 1),
        "tokens": sum(one.tokens for one in made) + generation.tokens,
        "peak_memory_bytes": max((training or generation).peak_memory_bytes, generation.peak_memory_bytes),
    }
