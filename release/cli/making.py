"""Commands that make a release: release, its two halves candidate and publish, people's review, and the pilot."""

import argparse
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from release.cli import options
from release.cli.command import Command, takes
from release.cli.options import RELEASE, Configured, Signing, Source
from release.values import extras
from release.values.errors import ConfigError
from release.values.events import Say, tell

if TYPE_CHECKING:
    from release.publishing.rules import Rules


@dataclass(frozen=True, kw_only=True)
class Release:
    configured: Configured
    signing: Signing


def _release_options(command: argparse.ArgumentParser) -> None:
    options.configured(command)
    options.signing(command)


def release(given: Release, say: Say) -> None:
    from release import pipeline

    extras.need_train()
    signed = {}
    if given.signing.sign:
        signed["publishing.signing_key"] = str(given.signing.sign.absolute())
    if given.signing.keyless:
        signed["publishing.keyless"] = "true"
    loaded = options.load(given.configured, say, signed)
    packed, publication = pipeline.release(loaded, say)
    tell(say, pipeline.what_next(loaded, packed, publication).splitlines())


@dataclass(frozen=True, kw_only=True)
class Elsewhere:
    """On whose machine a candidate is made."""

    on: str | None
    python: str | None
    end: bool


@dataclass(frozen=True, kw_only=True)
class Candidate:
    configured: Configured
    to: Path
    elsewhere: Elsewhere


def _candidate_options(command: argparse.ArgumentParser) -> None:
    options.configured(command)
    command.add_argument("--to", type=Path, default=Path("dist"), help="output folder (default: %(default)s)")
    group = command.add_argument_group(
        "on another machine", "Configuration, rows and this code are sent there, and no token. See docs/elsewhere.md."
    )
    group.add_argument(
        "--on", metavar="ssh:HOST|slurm:FILE|hf-jobs:FLAVOR",
        help="make it on a host of OpenSSH, as a job of Slurm that this sbatch script runs, or as one of Hugging Face "
        "Jobs; the same command typed again goes on with the same job",
    )  # fmt: skip
    group.add_argument(
        "--python", metavar="PATH",
        help="the Python there that has adapter-release[train] (default: python3; of slurm: this one; of hf-jobs the "
        "image's, which is given what it lacks)",
    )  # fmt: skip
    group.add_argument("--end", action="store_true", help="end that job and remove what it left there")


def candidate(given: Candidate, say: Say) -> None:
    from release.running import kept

    token = os.environ.get("HF_TOKEN", "")
    for name in kept.SECRETS:
        os.environ.pop(name, None)  # what trains and judges may run a model's code: it never holds a token
    if given.elsewhere.on is None:
        from release import two_jobs

        _nothing_else(given.elsewhere)
        extras.need_train()
        two_jobs.candidate(options.load(given.configured, say), given.to, say)
        return
    from release.remote import job, systems

    loaded = options.load(given.configured, say)
    system = systems.find(
        given.elsewhere.on, given.elsewhere.python, loaded.run.output_dir, token=token, image=loaded.container.image
    )
    typed = job.Typed(words=options.words(given.configured), python=given.elsewhere.python or "", token=token)
    if given.elsewhere.end:
        job.end(loaded, system, say, typed)
    else:
        job.candidate(loaded, given.to, system, say, typed)


def _nothing_else(given: Elsewhere) -> None:
    """``ConfigError`` where something is said of another machine and none is named."""
    said = [name for name, value in (("--python", given.python), ("--end", given.end)) if value]
    if said:
        raise ConfigError([f"{said[0]} is said of another machine: name it with --on, or leave {said[0]} out."])


@dataclass(frozen=True, kw_only=True)
class Attest:
    configured: Configured
    url: str
    model: str
    constraint: Literal["none", "json_schema"]


def _attest_options(command: argparse.ArgumentParser) -> None:
    options.configured(command)
    command.add_argument("--url", required=True, help="address that speaks OpenAI's API, up to and with /v1")
    command.add_argument("--model", required=True, metavar="NAME", help="the name that the address gives the model")
    command.add_argument(
        "--constraint", choices=("none", "json_schema"), default="none",
        help="json_schema: let the address hold answers to the answer schema (default: %(default)s)",
    )  # fmt: skip


