"""Commands that make a release: release, its two halves candidate and publish, and the pilot."""

import argparse
import os
from dataclasses import dataclass
from pathlib import Path

from release.cli import options
from release.cli.command import Command, takes
from release.cli.options import Configured, Signing
from release.values import extras
from release.values.events import Say, tell


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
class Candidate:
    configured: Configured
    to: Path


def _candidate_options(command: argparse.ArgumentParser) -> None:
    options.configured(command)
    command.add_argument("--to", type=Path, default=Path("dist"), help="output folder (default: %(default)s)")


def candidate(given: Candidate, say: Say) -> None:
    from release import two_jobs
    from release.running import kept

    extras.need_train()
    for name in kept.SECRETS:
        os.environ.pop(name, None)  # what trains and judges may run a model's code: it never holds a token
    two_jobs.candidate(options.load(given.configured, say), given.to, say)


@dataclass(frozen=True, kw_only=True)
class Publish:
    folder: Path
    hub: str | None
    receipts: Path
    signing: Signing


def _publish_options(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "folder", nargs="?", type=Path, default=Path("dist"), help="the candidate's folder (default: %(default)s)"
    )
    command.add_argument("--hub", help="a URL, or file:FOLDER (default: that of the candidate's configuration)")
    command.add_argument(
        "--receipts",
        type=Path,
        default=Path("runs/published"),
        help="folder for the receipt (default: %(default)s)",
    )
    options.signing(command)


def publish(given: Publish, say: Say) -> None:
    from release import two_jobs

    key = given.signing.sign.absolute() if given.signing.sign else None
    chosen = {"endpoint": given.hub, "signing_key": key, "keyless": given.signing.keyless}
    two_jobs.publish(given.folder, given.receipts, {name: value for name, value in chosen.items() if value}, say)


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
        data, and HF_TOKEN for a Hub on the web. Leaves the run in run.output_dir; started again after an
        interruption, it continues there. Exit code 5: a gate failed or could not be decided, and nothing was
        published.""",
        options=_release_options,
        run=takes(Release, release),
    ),
    Command(
        name="candidate",
        about="train and evaluate, and write the package to a folder, without a token",
        description="""The first half of a two-job release: trains and evaluates as `release` does, and writes
        the package with its checksums to a folder. Reads previous releases from the Hub; HF_TOKEN and the other
        secrets are removed from its environment first. Exit code 5: a gate failed or could not be decided, and
        the folder holds the report and the answers, but no package.""",
        options=_candidate_options,
        run=takes(Candidate, candidate),
    ),
    Command(
        name="publish",
        about="check a candidate's folder again and publish it",
        description="""The second half of a two-job release: computes every checksum and the verdict of a
        candidate's folder again, and publishes its package if both are right. Needs HF_TOKEN for a Hub on the
        web, and no GPU. Leaves the receipt, publication.json. Exit code 7: the folder is not what its record
        says, and nothing was published.""",
        options=_publish_options,
        run=takes(Publish, publish),
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
