"""A published adapter, answered with again (``rejudge``) or made again (``reproduce``) from its tag, and compared."""

import contextlib
import hashlib
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import gates
from gates.canonical import canonical_json
from release import inputs, pipeline
from release.checking import allowed, compare, laid_out, opening, recorded_commit, recorded_tool, retrained
from release.checking.allowed import REF, Allowed
from release.checking.compare import Made
from release.checking.recorded_commit import RecordedCommit
from release.config.settings import Config, Container
from release.data.checks import OF_GOLDEN_ONLY
from release.hub import address, requests
from release.judging import attempts, derive, ledger, recording, served
from release.models import base as bases
from release.models.engines import ready
from release.models.generate import FORMS, generate
from release.running import container, environment, lock
from release.running import place as places
from release.running.place import Here, Place
from release.values import layout
from release.values.artifacts import Adapter, Manifest, Reproduction, write_atomically
from release.values.as_json import Tree, part, tree
from release.values.errors import HubError, NotReproduced
from release.values.events import Line, Say, Stage, tell
from release.values.record import Generation, Record, Source, known


@dataclass(frozen=True, kw_only=True)
class Request:
    """Which release to look at, and how much of it must come out again."""

    release: str
    """``REPO@TAG``, ``REPO@TAG@COMMIT`` or a folder."""
    endpoint: str
    level: str
    """One of ``compare.LEVELS`` but the last."""
    known: opening.Known
    allowed: Allowed = field(default_factory=Allowed)
    """What of the release may run here."""
    output: Path | None = None
    """Where the report and the run go; a folder named for the release under ``runs/reproduced`` when None."""
    anyway: bool = False
    """Train even where the level cannot be expected."""
    attach: bool = False
    """Offer the report to the release's repository."""
    tool: str | None = None
    """A wheel of the tool that made it, or ``index``; None: this program, or a commit of its checkout."""
    agree: recorded_tool.Agree = lambda _: False
    """Whether the caller lets that tool, or a declared trainer, run, once it is named."""
    trainer: Path = Path()
    """A folder with the files that a declared trainer needs."""


@dataclass(frozen=True, kw_only=True)
class Maker:
    """Who makes an adapter again, and what stages find there."""

    commit: RecordedCommit | None
    """The program of the recorded commit; None for this checkout's own."""
    image_digest: str | None
    surroundings: Mapping[str, Any] | None
    """Versions and hardware; None where the recorded commit sets up its own image."""


def rejudge(request: Request, say: Say) -> Reproduction:
    """Base and published adapter answer again in a fresh process; ``NotReproduced`` if too little is the same."""
    with laid_out.verified(request.release, request.endpoint, request.known, say) as found:
        return _rejudged(found, request, say)


def reproduce(request: Request, say: Say) -> Reproduction:
    """Train again from the record, by the recorded source; ``NotReproduced`` if too little is the same.

    An adapter that was trained elsewhere answers again, as for ``rejudge``; for equal bits it is trained by its own
    trainer before, where its publisher has declared that.
    """
    started = time.monotonic()
    with laid_out.verified(request.release, request.endpoint, request.known, say) as found:
        if found.release.record.origin is not None:
            return _rejudged(found, request, say)
        output = laid_out.output_folder(request.output, found)
        settings = laid_out.settings_of(found.release.record, allowed.check(found.release.record, request.allowed, say))
        with lock.held(output):
            then = published(found)
            if tries := then.record.tries:
                say(Line(text=f"  made again is try {tries.tries[-1].name}, which passed; none that was refused"))
            loaded = _lay_out(found, settings, output)
            laid_out.base_of(found, say)
            with _maker(then.record, request, loaded.container, output, say) as maker:
                _expect(then.record, maker, request, say)
                run = _make(found, maker, loaded, output, say)
            now = _in_run(run)
            seconds = round(time.monotonic() - started, 1)
            result = compare.compare(then, now, release=found.name, commit=found.commit, seconds=seconds)
            return _finish(result, request, output, say)


