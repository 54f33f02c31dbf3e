"""A model that somebody serves, judged as a release is: its verdict is published, and it says that it saw no bytes."""

import tempfile
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import gates
from gates.canonical import canonical_json
from release import __version__, inputs, pipeline
from release.begin import Judged
from release.config.reading import effective
from release.config.settings import Config
from release.data import sources
from release.hub import address, requests
from release.hub.requests import DATASETS
from release.inputs import Inputs, Rows, Unread
from release.judging import attempts, derive, ledger, recording, terms
from release.judging import hosted as judging
from release.judging.derive import Alone
from release.judging.terms import Terms
from release.models import hosted
from release.publishing import attested
from release.publishing.attested import sha256
from release.running import distribution, lock
from release.values import layout
from release.values import record as records
from release.values.artifacts import Attested, Publication, write_atomically
from release.values.as_json import part
from release.values.attestation import NO_BYTES, VERSION, Asked, Attestation, Hosted, Published
from release.values.errors import ConfigError, GatesFailed, PreflightError
from release.values.events import Line, Say, Stage, tell


@dataclass(frozen=True, kw_only=True)
class Made:
    """An attestation that was judged, with the files that it is published with."""

    record: Attestation
    files: dict[str, bytes]
    table: str


def attest(config: Config, say: Say) -> tuple[Attested, Publication]:
    """From a configuration whose form ``hosted.FORM`` says where is asked, to a tag of a dataset repository."""
    with lock.held(config.run.output_dir), address.of(config).opened() as hub:
        say(Stage(name="preflight"))
        _look(config, hub, say)
        judged = pipeline.check_data(_inputs(config, say), say)
        if judged.policy.review is not None:
            what = "gates.human_review: nobody reads the answers of an attestation"
            raise ConfigError([f"{what}. Take it out to attest. Nothing was asked."])
        form = hosted.form_of(config)
        say(Stage(name="ask", note=f"{form.model} at {form.url}"))
        say(Line(text=f"  {NO_BYTES}"))
        run = _begun(config, judged)
        made = judge(run, config, judged, hosted.ask(run, say), say)
        if not made.record.passed:
            raise GatesFailed(
                f"A gate did not pass: nothing was published. Answers and verdict are kept in {run}; which rows failed "
                f"is in {run / 'report.md'}. Another model, or another prompt in the rows, is another attempt on this "
                "golden set."
            )
        packed = attested.build(made.record, made.files, made.table, run / "package")
        name = f"{DATASETS}{config.publishing.hf_repo}"
        say(Stage(name="publish", note=f"{name}@{config.publishing.tag}"))
        request = requests.Publish(
            package=packed, repo_id=name, tag=config.publishing.tag, private=config.publishing.private
        )
        seen = requests.ask(request, hub, say, run / "publish.log")
        publication = replace(seen, endpoint=config.publishing.endpoint)
        write_atomically(run / "publication.json", canonical_json(asdict(publication)))
        return packed, publication


def what_next(config: Config, publication: Publication) -> str:
    """What to tell somebody whose attestation is out."""
    name, hub = f"{publication.repo_id}@{publication.tag}", config.publishing.endpoint
    look = address.of(config).look(publication.repo_id, publication.tag)
    return f"""
Attested {name}: commit {publication.commit}
{NO_BYTES[0].upper()}{NO_BYTES[1:]}.

Look at it:  {look}
Check it:    adapter-release verify {name} --hub {hub}"""


def _look(config: Config, hub: dict[str, str], say: Say) -> None:
    """Whether it can be published, before an address is asked anything that may cost money."""
    publishing = config.publishing
    request = requests.CheckRights(
        repo_id=f"{DATASETS}{publishing.hf_repo}", tag=publishing.tag, private=publishing.private
    )
    with tempfile.TemporaryDirectory() as folder:
        found = list(requests.ask(request, address.impatient(hub), say, Path(folder) / "log"))
    if publishing.keyless or publishing.signing_key:
        say(Line(text="  an attestation is not signed: publishing.signing_key and publishing.keyless are of releases"))
    if found:
        raise PreflightError("\n".join([*found, "Nothing was asked."]))


