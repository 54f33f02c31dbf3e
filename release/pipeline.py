"""The pipeline, in order: read this first. Each stage is a function from one value to the next."""

import hashlib
import json
import os
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import gates
from gates.canonical import canonical_json
from release import begin, inputs, preflight, tries
from release.begin import Judged, terms_of
from release.config.settings import Config, Publishing
from release.data import data_report, gate
from release.hub import address, requests
from release.inputs import Inputs, there
from release.judging import attempts, derive, ledger, previous, recording, released, reviewed, served
from release.judging.derive import Alone, Beside
from release.judging.recording import Started
from release.judging.reviewed import Heard
from release.judging.served import Served
from release.judging.terms import Terms
from release.models import base as bases
from release.models.generate import generate
from release.publishing import attestations, card, making_machine, package, page, sign, snippet
from release.publishing.page import shown
from release.running import lock
from release.running import place as places
from release.values import layout
from release.values.artifacts import Adapter, Candidate, Manifest, Package, Publication, sha256_file, write_atomically
from release.values.as_json import part, tree
from release.values.errors import DataError, GatesFailed, PreflightError, ReviewNeeded, VerificationError
from release.values.events import Line, Say, Stage, tell
from release.values.record import Generation

REVIEW_WAITS = "All that is measured passed, and people have still to say what the answers are worth"


def release(config: Config, say: Say) -> tuple[Package, Publication]:
    """From a configuration to a tag on the Hub, or a ``Stop`` that says why not."""
    with lock.held(config.run.output_dir), address.of(config).opened() as hub:
        say(Stage(name="preflight"))
        found = inputs.load(config, say)
        before = preflight.check(found, hub, say)
        made, run = candidate(found, before, say)
        packed = sign.sign(accept(config, made, run, say), config.publishing, run)
        say(Stage(name="publish", note=f"{config.publishing.hf_repo}@{config.publishing.tag}"))
        return packed, publish(config.publishing, packed, run, hub, say)


def candidate(found: Inputs, before: tuple[previous.Release, ...], say: Say) -> tuple[Candidate, Path]:
    """From the data gate to the verdict: what needs a GPU, and no right to write to a Hub. And the run folder."""
    judged = replace(check_data(found, say), before=before)
    if found.config.tries is None:
        return make(found.config, judged, say)
    chosen = tries.chosen(found, judged, say)
    return make(chosen.config, replace(judged, tries=chosen.tries), say)


def accept(config: Config, made: Candidate, run: Path, say: Say) -> Package:
    """The package of a candidate; ``GatesFailed`` for one that did not pass, ``ReviewNeeded`` where it waits."""
    if made.waits:
        raise ReviewNeeded(to_review(made, run))
    if not made.passed:
        raise GatesFailed(_refusal(made, run))
    say(Stage(name="package"))
    return pack(config, made, run)


def check_data(found: Inputs, say: Say) -> Judged:
    """The data gate, and the self-test of the gates: reference answers must pass, and broken ones must fail."""
    say(Stage(name="data"))
    checked = inputs.examined(found, say)
    if not checked.passed:
        tell(say, [line for split in checked.splits for line in data_report.told_of(split)])
    gate.check(checked)
    for text in data_report.terminal(checked):
        say(Line(text=text))
    data_report.write(checked, found.config.run.output_dir)
    say(Stage(name="self-test of the gates", note="reference answers must pass every gate, broken answers must fail"))
    if problem := inputs.metric_problem(found) or inputs.gate_zero_problem(found) or tries.tuning_problem(found):
        raise DataError(f"{problem}\nNothing was trained.")
    rows = there(found.rows)
    return Judged(
        train=rows.train,
        golden=rows.golden,
        contract=there(found.contract),
        policy=there(found.policy),
        brought=there(found.brought) if found.brought else None,
        tuning=rows.tuning,
    )


def make(config: Config, judged: Judged, say: Say) -> tuple[Candidate, Path]:
    """Train, reload, answer, judge: the same for a release and for a reproduction. Returns the run folder too."""
    begun = begin.begin(config, judged, say)
    run, base, place = begun.run, begun.base, begun.place
    adapter = begin.adapter(begun, judged, say)
    say(Stage(name="generate", note="a fresh process loads the saved files"))
    generate(run, base, adapter, place, say)
    answer_as_served(run, config, base, adapter, place, say)
    return conclude(run, config, judged, Made(base=base, started=begun.started, adapter=adapter), say), run


def answer_as_served(
    run: Path, config: Config, base: bases.Base, adapter: Adapter, place: places.Place, say: Say
) -> None:
    """The golden set again, in each form that is served."""
    for name in config.serving:
        say(Stage(name="generate", note=f"as served: {name}"))
        generate(run, base, adapter, place, say, name)


@dataclass(frozen=True, kw_only=True)
class Made:
    """What a run made, before it is judged."""

    base: bases.Base
    started: Started
    adapter: Adapter


