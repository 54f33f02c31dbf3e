"""A release in two jobs: a candidate made where the GPU is, published where the token is. The folder between them.

Nothing that arrives is believed: every digest is computed and the verdict derived from the answers again, the rules are
those of the job that publishes (`release.publishing.rules`), and earlier releases are fetched and compared with anew.
"""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import gates
from gates import report
from gates.canonical import canonical_json
from release import inputs, pipeline, preflight, tries, tries_planned
from release.checking import completed, opening, verify
from release.checking.steps import UNREADABLE
from release.config.settings import Config, Publishing
from release.hub import address
from release.inputs import Inputs
from release.judging import attempts, derive, previous, tried
from release.judging.derive import Beside
from release.judging.released import Released
from release.publishing import candidate_folder, page, sign
from release.publishing import rules as own
from release.publishing.candidate_folder import BESIDE, MESSAGE, PACKAGE, REFUSED, REPORT, REVIEW, ROWS, SUMS
from release.publishing.rules import Rules
from release.running import lock
from release.values import clock, layout
from release.values.artifacts import Adapter, Candidate, Manifest, Package, Publication, write_atomically
from release.values.as_json import tree
from release.values.errors import ConfigError, DataError, GatesFailed, HubError, ReviewNeeded, VerificationError
from release.values.events import Line, Say, Stage, tell
from release.values.record import VERSION, Record


def candidate(config: Config, folder: Path, say: Say) -> None:
    """Everything up to the package, into ``folder``, with its digests. Reads previous releases, and needs no token.

    A candidate that is refused leaves its report and what was judged there, and raises ``GatesFailed``.
    """
    folder = folder.absolute()
    candidate_folder.replaceable(folder)
    with lock.held(config.run.output_dir), address.of(config).opened() as hub:
        say(Stage(name="preflight"))
        found = inputs.load(config, say)
        before = preflight.check(found, hub, say, rights=False)
        made, run = _made(found, before, folder, say)
        try:
            packed = pipeline.accept(config, made, run, say)
        except ReviewNeeded:
            hand_over(pipeline.lay(config, made, run, run / "waits"), made.record, run, folder)
            raise ReviewNeeded(_to_review(made, folder)) from None
        except GatesFailed:
            judged = {
                f"{REFUSED}/{layout.in_run(name)}": path for name, path in pipeline.judged_files(made, run).items()
            }
            judged[f"{REFUSED}/{layout.in_run(layout.PAGE)}"] = page.to_publish(run, made.record)
            candidate_folder.lay_out(folder, {REPORT: run / page.SUMMARY, **judged}, sums=False)
            raise
        hand_over(packed.folder, made.record, run, folder)
    holds = f"{folder} holds the candidate, manifest {packed.manifest.digest}."
    tell(say, ["", holds, f"Publish it, where this configuration is too:  adapter-release publish {folder}"])


def _made(found: Inputs, before: tuple[previous.Release, ...], folder: Path, say: Say) -> tuple[Candidate, Path]:
    """The candidate and its run folder; where there is no adapter to judge, ``folder`` says why, and what was tried."""
    try:
        return pipeline.candidate(found, before, say)
    except GatesFailed as why:
        files: dict[str, Path | bytes] = {MESSAGE: str(why).encode()}
        told = None
        if isinstance(why, tries.Refused):
            told, files = why.told, {**files, tries_planned.TABLE: canonical_json(tree(why.told)), **why.files}
        files = {f"{REFUSED}/{name}": content for name, content in files.items()}
        candidate_folder.lay_out(folder, {REPORT: tried.refused(str(why), told).encode(), **files}, sums=False)
        raise


def hand_over(package: Path, record: Record, run: Path, folder: Path) -> None:
    """The candidate's folder: the package, the report, rows that the verdict is derived from, and digests of them."""
    files = {f"{PACKAGE}/{file.path}": package / file.path for file in Manifest.of_folder(package).files}
    rows = {f"{ROWS}/{kind}.jsonl": run / layout.DATA[kind] for kind in record.judged_by if not record.publishes(kind)}
    candidate_folder.lay_out(folder, {REPORT: run / page.SUMMARY, **files, **rows}, sums=True)


def _to_review(made: Candidate, folder: Path) -> str:
    there = os.path.relpath(folder)
    return (
        f"{pipeline.REVIEW_WAITS}: {'; '.join(made.waits)}. {there} holds the candidate, and nothing is lost. Run "
        f"`adapter-release review {there}`, here or where that folder is fetched to, then `adapter-release publish "
        f"{there}`, with --review for a file that lies elsewhere."
    )


@dataclass(frozen=True, kw_only=True)
class People:
    """Where the word of people comes from, on a candidate that waits for them."""

    files: Sequence[Path] = ()
    """None: from the candidate's folder."""
    apart: bool = False
    """Whether it comes from these files alone: who made the candidate could have written what came with it."""


ANY = People()