def _rejudged(found: opening.Opened, request: Request, say: Say) -> Reproduction:
    """The same of a release that is here and was verified; with its adapter made again where equal bits are asked."""
    again = request.level == "bits"
    if again:
        retrained.declared(found)
    with tempfile.TemporaryDirectory() as scratch:
        output = laid_out.output_folder(request.output, found)
        settings = laid_out.settings_of(found.release.record, allowed.check(found.release.record, request.allowed, say))
        with lock.held(output):
            then = published(found)
            by = retrained.By(files=request.trainer, allowed=request.allowed, agree=request.agree)
            trainer = retrained.agreed(found, output, by, say) if again else None
            base = laid_out.base_of(found, say)
            place = laid_out.place_of(settings, say)
            run = laid_out.answering_run(found, settings, Path(scratch) / "run")
            if trainer:
                retrained.into(run / "adapter", found, base, trainer, say)
                shutil.rmtree(output / "adapter", ignore_errors=True)
                shutil.copytree(run / "adapter", output / "adapter")
            adapter = Adapter(
                folder=run / "adapter", files=Manifest.of_folder(run / "adapter"), training=then.record.training
            )
            which = "it left" if trainer else "were published"
            say(Stage(name="generate", note=f"a fresh process loads the files that {which}"))
            answers = generate(run, base, adapter, place, say) / "answers.jsonl"
            base_answers = gates.read_outputs(run / "base_answers.jsonl")
            forms = _answer_as_served(found, run, base, adapter, place, say)
            alone = derive.alone(found.release.terms, gates.read_outputs(answers), base_answers)
            made = run / "generation.json"
            now = Made(
                record=_record_now(then.record, part(Generation, json.loads(made.read_bytes())), adapter),
                adapter=adapter.folder if trainer else then.adapter,
                answers=answers,
                verdict=alone.verdict.as_dict(),
                base_answers=run / "base_answers.jsonl",
                comparison=alone.comparison.as_dict() if alone.comparison else None,
                forms=forms,
            )
            for name in ("answers.jsonl", "base_answers.jsonl"):
                write_atomically(output / name, (run / name).read_bytes())
            result = compare.compare(
                then, now, release=found.name, commit=found.commit, seconds=now.record.generation.seconds
            )
            return _finish(result, request, output, say)


def published(found: opening.Opened) -> Made:
    """What the release holds, as one side of a comparison."""
    return _side(found.release.record, found.folder, found.folder / "gates")


def _side(made: Record, adapter: Path, judged: Path) -> Made:
    """One side of a comparison, from the folder with what was judged; early records know no answers of the base."""
    with_base = made.generation.base_answers_sha256 is not None
    return Made(
        record=made,
        adapter=adapter,
        answers=judged / "answers.jsonl",
        verdict=json.loads((judged / "verdict.json").read_bytes()),
        base_answers=judged / "base_answers.jsonl" if with_base else None,
        comparison=json.loads((judged / "comparison.json").read_bytes()) if with_base else None,
        forms={name: judged / FORMS / name for name in made.forms or ()},
    )


def _in_run(run: Path) -> Made:
    """What a run folder holds, as the other side."""
    try:
        made = known(json.loads((run / "record.json").read_bytes()))
    except ValueError as error:
        says = f"The recorded commit wrote a record that this version cannot read: {error}."
        raise NotReproduced(f"{says} What it made is kept in {run}: compare it by the version that made it.") from None
    return _side(made, run / "adapter", run)