def _inputs(config: Config, say: Say) -> Inputs:
    """The golden rows and what they are judged by; what the model was trained on is not known."""
    none = Unread(why=PreflightError("a model that is served elsewhere has no tokenizer here"))
    contract = inputs.read_contract(config)
    declared = None if isinstance(contract, Unread) else contract.declares
    return Inputs(
        config=config,
        contract=contract,
        policy=inputs.read_policy(config, declared),
        rows=Rows(train=None, golden=sources.golden(config, say)),
        base=none,
        chat=none,
    )


def _begun(config: Config, judged: Judged) -> Path:
    """A new folder with what the run needs: every try asks again, for another model may answer by now."""
    config.run.output_dir.mkdir(parents=True, exist_ok=True)
    run = Path(tempfile.mkdtemp(prefix="attested-", dir=config.run.output_dir))
    run.chmod(0o755)
    golden = run / layout.DATA["golden"]
    golden.parent.mkdir()
    write_atomically(golden, judged.golden.canonical)
    write_atomically(run / "config.yaml", canonical_json(effective(config)))
    for name, content in _terms(config, judged).files.items():
        write_atomically(run / layout.in_run(name), content)
    return run


def judge(run: Path, config: Config, judged: Judged, told: dict[str, object], say: Say) -> Made:
    """The verdict on the answers in a run folder, counted as an attempt whether it passed or not."""
    content = (run / layout.in_run(layout.ANSWERS)).read_bytes()
    model = _hosted(told)
    first, known = _terms(config, judged), ledger.read(config)
    asked = first.after(attempts.before(known, first.attempt(model.sha256, sha256(content)), first.golden_set))
    alone = derive.alone(asked, gates.read_outputs(run / layout.in_run(layout.ANSWERS)), None)
    entries = judging.entries(asked, model, sha256(content), alone)
    ledger.add(config, [*known, *entries])
    files = {
        **first.files,
        **alone.files,
        layout.ANSWERS: content,
        layout.LEDGER: attempts.written([*asked.tried, *entries]),
    }
    table = judging.table(alone)
    write_atomically(run / "report.md", table.encode())
    for name in (layout.VERDICT, layout.LEDGER):
        write_atomically(run / layout.in_run(name), files[name])
    tell(say, judging.lines(alone))
    if config.data.license:
        files[layout.DATA["golden"]] = judged.golden.canonical
    return Made(record=_record(config, judged, told, alone, files), files=files, table=table)


def _terms(config: Config, judged: Judged) -> Terms:
    return terms.agreed(judged.golden, judged.contract, replace(config, serving={}), judged.policy)


def _hosted(told: dict[str, object]) -> Hosted:
    said = told["said"]
    assert isinstance(said, dict)
    return part(Hosted, {**said, "asked_for": said["model"]})


def _record(
    config: Config, judged: Judged, told: dict[str, object], alone: Alone, files: dict[str, bytes]
) -> Attestation:
    publishing, said = config.publishing, told["said"]
    assert isinstance(said, dict)
    golden = judged.golden
    inside = layout.DATA["golden"] if layout.DATA["golden"] in files else None
    arguments = dict(config.model.chat_template_kwargs)
    how = {**told, "by": said["asked_by"], "seed": config.run.seed, "chat_template_kwargs": arguments}
    return attested.sealed(
        Attestation(
            attestation=VERSION,
            program=records.Program(
                name=distribution.NAME, version=__version__, distribution_sha256=distribution.installed()
            ),
            name=config.run.name,
            judged=NO_BYTES,
            model=_hosted(told),
            asked=part(Asked, how),
            source=recording.source(config),
            golden=records.Rows(sha256=golden.sha256, rows=len(golden.rows), file=inside),
            policy_sha256=judged.policy.digest,
            answers_sha256=sha256(files[layout.ANSWERS]),
            verdict_sha256=sha256(files[layout.VERDICT]),
            passed=alone.passed,
            attempt=alone.attempt,
            published=Published(
                repo_id=publishing.hf_repo,
                tag=publishing.tag,
                license=publishing.license,
                language=[*publishing.language],
                tags=[*publishing.tags],
            ),
        )
    )