def publish(folder: Path, receipts: Path, rules: Rules, say: Say, people: People = ANY) -> Publication:
    """Prove a candidate's folder again, and that it is what the rules ask for; then publish it, signed if required.

    The receipt goes to a folder named by the manifest of what arrived; the digests of what is published lie beside it.
    """
    say(Stage(name="check", note=str(folder)))
    with _reviewed(folder, people) as whole:
        publication = _publish(folder, whole, receipts, rules, say)
        write_atomically(receipts / SUMS, (whole / SUMS).read_bytes())
        return publication


def prove(folder: Path, rules: Rules, say: Say) -> None:
    """All that is proved before a candidate is published, and no more."""
    say(Stage(name="check", note=str(folder)))
    with _reviewed(folder, ANY) as whole, _proved(folder, whole, rules, say):
        pass


@contextlib.contextmanager
def _proved(folder: Path, whole: Path, rules: Rules, say: Say) -> Iterator[tuple[Package, Mapping[str, str]]]:
    """The package of the folder ``whole``, which people's word is in if it is asked for, and its Hub."""
    found = Released(name=str(folder), folder=whole / PACKAGE, data=whole / ROWS)
    with _arrived(whole, found, say) as arrived:
        own.check(found, rules)
        tell(say, [f"  {line}" for line in own.unchecked(found, rules)])
        _prove_the_gates(found)
        with rules.hub.opened() as hub:
            _beside_earlier(found, rules, hub, say)
            yield arrived, hub


def _publish(folder: Path, whole: Path, receipts: Path, rules: Rules, say: Say) -> Publication:
    with _proved(folder, whole, rules, say) as (arrived, hub):
        kept = receipts / arrived.manifest.digest[:12]
        kept.mkdir(parents=True, exist_ok=True)
        packed = _signed(arrived, rules.publishing, kept)
        say(Stage(name="publish", note=f"{rules.publishing.hf_repo}@{rules.publishing.tag}"))
        publication = pipeline.publish(rules.publishing, packed, kept, hub, say)
    name = f"{publication.repo_id}@{publication.tag}"
    tell(say, ["", f"Released {name}: commit {publication.commit}", f"Receipt:     {kept / 'publication.json'}"])
    say(Line(text=f"Check it:    adapter-release verify {name} --hub {rules.publishing.endpoint}"))
    return publication


@contextlib.contextmanager
def _reviewed(folder: Path, people: People) -> Iterator[Path]:
    """The candidate's folder as it was laid out; or, where it waits for people, one with it and their word."""
    found = Released(name=str(folder), folder=folder / PACKAGE, data=folder / ROWS)
    sound(folder)
    with _trusting_nothing(found):
        waits = completed.waits(found)
        spoken = found.record.review is not None
    if people.apart and spoken:
        raise VerificationError(
            f"The package in {folder} holds people's word already, and with --people-apart it comes by --review alone: "
            "who made the candidate could have written it. Nothing was published. Make it where no review is."
        )
    if people.files and not waits:
        raise ConfigError(
            [f"{folder} waits for no review: its policy asks nobody, or it holds one. Take --review out."]
        )
    if not waits:
        yield folder
        return
    came = [folder / REVIEW] if os.path.lexists(folder / REVIEW) and not people.apart else []
    said = completed.joined(people.files or came)
    with tempfile.TemporaryDirectory() as scratch:
        whole = Path(scratch) / "candidate"
        whole.mkdir()
        with _trusting_nothing(found):
            completed.complete(found, said, whole / PACKAGE)
        for name in BESIDE.keys() - {SUMS, REVIEW}:
            if (folder / name).exists():
                (whole / name).parent.mkdir(exist_ok=True)
                shutil.copyfile(folder / name, whole / name)
        candidate_folder.summed(whole)
        yield whole


@contextlib.contextmanager
def _trusting_nothing(found: Released) -> Iterator[None]:
    """A block that derives something of a candidate that is not verified yet, within its time."""
    try:
        with clock.within(found.listed.seconds):
            yield
    except (*UNREADABLE, clock.TimeUp, gates.Invalid, DataError) as error:
        raise VerificationError(f"{found.name} cannot be read: {error}. Nothing was published.") from None


def sound(folder: Path) -> None:
    """``VerificationError`` where the folder is not the one that was laid out."""
    found = Released(name=str(folder), folder=folder / PACKAGE, data=folder / ROWS)
    if wrong := candidate_folder.problems(folder, found):
        raise VerificationError(
            f"{folder} is not the candidate that was made:\n  "
            + "\n  ".join(wrong)
            + "\nNothing was published. Fetch the folder again, or make the candidate again."
        )