def conclude(run: Path, config: Config, judged: Judged, made: Made, say: Say) -> Candidate:
    """Judge the answers in a run folder, and write the record of all."""
    say(Stage(name="gates"))
    alone, beside, served_as, people = judge(run, config, judged, made.adapter.files.digest, say)
    measured = derive.passed(alone, beside, served_as)
    passed = measured and (people is None or people.passed)
    outcome = recording.Outcome(
        generation=part(Generation, json.loads((run / "generation.json").read_bytes())),
        verdict_sha256=hashlib.sha256(alone.files[layout.VERDICT]).hexdigest(),
        comparison_sha256=hashlib.sha256(alone.files[layout.COMPARISON]).hexdigest(),
        passed=passed,
        attempt=alone.attempt,
        earlier=beside.earlier,
        forms={one.name: recording.of_form(run, config, one) for one in served_as},
        review=people.in_record if people else None,
        tries=judged.tries,
    )
    record = recording.build(config, made.base, made.started, made.adapter, outcome)
    write_atomically(run / "record.json", canonical_json(tree(record)))
    derived = shown.Derived(alone=alone, beside=beside, forms=served_as, people=people)
    found = shown.of_run(run, record, terms_of(config, judged), derived, judged.before)
    page.write(run, found, config.publishing)
    waits = people.waits if people and measured else ()
    verdict = alone.verdict.to_json()
    return Candidate(adapter=made.adapter, record=record, verdict=verdict, passed=passed, waits=waits)


def judge(
    run: Path, config: Config, judged: Judged, adapter: str, say: Say
) -> tuple[Alone, Beside, tuple[Served, ...], Heard | None]:
    """Verdicts and comparisons of an adapter of this digest, written to the run folder, counted and reported.

    The adapter may be released if every required gate passes in every required form, the base is beaten, and neither
    the last release nor the best one is better; and, where the policy asks people, if they say so too.
    """
    terms = terms_of(config, judged)
    attempt = terms.attempt(adapter, sha256_file(run / layout.in_run(layout.ANSWERS)))
    known = attempts.together(ledger.read(config), previous.tried(judged.before))
    terms = terms.after(attempts.before(known, attempt, terms.golden_set))
    answers, base_answers = (gates.read_outputs(run / name) for name in ("answers.jsonl", "base_answers.jsonl"))
    alone, beside = derive.alone(terms, answers, base_answers), derive.beside(terms, answers, judged.before)
    served_as = _served(run, config, terms, answers)
    of_forms = {name: content for one in served_as for name, content in one.files.items()}
    answered = {name: sha256_file(run / layout.in_run(layout.answers_as(name))) for name in config.serving}
    answered[layout.TRAINED] = sha256_file(run / layout.in_run(layout.ANSWERS))
    own = derive.entries(terms, adapter, answered, (alone, beside, served_as))
    ledger.add(config, [*known, *own])
    counted = {layout.LEDGER: attempts.written([*terms.tried, *own])}
    for name, content in (alone.files | beside.files | of_forms | counted).items():
        write_atomically(run / layout.in_run(name), content)
    write_atomically(run / "earlier.json", canonical_json(tree(beside.earlier)))
    candidate = reviewed.Answered(
        adapter_sha256=adapter,
        answers_sha256=answered[layout.TRAINED],
        answers=answers,
        base_answers=base_answers,
        before=judged.before,
    )
    people = reviewed.of_run(run, terms, candidate, alone.verdict)
    if people and people.found and not people.passed:
        (trained,) = (one for one in own if one.form == layout.TRAINED)
        ledger.add(config, [attempts.by_people(trained, people.found.gate.reason)])
    write_atomically(run / "report.md", derive.markdown(alone, beside, served_as, people).encode())
    tell(say, derive.lines(alone, beside, served_as, people))
    return alone, beside, served_as, people


def _served(run: Path, config: Config, terms: Terms, answers: Sequence[gates.Output]) -> tuple[Served, ...]:
    """Each form in which it is served, judged by its own answers and set beside ``answers``."""
    return tuple(
        served.judged(
            terms,
            name,
            gates.read_outputs(run / layout.in_run(layout.answers_as(name))),
            answers,
            asdict(form),
            recording.made(run, name).parity,
        )
        for name, form in sorted(config.serving.items())  # as the record has them
    )


def judged_files(candidate: Candidate, run: Path) -> dict[str, Path]:
    """What was judged and by what, and how it compares, by published name."""
    beside = candidate.record.earlier.comparisons if candidate.record.earlier else {}
    forms = [name for form in candidate.record.forms or () for name in layout.of_form(form).values()]
    names = [*layout.JUDGED, *(f"gates/{name}" for name in beside), *forms]
    names += [name for one in tries.trained(candidate.record) for name in layout.of_a_try(one.name).values()]
    return {name: run / layout.in_run(name) for name in names}


def exported_files(candidate: Candidate, run: Path) -> dict[str, Path]:
    """What was made for the forms that passed, by published name."""
    passed = [form for form in (candidate.record.forms or {}).values() if form.passed]
    judged = {name: sha256 for form in passed for name, sha256 in form.exports.items()}
    there = run / layout.EXPORTS
    if wrong := [name for name, sha256 in judged.items() if not _is(there / name, sha256)]:
        raise VerificationError(
            f"{there / wrong[0]} is not the file that was judged, or is gone. Nothing was packed. Remove {there} and "
            "run again: it is made anew, and nothing is trained again."
        )
    return {f"{layout.EXPORTS}/{name}": there / name for name in judged}


