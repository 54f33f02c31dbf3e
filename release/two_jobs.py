"""A release in two jobs: a candidate made where the GPU is, published where the token is. The folder between them.

Nothing that arrives is believed: every digest is computed and the verdict derived from the answers again, the rules are
those of the job that publishes (`release.publishing.rules`), and earlier releases are fetched and compared with anew.
"""

import contextlib
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import gates
from gates import report
from release import inputs, pipeline, preflight
from release.checking import completed, opening, verify
from release.checking.steps import UNREADABLE
from release.config.settings import Config, Publishing
from release.hub import address
from release.judging import attempts, derive, previous
from release.judging.derive import Beside
from release.judging.released import Released
from release.publishing import page, sign
from release.publishing import rules as own
from release.publishing.rules import Rules
from release.running import lock
from release.values import bounds, clock, contents, layout
from release.values.artifacts import Adapter, Candidate, Manifest, Package, Publication, is_half, write_atomically
from release.values.bounds import Kind
from release.values.errors import ConfigError, DataError, GatesFailed, HubError, ReviewNeeded, VerificationError
from release.values.events import Line, Say, Stage, tell
from release.values.record import VERSION, Record

SUMS = "SHA256SUMS"
"""As sha256sum writes it, so that others can check and attest it; a folder without it holds no candidate."""
PACKAGE = "package"
ROWS = "rows"
"""The rows that the verdict and that of its tries are derived from, where they are not published themselves."""
REPORT = "report.md"
REFUSED = "refused"
REVIEW = "review.json"
"""What people say of a candidate that waits for them; it comes after the checksums."""
BESIDE: Mapping[str, Kind] = {
    SUMS: bounds.STATEMENT,
    REPORT: bounds.CARD,
    REVIEW: bounds.RESULT,
    **{f"{ROWS}/{kind}.jsonl": bounds.ROWS for kind in ("golden", "tuning")},
}
"""What lies in a candidate's folder beside the package, and how much of it is read."""


def candidate(config: Config, folder: Path, say: Say) -> None:
    """Everything up to the package, into ``folder``, with its digests. Reads previous releases, and needs no token.

    A candidate that is refused leaves its report and what was judged there, and raises ``GatesFailed``.
    """
    folder = folder.absolute()
    _replaceable(folder)
    with lock.held(config.run.output_dir), address.of(config).opened() as hub:
        say(Stage(name="preflight"))
        found = inputs.load(config, say)
        before = preflight.check(found, hub, say, rights=False)
        made, run = pipeline.candidate(found, before, say)
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
            _lay_out(folder, {REPORT: run / page.SUMMARY, **judged}, sums=False)
            raise
        hand_over(packed.folder, made.record, run, folder)
    holds = f"{folder} holds the candidate, manifest {packed.manifest.digest}."
    tell(say, ["", holds, f"Publish it, where this configuration is too:  adapter-release publish {folder}"])


def hand_over(package: Path, record: Record, run: Path, folder: Path) -> None:
    """The candidate's folder: the package, the report, rows that the verdict is derived from, and digests of them."""
    files = {f"{PACKAGE}/{file.path}": package / file.path for file in Manifest.of_folder(package).files}
    rows = {f"{ROWS}/{kind}.jsonl": run / layout.DATA[kind] for kind in record.judged_by if not record.publishes(kind)}
    _lay_out(folder, {REPORT: run / page.SUMMARY, **files, **rows}, sums=True)


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


def _publish(folder: Path, whole: Path, receipts: Path, rules: Rules, say: Say) -> Publication:
    """The same of the folder ``whole``, which people's word is in, if it is asked for."""
    found = Released(name=str(folder), folder=whole / PACKAGE, data=whole / ROWS)
    with _arrived(whole, found, say) as arrived:
        own.check(found, rules)
        tell(say, [f"  {line}" for line in own.unchecked(found, rules)])
        _prove_the_gates(found)
        with rules.hub.opened() as hub:
            _beside_earlier(found, rules, hub, say)
            kept = receipts / arrived.manifest.digest[:12]
            kept.mkdir(parents=True, exist_ok=True)
            packed = _signed(arrived, rules.publishing, kept)
            say(Stage(name="publish", note=f"{rules.publishing.hf_repo}@{rules.publishing.tag}"))
            publication = pipeline.publish(rules.publishing, packed, kept, hub, say)
    name = f"{publication.repo_id}@{publication.tag}"
    tell(say, ["", f"Released {name}: commit {publication.commit}", f"Receipt:     {kept / 'publication.json'}"])
    say(Line(text=f"Check it:    adapter-release verify {name} --hub {rules.publishing.endpoint}"))
    return publication


def _replaceable(folder: Path) -> None:
    """Refuse, before anything is trained, a folder that holds something else than a previous candidate."""
    if folder.is_symlink():
        raise ConfigError([f"{folder} is a link, and a candidate's folder is replaced whole. Name the folder itself."])
    if folder.exists() and not _is_candidate(folder):
        raise ConfigError([f"{folder} is not empty and has no previous candidate. Name another folder with --to."])