@contextlib.contextmanager
def _arrived(folder: Path, found: Released, say: Say) -> Iterator[Package]:
    """The package in a candidate's folder, while the block lasts; ``VerificationError`` names whatever is wrong."""
    steps = verify.report(opening.Opened(release=found), say)
    made = found.record
    if made.record != VERSION:
        raise VerificationError(
            f"{folder} has a record of version {made.record}, which lacks what a release needs today "
            f"(version {VERSION}). Nothing was published. Make the candidate again."
        )
    # signed and compared here; an earlier program drew no page; which rows may share questions a configuration says
    fine = (verify.SIGNED, verify.EARLIER, verify.PAGE, verify.ROWS)
    if skipped := [f"{step.name}: {why}" for step in steps for why in step.unchecked if step.name not in fine]:
        raise VerificationError(
            f"{folder} cannot be proved whole, and a candidate must be:\n  "
            + "\n  ".join(skipped)
            + "\nNothing was published. Make the candidate again."
        )
    manifest = Manifest.of_folder(found.folder)
    if manifest != found.manifest():
        raise VerificationError(f"{found.folder} changed while it was read. Nothing was published. Run again.")
    with tempfile.TemporaryDirectory() as scratch:
        judged = _judged(found.folder, made, manifest, Path(scratch))
        yield Package(folder=found.folder, manifest=manifest, candidate=judged)


def _judged(folder: Path, made: Record, manifest: Manifest, scratch: Path) -> Candidate:
    """The candidate of a package: the judged adapter's files are alone in ``scratch``, as training left them."""
    for name in (file.path for file in manifest.files if file.path in made.adapter.files):
        (scratch / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(folder / name, scratch / name)
    adapter = Adapter(folder=scratch, files=Manifest.of_folder(scratch), training=made.training, origin=made.origin)
    if adapter.files.digest != made.adapter.sha256:
        raise VerificationError(f"The adapter in {folder} changed while it was read. Nothing was published. Run again.")
    verdict = (folder / layout.VERDICT).read_bytes()
    return Candidate(adapter=adapter, record=made, verdict=verdict, passed=made.passed is True)


def _prove_the_gates(found: Released) -> None:
    """The self-test of the gates, on the terms that the rules ask for: the other job only says that it was done."""
    now = found.terms
    if now.self_test == "passed":  # done when the verdict was derived, where that says so
        return
    verdict = gates.gate_zero(now.golden.rows, now.contract, now.policy)
    if not verdict.passed:
        raise VerificationError(
            f"The gates of {found.name} cannot tell right answers from wrong ones, so their verdict says nothing:\n"
            + "\n".join(report.terminal(verdict))
            + "\nNothing was published. Mend the golden rows or the policy, and make the candidate again."
        )


def _beside_earlier(found: Released, rules: Rules, hub: Mapping[str, str], say: Say) -> None:
    """The releases that the Hub has, fetched and compared here, whatever the record says of them."""
    with tempfile.TemporaryDirectory() as scratch:
        releases = previous.fetch(rules.publishing, Path(scratch), hub, say)
        here = derive.beside(found.terms, found.answers, releases)
        again = _again(here, releases, rules)
        now = found.terms
        own = attempts.parse(found.read(layout.LEDGER), layout.LEDGER)
        uncounted = previous.uncounted(own, releases, now)
    said, repo = found.record.earlier, rules.publishing.hf_repo
    if other := previous.unnamed(said, here.earlier):
        raise HubError(
            f"{repo} has other releases than {found.name} was compared with:\n  "
            + "\n  ".join(other)
            + "\nWhat is there was published after this adapter was evaluated, or was left out of its record. Nothing "
            f"was uploaded. {again}"
        )
    if uncounted:
        raise HubError(
            f"{repo} knows attempts on this golden set that {found.name} does not count:\n  "
            + "\n  ".join(uncounted)
            + "\nWith each the next must meet surer bounds. Nothing was uploaded. Run `adapter-release candidate` "
            "again where it was made: nothing is trained again, only counted and judged."
        )
    if wrong := list(previous.misstated(said, here.earlier)):
        raise VerificationError(
            f"{found.name} says of the releases of {repo} what they do not say themselves:\n  "
            + "\n  ".join(wrong)
            + f"\nNothing was uploaded. {again} Look at the machine that made this one."
        )


def _again(here: Beside, releases: Sequence[previous.Release], rules: Rules) -> str:
    """What to do about a candidate that was compared with other releases."""
    because = rules.settings["gates.weaker_because"]
    reason = because if isinstance(because, str) else None
    worse = [name for name, comparison in here.comparisons.items() if not comparison.passed]
    if worse:
        lost = "\n".join(line for name in worse for line in report.comparison_terminal(here.comparisons[name]))
        return f"Compared here, it is worse, and would be refused; train a better one:\n{lost}\n"
    if excuse := previous.excuses(releases, here.earlier.weaker, reason):
        return f"{excuse} Then make the candidate again: nothing is trained again, only compared."
    return (
        "Compared here, it is no worse. Run `adapter-release candidate` again where it was made: nothing is trained "
        "again, only compared, so that record and card name every release."
    )


def _signed(packed: Package, publishing: Publishing, kept: Path) -> Package:
    """The package signed, in a folder of its own: what arrived stays as it is."""
    if problems := sign.problems(publishing):
        raise ConfigError([*problems, "Nothing was published."])
    if not sign.wanted(publishing):
        return packed
    folder = kept / PACKAGE
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(packed.folder, folder)
    return sign.sign(replace(packed, folder=folder), publishing, kept)