def _lay_out(found: opening.Opened, settings: Mapping[str, Any], output: Path) -> Config:
    """A configuration and its files, as the release has them, in ``output``."""
    own = [layout.ANSWER_SCHEMA, *([layout.CHAT_TEMPLATE] if "chat_template" in settings["model"] else [])]
    files = {name: (found.folder / name).read_bytes() for name in own}
    files |= {
        name: laid_out.rows_of(found, kind).canonical
        for kind, name in layout.DATA.items()
        if f"{kind}_file" in settings["data"]  # rows that only chose among tries are not read again
    }
    for name, content in files.items():
        (output / name).parent.mkdir(parents=True, exist_ok=True)
        write_atomically(output / name, content)
    write_atomically(output / "release.yaml", canonical_json(settings))
    loaded = laid_out.load(output / "release.yaml")
    loaded.run.output_dir.mkdir(parents=True, exist_ok=True)
    # what was tried before it then: made again, it must meet the bounds of the same attempt
    write_atomically(ledger.path_of(loaded), attempts.written(found.release.terms.tried))
    return loaded


def _answer_as_served(
    found: opening.Opened, run: Path, base: bases.Base, adapter: Adapter, place: Place, say: Say
) -> dict[str, Path]:
    """The folder of each form that was asked again, with its verdict."""
    folders: dict[str, Path] = {}
    trained = gates.read_outputs(run / "answers.jsonl")
    config = laid_out.load(run / "config.yaml")
    for name, settings in config.serving.items():
        if lacking := list(ready.of_a_form(config, settings, here=place.image_digest is None)):
            say(Line(text=f"  {name} is not asked again: {lacking[0]}"))
            continue
        say(Stage(name="generate", note=f"as served: {name}"))
        folders[name] = folder = generate(run, base, adapter, place, say, name)
        answers = gates.read_outputs(folder / "answers.jsonl")
        near = recording.made(run, name).parity
        one = served.judged(found.release.terms, name, answers, trained, asdict(settings), near)
        write_atomically(folder / "verdict.json", one.verdict.to_json())
    return folders


def _record_now(release: Record, generation: Generation, adapter: Adapter) -> Record:
    """The record with what answering again found, and by which files."""
    files = {file.path: file.sha256 for file in adapter.files.files}
    threads = generation.hardware.threads
    if threads == release.generation.hardware.threads:  # training's own may be another share of as many
        threads = release.determinism.threads
    fixed = replace(release.determinism, threads=threads)
    judged = replace(release.adapter, files=files)
    return replace(release, adapter=judged, generation=generation, source=environment.source(), determinism=fixed)


@contextlib.contextmanager
def _maker(release: Record, request: Request, wanted: Container, output: Path, say: Say) -> Iterator[Maker]:
    """Where to train: here if code and libraries are those of the record; else a git worktree at the recorded commit.

    There, an environment of its own is installed from that commit's locks where the libraries here are others, if the
    caller allows that, unless an image brings its own, or this hardware rules out equal bytes anyway.
    """
    source = release.source
    if request.tool is not None:
        yield _by_tool(release, request, request.tool, wanted, output, say)
        return
    there = recorded_commit.is_trusted(source.commit, request.allowed.ref) and not source.dirty
    stays = source.code_sha256 == environment.code_sha256() or not there
    place = places.find(wanted, say) if stays else Here()
    its_own = not stays and environment.image_digest() is None and container.used(wanted)
    if its_own and not request.allowed.install:
        raise NotReproduced(_its_image(f"Commit {source.commit}, which made it,"))
    here = None if its_own else _probe(place, say)
    lacking = here is not None and isinstance(place, Here) and there and not other_hardware(tree(release), here)
    other = other_libraries(tree(release), here) if here is not None and lacking else []
    if other and not request.allowed.install:
        say(Line(text=f"not installed: the recorded libraries, from the locks of commit {source.commit}; {_INSTALL}"))
    installed = other if request.allowed.install else []
    if stays and not installed:
        yield Maker(commit=None, image_digest=place.image_digest, surroundings=here)
        return
    assert source.commit is not None
    say(Stage(name="source", note=f"commit {source.commit}, of the history of {request.allowed.ref}"))
    with recorded_commit.worktree(environment.ROOT, source.commit, output / "source") as root:
        python = recorded_commit.own_environment(root, installed, say) if installed else None
        if python:
            here = _probe(Here(python=python), say)
        commit = RecordedCommit(root=root, python=python or sys.executable)
        yield Maker(commit=commit, image_digest=environment.image_digest(), surroundings=here)