def _is_candidate(folder: Path) -> bool:
    """Whether it is empty, or all that is there was laid out here; SHA256SUMS alone is in many folders."""
    there = {path.name for path in folder.iterdir() if not is_half(path.name, REVIEW)} if folder.is_dir() else {""}
    return not there or (there <= {SUMS, REPORT, PACKAGE, ROWS, REFUSED, REVIEW} and bool(there & {SUMS, REFUSED}))


def _lay_out(folder: Path, files: Mapping[str, Path], *, sums: bool) -> None:
    """Copy the files into ``folder``, which appears when it is whole, in place of a previous candidate."""
    temporary, before = (folder.with_name(f".{folder.name}.{what}") for what in ("tmp", "before"))
    for left in (temporary, before):
        shutil.rmtree(left, ignore_errors=True)
    for name, source in files.items():
        (temporary / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, temporary / name)
    if sums:
        _sum(temporary)
    if (folder / REVIEW).is_file():
        shutil.copyfile(folder / REVIEW, temporary / REVIEW)  # somebody's work; whether it counts is told later
    if folder.exists():
        folder.rename(before)  # in one step: a kill leaves no half of a candidate in the way of the next
    temporary.rename(folder)
    shutil.rmtree(before, ignore_errors=True)


def _sum(folder: Path) -> None:
    lines = (f"{file.sha256}  {file.path}\n" for file in Manifest.of_folder(folder).files)
    write_atomically(folder / SUMS, "".join(lines).encode())


@contextlib.contextmanager
def _reviewed(folder: Path, people: People) -> Iterator[Path]:
    """The candidate's folder as it was laid out; or, where it waits for people, one with it and their word."""
    found = Released(name=str(folder), folder=folder / PACKAGE, data=folder / ROWS)
    _sound(folder, found)
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
        _sum(whole)
        yield whole


@contextlib.contextmanager
def _trusting_nothing(found: Released) -> Iterator[None]:
    """A block that derives something of a candidate that is not verified yet, within its time."""
    try:
        with clock.within(found.listed.seconds):
            yield
    except (*UNREADABLE, clock.TimeUp, gates.Invalid, DataError) as error:
        raise VerificationError(f"{found.name} cannot be read: {error}. Nothing was published.") from None


def _sound(folder: Path, found: Released) -> None:
    """``VerificationError`` where the folder is not the one that was laid out."""
    if wrong := _refused(folder, found) or _differences(folder):
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
    later = (verify.SIGNED, verify.EARLIER, verify.PAGE)  # signed and compared here; an earlier program drew no page
    if skipped := [f"{step.name}: {why}" for step in steps for why in step.unchecked if step.name not in later]:
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


def _refused(folder: Path, found: Released) -> list[str]:
    """A line for whatever no candidate holds, by names, kinds and sizes: nothing is opened before this look."""
    problems = [f"{PACKAGE}/{line}" for line in found.listed.problems()] if (folder / PACKAGE).is_dir() else []
    problems += [
        f"{PACKAGE}/{name} is a text that nothing here writes or judges, and no candidate has one. The licence's name "
        "is published by publishing.license; keep the text in the repository of your configuration"
        for name in layout.TERMS
        if os.path.lexists(folder / PACKAGE / name)
    ]
    for entry in [*folder.glob("*"), *(folder / ROWS).glob("*")]:
        name = entry.relative_to(folder).as_posix()
        state = entry.lstat()
        if is_half(name, REVIEW):
            continue
        if stat.S_ISDIR(state.st_mode) and name in (PACKAGE, ROWS):
            continue
        kind = BESIDE.get(name)
        if kind is None:
            problems.append(f"extra: {contents.shown(name)}")
        elif not stat.S_ISREG(state.st_mode):
            problems.append(f"{name} is not a regular file")
        elif state.st_size > kind.most:
            problems.append(f"{name} has {state.st_size:,} bytes; at most {kind.most:,} are read")
    return problems[: bounds.PROBLEMS]


def _differences(folder: Path) -> list[str]:
    """A line for each file that is missing, extra, or not what SHA256SUMS says."""
    try:
        lines = (folder / SUMS).read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        return [f"{SUMS} cannot be read: {error}"]
    told: dict[str, str] = {}
    problems = []
    for number, line in enumerate(lines, 1):
        parts = re.fullmatch("([0-9a-f]{64})  (.+)", line)
        if parts is None or parts[2] in told:
            problems.append(f"{SUMS}:{number} is not a line of sha256sum, or repeats a file: {line[:120]!r}")
        else:
            told[parts[2]] = parts[1]
    found = {file.path: file.sha256 for file in Manifest.of_folder(folder).files}
    there = {name: sha256 for name, sha256 in found.items() if name not in (SUMS, REVIEW) and not is_half(name, REVIEW)}
    problems += [f"missing: {name}" for name in sorted(told.keys() - there.keys())]
    problems += [f"extra: {name}" for name in sorted(there.keys() - told.keys())]
    problems += [
        f"different: {name} has sha256 {there[name]}, {SUMS} says {told[name]}"
        for name in sorted(told.keys() & there.keys())
        if told[name] != there[name]
    ]
    if not any(name.startswith(f"{PACKAGE}/") for name in told):
        problems.append(f"{SUMS} names no file of {PACKAGE}/")
    return problems


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