def _is(path: Path, sha256: str) -> bool:
    return path.is_file() and sha256_file(path) == sha256


def pack(config: Config, candidate: Candidate, run: Path) -> Package:
    """The folder to publish, which only a candidate that passed has."""
    folder = lay(config, candidate, run, run / "package")
    return Package(folder=folder, manifest=Manifest.of_folder(folder), candidate=candidate)


def lay(config: Config, candidate: Candidate, run: Path, folder: Path) -> Path:
    """All files of a candidate in ``folder``. Rows are among them only where the configuration names their licence."""
    verdict = json.loads(candidate.verdict)
    record, counted = candidate.record, released.counted(verdict)
    files = judged_files(candidate, run)
    files |= previous.files(record.earlier.releases if record.earlier else (), config.run.output_dir)
    beside = {
        name: json.loads(files[name].read_bytes())["passed"] for name in attestations.COMPARISONS if name in files
    }
    digests = {name: sha256_file(path) for name, path in files.items()}
    for name, statement in attestations.derive(record, counted, beside, digests).items():
        (run / name).parent.mkdir(exist_ok=True)
        write_atomically(run / name, statement)
        files[name] = run / name
    files |= exported_files(candidate, run) | {layout.PAGE: page.to_publish(run, record)}
    files[layout.PICTURE] = run / layout.in_run(layout.PICTURE)
    files |= {layout.REVIEW: run / layout.in_run(layout.REVIEW)} if record.review else {}
    if record.training and record.training.evaluation:
        write_atomically(run / layout.TRAINING_CONFIG, canonical_json(dict(record.config)))
        files |= {name: run / name for name in (layout.TRAINING_METRICS, layout.TRAINING_CONFIG)}
    if config.data.license:
        files |= {name: run / name for name in layout.DATA.values() if (run / name).exists()}
    table, judged = (run / "report.md").read_text("utf-8"), verdict.get("content_judged")
    readme = card.render(record, counted, table, config.publishing, content_judged=judged, page=True)
    return package.lay(candidate, files, readme, folder)


def publish(publishing: Publishing, packed: Package, run: Path, hub: Mapping[str, str], say: Say) -> Publication:
    """Publish, and keep the receipt. What is published is written down first: a run started again knows its own tag."""
    pinned = packed.candidate.record.image_digest is not None
    if problems := making_machine.unpinned_problems(publishing, pinned=pinned):
        raise PreflightError("\n".join([*problems, "Nothing was published."]))
    write_atomically(run / "published.json", canonical_json({"manifest_digest": packed.manifest.digest}))
    request = requests.Publish(
        package=packed, repo_id=publishing.hf_repo, tag=publishing.tag, private=publishing.private
    )
    seen = requests.ask(request, hub, say, run / "publish.log")
    publication = replace(seen, endpoint=publishing.endpoint)  # the embedded Hub was at another port each time
    write_atomically(run / "publication.json", canonical_json(asdict(publication)))
    return publication


def _refusal(made: Candidate, run: Path) -> str:
    forms = (made.record.forms or {}).items()
    failed = [name for name, form in forms if not form.passed and form.settings["required"] is True]
    where = f" in {' and '.join(failed)}, in which it is to be served" if failed else ""
    less = ", or set required: false for a form that need not pass, over which by default is then not trained"
    return (
        f"A gate did not pass{where}: nothing was published. The adapter is kept in {run / 'adapter'}, the failing "
        f"rows are in {run / 'report.md'}, and on a page in {run / 'report.html'}. "
        f"Improve the data or the training and run again{less if failed else ''}."
    )


def to_review(made: Candidate, run: Path) -> str:
    """What people have to do, where nothing else stands in the way."""
    return (
        f"{REVIEW_WAITS}: {'; '.join(made.waits)}. Nothing is lost and nothing was published. "
        f"Run `adapter-release review {os.path.relpath(run)}`, then this command again: it goes on from here."
    )


def what_next(config: Config, packed: Package, publication: Publication) -> str:
    """What to tell somebody whose release is out: how to load it, look at it and check it."""
    name, hub = f"{publication.repo_id}@{publication.tag}", config.publishing.endpoint
    look = address.of(config).look(publication.repo_id, publication.tag)
    base = os.path.relpath(bases.folder_of(config.model)) if config.model.source == "embedded" else None
    record = packed.candidate.record
    load = snippet.python(record, snippet.as_trained(record), os.path.relpath(packed.folder), base=base)
    return f"""
Released {name}: commit {publication.commit}

Load it as it was judged:
{textwrap.indent(load, "  ")}

Look at it:  {look}
Its page:    {os.path.relpath(packed.folder / layout.PAGE)}
Check it:    adapter-release verify {name} --hub {hub}"""