_INSTALL = f"{allowed.INSTALL} installs them in an environment that goes away with this command"


def _by_tool(release: Record, request: Request, asked: str, wanted: Container, output: Path, say: Say) -> Maker:
    """The tool that made it, out of a wheel, with the libraries of here."""
    its_own = environment.image_digest() is None and container.used(wanted)
    if its_own and not request.allowed.install:
        raise NotReproduced(_its_image("The tool that made it"))
    root = recorded_tool.unpacked(release, asked, output / "tool", request.agree, say)
    here = None if its_own else _probe(Here(), say)
    commit = RecordedCommit(root=root, python=sys.executable)
    return Maker(commit=commit, image_digest=environment.image_digest(), surroundings=here)


def _its_image(what: str) -> str:
    return (
        f"{what} would build the container image of its own code and locks, and so install "
        f"what they name. Nothing was run. If you want that, give {allowed.INSTALL}; {allowed.PLACE} never runs its "
        "code on this machine itself, with the libraries here."
    )


def _probe(place: Place, say: Say) -> dict[str, Any]:
    """``versions``, ``packages`` and ``hardware`` as a stage finds them: a child is asked, for it loads torch."""
    with tempfile.TemporaryDirectory() as folder:
        found, log = Path(folder) / "environment.json", Path(folder) / "environment.log"
        place.call(environment.__name__, [found], writes=[Path(folder)], say=say, log=log)
        result: dict[str, Any] = json.loads(found.read_bytes())
        return result


def other_libraries(release: Tree, here: Mapping[str, Any]) -> list[str]:
    """Every library that decides bytes and is another version here."""
    found = compare.differences(release, {"training": here}, "training")
    return [compare.told(one) for one in found if one["cause"] == "library"]


def other_hardware(release: Tree, here: Mapping[str, Any]) -> bool:
    """Whether it computes otherwise here, whatever is installed."""
    found = compare.differences(release, {"training": here}, "training")
    return any(one["cause"] == "hardware" and one["what"] != "processor" for one in found)


def _expect(release: Record, maker: Maker, request: Request, say: Say) -> None:
    """Say what cannot be the same before time is spent; stop if that rules out the required level."""
    if maker.surroundings is None:
        say(Line(text="the recorded commit builds its own image; this environment is not compared"))
        return
    threads = release.determinism.threads
    here = {**maker.surroundings, "hardware": {**maker.surroundings["hardware"], "threads": threads}}
    if (cores := environment.threads(None)) < release.threads:
        say(Line(text=f"{release.threads} threads, as recorded, on {cores} cores: slower than when it was made"))
    # a worktree at a clean commit holds the recorded code
    code = release.source.code_sha256 if maker.commit else environment.code_sha256()
    now = {"training": here, "source": {"code_sha256": code}}
    found = obstacles(tree(release), now, request.allowed.ref)
    for line in found:
        say(Line(text=f"not as recorded: {line}"))
    if release.image_digest and release.image_digest != maker.image_digest:
        say(Line(text=f"it was made in the image {release.image_digest}; this run does not use it"))
    if maker.image_digest and not release.image_digest:
        say(Line(text=f"it was made in no image, and this run is in one; {allowed.PLACE} never runs it as then"))
    if found:
        say(Line(text="what can still be expected is the same verdict"))
    if found and request.level != "verdict" and not request.anyway:
        raise NotReproduced(
            f"{request.level} cannot be expected here: {found[0]}. A verdict may still be the same: use "
            f"--level verdict, set up what was recorded (each line above; for libraries, {allowed.INSTALL}), or try "
            "all the same with --anyway."
        )