def attest(given: Attest, say: Say) -> None:
    from release import attest
    from release.models import hosted

    asked = {"engine": "openai", "url": given.url, "model": given.model, "constraint": given.constraint}
    typed = {f"serving.{hosted.FORM}.{name}": value for name, value in asked.items()}
    loaded = options.load(given.configured, say, typed)
    alone = replace(loaded, serving={hosted.FORM: loaded.serving[hosted.FORM]})
    _, publication = attest.attest(alone, say)
    tell(say, attest.what_next(alone, publication).splitlines())


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What is to be published, as options say it."""

    config: Path | None
    overrides: Sequence[str]
    weaker_because: str | None
    hub: str | None
    repo: str | None
    tag: str | None
    private: bool


@dataclass(frozen=True, kw_only=True)
class Terms:
    """sha256 of what the candidate was judged by."""

    golden_sha256: str | None
    policy_sha256: str | None
    contract_sha256: str | None
    schema_sha256: str | None


@dataclass(frozen=True, kw_only=True)
class People:
    review: Sequence[Path]
    people_apart: bool


@dataclass(frozen=True, kw_only=True)
class Publish:
    folder: Path
    receipts: Path
    people: People
    asked: Asked
    terms: Terms
    signing: Signing


def _publish_options(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "folder", nargs="?", type=Path, default=Path("dist"), help="the candidate's folder (default: %(default)s)"
    )
    command.add_argument(
        "--receipts",
        type=Path,
        default=Path("runs/published"),
        help="folder for the receipt (default: %(default)s)",
    )
    command.add_argument(
        "--review", type=Path, action="append", default=[], metavar="FILE",
        help="what people say of a candidate that waits for them (default: review.json in its folder); may be repeated",
    )  # fmt: skip
    command.add_argument(
        "--people-apart",
        action="store_true",
        help="take what people say from --review alone: who made the candidate could have written what came with it",
    )
    group = command.add_argument_group(
        "rules", "What the candidate must be, and where it goes. The candidate itself has no say in it."
    )
    group.add_argument("--config", type=Path, help="configuration file (default: release.yaml, if it is here)")
    options.overrides(group)
    group.add_argument("--repo", metavar="NAMESPACE/NAME", help="the repository (publishing.hf_repo)")
    group.add_argument("--tag", help="the tag (publishing.tag)")
    group.add_argument("--private", action="store_true", help="the repository is private (publishing.private)")
    group.add_argument("--hub", help="a URL, or file:FOLDER (publishing.endpoint)")
    for name, what in _TERMS.items():
        group.add_argument(f"--{name}-sha256", type=options.sha256, metavar="SHA256", help=f"sha256 of {what}")
    options.signing(command)


_TERMS = {
    "golden": "the golden rows, where their file is not here: data/golden.jsonl of a release",
    "policy": "gates/policy.json of a release",
    "contract": "gates/contract.json of a release",
    "schema": "gates/answer.schema.json of a release",
}


def publish(given: Publish, say: Say) -> None:
    from release import two_jobs

    people = two_jobs.People(files=given.people.review, apart=given.people.people_apart)
    two_jobs.publish(given.folder, given.receipts, _rules(given, say), say, people)


def _rules(given: Publish, say: Say) -> "Rules":
    """Those of the configuration, if one is here or named, and of the options."""
    from release.publishing import rules

    asked, key = given.asked, given.signing.sign.absolute() if given.signing.sign else None
    digests = {name: getattr(given.terms, f"{name}_sha256") for name in _TERMS}
    said = rules.Given(
        hub=asked.hub,
        repo=asked.repo,
        tag=asked.tag,
        private=asked.private,
        weaker_because=asked.weaker_because,
        signing_key=key,
        keyless=given.signing.keyless,
        digests={name: sha256 for name, sha256 in digests.items() if sha256},
    )
    config = asked.config or Path("release.yaml")
    if asked.config is None and not config.exists():
        if asked.overrides:
            raise ConfigError([f"--set {asked.overrides[0]}: there is no release.yaml here. Name one with --config."])
        return rules.of_options(said)
    chosen = {
        "publishing.hf_repo": asked.repo,
        "publishing.tag": asked.tag,
        "publishing.private": "true" if asked.private else None,
        "publishing.signing_key": str(key) if key else None,
        "publishing.keyless": "true" if given.signing.keyless else None,
    }
    more = {name: value for name, value in chosen.items() if value is not None}
    configured = Configured(config=config, overrides=asked.overrides, weaker_because=asked.weaker_because)
    return rules.of_config(options.load(configured, say, more), said, say)


@dataclass(frozen=True, kw_only=True)
class Review:
    release: str | None
    config: Path
    to: Path | None
    others: Sequence[Path]
    browser: bool
    source: Source


def _review_options(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "release", nargs="?", metavar=f"RUN|{RELEASE}",
        help="a run's folder, a candidate's folder, a downloaded release or one on the Hub (default: the latest run)",
    )  # fmt: skip
    command.add_argument(
        "--to", type=Path, metavar="FILE", help="the file of what is said (default: review.json in the folder)"
    )
    command.add_argument(
        "--with", type=Path, action="append", default=[], dest="others", metavar="FILE",
        help="take in what somebody else said in a file of their own; may be repeated",
    )  # fmt: skip
    command.add_argument(
        "--no-browser", action="store_false", dest="browser", help="start no browser, and print where the page is"
    )
    command.add_argument(
        "--config", type=Path, default=Path("release.yaml"),
        help="configuration of which the latest run is read (default: %(default)s)",
    )  # fmt: skip
    options.source(command)


def review(given: Review, say: Say) -> None:
    import webbrowser

    from release.checking import completed
    from release.config import reading
    from release.reviewing import answers, opened, server

    runs = Path() if given.release else reading.load(given.config).run.output_dir
    source = given.source
    others = completed.said(given.others)
    with opened.opened(given.release, runs, source.hub, say, source.data, given.to) as to_read:
        if others:
            answers.take(to_read, others)
        with server.served(to_read) as serving, server.door(serving) as door:
            rows = f"{len(to_read.asked.rows)} rows of {to_read.name}, kept in {to_read.file}"
            tell(say, [f"to be read: {rows}", f"the page, on this machine alone: {serving.address}"])
            if given.browser:
                webbrowser.open(door)
            serving.ended.wait()
        tell(say, server.summary(to_read))


def pilot(given: Configured, say: Say) -> None:
    from release import pilot

    extras.need_train()
    pilot.pilot(options.load(given, say), say)


COMMANDS = (
    Command(
        name="release",
        about="train, evaluate and publish in one go",
        description="""Trains the adapter that the configuration describes, evaluates the saved files, and
        publishes exactly those files under a tag if every required gate passes. Needs the configuration and its
        data, and HF_TOKEN for a Hub on the web; leaves the run in run.output_dir, and continues there when it is
        started again. Exit code 5: a gate failed or could not be decided, and nothing was published.
        Exit code 9: people have still to say what the answers are worth (`review`).""",
        options=_release_options,
        run=takes(Release, release),
    ),
    Command(
        name="candidate",
        about="train and evaluate, and write the package to a folder, without a token",
        description="""The first half of a two-job release: trains and evaluates as `release` does, and writes
        the package with its checksums to a folder. Reads previous releases from the Hub; HF_TOKEN and the other
        secrets are removed from its environment first. With --on it is made on another machine, brought home, and
        checked as `publish` checks it. Exit code 5: a gate failed or could not be decided, and the folder holds
        the report and the answers, but no package; 9: it holds a candidate that waits for people (`review`).""",
        options=_candidate_options,
        run=takes(Candidate, candidate),
    ),
    Command(
        name="review",
        about="read a sample of the answers in a browser, blind, and say what they are worth",
        description="""Serves a page on this machine alone: rows that were drawn by a digest of what was judged,
        each with this adapter's answer and another's, and keys for right, wrong and cannot tell. Every word is
        saved at once, and the page goes on where it was closed. Leaves review.json, which the gate human_review
        counts: run `release` again, or `publish`. Ends when the page says so, or by Ctrl-C.""",
        options=_review_options,
        run=takes(Review, review),
    ),
    Command(
        name="publish",
        about="check a candidate's folder again and publish it",
        description="""The second half of a two-job release: computes every checksum and the verdict of a
        candidate's folder again, compares it with the configuration here and with the releases that the Hub has, and
        publishes its package if all is right. Needs HF_TOKEN for a Hub on the web, and no GPU; leaves the receipt,
        publication.json. Exit code 7: the folder is not what its record or the configuration says, and nothing was
        published. Exit code 9: it waits for people's review.""",
        options=_publish_options,
        run=takes(Publish, publish),
    ),
    Command(
        name="attest",
        about="judge a model that somebody serves, and publish the verdict as a dataset",
        description="""Asks an address that speaks OpenAI's API the golden questions, judges the answers by answer
        format and policy of the configuration, and publishes answers, verdict and what they were judged by as a dataset
        repository, datasets/REPO of publishing.hf_repo, if every required gate passes. No bytes are judged, and record
        and card say so; the configuration's model, adapter and training are not used. The key is OPENAI_API_KEY of
        the environment, and is recorded nowhere. Exit code 5: a gate failed, and nothing was published.""",
        options=_attest_options,
        run=takes(Attest, attest),
    ),
    Command(
        name="pilot",
        about="take ten rows through the whole pipeline first",
        description="""Checks the configuration, its data and its Hub, then takes ten rows through every stage,
        up to a publication on a Hub in a folder of its own. Needs what a release needs, and about a minute
        where a broken set-up would cost hours. Publishes nothing, and removes what it made if all went well.""",
        options=options.configured,
        run=takes(Configured, pilot),
    ),
)