def obstacles(release: Tree, here: Tree, ref: str = "HEAD") -> list[str]:
    """What rules out equal bytes: other libraries, instructions, GPU or code, and operations without a fixed result.

    A processor's name alone does not, nor does a package that takes no part in the arithmetic.
    """
    found = compare.differences(release, here, "training")
    lines = [compare.told(one) for one in found if one["what"] != "processor" and one["cause"] != "package"]
    lines += [ran] if (ran := compare.unfixed(release)) else []
    if any(one["cause"] == "source" for one in found):
        lines += _why_no_source(part(Source, release["source"]), ref)
    return lines


def _why_no_source(source: Source, ref: str) -> list[str]:
    """Why the code that was recorded is not taken; nothing where it is."""
    if source.dirty:
        return [f"source: it was made from uncommitted changes on commit {source.commit}, and they are not available"]
    if source.commit and not recorded_commit.is_trusted(source.commit, ref):
        where = f"is not in the history of {ref} in {environment.ROOT}; an installed package has none"
        told = f"source: commit {source.commit}, which made it, {where}. "
        do = (
            f"Run `adapter-release reproduce` in a clone that has it, or name a branch or tag that you trust as {REF}, "
        )
        do += (
            f"or give the tool that made it: {recorded_tool.WHEEL} FILE, or {recorded_tool.WHEEL} {recorded_tool.INDEX}"
        )
        return [f"{told}{do}"]
    return []


def _make(found: opening.Opened, maker: Maker, loaded: Config, output: Path, say: Say) -> Path:
    """The run folder of this configuration."""
    if maker.commit:
        return maker.commit.make(loaded, output / "made")
    as_then = laid_out.load(loaded.path, {**laid_out.not_said(found.release.record), **_rules_of_then(found)})
    return pipeline.make(as_then, pipeline.check_data(inputs.load(as_then, say), say), say)[1]


def _rules_of_then(found: opening.Opened) -> dict[str, str]:
    """What it had to pass, as settings: the default policy of that day, and the data checks that there were."""
    record, rules = found.release.record, dict[str, str]()
    named = record.config.get("gates") or {}
    if isinstance(named, Mapping) and not named.keys() - {"weaker_because"}:
        rules["gates"] = json.dumps({**named, **found.release.json(layout.POLICY)})
    if record.early:
        rules |= {f"data.checks.{name}": "warning" for name in sorted(OF_GOLDEN_ONLY)}
    return rules


def _finish(result: Reproduction, request: Request, output: Path, say: Say) -> Reproduction:
    """Keep the report, say it, and stop if the required level was not reached."""
    write_atomically(output / "reproduction.json", result.to_json())
    write_atomically(output / "reproduction.md", compare.markdown(result).encode())
    tell(say, ["", *compare.lines(result), f"report:  {os.path.relpath(output / 'reproduction.md')}"])
    if request.attach:
        say(Line(text=_attach(result, request, output, say)))
    if not compare.meets(result.reached, request.level):
        reason = result.cause or "the records name no difference that explains it"
        raise NotReproduced(
            f"{result.release}: required {request.level}, reached {result.reached}. First cause: {reason}. "
            f"Full report: {os.path.relpath(output / 'reproduction.md')}."
        )
    return result


def _attach(result: Reproduction, request: Request, output: Path, say: Say) -> str:
    """Offer the report as a pull request; where that is refused it is kept, and the reason is returned."""
    repo_id, _, _ = result.release.partition("@")
    if result.commit is None:
        return "not attached: a folder has no repository; name the release as REPO@TAG"
    made = hashlib.sha256(result.to_json()).hexdigest()[:12]
    name = f"reproductions/{result.commit[:12]}-{made}"
    proposal = requests.Propose(
        repo_id=repo_id,
        files={f"{name}.json": result.to_json().decode(), f"{name}.md": compare.markdown(result)},
        title=f"{result.how} of {result.release}: {result.reached}",
        description="\n".join(line.strip() for line in compare.lines(result)),
    )
    try:
        with address.parse(request.endpoint, Path.cwd()).opened() as hub:
            url = requests.ask(proposal, hub, say, output / "attach.log")
    except HubError as error:
        return f"kept:    the report was not attached. {error}"
    return f"offered: {url}"
